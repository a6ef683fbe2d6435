//! Measures how fast one thread hashes, for benchmarks.

use std::time::{Duration, Instant};

use crate::kernel::{GRANULE, Kernel, Sink, Span};
use crate::message::Message;

/// A message like any other: speed does not depend on it.
const MESSAGE: Message = Message { block_index: 37, entropy: [0x5a; 32], farmer: [0xa5; 32] };

/// Wants so many zeros that nothing is ever found.
struct Nothing;

impl Sink for Nothing {
    fn zeros(&self) -> u32 {
        64
    }

    fn offer(&mut self, nonce: u64) {
        std::hint::black_box(nonce);
    }
}

/// Hashes per second on the calling thread, over at least `time` and one granule.
///
/// `None` measures the `sha3` crate, one message at a time, as the yardstick.
#[must_use]
pub fn measure(kernel: Option<Kernel>, time: Duration) -> f64 {
    let start = Instant::now();
    let mut hashes = 0;
    loop {
        let span = Span::new(hashes, GRANULE);
        match kernel {
            Some(kernel) => kernel.scan(&MESSAGE, span, &mut Nothing),
            None => span.nonces().for_each(|nonce| {
                std::hint::black_box(MESSAGE.work_hash(nonce));
            }),
        }
        hashes += span.length();
        let elapsed = start.elapsed();
        if elapsed >= time {
            #[allow(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
            return hashes as f64 / elapsed.as_secs_f64();
        }
    }
}
