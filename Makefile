# Needs Python >= 3.11 and make; everything else goes into .venv.
#   make demo        installs, makes twelve pictures, judges them; fails if fewer than ten are right
#   make test        format, lint, types, tests (what continuous integration runs)
#   make test-all    the same with every slow test
#   make docs        writes the generated pages of docs/reference anew
#   make clean       removes .venv and the demo's pictures

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(BIN)/python -m pytest -n 2

.PHONY: demo test test-all check docs clean

demo: $(VENV)/installed
	@$(BIN)/scenewright demo --out demo/; code=$$?; \
	  echo "The pictures are in $(CURDIR)/demo; sheet.png shows all of them."; exit $$code

test: check
	$(PYTEST)

test-all: check
	$(PYTEST) -m ""

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/installed-dev
	$(BIN)/python docs/generate.py

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"error: Python {v[0]}.{v[1]} found, 3.11 or newer needed\nhint: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing into $(VENV) (torch is large; this takes minutes on a first run)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing what the tests need into $(VENV)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) demo
