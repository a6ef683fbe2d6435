#!/usr/bin/env bash
# Builds the farm contract and puts it, with its hash, beside its source. See devnet/contract/README.md.
set -euo pipefail
cd "$(dirname "$0")/../devnet/contract"
target=${CARGO_TARGET_DIR:-$PWD/../../target}
rustup target add wasm32v1-none
# The SDK wants to hear that unused type descriptions may be left in; paths must not reach the file.
export SOROBAN_SDK_BUILD_SYSTEM_SUPPORTS_SPEC_SHAKING_V2=1
export RUSTFLAGS="--remap-path-prefix=$PWD=farm --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
cargo build --release --locked --target wasm32v1-none --target-dir "$target"
cp "$target/wasm32v1-none/release/kale_farm.wasm" .
sha256sum kale_farm.wasm | tee kale_farm.wasm.sha256
