//! The engine, its jobs and what they tell, as Python classes.

use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use super::arguments::{self, Int};
use crate::error::Error;
use crate::kernel::Kernel;
use crate::search::{self, Criteria, JobRequest, MAX_THREADS};

/// The longest time between two looks at pending signals, so that Ctrl-C interrupts every wait.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(100);

/// Calls `wait` without the GIL until it has a result or `timeout` seconds are over; returns its last answer.
fn wait_in_slices<T: Send>(
    py: Python<'_>,
    timeout: Option<f64>,
    wait: impl Fn(Duration) -> Result<T, Error> + Sync,
    has_result: impl Fn(&T) -> bool,
) -> PyResult<T> {
    let end = timeout.map(arguments::deadline).transpose()?.flatten();
    loop {
        let left = end.map_or(SIGNAL_INTERVAL, |end| end.saturating_duration_since(Instant::now()));
        let answer = py.detach(|| wait(left.min(SIGNAL_INTERVAL)))?;
        if has_result(&answer) || left.is_zero() {
            return Ok(answer);
        }
        py.check_signals()?;
    }
}

/// A nonce that was found, with its work hash.
#[pyclass(frozen, eq, hash, module = "kale_hash_rs")]
#[derive(PartialEq, Eq, Hash)]
pub struct Find(search::Find);

#[pymethods]
impl Find {
    /// The nonce.
    #[getter]
    fn nonce(&self) -> u64 {
        self.0.nonce
    }

    /// Leading zero nibbles of the digest: 0 to 64.
    #[getter]
    fn zeros(&self) -> u32 {
        self.0.zeros
    }

    /// The work hash, 32 bytes.
    #[getter]
    fn digest<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.digest)
    }

    fn __repr__(&self) -> String {
        format!("Find(nonce={}, zeros={})", self.0.nonce, self.0.zeros)
    }
}

/// News of a job: a better find, or its end.
#[pyclass(frozen, module = "kale_hash_rs")]
pub struct Event(search::Event);

#[pymethods]
impl Event {
    /// The tag of the job.
    #[getter]
    fn tag(&self) -> &str {
        &self.0.tag
    }

    /// The find; in the event that ends a job its best one, if it has any.
    #[getter]
    fn find(&self) -> Option<Find> {
        self.0.find.map(Find)
    }

    /// Whether this is the job's last event.
    #[getter]
    fn ended(&self) -> bool {
        self.0.ended
    }

    fn __repr__(&self) -> String {
        let find = self.find().map_or("None".to_owned(), |find| find.__repr__());
        let ended = if self.0.ended { "True" } else { "False" };
        format!("Event(tag={:?}, find={find}, ended={ended})", self.tag())
    }
}

/// What an engine is doing.
#[pyclass(frozen, module = "kale_hash_rs")]
pub struct EngineStats(search::Stats);

#[pymethods]
impl EngineStats {
    /// Hashes computed since the engine was made.
    #[getter]
    fn hashes(&self) -> u64 {
        self.0.hashes
    }

    /// Jobs that have not ended.
    #[getter]
    fn jobs(&self) -> usize {
        self.0.jobs
    }

    /// Worker threads.
    #[getter]
    fn threads(&self) -> usize {
        self.0.threads
    }

    /// The name of the kernel that hashes.
    #[getter]
    fn kernel(&self) -> &'static str {
        self.0.kernel.name()
    }

    fn __repr__(&self) -> String {
        let search::Stats { hashes, jobs, threads, kernel } = self.0;
        format!("EngineStats(hashes={hashes}, jobs={jobs}, threads={threads}, kernel={:?})", kernel.name())
    }
}

/// One search. It goes on without this object; see `Engine.submit`.
#[pyclass(frozen, module = "kale_hash_rs")]
pub struct Job(search::Job);

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

    /// "running", "finished" (its range is hashed, or `max_zeros` was found) or "cancelled".
    #[getter]
    fn state(&self) -> PyResult<&'static str> {
        Ok(self.0.state()?.name())
    }

    /// Changes the job's share of the hashes, counted from its beginning.
    fn set_weight(&self, weight: Int) -> PyResult<()> {
        Ok(self.0.set_weight(weight.weight()?)?)
    }

    /// Changes how many zeros a find must have, for nonces not yet hashed; at most the job's `max_zeros`.
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

    fn __repr__(&self) -> PyResult<String> {
        Ok(format!("Job(tag={:?}, state={:?}, hashes={})", self.tag(), self.state()?, self.hashes()?))
    }
}

/// A pool of threads that search nonces for many jobs at once.
///
/// `threads` defaults to `usable_threads()`; `kernel` is a name out of `kernels()`, or "auto" for the fastest. An engine
/// without jobs uses no CPU. In a forked child every call but `close` raises `EngineClosedError`.
#[pyclass(frozen, module = "kale_hash_rs")]
pub struct Engine(search::Engine);

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (threads = None, kernel = "auto"))]
    fn new(threads: Option<Int>, kernel: &str) -> PyResult<Self> {
        let threads = threads.map(|threads| threads.within("threads", 1, MAX_THREADS as i128)).transpose()?;
        Ok(Self(search::Engine::new(threads, Kernel::named(kernel)?)?))
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

    /// Starts a search of `nonce_count` nonces from `nonce_start` on (`None`: to the last nonce, 2**64 - 1).
    ///
    /// Finds count from `min_zeros` on, and finding `max_zeros` ends the job. Jobs share the threads such that each
    /// has hashes in proportion to its `weight`. `tag` comes back with the job's events.
    #[pyo3(
        signature = (block_index, entropy, farmer, *, min_zeros = Int(0), max_zeros = Int(64), nonce_start = Int(0),
                     nonce_count = None, weight = Int(1), tag = ""),
        text_signature = "($self, block_index, entropy, farmer, *, min_zeros=0, max_zeros=64, nonce_start=0, \
                          nonce_count=None, weight=1, tag='')"
    )]
    #[allow(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn submit(
        &self,
        block_index: Int,
        entropy: &[u8],
        farmer: &[u8],
        min_zeros: Int,
        max_zeros: Int,
        nonce_start: Int,
        nonce_count: Option<Int>,
        weight: Int,
        tag: &str,
    ) -> PyResult<Job> {
        let request = JobRequest {
            tag: tag.to_owned(),
            message: arguments::message(block_index, entropy, farmer)?,
            criteria: Criteria { min_zeros: min_zeros.zeros("min_zeros")?, max_zeros: max_zeros.zeros("max_zeros")? },
            nonces: arguments::nonces(nonce_start, nonce_count)?,
            weight: weight.weight()?,
        };
        Ok(Job(self.0.submit(&request)?))
    }

    /// Takes all events of all jobs: each better find as it comes, and each job's end.
    ///
    /// Waits for the first one, but no longer than `timeout` seconds (`None`: as long as it takes); returns [] then.
    /// Raises `EngineClosedError` once the engine is closed and its last events were taken.
    #[pyo3(signature = (timeout = None))]
    fn events(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Vec<Event>> {
        let events = wait_in_slices(py, timeout, |time| self.0.events(time), |events| !events.is_empty())?;
        Ok(events.into_iter().map(Event).collect())
    }

    /// What the engine is doing now.
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
        format!("Engine(threads={}, kernel={:?})", self.threads(), self.kernel())
    }
}
