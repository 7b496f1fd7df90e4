# make demo: everything from nothing.   make test: the test suite.   make check: format, lint, types, imports.
# make thorough: the tests of many repetitions, which make test leaves out.
# Each makes the environment .venv first, if it is not there or out of date.

SHELL := /bin/bash
BIN := .venv/bin
PYTEST_ARGS ?=

.PHONY: demo test thorough check format environment clean-environment

demo: environment
	$(BIN)/snakemake --cores all

PYTEST := $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test: environment
	$(PYTEST) $(PYTEST_ARGS)

thorough: environment
	$(PYTEST) -m thorough $(PYTEST_ARGS)

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
