# Everything a developer runs. On a bare machine with Python 3.11 to 3.13 and make, each target first installs what it
# needs from the lock file (tools/bootstrap.sh); later runs find it there.

.DEFAULT_GOAL := help
SHELL := /bin/sh
# Containers often forbid bytecode. Every process that a test starts would then compile the whole package anew.
unexport PYTHONDONTWRITEBYTECODE
PY  := .venv/bin/python
PY2 := .venv-2.11/bin/python

# The tools that `make bench` compares with, each in an environment of its own.
RIVALS := $(patsubst bench/rivals/requirements-%.txt,.venv-rivals-%/.ready,$(wildcard bench/rivals/requirements-*.txt))

# Folders are marked by name (tests/conftest.py). unit: in this process, no server, no database. contract: extracts
# against the simulator, commands at a terminal. integration: Airflow in this process, real databases, the S3 protocol.
# system: Airflow's own processes. browser: Chromium.
FAST := -m "not slow"
# What knows no Airflow (the core, and the simulator) is the same on 2.11; one extract of every resource is run there too.
CORE := $(addprefix tests/unit/,arrow auth client extract lake resources simulator warehouse \
        test_clock.py test_exceptions.py test_fuzz.py test_redact.py test_settings.py)
FACE := $(filter-out $(CORE),$(wildcard tests/unit/[a-z]*))
UNIT2 := $(FACE) \
         tests/contract/test_extract_equals_truth.py::test_extract_equals_the_truth_field_by_field
# Servers of Debian's that some slow tests and the soak start for themselves.
SERVERS := sh tools/install_servers.sh mariadb redis pgbouncer
# Stages run side by side, two at a time, the long ones first.
STAGES := $(PY) -m tools.stages --at-a-time 2
TESTS := test-system test-contract test-integration test-integration-2 test-dags test-unit test-unit-2

.PHONY: help demo ui test check test-unit test-unit-2 test-contract test-integration test-integration-2 test-system test-dags test-slow test-warehouses test-browser bench bench-short soak soak-short docs lint format types check-data clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/.ready: uv.lock pyproject.toml tools/bootstrap.sh
	@PYTHON="$(PYTHON)" sh tools/bootstrap.sh .venv airflow-3 docs

.venv-2.11/.ready: uv.lock pyproject.toml tools/bootstrap.sh
	@PYTHON="$(PYTHON)" sh tools/bootstrap.sh .venv-2.11 airflow-2

.venv-rivals-%/.ready: bench/rivals/requirements-%.txt tools/bootstrap_rivals.sh | .venv/.ready
	@sh tools/bootstrap_rivals.sh .venv-rivals-$* $<

.venv-warehouses/.ready: tools/requirements-warehouses.txt tools/bootstrap_warehouses.sh | .venv/.ready
	@sh tools/bootstrap_warehouses.sh .venv-warehouses $<

demo: .venv/.ready ## Simulator + Airflow 3.3: connect through OAuth, run the example DAG, print what it wrote
	@$(PY) -m tools.demo

ui: .venv/.ready ## The same, and leave Airflow running to click through (Ctrl-C ends it)
	@$(PY) -m tools.demo --keep

test: .venv/.ready .venv-2.11/.ready ## All tests on Airflow 3.3, and on 2.11 what knows Airflow (browser and slow ones aside)
	@$(STAGES) $(TESTS)

check: .venv/.ready .venv-2.11/.ready .venv-warehouses/.ready ## All that CI runs: lint, types, docs, tests, browser, demo, short soak, short benchmarks
	@sh tools/install_chromium.sh
	@$(MAKE) --no-print-directory bench-short
	@$(STAGES) soak-short test-system test-contract test-browser test-integration test-integration-2 demo test-dags \
	    test-unit test-unit-2 docs types test-warehouses lint check-data

test-unit: .venv/.ready ## Unit tests: no server, no database; the core's in a Python that cannot import Airflow
	TEST_WITHOUT_AIRFLOW=1 $(PY) -m pytest $(CORE) $(FAST) -n 2
	$(PY) -m pytest $(FACE) $(FAST) -n 2

test-unit-2: .venv-2.11/.ready ## The same of all that knows Airflow, and an extract of every resource, on Airflow 2.11
	$(PY2) -m pytest $(UNIT2) $(FAST) -n 2

test-contract: .venv/.ready ## Extracts against the simulator's truth, the simulator against the docs, the commands at a terminal
	$(PY) -m pytest tests/contract $(FAST) -n 2

test-integration: .venv/.ready ## Airflow 3.3 in this process on a database, several processes on one ledger, the S3 protocol
	$(PY) -m pytest tests/integration $(FAST) -n 2 --dist loadfile

test-integration-2: .venv-2.11/.ready ## The same on Airflow 2.11
	$(PY2) -m pytest tests/integration $(FAST) -n 2 --dist loadfile

test-system: .venv/.ready ## A whole Airflow 3.3: scheduler, API server, tasks
	$(PY) -m pytest tests/system --ignore tests/system/test_warehouse_dags.py $(FAST)

test-dags: .venv/.ready ## The example DAGs that load a warehouse, to their marts: DuckDB and Postgres
	$(PY) -m pytest tests/system/test_warehouse_dags.py $(FAST)

test-warehouses: .venv-warehouses/.ready ## The example DAGs of Snowflake, BigQuery and Redshift, with their providers
	.venv-warehouses/bin/python -m pytest tests/integration/dags/test_cloud_dags.py

test-slow: .venv/.ready ## The tests that take long: more seeds, kills under load, Celery, MariaDB, PgBouncer, mutations, a deferral under Airflow's own triggerer
	@$(SERVERS)
	$(PY) -m pytest tests/unit tests/contract tests/integration tests/system -m slow

test-browser: .venv/.ready ## The pages in a real browser; pictures in artifacts/browser (installs Debian's chromium if there is none)
	@sh tools/install_chromium.sh
	LIGHTSPEED_SCREENSHOTS="$${LIGHTSPEED_SCREENSHOTS:-artifacts/browser}" $(PY) -m pytest tests/browser -m "not slow"

bench: .venv/.ready $(RIVALS) ## Measure speed, pace, memory and start-up cost, also beside other tools (half an hour)
	@$(PY) -m bench $(BENCH_ARGS)

bench-short: .venv/.ready ## The same in minutes, without the other tools
	@$(PY) -m bench --short extract limits memory

soak: .venv/.ready .venv-2.11/.ready test-slow ## Long proofs: slow tests, and the token ledger on both Airflows under load, failures, kills, saves (hours)
	@$(SERVERS)
	@$(PY) -m soak $(SOAK_ARGS)
	@$(PY2) -m soak $(SOAK_ARGS)

soak-short: .venv/.ready .venv-2.11/.ready ## The same in minutes, both Airflows at once
	@sh tools/install_servers.sh redis
	@$(PY2) -m soak --short & two=$$!; $(PY) -m soak --short && wait $$two

docs: .venv/.ready ## The documentation as a site in artifacts/docs, warnings are errors; and whether the package can be uploaded
	@$(PY) -m tools.docs

lint: .venv/.ready ## Ruff (check and format) and the import contracts
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/lint-imports

format: .venv/.ready ## Rewrite the sources in the house format
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

types: .venv/.ready ## mypy --strict
	.venv/bin/mypy

check-data: .venv/.ready ## Generated data is what its generator makes
	@set -e; for generator in $(wildcard tools/build_*.py); do echo "$$generator --check"; $(PY) $$generator --check; done

clean: ## Remove the demo's folder, pictures, caches and build products (environments stay)
	rm -rf .demo artifacts .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache dist build
