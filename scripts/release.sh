#!/usr/bin/env bash
# Builds the release into the folder given (dist by default): wheels for Linux on x86-64 and aarch64, the source
# distribution, and SHA256SUMS. Everything is built twice from nothing and must be the same byte for byte. The folder is
# always the same one, for its name is among the compiler's flags.
# Needs maturin on PATH, the Rust targets of rust-toolchain.toml and, on x86-64, a linker for aarch64.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-dist}
targets=${TARGETS:-x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu}
work=${TMPDIR:-/tmp}/kale-pool-release
mkdir "$work" # fails where another release is being built, or was cut off: remove it then
trap 'rm -rf "$work"' EXIT

# What would tell one build from another: times, and the folders that it was made in.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=${CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER:-aarch64-linux-gnu-gcc}
cargo_home=${CARGO_HOME:-$HOME/.cargo}

build() {
    local target
    mkdir "$work/source"
    git archive HEAD | tar -x -C "$work/source"
    for target in $targets; do
        (
            cd "$work/source"
            CARGO_TARGET_DIR="$work/target" \
            RUSTFLAGS="--remap-path-prefix=$work/source=/source --remap-path-prefix=$cargo_home=/cargo" \
                maturin build --release --locked --quiet --strip --target "$target" --out "$1"
        )
        rm -rf "$work/target"
    done
    (cd "$work/source" && maturin sdist --out "$1")
    rm -rf "$work/source"
}

build "$work/first"
build "$work/second"

(cd "$work/first" && sha256sum -- *) >"$work/SHA256SUMS"
(cd "$work/second" && sha256sum --quiet --check "$work/SHA256SUMS")
mkdir -p "$out"
cp "$work"/first/* "$work/SHA256SUMS" "$out/"
cat "$out/SHA256SUMS"
