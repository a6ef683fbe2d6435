//! A job as its owner sees it.

use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use super::job::{Find, JobState, check_weight};
use super::progress::Progress;
use super::schedule::{Cell, Schedule, lock, wait_while};
use super::watch::Watch;
use crate::error::Error;

/// The owner's handle of a job. Dropping it does not end the job.
#[derive(Clone)]
pub struct Job {
    cell: Arc<Cell>,
    schedule: Arc<Schedule>,
}

/// Every method fails with [`Error::Forked`] in a fork of the process that made the engine.
#[allow(clippy::missing_errors_doc, reason = "said once, above")]
impl Job {
    pub(super) fn new(cell: Arc<Cell>, schedule: Arc<Schedule>) -> Self {
        Self { cell, schedule }
    }

    fn progress(&self) -> Result<MutexGuard<'_, Progress>, Error> {
        self.schedule.check_process()?;
        Ok(lock(&self.cell.progress))
    }

    /// The tag it was submitted with.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.cell.tag
    }

    /// What tells it from the other jobs of its engine.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.cell.number
    }

    /// What tells its engine from all others that exist.
    #[must_use]
    pub fn engine_id(&self) -> usize {
        self.schedule.id()
    }

    /// Makes a [`Watch`] of its engine.
    pub fn watch(&self) -> Result<Watch, Error> {
        Watch::new(&self.schedule)
    }

    /// The best find so far: most zeros, then lowest nonce.
    pub fn best(&self) -> Result<Option<Find>, Error> {
        Ok(self.progress()?.best())
    }

    /// Hashes computed so far.
    pub fn hashes(&self) -> Result<u64, Error> {
        Ok(self.progress()?.hashes())
    }

    /// Where a new job must start to go on after this one once it has ended; 2^64 after the last nonce.
    pub fn next_nonce(&self) -> Result<u128, Error> {
        Ok(self.progress()?.next_nonce())
    }

    /// How the job stands.
    pub fn state(&self) -> Result<JobState, Error> {
        Ok(self.progress()?.state())
    }

    /// Changes the job's share, counted from its beginning; fails if `weight` is 0.
    pub fn set_weight(&self, weight: u32) -> Result<(), Error> {
        check_weight(weight)?;
        self.schedule.change(&self.cell, |progress| progress.set_weight(weight))
    }

    /// Changes which finds count in granules not yet begun; fails if `min_zeros` is more than the job's `max_zeros`.
    pub fn set_min_zeros(&self, min_zeros: u32) -> Result<(), Error> {
        self.schedule.change(&self.cell, |progress| progress.set_min_zeros(min_zeros))?
    }

    /// Asks the job to end; it does once the granules that are being hashed are done. A second time changes nothing.
    pub fn cancel(&self) -> Result<(), Error> {
        self.schedule.change(&self.cell, |progress| progress.stop(JobState::Cancelled))
    }

    /// Waits for the job's end, but no longer than `timeout`; returns whether it has ended.
    pub fn wait(&self, timeout: Duration) -> Result<bool, Error> {
        let progress = self.progress()?;
        let runs = |progress: &mut Progress| !progress.has_ended();
        let progress = wait_while(&self.cell.ended, progress, timeout, runs);
        Ok(progress.has_ended())
    }
}
