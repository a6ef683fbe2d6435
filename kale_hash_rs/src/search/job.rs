//! What a search looks for and what it tells: the types of a job's request and of its results.

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use crate::error::Error;
use crate::message::Message;

/// One past the largest nonce.
pub const NONCES: u128 = 1 << 64;

/// A nonce that was found, with its work hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Find {
    /// The nonce.
    pub nonce: u64,
    /// Leading zero nibbles of the digest.
    pub zeros: u32,
    /// The work hash.
    pub digest: [u8; 32],
}

/// Which finds count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Criteria {
    /// Finds with fewer zeros do not count.
    pub min_zeros: u32,
    /// More zeros than this are not better, and finding this many ends the job.
    pub max_zeros: u32,
}

impl Criteria {
    /// Checks that `min_zeros <= max_zeros <= 64`.
    ///
    /// # Errors
    /// [`Error::Invalid`] otherwise.
    pub fn check(self) -> Result<(), Error> {
        let Self { min_zeros, max_zeros } = self;
        if min_zeros <= max_zeros && max_zeros <= 64 {
            return Ok(());
        }
        Err(Error::Invalid(format!("min_zeros ({min_zeros}) <= max_zeros ({max_zeros}) <= 64 must hold")))
    }

    /// Whether `find` ends the search.
    pub(super) fn satisfied_by(self, find: &Find) -> bool {
        find.zeros >= self.max_zeros
    }

    /// Whether `find` counts and comes before `best`: more zeros, as far as they count, or as many at a lower nonce.
    pub(super) fn prefers(self, find: &Find, best: Option<&Find>) -> bool {
        let rank = |find: &Find| (find.zeros.min(self.max_zeros), Reverse(find.nonce));
        find.zeros >= self.min_zeros && best.is_none_or(|best| rank(find) > rank(best))
    }

    /// The fewest zeros of a find that has more than `best`; without one, of a find that counts.
    pub(super) fn wanted(self, best: Option<&Find>) -> u32 {
        best.map_or(0, |best| best.zeros + 1).max(self.min_zeros)
    }

    /// The fewest zeros of a find that may come before `best`.
    pub(super) fn floor(self, best: Option<&Find>) -> u32 {
        best.map_or(self.min_zeros, |best| best.zeros.min(self.max_zeros).max(self.min_zeros))
    }
}

/// What to search for, and where.
#[derive(Clone, Debug)]
pub struct JobRequest {
    /// The caller's name for the job; it comes back with its events.
    pub tag: String,
    /// What is hashed.
    pub message: Message,
    /// Which finds count.
    pub criteria: Criteria,
    /// The nonces to hash; the end may be 2^64.
    pub nonces: Range<u128>,
    /// The job's share of the hashes, relative to those of the others: 1 or more.
    pub weight: u32,
    /// When the job ends at the latest, but for the granules being hashed then; on the monotonic clock.
    pub deadline: Option<Instant>,
}

impl JobRequest {
    /// Checks what the types do not.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.criteria.check()?;
        check_weight(self.weight)?;
        let Range { start, end } = self.nonces;
        if start <= end && end <= NONCES {
            return Ok(());
        }
        Err(Error::Invalid(format!(
            "nonces must lie between 0 and 2**64 - 1, got {start} up to but not including {end}"
        )))
    }
}

/// Checks that a weight is at least 1.
pub(super) fn check_weight(weight: u32) -> Result<(), Error> {
    if weight == 0 { Err(Error::Invalid("a weight must be at least 1, got 0".into())) } else { Ok(()) }
}

/// Which job is served next; among equals the one with the fewest hashes for its weight, then the oldest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// All jobs are equals.
    #[default]
    Weight,
    /// The job first whose next find needs the fewest zeros: those of its best find and one more, or `min_zeros`.
    FewestZeros,
}

impl Order {
    /// Every order.
    pub const ALL: [Self; 2] = [Self::Weight, Self::FewestZeros];

    /// The order called `name`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is none.
    pub fn named(name: &str) -> Result<Self, Error> {
        let names = Self::ALL.map(|order| format!("{:?}", order.name())).join(" or ");
        Self::ALL
            .into_iter()
            .find(|order| order.name() == name)
            .ok_or_else(|| Error::Invalid(format!("order must be {names}, got {name:?}")))
    }

    /// The name that [`Order::named`] knows it by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Weight => "weight",
            Self::FewestZeros => "fewest_zeros",
        }
    }
}

/// How a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Some of its nonces are still to be hashed, or being hashed.
    Running,
    /// The range is hashed, or `max_zeros` was reached.
    Finished,
    /// It was cancelled before it could finish.
    Cancelled,
    /// Its deadline passed before it could finish.
    Expired,
}

impl JobState {
    /// The state in one lower-case word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

/// News of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The job's tag.
    pub tag: Arc<str>,
    /// The find; in the event that ends a job its best one, if it has any.
    pub find: Option<Find>,
    /// Whether this is the job's last event.
    pub ended: bool,
}
