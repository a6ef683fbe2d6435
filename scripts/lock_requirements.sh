#!/usr/bin/env bash
# Writes requirements/*.txt from pyproject.toml: names, versions and hashes, never an index's address.
# With --upgrade it takes the newest versions that pyproject.toml allows; without, it keeps what is locked.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${UV:-uv}
compile() {
    "$uv" pip compile pyproject.toml "${@:2}" --universal --python-version 3.11 --generate-hashes \
        --no-header --no-annotate --no-emit-index-url --quiet --output-file "requirements/$1.txt" "${upgrade[@]}"
}
upgrade=("$@")
compile pooler
compile backend --extra backend --constraints requirements/pooler.txt
compile dev --extra backend --group dev --constraints requirements/backend.txt
