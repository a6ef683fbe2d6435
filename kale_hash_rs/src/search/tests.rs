//! The order in which jobs are served and how finds are booked, without threads: the test plays the workers.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::handle::Job;
use super::job::{Criteria, Find, JobRequest, JobState, NONCES, Order};
use super::progress::Progress;
use super::schedule::{Schedule, Work};
use super::stats::Ended;
use crate::kernel::{GRANULE, Sink};
use crate::message::Message;

/// Workers that a test may play.
const WORKERS: usize = 3;

fn request(nonces: Range<u128>, weight: u32) -> JobRequest {
    let message = Message { block_index: 1, entropy: [2; 32], farmer: [3; 32] };
    let criteria = Criteria { min_zeros: 0, max_zeros: 9 };
    JobRequest { tag: String::new(), message, criteria, nonces, weight, deadline: None }
}

fn find(nonce: u64, zeros: u32) -> Find {
    Find { nonce, zeros, digest: [0; 32] }
}

fn schedule(order: Order) -> Arc<Schedule> {
    Arc::new(Schedule::new(order))
}

fn submit(schedule: &Arc<Schedule>, weight: u32) -> Job {
    submit_request(schedule, &request(0..NONCES, weight), Instant::now())
}

fn submit_request(schedule: &Arc<Schedule>, request: &JobRequest, now: Instant) -> Job {
    schedule.submit(request, WORKERS, now).expect("a good request").0
}

fn progress(nonces: Range<u128>) -> Progress {
    Progress::new(&request(nonces, 1), Order::Weight)
}

/// Completes a piece; the find that its owner should hear of.
fn complete(progress: &mut Progress, claim: &super::progress::Claim, find: Option<Find>) -> Option<Find> {
    progress.complete(claim, find);
    progress.take_news()
}

fn next(schedule: &Schedule, done: Option<(Work, Option<Find>)>) -> Option<Work> {
    schedule.next(done, Instant::now())
}

/// Hashes `granules` granules, as one worker would, and returns the last one unfinished.
fn serve(schedule: &Schedule, mut work: Work, granules: usize) -> Work {
    for _ in 0..granules {
        work = next(schedule, Some((work, None))).expect("endless jobs");
    }
    work
}

fn granules(job: &Job) -> u64 {
    job.hashes().expect("same process") / GRANULE
}

#[test]
fn jobs_are_served_in_proportion_to_their_weights() {
    let schedule = schedule(Order::Weight);
    let jobs = [1, 2, 5].map(|weight| submit(&schedule, weight));
    let work = next(&schedule, None).expect("a granule");
    serve(&schedule, work, 800);
    for (job, share) in jobs.iter().zip([100, 200, 500]) {
        assert!(granules(job).abs_diff(share) <= 1, "{} of {share}", granules(job));
    }
}

#[test]
fn a_late_job_is_served_until_it_has_caught_up() {
    let schedule = schedule(Order::Weight);
    let early = submit(&schedule, 1);
    let work = next(&schedule, None).expect("a granule");
    let work = serve(&schedule, work, 100);
    let late = submit(&schedule, 1);
    serve(&schedule, work, 120);
    assert!(granules(&early).abs_diff(110) <= 1 && granules(&late).abs_diff(110) <= 1);
}

#[test]
fn a_new_weight_counts_from_the_beginning() {
    let schedule = schedule(Order::Weight);
    let jobs = [1, 1].map(|weight| submit(&schedule, weight));
    let work = next(&schedule, None).expect("a granule");
    let work = serve(&schedule, work, 100);
    jobs[1].set_weight(3).expect("a good weight");
    serve(&schedule, work, 300);
    assert!(granules(&jobs[0]).abs_diff(100) <= 1 && granules(&jobs[1]).abs_diff(300) <= 1);
    assert!(jobs[0].set_weight(0).is_err());
}

#[test]
fn a_cancelled_job_ends_when_its_last_granule_is_back() {
    let schedule = schedule(Order::Weight);
    let job = submit(&schedule, 1);
    let works = [0; WORKERS].map(|_| next(&schedule, None));
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
    assert!(next(schedule, Some((work, None))).is_none());
}

#[test]
fn an_equal_find_at_a_lower_nonce_becomes_the_best_and_is_not_told() {
    let mut progress = progress(0..NONCES);
    let claims = [0; 4].map(|_| progress.claim().expect("a granule"));
    assert_eq!(complete(&mut progress, &claims[2], Some(find(2 * GRANULE, 5))), Some(find(2 * GRANULE, 5)));
    assert_eq!(complete(&mut progress, &claims[0], Some(find(7, 5))), None);
    assert_eq!(progress.best(), Some(find(7, 5)));
    assert_eq!(complete(&mut progress, &claims[1], Some(find(GRANULE, 4))), None);
    assert_eq!(complete(&mut progress, &claims[3], Some(find(3 * GRANULE, 6))), Some(find(3 * GRANULE, 6)));
}

#[test]
fn the_lowest_nonce_with_the_most_zeros_that_count_ends_a_job() {
    let mut progress = progress(0..NONCES);
    let claims = [0; 2].map(|_| progress.claim().expect("a granule"));
    assert!(complete(&mut progress, &claims[1], Some(find(GRANULE, 11))).is_some());
    assert!(!progress.has_pieces() && !progress.has_ended());
    complete(&mut progress, &claims[0], Some(find(5, 9)));
    assert_eq!((progress.best(), progress.state()), (Some(find(5, 9)), JobState::Finished));
}

#[test]
fn a_raised_minimum_ignores_lesser_finds() {
    let mut progress = progress(0..NONCES);
    let claim = progress.claim().expect("a granule");
    progress.set_min_zeros(4).expect("not above the maximum");
    assert_eq!(complete(&mut progress, &claim, Some(find(1, 3))), None);
    assert_eq!(progress.best(), None);
    assert!(progress.set_min_zeros(10).is_err());
}

#[test]
fn what_a_kernel_offers_wrongly_does_not_count() {
    let mut progress = progress(0..NONCES);
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
    let schedule = schedule(Order::Weight);
    let job = submit(&schedule, 1);
    assert!(!job.wait(Duration::ZERO).expect("same process"));
    assert!(schedule.events(Duration::ZERO, usize::MAX).expect("same process").is_empty());
}

#[test]
fn a_deadline_stops_a_job_that_waits_for_its_turn() {
    let (schedule, start) = (schedule(Order::Weight), Instant::now());
    let before = start + Duration::from_secs(1);
    let deadline = before + Duration::from_nanos(1);
    let endless = submit(&schedule, 1);
    let job = submit_request(
        &schedule,
        &JobRequest { deadline: Some(deadline), ..request(GRANULE.into()..NONCES, 1) },
        start,
    );
    let state = || job.state().expect("same process");
    // The first granule and the third are the endless job's, the second and the fourth the other's.
    let [first, second, third] = [0; WORKERS].map(|_| schedule.next(None, start).expect("a granule"));
    let fourth = schedule.next(Some((first, None)), before).expect("a granule");
    schedule.next(Some((third, None)), deadline);
    schedule.next(Some((second, Some(find(GRANULE, 3)))), deadline);
    assert_eq!((state(), job.hashes().unwrap()), (JobState::Running, GRANULE), "a granule is being hashed");
    schedule.next(Some((fourth, None)), deadline);
    assert_eq!((state(), job.hashes().unwrap()), (JobState::Expired, 2 * GRANULE));
    assert_eq!(job.next_nonce().expect("same process"), u128::from(3 * GRANULE));
    assert_eq!(endless.state().expect("same process"), JobState::Running);
    assert_eq!(schedule.stats().0.ended, Ended { expired: 1, ..Ended::default() });
}

#[test]
fn a_deadline_that_has_passed_lets_nothing_be_hashed() {
    let (schedule, now) = (schedule(Order::Weight), Instant::now());
    let job = submit_request(&schedule, &JobRequest { deadline: Some(now), ..request(7..NONCES, 1) }, now);
    assert_eq!((job.state().unwrap(), job.hashes().unwrap()), (JobState::Expired, 0));
    assert_eq!(job.next_nonce().unwrap(), 7);
    let empty = submit_request(&schedule, &JobRequest { deadline: Some(now), ..request(7..7, 1) }, now);
    assert_eq!(empty.state().unwrap(), JobState::Finished);
}

#[test]
fn a_job_that_ends_in_time_is_not_expired_later() {
    let (schedule, start) = (schedule(Order::Weight), Instant::now());
    let deadline = start + Duration::from_secs(1);
    let job = submit_request(&schedule, &JobRequest { deadline: Some(deadline), ..request(0..5, 1) }, start);
    let work = schedule.next(None, start);
    assert!(schedule.next(work.map(|work| (work, None)), deadline).is_none());
    assert_eq!(job.state().expect("same process"), JobState::Finished);
}

#[test]
fn the_job_with_the_fewest_zeros_is_served_next() {
    let schedule = schedule(Order::FewestZeros);
    let jobs = [1, 1, 1].map(|weight| submit(&schedule, weight));
    let zeros = |job: &Job| job.best().expect("same process").map(|best| best.zeros);
    // What the next granules find, in the order in which they are given out.
    let mut work = next(&schedule, None).expect("a granule");
    for zeros in [4, 2, 0, 1, 1, 3, 0, 3, 5, 4] {
        work = next(&schedule, Some((work, Some(find(u64::MAX, zeros))))).expect("endless jobs");
    }
    // First to 4, second to 2, third to 0, 1, (1), 3; second (0), 3, second and third are equal: by hashes.
    assert_eq!(jobs.each_ref().map(zeros), [Some(4), Some(5), Some(4)]);
    assert_eq!(jobs.each_ref().map(granules), [1, 4, 5]);
}

#[test]
fn a_minimum_counts_as_zeros_that_a_job_has() {
    let schedule = schedule(Order::FewestZeros);
    let jobs = [1, 1].map(|weight| submit(&schedule, weight));
    jobs[0].set_min_zeros(1).expect("not above the maximum");
    let work = next(&schedule, None).expect("a granule");
    let work = serve(&schedule, work, 10);
    assert_eq!(jobs.each_ref().map(granules), [0, 10]);
    jobs[1].set_min_zeros(2).expect("not above the maximum");
    serve(&schedule, work, 11);
    assert_eq!(jobs.each_ref().map(granules), [10, 11]);
}

#[test]
fn events_come_one_at_a_time_if_so_wanted_and_stay_in_order() {
    let schedule = schedule(Order::Weight);
    let job = submit_request(&schedule, &request(0..1, 1), Instant::now());
    let work = next(&schedule, None).expect("a granule");
    assert!(next(&schedule, Some((work, Some(find(0, 2))))).is_none());
    let events = [0; 3].map(|_| schedule.events(Duration::ZERO, 1).expect("open"));
    let ended = events.each_ref().map(|events| events.iter().map(|event| event.ended).collect::<Vec<_>>());
    assert_eq!(ended, [vec![false], vec![true], vec![]]);
    assert_eq!(events[0][0].find, job.best().expect("same process"));
}

proptest! {
    #[test]
    fn claims_cover_a_range_once_and_in_order(start: u64, count in 0_u64..20 * GRANULE) {
        let start = u128::from(start);
        let end = (start + u128::from(count)).min(NONCES);
        let mut progress = progress(start..end);
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
