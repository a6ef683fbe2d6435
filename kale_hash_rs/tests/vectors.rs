//! The hashes of `tests/vectors/work_hashes.json`, which the Python tests read too.

mod common;

use common::{Collector, vectors};
use kale_hash_rs::{Kernel, Span, count_zeros};

#[test]
fn the_vectors_hash_to_their_digests() {
    for vector in vectors() {
        let digest = vector.message.work_hash(vector.nonce);
        assert_eq!(digest, vector.digest, "{}", vector.name);
        assert_eq!(count_zeros(&digest), vector.zeros, "{}", vector.name);
    }
}

#[test]
fn every_kernel_offers_a_vector_for_its_zeros_and_not_for_more() {
    for kernel in Kernel::available() {
        for vector in vectors() {
            for zeros in 0..=64 {
                let mut offered = Collector::new(zeros);
                kernel.scan(&vector.message, Span::new(vector.nonce, 1), &mut offered);
                let expected: &[u64] = if zeros <= vector.zeros { &[vector.nonce] } else { &[] };
                assert_eq!(offered.sorted(), expected, "{} at {zeros} zeros, {}", vector.name, kernel.name());
            }
        }
    }
}
