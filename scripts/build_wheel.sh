#!/usr/bin/env bash
# Builds the wheel into the folder given (dist by default), with the maturin on PATH.
# It has a target folder of its own: maturin configures PyO3 differently, and taking turns in one folder would rebuild both.
set -euo pipefail
cd "$(dirname "$0")/.."
CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/wheel" maturin build --release --locked --quiet --out "${1:-dist}"
