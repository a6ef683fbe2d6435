//! How far a job is: pure bookkeeping, without locks or threads.

use std::cmp::Ordering;

use super::job::{Criteria, Find, JobRequest, JobState, Order};
use crate::error::Error;
use crate::kernel::{Kernel, Sink, Span};
use crate::message::Message;
use crate::zeros::count_zeros;

/// One piece of a job's range, to be hashed by one worker.
pub struct Claim {
    message: Message,
    span: Span,
    criteria: Criteria,
    best: Option<Find>,
}

impl Claim {
    /// How many nonces there are to hash.
    pub fn length(&self) -> u64 {
        self.span.length()
    }

    /// What judges the offers of a kernel for this piece.
    pub fn leader(&self) -> Leader<'_> {
        Leader { claim: self, best: self.best }
    }

    /// Hashes the piece and returns its best find, if that comes before what the job had when the piece was claimed.
    pub fn hash(&self, kernel: Kernel) -> Option<Find> {
        let mut leader = self.leader();
        kernel.scan(&self.message, self.span, &mut leader);
        leader.best.filter(|best| self.best != Some(*best))
    }
}

/// Keeps the best find. What a kernel offers counts only once another implementation has hashed it.
pub struct Leader<'a> {
    claim: &'a Claim,
    /// The best find so far, the job's own before any other.
    pub best: Option<Find>,
}

impl Sink for Leader<'_> {
    fn zeros(&self) -> u32 {
        self.claim.criteria.floor(self.best.as_ref())
    }

    #[cold]
    fn offer(&mut self, nonce: u64) {
        let digest = self.claim.message.work_hash(nonce);
        let find = Find { nonce, zeros: count_zeros(&digest), digest };
        if self.claim.criteria.prefers(&find, self.best.as_ref()) {
            self.best = Some(find);
        }
    }
}

/// A job's range, its finds and its share of the work.
#[derive(Debug)]
pub struct Progress {
    message: Message,
    order: Order,
    criteria: Criteria,
    weight: u32,
    next_nonce: u128,
    end: u128,
    /// Hashes of the pieces that were claimed.
    claimed: u64,
    /// Hashes of the pieces that are done.
    hashes: u64,
    /// Pieces claimed and not done.
    in_flight: u32,
    best: Option<Find>,
    /// The most zeros that an event told of.
    told_zeros: Option<u32>,
    /// The find that the next event is to tell of.
    news: Option<Find>,
    /// Why no more pieces are given out, if not for the end of the range.
    stopped: Option<JobState>,
}

impl Progress {
    /// A job that has just been submitted.
    pub fn new(request: &JobRequest, order: Order) -> Self {
        Self {
            message: request.message,
            order,
            criteria: request.criteria,
            weight: request.weight,
            next_nonce: request.nonces.start,
            end: request.nonces.end,
            claimed: 0,
            hashes: 0,
            in_flight: 0,
            best: None,
            told_zeros: None,
            news: None,
            stopped: None,
        }
    }

    /// The best find so far.
    pub fn best(&self) -> Option<Find> {
        self.best
    }

    /// Hashes computed so far.
    pub fn hashes(&self) -> u64 {
        self.hashes
    }

    /// The job's share of the hashes.
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// The first nonce that is neither hashed nor being hashed.
    pub fn next_nonce(&self) -> u128 {
        self.next_nonce
    }

    /// How the job stands.
    pub fn state(&self) -> JobState {
        if self.has_ended() { self.stopped.unwrap_or(JobState::Finished) } else { JobState::Running }
    }

    /// Whether pieces are left to be claimed.
    pub fn has_pieces(&self) -> bool {
        self.stopped.is_none() && self.next_nonce < self.end
    }

    /// Whether nothing will change any more.
    pub fn has_ended(&self) -> bool {
        self.in_flight == 0 && !self.has_pieces()
    }

    /// The job's place in the order in which jobs are served; `number` tells it from its equals.
    pub fn turn(&self, number: u64) -> Turn {
        let zeros = match self.order {
            Order::Weight => 0,
            Order::FewestZeros => self.criteria.wanted(self.best.as_ref()),
        };
        Turn { zeros, hashes: self.claimed, weight: self.weight, number }
    }

    /// Gives out the next piece, if there is one.
    pub fn claim(&mut self) -> Option<Claim> {
        if !self.has_pieces() {
            return None;
        }
        let start = u64::try_from(self.next_nonce).expect("below the range's end, so below 2^64");
        let length = u64::try_from(self.end - self.next_nonce).unwrap_or(u64::MAX);
        let span = Span::new(start, length);
        self.next_nonce += u128::from(span.length());
        self.claimed += span.length();
        self.in_flight += 1;
        Some(Claim { message: self.message, span, criteria: self.criteria, best: self.best })
    }

    /// Takes a piece back, done, with its best find.
    pub fn complete(&mut self, claim: &Claim, find: Option<Find>) {
        self.in_flight -= 1;
        self.hashes += claim.length();
        let Some(find) = find.filter(|find| self.criteria.prefers(find, self.best.as_ref())) else {
            return;
        };
        self.best = Some(find);
        if self.criteria.satisfied_by(&find) {
            self.stop(JobState::Finished);
        }
        if self.told_zeros.is_none_or(|told| told < find.zeros) {
            self.told_zeros = Some(find.zeros);
            self.news = Some(find);
        }
    }

    /// The find that the job's owner should hear of, once.
    pub fn take_news(&mut self) -> Option<Find> {
        self.news.take()
    }

    /// Gives out no more pieces. A job that has none left anyway keeps its state.
    pub fn stop(&mut self, state: JobState) {
        if self.has_pieces() {
            self.stopped = Some(state);
        }
    }

    /// Changes the job's share.
    pub fn set_weight(&mut self, weight: u32) {
        self.weight = weight;
    }

    /// Changes which finds count from now on; a best find that no longer counts is kept.
    pub fn set_min_zeros(&mut self, min_zeros: u32) -> Result<(), Error> {
        let criteria = Criteria { min_zeros, ..self.criteria };
        criteria.check()?;
        self.criteria = criteria;
        Ok(())
    }
}

/// A job's place in the order in which jobs are served: by [`Order`], then by hashes for the weight, then by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    zeros: u32,
    hashes: u64,
    weight: u32,
    number: u64,
}

impl Ord for Turn {
    fn cmp(&self, other: &Self) -> Ordering {
        let left = u128::from(self.hashes) * u128::from(other.weight);
        let right = u128::from(other.hashes) * u128::from(self.weight);
        self.zeros.cmp(&other.zeros).then(left.cmp(&right)).then(self.number.cmp(&other.number))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
