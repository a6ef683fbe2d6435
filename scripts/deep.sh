#!/usr/bin/env bash
# What takes too long for every change: the hash crate's portable part under miri, and every property test with many
# more cases. Needs rustup, which adds a nightly toolchain with miri if there is none.
set -euo pipefail
cd "$(dirname "$0")/.."
rustup component add --toolchain nightly miri rust-src
echo "miri: the portable part of the nonce search"
PROPTEST_CASES=4 MIRIFLAGS=-Zmiri-disable-isolation CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/miri" \
    cargo +nightly miri test --locked --package kale_hash_rs --no-default-features --lib -- portable zeros message
echo "proptest: kernels against the oracle"
PROPTEST_CASES=20000 cargo test --release --locked --package kale_hash_rs
echo "hypothesis: arithmetic, schedules, messages"
HYPOTHESIS_PROFILE=deep .venv/bin/python -m pytest tests/unit
