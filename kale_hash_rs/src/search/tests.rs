//! The order in which jobs are served and how finds are booked, without threads: the test plays the workers.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::job::{Criteria, Find, JobRequest, JobState, NONCES};
use super::progress::Progress;
use super::schedule::{Job, Schedule, Work};
use crate::kernel::{GRANULE, Sink};
use crate::message::Message;

/// Workers that a test may play.
const WORKERS: usize = 3;

fn request(nonces: Range<u128>, weight: u32) -> JobRequest {
    let message = Message { block_index: 1, entropy: [2; 32], farmer: [3; 32] };
    let criteria = Criteria { min_zeros: 0, max_zeros: 9 };
    JobRequest { tag: String::new(), message, criteria, nonces, weight }
}

fn find(nonce: u64, zeros: u32) -> Find {
    Find { nonce, zeros, digest: [0; 32] }
}

fn submit(schedule: &Arc<Schedule>, weight: u32) -> Job {
    schedule.submit(&request(0..NONCES, weight), WORKERS).expect("a good request").0
}

/// Hashes `granules` granules, as one worker would, and returns the last one unfinished.
fn serve(schedule: &Schedule, mut work: Work, granules: usize) -> Work {
    for _ in 0..granules {
        work = schedule.next(Some((work, None))).expect("endless jobs");
    }
    work
}

fn granules(job: &Job) -> u64 {
    job.hashes().expect("same process") / GRANULE
}

#[test]
fn jobs_are_served_in_proportion_to_their_weights() {
    let schedule = Arc::new(Schedule::new());
    let jobs = [1, 2, 5].map(|weight| submit(&schedule, weight));
    let work = schedule.next(None).expect("a granule");
    serve(&schedule, work, 800);
    for (job, share) in jobs.iter().zip([100, 200, 500]) {
        assert!(granules(job).abs_diff(share) <= 1, "{} of {share}", granules(job));
    }
}

#[test]
fn a_late_job_is_served_until_it_has_caught_up() {
    let schedule = Arc::new(Schedule::new());
    let early = submit(&schedule, 1);
    let work = schedule.next(None).expect("a granule");
    let work = serve(&schedule, work, 100);
    let late = submit(&schedule, 1);
    serve(&schedule, work, 120);
    assert!(granules(&early).abs_diff(110) <= 1 && granules(&late).abs_diff(110) <= 1);
}

#[test]
fn a_new_weight_counts_from_the_beginning() {
    let schedule = Arc::new(Schedule::new());
    let jobs = [1, 1].map(|weight| submit(&schedule, weight));
    let work = schedule.next(None).expect("a granule");
    let work = serve(&schedule, work, 100);
    jobs[1].set_weight(3).expect("a good weight");
    serve(&schedule, work, 300);
    assert!(granules(&jobs[0]).abs_diff(100) <= 1 && granules(&jobs[1]).abs_diff(300) <= 1);
    assert!(jobs[0].set_weight(0).is_err());
}

#[test]
fn a_cancelled_job_ends_when_its_last_granule_is_back() {
    let schedule = Arc::new(Schedule::new());
    let job = submit(&schedule, 1);
    let works = [0; WORKERS].map(|_| schedule.next(None));
    job.cancel().expect("same process");
    for work in works {
        assert_eq!(job.state().expect("same process"), JobState::Running);
        schedule_back(&schedule, work.expect("three granules"));
    }
    assert_eq!(job.state().expect("same process"), JobState::Cancelled);
    assert_eq!(job.next_nonce().expect("same process"), u128::from(3 * GRANULE));
}

/// Gives a granule back and expects no other.
fn schedule_back(schedule: &Schedule, work: Work) {
    assert!(schedule.next(Some((work, None))).is_none());
}

#[test]
fn an_equal_find_at_a_lower_nonce_becomes_the_best_and_is_not_told() {
    let mut progress = Progress::new(&request(0..NONCES, 1));
    let claims = [0; 4].map(|_| progress.claim().expect("a granule"));
    assert_eq!(progress.complete(&claims[2], Some(find(2 * GRANULE, 5))), Some(find(2 * GRANULE, 5)));
    assert_eq!(progress.complete(&claims[0], Some(find(7, 5))), None);
    assert_eq!(progress.best(), Some(find(7, 5)));
    assert_eq!(progress.complete(&claims[1], Some(find(GRANULE, 4))), None);
    assert_eq!(progress.complete(&claims[3], Some(find(3 * GRANULE, 6))), Some(find(3 * GRANULE, 6)));
}

#[test]
fn the_lowest_nonce_with_the_most_zeros_that_count_ends_a_job() {
    let mut progress = Progress::new(&request(0..NONCES, 1));
    let claims = [0; 2].map(|_| progress.claim().expect("a granule"));
    assert!(progress.complete(&claims[1], Some(find(GRANULE, 11))).is_some());
    assert!(!progress.has_pieces() && !progress.has_ended());
    progress.complete(&claims[0], Some(find(5, 9)));
    assert_eq!((progress.best(), progress.state()), (Some(find(5, 9)), JobState::Finished));
}

#[test]
fn a_raised_minimum_ignores_lesser_finds() {
    let mut progress = Progress::new(&request(0..NONCES, 1));
    let claim = progress.claim().expect("a granule");
    progress.set_min_zeros(4).expect("not above the maximum");
    assert_eq!(progress.complete(&claim, Some(find(1, 3))), None);
    assert_eq!(progress.best(), None);
    assert!(progress.set_min_zeros(10).is_err());
}

#[test]
fn what_a_kernel_offers_wrongly_does_not_count() {
    let mut progress = Progress::new(&request(0..NONCES, 1));
    progress.set_min_zeros(3).expect("not above the maximum");
    let claim = progress.claim().expect("a granule");
    let mut leader = claim.leader();
    for nonce in 0..50 {
        leader.offer(nonce);
    }
    assert_eq!(leader.best, None);
}

#[test]
fn waiting_ends_with_the_time_allowed() {
    let schedule = Arc::new(Schedule::new());
    let job = submit(&schedule, 1);
    assert!(!job.wait(Duration::ZERO).expect("same process"));
    assert!(schedule.events(Duration::ZERO).expect("same process").is_empty());
}

proptest! {
    #[test]
    fn claims_cover_a_range_once_and_in_order(start: u64, count in 0_u64..20 * GRANULE) {
        let start = u128::from(start);
        let end = (start + u128::from(count)).min(NONCES);
        let mut progress = Progress::new(&request(start..end, 1));
        let mut next = start;
        while let Some(claim) = progress.claim() {
            prop_assert!(claim.length() <= GRANULE);
            next += u128::from(claim.length());
            prop_assert_eq!(progress.next_nonce(), next);
            progress.complete(&claim, None);
        }
        prop_assert_eq!(next, end);
        prop_assert_eq!(progress.state(), JobState::Finished);
        prop_assert_eq!(u128::from(progress.hashes()), end - start);
    }
}
