# Each target first makes .venv, where there is none or pyproject.toml has changed.

PYTHON ?= python3
VENV := .venv/bin/python

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Threads that wait must not spin: where anything else runs they take the cores from each other.
export GOMP_SPINCOUNT := 0
export MPLBACKEND ?= Agg

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test test-lowest lint bench clean

# mypy wants the package in a folder of its name, which a clone's need not be.
LINK = mkdir -p .venv/types && ln -sfn "$$(pwd)" .venv/types/longplay

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s  %s\n", $$1, $$2 }' Makefile

demo: .venv/.installed ## Train, compare and show a first result
	@$(VENV) scripts/demo.py

test: .venv/.installed ## Run the tests
	@OMP_NUM_THREADS=1 WANDB_MODE=offline $(VENV) -m pytest -c tests/pytest.ini tests -n 2 --dist loadfile

test-lowest: .venv-lowest/.installed ## Run the environment's tests without extras, on the lowest versions allowed
	@OMP_NUM_THREADS=1 .venv-lowest/bin/python -m pytest -c tests/pytest.ini tests/envs -n 2 --dist loadfile

lint: .venv/.installed ## Check style, format and types
	@$(VENV) -m ruff check .
	@$(VENV) -m ruff format --check .
	@$(LINK)
	@MYPYPATH=.venv/types $(VENV) -m mypy -p longplay.envs -p longplay.agents -p longplay.encoders -p longplay.scripts

bench: .venv/.installed ## Measure the speed of the environment, of encoders, of training and of judging
	@$(VENV) -m longplay.scripts.bench.environment
	@$(VENV) -m longplay.scripts.bench.encoders
	@$(VENV) -m longplay.scripts.bench.training
	@$(VENV) -m longplay.scripts.bench.judging --users 100 --people 10000

clean: ## Remove environments, builds and tool caches; keep runs/
	@rm -rf .venv .venv-lowest .peers build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp gets the time at which the installation began, and its name only when all is installed.
NEW_ENOUGH = import sys; sys.exit(sys.version_info < (3, 11))
.venv/.installed: pyproject.toml
	@rm -f $@
	@if ! $(VENV) -c '$(NEW_ENOUGH)' 2>/dev/null; then \
	  if ! "$(PYTHON)" -c '$(NEW_ENOUGH)' 2>/dev/null; then \
	    echo "longplay needs Python 3.11 or newer; $(PYTHON) is: $$("$(PYTHON)" --version 2>&1)" >&2; \
	    echo "Name another one, such as: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; \
	    exit 1; \
	  fi; \
	  "$(PYTHON)" -m venv --clear .venv; \
	fi
	@$(VENV) -m pip --version >/dev/null 2>&1 || $(VENV) -m ensurepip >/dev/null
	@touch .venv/.installing
	@echo "Installing longplay and what it needs into .venv; the first time this takes some minutes."
	@$(VENV) -m pip install -q -e '.[dev]'
	@$(LINK)
	@mv .venv/.installing $@

# The versions are those for Python 3.11; for a newer one some have no wheels.
.venv-lowest/.installed: pyproject.toml constraints-lowest.txt
	@if ! "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then \
	  echo "The lowest versions are those for Python 3.11; name it, such as: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; \
	  exit 1; \
	fi
	@"$(PYTHON)" -m venv --clear .venv-lowest
	@echo "Installing the environment's lowest versions into .venv-lowest; this takes a minute or more."
	@.venv-lowest/bin/python -m pip install -q -c constraints-lowest.txt -e . pytest pytest-xdist hypothesis
	@touch $@
