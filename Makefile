# make demo: everything from nothing.   make test: the test suite.   make check: format, lint, types, imports.
# Each makes the environment .venv first, if it is not there or out of date.

SHELL := /bin/bash
BIN := .venv/bin
PYTEST_ARGS ?=

.PHONY: demo test check format environment clean-environment

demo: environment
	$(BIN)/snakemake --cores all

test: environment
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

check: environment
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

format: environment
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/snakefmt Snakefile rules

environment: .venv/ready

.venv/ready: pyproject.toml requirements.txt scripts/bootstrap
	bash scripts/bootstrap

clean-environment:
	rm -rf .venv
