#!/usr/bin/env bash
# Puts a built extension beside its Python package, only if it changed (a running process keeps the old file).
set -euo pipefail
cd "$(dirname "$0")/.."
built="${CARGO_TARGET_DIR:-target}/release/$1"
cmp --silent "$built" "$2" && exit 0
cp "$built" "$2.new"
mv "$2.new" "$2"
