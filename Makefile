# Two commands do everything on a fresh machine with python3, python3-venv and make: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

.PHONY: run test lint bench fuzz soak deb clean

run: $(STAMP)  ## install into .venv and run the daemon with its embedded model
	STATE_DIRECTORY=$(CURDIR)/$(VENV)/state $(BIN)/edgemon run

# Two processes, since tests wait more than they work. Tests of real time on a machine shared with others can be
# disturbed: what fails runs once more, and is named in the summary.
test: $(VENV)/tools lint  ## everything but the benchmarks
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --reruns 1 -r fER

lint: $(VENV)/tools
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

bench: $(VENV)/tools  ## edgemon beside its peers, in one run
	$(BIN)/python -m tests.benchmarks

fuzz: $(VENV)/tools  ## what comes from outside, spoiled in CASES ways each; others in every run
	EDGEMON_FUZZ_CASES=$(or $(CASES),20000) $(BIN)/pytest tests/fuzz

soak: $(VENV)/tools  ## random faults for a real daemon: MINUTES=10 SEED=…
	$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED))

deb: $(STAMP)  ## a Debian package for this distribution, or ARCH=arm64 TARGET=3.10; EXTRAS=onnx carries the engine as well
	$(BIN)/python deb/build.py $(if $(EXTRAS),--extras $(EXTRAS)) $(if $(ARCH),--arch $(ARCH)) $(if $(TARGET),--python $(TARGET))

clean:
	rm -rf $(VENV) build

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[onnx]'
	touch $@

$(VENV)/tools: pyproject.toml $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@ $(STAMP)
