//! The Python module `devnet._engine`: registration and conversion only.

#![allow(
    clippy::doc_markdown,
    reason = "these comments are read with Python's help(), which shows backticks as they are"
)]

mod convert;

use convert::{PyClosedLedger, PyClosedTransaction, PySubmission, to_python_error};
use kale_devnet_engine::{LedgerEngine, encode_base64};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// An entry as Stellar RPC gives it: base64 `LedgerEntryData`, ledger of its last change, last ledger it lives in.
type Entry = (String, u32, Option<u32>);

/// A local ledger with its queue. Deterministic: the same calls give the same ledger hashes.
///
/// `LedgerEngine(settings_json, passphrase, protocol, genesis_time)` starts one from the text of settings.json; the
/// protocol must be the contract engine's (28). Hashes are hex, XDR is base64, fees are stroops, times seconds since
/// 1970. Threads may share it; every method releases the GIL. Input that is not what it should be raises ValueError; a
/// RuntimeError is a defect of the engine.
#[pyclass(name = "LedgerEngine", module = "devnet._engine", frozen)]
struct PyLedgerEngine(RwLock<LedgerEngine>);

impl PyLedgerEngine {
    fn read(&self) -> RwLockReadGuard<'_, LedgerEngine> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, LedgerEngine> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl PyLedgerEngine {
    #[new]
    fn new(py: Python<'_>, settings_json: &str, passphrase: &str, protocol: u32, genesis_time: u64) -> PyResult<Self> {
        py.detach(|| LedgerEngine::new(settings_json, passphrase, protocol, genesis_time))
            .map(|engine| Self(RwLock::new(engine)))
            .map_err(to_python_error)
    }

    /// Take up a ledger from `snapshot()`'s bytes; ValueError if they are of another version or damaged.
    #[staticmethod]
    fn restore(py: Python<'_>, snapshot: &[u8]) -> PyResult<Self> {
        py.detach(|| LedgerEngine::restore(snapshot)).map(|engine| Self(RwLock::new(engine))).map_err(to_python_error)
    }

    /// Return the whole ledger as bytes; waiting transactions are not part of it.
    fn snapshot<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = py.detach(|| self.read().snapshot()).map_err(to_python_error)?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Number of the last closed ledger.
    #[getter]
    fn sequence(&self, py: Python<'_>) -> u32 {
        py.detach(|| self.read().sequence())
    }

    /// Time of the last closed ledger.
    #[getter]
    fn close_time(&self, py: Python<'_>) -> u64 {
        py.detach(|| self.read().close_time())
    }

    /// Lowest inclusion fee of one operation in the next ledger, as last set.
    #[getter]
    fn base_fee(&self, py: Python<'_>) -> u32 {
        py.detach(|| self.read().base_fee())
    }

    /// The network's passphrase.
    #[getter]
    fn passphrase(&self, py: Python<'_>) -> String {
        py.detach(|| self.read().passphrase().to_owned())
    }

    /// Seed (32 bytes) of the account that held everything at genesis: SHA-256 of the passphrase.
    #[getter]
    fn root_seed<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let seed = py.detach(|| self.read().root_seed());
        PyBytes::new(py, &seed)
    }

    /// The last closed ledger, the genesis included.
    #[getter]
    fn last_ledger(&self, py: Python<'_>) -> PyClosedLedger {
        py.detach(|| PyClosedLedger::from(self.read().last()))
    }

    /// Find an entry by LedgerKey: LedgerEntryData, ledger of its last change, last ledger it lives in.
    ///
    /// Expired temporary entries are not found; archived persistent ones are (their life lies in the past).
    fn entry(&self, py: Python<'_>, key_xdr: &str) -> PyResult<Option<Entry>> {
        let found = py.detach(|| self.read().entry(key_xdr)).map_err(to_python_error)?;
        Ok(found.map(|slot| (encode_base64(&slot.entry.data), slot.entry.last_modified_ledger_seq, slot.live_until)))
    }

    /// Simulate one contract operation on the last closed ledger: JSON as Stellar RPC's simulateTransaction answers.
    ///
    /// auth_mode: "record", "record_allow_nonroot" or "enforce"; None enforces what the call carries, else records.
    #[pyo3(signature = (envelope_xdr, auth_mode=None))]
    fn simulate(&self, py: Python<'_>, envelope_xdr: &str, auth_mode: Option<&str>) -> PyResult<String> {
        py.detach(|| self.read().simulate(envelope_xdr, auth_mode)).map_err(to_python_error)
    }

    /// Check a transaction as a node does and let it wait for the next ledger, four ledgers at most.
    ///
    /// Time bounds are compared with the last closed ledger's time, ledger bounds with the next ledger's number. A fee
    /// bump with the sequence number of the one that waits replaces it if it bids ten times its fee rate.
    fn submit(&self, py: Python<'_>, envelope_xdr: &str) -> PyResult<PySubmission> {
        py.detach(|| self.write().submit(envelope_xdr)).map(PySubmission::from).map_err(to_python_error)
    }

    /// Close the next ledger, later than the last; waiting transactions that are no longer valid are dropped.
    fn close(&self, py: Python<'_>, close_time: u64) -> PyResult<Vec<PyClosedTransaction>> {
        py.detach(|| {
            let closed = self.write().close(close_time)?;
            Ok(closed.iter().map(PyClosedTransaction::from).collect())
        })
        .map_err(to_python_error)
    }

    /// Count the waiting transactions.
    fn queued(&self, py: Python<'_>) -> usize {
        py.detach(|| self.read().queued())
    }

    /// Fault: forget all waiting transactions.
    fn drop_queue(&self, py: Python<'_>) {
        py.detach(|| self.write().drop_queue());
    }

    /// Fault: the lowest inclusion fee of one operation from the next ledger on.
    fn set_base_fee(&self, py: Python<'_>, stroops: u32) -> PyResult<()> {
        py.detach(|| self.write().set_base_fee(stroops)).map_err(to_python_error)
    }

    /// Fault: end an entry's life before the last closed ledger; False if there is no such contract entry.
    fn expire_entry(&self, py: Python<'_>, key_xdr: &str) -> PyResult<bool> {
        py.detach(|| self.write().expire_entry(key_xdr)).map_err(to_python_error)
    }

    /// Set how many ledgers a new temporary entry lives at least.
    fn set_min_temporary_ttl(&self, py: Python<'_>, ledgers: u32) -> PyResult<()> {
        py.detach(|| self.write().set_min_temporary_ttl(ledgers)).map_err(to_python_error)
    }
}

/// The first nonce from `start` on whose work hash has `min_zeros` leading zero nibbles, with that hash (32 bytes).
///
/// `entropy` and `farmer` have 32 bytes. Raises ValueError if they do not, if `min_zeros` is above 64, or if no nonce
/// is left.
#[pyfunction]
fn search_nonce<'py>(
    py: Python<'py>,
    block_index: u32,
    entropy: &[u8],
    farmer: &[u8],
    min_zeros: u32,
    start: u64,
) -> PyResult<(u64, Bound<'py, PyBytes>)> {
    let entropy = convert::bytes32(entropy, "entropy")?;
    let farmer = convert::bytes32(farmer, "farmer")?;
    if min_zeros > 64 {
        return Err(PyValueError::new_err(format!("a hash has 64 nibbles, min_zeros is {min_zeros}")));
    }
    let (nonce, digest) = py
        .detach(|| kale_devnet_engine::search_nonce(block_index, &entropy, &farmer, min_zeros, start))
        .ok_or_else(|| PyValueError::new_err("no nonce is left"))?;
    Ok((nonce, PyBytes::new(py, &digest)))
}

#[pymodule]
fn _engine(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyLedgerEngine>()?;
    module.add_class::<PyClosedLedger>()?;
    module.add_class::<PyClosedTransaction>()?;
    module.add_class::<PySubmission>()?;
    module.add_function(wrap_pyfunction!(search_nonce, module)?)
}
