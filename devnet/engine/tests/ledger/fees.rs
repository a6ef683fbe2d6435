//! Fees, fee bumps and the price of a place in a full ledger.

use crate::support::{
    GENESIS_TIME, Key, PASSPHRASE, PROTOCOL, SETTINGS, World, XLM, assert_success, code, create, fee_charged, pay,
};
use kale_devnet_engine::{LedgerEngine, Status};
use stellar_xdr::{InnerTransactionResultResult, TransactionResultResult as Code};

fn world() -> (World, Key, Key, Key) {
    let (alice, bob, payer) = (Key::new(1), Key::new(2), Key::new(3));
    (World::with(&[&alice, &bob, &payer]), alice, bob, payer)
}

#[test]
fn a_fee_below_the_base_fee_is_refused_with_the_fee_that_would_do() {
    let (mut world, alice, bob, _) = world();
    let envelope = world.transaction(&alice, vec![pay(&bob, 1), pay(&bob, 1)]).fee(199).sign(&[&alice]);
    let error = world.submit(&envelope).error.unwrap();
    assert_eq!((error.result, error.fee_charged), (Code::TxInsufficientFee, 200));
}

#[test]
fn only_the_base_fee_is_charged_while_there_is_room() {
    let (mut world, alice, bob, _) = world();
    let envelope = world.transaction(&alice, vec![pay(&bob, 1)]).fee(5000).sign(&[&alice]);
    assert_eq!(fee_charged(&world.apply(&envelope)), 100);
}

#[test]
fn a_raised_base_fee_holds_from_the_next_submission_on() {
    let (mut world, alice, bob, _) = world();
    world.engine.set_base_fee(1000).unwrap();
    let cheap = world.transaction(&alice, vec![pay(&bob, 1)]).sign(&[&alice]);
    assert_eq!(world.refused(&cheap), Code::TxInsufficientFee);
    let enough = world.transaction(&alice, vec![pay(&bob, 1)]).fee(1000).sign(&[&alice]);
    assert_eq!(fee_charged(&world.apply(&enough)), 1000);
    assert_eq!(world.engine.last().header.header.base_fee, 1000);
    assert!(world.engine.set_base_fee(0).is_err());
}

#[test]
fn a_fee_bump_lets_another_account_pay() {
    let (mut world, alice, bob, payer) = world();
    let builder = world.transaction(&alice, vec![pay(&bob, 1)]);
    let inner_hash = builder.hash();
    let closed = world.apply(&builder.bump(&[&alice], &payer, 400));
    let Code::TxFeeBumpInnerSuccess(pair) = code(&closed) else { panic!("{:?}", code(&closed)) };
    assert_eq!(pair.transaction_hash.0, inner_hash);
    assert_eq!(fee_charged(&closed), 200);
    assert_eq!(world.balance(&alice), 1000 * XLM - 1);
    assert_eq!(world.balance(&payer), 1000 * XLM - 200);
}

#[test]
fn an_account_without_balance_can_act_through_a_fee_bump() {
    let (mut world, _, bob, payer) = world();
    let poor = Key::new(7);
    world.succeed(&payer, create(&poor, XLM));
    let own = world.transaction(&poor, vec![pay(&bob, 1)]).sign(&[&poor]);
    assert_eq!(world.refused(&own), Code::TxInsufficientBalance);
    let bumped = world.transaction(&poor, vec![pay(&poor, 1)]).fee(0).bump(&[&poor], &payer, 200);
    assert_success(&world.apply(&bumped));
}

#[test]
fn a_fee_bump_reports_the_inner_failure() {
    let (mut world, alice, bob, payer) = world();
    let builder = world.transaction(&alice, vec![pay(&bob, 1)]).sequence(1);
    let Code::TxFeeBumpInnerFailed(pair) = world.refused(&builder.bump(&[&alice], &payer, 400)) else {
        panic!("not refused as inner failure")
    };
    assert_eq!(pair.result.result, InnerTransactionResultResult::TxBadSeq);
    let builder = world.transaction(&alice, vec![pay(&Key::new(9), 1)]);
    let Code::TxFeeBumpInnerFailed(pair) = code(&world.apply(&builder.bump(&[&alice], &payer, 400))) else {
        panic!("not applied as inner failure")
    };
    assert!(matches!(pair.result.result, InnerTransactionResultResult::TxFailed(_)));
    assert_eq!(world.balance(&payer), 1000 * XLM - 200);
}

#[test]
fn a_fee_bump_bids_at_least_the_inner_rate() {
    let (mut world, alice, bob, payer) = world();
    let envelope = world.transaction(&alice, vec![pay(&bob, 1)]).fee(500).bump(&[&alice], &payer, 999);
    let error = world.submit(&envelope).error.unwrap();
    assert_eq!((error.result, error.fee_charged), (Code::TxInsufficientFee, 1000));
    let unsigned = world.transaction(&alice, vec![pay(&bob, 1)]).bump(&[&alice], &Key::new(9), 999);
    assert_eq!(world.refused(&unsigned), Code::TxNoAccount);
}

#[test]
fn a_fee_bump_replaces_the_one_that_waits_for_ten_times_its_rate() {
    let (mut world, alice, bob, payer) = world();
    let bump = |world: &World, fee| world.transaction(&alice, vec![pay(&bob, 1)]).bump(&[&alice], &payer, fee);
    assert_eq!(world.submit(&bump(&world, 200)).status, Status::Pending);
    let error = world.submit(&bump(&world, 1999)).error.unwrap();
    assert_eq!((error.result, error.fee_charged), (Code::TxInsufficientFee, 2000));
    assert_eq!(world.submit(&bump(&world, 2000)).status, Status::Pending);
    assert_eq!(world.engine.queued(), 1);
    assert_eq!(world.close().len(), 1);
}

#[test]
fn a_payer_must_afford_all_that_waits() {
    let (mut world, alice, bob, _) = world();
    let payer = Key::new(7);
    world.succeed(&alice, create(&payer, XLM + 500));
    let first = world.transaction(&alice, vec![pay(&bob, 1)]).bump(&[&alice], &payer, 300);
    let second = world.transaction(&bob, vec![pay(&alice, 1)]).bump(&[&bob], &payer, 300);
    assert_eq!(world.submit(&first).status, Status::Pending);
    assert_eq!(world.refused(&second), Code::TxInsufficientBalance);
    world.close();
    assert_eq!(world.submit(&second).status, Status::Pending);
}

/// A ledger that takes two classic operations.
fn narrow_world(keys: &[&Key]) -> World {
    let settings = SETTINGS.replace("\"ledger_classic_operations\": 1000", "\"ledger_classic_operations\": 2");
    let engine = LedgerEngine::new(&settings, PASSPHRASE, PROTOCOL, GENESIS_TIME).unwrap();
    let root = Key::from_seed(engine.root_seed());
    let mut world = World { engine, root: root.clone() };
    for key in keys {
        world.succeed(&root, create(key, 1000 * XLM));
    }
    world
}

#[test]
fn the_best_bids_come_first_and_pay_the_lowest_bid_taken() {
    let keys: Vec<Key> = (1..=4).map(Key::new).collect();
    let mut world = narrow_world(&keys.iter().collect::<Vec<_>>());
    for (key, fee) in keys.iter().zip([100, 900, 300, 500]) {
        let envelope = world.transaction(key, vec![pay(key, 1)]).fee(fee).sign(&[key]);
        assert_eq!(world.submit(&envelope).status, Status::Pending);
    }
    let closed = world.close();
    let sources: Vec<_> = closed.iter().map(|closed| closed.transaction.source()).collect();
    assert_eq!(sources, [keys[1].id(), keys[3].id()]);
    assert!(closed.iter().all(|closed| fee_charged(closed) == 500));
    let prices: Vec<i64> = world.close().iter().map(fee_charged).collect();
    assert_eq!(prices, [100, 100]);
}

#[test]
fn a_transaction_waits_four_ledgers_at_most() {
    let keys: Vec<Key> = (1..=3).map(Key::new).collect();
    let mut world = narrow_world(&keys.iter().collect::<Vec<_>>());
    let waiting = world.transaction(&keys[0], vec![pay(&keys[0], 1)]).sign(&[&keys[0]]);
    world.submit(&waiting);
    for _ in 0..4 {
        assert_eq!(world.engine.queued(), 1);
        for key in &keys[1..] {
            let envelope = world.transaction(key, vec![pay(key, 1)]).fee(700).sign(&[key]);
            assert_eq!(world.submit(&envelope).status, Status::Pending);
        }
        assert_eq!(world.close().len(), 2);
    }
    assert_eq!(world.engine.queued(), 0);
    assert_eq!(world.balance(&keys[0]), 1000 * XLM);
}
