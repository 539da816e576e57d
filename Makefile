# Castfield. `make demo` is the way in; `make help` lists the rest.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready
# As stages/run has it: large blocks of memory are kept, on large pages.
RUN := MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=1073741824 GLIBC_TUNABLES=glibc.malloc.hugetlb=1 $(BIN)/python

.PHONY: help setup demo check test lint ablation bench clean

help: ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY) ## the environment in .venv (wheels only, no root)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' || \
		{ echo "Castfield needs Python 3.11 or 3.12; found $$($(PYTHON) --version). Try: make setup PYTHON=python3.11"; exit 1; }
	@echo "setting up .venv with $$($(PYTHON) --version) (about 3 GB, a few minutes, once)"
	@$(PYTHON) -m venv .venv
	@# The lock file is complete: no resolver, so that no CUDA build, no jax and no OpenCV with a window system comes along.
	@# setuptools and wheel first: packages without wheels (two small pure ones) build with them.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $$(grep -E '^(setuptools|wheel)==' requirements.lock)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(RUN) -m castfield.compiling
	@touch $(READY)

demo: setup ## the whole DAG on the synthetic cast, then metrics, page and videos
	@$(BIN)/dvc repro
	@$(BIN)/python -m castfield.summary

check: setup ## what is wrong with a video, in seconds: make check VIDEO=<video or folder> [PAGE=<folder>]
	@[ -n "$(VIDEO)" ] || { echo "which video? make check VIDEO=<video or folder>"; exit 2; }
	@$(BIN)/python -m castfield.check "$(VIDEO)" --page "$(or $(PAGE),data/check)"

test: setup lint ## lint, types and tests (real footage with CASTFIELD_MEDIA=<folder>)
	@OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --durations 15

lint: setup ## ruff and mypy
	@$(BIN)/ruff check src stages tests
	@$(BIN)/ruff format --check src stages tests
	@$(BIN)/mypy src stages

ablation: setup ## every interaction module at equal training time on GRID (docs/ablation.md)
	@$(BIN)/dvc exp run -S dataset=grid fit
	@$(RUN) -m castfield.ablation

bench: setup ## speed, quality against time, scaling, memory, tracking on GRID (metrics/bench.json)
	@$(BIN)/dvc exp run -S dataset=grid fit
	@$(RUN) -m castfield.bench

clean: ## remove scratch and caches (not the environment, not DVC's cache)
	rm -rf .castfield .pytest_cache .ruff_cache .mypy_cache
