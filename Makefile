# KALE Pool. `make help` lists the targets; `make demo` and `make test` need nothing before them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/kale-pool
# One build of the extensions serves every job of this user.
export CARGO_TARGET_DIR ?= $(CACHE)/target
UV_VERSION := 0.13.9
DENY_VERSION := 0.20.2
DENY := $(CACHE)/cargo-deny-$(DENY_VERSION)/bin/cargo-deny
UV := $(CACHE)/uv-$(UV_VERSION)/bin/uv
VENV := .venv
PY := $(VENV)/bin/python
PYTHON ?= python3.11

FARMERS ?= 10
BLOCKS ?= 3
JOBS ?= 2
NEIGHBOURS ?= 20
KEEP ?=
KILLS ?= 200
SEED ?= 1
STORE ?= memory
PYTEST_ARGS ?=
TEST_JOBS ?= 2
BENCH_ARGS ?=

.PHONY: help setup build demo test check sim deep kill lives soak bench bench-naive bench-planner bench-reliability wheel release proto lock format clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

$(UV):
	$(PYTHON) -m venv $(CACHE)/uv-$(UV_VERSION)
	$(CACHE)/uv-$(UV_VERSION)/bin/pip install --quiet uv==$(UV_VERSION)

$(VENV)/.ready: requirements/dev.txt pyproject.toml scripts/console_scripts.py | $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	$(UV) pip sync --quiet --python $(PY) --require-hashes requirements/dev.txt
	$(PY) scripts/console_scripts.py $(VENV)
	touch $@

setup: $(VENV)/.ready ## Create .venv with the pinned tools and libraries

# One package at a time, here and in `test`: together they would ask for other features of shared libraries, and the
# contract engine would be compiled once more.
build: setup ## Build both Rust extensions into their packages
	cargo build --release --locked --package kale_hash_rs
	cargo build --release --locked --package kale_devnet_engine_python
	scripts/install_extension.sh libkale_hash_rs.so kale_hash_rs/_native.abi3.so
	scripts/install_extension.sh libkale_devnet_engine_python.so devnet/_engine.abi3.so

demo: build ## Farm KALE on a local ledger: FARMERS=10 BLOCKS=3 NEIGHBOURS=20 KEEP=
	$(PY) -m devnet.demo --farmers $(FARMERS) --blocks $(BLOCKS) --neighbours $(NEIGHBOURS) $(if $(KEEP),--keep)

# Whole pools run one after another: they want the same ports and both cores.
test: build ## Run every test: TEST_JOBS=2 at a time
	cargo test --release --locked --quiet --package kale_hash_rs
	cargo test --release --locked --quiet --package kale_devnet_engine
	cargo test --locked --quiet --manifest-path devnet/contract/Cargo.toml
	UV=$(UV) $(PY) -m pytest -m "not e2e" --numprocesses $(TEST_JOBS) --dist loadfile $(PYTEST_ARGS)
	$(PY) -m pytest -m e2e $(PYTEST_ARGS)

# Its packages on the Python index are years behind and cannot read today's licence names.
$(DENY):
	CARGO_TARGET_DIR=$(CACHE)/deny-target cargo install cargo-deny --quiet --locked --version $(DENY_VERSION) \
		--root $(CACHE)/cargo-deny-$(DENY_VERSION)
	rm -rf $(CACHE)/deny-target

check: build | $(DENY) ## Lint, types, import rules, protocol, licences, SQL
	CARGO_DENY=$(DENY) scripts/check.sh

sim: BLOCKS := $(if $(filter file,$(origin BLOCKS)),2000,$(BLOCKS))
sim: build ## Simulate: BLOCKS=2000 SEED=1 JOBS=2 STORE=memory (or postgres); a run that was stopped goes on
	$(PY) -m simulator --blocks $(BLOCKS) --seed $(SEED) --jobs $(JOBS) --store $(STORE) \
		--results $(CACHE)/simulator/$(shell git describe --always --dirty).jsonl

deep: build ## What takes long: miri, property tests with many more cases
	scripts/deep.sh

kill: build ## Kill PostgreSQL and the backend while they farm: KILLS=200 SEED=1
	$(PY) -m simulator.kills --kills $(KILLS) --seed $(SEED)

soak: BLOCKS := $(if $(filter file,$(origin BLOCKS)),300,$(BLOCKS))
soak: FARMERS := $(if $(filter file,$(origin FARMERS)),100,$(FARMERS))
soak: build ## Farm with a fault every minute: BLOCKS=300 FARMERS=100 SEED=1; Ctrl-C ends it early
	$(PY) -m simulator.soak --blocks $(BLOCKS) --farmers $(FARMERS) --seed $(SEED)

lives: build ## Whole lives of farmers, from the first deposit to the exit: FARMERS=50 BLOCKS=5
	LIVES_FARMERS=$(FARMERS) LIVES_BLOCKS=$(BLOCKS) $(PY) -m pytest -n0 -s -q tests/e2e/test_farmers_lives.py

bench: build ## Measure the nonce search against other implementations: BENCH_ARGS="--svg FILE"
	PYTHONPATH=. $(PY) benches/hash_rate.py $(BENCH_ARGS)

bench-planner: setup ## Measure the planner in simulated farms: BENCH_ARGS="--svg docs/images"
	$(PY) -m simulator.planner --jobs $(JOBS) $(BENCH_ARGS)

bench-naive: build ## Farm 20 blocks against a naive pool on the same ledger: about 20 minutes
	PYTHONPATH=. $(PY) benches/against_naive.py --farmers 5 --close-seconds 0.7 $(BENCH_ARGS)

bench-reliability: build ## Measure 10,000 lives on PostgreSQL, and 500 farmers planted at once
	PYTHONPATH=. $(PY) benches/book_lives.py
	PYTHONPATH=. $(PY) benches/plant_farmers.py

wheel: setup ## Build the wheel into dist/
	rm -rf dist
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" scripts/build_wheel.sh dist

release: setup ## Build wheels for x86-64 and aarch64 and the sdist twice, compare them, write checksums: dist/
	rm -rf dist
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" scripts/release.sh dist

proto: setup ## Generate kalepool/v1 and docs/protocol-reference.md from proto/
	PYTHON=$(PY) scripts/generate_proto.sh
	$(PY) scripts/protocol_reference.py

lock: setup ## Pin the requirements anew
	UV=$(UV) scripts/lock_requirements.sh

format: setup ## Format Python and Rust
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .
	cargo fmt

clean: ## Remove what was built here (not the cache)
	rm -rf $(VENV) dist kale_hash_rs/*.so devnet/*.so
