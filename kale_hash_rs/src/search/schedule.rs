//! Who is served next, and what happened: the state that workers and callers share.

use std::collections::{BTreeMap, VecDeque};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::handle::Job;
use super::job::{Event, Find, JobRequest, JobState, Order};
use super::progress::{Claim, Progress, Turn};
use super::stats::{Ended, JobStats};
use super::watch::Watcher;
use crate::error::Error;

/// A job as its worker and its owner share it.
pub struct Cell {
    /// The job's place among those submitted.
    pub number: u64,
    /// The caller's name for it.
    pub tag: Arc<str>,
    /// How far it is.
    pub progress: Mutex<Progress>,
    /// Notified at its end.
    pub ended: Condvar,
    deadline: Option<Instant>,
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
    /// The jobs that have not ended, by their numbers.
    running: BTreeMap<u64, Arc<Cell>>,
    /// Those of them that have a deadline, the next one first.
    deadlines: BTreeMap<(Instant, u64), Arc<Cell>>,
    events: VecDeque<Event>,
    watchers: BTreeMap<u64, Watcher>,
    watched: u64,
    submitted: u64,
    counts: Counts,
    /// Workers that are hashing or about to look for work.
    awake: usize,
    closed: bool,
}

/// What happened so far.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    /// Hashes computed.
    pub hashes: u64,
    /// Better finds that events told of.
    pub finds: u64,
    /// Ended jobs.
    pub ended: Ended,
}

/// The jobs of one engine.
pub struct Schedule {
    queue: Mutex<Queue>,
    news: Condvar,
    order: Order,
    owner: u32,
}

/// The guarded value; a thread that panicked while it held the lock left nothing to go on with.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread panicked with this lock")
}

/// Waits while `condition` holds, but no longer than `timeout`.
pub fn wait_while<'a, T>(
    news: &Condvar,
    guard: MutexGuard<'a, T>,
    timeout: Duration,
    condition: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'a, T> {
    news.wait_timeout_while(guard, timeout, condition).expect("no thread panicked with this lock").0
}

impl Schedule {
    /// A schedule without jobs.
    pub fn new(order: Order) -> Self {
        Self { queue: Mutex::default(), news: Condvar::new(), order, owner: std::process::id() }
    }

    /// The order in which jobs are served.
    pub fn order(&self) -> Order {
        self.order
    }

    /// What tells this from every other schedule that exists.
    pub fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Refuses a process that forked from the one that made this: it has no workers, and no one to free a held lock.
    pub fn check_process(&self) -> Result<(), Error> {
        if std::process::id() == self.owner { Ok(()) } else { Err(Error::Forked { owner: self.owner }) }
    }

    /// Adds a job at the time `now`; returns it and how many of `threads` workers must be woken for it.
    pub fn submit(self: &Arc<Self>, request: &JobRequest, threads: usize, now: Instant) -> Result<(Job, usize), Error> {
        request.check()?;
        let mut queue = lock(&self.queue);
        let cell = Arc::new(Cell {
            number: queue.submitted,
            tag: request.tag.as_str().into(),
            progress: Mutex::new(Progress::new(request, self.order)),
            ended: Condvar::new(),
            deadline: request.deadline,
        });
        queue.submitted += 1;
        queue.running.insert(cell.number, Arc::clone(&cell));
        if let Some(deadline) = cell.deadline {
            queue.deadlines.insert((deadline, cell.number), Arc::clone(&cell));
        }
        if lock(&cell.progress).has_ended() {
            self.end(&mut queue, &cell, &lock(&cell.progress));
        } else {
            self.update(&mut queue, &cell, |_| ());
        }
        self.expire(&mut queue, now);
        let sleeping = if queue.ready.is_empty() { 0 } else { threads - queue.awake };
        queue.awake += sleeping;
        drop(queue);
        Ok((Job::new(cell, Arc::clone(self)), sleeping))
    }

    /// Takes back a piece that is done, with its best find, and gives out the next one at the time `now`.
    ///
    /// With `None` the worker sleeps: [`Schedule::submit`] counts on that.
    pub fn next(&self, done: Option<(Work, Option<Find>)>, now: Instant) -> Option<Work> {
        let mut queue = lock(&self.queue);
        if let Some((Work { cell, claim }, find)) = done {
            queue.counts.hashes += claim.length();
            self.update(&mut queue, &cell, |progress| progress.complete(&claim, find));
        }
        self.expire(&mut queue, now);
        let work = self.claim(&mut queue);
        if work.is_none() {
            queue.awake -= 1;
        }
        work
    }

    fn claim(&self, queue: &mut Queue) -> Option<Work> {
        let cell = Arc::clone(queue.ready.first_key_value()?.1);
        let claim = self.update(queue, &cell, Progress::claim)?;
        Some(Work { cell, claim })
    }

    /// Stops the jobs whose deadlines have passed.
    fn expire(&self, queue: &mut Queue, now: Instant) {
        while let Some(first) = queue.deadlines.first_entry()
            && first.key().0 <= now
        {
            let cell = first.remove();
            self.update(queue, &cell, |progress| progress.stop(JobState::Expired));
        }
    }

    /// Changes a job, and with it its place in the order; tells what it finds and its end.
    fn update<T>(&self, queue: &mut Queue, cell: &Arc<Cell>, change: impl FnOnce(&mut Progress) -> T) -> T {
        let mut progress = lock(&cell.progress);
        let had_ended = progress.has_ended();
        queue.ready.remove(&cell.turn(&progress));
        let result = change(&mut progress);
        if progress.has_pieces() {
            queue.ready.insert(cell.turn(&progress), Arc::clone(cell));
        }
        if let Some(find) = progress.take_news() {
            queue.counts.finds += 1;
            self.tell(queue, cell, Some(find), false);
        }
        if progress.has_ended() && !had_ended {
            self.end(queue, cell, &progress);
        }
        result
    }

    /// Changes a job on its owner's behalf.
    pub fn change<T>(&self, cell: &Arc<Cell>, change: impl FnOnce(&mut Progress) -> T) -> Result<T, Error> {
        self.check_process()?;
        Ok(self.update(&mut lock(&self.queue), cell, change))
    }

    fn end(&self, queue: &mut Queue, cell: &Cell, progress: &Progress) {
        queue.running.remove(&cell.number);
        if let Some(deadline) = cell.deadline {
            queue.deadlines.remove(&(deadline, cell.number));
        }
        let ended = &mut queue.counts.ended;
        match progress.state() {
            JobState::Running => unreachable!("the job has ended"),
            JobState::Finished => ended.finished += 1,
            JobState::Cancelled => ended.cancelled += 1,
            JobState::Expired => ended.expired += 1,
        }
        self.tell(queue, cell, progress.best(), true);
        cell.ended.notify_all();
    }

    fn tell(&self, queue: &mut Queue, cell: &Cell, find: Option<Find>, ended: bool) {
        queue.events.push_back(Event { tag: Arc::clone(&cell.tag), find, ended });
        for watcher in queue.watchers.values_mut() {
            watcher.ring(ended.then_some(cell.number));
        }
        self.news.notify_all();
    }

    /// Takes the oldest events, `limit` at most; waits for the first one if there is none, but no longer than `timeout`.
    pub fn events(&self, timeout: Duration, limit: usize) -> Result<Vec<Event>, Error> {
        let queue = lock(&self.queue);
        let quiet = |queue: &mut Queue| queue.events.is_empty() && !queue.closed;
        let mut queue = wait_while(&self.news, queue, timeout, quiet);
        if queue.events.is_empty() && queue.closed {
            return Err(Error::Closed);
        }
        let count = limit.min(queue.events.len());
        Ok(queue.events.drain(..count).collect())
    }

    /// What happened so far, and how far the jobs are that have not ended.
    pub fn stats(&self) -> (Counts, Vec<JobStats>) {
        let queue = lock(&self.queue);
        let stats = |cell: &Arc<Cell>| {
            let progress = lock(&cell.progress);
            JobStats {
                tag: Arc::clone(&cell.tag),
                hashes: progress.hashes(),
                weight: progress.weight(),
                zeros: progress.best().map(|best| best.zeros),
            }
        };
        (queue.counts, queue.running.values().map(stats).collect())
    }

    /// Cancels every job; workers run out of work within a granule.
    pub fn cancel_all(&self) {
        let mut queue = lock(&self.queue);
        let jobs: Vec<_> = queue.running.values().map(Arc::clone).collect();
        for cell in jobs {
            self.update(&mut queue, &cell, |progress| progress.stop(JobState::Cancelled));
        }
    }

    /// Tells those who wait for events that there will be no more.
    pub fn close(&self) {
        let mut queue = lock(&self.queue);
        queue.closed = true;
        for watcher in queue.watchers.values_mut() {
            watcher.ring(None);
        }
        self.news.notify_all();
    }

    /// Adds a watcher; returns its number and the socket that it makes readable.
    pub fn watch(&self) -> Result<(u64, UnixStream), Error> {
        self.check_process()?;
        let (watcher, receiver) = Watcher::pair()?;
        let mut queue = lock(&self.queue);
        let number = queue.watched;
        queue.watched += 1;
        queue.watchers.insert(number, watcher);
        Ok((number, receiver))
    }

    /// Has the watcher called `number` looked at.
    pub fn look<T>(&self, number: u64, look: impl FnOnce(&mut Watcher) -> T) -> T {
        look(lock(&self.queue).watchers.get_mut(&number).expect("watched until it is dropped"))
    }

    /// Forgets the watcher called `number`.
    pub fn unwatch(&self, number: u64) {
        lock(&self.queue).watchers.remove(&number);
    }
}
