//! The first ledger: the network settings, and one account that holds everything.

use crate::codec::{encode, sha256};
use crate::error::EngineError;
use crate::operations::new_account;
use crate::settings::Settings;
use crate::state::State;
use crate::store::{Slot, Store, Writes};
use ed25519_dalek::SigningKey;
use std::sync::Arc;
use stellar_xdr::{
    AccountId, Hash, LedgerEntry, LedgerEntryData, LedgerEntryExt, LedgerHeader, LedgerHeaderExt, PublicKey,
    StellarValue, Uint256,
};

/// Stroops that exist: 100 billion of the native asset.
const TOTAL_COINS: i64 = 1_000_000_000_000_000_000;
/// Number of the first ledger.
const GENESIS: u32 = 1;

/// The settings' entries and the root account, whose seed is the SHA-256 of the passphrase, as on every network.
pub fn genesis_state(settings: &Settings, passphrase: &str, protocol: u32) -> Result<State, EngineError> {
    let root = SigningKey::from_bytes(&sha256(passphrase.as_bytes()));
    let root = AccountId(PublicKey::PublicKeyTypeEd25519(Uint256(root.verifying_key().to_bytes())));
    let mut entries: Vec<LedgerEntryData> =
        settings.entries()?.into_iter().map(LedgerEntryData::ConfigSetting).collect();
    entries.push(LedgerEntryData::Account(new_account(&root, TOTAL_COINS, 0)));
    let mut writes = Writes::new();
    let mut encoded = Vec::new();
    for data in entries {
        let entry = LedgerEntry { last_modified_ledger_seq: GENESIS, data, ext: LedgerEntryExt::V0 };
        encoded.extend(encode(&entry));
        writes.insert(entry.to_key(), Some(Slot { entry: Arc::new(entry), live_until: None }));
    }
    let mut store = Store::default();
    store.commit(writes);
    State::new(protocol, store, sha256(&encoded))
}

/// The first ledger's header.
pub fn genesis_header(settings: &Settings, protocol: u32, scp_value: StellarValue, state: Hash) -> LedgerHeader {
    LedgerHeader {
        ledger_version: protocol,
        previous_ledger_hash: Hash::default(),
        scp_value,
        tx_set_result_hash: Hash::default(),
        bucket_list_hash: state,
        ledger_seq: GENESIS,
        total_coins: TOTAL_COINS,
        fee_pool: 0,
        inflation_seq: 0,
        id_pool: 0,
        base_fee: settings.base_fee_stroops,
        base_reserve: settings.base_reserve_stroops,
        max_tx_set_size: settings.ledger_classic_operations,
        skip_list: std::array::from_fn(|_| Hash::default()),
        ext: LedgerHeaderExt::V0,
    }
}
