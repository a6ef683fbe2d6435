//! What a contract transaction declares to use, and what that costs.

use crate::context::Config;
use crate::store::has_life;
use soroban_env_host::fees::{TransactionResources, compute_transaction_resource_fee};
use stellar_xdr::{SorobanTransactionData, SorobanTransactionDataExt};

/// Resources of a transaction, or of all transactions of a ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resources {
    /// How many transactions.
    pub transactions: u64,
    /// CPU instructions.
    pub instructions: u64,
    /// Classic and archived entries read.
    pub disk_read_entries: u64,
    /// Bytes of these.
    pub disk_read_bytes: u64,
    /// Entries written.
    pub write_entries: u64,
    /// Bytes of these.
    pub write_bytes: u64,
    /// Bytes of the envelopes.
    pub size_bytes: u64,
}

impl Resources {
    /// What the transaction with these data and this envelope size (in bytes) declares.
    pub fn declared(data: &SorobanTransactionData, size_bytes: u32) -> Self {
        Self {
            transactions: 1,
            instructions: data.resources.instructions.into(),
            disk_read_entries: disk_read_entries(data).into(),
            disk_read_bytes: data.resources.disk_read_bytes.into(),
            write_entries: data.resources.footprint.read_write.len() as u64,
            write_bytes: data.resources.write_bytes.into(),
            size_bytes: size_bytes.into(),
        }
    }

    /// The sum of both.
    pub fn plus(self, other: Self) -> Self {
        Self {
            transactions: self.transactions + other.transactions,
            instructions: self.instructions + other.instructions,
            disk_read_entries: self.disk_read_entries + other.disk_read_entries,
            disk_read_bytes: self.disk_read_bytes + other.disk_read_bytes,
            write_entries: self.write_entries + other.write_entries,
            write_bytes: self.write_bytes + other.write_bytes,
            size_bytes: self.size_bytes + other.size_bytes,
        }
    }

    /// The first resource of which there is more than the limit, by name.
    pub fn exceeds(&self, limit: &Self) -> Option<&'static str> {
        [
            ("transactions", self.transactions, limit.transactions),
            ("instructions", self.instructions, limit.instructions),
            ("disk read entries", self.disk_read_entries, limit.disk_read_entries),
            ("disk read bytes", self.disk_read_bytes, limit.disk_read_bytes),
            ("write entries", self.write_entries, limit.write_entries),
            ("write bytes", self.write_bytes, limit.write_bytes),
            ("transaction size", self.size_bytes, limit.size_bytes),
        ]
        .into_iter()
        .find_map(|(name, used, limit)| (used > limit).then_some(name))
    }
}

/// Indices of the read-write entries to be restored from the archive first.
pub fn archived_entries(data: &SorobanTransactionData) -> &[u32] {
    match &data.ext {
        SorobanTransactionDataExt::V0 => &[],
        SorobanTransactionDataExt::V1(ext) => &ext.archived_soroban_entries,
    }
}

/// Live contract entries are in memory; only classic and archived ones are read from disk.
fn disk_read_entries(data: &SorobanTransactionData) -> u32 {
    let footprint = &data.resources.footprint;
    let keys = footprint.read_only.iter().chain(footprint.read_write.iter());
    let entries = keys.filter(|key| !has_life(key)).count() + archived_entries(data).len();
    u32::try_from(entries).unwrap_or(u32::MAX)
}

/// Fees in stroops: the part that is never refunded, and the part for `events_bytes` of events and return value.
pub fn resource_fees(config: &Config, data: &SorobanTransactionData, size_bytes: u32, events_bytes: u32) -> (i64, i64) {
    let resources = TransactionResources {
        instructions: data.resources.instructions,
        disk_read_entries: disk_read_entries(data),
        write_entries: u32::try_from(data.resources.footprint.read_write.len()).unwrap_or(u32::MAX),
        disk_read_bytes: data.resources.disk_read_bytes,
        write_bytes: data.resources.write_bytes,
        contract_events_size_bytes: events_bytes,
        transaction_size_bytes: size_bytes,
    };
    compute_transaction_resource_fee(&resources, &config.network.fee_configuration)
}
