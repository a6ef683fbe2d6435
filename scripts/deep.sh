#!/usr/bin/env bash
# What takes too long for every change: the hash crate under miri and an emulator, and every property test with many
# more cases. Needs rustup, which adds a nightly toolchain with miri if there is none.
set -euo pipefail
cd "$(dirname "$0")/.."
rustup component add --toolchain nightly miri rust-src
miri() {
    MIRIFLAGS=-Zmiri-disable-isolation CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/miri" \
        cargo +nightly miri test --locked --package kale_hash_rs --no-default-features --lib -- "$@"
}
echo "miri: the portable part of the nonce search"
PROPTEST_CASES=4 miri portable zeros message
echo "miri: the vectors of AVX-512 and AVX2, whether or not this machine has them"
RUSTFLAGS="-Ctarget-feature=+avx2,+avx512f,+avx512vl" miri avx
echo "NEON: checked, and run by an emulator"
rustup target add aarch64-unknown-linux-gnu
cargo clippy --locked --target aarch64-unknown-linux-gnu --package kale_hash_rs --no-default-features -- --deny warnings
if command -v qemu-aarch64 >/dev/null && command -v aarch64-linux-gnu-gcc >/dev/null; then
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
        CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu" \
        cargo test --release --locked --target aarch64-unknown-linux-gnu --package kale_hash_rs --no-default-features \
        --lib --test kernels
else
    echo "skipped: it needs Debian's qemu-user and gcc-aarch64-linux-gnu"
fi
echo "fuzzing: kernels against the sha3 crate, for ${FUZZ_SECONDS:=60} s"
fuzz=${XDG_CACHE_HOME:-$HOME/.cache}/kale-pool/cargo-fuzz-0.13.1
[[ -x $fuzz/bin/cargo-fuzz ]] || cargo install cargo-fuzz --quiet --locked --version 0.13.1 --root "$fuzz"
(cd kale_hash_rs && RUSTUP_TOOLCHAIN=nightly "$fuzz/bin/cargo-fuzz" fuzz run kernels -- -max_total_time="$FUZZ_SECONDS")
echo "proptest: kernels against the oracle"
PROPTEST_CASES=20000 cargo test --release --locked --package kale_hash_rs
echo "hypothesis: arithmetic, schedules, messages"
HYPOTHESIS_PROFILE=deep .venv/bin/python -m pytest tests/unit
