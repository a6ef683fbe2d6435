//! What a transaction has written so far, over the closed ledger: dropped when it fails, committed when it succeeds.

use crate::codec::ttl_key_hash;
use crate::store::{Slot, Store, Writes};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use stellar_xdr::{
    AccountEntry, AccountId, LedgerEntry, LedgerEntryChange, LedgerEntryChanges, LedgerEntryData, LedgerEntryExt,
    LedgerKey, LedgerKeyAccount, LedgerKeyData, LedgerKeyTrustLine, LedgerKeyTtl, String64, TrustLineAsset,
    TrustLineEntry, TtlEntry,
};

/// The key of an account's entry.
pub fn account_key(account: &AccountId) -> LedgerKey {
    LedgerKey::Account(LedgerKeyAccount { account_id: account.clone() })
}

/// The key of an account's trustline.
pub fn trustline_key(account: &AccountId, asset: &TrustLineAsset) -> LedgerKey {
    LedgerKey::Trustline(LedgerKeyTrustLine { account_id: account.clone(), asset: asset.clone() })
}

/// The key of an account's data entry.
pub fn data_key(account: &AccountId, name: &String64) -> LedgerKey {
    LedgerKey::Data(LedgerKeyData { account_id: account.clone(), data_name: name.clone() })
}

/// Writes over a store, with the changes since the last mark (an operation's, a fee's) for the transaction's meta.
pub struct Draft<'a> {
    store: &'a Store,
    ledger: u32,
    writes: Writes,
    /// What each entry written since the mark was at the mark.
    marked: BTreeMap<LedgerKey, Option<Slot>>,
    restored: BTreeSet<LedgerKey>,
}

impl<'a> Draft<'a> {
    /// An empty draft for a transaction of `ledger`.
    pub fn new(store: &'a Store, ledger: u32) -> Self {
        Self { store, ledger, writes: Writes::new(), marked: BTreeMap::new(), restored: BTreeSet::new() }
    }

    /// The slot under a key, expired temporary entries excepted.
    pub fn slot(&self, key: &LedgerKey) -> Option<&Slot> {
        match self.writes.get(key) {
            Some(written) => written.as_ref(),
            None => self.store.get(key, self.ledger),
        }
    }

    /// The entry under a key.
    pub fn entry(&self, key: &LedgerKey) -> Option<&LedgerEntry> {
        self.slot(key).map(|slot| slot.entry.as_ref())
    }

    /// The entry under a key, to be changed.
    pub fn entry_mut(&mut self, key: &LedgerKey) -> Option<&mut LedgerEntry> {
        let slot = self.slot(key)?.clone();
        let ledger = self.ledger;
        let entry = Arc::make_mut(&mut self.write(key.clone(), Some(slot)).as_mut()?.entry);
        entry.last_modified_ledger_seq = ledger;
        Some(entry)
    }

    /// The account, if it exists.
    pub fn account(&self, account: &AccountId) -> Option<&AccountEntry> {
        match &self.entry(&account_key(account))?.data {
            LedgerEntryData::Account(entry) => Some(entry),
            _ => None,
        }
    }

    /// The account, to be changed.
    pub fn account_mut(&mut self, account: &AccountId) -> Option<&mut AccountEntry> {
        match &mut self.entry_mut(&account_key(account))?.data {
            LedgerEntryData::Account(entry) => Some(entry),
            _ => None,
        }
    }

    /// The account's trustline for an asset.
    pub fn trustline(&self, account: &AccountId, asset: &TrustLineAsset) -> Option<&TrustLineEntry> {
        match &self.entry(&trustline_key(account, asset))?.data {
            LedgerEntryData::Trustline(entry) => Some(entry),
            _ => None,
        }
    }

    /// The account's trustline, to be changed.
    pub fn trustline_mut(&mut self, account: &AccountId, asset: &TrustLineAsset) -> Option<&mut TrustLineEntry> {
        match &mut self.entry_mut(&trustline_key(account, asset))?.data {
            LedgerEntryData::Trustline(entry) => Some(entry),
            _ => None,
        }
    }

    /// Writes an entry, new or not.
    pub fn put(&mut self, mut entry: LedgerEntry, live_until: Option<u32>) {
        entry.last_modified_ledger_seq = self.ledger;
        let key = entry.to_key();
        self.write(key, Some(Slot { entry: Arc::new(entry), live_until }));
    }

    /// Removes an entry.
    pub fn remove(&mut self, key: &LedgerKey) {
        self.write(key.clone(), None);
    }

    /// Lengthens an entry's life without touching the entry.
    pub fn extend(&mut self, key: &LedgerKey, live_until: u32) {
        if let Some(slot) = self.slot(key) {
            let entry = Arc::clone(&slot.entry);
            self.write(key.clone(), Some(Slot { entry, live_until: Some(live_until) }));
        }
    }

    /// Marks an archived entry as restored by this operation, for the meta.
    pub fn mark_restored(&mut self, key: LedgerKey) {
        self.restored.insert(key);
    }

    /// The changes since the last mark, and a new mark.
    pub fn take_changes(&mut self) -> LedgerEntryChanges {
        let marked = std::mem::take(&mut self.marked);
        let restored = std::mem::take(&mut self.restored);
        let mut changes = Vec::new();
        for (key, before) in &marked {
            let after = self.writes.get(key).and_then(Option::as_ref);
            entry_changes(&mut changes, key, before.as_ref(), after, restored.contains(key));
            life_changes(&mut changes, key, before.as_ref(), after, self.ledger);
        }
        LedgerEntryChanges(changes.try_into().unwrap_or_default())
    }

    /// Takes back what was written since the last mark.
    pub fn undo(&mut self) {
        for (key, before) in std::mem::take(&mut self.marked) {
            self.writes.insert(key, before);
        }
        self.restored.clear();
    }

    /// The writes so far.
    pub fn writes(&self) -> &Writes {
        &self.writes
    }

    /// The writes, to be committed.
    pub fn into_writes(self) -> Writes {
        self.writes
    }

    fn write(&mut self, key: LedgerKey, slot: Option<Slot>) -> &mut Option<Slot> {
        if !self.marked.contains_key(&key) {
            let before = self.slot(&key).cloned();
            self.marked.insert(key.clone(), before);
        }
        let written = self.writes.entry(key).or_default();
        *written = slot;
        written
    }
}

fn entry_changes(
    changes: &mut Vec<LedgerEntryChange>,
    key: &LedgerKey,
    before: Option<&Slot>,
    after: Option<&Slot>,
    restored: bool,
) {
    match (before, after) {
        (None, Some(after)) => changes.push(LedgerEntryChange::Created(LedgerEntry::clone(&after.entry))),
        (Some(before), None) => {
            changes.push(LedgerEntryChange::State(LedgerEntry::clone(&before.entry)));
            changes.push(LedgerEntryChange::Removed(key.clone()));
        }
        (Some(_), Some(after)) if restored => {
            changes.push(LedgerEntryChange::Restored(LedgerEntry::clone(&after.entry)));
        }
        (Some(before), Some(after)) if before.entry != after.entry => {
            changes.push(LedgerEntryChange::State(LedgerEntry::clone(&before.entry)));
            changes.push(LedgerEntryChange::Updated(LedgerEntry::clone(&after.entry)));
        }
        _ => {}
    }
}

/// An entry's life is an entry of its own on the network; here it is kept beside the entry and shown in the meta only.
fn life_changes(
    changes: &mut Vec<LedgerEntryChange>,
    key: &LedgerKey,
    before: Option<&Slot>,
    after: Option<&Slot>,
    ledger: u32,
) {
    let life = |live_until: u32, modified: u32| LedgerEntry {
        last_modified_ledger_seq: modified,
        data: LedgerEntryData::Ttl(TtlEntry { key_hash: ttl_key_hash(key), live_until_ledger_seq: live_until }),
        ext: LedgerEntryExt::V0,
    };
    let was = before.and_then(|slot| slot.live_until.map(|until| life(until, slot.entry.last_modified_ledger_seq)));
    let is = after.and_then(|slot| slot.live_until.map(|until| life(until, ledger)));
    match (was, is) {
        (None, Some(is)) => changes.push(LedgerEntryChange::Created(is)),
        (Some(was), None) => {
            changes.push(LedgerEntryChange::State(was));
            changes.push(LedgerEntryChange::Removed(LedgerKey::Ttl(LedgerKeyTtl { key_hash: ttl_key_hash(key) })));
        }
        (Some(was), Some(is)) if was.data != is.data => {
            changes.push(LedgerEntryChange::State(was));
            changes.push(LedgerEntryChange::Updated(is));
        }
        _ => {}
    }
}
