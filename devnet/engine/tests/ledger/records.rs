//! Headers, close meta, determinism and snapshots.

use crate::support::{
    GENESIS_TIME, Key, PASSPHRASE, PROTOCOL, SETTINGS, World, XLM, asset, call, int128, operation, pay, pay_asset,
    trust,
};
use kale_devnet_engine::LedgerEngine;
use sha2::{Digest, Sha256};
use stellar_xdr::{ContractId, LedgerCloseMeta, Limits, TransactionPhase, WriteXdr};

fn busy_world() -> (World, Key, Key, ContractId) {
    let (issuer, alice) = (Key::new(1), Key::new(2));
    let mut world = World::with(&[&issuer, &alice]);
    world.succeed(&alice, operation(trust(&issuer, i64::MAX)));
    world.succeed(&issuer, pay_asset(&alice, asset(&issuer), 1000));
    let contract = world.deploy_asset(&issuer);
    (world, issuer, alice, contract)
}

fn hash(world: &World) -> [u8; 32] {
    world.engine.last().header.hash.0
}

#[test]
fn each_header_holds_the_hash_of_the_one_before() {
    let (mut world, ..) = busy_world();
    for _ in 0..3 {
        let before = world.engine.last().header.clone();
        world.close();
        let header = &world.engine.last().header;
        assert_eq!(header.header.previous_ledger_hash, before.hash);
        assert_eq!(header.header.ledger_seq, before.header.ledger_seq + 1);
        let encoded = header.header.to_xdr(Limits::none()).unwrap();
        assert_eq!(header.hash.0, <[u8; 32]>::from(Sha256::digest(encoded)));
    }
}

#[test]
fn close_meta_holds_the_transactions_with_their_results() {
    let (mut world, issuer, alice, contract) = busy_world();
    world.submit(&world.transaction(&issuer, vec![pay(&alice, 7)]).sign(&[&issuer]));
    let transfer = call(&contract, "transfer", vec![alice.address(), issuer.address(), int128(1)]);
    let builder = world.prepared(&alice, transfer);
    world.submit(&builder.sign(&[&alice]));
    let closed = world.close();
    let LedgerCloseMeta::V2(meta) = crate::support::decode(&world.engine.last().metadata_xdr) else { panic!() };
    assert_eq!(meta.ledger_header, world.engine.last().header);
    let records: Vec<_> = closed.iter().map(|closed| closed.record.clone()).collect();
    assert_eq!(meta.tx_processing.to_vec(), records);
    let stellar_xdr::GeneralizedTransactionSet::V1(set) = meta.tx_set;
    let [TransactionPhase::V0(classic), TransactionPhase::V1(soroban)] = set.phases.as_slice() else { panic!() };
    assert_eq!((classic.len(), soroban.execution_stages.len()), (1, 1));
    assert!(meta.total_byte_size_of_live_soroban_state > 0);
}

#[test]
fn charged_fees_go_to_the_fee_pool() {
    let (mut world, issuer, alice, _) = busy_world();
    let before = world.engine.last().header.header.fee_pool;
    let closed = world.succeed(&issuer, pay(&alice, 7));
    let pool = world.engine.last().header.header.fee_pool;
    assert_eq!(pool - before, crate::support::fee_charged(&closed));
}

#[test]
fn the_same_transactions_give_the_same_hashes() {
    let (mut one, issuer, alice, _) = busy_world();
    let (mut other, ..) = busy_world();
    assert_eq!(hash(&one), hash(&other));
    one.succeed(&issuer, pay(&alice, 7));
    other.succeed(&issuer, pay(&alice, 8));
    assert_ne!(hash(&one), hash(&other));
}

#[test]
fn a_snapshot_goes_on_where_the_ledger_was() {
    let (mut world, issuer, alice, contract) = busy_world();
    world.engine.set_base_fee(300).unwrap();
    let bytes = world.engine.snapshot().unwrap();
    let mut restored = World { engine: LedgerEngine::restore(&bytes).unwrap(), root: world.root.clone() };
    assert_eq!(hash(&restored), hash(&world));
    assert_eq!(restored.engine.last().metadata_xdr, world.engine.last().metadata_xdr);
    assert_eq!(restored.engine.passphrase(), PASSPHRASE);
    assert_eq!(restored.engine.snapshot().unwrap(), bytes);
    let transfer = call(&contract, "transfer", vec![alice.address(), issuer.address(), int128(1)]);
    let envelope = world.prepared(&alice, transfer).fee(1_000_000).sign(&[&alice]);
    world.apply(&envelope);
    restored.apply(&envelope);
    assert_eq!(hash(&restored), hash(&world));
}

#[test]
fn what_is_no_snapshot_is_refused_with_a_reason() {
    let bytes = World::new().engine.snapshot().unwrap();
    let refused = |bytes: &[u8]| LedgerEngine::restore(bytes).err().unwrap().to_string();
    assert!(refused(b"").contains("no snapshot"));
    assert!(refused(b"something else altogether").contains("no snapshot"));
    assert!(refused(&bytes[..bytes.len() - 1]).contains("damaged"));
    let mut changed = bytes.clone();
    changed[bytes.len() / 2] ^= 1;
    assert!(refused(&changed).contains("damaged"));
    let mut newer = bytes;
    newer[15] = 2;
    assert!(refused(&newer).contains("version 2"));
}

#[test]
fn settings_with_a_mistake_are_refused_by_name() {
    let refused =
        |settings: &str| LedgerEngine::new(settings, PASSPHRASE, PROTOCOL, GENESIS_TIME).err().unwrap().to_string();
    assert!(refused("{}").contains("base_fee_stroops"));
    assert!(refused(&SETTINGS.replace("\"MemAlloc\"", "\"MemAllocate\"")).contains("MemAllocate"));
    assert!(refused(&SETTINGS.replace("\"code_bytes\"", "\"code_byte\"")).contains("code_byte"));
    let protocol = LedgerEngine::new(SETTINGS, PASSPHRASE, 22, GENESIS_TIME).err().unwrap().to_string();
    assert!(protocol.contains("not 22"), "{protocol}");
}

#[test]
fn no_stroop_is_lost_or_made() {
    let (mut world, issuer, alice, contract) = busy_world();
    let transfer = call(&contract, "transfer", vec![alice.address(), issuer.address(), int128(1)]);
    world.invoke(&alice, transfer);
    let root = world.root.clone();
    let held: i64 = [&root, &issuer, &alice].into_iter().map(|key| world.balance(key)).sum();
    assert_eq!(held + world.engine.last().header.header.fee_pool, 100_000_000_000 * XLM);
}
