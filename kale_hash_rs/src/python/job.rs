//! A job, as a Python class.

use pyo3::prelude::*;

use super::arguments::Int;
use super::news::Find;
use super::waiting::{Watch, asyncio, wait_in_slices};
use crate::search;

/// One search. It goes on without this object; see `Engine.submit`.
#[pyclass(frozen, module = "kale_hash_rs")]
pub struct Job(pub search::Job);

#[pymethods]
impl Job {
    /// The tag it was submitted with.
    #[getter]
    fn tag(&self) -> &str {
        self.0.tag()
    }

    /// The best find so far: most zeros, then lowest nonce.
    #[getter]
    fn best(&self) -> PyResult<Option<Find>> {
        Ok(self.0.best()?.map(Find))
    }

    /// Hashes computed so far.
    #[getter]
    fn hashes(&self) -> PyResult<u64> {
        Ok(self.0.hashes()?)
    }

    /// Where a new job must start to go on after this one has ended; 2**64 after the last nonce.
    #[getter]
    fn next_nonce(&self) -> PyResult<u128> {
        Ok(self.0.next_nonce()?)
    }

    /// "running", "finished" (its range is hashed, or `max_zeros` was found), "cancelled" or "expired" (its deadline).
    #[getter]
    fn state(&self) -> PyResult<&'static str> {
        Ok(self.0.state()?.name())
    }

    /// Changes the job's share of the hashes, counted from its beginning. Raises `ValueError` if it is less than 1.
    fn set_weight(&self, weight: Int) -> PyResult<()> {
        Ok(self.0.set_weight(weight.weight()?)?)
    }

    /// Changes how many zeros a find must have, for nonces not yet hashed. Raises `ValueError` if that is
    /// more than the job's `max_zeros`.
    fn set_min_zeros(&self, min_zeros: Int) -> PyResult<()> {
        Ok(self.0.set_min_zeros(min_zeros.zeros("min_zeros")?)?)
    }

    /// Asks the job to end, which takes at most 16,384 hashes a thread; does nothing once it has ended.
    fn cancel(&self) -> PyResult<()> {
        Ok(self.0.cancel()?)
    }

    /// Waits for the job's end, but no longer than `timeout` seconds; returns whether it has ended.
    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        wait_in_slices(py, timeout, |time| self.0.wait(time), |ended| *ended)
    }

    /// `await job`: waits for the job's end in an event loop and returns its best find; see `Engine`.
    fn __await__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        asyncio(slf.py())?.call_method1("ended", (slf,))?.call_method0("__await__")
    }

    /// What tells it from the other jobs of its engine.
    #[getter]
    fn _number(&self) -> u64 {
        self.0.number()
    }

    /// What tells its engine from all others.
    #[getter]
    fn _engine_id(&self) -> usize {
        self.0.engine_id()
    }

    /// A new watch of its engine.
    fn _watch(&self) -> PyResult<Watch> {
        Ok(Watch(self.0.watch()?))
    }

    fn __repr__(&self) -> PyResult<String> {
        Ok(format!("Job(tag={:?}, state={:?}, hashes={})", self.tag(), self.state()?, self.hashes()?))
    }
}
