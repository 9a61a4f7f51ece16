# The commands of the project. Each sets up what it needs; VENV and PYTHON may be given.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SOURCES := setup.py pyproject.toml $(shell find csrc smartpipe -name '*.[ch]' -not -path 'smartpipe/*.c' -o -name '*.pyx' -o -name '*.pxd')

.PHONY: demo test lint bench wheel clean

demo: $(VENV)/demo
	$(BIN)/python examples/demo.py

test: $(VENV)/lint
	$(BIN)/python -m pytest tests
	SMARTPIPE_ENGINE=python $(BIN)/python -m pytest tests

lint: $(VENV)/lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint smartpipe
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest --concise --allowlist tests/typed/stubtest.txt \
		smartpipe._codec smartpipe._platform smartpipe.container

bench: $(VENV)/bench
	$(BIN)/python -m bench

# The wheel, built and installed into an environment that has nothing else, and used there: by every Python that is here.
wheel: $(VENV)/lint
	$(BIN)/python tests/wheel.py

$(VENV)/demo: $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[cli,scrapy]'
	touch $@

$(VENV)/lint: $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[lint]'
	touch $@

$(VENV)/bench: $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	touch $@

clean:
	rm -rf $(VENV) build dist demo .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find smartpipe -name '*.so' -delete
	find smartpipe -name '*.c' -delete
