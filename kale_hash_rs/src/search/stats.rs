//! Counters: what an engine did, and what every kernel did in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::kernel::Kernel;

/// What an engine is doing, and what it did since it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Hashes computed.
    pub hashes: u64,
    /// Better finds that events told of.
    pub finds: u64,
    /// Ended jobs.
    pub ended: Ended,
    /// Jobs that have not ended, oldest first.
    pub running: Vec<JobStats>,
    /// Worker threads.
    pub threads: usize,
    /// The kernel that hashes.
    pub kernel: Kernel,
}

/// How many jobs ended, by their last state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Their range was hashed, or they found `max_zeros`.
    pub finished: u64,
    /// They were cancelled.
    pub cancelled: u64,
    /// Their deadline passed.
    pub expired: u64,
}

/// How far a job is that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobStats {
    /// The job's tag.
    pub tag: Arc<str>,
    /// Hashes computed.
    pub hashes: u64,
    /// Its share of the hashes.
    pub weight: u32,
    /// The zeros of its best find.
    pub zeros: Option<u32>,
}

/// More kernels than any CPU can run.
const MAX_KERNELS: usize = 8;
/// Hashes by kernel, in the order of [`Kernel::available`].
static KERNEL_HASHES: [AtomicU64; MAX_KERNELS] = [const { AtomicU64::new(0) }; MAX_KERNELS];

/// Counts the hashes of one kernel.
#[derive(Clone, Copy)]
pub struct KernelCounter(&'static AtomicU64);

impl KernelCounter {
    /// The counter of `kernel`.
    pub fn of(kernel: Kernel) -> Self {
        let place = Kernel::available().iter().position(|other| *other == kernel);
        Self(&KERNEL_HASHES[place.expect("a kernel that exists can be run")])
    }

    /// Adds hashes.
    pub fn add(self, hashes: u64) {
        self.0.fetch_add(hashes, Ordering::Relaxed);
    }
}

/// The kernels that this CPU can run, fastest first, and the hashes that all engines of this process computed with them.
#[must_use]
pub fn kernel_hashes() -> Vec<(Kernel, u64)> {
    let counts = KERNEL_HASHES.iter().map(|count| count.load(Ordering::Relaxed));
    Kernel::available().into_iter().zip(counts).collect()
}
