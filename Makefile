# Every target sets up what it needs on a fresh machine with Python >= 3.11 and a package registry.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
    $$p -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
    && command -v $$p && break; done)
VENV ?= .venv
IMAGE ?= detection-executor:latest
BASE_IMAGE ?= debian:bookworm-slim
DOCKER ?= docker

bin := $(VENV)/bin
# One math thread for each test process: the processes share the cores already.
pytest := OMP_NUM_THREADS=1 $(bin)/python -m pytest -q -n 2 --dist loadfile

# uv installs three times faster than pip; where only pip is configured for the local registry, pip does it.
install = $(bin)/uv pip install -q --python $(bin)/python --require-hashes -r $(1) \
    || $(bin)/python -m pip install -qq --require-hashes -r $(1)

.DEFAULT_GOAL := help
.PHONY: help setup demo test check lint mutants nightly generate lock licences image image-test sbom clean

## help       this list
help:
	@sed -n 's/^## /  make /p' $(firstword $(MAKEFILE_LIST))

## setup      make .venv and the command .venv/bin/detex
setup: $(bin)/detex

## demo       train, mine and infer on aerial photographs of trees; ends with a picture
demo: $(bin)/detex
	$(bin)/python -m demo.run

## test       every test that this machine can run
test: $(VENV)/.dev
	$(pytest)

## check      format, lint, types, import rules, and the tests that need neither GPU nor network
check: lint
	$(pytest) -m "not gpu and not slow and not network and not image"

## lint       the part of `check` that runs no test
lint: $(VENV)/.dev
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	$(bin)/mypy
	$(bin)/lint-imports
	$(bin)/hadolint Dockerfile
	$(bin)/shellcheck $(wildcard docker/*.sh) .ci/run

## mutants    change the product in 200 places, one at a time: the tests must notice it
mutants: $(VENV)/.dev
	$(bin)/python -m verification.mutants
	$(bin)/python -m verification.mutants --report > docs/mutants.md

## nightly    what takes too long for every change: mutants, hostile input, killed runs, long lists, web page
nightly: mutants
	$(bin)/python -m verification.fuzz
	rm -f build/nightly.jsonl build/growth.jsonl
	$(bin)/python -m verification.reliability kill --seconds 600 --records build/nightly.jsonl
	$(bin)/python -m verification.reliability stop --seconds 200 --records build/nightly.jsonl
	$(bin)/python -m verification.reliability disk --seconds 600 --records build/nightly.jsonl
	$(bin)/python -m verification.growth --lines 1000 20000 --records build/growth.jsonl
	$(bin)/python -m verification.web || test $$? -eq 77  # 77: neither node nor npm is there

## generate   write what follows from the tables of extensions: templates, copies, lists in documents
generate: $(VENV)/.dev
	$(bin)/python -m docker.generate

## lock       pin the whole closure of requirements*.in, with hashes
lock: $(VENV)/.dev
	for name in requirements requirements-dev requirements-uv; do \
	  $(bin)/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
	    --no-header --no-annotate $$name.in -o $$name.txt; done

## licences   write docs/dependencies.md; WITH_IMAGE=1 renews the image's Debian packages, too
licences: $(VENV)/.dev
	DOCKER=$(DOCKER) $(bin)/python docker/documents.py licences $(if $(WITH_IMAGE),$(IMAGE))

## image      build the container image
image:
	BASE_IMAGE=$(BASE_IMAGE) DOCKER=$(DOCKER) docker/build.sh $(IMAGE)

## image-test build the image and test it, with an engine of its own where there is none
image-test: $(VENV)/.dev
	BASE_IMAGE=$(BASE_IMAGE) PYTHON=$(bin)/python docker/image-test.sh $(IMAGE)

## sbom       build/sbom.cdx.json: what is in the image, or would be
sbom: $(VENV)/.dev
	DOCKER=$(DOCKER) $(bin)/python docker/documents.py sbom \
	  $$($(DOCKER) image inspect -f '$(IMAGE)' $(IMAGE) 2>/dev/null || true)

## clean      delete .venv, downloads, caches and the demo's results
clean:
	@test ! -e demo-out/.executor.lock || ! command -v flock >/dev/null || flock -n demo-out/.executor.lock true || \
	  { echo "a demo runs ($$(cat demo-out/.executor.lock)), and this would delete its results: wait for it" >&2; exit 1; }
	rm -rf $(VENV) .cache demo-out .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(VENV)/.runtime: requirements.txt requirements-uv.txt
	@test -n "$(PYTHON)" || { echo "No Python >= 3.11 with ensurepip found; set PYTHON=..." >&2; exit 1; }
	@echo "Setting up $(VENV) with $$($(PYTHON) --version): about 3.4 GB of wheels, once"
	@$(PYTHON) -m venv $(VENV)
	@$(bin)/python -m pip install -qq --require-hashes -r requirements-uv.txt
	@$(call install,requirements.txt)
	@touch $@

# The image's script, with this clone and its Python in place of the image's.
$(bin)/detex: docker/detex $(VENV)/.runtime
	@sed -e '1s|.*|#!$(abspath $(bin))/python|' -e 's|"/app"|"$(CURDIR)"|' $< > $@
	@chmod 755 $@

$(VENV)/.dev: $(bin)/detex requirements-dev.txt
	@$(call install,requirements-dev.txt)
	@touch $@
