//! The engine: many searches that share a pool of threads.
//!
//! A search is a [`Job`] over a range of nonces. Workers claim its granules in rising order, always from the job that
//! has had the fewest hashes for its weight, and finish every granule that they claim. So a cancelled job ends within one
//! granule a worker, its `next_nonce` resumes it without hashing anything twice, and the best find of a range depends
//! neither on the number of threads nor on the kernel.

mod engine;
mod job;
mod progress;
mod schedule;
#[cfg(test)]
mod tests;

pub use engine::{Engine, MAX_THREADS, Stats, usable_threads};
pub use job::{Criteria, Event, Find, JobRequest, JobState, NONCES};
pub use schedule::Job;
