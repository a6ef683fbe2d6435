//! Any message, span and number of zeros: every kernel of this CPU offers what the `sha3` crate finds, nothing else.
#![no_main]

use kale_hash_rs::{Kernel, Message, Sink, Span, count_zeros};
use libfuzzer_sys::fuzz_target;

/// Short spans: a kernel hashes its whole granule for each anyhow.
const MAX_LENGTH: u64 = 1 << 10;

struct Collector {
    zeros: u32,
    nonces: Vec<u64>,
}

impl Sink for Collector {
    fn zeros(&self) -> u32 {
        self.zeros
    }

    fn offer(&mut self, nonce: u64) {
        self.nonces.push(nonce);
    }
}

fuzz_target!(|input: (u32, [u8; 32], [u8; 32], u64, u64, u8)| {
    let (block_index, entropy, farmer, start, length, zeros) = input;
    let message = Message { block_index, entropy, farmer };
    let span = Span::new(start, length % MAX_LENGTH);
    let zeros = u32::from(zeros % 5);
    let expected: Vec<u64> =
        span.nonces().filter(|nonce| count_zeros(&message.work_hash(*nonce)) >= zeros).collect();
    for kernel in Kernel::available() {
        let mut sink = Collector { zeros, nonces: Vec::new() };
        kernel.scan(&message, span, &mut sink);
        sink.nonces.sort_unstable();
        assert_eq!(sink.nonces, expected, "{} {span:?} {zeros}", kernel.name());
    }
});
