//! The closed ledger's entries, and the contract engine's view of them.

use soroban_env_host::HostError;
use soroban_env_host::storage::{EntryWithLiveUntil, SnapshotSource};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use stellar_xdr::{ContractDataDurability, LedgerEntry, LedgerKey};

/// An entry with the last ledger it lives in, where it has a life at all.
#[derive(Debug, Clone, PartialEq)]
pub struct Slot {
    /// The entry.
    pub entry: Arc<LedgerEntry>,
    /// Last ledger in which the entry is live; `None` for classic entries.
    pub live_until: Option<u32>,
}

/// Entries written (or, with `None`, removed) by a transaction.
pub type Writes = BTreeMap<LedgerKey, Option<Slot>>;

/// Every entry of the last closed ledger.
#[derive(Debug, Clone, Default)]
pub struct Store {
    entries: BTreeMap<LedgerKey, Slot>,
}

impl Store {
    /// The entry as a transaction of `ledger` sees it: archived ones are found, expired temporary ones are not.
    pub fn get(&self, key: &LedgerKey, ledger: u32) -> Option<&Slot> {
        self.entries.get(key).filter(|slot| !(is_temporary(key) && is_expired(slot, ledger)))
    }

    /// Takes over a transaction's writes.
    pub fn commit(&mut self, writes: Writes) {
        for (key, slot) in writes {
            match slot {
                Some(slot) => self.entries.insert(key, slot),
                None => self.entries.remove(&key),
            };
        }
    }

    /// The entry under a key, expired or not.
    pub fn raw(&self, key: &LedgerKey) -> Option<&Slot> {
        self.entries.get(key)
    }

    /// Removes and returns the temporary entries that are no longer live in `ledger`.
    pub fn evict(&mut self, ledger: u32) -> Vec<(LedgerKey, Slot)> {
        self.entries.extract_if(.., |key, slot| is_temporary(key) && is_expired(slot, ledger)).collect()
    }

    /// Sets the last ledger an entry lives in; false if there is no such entry or it has no life.
    pub fn set_live_until(&mut self, key: &LedgerKey, ledger: u32) -> bool {
        match self.entries.get_mut(key) {
            Some(Slot { live_until: Some(live_until), .. }) => {
                *live_until = ledger;
                true
            }
            _ => false,
        }
    }

    /// All entries, in the order of their keys, expired ones included.
    pub fn iter(&self) -> impl Iterator<Item = (&LedgerKey, &Slot)> {
        self.entries.iter()
    }

    /// How many entries there are, expired ones included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }
}

/// Whether the slot's life ended before `ledger`.
pub fn is_expired(slot: &Slot, ledger: u32) -> bool {
    slot.live_until.is_some_and(|live_until| live_until < ledger)
}

/// Whether the key is that of a temporary contract entry.
pub fn is_temporary(key: &LedgerKey) -> bool {
    matches!(key, LedgerKey::ContractData(data) if data.durability == ContractDataDurability::Temporary)
}

/// Whether the key is that of a contract entry, which has a life.
pub fn has_life(key: &LedgerKey) -> bool {
    matches!(key, LedgerKey::ContractData(_) | LedgerKey::ContractCode(_))
}

/// The store as the contract engine reads it when it simulates a transaction of `ledger`.
pub struct HostSnapshot {
    store: Arc<Store>,
    ledger: u32,
}

impl HostSnapshot {
    /// A view that shares the store.
    pub fn new(store: Arc<Store>, ledger: u32) -> Self {
        Self { store, ledger }
    }
}

impl SnapshotSource for HostSnapshot {
    fn get(&self, key: &Rc<LedgerKey>) -> Result<Option<EntryWithLiveUntil>, HostError> {
        let slot = self.store.get(key, self.ledger);
        Ok(slot.map(|slot| (Rc::new(LedgerEntry::clone(&slot.entry)), slot.live_until)))
    }
}
