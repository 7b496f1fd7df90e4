# make demo: everything from nothing.   make test: the test suite.   make check: format, lint, types, imports.
# make thorough: the tests of many repetitions, which make test leaves out.
# Each makes the environment .venv first, if it is not there or out of date; TORCH_INDEX=ADDRESS makes one for CPUs alone,
# from that package index of PyTorch's CPU wheels (after make clean-environment, if there is another one).

SHELL := /bin/bash
BIN := .venv/bin
PYTEST_ARGS ?=

.PHONY: demo test thorough check format environment clean-environment

demo: environment
	@cat .venv/ready
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
