//! Every kernel against an oracle that shares no code with it: the `sha3` crate.

mod common;

use common::{Collector, message};
use kale_hash_rs::{GRANULE, Kernel, Message, Span, count_zeros};
use proptest::prelude::*;

/// Where a nonce's upper half, or one of its bytes, is about to change, and the two ends.
const STARTS: [u64; 6] =
    [0, (1 << 24) - GRANULE, (1 << 32) - GRANULE, 1 << 32, 0x0123_4567_89ab_c000, u64::MAX - GRANULE + 1];

fn offered(kernel: Kernel, message: &Message, span: Span, zeros: u32) -> Vec<u64> {
    let mut sink = Collector::new(zeros);
    kernel.scan(message, span, &mut sink);
    sink.sorted()
}

fn expected(message: &Message, span: Span, zeros: u32) -> Vec<u64> {
    span.nonces().filter(|nonce| count_zeros(&message.work_hash(*nonce)) >= zeros).collect()
}

#[test]
fn a_kernel_for_every_cpu_is_the_last_resort() {
    assert_eq!(Kernel::available().last(), Some(&Kernel::Portable));
    assert_eq!(Kernel::named("auto").ok(), Kernel::available().first().copied());
}

#[test]
fn a_kernel_that_does_not_exist_is_an_error_that_names_those_that_do() {
    let error = Kernel::named("abacus").expect_err("there is none").to_string();
    assert!(error.contains("\"abacus\"") && error.contains("portable"), "{error}");
}

#[test]
fn kernels_offer_every_nonce_of_a_granule_once_when_no_zeros_are_asked() {
    for kernel in Kernel::available() {
        for start in STARTS {
            let span = Span::new(start, GRANULE);
            assert!(offered(kernel, &message(), span, 0).into_iter().eq(span.nonces()), "{} at {start}", kernel.name());
        }
    }
}

#[test]
fn kernels_offer_what_the_oracle_finds_in_whole_granules() {
    for start in STARTS {
        let span = Span::new(start, GRANULE);
        for zeros in 1..=4 {
            let oracle = expected(&message(), span, zeros);
            for kernel in Kernel::available() {
                assert_eq!(offered(kernel, &message(), span, zeros), oracle, "{} at {start}", kernel.name());
            }
        }
    }
}

#[test]
fn kernels_stay_within_spans_of_every_length_modulo_their_lanes() {
    for kernel in Kernel::available() {
        for offset in (0..9).chain(GRANULE - 9..GRANULE) {
            for length in 1..=17 {
                let span = Span::new((1 << 32) - GRANULE + offset, length);
                let nonces: Vec<u64> = span.nonces().collect();
                assert_eq!(offered(kernel, &message(), span, 0), nonces, "{} {span:?}", kernel.name());
            }
        }
    }
}

#[test]
fn a_span_ends_with_its_granule() {
    assert_eq!(Span::new(GRANULE - 3, 10).length(), 3);
    assert_eq!(Span::new(u64::MAX, u64::MAX).nonces().collect::<Vec<_>>(), [u64::MAX]);
    assert!(!Span::new(GRANULE, 5).contains(GRANULE - 1) && !Span::new(GRANULE, 5).contains(GRANULE + 5));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn kernels_agree_with_the_oracle_on_any_message(
        block_index: u32,
        entropy: [u8; 32],
        farmer: [u8; 32],
        start: u64,
        length in 1..=GRANULE,
        zeros in 1_u32..4,
    ) {
        let message = Message { block_index, entropy, farmer };
        let span = Span::new(start, length);
        let oracle = expected(&message, span, zeros);
        for kernel in Kernel::available() {
            prop_assert_eq!(&offered(kernel, &message, span, zeros), &oracle, "{}", kernel.name());
        }
    }
}
