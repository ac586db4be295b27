# One entry for people and for CI. `make` alone prints this list.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TRAIN_VENV := .venv-train
TRAIN_STAMP := $(TRAIN_VENV)/.installed

PROTOS := $(wildcard protos/retrieval/v1/*.proto)
PACKAGES := retrieval_core releases servicekit encoder_svc index_svc rerank_svc gateway building retrieval_client deploy

.PHONY: help
help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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
