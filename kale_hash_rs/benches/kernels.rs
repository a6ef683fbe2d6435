//! Hash rate of one thread: each kernel on whole granules, and the crates that people would use.

#[path = "rates/contenders.rs"]
mod contenders;

use contenders::Contender;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kale_hash_rs::GRANULE;

fn hash_rate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("granule");
    group.throughput(Throughput::Elements(GRANULE));
    for contender in Contender::all() {
        group.bench_function(contender.name(), |bencher| bencher.iter(|| contender.hash_granule()));
    }
    group.finish();
}

criterion_group!(benches, hash_rate);
criterion_main!(benches);
