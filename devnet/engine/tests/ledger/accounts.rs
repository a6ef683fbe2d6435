//! Creating, paying and merging accounts.

use crate::support::{
    GENESIS_TIME, Key, RESERVE, World, XLM, by, code, create, failed_operations, fee_charged, operation, pay, trust,
};
use stellar_xdr::{
    AccountMergeResult, CreateAccountResult, LedgerEntryChange, Operation, OperationBody, OperationResult,
    OperationResultTr, PaymentResult, TransactionResultResult,
};

fn created(result: CreateAccountResult) -> OperationResult {
    OperationResult::OpInner(OperationResultTr::CreateAccount(result))
}

fn paid(result: PaymentResult) -> OperationResult {
    OperationResult::OpInner(OperationResultTr::Payment(result))
}

fn merge(into: &Key) -> Operation {
    operation(OperationBody::AccountMerge(into.muxed()))
}

#[test]
fn created_account_starts_with_its_balance_and_the_ledgers_first_sequence() {
    let (mut world, alice) = (World::new(), Key::new(1));
    let root = world.root.clone();
    let closed = world.succeed(&root, create(&alice, 25 * XLM));
    let account = world.account(&alice).unwrap();
    assert_eq!(account.balance, 25 * XLM);
    assert_eq!(account.seq_num.0, i64::from(world.engine.sequence()) << 32);
    assert_eq!(fee_charged(&closed), 100);
    let changes = closed.meta().unwrap().operations[0].changes.clone();
    assert!(changes.0.iter().any(|change| matches!(change, LedgerEntryChange::Created(_))), "{changes:?}");
}

#[test]
fn meta_shows_the_used_sequence_number_before_the_operations() {
    let (mut world, alice) = (World::new(), Key::new(1));
    let root = world.root.clone();
    let closed = world.succeed(&root, create(&alice, 25 * XLM));
    let before = &closed.meta().unwrap().tx_changes_before.0;
    assert!(matches!(before.as_slice(), [LedgerEntryChange::State(_), LedgerEntryChange::Updated(_)]), "{before:?}");
    assert_eq!(closed.record.fee_processing.0.len(), 2);
}

#[test]
fn creation_fails_for_an_existing_account_and_below_the_reserve() {
    let (alice, bob, carol) = (Key::new(1), Key::new(2), Key::new(3));
    let mut world = World::with(&[&alice, &bob]);
    assert_eq!(world.fail(&alice, create(&bob, XLM)), created(CreateAccountResult::AlreadyExist));
    assert_eq!(world.fail(&alice, create(&carol, 2 * RESERVE - 1)), created(CreateAccountResult::LowReserve));
    assert_eq!(world.fail(&alice, create(&carol, 1000 * XLM)), created(CreateAccountResult::Underfunded));
    assert!(world.account(&carol).is_none());
}

#[test]
fn payment_moves_the_amount_and_leaves_the_reserve() {
    let (alice, bob) = (Key::new(1), Key::new(2));
    let mut world = World::with(&[&alice, &bob]);
    world.succeed(&alice, pay(&bob, 40 * XLM));
    assert_eq!(world.balance(&bob), 1040 * XLM);
    assert_eq!(world.balance(&alice), 960 * XLM - 100);
    let spendable = world.balance(&alice) - 2 * RESERVE - 100;
    assert_eq!(world.fail(&alice, pay(&bob, spendable + 1)), paid(PaymentResult::Underfunded));
    world.succeed(&alice, pay(&bob, spendable - 100));
    assert_eq!(world.balance(&alice), 2 * RESERVE);
}

#[test]
fn a_failed_operation_undoes_the_whole_transaction_but_not_its_fee() {
    let (alice, bob, nobody) = (Key::new(1), Key::new(2), Key::new(3));
    let mut world = World::with(&[&alice, &bob]);
    let sequence = world.account(&alice).unwrap().seq_num.0;
    let envelope = world.transaction(&alice, vec![pay(&bob, XLM), pay(&nobody, XLM)]).sign(&[&alice]);
    let closed = world.apply(&envelope);
    let results = failed_operations(&closed);
    assert_eq!(results, [paid(PaymentResult::Success), paid(PaymentResult::NoDestination)]);
    assert_eq!(world.balance(&bob), 1000 * XLM);
    assert_eq!(world.balance(&alice), 1000 * XLM - 200);
    assert_eq!(world.account(&alice).unwrap().seq_num.0, sequence + 1);
    assert!(closed.meta().unwrap().operations.is_empty());
}

#[test]
fn merge_gives_everything_to_the_other_account() {
    let (alice, bob) = (Key::new(1), Key::new(2));
    let mut world = World::with(&[&alice, &bob]);
    let closed = world.succeed(&alice, merge(&bob));
    let TransactionResultResult::TxSuccess(results) = code(&closed) else { panic!("{:?}", code(&closed)) };
    let moved = 1000 * XLM - 100;
    assert_eq!(
        results[0],
        OperationResult::OpInner(OperationResultTr::AccountMerge(AccountMergeResult::Success(moved)))
    );
    assert!(world.account(&alice).is_none());
    assert_eq!(world.balance(&bob), 1000 * XLM + moved);
}

#[test]
fn merge_fails_while_the_account_has_a_trustline() {
    let (alice, bob) = (Key::new(1), Key::new(2));
    let mut world = World::with(&[&alice, &bob]);
    world.succeed(&alice, operation(trust(&bob, XLM)));
    assert_eq!(
        world.fail(&alice, merge(&bob)),
        OperationResult::OpInner(OperationResultTr::AccountMerge(AccountMergeResult::HasSubEntries))
    );
}

#[test]
fn an_operation_of_an_account_merged_before_it_finds_no_account() {
    let (alice, bob) = (Key::new(1), Key::new(2));
    let mut world = World::with(&[&alice, &bob]);
    let operations = vec![by(&bob, OperationBody::AccountMerge(alice.muxed())), by(&bob, pay(&alice, XLM).body)];
    let envelope = world.transaction(&alice, operations).sign(&[&alice, &bob]);
    assert_eq!(failed_operations(&world.apply(&envelope))[1], OperationResult::OpNoAccount);
    assert!(world.account(&bob).is_some());
}

#[test]
fn genesis_is_the_first_ledger() {
    let world = World::new();
    assert_eq!(world.engine.sequence(), 1);
    assert_eq!(world.engine.close_time(), GENESIS_TIME);
    assert_eq!(world.balance(&world.root), 100_000_000_000 * XLM);
}
