//! Reserves held by a sponsor.

use crate::support::{Key, RESERVE, World, XLM, by, code, create, failed_operations, operation, trust, trustline_key};
use stellar_xdr::{
    AccountEntry, AccountEntryExt, AccountEntryExtensionV1Ext, AccountMergeResult, BeginSponsoringFutureReservesOp,
    CreateAccountResult, LedgerEntryExt, LedgerKey, LedgerKeyAccount, Operation, OperationBody, OperationResult,
    OperationResultTr, PaymentResult, RevokeSponsorshipOp, RevokeSponsorshipResult, SetOptionsOp, Signer, SignerKey,
    TransactionResultResult,
};

fn begin(sponsored: &Key) -> Operation {
    let begin = BeginSponsoringFutureReservesOp { sponsored_id: sponsored.id() };
    operation(OperationBody::BeginSponsoringFutureReserves(begin))
}

fn end(sponsored: &Key) -> Operation {
    by(sponsored, OperationBody::EndSponsoringFutureReserves)
}

fn onboard(farmer: &Key, issuer: &Key) -> Vec<Operation> {
    vec![begin(farmer), create(farmer, 0), by(farmer, trust(issuer, i64::MAX)), end(farmer)]
}

fn revoke(key: LedgerKey) -> Operation {
    operation(OperationBody::RevokeSponsorship(RevokeSponsorshipOp::LedgerEntry(key)))
}

/// Reserves others hold for the account, and it for others.
fn counts(account: &AccountEntry) -> (u32, u32) {
    match &account.ext {
        AccountEntryExt::V1(v1) => match &v1.ext {
            AccountEntryExtensionV1Ext::V2(v2) => (v2.num_sponsored, v2.num_sponsoring),
            AccountEntryExtensionV1Ext::V0 => (0, 0),
        },
        AccountEntryExt::V0 => (0, 0),
    }
}

fn onboarded() -> (World, Key, Key, Key) {
    let (issuer, master, farmer) = (Key::new(1), Key::new(2), Key::new(3));
    let mut world = World::with(&[&issuer, &master]);
    let envelope = world.transaction(&master, onboard(&farmer, &issuer)).sign(&[&master, &farmer]);
    crate::support::assert_success(&world.apply(&envelope));
    (world, issuer, master, farmer)
}

#[test]
fn a_sponsored_account_needs_no_balance() {
    let (world, issuer, master, farmer) = onboarded();
    assert_eq!(world.balance(&farmer), 0);
    assert_eq!(counts(&world.account(&farmer).unwrap()), (3, 0));
    assert_eq!(counts(&world.account(&master).unwrap()), (0, 3));
    let line = world.slot(&trustline_key(&farmer, &issuer)).unwrap();
    assert!(matches!(&line.entry.ext, LedgerEntryExt::V1(v1) if v1.sponsoring_id.0 == Some(master.id())));
}

#[test]
fn sponsor_can_not_spend_what_it_holds_for_others() {
    let (mut world, _, master, _) = onboarded();
    let spendable = world.balance(&master) - 5 * RESERVE;
    let too_much = crate::support::pay(&Key::new(1), spendable);
    let failed = world.fail(&master, too_much);
    assert_eq!(failed, OperationResult::OpInner(OperationResultTr::Payment(PaymentResult::Underfunded)));
}

#[test]
fn sponsorship_must_end_in_its_transaction() {
    let (issuer, master, farmer) = (Key::new(1), Key::new(2), Key::new(3));
    let mut world = World::with(&[&issuer, &master]);
    let mut operations = onboard(&farmer, &issuer);
    operations.pop();
    let envelope = world.transaction(&master, operations).sign(&[&master, &farmer]);
    assert_eq!(code(&world.apply(&envelope)), TransactionResultResult::TxBadSponsorship);
    assert!(world.account(&farmer).is_none());
}

#[test]
fn the_sponsored_account_must_sign() {
    let (issuer, master, farmer) = (Key::new(1), Key::new(2), Key::new(3));
    let mut world = World::with(&[&issuer, &master]);
    let envelope = world.transaction(&master, onboard(&farmer, &issuer)).sign(&[&master]);
    let TransactionResultResult::TxFailed(results) = world.refused(&envelope) else { panic!("not refused as failed") };
    assert_eq!(results[2], OperationResult::OpBadAuth);
}

#[test]
fn a_sponsor_without_balance_can_not_sponsor() {
    let (issuer, poor, farmer) = (Key::new(1), Key::new(2), Key::new(3));
    let mut world = World::with(&[&issuer]);
    world.succeed(&issuer, create(&poor, XLM + 2 * RESERVE));
    let envelope = world.transaction(&poor, onboard(&farmer, &issuer)).sign(&[&poor, &farmer]);
    assert_eq!(
        failed_operations(&world.apply(&envelope))[1],
        OperationResult::OpInner(OperationResultTr::CreateAccount(CreateAccountResult::LowReserve))
    );
}

#[test]
fn closing_a_sponsored_trustline_frees_the_sponsors_reserve() {
    let (mut world, issuer, master, farmer) = onboarded();
    let close = by(&farmer, trust(&issuer, 0));
    let envelope = world.transaction(&master, vec![close]).sign(&[&master, &farmer]);
    crate::support::assert_success(&world.apply(&envelope));
    assert_eq!(counts(&world.account(&farmer).unwrap()), (2, 0));
    assert_eq!(counts(&world.account(&master).unwrap()), (0, 2));
}

#[test]
fn merging_a_sponsored_account_frees_the_sponsors_reserves() {
    let (mut world, issuer, master, farmer) = onboarded();
    let operations = vec![by(&farmer, trust(&issuer, 0)), by(&farmer, OperationBody::AccountMerge(master.muxed()))];
    let envelope = world.transaction(&master, operations).sign(&[&master, &farmer]);
    crate::support::assert_success(&world.apply(&envelope));
    assert_eq!(counts(&world.account(&master).unwrap()), (0, 0));
}

#[test]
fn a_sponsor_can_not_be_merged() {
    let (mut world, issuer, master, _) = onboarded();
    assert_eq!(
        world.fail(&master, operation(OperationBody::AccountMerge(issuer.muxed()))),
        OperationResult::OpInner(OperationResultTr::AccountMerge(AccountMergeResult::IsSponsor))
    );
}

#[test]
fn revoking_needs_the_owner_to_hold_the_reserve() {
    let (mut world, issuer, master, farmer) = onboarded();
    let key = trustline_key(&farmer, &issuer);
    assert_eq!(
        world.fail(&master, revoke(key.clone())),
        OperationResult::OpInner(OperationResultTr::RevokeSponsorship(RevokeSponsorshipResult::LowReserve))
    );
    world.succeed(&master, crate::support::pay(&farmer, RESERVE));
    world.succeed(&master, revoke(key));
    assert_eq!(counts(&world.account(&farmer).unwrap()), (2, 0));
    assert_eq!(counts(&world.account(&master).unwrap()), (0, 2));
}

#[test]
fn sponsorship_can_be_handed_to_another_sponsor() {
    let (mut world, issuer, master, farmer) = onboarded();
    let root = world.root.clone();
    let account = LedgerKey::Account(LedgerKeyAccount { account_id: farmer.id() });
    let operations =
        vec![by(&issuer, begin(&master).body), revoke(account), revoke(trustline_key(&farmer, &issuer)), end(&master)];
    let envelope = world.transaction(&master, operations).sign(&[&master, &issuer]);
    crate::support::assert_success(&world.apply(&envelope));
    assert_eq!(counts(&world.account(&master).unwrap()), (0, 0));
    assert_eq!(counts(&world.account(&issuer).unwrap()), (0, 3));
    assert_eq!(counts(&world.account(&farmer).unwrap()), (3, 0));
    assert_eq!(
        world.fail(&root, revoke(trustline_key(&farmer, &issuer))),
        OperationResult::OpInner(OperationResultTr::RevokeSponsorship(RevokeSponsorshipResult::NotSponsor))
    );
}

#[test]
fn a_sponsored_signer_counts_for_the_sponsor_until_it_is_removed() {
    let (mut world, _, master, farmer) = onboarded();
    let signer = |weight| {
        let signer = Signer { key: SignerKey::Ed25519(Key::new(9).public()), weight };
        OperationBody::SetOptions(SetOptionsOp { signer: Some(signer), ..SetOptionsOp::default() })
    };
    let operations = vec![begin(&farmer), by(&farmer, signer(1)), end(&farmer)];
    let envelope = world.transaction(&master, operations).sign(&[&master, &farmer]);
    crate::support::assert_success(&world.apply(&envelope));
    assert_eq!(counts(&world.account(&farmer).unwrap()), (4, 0));
    assert_eq!(counts(&world.account(&master).unwrap()), (0, 4));
    let envelope = world.transaction(&master, vec![by(&farmer, signer(0))]).sign(&[&master, &farmer]);
    crate::support::assert_success(&world.apply(&envelope));
    assert_eq!(counts(&world.account(&master).unwrap()), (0, 3));
}
