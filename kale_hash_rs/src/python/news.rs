//! What jobs and engines tell, as Python classes.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::search;

/// A nonce that was found, with its work hash.
#[pyclass(frozen, eq, hash, module = "kale_hash_rs")]
#[derive(PartialEq, Eq, Hash)]
pub struct Find(pub search::Find);

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
pub struct Event(pub search::Event);

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

/// How far a job is that has not ended.
#[pyclass(frozen, module = "kale_hash_rs")]
pub struct JobStats(search::JobStats);

#[pymethods]
impl JobStats {
    /// The tag of the job.
    #[getter]
    fn tag(&self) -> &str {
        &self.0.tag
    }

    /// Hashes computed so far.
    #[getter]
    fn hashes(&self) -> u64 {
        self.0.hashes
    }

    /// Its share of the hashes.
    #[getter]
    fn weight(&self) -> u32 {
        self.0.weight
    }

    /// The zeros of its best find, if it has any.
    #[getter]
    fn zeros(&self) -> Option<u32> {
        self.0.zeros
    }

    fn __repr__(&self) -> String {
        let search::JobStats { tag, hashes, weight, zeros } = &self.0;
        let zeros = zeros.map_or("None".to_owned(), |zeros| zeros.to_string());
        format!("JobStats(tag={tag:?}, hashes={hashes}, weight={weight}, zeros={zeros})")
    }
}

/// What an engine is doing, and what it did since it was made; all figures are of one moment.
#[pyclass(frozen, module = "kale_hash_rs")]
pub struct EngineStats(pub search::Stats);

#[pymethods]
impl EngineStats {
    /// Hashes computed.
    #[getter]
    fn hashes(&self) -> u64 {
        self.0.hashes
    }

    /// Better finds that events told of.
    #[getter]
    fn finds(&self) -> u64 {
        self.0.finds
    }

    /// Jobs that have not ended.
    #[getter]
    fn jobs(&self) -> usize {
        self.0.running.len()
    }

    /// Each job that has not ended, oldest first.
    #[getter]
    fn running(&self) -> Vec<JobStats> {
        self.0.running.iter().cloned().map(JobStats).collect()
    }

    /// Jobs whose range was hashed, or that found `max_zeros`.
    #[getter]
    fn finished(&self) -> u64 {
        self.0.ended.finished
    }

    /// Jobs that were cancelled, by closing too.
    #[getter]
    fn cancelled(&self) -> u64 {
        self.0.ended.cancelled
    }

    /// Jobs whose deadline passed.
    #[getter]
    fn expired(&self) -> u64 {
        self.0.ended.expired
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
        let search::Stats { hashes, finds, ended, running, threads, kernel } = &self.0;
        let search::Ended { finished, cancelled, expired } = ended;
        format!(
            "EngineStats(hashes={hashes}, finds={finds}, jobs={}, finished={finished}, cancelled={cancelled}, \
             expired={expired}, threads={threads}, kernel={:?})",
            running.len(),
            kernel.name()
        )
    }
}
