//! Who is served next, and what happened: the state that workers and callers share.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::job::{Event, Find, JobRequest, JobState, check_weight};
use super::progress::{Claim, Progress, Turn};
use crate::error::Error;

/// A job as its worker and its owner share it.
pub struct Cell {
    number: u64,
    tag: Arc<str>,
    progress: Mutex<Progress>,
    ended: Condvar,
}

impl Cell {
    fn turn(&self, progress: &Progress) -> Turn {
        progress.turn(self.number)
    }
}

/// A claimed piece of a job's work.
pub struct Work {
    cell: Arc<Cell>,
    /// What is to be hashed.
    pub claim: Claim,
}

/// What the one lock protects. A job's own lock is taken only after it.
#[derive(Default)]
struct Queue {
    /// The jobs with pieces left, in the order in which they are served.
    ready: BTreeMap<Turn, Arc<Cell>>,
    events: VecDeque<Event>,
    /// Jobs that have not ended.
    running: usize,
    submitted: u64,
    hashes: u64,
    /// Workers that are hashing or about to look for work.
    awake: usize,
    closed: bool,
}

/// The jobs of one engine.
pub struct Schedule {
    queue: Mutex<Queue>,
    news: Condvar,
    owner: u32,
}

/// The guarded value; a thread that panicked while it held the lock left nothing to go on with.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread panicked with this lock")
}

/// Waits while `condition` holds, but no longer than `timeout`.
fn wait_while<'a, T>(
    news: &Condvar,
    guard: MutexGuard<'a, T>,
    timeout: Duration,
    condition: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'a, T> {
    news.wait_timeout_while(guard, timeout, condition).expect("no thread panicked with this lock").0
}

impl Schedule {
    /// A schedule without jobs.
    pub fn new() -> Self {
        Self { queue: Mutex::default(), news: Condvar::new(), owner: std::process::id() }
    }

    /// Refuses a process that forked from the one that made this: it has no workers, and no one to free a held lock.
    pub fn check_process(&self) -> Result<(), Error> {
        if std::process::id() == self.owner { Ok(()) } else { Err(Error::Forked { owner: self.owner }) }
    }

    /// Adds a job; returns it and how many of `threads` workers must be woken for it.
    pub fn submit(self: &Arc<Self>, request: &JobRequest, threads: usize) -> Result<(Job, usize), Error> {
        request.check()?;
        let mut queue = lock(&self.queue);
        let cell = Arc::new(Cell {
            number: queue.submitted,
            tag: request.tag.as_str().into(),
            progress: Mutex::new(Progress::new(request)),
            ended: Condvar::new(),
        });
        queue.submitted += 1;
        queue.running += 1;
        let mut sleeping = 0;
        let progress = lock(&cell.progress);
        if progress.has_pieces() {
            queue.ready.insert(cell.turn(&progress), Arc::clone(&cell));
            sleeping = threads - queue.awake;
            queue.awake = threads;
        } else {
            self.end(&mut queue, &cell, &progress);
        }
        drop(progress);
        Ok((Job { cell, schedule: Arc::clone(self) }, sleeping))
    }

    /// Takes back a piece that is done, with its best find, and gives out the next one.
    ///
    /// With `None` the worker sleeps: [`Schedule::submit`] counts on that.
    pub fn next(&self, done: Option<(Work, Option<Find>)>) -> Option<Work> {
        let mut queue = lock(&self.queue);
        if let Some((work, find)) = done {
            self.complete(&mut queue, &work, find);
        }
        let work = Self::claim(&mut queue);
        if work.is_none() {
            queue.awake -= 1;
        }
        work
    }

    fn claim(queue: &mut Queue) -> Option<Work> {
        let (_, cell) = queue.ready.pop_first()?;
        let mut progress = lock(&cell.progress);
        let claim = progress.claim()?;
        if progress.has_pieces() {
            queue.ready.insert(cell.turn(&progress), Arc::clone(&cell));
        }
        drop(progress);
        Some(Work { cell, claim })
    }

    fn complete(&self, queue: &mut Queue, work: &Work, find: Option<Find>) {
        let mut progress = lock(&work.cell.progress);
        queue.hashes += work.claim.length();
        if let Some(find) = progress.complete(&work.claim, find) {
            queue.events.push_back(Event { tag: Arc::clone(&work.cell.tag), find: Some(find), ended: false });
            self.news.notify_all();
        }
        if !progress.has_pieces() {
            queue.ready.remove(&work.cell.turn(&progress));
        }
        if progress.has_ended() {
            self.end(queue, &work.cell, &progress);
        }
    }

    fn cancel(&self, queue: &mut Queue, cell: &Arc<Cell>) {
        let mut progress = lock(&cell.progress);
        if queue.ready.remove(&cell.turn(&progress)).is_some() {
            progress.stop(JobState::Cancelled);
            if progress.has_ended() {
                self.end(queue, cell, &progress);
            }
        }
    }

    fn end(&self, queue: &mut Queue, cell: &Cell, progress: &Progress) {
        queue.running -= 1;
        queue.events.push_back(Event { tag: Arc::clone(&cell.tag), find: progress.best(), ended: true });
        self.news.notify_all();
        cell.ended.notify_all();
    }

    /// Takes all events; waits for the first one if there is none, but no longer than `timeout`.
    pub fn events(&self, timeout: Duration) -> Result<Vec<Event>, Error> {
        let queue = lock(&self.queue);
        let quiet = |queue: &mut Queue| queue.events.is_empty() && !queue.closed;
        let mut queue = wait_while(&self.news, queue, timeout, quiet);
        if queue.events.is_empty() && queue.closed {
            return Err(Error::Closed);
        }
        Ok(queue.events.drain(..).collect())
    }

    /// All hashes computed so far, and how many jobs have not ended.
    pub fn totals(&self) -> (u64, usize) {
        let queue = lock(&self.queue);
        (queue.hashes, queue.running)
    }

    /// Cancels every job; workers run out of work within a granule.
    pub fn cancel_all(&self) {
        let mut queue = lock(&self.queue);
        let jobs: Vec<_> = queue.ready.values().map(Arc::clone).collect();
        for cell in jobs {
            self.cancel(&mut queue, &cell);
        }
    }

    /// Tells those who wait for events that there will be no more.
    pub fn close(&self) {
        lock(&self.queue).closed = true;
        self.news.notify_all();
    }
}

/// The owner's handle of a job. Dropping it does not end the job.
#[derive(Clone)]
pub struct Job {
    cell: Arc<Cell>,
    schedule: Arc<Schedule>,
}

/// Every method fails with [`Error::Forked`] in a fork of the process that made the engine.
#[allow(clippy::missing_errors_doc, reason = "said once, above")]
impl Job {
    fn progress(&self) -> Result<MutexGuard<'_, Progress>, Error> {
        self.schedule.check_process()?;
        Ok(lock(&self.cell.progress))
    }

    /// The tag it was submitted with.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.cell.tag
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
        self.schedule.check_process()?;
        let mut queue = lock(&self.schedule.queue);
        let mut progress = lock(&self.cell.progress);
        let waiting = queue.ready.remove(&self.cell.turn(&progress));
        progress.set_weight(weight);
        if let Some(cell) = waiting {
            queue.ready.insert(cell.turn(&progress), Arc::clone(&cell));
        }
        Ok(())
    }

    /// Changes which finds count in granules not yet begun; fails if `min_zeros` is more than the job's `max_zeros`.
    pub fn set_min_zeros(&self, min_zeros: u32) -> Result<(), Error> {
        self.progress()?.set_min_zeros(min_zeros)
    }

    /// Asks the job to end; it does once the granules that are being hashed are done. A second time changes nothing.
    pub fn cancel(&self) -> Result<(), Error> {
        self.schedule.check_process()?;
        self.schedule.cancel(&mut lock(&self.schedule.queue), &self.cell);
        Ok(())
    }

    /// Waits for the job's end, but no longer than `timeout`; returns whether it has ended.
    pub fn wait(&self, timeout: Duration) -> Result<bool, Error> {
        let progress = self.progress()?;
        let runs = |progress: &mut Progress| !progress.has_ended();
        let progress = wait_while(&self.cell.ended, progress, timeout, runs);
        Ok(progress.has_ended())
    }
}
