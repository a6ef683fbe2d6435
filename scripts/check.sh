#!/usr/bin/env bash
# Every check that `make check` and CI run. Runs all of them, then fails if any failed.
set -uo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
failed=()

step() {
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then
        printf 'ok      %s\n' "$name"
    else
        printf 'FAILED  %s\n%s\n' "$name" "$output"
        failed+=("$name")
    fi
}

generated_code() {
    local fresh
    fresh=$(mktemp -d)
    PYTHON=.venv/bin/python scripts/generate_proto.sh "$fresh" &&
        diff --recursive --brief --exclude=__init__.py --exclude=__pycache__ "$fresh/kalepool/v1" kalepool/v1
    local result=$?
    rm -rf "$fresh"
    return $result
}

# The protocol may only change compatibly from one release to the next.
breaking() {
    local release
    release=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null) || return 0
    buf breaking proto --against ".git#tag=$release,subdir=proto"
}

wasm_hash() { (cd devnet/contract && sha256sum --check --quiet kale_farm.wasm.sha256); }

step "ruff" ruff check .
step "ruff format" ruff format --check .
step "mypy" mypy
step "stubs" stubtest kale_hash_rs devnet._engine
step "imports" lint-imports
step "buf lint" buf lint proto
step "buf breaking" breaking
step "generated code" generated_code
step "protocol reference" python scripts/protocol_reference.py --check
step "cargo fmt" cargo fmt --check
step "clippy" cargo clippy --release --locked --workspace --all-targets --quiet -- --deny warnings
step "contract fmt" cargo fmt --check --manifest-path devnet/contract/Cargo.toml
step "contract clippy" cargo clippy --locked --all-targets --quiet --manifest-path devnet/contract/Cargo.toml -- --deny warnings
step "cargo deny" "$CARGO_DENY" --all-features check --hide-inclusion-graph bans licenses sources
step "sqlfluff" sqlfluff lint --disable-progress-bar sql
step "contract wasm" wasm_hash

if ((${#failed[@]})); then
    printf '\n%s checks failed: %s\n' "${#failed[@]}" "${failed[*]}"
    exit 1
fi
