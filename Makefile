# `make demo` and `make test` need Python 3.11 or newer and nothing else: they install what they use into .venv.

PYTHON ?= python3
VENV := .venv
CONSTRAINTS := constraints.txt
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint $(CONSTRAINTS)
CHECKED := gragr_explain benchmarks tests conftest.py

.PHONY: help demo test lint clean

help:
	@echo "make demo   train a model on handwritten digits, explain it, and write a page to look at"
	@echo "make test   run the tests"
	@echo "make lint   check style and types"
	@echo "make clean  remove what these have made"

demo: $(VENV)/.for-demo
	@$(BIN)/gragr-explain demo --out demo

test: $(VENV)/.for-test
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

lint: $(VENV)/.for-lint
	@$(BIN)/ruff check $(CHECKED)
	@$(BIN)/ruff format --check $(CHECKED)
	@$(BIN)/mypy

clean:
	@rm -rf $(VENV) demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find gragr_explain benchmarks tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.for-demo: EXTRA := [llm]
$(VENV)/.for-test: EXTRA := [test]
$(VENV)/.for-lint: EXTRA := [dev]

$(VENV)/.for-%: pyproject.toml $(CONSTRAINTS) | $(VENV)/.torch
	@echo "installing gragr-explain$(EXTRA) into $(VENV) ..."
	@$(PIP) --editable ".$(EXTRA)"
	@touch $@

# PyTorch comes first and alone: it is by far the largest download, and is not repeated when a later step fails.
$(VENV)/.torch: $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "gragr-explain needs Python 3.11 or newer; choose one with: make PYTHON=/path/to/python3"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
		echo "cannot make $(VENV); on Debian and Ubuntu, install the package python3-venv"; exit 1; }
	@echo "installing PyTorch into $(VENV) (once, a few minutes) ..."
	@$(PIP) torch
	@touch $@
