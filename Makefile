# make train        install into .venv and train LeNet on the embedded digits
# make test         install what the tests need and run them all, TEST_JOBS=2 at a time
# make test-quick   those of them that take less than a tenth of a second each: for every commit
# make slow-tests   measure which tests take longer, into tests/slow_tests.txt
# make lint         ruff, mypy, clang-format, the import rule, and the rooms, arrows and floors of the house
# make docs         build the documentation as a site: build/site/index.html
# make wheel        build the source archive and the wheel of this system into dist/, and try it in a venv of its own
# make sanitize     build the kernel with AddressSanitizer and run its tests
# make bench        time the kernel beside its peers (15 to 20 minutes; into outputs/bench)
# make bench-train  time whole runs of every network, stage by stage
# make bench-layers time the layers' passes beside PyTorch's
# make fig5b        run and draw one figure of the paper (fig1a to fig8), 10 seeds a curve; SEEDS=3 for a quick look
# make figures      all of them, into outputs/figures and outputs/reference; a killed one goes on where it was
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
SOURCES := pyproject.toml setup.py constraints.txt $(wildcard csrc/*)
INSTALL = $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable

FIGURES := fig1a fig1b fig2a fig2b fig3a fig3b fig4a fig4b fig5a fig5b fig5c fig5d fig6a fig6b fig6c fig6d \
  fig6a_2024 fig6b_2024 fig6c_2024 fig6d_2024 fig7 fig8
SEEDS ?= 10
JOBS ?= 2
TEST_JOBS ?= 2
PARALLEL = --numprocesses $(TEST_JOBS) --dist loadgroup

TEST_EXTRAS := dev,torch,dwave,gate,sweep,ray,export,bench

.PHONY: help train test test-quick slow-tests lint docs wheel sanitize bench bench-train bench-layers figures $(FIGURES) clean

help:
	@sed -n 's/^# //p' Makefile

train: $(VENV)/installed
	$(BIN)/annealtrain train model=lenet solver=sa

test: $(VENV)/installed-test
	$(BIN)/python -m pytest $(PARALLEL)

test-quick: $(VENV)/installed-test
	$(BIN)/python -m pytest $(PARALLEL) --quiet -m "not slow"

slow-tests: $(VENV)/installed-test
	$(BIN)/python -m pytest --measure

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror csrc/*.[ch] tests/*.c
	$(BIN)/lint-imports
	$(BIN)/python tests/house.py

docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# From the source archive, so that nothing of an older build gets in, and both are tried. Of the tests those that need no
# extra and no checkout, the quick ones: the kernel, the solvers, the public functions.
WHEEL_VENV := build/wheel-venv
IN_WHEEL := $(abspath $(WHEEL_VENV))/bin
WHEEL_TESTS := test_kernel test_shared_couplings test_path_integral test_anneal test_solvers test_instances test_api
wheel: $(VENV)/bin/pip
	rm -rf dist $(WHEEL_VENV) build/wheel-run
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt build
	$(BIN)/python -m build
	$(BIN)/python tests/wheel_contents.py dist/*.whl
	$(PYTHON) -m venv $(WHEEL_VENV)
	$(IN_WHEEL)/pip install --quiet --disable-pip-version-check --constraint constraints.txt dist/*.whl pytest hypothesis
	cd build && $(IN_WHEEL)/annealtrain train model=linear_small samples=100 epochs=1 threads=1 hydra.run.dir=wheel-run
	cd build && $(IN_WHEEL)/annealtrain eval wheel-run
	cd build && $(IN_WHEEL)/pytest -q -m "not slow" -p no:cacheprovider $(WHEEL_TESTS:%=../tests/%.py)

ASAN := build/sanitize/lib
sanitize: $(VENV)/installed-test
	CFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=undefined -g -O1" \
	  $(BIN)/python setup.py --quiet build --build-base build/sanitize --build-lib $(ASAN)
	cd $(ASAN) && LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
	  ASAN_OPTIONS=detect_leaks=0 $(abspath $(BIN))/python -m pytest -q -p no:cacheprovider \
	  $(addprefix $(CURDIR)/tests/,test_kernel.py test_shared_inputs.py test_path_integral.py test_solvers.py test_anneal.py \
  test_shared_couplings.py)

bench: $(VENV)/installed-bench
	PYTHONPATH=tests $(BIN)/python -m bench.kernel

bench-train: $(VENV)/installed
	PYTHONPATH=tests $(BIN)/python -m bench.stages

bench-layers: $(VENV)/installed-figures
	PYTHONPATH=tests $(BIN)/python -m bench.passes

figures: $(FIGURES)

$(FIGURES): $(VENV)/installed-figures
	$(BIN)/annealtrain figure $@ --seeds $(SEEDS) sweep/launcher=joblib hydra.launcher.n_jobs=$(JOBS)

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "annealtrain needs Python 3.11 or newer: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/pip $(SOURCES)
	@echo "Installing annealtrain into $(VENV) (about a minute) ..."
	@$(INSTALL) .
	@touch $@

$(VENV)/installed-test: $(VENV)/bin/pip $(SOURCES)
	@echo "Installing annealtrain, all it can work with and its test tools into $(VENV) (a few minutes) ..."
	@$(INSTALL) .[$(TEST_EXTRAS)]
	@touch $@ $(VENV)/installed $(VENV)/installed-docs

$(VENV)/installed-docs: $(VENV)/bin/pip $(SOURCES)
	@echo "Installing annealtrain and what builds its pages into $(VENV) (about a minute) ..."
	@$(INSTALL) .[docs]
	@touch $@ $(VENV)/installed

$(VENV)/installed-bench: $(VENV)/bin/pip $(SOURCES)
	@echo "Installing annealtrain and the samplers it is compared with into $(VENV) (about a minute) ..."
	@$(INSTALL) .[bench]
	@touch $@ $(VENV)/installed

$(VENV)/installed-figures: $(VENV)/bin/pip $(SOURCES)
	@echo "Installing annealtrain, PyTorch, D-Wave's tools and the sweep launchers into $(VENV) (a few minutes) ..."
	@$(INSTALL) .[torch,sweep,dwave]
	@touch $@ $(VENV)/installed

clean:
	rm -rf $(VENV) build dist annealtrain.egg-info annealtrain/*.so annealtrain/_version.py
