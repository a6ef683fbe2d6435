//! The engine: a schedule and the threads that work on it.

use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::handle::Job;
use super::job::{Event, JobRequest, Order};
use super::schedule::{Counts, Schedule};
use super::stats::{KernelCounter, Stats};
use super::watch::Watch;
use crate::error::Error;
use crate::kernel::Kernel;

/// The most threads of an engine: more than any machine has cores.
pub const MAX_THREADS: usize = 4096;
/// Niceness of the workers: whatever else the machine does goes first.
const NICENESS: i32 = 10;

/// How many threads can run at once: the process's affinity mask and CPU quota decide.
#[must_use]
pub fn usable_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A pool of threads and the jobs that share it; dropping it closes it.
pub struct Engine {
    schedule: Arc<Schedule>,
    threads: usize,
    kernel: Kernel,
    workers: Mutex<Option<Workers>>,
}

/// The threads: those of a pool of its own, kept so that closing can wait for their ends.
struct Workers {
    pool: ThreadPool,
    handles: Vec<JoinHandle<()>>,
}

impl Engine {
    /// Starts an engine that serves its jobs in the given order; `threads: None` takes [`usable_threads`].
    ///
    /// # Errors
    /// [`Error::Invalid`] for no or absurdly many threads, [`Error::Threads`] if the system refuses them.
    pub fn new(threads: Option<usize>, kernel: Kernel, order: Order) -> Result<Self, Error> {
        let threads = match threads {
            Some(threads) if (1..=MAX_THREADS).contains(&threads) => threads,
            Some(threads) => {
                return Err(Error::Invalid(format!("threads must be 1 to {MAX_THREADS}, got {threads}")));
            }
            None => usable_threads(),
        };
        let workers = Mutex::new(Some(Workers::start(threads)?));
        Ok(Self { schedule: Arc::new(Schedule::new(order)), threads, kernel, workers })
    }

    fn workers(&self) -> MutexGuard<'_, Option<Workers>> {
        self.workers.lock().expect("no thread panicked with this lock")
    }

    /// Submits a job; it runs until its range ends, `max_zeros` is found, its deadline passes or it is cancelled.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad request, [`Error::Closed`], [`Error::Forked`].
    pub fn submit(&self, request: &JobRequest) -> Result<Job, Error> {
        self.schedule.check_process()?;
        let workers = self.workers();
        let Some(Workers { pool, .. }) = workers.as_ref() else {
            return Err(Error::Closed);
        };
        let (job, sleeping) = self.schedule.submit(request, self.threads, Instant::now())?;
        for _ in 0..sleeping {
            let (schedule, kernel) = (Arc::clone(&self.schedule), self.kernel);
            pool.spawn(move || work(&schedule, kernel));
        }
        Ok(job)
    }

    /// Takes the oldest events of all jobs, `limit` at most: each better find, and each job's end.
    ///
    /// Waits for the first one, but no longer than `timeout`.
    ///
    /// # Errors
    /// [`Error::Closed`] once the engine is closed and its last events were taken, [`Error::Forked`].
    pub fn events(&self, timeout: Duration, limit: usize) -> Result<Vec<Event>, Error> {
        self.schedule.check_process()?;
        self.schedule.events(timeout, limit)
    }

    /// Lets an event loop wait for events, ends and the engine's closing.
    ///
    /// # Errors
    /// [`Error::Watch`] if the system refuses a descriptor, [`Error::Forked`].
    pub fn watch(&self) -> Result<Watch, Error> {
        Watch::new(&self.schedule)
    }

    /// What tells it from every other engine that exists; its jobs' [`Job::engine_id`].
    #[must_use]
    pub fn id(&self) -> usize {
        self.schedule.id()
    }

    /// What the engine is doing now, and what it did so far.
    ///
    /// # Errors
    /// [`Error::Forked`].
    pub fn stats(&self) -> Result<Stats, Error> {
        self.schedule.check_process()?;
        let (counts, running) = self.schedule.stats();
        let Counts { hashes, finds, ended } = counts;
        Ok(Stats { hashes, finds, ended, running, threads: self.threads, kernel: self.kernel })
    }

    /// The number of worker threads.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The kernel that hashes.
    #[must_use]
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// The order in which jobs are served.
    #[must_use]
    pub fn order(&self) -> Order {
        self.schedule.order()
    }

    /// Cancels every job and waits for the threads' ends: a granule's time. A second time, or in a fork, does nothing.
    pub fn close(&self) {
        if self.schedule.check_process().is_err() {
            return;
        }
        let mut workers = self.workers();
        if let Some(workers) = workers.take() {
            self.schedule.cancel_all();
            workers.join();
            self.schedule.close();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
        if let Ok(workers) = self.workers.get_mut() {
            // In a fork the threads do not exist: to wait for them would last for ever.
            std::mem::forget(workers.take());
        }
    }
}

impl Workers {
    fn start(threads: usize) -> Result<Self, Error> {
        let mut handles = Vec::with_capacity(threads);
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .spawn_handler(|thread| {
                let name = format!("kale-hash-{}", thread.index());
                handles.push(std::thread::Builder::new().name(name).spawn(|| {
                    step_back();
                    thread.run();
                })?);
                Ok(())
            })
            .build()?;
        Ok(Self { pool, handles })
    }

    fn join(self) {
        drop(self.pool);
        for handle in self.handles {
            handle.join().expect("a worker that panics ends the process");
        }
    }
}

/// Lowers the calling thread's priority, so that submitting, databases and ledgers on the same machine keep their time.
fn step_back() {
    // The kernel knows priorities by thread. A refusal only costs the courtesy.
    let current = rustix::process::getpriority_process(None).unwrap_or(0);
    if current < NICENESS {
        let _ = rustix::process::setpriority_process(None, NICENESS);
    }
}

/// Hashes granule after granule until there is no work; then the pool lets the thread sleep.
fn work(schedule: &Schedule, kernel: Kernel) {
    let counter = KernelCounter::of(kernel);
    let mut done = None;
    while let Some(work) = schedule.next(done.take(), Instant::now()) {
        let find = work.claim.hash(kernel);
        counter.add(work.claim.length());
        done = Some((work, find));
    }
}
