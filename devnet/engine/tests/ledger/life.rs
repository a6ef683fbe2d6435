//! The life of contract entries: expiry, lengthening, restoring.

use crate::support::{Key, World, assert_success, asset, call, failed_operations, int128, operation, pay_asset, trust};
use kale_devnet_engine::encode_base64;
use stellar_xdr::{
    ContractDataDurability, ContractId, ExtendFootprintTtlOp, ExtensionPoint, InvokeHostFunctionResult,
    LedgerCloseMeta, LedgerEntryChange, LedgerKey, LedgerKeyContractData, OperationBody, OperationResult,
    OperationResultTr, RestoreFootprintOp, ScAddress, ScMap, ScMapEntry, ScVal, SorobanTransactionData, TransactionExt,
};

fn asset_world() -> (World, Key, Key, ContractId) {
    let (issuer, alice) = (Key::new(1), Key::new(2));
    let mut world = World::with(&[&issuer, &alice]);
    world.succeed(&alice, operation(trust(&issuer, i64::MAX)));
    world.succeed(&issuer, pay_asset(&alice, asset(&issuer), 1000));
    let contract = world.deploy_asset(&issuer);
    (world, issuer, alice, contract)
}

fn instance_key(contract: &ContractId) -> LedgerKey {
    LedgerKey::ContractData(LedgerKeyContractData {
        contract: ScAddress::Contract(contract.clone()),
        key: ScVal::LedgerKeyContractInstance,
        durability: ContractDataDurability::Persistent,
    })
}

/// The temporary entry in which the asset contract keeps an allowance.
fn allowance_key(contract: &ContractId, from: &Key, spender: &Key) -> LedgerKey {
    let field =
        |name: &str, key: &Key| ScMapEntry { key: ScVal::Symbol(crate::support::symbol(name)), val: key.address() };
    let map = ScVal::Map(Some(ScMap(vec![field("from", from), field("spender", spender)].try_into().unwrap())));
    let name = ScVal::Symbol(crate::support::symbol("Allowance"));
    LedgerKey::ContractData(LedgerKeyContractData {
        contract: ScAddress::Contract(contract.clone()),
        key: ScVal::Vec(Some(stellar_xdr::ScVec(vec![name, map].try_into().unwrap()))),
        durability: ContractDataDurability::Temporary,
    })
}

/// Alice lets the issuer spend 5 stroops until `lives` ledgers from now.
fn approve(world: &mut World, contract: &ContractId, alice: &Key, issuer: &Key, lives: u32) -> LedgerKey {
    let until = ScVal::U32(world.engine.sequence() + lives);
    world.invoke(alice, call(contract, "approve", vec![alice.address(), issuer.address(), int128(5), until]));
    allowance_key(contract, alice, issuer)
}

fn live_until(world: &World, key: &LedgerKey) -> u32 {
    world.slot(key).unwrap().live_until.unwrap()
}

#[test]
fn a_temporary_entry_is_gone_after_its_last_ledger() {
    let (mut world, issuer, alice, contract) = asset_world();
    world.engine.set_min_temporary_ttl(16).unwrap();
    let key = approve(&mut world, &contract, &alice, &issuer, 10);
    let last = live_until(&world, &key);
    assert_eq!(last, world.engine.sequence() + 15);
    world.close_many(last - world.engine.sequence());
    assert!(world.slot(&key).is_some());
    world.close();
    assert!(world.slot(&key).is_none());
}

#[test]
fn expired_temporary_entries_are_evicted_and_the_records_say_so() {
    let (mut world, issuer, alice, contract) = asset_world();
    world.engine.set_min_temporary_ttl(16).unwrap();
    let key = approve(&mut world, &contract, &alice, &issuer, 10);
    let entries = world.engine.entries();
    let mut evicted = Vec::new();
    while world.engine.sequence() < 64 {
        world.close();
        let LedgerCloseMeta::V2(meta) = crate::support::decode(&world.engine.last().metadata_xdr) else { panic!() };
        evicted.extend(meta.evicted_keys.to_vec());
    }
    assert_eq!(evicted, [key]);
    assert_eq!(world.engine.entries(), entries - 1);
}

#[test]
fn extending_lengthens_a_life_and_costs_rent() {
    let (mut world, issuer, alice, contract) = asset_world();
    let key = approve(&mut world, &contract, &alice, &issuer, 10);
    let extend = OperationBody::ExtendFootprintTtl(ExtendFootprintTtlOp { ext: ExtensionPoint::V0, extend_to: 5000 });
    let mut builder = world.transaction(&alice, vec![operation(extend)]);
    let mut data = SorobanTransactionData::default();
    data.resources.footprint.read_only = vec![key.clone()].try_into().unwrap();
    builder.0.ext = TransactionExt::V1(data);
    let answer = world.simulate(&builder.clone().sign(&[]));
    builder.0.ext = TransactionExt::V1(crate::support::decode(answer["transactionData"].as_str().unwrap()));
    let fee = u32::try_from(builder.data().resource_fee).unwrap() + 100;
    let closed = world.apply(&builder.fee(fee).sign(&[&alice]));
    assert_success(&closed);
    assert_eq!(live_until(&world, &key), world.engine.sequence() + 5000);
    let changes = &closed.meta().unwrap().operations[0].changes.0;
    assert!(matches!(changes.as_slice(), [LedgerEntryChange::State(_), LedgerEntryChange::Updated(_)]));
}

#[test]
fn an_archived_contract_can_not_be_called_until_it_is_restored() {
    let (mut world, issuer, alice, contract) = asset_world();
    let transfer = || call(&contract, "transfer", vec![alice.address(), issuer.address(), int128(1)]);
    let stale = world.prepared(&alice, transfer());
    world.engine.expire_entry(&encode_base64(&instance_key(&contract))).unwrap();
    let archived = InvokeHostFunctionResult::EntryArchived;
    assert_eq!(
        failed_operations(&world.apply(&stale.sign(&[&alice]))),
        [OperationResult::OpInner(OperationResultTr::InvokeHostFunction(archived))]
    );
    restore(&mut world, &alice, &instance_key(&contract));
    world.invoke(&alice, transfer());
}

fn restore(world: &mut World, source: &Key, key: &LedgerKey) {
    let restore = OperationBody::RestoreFootprint(RestoreFootprintOp { ext: ExtensionPoint::V0 });
    let mut builder = world.transaction(source, vec![operation(restore)]);
    let mut data = SorobanTransactionData::default();
    data.resources.footprint.read_write = vec![key.clone()].try_into().unwrap();
    builder.0.ext = TransactionExt::V1(data);
    let answer = world.simulate(&builder.clone().sign(&[]));
    builder.0.ext = TransactionExt::V1(crate::support::decode(answer["transactionData"].as_str().unwrap()));
    let fee = u32::try_from(builder.data().resource_fee).unwrap() + 100;
    let closed = world.apply(&builder.fee(fee).sign(&[source]));
    assert_success(&closed);
    assert_eq!(live_until(world, key), world.engine.sequence() + 120_960 - 1);
    let changes = &closed.meta().unwrap().operations[0].changes.0;
    assert!(changes.iter().any(|change| matches!(change, LedgerEntryChange::Restored(_))), "{changes:?}");
}

#[test]
fn a_simulated_call_restores_what_it_needs() {
    let (mut world, issuer, alice, contract) = asset_world();
    world.engine.expire_entry(&encode_base64(&instance_key(&contract))).unwrap();
    let transfer = call(&contract, "transfer", vec![alice.address(), issuer.address(), int128(1)]);
    world.invoke(&alice, transfer);
    assert!(live_until(&world, &instance_key(&contract)) > world.engine.sequence());
}

#[test]
fn only_contract_entries_expire() {
    let (mut world, issuer, alice, _) = asset_world();
    let key = encode_base64(&crate::support::trustline_key(&alice, &issuer));
    assert!(!world.engine.expire_entry(&key).unwrap());
    assert!(world.engine.expire_entry("?").is_err());
    assert!(world.engine.set_min_temporary_ttl(0).is_err());
}
