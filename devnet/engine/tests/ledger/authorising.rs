//! What issuers let trustlines do.

use crate::support::{Key, World, asset, operation, pay_asset, trust};
use stellar_xdr::{
    AccountFlags, Asset, OperationBody, OperationResult, OperationResultTr, PaymentResult, SetOptionsOp,
    SetTrustLineFlagsOp, SetTrustLineFlagsResult, TransactionResultResult, TrustLineFlags,
};

const AUTHORIZED: u32 = TrustLineFlags::AuthorizedFlag as u32;
const MAINTAINS: u32 = TrustLineFlags::AuthorizedToMaintainLiabilitiesFlag as u32;
const CLAWBACK: u32 = TrustLineFlags::TrustlineClawbackEnabledFlag as u32;

fn set(result: SetTrustLineFlagsResult) -> OperationResult {
    OperationResult::OpInner(OperationResultTr::SetTrustLineFlags(result))
}

fn paid(result: PaymentResult) -> OperationResult {
    OperationResult::OpInner(OperationResultTr::Payment(result))
}

fn flags(trustor: &Key, asset: Asset, clear_flags: u32, set_flags: u32) -> OperationBody {
    let trustor = trustor.id();
    OperationBody::SetTrustLineFlags(SetTrustLineFlagsOp { trustor, asset, clear_flags, set_flags })
}

fn issuer_flags(flags: u32) -> OperationBody {
    OperationBody::SetOptions(SetOptionsOp { set_flags: Some(flags), ..SetOptionsOp::default() })
}

/// An issuer with the given flags, and two holders of 100 each.
fn world_of_holders(account_flags: u32) -> (World, Key, Key, Key) {
    let (issuer, alice, bob) = (Key::new(1), Key::new(2), Key::new(3));
    let mut world = World::with(&[&issuer, &alice, &bob]);
    if account_flags != 0 {
        world.succeed(&issuer, operation(issuer_flags(account_flags)));
    }
    for holder in [&alice, &bob] {
        world.succeed(holder, operation(trust(&issuer, i64::MAX)));
        if account_flags & AccountFlags::RequiredFlag as u32 != 0 {
            world.succeed(&issuer, operation(flags(holder, asset(&issuer), 0, AUTHORIZED)));
        }
        world.succeed(&issuer, pay_asset(holder, asset(&issuer), 100));
    }
    (world, issuer, alice, bob)
}

#[test]
fn a_frozen_line_neither_gives_nor_takes_until_it_is_authorised_again() {
    let (mut world, issuer, alice, bob) = world_of_holders(AccountFlags::RevocableFlag as u32);
    for (clear, keep) in [(AUTHORIZED, 0), (AUTHORIZED, MAINTAINS)] {
        world.succeed(&issuer, operation(flags(&alice, asset(&issuer), clear, keep)));
        let to_alice = pay_asset(&alice, asset(&issuer), 1);
        assert_eq!(world.fail(&bob, to_alice), paid(PaymentResult::NotAuthorized));
        let from_alice = pay_asset(&bob, asset(&issuer), 1);
        assert_eq!(world.fail(&alice, from_alice), paid(PaymentResult::SrcNotAuthorized));
        world.succeed(&issuer, operation(flags(&alice, asset(&issuer), keep, AUTHORIZED)));
        world.succeed(&alice, pay_asset(&bob, asset(&issuer), 1));
    }
    assert_eq!(world.trustline(&alice, &issuer).unwrap().balance, 98);
}

#[test]
fn an_issuer_that_authorises_lets_a_new_line_be_used() {
    let (mut world, issuer, alice, bob) = world_of_holders(AccountFlags::RequiredFlag as u32);
    world.succeed(&alice, pay_asset(&bob, asset(&issuer), 1));
    let line = world.trustline(&bob, &issuer).unwrap();
    assert_eq!((line.balance, line.flags), (101, AUTHORIZED));
}

#[test]
fn an_issuer_that_gave_up_revoking_can_not_freeze() {
    let (mut world, issuer, alice, _) = world_of_holders(0);
    for keep in [0, MAINTAINS] {
        let freeze = operation(flags(&alice, asset(&issuer), AUTHORIZED, keep));
        assert_eq!(world.fail(&issuer, freeze), set(SetTrustLineFlagsResult::CantRevoke));
    }
    world.succeed(&issuer, operation(flags(&alice, asset(&issuer), 0, AUTHORIZED)));
}

#[test]
fn a_line_has_one_state_at_a_time() {
    let (mut world, issuer, alice, _) = world_of_holders(AccountFlags::RevocableFlag as u32);
    let both = operation(flags(&alice, asset(&issuer), 0, MAINTAINS));
    assert_eq!(world.fail(&issuer, both), set(SetTrustLineFlagsResult::InvalidState));
}

#[test]
fn a_line_must_be_there() {
    let (mut world, issuer, _, _) = world_of_holders(0);
    let root = world.root.clone();
    let nothing = operation(flags(&root, asset(&issuer), 0, AUTHORIZED));
    assert_eq!(world.fail(&issuer, nothing), set(SetTrustLineFlagsResult::NoTrustLine));
}

#[test]
fn clawback_is_given_up_for_good() {
    let account_flags = AccountFlags::RevocableFlag as u32 | AccountFlags::ClawbackEnabledFlag as u32;
    let (mut world, issuer, alice, _) = world_of_holders(account_flags);
    assert_eq!(world.trustline(&alice, &issuer).unwrap().flags, AUTHORIZED | CLAWBACK);
    world.succeed(&issuer, operation(flags(&alice, asset(&issuer), CLAWBACK, 0)));
    assert_eq!(world.trustline(&alice, &issuer).unwrap().flags, AUTHORIZED);
}

#[test]
fn what_no_state_makes_valid_is_refused_at_once() {
    let (mut world, issuer, alice, bob) = world_of_holders(AccountFlags::RevocableFlag as u32);
    let own = asset(&issuer);
    let malformed = [
        (&issuer, flags(&alice, Asset::Native, 0, AUTHORIZED)),
        (&alice, flags(&bob, own.clone(), 0, AUTHORIZED)),
        (&issuer, flags(&issuer, own.clone(), 0, AUTHORIZED)),
        (&issuer, flags(&alice, own.clone(), AUTHORIZED, AUTHORIZED)),
        (&issuer, flags(&alice, own.clone(), 0, AUTHORIZED | MAINTAINS)),
        (&issuer, flags(&alice, own.clone(), 0, CLAWBACK)),
        (&issuer, flags(&alice, own, 8, 0)),
    ];
    for (source, body) in malformed {
        let envelope = world.transaction(source, vec![operation(body)]).sign(&[source]);
        let TransactionResultResult::TxFailed(results) = world.refused(&envelope) else { panic!("not refused") };
        assert_eq!(results[0], set(SetTrustLineFlagsResult::Malformed));
    }
}

#[test]
fn a_signature_of_low_weight_authorises() {
    let (mut world, issuer, alice, _) = world_of_holders(0);
    let thresholds = SetOptionsOp {
        master_weight: Some(1),
        med_threshold: Some(2),
        high_threshold: Some(2),
        ..SetOptionsOp::default()
    };
    world.succeed(&issuer, operation(OperationBody::SetOptions(thresholds)));
    world.succeed(&issuer, operation(flags(&alice, asset(&issuer), 0, AUTHORIZED)));
}
