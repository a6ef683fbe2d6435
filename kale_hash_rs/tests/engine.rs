//! The engine's promises, with real threads and every kernel.

mod common;

use std::ops::Range;
use std::time::Duration;

use common::message;
use kale_hash_rs::search::{Criteria, Event, Find, Job, JobRequest, JobState, MAX_THREADS, NONCES, Order};
use kale_hash_rs::{Engine, Error, GRANULE, Kernel, count_zeros};

/// Long enough for anything that ever ends.
const PATIENCE: Duration = Duration::from_mins(2);

fn request(nonces: Range<u128>) -> JobRequest {
    JobRequest {
        tag: "job".into(),
        message: message(),
        criteria: Criteria { min_zeros: 0, max_zeros: 64 },
        nonces,
        weight: 1,
        deadline: None,
    }
}

/// Every engine that a promise must hold for.
fn engines() -> Vec<Engine> {
    let new = |threads, kernel| Engine::new(Some(threads), kernel, Order::Weight).expect("the engine starts");
    Kernel::available().into_iter().flat_map(|kernel| [1, 2, 5].map(|threads| new(threads, kernel))).collect()
}

fn finish(engine: &Engine, request: &JobRequest) -> Job {
    let job = engine.submit(request).expect("a good request");
    assert!(job.wait(PATIENCE).expect("same process"), "the job ends");
    job
}

fn best_of(nonces: Range<u128>) -> Option<Find> {
    let find = |nonce| {
        let digest = message().work_hash(nonce);
        Find { nonce, zeros: count_zeros(&digest), digest }
    };
    let nonces = nonces.map(|nonce| u64::try_from(nonce).expect("a nonce"));
    nonces.map(find).max_by_key(|find| (find.zeros, std::cmp::Reverse(find.nonce)))
}

/// Takes events until a job has ended.
fn events_of_one_job(engine: &Engine) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    while !events.last().is_some_and(|event| event.ended) {
        events.extend(engine.events(PATIENCE, usize::MAX).expect("the engine is open"));
    }
    events
}

#[test]
fn the_best_find_of_a_range_depends_on_neither_threads_nor_kernel() {
    let ranges = [3..80_003, (1 << 32) - 20_001..(1 << 32) + 20_001, NONCES - 40_000..NONCES, 77..78];
    for nonces in ranges {
        let best = best_of(nonces.clone());
        for engine in engines() {
            let job = finish(&engine, &request(nonces.clone()));
            assert_eq!(job.best().unwrap(), best, "{nonces:?}, {:?}", engine.stats().unwrap());
            assert_eq!(u128::from(job.hashes().unwrap()), nonces.end - nonces.start);
            assert_eq!((job.next_nonce().unwrap(), job.state().unwrap()), (nonces.end, JobState::Finished));
        }
    }
}

#[test]
fn the_find_that_ends_a_job_depends_on_neither_threads_nor_kernel() {
    let criteria = Criteria { min_zeros: 2, max_zeros: 4 };
    let enough = |nonce: &u64| count_zeros(&message().work_hash(*nonce)) >= 4;
    let first = (0..u64::MAX).find(enough).expect("one in 65,536");
    for engine in engines() {
        let job = finish(&engine, &JobRequest { criteria, ..request(0..NONCES) });
        assert_eq!(job.best().unwrap().map(|best| best.nonce), Some(first));
        assert_eq!(job.state().unwrap(), JobState::Finished);
    }
}

#[test]
fn events_tell_each_better_find_once_and_then_the_end() {
    for engine in engines() {
        let job = engine.submit(&request(0..150_000)).unwrap();
        let events = events_of_one_job(&engine);
        let (last, finds) = events.split_last().expect("an end at least");
        assert_eq!((last.find, last.ended), (job.best().unwrap(), true));
        let zeros: Vec<u32> = finds.iter().map(|event| event.find.expect("a find").zeros).collect();
        assert!(zeros.is_sorted_by(|a, b| a < b), "{zeros:?}");
        assert_eq!(zeros.last().copied(), job.best().unwrap().map(|best| best.zeros));
    }
}

#[test]
fn finds_below_the_minimum_are_not_told() {
    for engine in engines() {
        let criteria = Criteria { min_zeros: 12, max_zeros: 64 };
        let job = finish(&engine, &JobRequest { criteria, ..request(0..100_000) });
        assert_eq!(job.best().unwrap(), None);
        assert_eq!(
            engine.events(PATIENCE, usize::MAX).unwrap(),
            [Event { tag: "job".into(), find: None, ended: true }]
        );
    }
}

#[test]
fn a_cancelled_job_hashes_at_most_one_more_granule_a_thread() {
    for engine in engines() {
        let job = engine.submit(&request(0..NONCES)).unwrap();
        engine.events(PATIENCE, usize::MAX).unwrap();
        job.cancel().unwrap();
        let hashes = job.hashes().unwrap();
        assert!(job.wait(PATIENCE).unwrap());
        let more = job.hashes().unwrap() - hashes;
        assert!(more <= engine.threads() as u64 * GRANULE, "{more} more with {} threads", engine.threads());
        assert_eq!(job.state().unwrap(), JobState::Cancelled);
    }
}

#[test]
fn a_cancelled_job_resumes_without_hashing_anything_twice() {
    let whole = 0..300_000;
    let best = best_of(whole.clone());
    for engine in engines() {
        let first = engine.submit(&request(whole.clone())).unwrap();
        engine.events(PATIENCE, usize::MAX).unwrap();
        first.cancel().unwrap();
        assert!(first.wait(PATIENCE).unwrap());
        let second = finish(&engine, &request(first.next_nonce().unwrap()..whole.end));
        let hashes = first.hashes().unwrap() + second.hashes().unwrap();
        assert_eq!(u128::from(hashes), whole.end);
        let finds = [first.best().unwrap(), second.best().unwrap()].into_iter().flatten();
        assert_eq!(finds.max_by_key(|find| (find.zeros, std::cmp::Reverse(find.nonce))), best);
    }
}

#[test]
fn an_empty_range_finishes_at_once() {
    let engine = Engine::new(Some(1), Kernel::Portable, Order::Weight).unwrap();
    for start in [0, NONCES] {
        let job = engine.submit(&request(start..start)).unwrap();
        assert_eq!((job.state().unwrap(), job.hashes().unwrap()), (JobState::Finished, 0));
        assert_eq!(engine.events(PATIENCE, usize::MAX).unwrap().len(), 1);
    }
}

#[test]
fn raising_the_minimum_keeps_the_best_find_and_ignores_lesser_ones() {
    let engine = Engine::new(Some(2), Kernel::Portable, Order::Weight).unwrap();
    let job = engine.submit(&request(0..NONCES)).unwrap();
    engine.events(PATIENCE, usize::MAX).unwrap();
    job.set_min_zeros(20).unwrap();
    let best = job.best().unwrap();
    job.cancel().unwrap();
    assert!(job.wait(PATIENCE).unwrap());
    assert_eq!(job.best().unwrap(), best);
    assert!(matches!(job.set_min_zeros(65), Err(Error::Invalid(_))));
}

#[test]
fn closing_ends_every_job_and_refuses_new_ones() {
    for engine in engines() {
        let jobs: Vec<Job> = (0..20).map(|_| engine.submit(&request(0..NONCES)).unwrap()).collect();
        engine.close();
        engine.close();
        assert!(jobs.iter().all(|job| job.state().unwrap() == JobState::Cancelled));
        assert_eq!(engine.stats().unwrap().running, []);
        assert!(matches!(engine.submit(&request(0..1)), Err(Error::Closed)));
        assert_eq!(engine.events(PATIENCE, usize::MAX).unwrap().iter().filter(|event| event.ended).count(), 20);
        assert!(matches!(engine.events(PATIENCE, usize::MAX), Err(Error::Closed)));
    }
}

#[test]
fn bad_requests_are_refused_with_their_reason() {
    let engine = Engine::new(Some(1), Kernel::Portable, Order::Weight).unwrap();
    let zeros = |min_zeros, max_zeros| JobRequest { criteria: Criteria { min_zeros, max_zeros }, ..request(0..1) };
    #[allow(clippy::reversed_empty_ranges, reason = "that is what must be refused")]
    let bad =
        [zeros(5, 4), zeros(0, 65), request(0..NONCES + 1), request(2..1), JobRequest { weight: 0, ..request(0..1) }];
    for request in bad {
        assert!(matches!(engine.submit(&request), Err(Error::Invalid(_))), "{request:?}");
    }
    for threads in [0, MAX_THREADS + 1] {
        assert!(matches!(Engine::new(Some(threads), Kernel::Portable, Order::Weight), Err(Error::Invalid(_))));
    }
}
