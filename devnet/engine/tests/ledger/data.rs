//! Data entries of accounts.

use crate::support::{Key, RESERVE, World, XLM, by, create, operation};
use stellar_xdr::{
    AccountMergeResult, BeginSponsoringFutureReservesOp, DataValue, LedgerEntryData, LedgerKey, LedgerKeyData,
    ManageDataOp, ManageDataResult, OperationBody, OperationResult, OperationResultTr, String64,
    TransactionResultResult,
};

fn managed(result: ManageDataResult) -> OperationResult {
    OperationResult::OpInner(OperationResultTr::ManageData(result))
}

fn manage(name: &str, value: Option<&[u8]>) -> OperationBody {
    OperationBody::ManageData(ManageDataOp {
        data_name: String64(name.try_into().unwrap()),
        data_value: value.map(|value| DataValue(value.try_into().unwrap())),
    })
}

fn value_of(world: &World, key: &Key, name: &str) -> Option<Vec<u8>> {
    let data_name = String64(name.try_into().unwrap());
    let key = LedgerKey::Data(LedgerKeyData { account_id: key.id(), data_name });
    world.slot(&key).map(|slot| match &slot.entry.data {
        LedgerEntryData::Data(data) => data.data_value.0.to_vec(),
        other => panic!("{other:?}"),
    })
}

#[test]
fn an_entry_is_made_changed_and_removed_and_holds_a_reserve_meanwhile() {
    let alice = Key::new(1);
    let mut world = World::with(&[&alice]);
    world.succeed(&alice, operation(manage("config.memo_required", Some(b"1"))));
    assert_eq!(value_of(&world, &alice, "config.memo_required").unwrap(), b"1");
    assert_eq!(world.account(&alice).unwrap().num_sub_entries, 1);
    world.succeed(&alice, operation(manage("config.memo_required", Some(b""))));
    assert_eq!(value_of(&world, &alice, "config.memo_required").unwrap(), b"");
    assert_eq!(world.account(&alice).unwrap().num_sub_entries, 1);
    world.succeed(&alice, operation(manage("config.memo_required", None)));
    assert_eq!(value_of(&world, &alice, "config.memo_required"), None);
    assert_eq!(world.account(&alice).unwrap().num_sub_entries, 0);
}

#[test]
fn what_is_not_there_can_not_be_removed() {
    let alice = Key::new(1);
    let mut world = World::with(&[&alice]);
    assert_eq!(world.fail(&alice, operation(manage("a", None))), managed(ManageDataResult::NameNotFound));
}

#[test]
fn names_are_printable_and_not_empty() {
    let alice = Key::new(1);
    let mut world = World::with(&[&alice]);
    for name in ["", "line\nfeed", "caf\u{e9}"] {
        let envelope = world.transaction(&alice, vec![operation(manage(name, Some(b"1")))]).sign(&[&alice]);
        let TransactionResultResult::TxFailed(results) = world.refused(&envelope) else { panic!("{name}") };
        assert_eq!(results[0], managed(ManageDataResult::InvalidName));
    }
    world.succeed(&alice, operation(manage("two words", Some(b"1"))));
}

#[test]
fn an_entry_needs_a_reserve() {
    let (alice, poor) = (Key::new(1), Key::new(2));
    let mut world = World::with(&[&alice]);
    world.succeed(&alice, create(&poor, 2 * RESERVE + 1_000));
    assert_eq!(world.fail(&poor, operation(manage("a", Some(b"1")))), managed(ManageDataResult::LowReserve));
    world.succeed(&alice, crate::support::pay(&poor, XLM));
    world.succeed(&poor, operation(manage("a", Some(b"1"))));
}

#[test]
fn a_sponsor_holds_the_reserve_and_gets_it_back() {
    let (alice, sponsor) = (Key::new(1), Key::new(2));
    let mut world = World::with(&[&alice, &sponsor]);
    let begin = BeginSponsoringFutureReservesOp { sponsored_id: alice.id() };
    let operations = vec![
        operation(OperationBody::BeginSponsoringFutureReserves(begin)),
        by(&alice, manage("a", Some(b"1"))),
        by(&alice, OperationBody::EndSponsoringFutureReserves),
    ];
    let envelope = world.transaction(&sponsor, operations).sign(&[&sponsor, &alice]);
    crate::support::assert_success(&world.apply(&envelope));
    assert_eq!(sponsoring(&world, &sponsor), 1);
    world.succeed(&alice, operation(manage("a", None)));
    assert_eq!(sponsoring(&world, &sponsor), 0);
}

fn sponsoring(world: &World, key: &Key) -> u32 {
    let account = world.account(key).unwrap();
    let stellar_xdr::AccountEntryExt::V1(v1) = account.ext else { return 0 };
    let stellar_xdr::AccountEntryExtensionV1Ext::V2(v2) = v1.ext else { return 0 };
    v2.num_sponsoring
}

#[test]
fn an_account_with_data_can_not_be_merged() {
    let (alice, bob) = (Key::new(1), Key::new(2));
    let mut world = World::with(&[&alice, &bob]);
    world.succeed(&alice, operation(manage("a", Some(b"1"))));
    let merge = operation(OperationBody::AccountMerge(bob.muxed()));
    let failure = OperationResult::OpInner(OperationResultTr::AccountMerge(AccountMergeResult::HasSubEntries));
    assert_eq!(world.fail(&alice, merge), failure);
}
