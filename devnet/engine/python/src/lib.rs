//! The Python module `devnet._engine`: registration and conversion only.

mod convert;

use convert::{PyClosedLedger, PyClosedTransaction, PySubmission, to_python_error};
use kale_devnet_engine::{LedgerEngine, encode_base64};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// An entry as Stellar RPC gives it: base64 `LedgerEntryData`, ledger of its last change, last ledger it lives in.
type Entry = (String, u32, Option<u32>);

/// A local ledger. Threads may share it: readers run side by side, writers one at a time, all without the GIL.
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

    #[staticmethod]
    fn restore(py: Python<'_>, snapshot: &[u8]) -> PyResult<Self> {
        py.detach(|| LedgerEngine::restore(snapshot)).map(|engine| Self(RwLock::new(engine))).map_err(to_python_error)
    }

    fn snapshot<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = py.detach(|| self.read().snapshot()).map_err(to_python_error)?;
        Ok(PyBytes::new(py, &bytes))
    }

    #[getter]
    fn sequence(&self, py: Python<'_>) -> u32 {
        py.detach(|| self.read().sequence())
    }

    #[getter]
    fn close_time(&self, py: Python<'_>) -> u64 {
        py.detach(|| self.read().close_time())
    }

    #[getter]
    fn passphrase(&self, py: Python<'_>) -> String {
        py.detach(|| self.read().passphrase().to_owned())
    }

    #[getter]
    fn root_seed<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let seed = py.detach(|| self.read().root_seed());
        PyBytes::new(py, &seed)
    }

    #[getter]
    fn last_ledger(&self, py: Python<'_>) -> PyClosedLedger {
        py.detach(|| PyClosedLedger::from(self.read().last()))
    }

    fn entry(&self, py: Python<'_>, key_xdr: &str) -> PyResult<Option<Entry>> {
        let found = py.detach(|| self.read().entry(key_xdr)).map_err(to_python_error)?;
        Ok(found.map(|slot| (encode_base64(&slot.entry.data), slot.entry.last_modified_ledger_seq, slot.live_until)))
    }

    #[pyo3(signature = (envelope_xdr, auth_mode=None))]
    fn simulate(&self, py: Python<'_>, envelope_xdr: &str, auth_mode: Option<&str>) -> PyResult<String> {
        py.detach(|| self.read().simulate(envelope_xdr, auth_mode)).map_err(to_python_error)
    }

    fn submit(&self, py: Python<'_>, envelope_xdr: &str) -> PyResult<PySubmission> {
        py.detach(|| self.write().submit(envelope_xdr)).map(PySubmission::from).map_err(to_python_error)
    }

    fn close(&self, py: Python<'_>, close_time: u64) -> PyResult<Vec<PyClosedTransaction>> {
        py.detach(|| {
            let closed = self.write().close(close_time)?;
            Ok(closed.iter().map(PyClosedTransaction::from).collect())
        })
        .map_err(to_python_error)
    }

    fn queued(&self, py: Python<'_>) -> usize {
        py.detach(|| self.read().queued())
    }

    fn drop_queue(&self, py: Python<'_>) {
        py.detach(|| self.write().drop_queue());
    }

    fn set_base_fee(&self, py: Python<'_>, stroops: u32) -> PyResult<()> {
        py.detach(|| self.write().set_base_fee(stroops)).map_err(to_python_error)
    }

    fn expire_entry(&self, py: Python<'_>, key_xdr: &str) -> PyResult<bool> {
        py.detach(|| self.write().expire_entry(key_xdr)).map_err(to_python_error)
    }

    fn set_min_temporary_ttl(&self, py: Python<'_>, ledgers: u32) -> PyResult<()> {
        py.detach(|| self.write().set_min_temporary_ttl(ledgers)).map_err(to_python_error)
    }
}

#[pymodule]
fn _engine(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyLedgerEngine>()?;
    module.add_class::<PyClosedLedger>()?;
    module.add_class::<PyClosedTransaction>()?;
    module.add_class::<PySubmission>()
}
