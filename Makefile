# The two commands are `make run` and `make test`; each installs first if nothing is installed yet.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --no-compile
INSTALLED := $(VENV)/installed
STEP := $(PYTHON) tools/step.py
WORKERS ?= 2
LIBRARIES := e3nn.o3, lightning, torch_geometric.nn
TOOLS := Bio.Align, hypothesis, ipykernel.kernelapp, ipywidgets, matplotlib.pyplot, nbclient, nbconvert, pytest, selenium.webdriver

# No question about news, no look for a newer version.
QUIET_LAB := --LabApp.news_url=None --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate
FUZZ ?= 10000
DIALECTS ?= 500

.PHONY: help install run site lab solutions test lint check mutants fuzz damage figures tables notebooks bench coursework

help:
	@echo "make run        install, execute all notebooks (quick profile, CPU), draw the figures, make the site"
	@echo "make site       make the site in build/site from the notebooks as they were executed last"
	@echo "make test       install, run all tests and check the notebooks' outputs"
	@echo "make lab        open notebooks without solutions in JupyterLab, in my-notebooks; what is there is kept"
	@echo "make check      what to run before each commit: style, types, contracts, fast tests (under two minutes)"
	@echo "make solutions  open the solved notebooks in JupyterLab"
	@echo "make figures    rebuild every figure        make tables   rebuild every table"
	@echo "make notebooks  execute the notebooks in place, as they are committed"
	@echo "make bench      measure speed and memory    make lint     check the style of the code"
	@echo "make mutants    put small errors into the core and see that the tests notice each"
	@echo "make fuzz       read thousands of mangled structure files (FUZZ=10000), and hundreds beside Biopython"
	@echo "make damage     turn over bits in files, kill training, and see that nothing is believed or lost"
	@echo "make coursework build the student notebooks and the solutions set into build/coursework"

# One stamp file: a second call installs nothing. A changed pyproject.toml installs again. A new pip is twice as fast as
# the one that Python brings, and compiles nothing here, most of which would never be imported; what will be is compiled
# by importing it, on two cores.
install: $(INSTALLED)

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 10) <= v[:2] <= (3, 13) else "Python 3.10 to 3.13 is needed; this is %d.%d. Name another: make PYTHON=python3.12 run" % v[:2])'
	@$(STEP) "Making $(VENV)" build/logs/venv.log sh -c '$(PYTHON) -m venv $(VENV) && { $(PIP) -q --upgrade pip || true; }'
	@$(STEP) "Installing packages (minutes)" build/logs/install.log sh -c '$(PIP) -e ".[all]" || \
		{ echo "Once more without atom3d, which a C compiler must build and only one test uses:"; \
		$(PIP) -e ".[train,data,notebooks,site,test]"; }'
	@export PYTHONDONTWRITEBYTECODE=; $(STEP) "Compiling what is used" build/logs/compile.log sh -c '\
		$(BIN)/python -c "import eqgat.training.cli, eqgat_course.exercises, $(LIBRARIES)" & \
		$(BIN)/python -c "import $(TOOLS)"; wait'
	@$(BIN)/python -c 'from eqgat.viz.scripts import main; main()'
	@touch $@

# Two notebooks at a time, with one thread each: small tensors gain nothing from more threads, and on a busy machine
# threads that wait for each other cost minutes.
run: $(INSTALLED)
	@OMP_NUM_THREADS=1 $(STEP) "Executing the notebooks" build/logs/notebooks.log \
		$(BIN)/python -m eqgat notebooks --workers $(WORKERS)
	@$(STEP) "Drawing the figures" build/logs/figures.log $(BIN)/python -m eqgat figures --out build/figures
	@$(MAKE) --no-print-directory site
	@echo
	@echo "Made: executed notebooks in build/notebooks, figures in build/figures, the site in build/site. Next:"
	@echo "  1. Read:  open build/site/index.html in a browser; it needs no network"
	@echo "  2. Work:  make lab opens notebooks without solutions in JupyterLab, in my-notebooks"
	@echo "  3. Your own structure:  $(BIN)/eqgat explore FILE makes a page of a PDB or mmCIF file"

# From the notebooks as they were executed last, by `make run` or as they are committed; it runs none.
site: $(INSTALLED)
	@OMP_NUM_THREADS=1 $(STEP) "Making the site" build/logs/site.log $(BIN)/python docs/make_site.py

lab: $(INSTALLED)
	$(BIN)/python -m eqgat coursework lab my-notebooks
	$(BIN)/jupyter lab $(QUIET_LAB) my-notebooks/00_start_here.ipynb

solutions: $(INSTALLED)
	$(BIN)/jupyter lab $(QUIET_LAB) notebooks/00_start_here.ipynb

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

damage: $(INSTALLED)
	$(BIN)/python tests/damage.py flips 1000
	$(BIN)/python tests/damage.py kills 50

figures: $(INSTALLED)
	$(BIN)/python -m eqgat figures

# What to run before each commit: style, types, contracts, and the tests that need no notebook, browser or training.
check: lint
	$(BIN)/python -m pytest -q -n $(WORKERS) -m "not slow" tests

tables: $(INSTALLED)
	$(BIN)/python -m eqgat tables
	$(BIN)/python docs/readme.py

notebooks: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m eqgat notebooks --in-place

bench: $(INSTALLED)
	$(BIN)/python benchmarks/bench.py $(BENCH)

coursework: $(INSTALLED)
	$(BIN)/python -m eqgat coursework build build/coursework
