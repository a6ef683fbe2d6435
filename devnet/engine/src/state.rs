//! The closed ledger's state: entries, parsed contracts, and a digest over everything that ever changed.

use crate::codec::encode;
use crate::error::EngineError;
use crate::store::{Slot, Store, Writes, has_life};
use sha2::{Digest, Sha256};
use soroban_env_host::budget::{AsBudget, Budget};
use soroban_env_host::{CompilationContext, Error, ErrorHandler, HostError, ModuleCache, Val};
use std::sync::Arc;
use stellar_xdr::{ContractCostParams, Hash, LedgerEntry, LedgerEntryData, LedgerKey};

/// State that transactions change.
pub struct State {
    store: Arc<Store>,
    modules: ModuleCache,
    digest: [u8; 32],
    contract_bytes: u64,
}

impl State {
    /// Takes over a store, parsing the contracts in it.
    pub fn new(protocol: u32, store: Store, digest: [u8; 32]) -> Result<Self, EngineError> {
        let modules = ModuleCache::new(&Unmetered::new()?).map_err(|error| EngineError::host(&error))?;
        let mut contract_bytes = 0;
        for (key, slot) in store.iter() {
            cache_module(&modules, protocol, &slot.entry)?;
            contract_bytes += contract_size(key, slot);
        }
        Ok(Self { store: Arc::new(store), modules, digest, contract_bytes })
    }

    /// The entries.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The entries, to be shared with a simulation.
    pub fn shared_store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The contracts parsed so far; a clone shares them.
    pub fn modules(&self) -> &ModuleCache {
        &self.modules
    }

    /// Digest over the genesis entries and all changes since.
    pub fn digest(&self) -> Hash {
        Hash(self.digest)
    }

    /// Size in bytes of all contract entries.
    pub fn contract_bytes(&self) -> u64 {
        self.contract_bytes
    }

    /// Takes over a transaction's writes. Uploaded contracts are parsed here once: otherwise each call would pay for
    /// parsing, and overrun what its simulation found.
    pub fn commit(&mut self, protocol: u32, writes: Writes) -> Result<(), EngineError> {
        let mut hasher = Sha256::new_with_prefix(self.digest);
        for (key, slot) in &writes {
            self.contract_bytes -= self.store.raw(key).map_or(0, |old| contract_size(key, old));
            self.contract_bytes += slot.as_ref().map_or(0, |new| contract_size(key, new));
            hasher.update(encode(key));
            if let Some(slot) = slot {
                hasher.update(encode(slot.entry.as_ref()));
                hasher.update(slot.live_until.unwrap_or(0).to_be_bytes());
                cache_module(&self.modules, protocol, &slot.entry)?;
            }
        }
        self.digest = hasher.finalize().into();
        Arc::make_mut(&mut self.store).commit(writes);
        Ok(())
    }

    /// Removes expired temporary entries, and says which.
    pub fn evict(&mut self, ledger: u32) -> Vec<LedgerKey> {
        let evicted = Arc::make_mut(&mut self.store).evict(ledger);
        self.contract_bytes -= evicted.iter().map(|(key, slot)| contract_size(key, slot)).sum::<u64>();
        evicted.into_iter().map(|(key, _)| key).collect()
    }

    /// Sets the last ledger an entry lives in; false if it has no life.
    pub fn set_live_until(&mut self, key: &LedgerKey, ledger: u32) -> bool {
        Arc::make_mut(&mut self.store).set_live_until(key, ledger)
    }
}

fn contract_size(key: &LedgerKey, slot: &Slot) -> u64 {
    if has_life(key) { encode(slot.entry.as_ref()).len() as u64 } else { 0 }
}

fn cache_module(modules: &ModuleCache, protocol: u32, entry: &LedgerEntry) -> Result<(), EngineError> {
    let LedgerEntryData::ContractCode(code) = &entry.data else { return Ok(()) };
    if modules.contains_module(&code.hash).map_err(|error| EngineError::host(&error))? {
        return Ok(());
    }
    modules
        .parse_and_cache_module_simple(&Unmetered::new()?, protocol, code.code.as_slice())
        .map_err(|error| EngineError::host(&error))
}

/// Parsing outside of any transaction: nobody pays for it.
#[derive(Clone)]
struct Unmetered(Budget);

impl Unmetered {
    fn new() -> Result<Self, EngineError> {
        let free = ContractCostParams::default;
        Budget::try_from_configs(u64::MAX, u64::MAX, free(), free())
            .map(Self)
            .map_err(|error| EngineError::host(&error))
    }
}

impl CompilationContext for Unmetered {}

impl AsBudget for Unmetered {
    fn as_budget(&self) -> &Budget {
        &self.0
    }
}

impl ErrorHandler for Unmetered {
    fn map_err<T, E>(&self, result: Result<T, E>) -> Result<T, HostError>
    where
        Error: From<E>,
        E: core::fmt::Debug,
    {
        result.map_err(HostError::from)
    }

    fn error(&self, error: Error, _message: &str, _arguments: &[Val]) -> HostError {
        HostError::from(error)
    }
}
