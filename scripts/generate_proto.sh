#!/usr/bin/env bash
# Generates kalepool/v1 from proto/ into the folder given (the repository's root by default).
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-.}
python=${PYTHON:-.venv/bin/python}
PATH="$(dirname "$python"):$PATH"
mkdir -p "$out"
"$python" -m grpc_tools.protoc --proto_path=proto --python_out="$out" --grpc_python_out="$out" \
    --mypy_out=quiet:"$out" --mypy_grpc_out=quiet:"$out" proto/kalepool/v1/*.proto
