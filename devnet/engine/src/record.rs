//! The records of a closed ledger: its header and everything that happened in it.

use crate::close::ClosedTransaction;
use crate::codec::{encode_base64, hash_xdr};
use crate::context::Config;
use crate::state::State;
use stellar_xdr::{
    ExtensionPoint, GeneralizedTransactionSet, Hash, LedgerCloseMeta, LedgerCloseMetaExt, LedgerCloseMetaExtV1,
    LedgerCloseMetaV2, LedgerHeader, LedgerHeaderHistoryEntry, LedgerHeaderHistoryEntryExt, LedgerKey, StellarValue,
    StellarValueExt, TimePoint, TransactionResultSet, VecM,
};

/// A closed ledger's records.
#[derive(Debug, Clone)]
pub struct ClosedLedger {
    /// Header with its hash. The place of the network's bucket list hash is taken by a digest over all changes.
    pub header: LedgerHeaderHistoryEntry,
    /// Base64 `LedgerCloseMeta` XDR: header, transactions, results and changes.
    pub metadata_xdr: String,
}

/// What a ledger's nodes would have agreed on; a local ledger upgrades nothing and nobody signs it.
pub fn scp_value(tx_set_hash: Hash, close_time: u64) -> StellarValue {
    StellarValue {
        tx_set_hash,
        close_time: TimePoint(close_time),
        upgrades: VecM::default(),
        ext: StellarValueExt::Basic,
    }
}

/// Hash over the results of all transactions.
pub fn result_set_hash(closed: &[ClosedTransaction]) -> Hash {
    let results: Vec<_> = closed.iter().map(|transaction| transaction.record.result.clone()).collect();
    hash_xdr(&TransactionResultSet { results: results.try_into().unwrap_or_default() })
}

/// Puts a closed ledger's records together.
pub fn record(
    config: &Config,
    state: &State,
    header: LedgerHeader,
    tx_set: GeneralizedTransactionSet,
    closed: Vec<ClosedTransaction>,
    evicted: Vec<LedgerKey>,
) -> ClosedLedger {
    let header = LedgerHeaderHistoryEntry { hash: hash_xdr(&header), header, ext: LedgerHeaderHistoryEntryExt::V0 };
    let records: Vec<_> = closed.into_iter().map(|transaction| transaction.record).collect();
    let metadata = LedgerCloseMeta::V2(LedgerCloseMetaV2 {
        ext: LedgerCloseMetaExt::V1(LedgerCloseMetaExtV1 {
            ext: ExtensionPoint::V0,
            soroban_fee_write1_kb: config.network.rent_fee_configuration.fee_per_rent_1kb,
        }),
        ledger_header: header.clone(),
        tx_set,
        tx_processing: records.try_into().unwrap_or_default(),
        upgrades_processing: VecM::default(),
        scp_info: VecM::default(),
        total_byte_size_of_live_soroban_state: state.contract_bytes(),
        evicted_keys: evicted.try_into().unwrap_or_default(),
    });
    ClosedLedger { header, metadata_xdr: encode_base64(&metadata) }
}
