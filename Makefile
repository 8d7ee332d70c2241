PYTHON ?= python3
VENV ?= .venv
DEMO_DIR ?= runs/demo-$(shell date +%Y%m%d-%H%M%S)

# Two tests at a time where there is memory for both; each process has PyTorch, MLflow, and children with the same.
WORKERS ?= $(or $(shell awk '/MemAvailable/ { print ($$2 > 6000000 ? 2 : 0) }' /proc/meminfo 2>/dev/null),0)
# One thread: networks this small gain nothing from more, and lose much where another process is at work.
RUN_TESTS = OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(VENV)/bin/pytest $(PYTEST)

.PHONY: demo test quick soak lint format clean

# The stamps name what was installed; a changed pyproject.toml installs again.
$(VENV)/installed: pyproject.toml
	test -x $(VENV)/bin/pip || $(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/pip install --quiet -e .
	touch $@

$(VENV)/installed-dev: pyproject.toml
	test -x $(VENV)/bin/pip || $(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/pip install --quiet -e '.[dev]'
	touch $@ $(VENV)/installed

demo: $(VENV)/installed  ## search on drawn faces: a few minutes
	$(VENV)/bin/autofr search --space arcface_margins --run-dir $(DEMO_DIR)

test: $(VENV)/installed-dev  ## every test, with a few of the kills; the real faces' where they are
	$(RUN_TESTS) -n $(WORKERS) --dist worksteal

quick: $(VENV)/installed-dev  ## the tests of a second or less, which train nothing
	$(RUN_TESTS) -n $(WORKERS) --dist worksteal -m "unit and not slow"

soak: $(VENV)/installed-dev  ## hours: kills at every instant, 100,000 broken inputs for each parser, 500 generations
	AUTOFR_SOAK=1 $(RUN_TESTS) -m kill
	PYTHONPATH=. $(VENV)/bin/python experiments/fuzz/run.py
	$(VENV)/bin/python experiments/soak/run.py

lint: $(VENV)/installed-dev  ## ruff, the layout (import-linter), mypy
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports
	$(VENV)/bin/mypy

format: $(VENV)/installed-dev
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

clean:  ## caches and builds; runs/ stays
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
