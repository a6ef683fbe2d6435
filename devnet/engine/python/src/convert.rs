//! The engine's values as Python ones: hashes in hex, XDR in base64.

use kale_devnet_engine::{ClosedLedger, ClosedTransaction, EngineError, Status, Submission, encode_base64};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

/// Bad input is a `ValueError`; what no input should cause is a `RuntimeError`.
#[allow(clippy::needless_pass_by_value, reason = "the form that map_err wants")]
pub fn to_python_error(error: EngineError) -> PyErr {
    match error {
        EngineError::Host(_) => PyRuntimeError::new_err(error.to_string()),
        _ => PyValueError::new_err(error.to_string()),
    }
}

/// 32 bytes, or a `ValueError` that names them.
pub fn bytes32(bytes: &[u8], name: &str) -> PyResult<[u8; 32]> {
    bytes.try_into().map_err(|_| PyValueError::new_err(format!("{name} must have 32 bytes, not {}", bytes.len())))
}

/// The answer to a submission.
#[pyclass(name = "Submission", module = "devnet._engine", frozen, get_all)]
pub struct PySubmission {
    /// PENDING: waits for a ledger. DUPLICATE: waits already. TRY_AGAIN_LATER: another one of its source waits.
    status: &'static str,
    /// Hash of the envelope on this network.
    hash: String,
    /// TransactionResult, if the status is ERROR.
    error_result_xdr: Option<String>,
    /// DiagnosticEvents with the error in words, for contract transactions.
    diagnostics: Vec<String>,
}

impl From<Submission> for PySubmission {
    fn from(submission: Submission) -> Self {
        Self {
            status: match submission.status {
                Status::Pending => "PENDING",
                Status::Duplicate => "DUPLICATE",
                Status::TryAgainLater => "TRY_AGAIN_LATER",
                Status::Error => "ERROR",
            },
            hash: hex::encode(submission.hash),
            error_result_xdr: submission.error.as_ref().map(encode_base64),
            diagnostics: submission.diagnostics.iter().map(encode_base64).collect(),
        }
    }
}

/// A transaction of a closed ledger.
#[pyclass(name = "ClosedTransaction", module = "devnet._engine", frozen, get_all)]
pub struct PyClosedTransaction {
    /// Hash of the envelope, that of the fee bump if there is one.
    hash: String,
    /// Hash of the transaction inside a fee bump.
    inner_hash: Option<String>,
    /// Whether its operations were applied; failed ones pay and use up their sequence number too.
    successful: bool,
    /// Whether another account paid through a fee bump.
    fee_bump: bool,
    /// Position in the ledger, from 1.
    application_order: u32,
    /// What the payer paid in the end, refunds deducted.
    fee_charged: i64,
    /// TransactionEnvelope.
    envelope_xdr: String,
    /// TransactionResult.
    result_xdr: String,
    /// TransactionMeta, version 4.
    meta_xdr: String,
    /// ContractEvents; none if it failed.
    contract_events: Vec<String>,
    /// DiagnosticEvents, of failed calls too.
    diagnostic_events: Vec<String>,
}

impl From<&ClosedTransaction> for PyClosedTransaction {
    fn from(closed: &ClosedTransaction) -> Self {
        let transaction = &closed.transaction;
        let result = &closed.record.result.result;
        let meta = closed.meta();
        let operations = meta.map_or(&[][..], |meta| meta.operations.as_slice());
        Self {
            hash: hex::encode(transaction.hash),
            inner_hash: transaction.fee_bump.as_ref().map(|bump| hex::encode(bump.inner_hash)),
            successful: closed.is_successful(),
            fee_bump: transaction.fee_bump.is_some(),
            application_order: closed.application_order,
            fee_charged: result.fee_charged,
            envelope_xdr: encode_base64(&transaction.envelope()),
            result_xdr: encode_base64(result),
            meta_xdr: encode_base64(&closed.record.tx_apply_processing),
            contract_events: operations.iter().flat_map(|meta| meta.events.iter()).map(encode_base64).collect(),
            diagnostic_events: meta
                .map_or(&[][..], |meta| meta.diagnostic_events.as_slice())
                .iter()
                .map(encode_base64)
                .collect(),
        }
    }
}

/// A closed ledger's records.
#[pyclass(name = "ClosedLedger", module = "devnet._engine", frozen, get_all)]
pub struct PyClosedLedger {
    /// Number of the ledger; the genesis is 1.
    sequence: u32,
    /// When it closed, by its own clock.
    close_time: u64,
    /// SHA-256 of the header, which holds the hash of the header before.
    hash: String,
    /// The protocol's version.
    protocol_version: u32,
    /// Lowest inclusion fee of one operation.
    base_fee: u32,
    /// What one entry reserves of an account's balance.
    base_reserve: u32,
    /// LedgerHeader.
    header_xdr: String,
    /// LedgerHeaderHistoryEntry: the header with its hash.
    history_entry_xdr: String,
    /// LedgerCloseMeta, version 2, with all transactions.
    metadata_xdr: String,
}

impl From<&ClosedLedger> for PyClosedLedger {
    fn from(ledger: &ClosedLedger) -> Self {
        let header = &ledger.header.header;
        Self {
            sequence: header.ledger_seq,
            close_time: header.scp_value.close_time.0,
            hash: hex::encode(ledger.header.hash.0),
            protocol_version: header.ledger_version,
            base_fee: header.base_fee,
            base_reserve: header.base_reserve,
            header_xdr: encode_base64(header),
            history_entry_xdr: encode_base64(&ledger.header),
            metadata_xdr: ledger.metadata_xdr.clone(),
        }
    }
}
