# Every verb works as the first command in a fresh clone: what it needs is set up on the way.
# .venv/.base, .venv/.run and .venv/.test are stamps; `make clean` starts over.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What pip and the compiler have to say matters only when they fail.
PIP := sh .ci/quietly $(BIN)/python -m pip --disable-pip-version-check --no-input --retries 10
NATIVE := $(wildcard arclyd/ring/*.c arclyd/ring/core/*.c arclyd/ring/core/*.h)
STEP := @printf '\n== %s\n'

.DEFAULT_GOAL := help
.PHONY: help build demo test check bench bench-full stress fuzz soak clean

help: ## show this list
	@echo 'make VERB, where VERB is'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 12
	@echo 'PYTHON=/path/to/python3 chooses the interpreter, 3.11 or newer (now: $(PYTHON)).'

build: $(VENV)/.run ## set up .venv with arclyd in it, editable

demo: $(VENV)/.run ## daemon, one stream, two subscribers, live figures; SECONDS=20 ends it by itself
	@$(BIN)/python examples/demo.py $(if $(SECONDS),--seconds $(SECONDS))

test: check ## everything: check, then native, unit, property, stress and end-to-end tests
	$(STEP) 'pytest'
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(VENV)/.run $(VENV)/.test ## ruff, mypy --strict, import layers, the layout document
	$(STEP) 'ruff check'
	@$(BIN)/ruff check .
	$(STEP) 'ruff format --check'
	@$(BIN)/ruff format --check .
	$(STEP) 'mypy --strict'
	@$(BIN)/mypy
	$(STEP) 'import layers (lint-imports)'
	@$(BIN)/lint-imports
	$(STEP) 'layout document against code (tests/layout)'
	@$(BIN)/python -m pytest --quiet tests/layout

bench: $(VENV)/.bench ## arclyd beside its peers and limits, in under five minutes; ARGS='--only latency' does a part
	@$(BIN)/python -m benchmarks $(ARGS)

bench-full: $(VENV)/.bench ## the same at length, every size and number of subscribers
	@$(BIN)/python -m benchmarks --scale full $(ARGS)

stress: $(VENV)/.run $(VENV)/.test ## the stress tests at length; SCALE=20 times the default counts
	$(STEP) 'stress, $(or $(SCALE),20) times'
	@ARCLYD_STRESS=$(or $(SCALE),20) $(BIN)/python -m pytest --timeout 0 $(PYTEST_ARGS) tests/stress tests/fuzz

fuzz: $(VENV)/.run $(VENV)/.test ## every fuzz target in turn; SECONDS=300 together
	$(STEP) 'fuzz, $(or $(SECONDS),300) s'
	@$(BIN)/python -m tests.fuzz.run --seconds $(or $(SECONDS),300)

soak: $(VENV)/.run $(VENV)/.test ## streams, readers and deaths at random for MINUTES=10; nothing may be left over
	$(STEP) 'soak, $(or $(MINUTES),10) min'
	@$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),10)

clean: ## remove .venv and everything built
	rm -rf $(VENV) build dist *.egg-info arclyd/ring/*.so benchmarks/harness/*.so benchmarks/out
	rm -rf tests/web/node_modules
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find arclyd arclyctl benchmarks tests examples -name __pycache__ -type d -prune -exec rm -rf {} +

# -------------------------------------------------------------------- set-up

$(VENV)/.base:
	@sh .ci/tools build $(PYTHON)
	$(STEP) 'virtual environment in $(VENV)'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --upgrade pip 'setuptools>=77' wheel
	@touch $@

# Without isolation: the environment has setuptools already, so that a change of
# the C core is rebuilt in seconds and offline.
$(VENV)/.run: pyproject.toml $(NATIVE) | $(VENV)/.base
	$(STEP) 'arclyd and what it runs on (pip, gcc)'
	@$(PIP) install --no-build-isolation --editable '.[all]'
	@touch $@

$(VENV)/.test: pyproject.toml tests/web/package-lock.json | $(VENV)/.run
	@sh .ci/tools test $(PYTHON)
	$(STEP) 'test tools (pip)'
	@$(PIP) install --no-build-isolation --editable '.[test]'
	@touch $@

# What can't be had here is left out of the comparison, in one line.
$(VENV)/.bench: pyproject.toml | $(VENV)/.run
	$(STEP) 'what arclyd is measured beside (pip)'
	@$(PIP) install --no-build-isolation --editable '.[bench]' || echo 'going on without what is missing'
	@touch $@
