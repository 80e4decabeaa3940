# Two commands for a newcomer: `make demo` and `make test`. Both need only Python (3.11 or later) and make.
PYTHON ?= python3
BASE := .venv/base
TEST := .venv/test
SOURCES := $(shell find kinemacolor -type f -not -path '*/__pycache__/*') pyproject.toml

.PHONY: demo test docs clean

demo: $(BASE)/.installed
	$(BASE)/bin/python examples/demo.py --output out

test: $(TEST)/.installed
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .
	$(TEST)/bin/codespell
	$(TEST)/bin/mypy
	OMP_NUM_THREADS=1 $(TEST)/bin/python -m pytest -n auto -q
	$(TEST)/bin/python benchmarks/smoke.py

docs: $(TEST)/.installed
	$(TEST)/bin/python -m pip install --quiet ".[docs]"
	$(TEST)/bin/python -m sphinx -W -q -b html docs out/docs

$(BASE)/.installed: $(SOURCES)
	$(PYTHON) -m venv $(BASE)
	$(BASE)/bin/python -m pip install --quiet --disable-pip-version-check .
	touch $@

$(TEST)/.installed: pyproject.toml
	$(PYTHON) -m venv $(TEST)
	$(TEST)/bin/python -m pip install --quiet --disable-pip-version-check -e ".[train,studio,dev]"
	touch $@

clean:
	rm -rf .venv out
