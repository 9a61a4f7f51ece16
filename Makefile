# The commands of the project. Each sets up what it needs; VENV and PYTHON may be given.
PYTHON ?= python3
VENV ?= .venv
# How long `make torture` breaks pipes, and with which cases.
HOURS ?= 1
SEED ?= 1
# A process of tests for each core; the tests of a file stay together, as they share what takes long to make. Beside
# others nothing is timed, of which pytest-benchmark would warn.
SIDE_BY_SIDE ?= --numprocesses auto --dist loadfile -p no:benchmark
BIN := $(VENV)/bin
SOURCES := setup.py pyproject.toml $(shell find csrc smartpipe -name '*.[ch]' -not -path 'smartpipe/*.c' -o -name '*.pyx' -o -name '*.pxd')

.PHONY: demo test sanitize torture lint bench wheel clean

demo: $(VENV)/demo
	$(BIN)/python examples/demo.py

# All tests; then, with the Python binding of the compressor, those again that reach it and are not about crashes and
# bad files.
test: $(VENV)/lint
	sh tests/system.sh
	$(BIN)/python -m pytest tests $(SIDE_BY_SIDE)
	SMARTPIPE_ENGINE=python $(BIN)/python -m pytest tests $(SIDE_BY_SIDE) --ignore tests/durability --ignore tests/hostile \
		--ignore tests/locations --ignore tests/stores

# The tests again, with extensions that stop at every access to memory that is not theirs and at undefined behaviour.
sanitize: $(VENV)/lint
	tests/sanitize.sh $(BIN)/python -q $(SIDE_BY_SIDE)

# Everything that breaks pipes, as often as the time allows; the figures go into docs/durability.md.
torture: $(VENV)/lint
	PYTHONPATH=tests $(BIN)/python -m torture --hours $(HOURS) --seed $(SEED) --write

lint: $(VENV)/lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint smartpipe
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest --concise --allowlist tests/typed/stubtest.txt \
		smartpipe._codec smartpipe._platform smartpipe.container smartpipe.shards smartpipe.stores

# With QUICK=1 less of everything: under four minutes, besides installing.
bench: $(VENV)/bench
	$(BIN)/python -m bench $(if $(QUICK),--quick)

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
