//! Sequence numbers, bounds and the queue.

use crate::support::{Key, World, XLM, assert_success, pay};
use kale_devnet_engine::Status;
use stellar_xdr::{PreconditionsV2, SequenceNumber, TransactionResultResult as Code};

fn world() -> (World, Key, Key) {
    let (alice, bob) = (Key::new(1), Key::new(2));
    (World::with(&[&alice, &bob]), alice, bob)
}

#[test]
fn sequence_numbers_must_follow() {
    let (mut world, alice, bob) = world();
    let next = world.account(&alice).unwrap().seq_num.0 + 1;
    for wrong in [next - 1, next + 1, i64::MIN, i64::MAX] {
        let envelope = world.transaction(&alice, vec![pay(&bob, 1)]).sequence(wrong).sign(&[&alice]);
        assert_eq!(world.refused(&envelope), Code::TxBadSeq);
    }
    let envelope = world.transaction(&alice, vec![pay(&bob, 1)]).sign(&[&alice]);
    assert_success(&world.apply(&envelope));
    assert_eq!(world.refused(&envelope), Code::TxBadSeq);
}

#[test]
fn a_least_sequence_number_allows_gaps() {
    let (mut world, alice, bob) = world();
    let next = world.account(&alice).unwrap().seq_num.0 + 1;
    let conditions = PreconditionsV2 { min_seq_num: Some(SequenceNumber(next - 1)), ..PreconditionsV2::default() };
    let builder = world.transaction(&alice, vec![pay(&bob, 1)]).sequence(next + 7).conditions(conditions);
    assert_success(&world.apply(&builder.sign(&[&alice])));
    assert_eq!(world.account(&alice).unwrap().seq_num.0, next + 7);
}

#[test]
fn sequence_age_counts_from_the_last_transaction() {
    let (mut world, alice, bob) = world();
    world.succeed(&alice, pay(&bob, 1));
    let conditions = PreconditionsV2 { min_seq_ledger_gap: 3, ..PreconditionsV2::default() };
    let envelope = world.transaction(&alice, vec![pay(&bob, 1)]).conditions(conditions).sign(&[&alice]);
    assert_eq!(world.refused(&envelope), Code::TxBadMinSeqAgeOrGap);
    world.close_many(2);
    assert_success(&world.apply(&envelope));
}

#[test]
fn time_bounds_are_compared_with_the_last_closed_ledger() {
    let (mut world, alice, bob) = world();
    let now = world.engine.close_time();
    let payment =
        |world: &World, min, max| world.transaction(&alice, vec![pay(&bob, 1)]).times(min, max).sign(&[&alice]);
    let (early, late) = (payment(&world, now + 1, 0), payment(&world, 0, now - 1));
    assert_eq!(world.refused(&early), Code::TxTooEarly);
    assert_eq!(world.refused(&late), Code::TxTooLate);
    let right = payment(&world, now, now + 5);
    assert_success(&world.apply(&right));
}

#[test]
fn the_highest_ledger_is_exclusive() {
    let (mut world, alice, bob) = world();
    let next = world.engine.sequence() + 1;
    let payment =
        |world: &World, min, max| world.transaction(&alice, vec![pay(&bob, 1)]).ledgers(min, max).sign(&[&alice]);
    let (early, late) = (payment(&world, next + 1, 0), payment(&world, 0, next));
    assert_eq!(world.refused(&early), Code::TxTooEarly);
    assert_eq!(world.refused(&late), Code::TxTooLate);
    let right = payment(&world, next, next + 1);
    assert_success(&world.apply(&right));
}

#[test]
fn a_transaction_that_the_close_makes_too_late_is_dropped_and_costs_nothing() {
    let (mut world, alice, bob) = world();
    let now = world.engine.close_time();
    let envelope = world.transaction(&alice, vec![pay(&bob, 1)]).times(0, now + 3).sign(&[&alice]);
    assert_eq!(world.submit(&envelope).status, Status::Pending);
    assert!(world.close().is_empty());
    assert_eq!((world.engine.queued(), world.balance(&alice)), (0, 1000 * XLM));
}

#[test]
fn one_transaction_of_an_account_waits_at_a_time() {
    let (mut world, alice, bob) = world();
    let next = world.account(&alice).unwrap().seq_num.0 + 1;
    let first = world.transaction(&alice, vec![pay(&bob, 1)]).sign(&[&alice]);
    let second = world.transaction(&alice, vec![pay(&bob, 2)]).sequence(next + 1).sign(&[&alice]);
    assert_eq!(world.submit(&first).status, Status::Pending);
    assert_eq!(world.submit(&first).status, Status::Duplicate);
    assert_eq!(world.submit(&second).status, Status::TryAgainLater);
    assert_eq!(world.close().len(), 1);
    assert_eq!(world.submit(&second).status, Status::Pending);
}

#[test]
fn dropping_the_queue_loses_what_waits() {
    let (mut world, alice, bob) = world();
    let envelope = world.transaction(&alice, vec![pay(&bob, 1)]).sign(&[&alice]);
    world.submit(&envelope);
    world.engine.drop_queue();
    assert!(world.close().is_empty());
    assert_eq!(world.submit(&envelope).status, Status::Pending);
}

#[test]
fn unknown_accounts_and_empty_transactions_are_refused() {
    let (mut world, alice, _) = world();
    let nobody = Key::new(9);
    let envelope = world.transaction(&nobody, vec![pay(&alice, 1)]).sign(&[&nobody]);
    assert_eq!(world.refused(&envelope), Code::TxNoAccount);
    let envelope = world.transaction(&alice, Vec::new()).fee(100).sign(&[&alice]);
    assert_eq!(world.refused(&envelope), Code::TxMissingOperation);
}

#[test]
fn what_is_no_envelope_is_an_error_with_a_reason() {
    let (mut world, _, _) = world();
    for text in ["", "AAAA", "not base64!", "AAAAAgAAAAA="] {
        let error = world.engine.submit(text).unwrap_err().to_string();
        assert!(error.starts_with("transaction envelope is not valid XDR"), "{error}");
    }
}

#[test]
fn ledgers_close_later_than_the_one_before() {
    let (mut world, _, _) = world();
    let now = world.engine.close_time();
    assert!(world.engine.close(now).unwrap_err().to_string().contains("not after"));
    assert_eq!(world.engine.close_time(), now);
}
