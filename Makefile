# Everything runs in .venv, made here from nothing but cargo, cc and Python 3.11 with pip.
# What is already done is not done again: each step leaves a stamp in .venv/stamps.

PYTHON ?= python3
UV_VERSION := 0.13.9
MATURIN_VERSION := 1.16.0

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
# Versions that are known to work together; `make lock` renews them.
CONSTRAINTS := .ci/constraints.txt
INSTALL = $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint $(CONSTRAINTS)

# Of the hundreds of processes that tests start, most import PyTorch or NumPy, and would compile them anew.
unexport PYTHONDONTWRITEBYTECODE

# PyO3 reads the interpreter's facts from here, so that no system-wide Python headers are needed.
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python

SOURCES := Cargo.toml $(wildcard Cargo.lock) pyproject.toml $(shell find src -name '*.rs')
EXTRAS := bench demo docs frameworks jax libraries lint test torch

# The demo waits for no packages of the features that it does not use; where all is built or asked for, it takes that.
DEMO_BUILD := $(STAMPS)/build$(if $(wildcard $(STAMPS)/build)$(filter-out demo,$(MAKECMDGOALS)),,-demo)

.DEFAULT_GOAL := help

.PHONY: help
help: ## Print this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: $(STAMPS)/build ## Build the package (release) into .venv.

.PHONY: demo
demo: $(DEMO_BUILD) $(STAMPS)/demo ## Train on real images through a loader; some 3 minutes on 2 cores the first time, no server.
	$(BIN)/python examples/demo.py
ifneq ($(DEMO_BUILD),$(STAMPS)/build)
	@echo 'This build has no Parquet, sound or tokens, which the demo does not need: `make build` adds them.'
endif

.PHONY: test
test: test-rust test-python ## Run the tests: Rust, Python, documentation, examples; minutes.

# In the release profile and with the packages of the extension module, so that every package is built once for the
# module, its tests and the lints. The crate itself is built quickly, and with the assertions of a debug build.
CHECKED := --release --features python-packages,parquet,audio,tokenize $(foreach set,opt-level=0 debug-assertions=true overflow-checks=true, \
    --config profile.release.package.stokehold.$(set))
# The interpreter's facts as maturin left them: with others, pyo3 would be built again.
CARGO := PYO3_CONFIG_FILE="$$(ls $(CURDIR)/target/maturin/pyo3-config-*.txt)" cargo

.PHONY: test-rust
test-rust: $(STAMPS)/build ## Run the Rust tests, those in the documentation included, and the example.
	$(CARGO) test $(CHECKED)
	$(CARGO) run --quiet $(CHECKED) --example rust_loop

.PHONY: test-python
test-python: $(STAMPS)/build $(STAMPS)/test $(STAMPS)/jax $(STAMPS)/torch ## Run the Python tests, in two processes.
	$(BIN)/python -m pytest -m 'not thorough' --numprocesses 2 --dist worksteal

.PHONY: test-all
test-all: $(STAMPS)/build $(STAMPS)/test $(STAMPS)/demo $(STAMPS)/frameworks $(STAMPS)/jax $(STAMPS)/libraries $(STAMPS)/torch ## Run what `test` leaves out, in two processes: soaks, exhaustive grids, frameworks.
	$(BIN)/python -m pytest -m thorough --numprocesses 2 --dist worksteal

.PHONY: test-emulated
test-emulated: $(STAMPS)/build $(STAMPS)/test $(STAMPS)/jax $(STAMPS)/torch ## Run the tests beside other libraries as other processors would.
	$(BIN)/python tests/python/emulated.py

VERSIONS ?=
.PHONY: test-versions
test-versions: $(STAMPS)/build ## Test with the oldest to the newest packages; needs Python 3.11 to 3.13, 40 GB, an hour or two.
	$(BIN)/python .ci/versions.py $(VERSIONS)

.PHONY: lint
lint: $(STAMPS)/build $(EXTRAS:%=$(STAMPS)/%) ## Check format, lints, types, and the stub against the module.
	cargo fmt --check
	$(CARGO) clippy --quiet $(CHECKED) --all-targets -- -D warnings
	$(CARGO) clippy --quiet $(CHECKED) --all-targets --features python -- -D warnings
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest stokehold._native --allowlist .ci/stubtest-allowlist.txt --ignore-unused-allowlist

.PHONY: format
format: $(STAMPS)/lint ## Format the Rust and the Python code.
	cargo fmt
	$(BIN)/ruff check --quiet --fix-only
	$(BIN)/ruff format --quiet

.PHONY: bench
bench: $(STAMPS)/build $(STAMPS)/bench $(STAMPS)/demo ## Run the benchmarks; benches/README.md says how to read them.
	cargo bench --bench pool
	$(BIN)/python benches/loader/measure.py
	cargo bench --bench ipc
	$(BIN)/python benches/ipc/plot.py

PEERS ?=
.PHONY: bench-peers
bench-peers: $(STAMPS)/build $(STAMPS)/bench $(STAMPS)/demo ## Measure other loaders beside ours; PEERS='--help' lists options.
	$(BIN)/python benches/peers/run.py $(PEERS)

.PHONY: docs
docs: $(STAMPS)/build $(STAMPS)/docs $(STAMPS)/frameworks $(STAMPS)/torch ## Build the documentation into target/doc and target/python-doc.
	RUSTDOCFLAGS='-D warnings' cargo doc --no-deps
	$(BIN)/python -m pdoc --output-directory target/python-doc --docformat google stokehold

.PHONY: lock
lock: $(STAMPS)/uv ## Renew .ci/constraints.txt from the newest releases.
	$(BIN)/uv pip compile --quiet --upgrade --no-header --no-annotate --no-emit-index-url --python $(BIN)/python \
	    pyproject.toml $(EXTRAS:%=--extra %) --output-file $(CONSTRAINTS)

.PHONY: clean
clean: ## Remove what the other targets made.
	rm -rf target $(VENV) demo-data python/stokehold/_native*.so .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find python tests examples benches -name __pycache__ -prune -exec rm -rf {} +

$(STAMPS)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv==$(UV_VERSION)
	@mkdir -p $(STAMPS)
	@touch $@

# One stamp for each extra of pyproject.toml.
$(EXTRAS:%=$(STAMPS)/%): $(STAMPS)/%: $(STAMPS)/uv pyproject.toml $(CONSTRAINTS)
	$(INSTALL) --requirements pyproject.toml --extra $*
	@touch $@

# An editable install: an edit under python/ needs no rebuild.
$(STAMPS)/build $(STAMPS)/build-demo: $(SOURCES) $(STAMPS)/uv $(CONSTRAINTS)
	$(INSTALL) maturin==$(MATURIN_VERSION) --requirements pyproject.toml
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop --release --uv --quiet $(if $(filter %-demo,$@),--features python)
	@touch $@
