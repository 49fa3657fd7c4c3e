# The front door. Every target sets up by itself what it needs; nothing asks for root.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup build native test lint fmt layout bindings bench evidence demo check clean

IN := . .ci/env &&
STAMP := build/stamp
sources = $(shell find $(1) -type f -not -path '*/target/*' -not -path '*/__pycache__/*')
C_SOURCES := $(call sources,native) meson.build meson.options
PACKAGE_SOURCES := $(C_SOURCES) $(call sources,src ffi) pyproject.toml README.md
PROGRAM_SOURCES := $(call sources,examples tests/conformance tests/produce bench/workers)

help: ## say what there is
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1\t\2/p' Makefile | expand -t 16

setup: $(STAMP)/venv ## make .venv with everything that building and testing needs

build: $(STAMP)/programs ## the C library, the Python package in .venv, and the programs in build/bin

native: $(STAMP)/native ## the C tests, the simulator and the programs of the attacks, in build/native

test: ## every test: C, Python, Go, Rust (LONG=1: the long crash runs)
	@.ci/run build layout c unit go rust system crash interop

lint: ## every linter
	@.ci/run build format scripts python-lint go-lint rust-lint c-lint

check: ## everything that has to pass before a change lands
	@.ci/run

fmt: $(STAMP)/lint ## format all four languages in place
	$(IN) git ls-files -z '*.[ch]' | xargs -0 clang-format -i
	$(IN) ruff format . && ruff check --fix --quiet .
	$(IN) "$$(go env GOROOT)/bin/gofmt" -w $$(git ls-files '*.go')
	$(IN) cargo fmt --all --manifest-path ffi/rust/Cargo.toml

layout: $(STAMP)/native ## rewrite tests/abi/layout.txt from the header
	build/native/native/tests/layout > tests/abi/layout.txt
	$(IN) python native/layout.py --versions tests/abi/layout.txt tests/abi/versions.txt

bindings: $(STAMP)/venv ## rewrite the Rust bindings from the headers (needs bindgen)
	$(IN) ffi/rust/bindings.sh

# Only a whole run replaces the figures in bench/; one that was cut short goes to build/bench.
bench: $(STAMP)/programs $(STAMP)/bench ## measure, beside the peers (BENCH_QUICK=1: only see that it works)
	@mkdir -p build/bench
	$(IN) python -m pytest bench -v --benchmark-quiet --benchmark-json build/bench/run.json $(BENCH)
	$(IN) python -m bench.report build/bench/run.json $(if $(BENCH)$(BENCH_QUICK),build/bench,bench)

evidence: $(STAMP)/programs $(STAMP)/native ## attack it, and write docs/evidence.md (LONG=1, ATTACKS="names")
	$(IN) python -m tests.evidence $(if $(LONG),--long) $(ATTACKS)

demo: $(STAMP)/programs ## find duplicate files through Go and Rust workers, killing some (DIR=folder)
	@$(IN) hybridrt demo $(DIR)

clean: ## remove build/; .venv stays
	rm -rf build

$(STAMP)/venv: pyproject.toml .ci/setup .ci/requirements.py
	@mkdir -p $(@D) && .ci/setup demo proof test && touch $@

$(STAMP)/lint $(STAMP)/bench: $(STAMP)/%: $(STAMP)/venv
	@.ci/setup $* && touch $@

$(STAMP)/native: $(STAMP)/venv $(C_SOURCES)
	@$(IN) .ci/native build/native && touch $@

$(STAMP)/package: $(STAMP)/venv $(PACKAGE_SOURCES)
	@$(IN) .ci/package && touch $@

$(STAMP)/programs: $(STAMP)/package $(PROGRAM_SOURCES) .ci/programs
	@$(IN) .ci/programs && touch $@
