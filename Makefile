# The two commands of a newcomer are `make demo` and `make test`; both make .venv when it is missing or out of date.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-slow lint format bench clean help

help:            ## this list
	@grep -hE '^[a-z.-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: .venv      ## the main job on the embedded digits; ends with a report
	$(BIN)/ohmweave run examples/digits.toml

test: .venv      ## the test suite (under ten minutes on two cores)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

test-slow: .venv ## the tests marked slow
	$(BIN)/python -m pytest -m slow

lint: .venv      ## linter, formatter, layers, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

format: .venv    ## let the formatter have its way
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The marker file is made last, so an interrupted install is taken up again.
.venv: .venv/.installed
.venv/.installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

clean:           ## remove the environment and everything it made
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis
