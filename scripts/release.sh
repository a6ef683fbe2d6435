#!/usr/bin/env bash
# Builds the release into the folder given (dist by default): wheels for Linux on x86-64 and aarch64, the source
# distribution, and SHA256SUMS. Everything is built twice, in two folders, and must be the same byte for byte.
# Needs maturin on PATH, the Rust targets of rust-toolchain.toml and, on x86-64, a linker for aarch64.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-dist}
targets=${TARGETS:-x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What would tell one build from another: times, and the folders that it was made in.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=${CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER:-aarch64-linux-gnu-gcc}
cargo_home=${CARGO_HOME:-$HOME/.cargo}

build() {
    local source=$1 into=$2 target
    mkdir -p "$into"
    for target in $targets; do
        (
            cd "$source"
            CARGO_TARGET_DIR="$into/target" \
            RUSTFLAGS="--remap-path-prefix=$source=/source --remap-path-prefix=$cargo_home=/cargo" \
                maturin build --release --locked --quiet --strip --target "$target" --out "$into/dist"
        )
        rm -rf "$into/target"
    done
    (cd "$source" && maturin sdist --out "$into/dist")
}

for number in first second; do
    git worktree list >/dev/null # fails outside a repository, where nothing tells what is released
    mkdir "$work/$number"
    git archive HEAD | tar -x -C "$work/$number"
    build "$work/$number" "$work/$number-built"
done

(cd "$work/first-built/dist" && sha256sum -- *) >"$work/SHA256SUMS"
(cd "$work/second-built/dist" && sha256sum --quiet --check "$work/SHA256SUMS")
mkdir -p "$out"
cp "$work"/first-built/dist/* "$work/SHA256SUMS" "$out/"
cat "$out/SHA256SUMS"
