# make demo: everything from nothing.   make test: the test suite.   make check: format, lint, types, imports.
# make thorough: the tests of many repetitions, which make test leaves out.   make docs: the site of the docs, in site/.
# Each makes the environment .venv first, if it is not there or out of date; TORCH_INDEX=ADDRESS makes one for CPUs alone,
# from that package index of PyTorch's CPU wheels (after make clean-environment, if there is another one).

SHELL := /bin/bash
BIN := .venv/bin
PYTEST_ARGS ?=

.PHONY: demo test thorough docs check format environment clean-environment

demo: environment
	@cat .venv/ready
	$(BIN)/snakemake --cores all

PYTEST := $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test: environment
	$(PYTEST) $(PYTEST_ARGS)

thorough: environment
	$(PYTEST) -m thorough $(PYTEST_ARGS)

docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

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

# The site's tools: of the environment's versions, but no part of it. With them make test tests the site, too.
.venv/docs: .venv/ready constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --constraint constraints.txt --editable '.[docs]'
	@touch $@

clean-environment:
	rm -rf .venv
