# Needs python3 and make, nothing else. `make help` lists the targets.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
export PATH := $(abspath $(BIN)):$(PATH)
# Bytecode makes every later start quicker; a shell that forbids it slows each stage down.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help run install test test-all faults fuzz screenshots bench check fmt deps lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

run: install ## run the whole pipeline on the Census table and print the result
	@lockstep run
	@lockstep results

install: $(VENV)/.pipeline ## install the pipeline and set up the keyring
	@lockstep keys new

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Lockstep needs Python 3.11, 3.12 or 3.13")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.pipeline: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing the pipeline into $(VENV): some minutes the first time."
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[pipeline,demo]'
	@touch $@

$(VENV)/.dev: $(VENV)/.pipeline
	@echo "Installing the development tools into $(VENV)."
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[pipeline,demo,s3,dev]'
	@touch $@

$(VENV)/.bench: $(VENV)/.pipeline
	@echo "Installing the learners of the model comparison into $(VENV)."
	@$(PIP) install --quiet --constraint constraints.txt --editable '.[pipeline,demo,bench]'
	@touch $@

test: $(VENV)/.dev ## run the tests (below 10 minutes)
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m 'not faults and not slow'

faults: $(VENV)/.dev ## kills, full disks, tampering: every one of them
	$(BIN)/python -m pytest -n auto --dist worksteal -m faults

fuzz: $(VENV)/.dev ## the property tests, with many more examples
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest -m 'not slow' -k 'property or fuzz'

test-all: $(VENV)/.dev ## every test there is
	$(BIN)/python -m pytest

screenshots: $(VENV)/.dev ## go through the UI on the whole table and write docs/screenshots/ (needs chromium)
	LOCKSTEP_SCREENSHOTS=1 $(BIN)/python -m pytest tests/browser

bench: $(VENV)/.bench ## compare the default network with other learners, where benchmarks/results/ lacks it (hours)
	python -m benchmarks.model_quality run
	python -m benchmarks.model_quality report

check: $(VENV)/.dev ## ruff, mypy, import-linter, and whether dvc.yaml names the modules in use
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	python -m flows._deps --check

fmt: $(VENV)/.dev ## format the code
	ruff check --fix .
	ruff format .

deps: $(VENV)/.dev ## write the stages' module dependencies into dvc.yaml
	python -m flows._deps

lock: $(VENV)/.dev $(VENV)/.bench ## write the versions in use to constraints.txt
	@echo '# The versions that the tests and the README'"'"'s figures were made with. `make lock` writes it.' > constraints.txt
	@$(BIN)/python -m pip freeze --exclude-editable >> constraints.txt

clean: ## delete what the pipeline made here (keys, registry and remote stay)
	rm -rf data/raw data/source.parquet.sealed data/split data/debiased data/resampled models reports .lockstep dvc.lock
