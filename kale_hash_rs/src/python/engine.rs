//! The engine, as a Python class.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::arguments::{self, Int};
use super::job::Job;
use super::news::{EngineStats, Event};
use super::waiting::{Watch, asyncio, wait_in_slices};
use crate::kernel::Kernel;
use crate::search::{self, Criteria, JobRequest, MAX_THREADS, Order};

/// A pool of threads that search nonces for many jobs at once.
///
/// `threads` defaults to `usable_threads()`; `kernel` is a name out of `kernels()`, or "auto" for the fastest. `order`
/// says which job is served next: `"weight"`, the one with the fewest hashes for its weight; or `"fewest_zeros"`,
/// always the one whose next find needs the fewest zeros (one more than its best find has, or `min_zeros`), of several
/// by weight. An engine without jobs uses no CPU.
///
/// Raises `ValueError` for impossible threads or an unknown order, `KernelUnavailableError`, and `OSError` if the system
/// refuses the threads. In a forked child every call but `close` raises `EngineClosedError`.
///
/// In asyncio, `await job` waits for a job's end and returns its best find, `await engine.next_events()` returns
/// events, and `async for event in engine` takes one after the other until the engine is closed. None of these needs a
/// thread; cancelling one leaves job and events as they are.
#[pyclass(frozen, module = "kale_hash_rs")]
pub struct Engine(search::Engine);

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (threads = None, kernel = "auto", order = "weight"))]
    fn new(py: Python<'_>, threads: Option<Int>, kernel: &str, order: &str) -> PyResult<Self> {
        let threads = threads.map(|threads| threads.within("threads", 1, MAX_THREADS as i128)).transpose()?;
        let (kernel, order) = (Kernel::named(kernel)?, Order::named(order)?);
        Ok(Self(py.detach(|| search::Engine::new(threads, kernel, order))?))
    }

    /// The name of the kernel that hashes.
    #[getter]
    fn kernel(&self) -> &'static str {
        self.0.kernel().name()
    }

    /// The number of worker threads.
    #[getter]
    fn threads(&self) -> usize {
        self.0.threads()
    }

    /// Which job is served next: `"weight"` or `"fewest_zeros"`.
    #[getter]
    fn order(&self) -> &'static str {
        self.0.order().name()
    }

    /// Starts a search of `nonce_count` nonces from `nonce_start` on (`None`: to the last nonce, 2**64 - 1).
    ///
    /// Finds count from `min_zeros` on, and finding `max_zeros` ends the job. Jobs share the threads such that each
    /// has hashes in proportion to its `weight`. `deadline` is in seconds from now on the monotonic clock, which no
    /// change of the time of day moves; once it has passed the job ends as "expired", after at most 16,384 further
    /// hashes a thread. `tag` comes back with the job's events.
    /// Raises `ValueError`, which names the argument and its limits, and `EngineClosedError`.
    #[pyo3(
        signature = (block_index, entropy, farmer, *, min_zeros = Int(0), max_zeros = Int(64), nonce_start = Int(0),
                     nonce_count = None, weight = Int(1), deadline = None, tag = ""),
        text_signature = "($self, block_index, entropy, farmer, *, min_zeros=0, max_zeros=64, nonce_start=0, \
                          nonce_count=None, weight=1, deadline=None, tag='')"
    )]
    #[allow(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn submit(
        &self,
        py: Python<'_>,
        block_index: Int,
        entropy: &[u8],
        farmer: &[u8],
        min_zeros: Int,
        max_zeros: Int,
        nonce_start: Int,
        nonce_count: Option<Int>,
        weight: Int,
        deadline: Option<f64>,
        tag: &str,
    ) -> PyResult<Job> {
        let request = JobRequest {
            tag: tag.to_owned(),
            message: arguments::message(block_index, entropy, farmer)?,
            criteria: Criteria { min_zeros: min_zeros.zeros("min_zeros")?, max_zeros: max_zeros.zeros("max_zeros")? },
            nonces: arguments::nonces(nonce_start, nonce_count)?,
            weight: weight.weight()?,
            deadline: deadline.map(|deadline| arguments::instant("deadline", deadline)).transpose()?.flatten(),
        };
        Ok(Job(py.detach(|| self.0.submit(&request))?))
    }

    /// Takes the oldest events of all jobs, `limit` at most: each better find as it comes, and each job's end.
    ///
    /// Waits for the first one, but no longer than `timeout` seconds (`None`: as long as it takes); returns [] then.
    /// Raises `EngineClosedError` once the engine is closed and its last events were taken.
    #[pyo3(signature = (timeout = None, limit = None))]
    fn events(&self, py: Python<'_>, timeout: Option<f64>, limit: Option<Int>) -> PyResult<Vec<Event>> {
        let limit = limit.map_or(Ok(usize::MAX), |limit| limit.within("limit", 1, usize::MAX as i128))?;
        let events = wait_in_slices(py, timeout, |time| self.0.events(time, limit), |events| !events.is_empty())?;
        Ok(events.into_iter().map(Event).collect())
    }

    /// `await engine.next_events()`: as `events()`, in an event loop; never returns an empty list.
    fn next_events<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        asyncio(slf.py())?.call_method1("next_events", (slf,))
    }

    fn __aiter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __anext__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        asyncio(slf.py())?.call_method1("next_event", (slf,))
    }

    /// What tells it from all other engines.
    #[getter]
    fn _engine_id(&self) -> usize {
        self.0.id()
    }

    /// A new watch of this engine.
    fn _watch(&self) -> PyResult<Watch> {
        Ok(Watch(self.0.watch()?))
    }

    /// What the engine is doing now, and what it did so far.
    fn stats(&self) -> PyResult<EngineStats> {
        Ok(EngineStats(self.0.stats()?))
    }

    /// Cancels every job and waits until the threads are gone; a second time, or in a forked child, does nothing.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) {
        self.close(py);
    }

    fn __repr__(&self) -> String {
        format!("Engine(threads={}, kernel={:?}, order={:?})", self.threads(), self.kernel(), self.order())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Closing waits for granules: other Python threads go on. Where Python is shutting down, dropping closes it.
        Python::try_attach(|py| self.close(py));
    }
}
