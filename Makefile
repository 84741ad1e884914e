# Citylake: `make nightly` runs the next night, `make up` every night, `make test` is the gate. All set up what is missing first.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := nightly
.PHONY: setup nightly up down check test chaos lock clean java counterparts

VENV := .venv
BIN := $(VENV)/bin
UV := VIRTUAL_ENV=$(VENV) $(BIN)/uv --quiet
export CITYLAKE_HOME ?= $(CURDIR)/lake

setup: java $(VENV)/.installed .jars/.fetched

nightly: setup
	@$(BIN)/citylake init > /dev/null
	@[ -n "$$(find "$$CITYLAKE_HOME/inbox" -type f -print -quit 2> /dev/null)" ] || $(BIN)/citylake sample deliver
	@day=$$($(BIN)/citylake status --next); \
	[ -n "$$day" ] || { echo "nothing to do: every delivered day is released"; exit 0; }; \
	run="$(BIN)/python -m dags.embedded $$day"; \
	if [ -d "$$CITYLAKE_HOME/sample" ] && [ -z "$${CITYLAKE_CONN_SAMPLE_API:-}$${CITYLAKE_CONN_SAMPLE_PG:-}" ]; then \
		run="$(BIN)/citylake sample serve -- $$run"; \
	fi; \
	$$run && ended=0 || ended=$$?; \
	$(BIN)/citylake status --night "$$day"; \
	exit $$ended

# Airflow on this machine, every night at 08:30. The sample's servers live as long as its scheduler.
up: setup
	@$(BIN)/citylake init > /dev/null
	@around=; \
	if [ -d "$$CITYLAKE_HOME/sample" ] && [ -z "$${CITYLAKE_CONN_SAMPLE_API:-}$${CITYLAKE_CONN_SAMPLE_PG:-}" ]; then \
		around="$(CURDIR)/$(BIN)/citylake sample serve --"; \
	fi; \
	$(BIN)/python -m dags.service up $$around

down:
	@[ ! -x $(BIN)/python ] || $(BIN)/python -m dags.service down

check: setup
	@$(BIN)/ruff check --quiet --output-format concise .
	@$(BIN)/ruff format --check --quiet --output-format concise .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports > $(VENV)/imports.log || { cat $(VENV)/imports.log; exit 1; }
	@echo "check: ruff, mypy and import rules hold"

test: check counterparts
	@$(BIN)/pytest

# Disturbed nights, every fifth with Spark (docs/reliability.md); goes on where it stopped, another SEED begins anew.
SEEDS ?= 200
SEED ?= 1
chaos: setup
	@$(BIN)/python -m tests.chaos --seeds $(SEEDS) --base $(SEED)

# Newest versions the ranges of setup.py allow; without UPGRADE=1 what is locked stays where it can.
lock: $(VENV)/.uv
	@$(UV) pip compile setup.py --extra dev $(if $(UPGRADE),--upgrade) --universal --python-version 3.11 \
		--generate-hashes --no-header --output-file requirements.lock > /dev/null

clean:
	@rm -rf $(VENV) .jars .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info build dist

# --- what `setup` is made of; each is redone only when what it depends on has changed ---

ROOT_ON_DEBIAN := [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null
APT := apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends

$(VENV)/bin/python:
	@for candidate in python3.12 python3.11 python3; do \
		if $$candidate -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2> /dev/null; then found=$$candidate; break; fi; \
	done; \
	[ -n "$${found:-}" ] || { echo "setup: Python 3.11 or 3.12 is missing; install one and run again" >&2; exit 1; }; \
	echo "setup: virtual environment ($$($$found --version))"; \
	if ! $$found -c 'import ensurepip' 2> /dev/null; then \
		{ $(ROOT_ON_DEBIAN); } || { echo "setup: $$found lacks venv; install python3-venv and run again" >&2; exit 1; }; \
		{ $(APT) python3-venv; } > /dev/null; \
	fi; \
	$$found -m venv $(VENV)

$(VENV)/.uv: requirements-uv.lock | $(VENV)/bin/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

$(VENV)/.installed: requirements.lock setup.py pyproject.toml $(VENV)/.uv
	@echo "setup: packages of requirements.lock"
	@$(UV) pip sync --require-hashes --compile-bytecode requirements.lock
	@$(UV) pip install --no-deps --no-build-isolation --editable .
	@$(BIN)/python -c 'import lakehouse.geo.points, lakehouse.rowhash'  # compiled once here, not in the first night
	@touch $@

java:
	@fits() { "$${JAVA_HOME:+$$JAVA_HOME/bin/}java" -version 2>&1 | grep -qE 'version "(17|21)[."]'; }; \
	fits && exit 0; \
	if [ -z "$${JAVA_HOME:-}" ] && ! command -v java > /dev/null && $(ROOT_ON_DEBIAN); then \
		echo "setup: JDK (apt-get)"; \
		{ $(APT) openjdk-17-jre-headless || $(APT) openjdk-21-jre-headless; } > /dev/null 2>&1 || true; \
	fi; \
	fits || { echo "setup: a JDK 17 or 21 is needed; install openjdk-17-jre-headless (or set JAVA_HOME to one) and run again" >&2; exit 1; }

# What departments run and the tests talk to on loopback. Where it can't be had those tests are skipped, and say so.
COUNTERPARTS := mariadb-server odbc-mariadb unixodbc openssh-server
counterparts:
	@for package in $(COUNTERPARTS); do \
		dpkg -s $$package > /dev/null 2>&1 || { $(ROOT_ON_DEBIAN) && echo "setup: $(COUNTERPARTS) (apt-get)" && { $(APT) $(COUNTERPARTS) > /dev/null 2>&1 || true; }; break; }; \
	done

.jars/.fetched: lakehouse/engine/jars.txt $(VENV)/.installed
	@echo "setup: JARs for Spark"
	@$(BIN)/python -m lakehouse.engine.jars
	@mkdir -p $(@D) && touch $@
