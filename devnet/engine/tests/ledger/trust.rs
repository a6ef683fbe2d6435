//! Trustlines and payments of credit.

use crate::support::{Key, World, XLM, asset, operation, pay_asset, trust};
use stellar_xdr::{
    AccountFlags, ChangeTrustResult, OperationBody, OperationResult, OperationResultTr, PaymentResult, SetOptionsOp,
};

fn changed(result: ChangeTrustResult) -> OperationResult {
    OperationResult::OpInner(OperationResultTr::ChangeTrust(result))
}

fn paid(result: PaymentResult) -> OperationResult {
    OperationResult::OpInner(OperationResultTr::Payment(result))
}

#[test]
fn issued_credit_moves_between_trustlines_and_burns_at_the_issuer() {
    let (issuer, alice, bob) = (Key::new(1), Key::new(2), Key::new(3));
    let mut world = World::with(&[&issuer, &alice, &bob]);
    world.succeed(&alice, operation(trust(&issuer, i64::MAX)));
    world.succeed(&bob, operation(trust(&issuer, i64::MAX)));
    world.succeed(&issuer, pay_asset(&alice, asset(&issuer), 500));
    world.succeed(&alice, pay_asset(&bob, asset(&issuer), 200));
    world.succeed(&bob, pay_asset(&issuer, asset(&issuer), 50));
    assert_eq!(world.trustline(&alice, &issuer).unwrap().balance, 300);
    assert_eq!(world.trustline(&bob, &issuer).unwrap().balance, 150);
}

#[test]
fn credit_needs_a_trustline_with_room_and_a_balance() {
    let (issuer, alice, bob) = (Key::new(1), Key::new(2), Key::new(3));
    let mut world = World::with(&[&issuer, &alice, &bob]);
    let send = |to: &Key, amount| pay_asset(to, asset(&issuer), amount);
    assert_eq!(world.fail(&issuer, send(&alice, 1)), paid(PaymentResult::NoTrust));
    world.succeed(&alice, operation(trust(&issuer, 100)));
    assert_eq!(world.fail(&issuer, send(&alice, 101)), paid(PaymentResult::LineFull));
    assert_eq!(world.fail(&bob, send(&alice, 1)), paid(PaymentResult::SrcNoTrust));
    world.succeed(&issuer, send(&alice, 100));
    assert_eq!(world.fail(&alice, send(&issuer, 101)), paid(PaymentResult::Underfunded));
}

#[test]
fn limit_can_not_go_below_the_balance_and_closing_frees_the_reserve() {
    let (issuer, alice) = (Key::new(1), Key::new(2));
    let mut world = World::with(&[&issuer, &alice]);
    world.succeed(&alice, operation(trust(&issuer, 100)));
    world.succeed(&issuer, pay_asset(&alice, asset(&issuer), 60));
    assert_eq!(world.account(&alice).unwrap().num_sub_entries, 1);
    assert_eq!(world.fail(&alice, operation(trust(&issuer, 59))), changed(ChangeTrustResult::InvalidLimit));
    world.succeed(&alice, pay_asset(&issuer, asset(&issuer), 60));
    world.succeed(&alice, operation(trust(&issuer, 0)));
    assert!(world.trustline(&alice, &issuer).is_none());
    assert_eq!(world.account(&alice).unwrap().num_sub_entries, 0);
}

#[test]
fn trustline_needs_an_issuer_and_a_reserve() {
    let (issuer, alice, nobody, poor) = (Key::new(1), Key::new(2), Key::new(3), Key::new(4));
    let mut world = World::with(&[&issuer, &alice]);
    assert_eq!(world.fail(&alice, operation(trust(&nobody, 1))), changed(ChangeTrustResult::NoIssuer));
    world.succeed(&alice, crate::support::create(&poor, XLM + 1000));
    assert_eq!(world.fail(&poor, operation(trust(&issuer, 1))), changed(ChangeTrustResult::LowReserve));
}

#[test]
fn an_issuer_that_authorises_itself_leaves_new_trustlines_without_use() {
    let (issuer, alice) = (Key::new(1), Key::new(2));
    let mut world = World::with(&[&issuer, &alice]);
    let required = SetOptionsOp { set_flags: Some(AccountFlags::RequiredFlag as u32), ..SetOptionsOp::default() };
    world.succeed(&issuer, operation(OperationBody::SetOptions(required)));
    world.succeed(&alice, operation(trust(&issuer, 100)));
    assert_eq!(world.fail(&issuer, pay_asset(&alice, asset(&issuer), 1)), paid(PaymentResult::NotAuthorized));
}
