# The two commands are `make run` and `make test`; each installs first if nothing is installed yet.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --no-compile
INSTALLED := $(VENV)/installed
WORKERS ?= 2
LIBRARIES := e3nn.o3, lightning, torch_geometric.nn
TOOLS := Bio.Align, hypothesis, ipykernel.kernelapp, ipywidgets, matplotlib.pyplot, nbclient, nbconvert, pytest, selenium.webdriver

FUZZ ?= 10000
DIALECTS ?= 500

.PHONY: help install run lab solutions test lint check mutants fuzz figures tables notebooks bench coursework

help:
	@echo "make run        install, execute all notebooks (quick profile, CPU), rebuild the figures"
	@echo "make test       install, run all tests and check the notebooks' outputs"
	@echo "make lab        open notebooks without solutions in JupyterLab, in my-notebooks; what is there is kept"
	@echo "make solutions  open the solved notebooks in JupyterLab"
	@echo "make figures    rebuild every figure        make tables   rebuild every table"
	@echo "make notebooks  execute the notebooks in place, as they are committed"
	@echo "make bench      measure speed and memory    make lint     check the style of the code"
	@echo "make mutants    put small errors into the core and see that the tests notice each"
	@echo "make fuzz       read thousands of mangled structure files (FUZZ=10000), and hundreds beside Biopython"
	@echo "make coursework build the student notebooks and the solutions set into build/coursework"

# One stamp file: a second call installs nothing. A changed pyproject.toml installs again. A new pip is twice as fast as
# the one that Python brings, and compiles nothing here, most of which would never be imported; what will be is compiled
# by importing it, on two cores.
install: $(INSTALLED)

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 10) <= v[:2] <= (3, 13) else "Python 3.10 to 3.13 is needed; this is %d.%d. Name another: make PYTHON=python3.12 run" % v[:2])'
	$(PYTHON) -m venv $(VENV)
	@$(PIP) -q --upgrade pip || true
	$(PIP) -e ".[all]" || { echo; echo "Once more without atom3d, which a C compiler must build and only one test uses:"; \
		$(PIP) -e ".[train,data,notebooks,test]"; }
	@export PYTHONDONTWRITEBYTECODE=; \
		$(BIN)/python -c "import eqgat.training.cli, eqgat_course.exercises, $(LIBRARIES)" & \
		$(BIN)/python -c "import $(TOOLS)"; wait
	$(BIN)/python -m eqgat.viz.scripts
	@touch $@

# Two notebooks at a time, with one thread each: small tensors gain nothing from more threads, and on a busy machine
# threads that wait for each other cost minutes.
run: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m eqgat notebooks --workers $(WORKERS)
	$(BIN)/python -m eqgat figures --out build/figures
	@echo
	@echo "Done. Open build/notebooks/index.html in a browser to read the executed notebooks; the figures are"
	@echo "in build/figures/. To work with the notebooks themselves, start JupyterLab: make lab"

lab: $(INSTALLED)
	$(BIN)/python -m eqgat coursework lab my-notebooks
	$(BIN)/jupyter lab my-notebooks/00_start_here.ipynb

solutions: $(INSTALLED)
	$(BIN)/jupyter lab notebooks/00_start_here.ipynb

test: $(INSTALLED) lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder \
		--nbval-lax --nbval-current-env --nbval-cell-timeout=300 notebooks tests

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy

mutants: $(INSTALLED)
	$(BIN)/python tests/mutants.py --workers $(WORKERS)

fuzz: $(INSTALLED)
	$(BIN)/python tests/fuzz_structures.py $(FUZZ)
	$(BIN)/python tests/dialects.py $(DIALECTS)

figures: $(INSTALLED)
	$(BIN)/python -m eqgat figures

# What to run before each commit: style, types, contracts, and the tests that need no notebook, browser or training.
check: lint
	$(BIN)/python -m pytest -q -n $(WORKERS) -m "not slow" tests

tables: $(INSTALLED)
	$(BIN)/python -m eqgat tables

notebooks: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m eqgat notebooks --in-place

bench: $(INSTALLED)
	$(BIN)/python benchmarks/bench.py $(BENCH)

coursework: $(INSTALLED)
	$(BIN)/python -m eqgat coursework build build/coursework
