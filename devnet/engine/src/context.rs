//! What every transaction of a ledger has in common: its number, time, prices and limits.

use crate::error::EngineError;
use crate::soroban::resources::Resources;
use crate::store::{HostSnapshot, Store};
use soroban_env_host::{LedgerInfo, ModuleCache};
use soroban_simulation::NetworkConfig;
use std::sync::Arc;
use stellar_xdr::{ConfigSettingEntry, ConfigSettingId, LedgerEntryData, LedgerKey, LedgerKeyConfigSetting};

/// Network settings as the ledger's entries hold them.
pub struct Config {
    /// Fees, costs and lives for the contract engine.
    pub network: NetworkConfig,
    /// Most that one transaction may declare.
    pub transaction_limit: Resources,
    /// Most that one ledger takes.
    pub ledger_limit: Resources,
    /// Most entries in a footprint.
    pub footprint_entries: u32,
    /// Most bytes of events and return value.
    pub events_bytes: u32,
    /// Most bytes of uploaded code.
    pub code_bytes: u32,
    /// Most bytes of a contract entry's key.
    pub data_key_bytes: u32,
    /// Most bytes of a contract entry.
    pub data_entry_bytes: u32,
}

/// The key of a network setting.
pub fn setting_key(id: ConfigSettingId) -> LedgerKey {
    LedgerKey::ConfigSetting(LedgerKeyConfigSetting { config_setting_id: id })
}

macro_rules! setting {
    ($store:expr, $name:ident) => {
        match $store.get(&setting_key(ConfigSettingId::$name), 0).map(|slot| &slot.entry.data) {
            Some(LedgerEntryData::ConfigSetting(ConfigSettingEntry::$name(value))) => Ok(value),
            _ => Err(EngineError::InvalidSettings(concat!(stringify!($name), " is not on the ledger").to_owned())),
        }
    };
}

impl Config {
    /// Reads the settings from the ledger.
    ///
    /// # Errors
    /// When a setting is missing.
    pub fn load(store: &Arc<Store>) -> Result<Self, EngineError> {
        let compute = setting!(store, ContractComputeV0)?;
        let cost = setting!(store, ContractLedgerCostV0)?;
        let bandwidth = setting!(store, ContractBandwidthV0)?;
        let snapshot = HostSnapshot::new(Arc::clone(store), 0);
        let network = NetworkConfig::load_from_snapshot(&snapshot)
            .map_err(|error| EngineError::InvalidSettings(error.to_string()))?;
        Ok(Self {
            network,
            transaction_limit: Resources {
                transactions: 1,
                instructions: compute.tx_max_instructions.unsigned_abs(),
                disk_read_entries: cost.tx_max_disk_read_entries.into(),
                disk_read_bytes: cost.tx_max_disk_read_bytes.into(),
                write_entries: cost.tx_max_write_ledger_entries.into(),
                write_bytes: cost.tx_max_write_bytes.into(),
                size_bytes: bandwidth.tx_max_size_bytes.into(),
            },
            ledger_limit: Resources {
                transactions: setting!(store, ContractExecutionLanes)?.ledger_max_tx_count.into(),
                instructions: compute.ledger_max_instructions.unsigned_abs(),
                disk_read_entries: cost.ledger_max_disk_read_entries.into(),
                disk_read_bytes: cost.ledger_max_disk_read_bytes.into(),
                write_entries: cost.ledger_max_write_ledger_entries.into(),
                write_bytes: cost.ledger_max_write_bytes.into(),
                size_bytes: bandwidth.ledger_max_txs_size_bytes.into(),
            },
            footprint_entries: setting!(store, ContractLedgerCostExtV0)?.tx_max_footprint_entries,
            events_bytes: setting!(store, ContractEventsV0)?.tx_max_contract_events_size_bytes,
            code_bytes: *setting!(store, ContractMaxSizeBytes)?,
            data_key_bytes: *setting!(store, ContractDataKeySizeBytes)?,
            data_entry_bytes: *setting!(store, ContractDataEntrySizeBytes)?,
        })
    }
}

/// One ledger's circumstances.
pub struct LedgerContext<'a> {
    /// The ledger's sequence number.
    pub ledger: u32,
    /// Its close time, in seconds since 1970.
    pub close_time: u64,
    /// The protocol's version.
    pub protocol: u32,
    /// SHA-256 of the network's passphrase.
    pub network_id: [u8; 32],
    /// Lowest inclusion fee of one operation, in stroops.
    pub base_fee: i64,
    /// What one ledger entry reserves, in stroops.
    pub base_reserve: i64,
    /// The network's settings.
    pub config: &'a Config,
    /// Contracts parsed at their upload.
    pub modules: &'a ModuleCache,
}

impl LedgerContext<'_> {
    /// The same for the contract engine.
    pub fn ledger_info(&self) -> LedgerInfo {
        let mut info = LedgerInfo {
            protocol_version: self.protocol,
            sequence_number: self.ledger,
            timestamp: self.close_time,
            network_id: self.network_id,
            base_reserve: u32::try_from(self.base_reserve).unwrap_or(u32::MAX),
            ..Default::default()
        };
        self.config.network.fill_config_fields_in_ledger_info(&mut info);
        info
    }
}
