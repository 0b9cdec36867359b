# Everything runs from a fresh checkout; what it needs is set up first, which takes seconds when nothing changed.
PYTHON ?= python3
BIN := .venv/bin
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.PHONY: help setup env up test check bench mutants chaos fuzz property api-fuzz network lock clean

help:
	@echo 'make setup      environment and dependencies, here in .venv and tests/network/node_modules'
	@echo 'make up         the whole system in this terminal: database, Redis, ingester, worker, web; Ctrl-C stops it'
	@echo 'make test       lint, types, architecture, a minute of fuzzing, 100,000 generated commits, all tests'
	@echo 'make check      lint, types and architecture alone'
	@echo 'make bench      the benchmarks; ONLY=name,... for some (memory and repositories only so: minutes each)'
	@echo 'make mutants    each rule bent once, in a copy: a test must break; ONLY=text,... for some; ten minutes at most'
	@echo 'make chaos      all that may go wrong, each in the midst of a random life: the tables must be right; ONLY=name,...'
	@echo 'make property   100,000 generated commits against a full rebuild; COMMITS=n for another count'
	@echo 'make fuzz       coverage-guided fuzzing for an hour; SECONDS_=n for another time'
	@echo 'make api-fuzz   schemathesis on a running server, by its OpenAPI document, for ten minutes; SECONDS_=n for another time'
	@echo 'make network    a real PLC directory and two real PDSes on loopback, for trying things by hand'
	@echo 'make lock       pin the newest dependencies that fit pyproject.toml'
	@echo 'make clean      remove all that the others made'

setup: env
	@$(BIN)/python -m tests.network.setup
	@$(BIN)/python -m tests.clients.setup || true

# All but the real servers that the tests start, which want Node's modules and a C++ compiler.
env: .venv/installed .venv/compiled

.venv/installed: requirements-dev.lock
	@echo 'setting up .venv ...'
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or later is needed; name one with make PYTHON=...'; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -qq -y python3-venv python3-dev; } \
		|| { echo 'this Python has no venv: install python3-venv, or run as root'; exit 1; }
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

# The package in place, and the hot modules compiled where there is a compiler (setup.py).
.venv/compiled: .venv/installed setup.py pyproject.toml $(shell sed -n 's/^    "\(.*\.py\)",$$/\1/p' setup.py)
	@echo 'compiling ...'
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --config-settings editable_mode=compat --editable .
	@rm -rf build
	@$(BIN)/python -c 'import lexicons.drisl as m; print("compiled" if m.__file__.endswith(".so") else "no C compiler or no Python.h: running from source, at less than half the speed")'
	@touch $@

# `exec`, so that what stops make stops it, and not a shell in between.
up: env
	@exec $(BIN)/python -m appview up

check: env
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# What tests the modules that are compiled: run once more on their source.
COMPILED := tests/lexicons tests/ingester/repo tests/ingester/test_events.py tests/ingester/test_sync.py

test: setup check
	$(BIN)/python -m tests.fuzz --seconds 60 --jobs 2
	$(BIN)/python -m tests.property --commits 100000
	$(BIN)/pytest -n 2 -p tests.pure $(COMPILED)
	$(BIN)/pytest -n 2 || { echo 'once more, alone, what failed beside others:'; $(BIN)/pytest --last-failed --last-failed-no-failures none; }

bench: env
	$(BIN)/python -m tests.bench $(if $(ONLY),--only $(ONLY))

mutants: env
	$(BIN)/python -m tests.mutants $(if $(ONLY),--only '$(ONLY)')

chaos: env
	$(BIN)/python -m tests.chaos --kills $(or $(KILLS),300) $(if $(ONLY),--only '$(ONLY)')

fuzz: env
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS_),3600) --jobs 2

property: env
	$(BIN)/python -m tests.property --commits $(or $(COMMITS),100000)

api-fuzz: env
	$(BIN)/python -m tests.api --seconds $(or $(SECONDS_),600)

network: setup
	$(BIN)/python -m tests.network

lock: setup
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --upgrade -q -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --upgrade -q -c requirements.lock -o requirements-dev.lock

clean:
	rm -rf .venv .cache .bench build tests/network/node_modules
	find appview ingester lexicons xrpc -name "*.so" -delete; rm -f plyr__mypyc*.so
