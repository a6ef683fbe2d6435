//! Rates of one thread on demand, so that `benches/hash_rate.py` can interleave them with others.
//!
//! Without arguments it reads lines `NAME SECONDS` and answers each with the hashes per second; the name `limit:KERNEL`
//! asks for what the CPU's ports would allow. `list` prints the names; `count NAME GRANULES` hashes that many granules,
//! for instruction counters.

mod contenders;
#[cfg(target_arch = "x86_64")]
mod ports;
/// No limit is estimated on other machines.
#[cfg(not(target_arch = "x86_64"))]
mod ports {
    pub fn kernels() -> Vec<&'static str> {
        Vec::new()
    }

    pub fn run(_kernel: &str, _turns: u64) -> Option<f64> {
        None
    }
}

use std::io::{BufRead, Write};
use std::time::Instant;

use contenders::Contender;
use kale_hash_rs::GRANULE;

/// Turns of a port loop between two looks at the clock.
const TURNS: u64 = 100_000;

fn main() {
    // Cargo adds --bench.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => serve(),
        ["list"] => list(),
        ["count", name, granules] => count(name, granules.parse().expect("a number of granules")),
        _ => panic!("usage: [list | count NAME GRANULES], not {arguments:?}"),
    }
}

fn contender(name: &str) -> Contender {
    let found = Contender::all().into_iter().find(|contender| contender.name() == name);
    found.unwrap_or_else(|| panic!("nothing here is called {name:?}; see `list`"))
}

fn list() {
    for contender in Contender::all() {
        println!("{}", contender.name());
    }
    for kernel in ports::kernels() {
        println!("limit:{kernel}");
    }
}

fn count(name: &str, granules: u32) {
    let contender = contender(name);
    for _ in 0..granules {
        contender.hash_granule();
    }
}

fn serve() {
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line of text");
        let (name, seconds) = line.split_once(' ').expect("NAME SECONDS");
        let seconds = seconds.parse().expect("a number of seconds");
        let rate = if let Some(kernel) = name.strip_prefix("limit:") {
            rate(seconds, || ports::run(kernel, TURNS).expect("a kernel of `list`"))
        } else {
            let contender = contender(name);
            #[allow(clippy::cast_precision_loss, reason = "2^14")]
            rate(seconds, || {
                contender.hash_granule();
                GRANULE as f64
            })
        };
        println!("{rate}");
        std::io::stdout().flush().expect("somebody listens");
    }
}

/// Hashes per second over at least `seconds`; `some` does a few and says how many.
fn rate(seconds: f64, some: impl Fn() -> f64) -> f64 {
    let start = Instant::now();
    let mut hashes = 0.;
    loop {
        hashes += some();
        let elapsed = start.elapsed().as_secs_f64();
        if elapsed >= seconds {
            return hashes / elapsed;
        }
    }
}
