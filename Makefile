# One entry for people and for CI. `make` alone prints this list.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TRAIN_VENV := .venv-train
TRAIN_STAMP := $(TRAIN_VENV)/.installed


.PHONY: help
help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements/dev.txt pyproject.toml
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

.PHONY: setup
setup: $(STAMP) ## make .venv with the locked dependencies

$(TRAIN_STAMP): requirements/train.txt
	@test -d $(TRAIN_VENV) || $(PYTHON) -m venv $(TRAIN_VENV)
	$(TRAIN_VENV)/bin/pip install --quiet --disable-pip-version-check -r requirements/train.txt
	@touch $@

.PHONY: setup-train
setup-train: $(TRAIN_STAMP) ## make .venv-train (torch; training and export only)

.PHONY: protos
protos: $(STAMP) ## write the generated wire code again
	$(BIN)/python scripts/generate_protos.py

NPM := protos/node_modules/.installed tests/foreign/node_modules/.installed
%/node_modules/.installed: %/package-lock.json
	@if command -v npm >/dev/null; then cd $* && npm install --no-save --silent --no-audit --no-fund && touch node_modules/.installed; \
	else echo "npm is missing: what needs $* is skipped" >&2; fi

.PHONY: npm
npm: $(NPM) ## install the proto linter and the foreign client (skipped with a message without npm)

.PHONY: lock
lock: $(STAMP) ## write the locked dependencies again
	$(BIN)/pip install --quiet uv
	$(BIN)/python scripts/lock_dependencies.py

.PHONY: format
format: $(STAMP) ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix --quiet .

.PHONY: lint
lint: $(STAMP) ## format and lint checks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

.PHONY: types
types: $(STAMP) ## strict types
	$(BIN)/mypy

.PHONY: test
test: $(STAMP) $(NPM) lint types ## lint, types, layering, unit, contract and integration tests
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/pytest

.PHONY: test-offline
test-offline: $(TRAIN_STAMP) ## tests of training and export (torch, in .venv-train)
	$(TRAIN_VENV)/bin/python -m pytest -c tests/offline/pytest.ini tests/offline

.PHONY: test-long
test-long: $(STAMP) ## what takes minutes: the whole runbook, the rehearsal, manifests as processes, a real Prometheus
	$(BIN)/pytest -o addopts="--import-mode=importlib --strict-markers -ra" tests/long

.PHONY: manifests
manifests: ## write the rendered manifests again from the overlays (needs kubectl)
	scripts/render_manifests.sh

# Running the stack on this machine.
RELEASE ?= current
OPTIONS ?=

.PHONY: demo
demo: $(STAMP) ## build the documentation release, start the stack, ask it, stop it
	@$(BIN)/python tools/demo.py $(OPTIONS)

.PHONY: up
up: $(STAMP) ## serve RELEASE=NAME in the background; returns when it is healthy
	@$(BIN)/python -m deploy.local up --release "$(RELEASE)" $(OPTIONS)

.PHONY: down
down: $(STAMP) ## stop what `make up` started
	@$(BIN)/python -m deploy.local down $(OPTIONS)

.PHONY: status
status: $(STAMP) ## show the servers of the running stack
	@$(BIN)/python -m deploy.local status $(OPTIONS)

.PHONY: query
query: export SEARCH_TEXT := $(Q)
query: $(STAMP) ## ask the running stack, as in: make query Q="read a csv file"
	@if [ -z "$$SEARCH_TEXT" ]; then echo 'usage: make query Q="what to look for" [OPTIONS="--limit 5"]' >&2; exit 2; fi
	@$(BIN)/python tools/search.py "$$SEARCH_TEXT" $(OPTIONS)

.PHONY: bench
bench: $(STAMP) ## load the running stack, or one started for it; results under artifacts/bench/
	@$(BIN)/python -m benchmarks.load --release "$(RELEASE)" $(OPTIONS)

# Operating it.
.PHONY: preflight
preflight: $(STAMP) ## tick every box of the go-live checklist that a machine can
	@$(BIN)/python tools/preflight.py $(OPTIONS)

.PHONY: diagnose
diagnose: $(STAMP) ## what is wrong with the running stack, the likely cause first
	@$(BIN)/python tools/diagnose_retriever.py $(OPTIONS)

.PHONY: weekly
weekly: $(STAMP) ## the week's chores: truth, evaluation, history, index health
	@$(BIN)/python tools/weekly_maintenance.py $(OPTIONS)

.PHONY: nightly
nightly: $(STAMP) ## evaluate what is current; history, trend, metrics
	@$(BIN)/python tools/nightly_eval.py $(OPTIONS)

.PHONY: ab-reranker
ab-reranker: $(STAMP) ## what the reranker lifts for each millisecond, on the running stack
	@$(BIN)/python tools/ab_reranker.py $(OPTIONS)

.PHONY: rehearse
rehearse: $(STAMP) ## the 48 hours in five minutes: good, slow, broken, wrong, unasked candidates, and the triggers
	@$(BIN)/python -m tests.rehearsal $(OPTIONS)

# Models: trained and exported in .venv-train, served without it.
CORPUS ?=
# A run is a folder under artifacts/training/encoder; the teacher's vectors serve them all.
RUN ?= $(shell date +%Y%m%d)
MODEL ?= encoder_svc/default_model
OUT ?= artifacts/models/$(notdir $(MODEL))
need-corpus = @if [ -z "$(CORPUS)" ]; then echo 'usage: make $@ CORPUS=paragraphs.jsonl.gz' >&2; exit 2; fi

.PHONY: train-encoder
train-encoder: $(TRAIN_STAMP) ## train the default encoder on CORPUS=FILE and MORE=FILE..., export it, measure it
	$(need-corpus)
	$(TRAIN_VENV)/bin/python -m training.encoder --corpus "$(CORPUS)" $(if $(MORE),--more $(MORE)) --name "$(RUN)" $(OPTIONS)
	$(TRAIN_VENV)/bin/python -m exporter --model "artifacts/training/encoder/$(RUN)/checkpoint" --name default-encoder --out encoder_svc/default_model
	$(TRAIN_VENV)/bin/python -m training.encoder.evaluate --model encoder_svc/default_model --corpus "$(CORPUS)" --card docs/ModelCards/default_encoder.md --card encoder_svc/default_model/MODEL_CARD.md

.PHONY: train-reranker
train-reranker: $(TRAIN_STAMP) ## fit the reranker on CORPUS=FILE for the default encoder, and measure it
	$(need-corpus)
	$(TRAIN_VENV)/bin/python -m training.reranker --corpus "$(CORPUS)" --model encoder_svc/default_model --out rerank_svc/default_model
	$(TRAIN_VENV)/bin/python -m training.reranker.evaluate --corpus "$(CORPUS)" $(OPTIONS)

.PHONY: train-query-models
train-query-models: $(TRAIN_STAMP) ## fit both query models on CORPUS=FILE for the default encoder, and measure them
	$(need-corpus)
	$(TRAIN_VENV)/bin/python -m training.query_models --corpus "$(CORPUS)" $(OPTIONS)
	$(TRAIN_VENV)/bin/python -m training.query_models.evaluate --corpus "$(CORPUS)"

.PHONY: retrain
retrain: $(TRAIN_STAMP) ## fit query models and reranker again (CORPUS=FILE or the current release), propose them if surely better
	$(TRAIN_VENV)/bin/python -m training.retrain $(if $(CORPUS),--corpus "$(CORPUS)") $(OPTIONS)

.PHONY: export
export: $(TRAIN_STAMP) ## export MODEL=sentence-transformers/gtr-t5-base (or a folder) to OUT, int8 and checked
	$(TRAIN_VENV)/bin/python -m exporter --model "$(MODEL)" --out "$(OUT)" $(OPTIONS)

.PHONY: parity
parity: $(TRAIN_STAMP) ## how faithful MODEL=FOLDER is to its source; without the source, what can be checked alone
	$(TRAIN_VENV)/bin/python -m exporter.parity --model "$(MODEL)" $(OPTIONS)

.PHONY: bench-encoder
bench-encoder: $(TRAIN_STAMP) $(STAMP) ## the encoder by length and threads beside others, then through the service
	$(TRAIN_VENV)/bin/python -m benchmarks.encoder.graphs $(OPTIONS)
	$(BIN)/python -m benchmarks.encoder.service

.PHONY: bench-query-models
bench-query-models: $(STAMP) ## what a query model takes inside the encoder service
	$(BIN)/python -m benchmarks.query_models $(OPTIONS)
