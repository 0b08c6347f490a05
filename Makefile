# Every target that a user or a contributor needs; `make help` prints this list.
# A machine with Python 3.11+, Node 20+ and make needs nothing else: each target does its own set-up.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

# Many processes are started, and each would compile the sources anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## print this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

# ---- set-up -------------------------------------------------------------------------------------------------------

.PHONY: setup
setup: $(VENV)/.installed contracts-node ## install the locked dependencies (only when a lock changed)

$(VENV)/.installed: requirements.lock requirements-bootstrap.lock pyproject.toml
	@$(PYTHON) tools/bootstrap.py $(VENV)
	@touch $@

.PHONY: contracts-node
contracts-node:
	@if [ -f contracts/package-lock.json ]; then $(MAKE) --silent --no-print-directory contracts/node_modules/.installed; fi

# Not `npm ci`: it refuses a lock that does not list the binaries of every other platform. This one keeps to the lock too
# (versions are exact, and hashes are checked), and writes nothing back.
contracts/node_modules/.installed: contracts/package-lock.json
	@echo "setup: installing the locked node packages"
	@cd contracts && npm install --no-save --no-audit --no-fund --loglevel=error
	@touch $@

# ---- running ------------------------------------------------------------------------------------------------------

.PHONY: demo
demo: setup ## start everything and replay real purchases (ARGS="--exit --limit 3000 --report FILE")
	@$(BIN)/guerdon demo $(ARGS)

.PHONY: up
up: setup ## start everything on this machine (ARGS="--port 8080 --data-dir DIR")
	@$(BIN)/guerdon up $(ARGS)

.PHONY: openapi
openapi: setup ## print the OpenAPI document without starting anything
	@$(BIN)/guerdon openapi

# ---- proving ------------------------------------------------------------------------------------------------------

.PHONY: test
test: setup ## run the tests, a short form of every proof among them (ARGS="tests/kit -x")
	@$(BIN)/python -m pytest --numprocesses=logical --maxprocesses=4 --dist=loadfile $(ARGS)

.PHONY: bench
bench: setup ## measure speed and growth on this machine (ARGS="--only singles --quick")
	@$(BIN)/python -m bench $(ARGS)

.PHONY: prove
prove: setup ## break it on purpose and judge what that cost (ARGS="--runs 20 --report FILE", "--list", "--help")
	@$(BIN)/python -m tests.prove $(ARGS)

.PHONY: check
check: setup ## every static check: lint, types, import contracts, dependencies, artifacts, query scope
	@$(BIN)/python tools/check.py $(ARGS)

.PHONY: lint
lint: setup ## ruff: rules and formatting
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

.PHONY: types
types: setup ## basedpyright, strict
	@$(BIN)/basedpyright

.PHONY: format
format: setup ## rewrite the code in the project's format
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

# ---- keeping ------------------------------------------------------------------------------------------------------

.PHONY: lock
lock: ## resolve the dependencies anew (ARGS="--upgrade" or "--upgrade-package NAME")
	@$(PYTHON) tools/bootstrap.py $(VENV) --only-installer
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
		--extra dev --extra demo $(ARGS) pyproject.toml -o requirements.lock

.PHONY: docs
docs: setup ## write the pages that are made from the code (docs/errors.md, docs/settings.md, docs/rules.md)
	@$(BIN)/python tools/generated_docs.py

.PHONY: contracts
contracts: setup ## compile the Solidity sources, run their tests and write the artifacts
	@cd contracts && npm run --silent build && npm run --silent test

.PHONY: clean
clean: ## remove what was installed and built (keeps data directories)
	@rm -rf $(VENV) contracts/node_modules contracts/out contracts/cache .pytest_cache .ruff_cache .hypothesis dist
