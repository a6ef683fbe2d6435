//! The network settings a new ledger starts with: our own file, turned into the ledger entries the contract engine reads.

use crate::error::EngineError;
use serde::Deserialize;
use std::collections::BTreeMap;
use stellar_xdr::{
    ConfigSettingContractBandwidthV0, ConfigSettingContractComputeV0, ConfigSettingContractEventsV0,
    ConfigSettingContractExecutionLanesV0, ConfigSettingContractHistoricalDataV0, ConfigSettingContractLedgerCostExtV0,
    ConfigSettingContractLedgerCostV0, ConfigSettingContractParallelComputeV0, ConfigSettingEntry,
    ConfigSettingScpTiming, ContractCostParamEntry, ContractCostParams, ContractCostType, ExtensionPoint,
    StateArchivalSettings,
};

/// The whole settings file. Fees are in stroops, times in milliseconds, lives in ledgers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Lowest inclusion fee of one operation, in stroops.
    pub base_fee_stroops: u32,
    /// What each ledger entry reserves of an account's balance, in stroops.
    pub base_reserve_stroops: u32,
    /// How many classic operations a ledger takes.
    pub ledger_classic_operations: u32,
    transaction_limits: TransactionLimits,
    ledger_limits: LedgerLimits,
    contract_limits: ContractLimits,
    fees_stroops: Fees,
    rent: Rent,
    archival: Archival,
    timing_milliseconds: Timing,
    costs: BTreeMap<String, Cost>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct TransactionLimits {
    instructions: i64,
    memory_bytes: u32,
    footprint_entries: u32,
    disk_read_entries: u32,
    disk_read_bytes: u32,
    write_entries: u32,
    write_bytes: u32,
    size_bytes: u32,
    events_bytes: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct LedgerLimits {
    transactions: u32,
    clusters: u32,
    instructions: i64,
    disk_read_entries: u32,
    disk_read_bytes: u32,
    write_entries: u32,
    write_bytes: u32,
    size_bytes: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_field_names, reason = "units belong into the file's names")]
struct ContractLimits {
    code_bytes: u32,
    data_key_bytes: u32,
    data_entry_bytes: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fees {
    per_10000_instructions: i64,
    disk_read_entry: i64,
    disk_read_kilobyte: i64,
    write_entry: i64,
    write_kilobyte: i64,
    history_kilobyte: i64,
    events_kilobyte: i64,
    size_kilobyte: i64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rent {
    state_target_bytes: i64,
    fee_kilobyte_when_empty: i64,
    fee_kilobyte_at_target: i64,
    growth_factor_above_target: u32,
    persistent_denominator: i64,
    temporary_denominator: i64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Archival {
    max_ttl_ledgers: u32,
    min_temporary_ttl_ledgers: u32,
    min_persistent_ttl_ledgers: u32,
    state_size_samples: u32,
    state_size_sample_period_ledgers: u32,
    archive_entries_per_ledger: u32,
    eviction_scan_bytes: u32,
    eviction_start_level: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Timing {
    ledger_close: u32,
    nomination_timeout: u32,
    nomination_timeout_increment: u32,
    ballot_timeout: u32,
    ballot_timeout_increment: u32,
}

/// One metered cost: constant and linear term.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cost {
    instructions: [i64; 2],
    memory_bytes: [i64; 2],
}

impl Settings {
    /// Reads the settings file's text.
    ///
    /// # Errors
    /// When a field is missing, unknown or out of range, or a cost is missing or unknown.
    pub fn from_json(text: &str) -> Result<Self, EngineError> {
        let settings: Self =
            serde_json::from_str(text).map_err(|error| EngineError::InvalidSettings(error.to_string()))?;
        let known: Vec<&str> = ContractCostType::variants().iter().map(ContractCostType::name).collect();
        if let Some(unknown) = settings.costs.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(EngineError::InvalidSettings(format!("unknown cost {unknown}")));
        }
        if settings.archival.state_size_samples == 0 {
            return Err(EngineError::InvalidSettings("state_size_samples must be at least 1".to_owned()));
        }
        Ok(settings)
    }

    /// The ledger entries that hold these settings.
    ///
    /// # Errors
    /// When a cost of the contract engine is missing.
    pub fn entries(&self) -> Result<Vec<ConfigSettingEntry>, EngineError> {
        // The samples stay at zero: what a local ledger holds is nothing beside the target size that raises rent.
        let samples = vec![0_u64; self.archival.state_size_samples as usize];
        let window = samples.try_into().map_err(|_| EngineError::InvalidSettings("state_size_samples".to_owned()))?;
        Ok(vec![
            ConfigSettingEntry::ContractMaxSizeBytes(self.contract_limits.code_bytes),
            ConfigSettingEntry::ContractDataKeySizeBytes(self.contract_limits.data_key_bytes),
            ConfigSettingEntry::ContractDataEntrySizeBytes(self.contract_limits.data_entry_bytes),
            ConfigSettingEntry::ContractComputeV0(self.compute()),
            ConfigSettingEntry::ContractLedgerCostV0(self.ledger_cost()),
            ConfigSettingEntry::ContractLedgerCostExtV0(ConfigSettingContractLedgerCostExtV0 {
                tx_max_footprint_entries: self.transaction_limits.footprint_entries,
                fee_write1_kb: self.fees_stroops.write_kilobyte,
            }),
            ConfigSettingEntry::ContractHistoricalDataV0(ConfigSettingContractHistoricalDataV0 {
                fee_historical1_kb: self.fees_stroops.history_kilobyte,
            }),
            ConfigSettingEntry::ContractEventsV0(ConfigSettingContractEventsV0 {
                tx_max_contract_events_size_bytes: self.transaction_limits.events_bytes,
                fee_contract_events1_kb: self.fees_stroops.events_kilobyte,
            }),
            ConfigSettingEntry::ContractBandwidthV0(ConfigSettingContractBandwidthV0 {
                ledger_max_txs_size_bytes: self.ledger_limits.size_bytes,
                tx_max_size_bytes: self.transaction_limits.size_bytes,
                fee_tx_size1_kb: self.fees_stroops.size_kilobyte,
            }),
            ConfigSettingEntry::ContractExecutionLanes(ConfigSettingContractExecutionLanesV0 {
                ledger_max_tx_count: self.ledger_limits.transactions,
            }),
            ConfigSettingEntry::ContractParallelComputeV0(ConfigSettingContractParallelComputeV0 {
                ledger_max_dependent_tx_clusters: self.ledger_limits.clusters,
            }),
            ConfigSettingEntry::ContractCostParamsCpuInstructions(self.cost_parameters(|cost| cost.instructions)?),
            ConfigSettingEntry::ContractCostParamsMemoryBytes(self.cost_parameters(|cost| cost.memory_bytes)?),
            ConfigSettingEntry::StateArchival(self.archival()),
            ConfigSettingEntry::LiveSorobanStateSizeWindow(window),
            ConfigSettingEntry::ScpTiming(self.timing()),
        ])
    }

    fn compute(&self) -> ConfigSettingContractComputeV0 {
        ConfigSettingContractComputeV0 {
            ledger_max_instructions: self.ledger_limits.instructions,
            tx_max_instructions: self.transaction_limits.instructions,
            fee_rate_per_instructions_increment: self.fees_stroops.per_10000_instructions,
            tx_memory_limit: self.transaction_limits.memory_bytes,
        }
    }

    fn ledger_cost(&self) -> ConfigSettingContractLedgerCostV0 {
        ConfigSettingContractLedgerCostV0 {
            ledger_max_disk_read_entries: self.ledger_limits.disk_read_entries,
            ledger_max_disk_read_bytes: self.ledger_limits.disk_read_bytes,
            ledger_max_write_ledger_entries: self.ledger_limits.write_entries,
            ledger_max_write_bytes: self.ledger_limits.write_bytes,
            tx_max_disk_read_entries: self.transaction_limits.disk_read_entries,
            tx_max_disk_read_bytes: self.transaction_limits.disk_read_bytes,
            tx_max_write_ledger_entries: self.transaction_limits.write_entries,
            tx_max_write_bytes: self.transaction_limits.write_bytes,
            fee_disk_read_ledger_entry: self.fees_stroops.disk_read_entry,
            fee_write_ledger_entry: self.fees_stroops.write_entry,
            fee_disk_read1_kb: self.fees_stroops.disk_read_kilobyte,
            soroban_state_target_size_bytes: self.rent.state_target_bytes,
            rent_fee1_kb_soroban_state_size_low: self.rent.fee_kilobyte_when_empty,
            rent_fee1_kb_soroban_state_size_high: self.rent.fee_kilobyte_at_target,
            soroban_state_rent_fee_growth_factor: self.rent.growth_factor_above_target,
        }
    }

    fn archival(&self) -> StateArchivalSettings {
        StateArchivalSettings {
            max_entry_ttl: self.archival.max_ttl_ledgers,
            min_temporary_ttl: self.archival.min_temporary_ttl_ledgers,
            min_persistent_ttl: self.archival.min_persistent_ttl_ledgers,
            persistent_rent_rate_denominator: self.rent.persistent_denominator,
            temp_rent_rate_denominator: self.rent.temporary_denominator,
            max_entries_to_archive: self.archival.archive_entries_per_ledger,
            live_soroban_state_size_window_sample_size: self.archival.state_size_samples,
            live_soroban_state_size_window_sample_period: self.archival.state_size_sample_period_ledgers,
            eviction_scan_size: self.archival.eviction_scan_bytes,
            starting_eviction_scan_level: self.archival.eviction_start_level,
        }
    }

    fn timing(&self) -> ConfigSettingScpTiming {
        ConfigSettingScpTiming {
            ledger_target_close_time_milliseconds: self.timing_milliseconds.ledger_close,
            nomination_timeout_initial_milliseconds: self.timing_milliseconds.nomination_timeout,
            nomination_timeout_increment_milliseconds: self.timing_milliseconds.nomination_timeout_increment,
            ballot_timeout_initial_milliseconds: self.timing_milliseconds.ballot_timeout,
            ballot_timeout_increment_milliseconds: self.timing_milliseconds.ballot_timeout_increment,
        }
    }

    /// Cost parameters in the order of the engine's enumeration, which is their position on the ledger.
    fn cost_parameters(&self, terms: impl Fn(&Cost) -> [i64; 2]) -> Result<ContractCostParams, EngineError> {
        let parameters = ContractCostType::variants()
            .iter()
            .map(|kind| {
                let cost = self
                    .costs
                    .get(kind.name())
                    .ok_or_else(|| EngineError::InvalidSettings(format!("cost {} is missing", kind.name())))?;
                let [const_term, linear_term] = terms(cost);
                Ok(ContractCostParamEntry { ext: ExtensionPoint::V0, const_term, linear_term })
            })
            .collect::<Result<Vec<_>, EngineError>>()?;
        parameters
            .try_into()
            .map(ContractCostParams)
            .map_err(|_| EngineError::InvalidSettings("too many costs".to_owned()))
    }
}
