# Dateline: `make run` to see it, `make test` to check it. Needs make and Python 3.11 or newer, nothing else, no root.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.installed-run
DEV_STAMP := $(VENV)/.installed-dev
MUTANTS_STAMP := $(VENV)/.installed-mutants
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
TESTS ?= tests
# Bytecode is kept, also where the environment says not to: the tests start hundreds of interpreters.
export PYTHONDONTWRITEBYTECODE :=
# Two processes: the tests that start whole desks wait more than they work.
JOBS ?= 2

.PHONY: run test test-fast test-systems lint format golden readers bench chaos mutants lock clean
.DELETE_ON_ERROR:

run: $(RUN_STAMP)
	@exec $(BIN)/dateline up --demo

test: lint
	$(BIN)/pytest $(TESTS) -n $(JOBS) --dist loadgroup

# Those wait half of the time.
test-fast: JOBS = 3
test-fast: $(DEV_STAMP)
	$(BIN)/pytest $(TESTS) -n $(JOBS) --dist loadgroup -m "not slow and not chaos" -k "not postgresql"

# Real content systems on loopback, against a running desk with a real partner: some three minutes each, and a
# quarter of an hour more where the sweep of all ids alone finds an unpublication whose hook was lost (Ghost, Strapi); by
# hand and before a release. It skips those that cannot be installed. SYSTEMS="wordpress ghost" takes some of them only.
# WordPress is Debian's: apt-get install wordpress mariadb-server php-cli php-mysql php-mbstring. The others are installed
# into ~/.cache/dateline-systems, once, by npm (with g++ and make: up to 20 minutes each) and pip.
test-systems: $(DEV_STAMP)
	@nice $(BIN)/python -m tests.systems

lint: $(DEV_STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(DEV_STAMP)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Writes tests/golden anew: the bytes of the sample desk's feeds. Look at the difference before it is committed.
golden: $(DEV_STAMP)
	GOLDEN=write $(BIN)/pytest -q tests/unit/test_feeds_golden.py

# Lets gofeed (Go), feed-rs (Rust) and ROME (Java) read tests/golden, and writes what they find to tests/golden/readers:
# after `make golden`, by hand. A language that is not installed is left out.
readers: $(VENV)/.made
	@nice $(BIN)/python -m tests.readers

# AGAINST=REV measures that revision and the working tree by turns. ROWS="fanout single" takes some rows only.
bench: $(DEV_STAMP)
	$(BIN)/python -m bench $(ROWS) $(if $(AGAINST),--against $(AGAINST))

# The long form of the fault tests, some eight minutes; `make test` runs a short one.
chaos: $(DEV_STAMP)
	CHAOS=long $(BIN)/pytest tests/chaos

# Makes faults in the modules that hold the rules, and counts those that no test notices: more than half an hour, in a
# copy of the tree. MODULES="retry breaker" takes some of them only.
mutants: $(MUTANTS_STAMP)
	nice $(BIN)/python -m mutants $(MODULES)

# Rewrites requirements/*.txt from pyproject.toml, with hashes, for every supported Python and system.
lock: $(VENV)/.made
	$(PIP) install uv==0.13.9
	$(BIN)/uv pip compile pyproject.toml --universal --generate-hashes --python-version 3.11 \
		--custom-compile-command "make lock" -o requirements/run.txt --quiet
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --generate-hashes --python-version 3.11 \
		--custom-compile-command "make lock" -o requirements/dev.txt --quiet
	$(BIN)/uv pip compile --group pyproject.toml:mutants --constraints requirements/dev.txt --universal \
		--generate-hashes --python-version 3.11 --custom-compile-command "make lock" -o requirements/mutants.txt --quiet

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@echo "The data directory ./var is left as it is."

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Dateline needs Python 3.11 or newer; '$(PYTHON)' is: $$($(PYTHON) --version 2>&1)."; \
		echo "Name a newer one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "Python's venv module is missing. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(RUN_STAMP): $(VENV)/.made requirements/run.txt pyproject.toml
	$(PIP) install --require-hashes -r requirements/run.txt
	$(PIP) install --no-deps -e .
	@touch $@

# Everything that runs, and what tests it. It contains the former, so `make run` after `make test` installs nothing.
$(DEV_STAMP): $(VENV)/.made requirements/dev.txt pyproject.toml
	$(PIP) install --require-hashes -r requirements/dev.txt
	$(PIP) install --no-deps -e .
	@touch $@ $(RUN_STAMP)

$(MUTANTS_STAMP): $(DEV_STAMP) requirements/mutants.txt
	$(PIP) install --require-hashes -r requirements/mutants.txt
	@touch $@
