//! Hash rate of one thread: each kernel on whole granules, and the `sha3` crate as the yardstick.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kale_hash_rs::{GRANULE, Kernel, Message, Sink, Span};
use std::hint::black_box;

struct Nothing;

impl Sink for Nothing {
    fn zeros(&self) -> u32 {
        64
    }

    fn offer(&mut self, nonce: u64) {
        black_box(nonce);
    }
}

fn hash_rate(criterion: &mut Criterion) {
    let message = Message { block_index: 37, entropy: [0x5a; 32], farmer: [0xa5; 32] };
    let span = Span::new(0, GRANULE);
    let mut group = criterion.benchmark_group("granule");
    group.throughput(Throughput::Elements(GRANULE));
    for kernel in Kernel::available() {
        group.bench_function(kernel.name(), |bencher| {
            bencher.iter(|| kernel.scan(black_box(&message), span, &mut Nothing));
        });
    }
    group.bench_function("sha3", |bencher| {
        bencher.iter(|| span.nonces().for_each(|nonce| _ = black_box(message.work_hash(nonce))));
    });
    group.finish();
}

criterion_group!(benches, hash_rate);
criterion_main!(benches);
