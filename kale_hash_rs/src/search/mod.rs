//! The engine: many searches that share a pool of threads.
//!
//! A search is a [`Job`] over a range of nonces. Workers claim its granules in rising order, always from the job that
//! is first in the engine's [`Order`], and finish every granule that they claim. So a cancelled job ends within one
//! granule a worker, its `next_nonce` resumes it without hashing anything twice, and the best find of a range depends
//! neither on the number of threads nor on the kernel.

mod engine;
mod handle;
mod job;
mod progress;
mod schedule;
mod stats;
#[cfg(test)]
mod tests;
mod watch;

pub use engine::{Engine, MAX_THREADS, usable_threads};
pub use handle::Job;
pub use job::{Criteria, Event, Find, JobRequest, JobState, NONCES, Order};
pub use stats::{Ended, JobStats, Stats, kernel_hashes};
pub use watch::Watch;
