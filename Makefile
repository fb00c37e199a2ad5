# make train   install into .venv and train LeNet on the embedded digits
# make test    install what the tests need and run them all
# make lint    ruff and mypy
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
SOURCES := pyproject.toml setup.py constraints.txt $(wildcard csrc/*)
INSTALL = $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

.PHONY: help train test lint clean

help:
	@sed -n 's/^# //p' Makefile

train: $(VENV)/installed
	$(BIN)/annealtrain train model=lenet solver=sa

test: $(VENV)/installed-test
	$(BIN)/python -m pytest

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "annealtrain needs Python 3.11 or newer: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/pip $(SOURCES)
	@echo "Installing annealtrain into $(VENV) (about a minute) ..."
	@$(INSTALL) .
	@touch $@

$(VENV)/installed-test: $(VENV)/bin/pip $(SOURCES)
	@echo "Installing annealtrain and its test tools into $(VENV) (about a minute) ..."
	@$(INSTALL) .[test]
	@touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) build dist annealtrain.egg-info annealtrain/*.so
