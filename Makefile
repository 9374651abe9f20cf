# Everything is a script of its own under scripts/; this file gives them their names.

SHELL := /bin/bash
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup gen build bpf fmt test bench bench-smoke demo clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing, generate code, compile the BPF objects once
	@echo setup
	@scripts/setup.sh

gen: setup ## Generate code from proto/ (setup does it whenever proto/ changed)

build: setup ## Compile to dist/: faster starts, and what a package contains
	@scripts/build.sh

bpf: ## Compile all BPF objects to build/bpf
	@scripts/compile-bpf.sh

fmt: ## Format TypeScript, JSON and proto
	@biome format --write .
	@buf format --write proto

test: setup ## Format, lint, types, proto lint, unit, kernel and end-to-end tests
	@scripts/test.sh

bench: setup ## All benchmarks, beside what people would use instead, into build/bench (under 15 minutes)
	@unshare --net bin/waggle-bench --out build/bench

bench-smoke: setup ## Shows in a minute that all benchmarks work; judges nothing
	@unshare --net bin/waggle-bench --smoke

demo: setup ## The proof of concept, alive: pods, plugins in the middle of the datapath, changes without loss
	@bin/waggle demo

clean: ## Remove what was built and generated
	@rm -rf build dist src/gen
