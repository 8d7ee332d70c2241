PYTHON ?= python3
VENV ?= .venv
DEMO_DIR ?= runs/demo-$(shell date +%Y%m%d-%H%M%S)

.PHONY: demo test lint format clean

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

# One thread: networks this small gain nothing from more, and lose much where another process is at work.
test: $(VENV)/installed-dev  ## every test; the real faces' where they are
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(VENV)/bin/pytest

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
