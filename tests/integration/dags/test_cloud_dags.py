"""The example DAGs of Snowflake, BigQuery and Redshift: they parse, plan, and copy files by their names.

Their providers are installed in an environment of its own: ``make test-warehouses``.
"""

from __future__ import annotations

import itertools
import json
import sys
from datetime import UTC, datetime
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import fsspec
import msgspec
import pytest

from airflow_provider_lightspeed.lake.records import Checkpoint, Commit, LiveFile
from airflow_provider_lightspeed.lake.rules import fold
from tests.support.lake import draft_of

sqlglot = pytest.importorskip("sqlglot", reason="the extra 'warehouse' is not installed")

DAGS = Path(__file__).parents[3] / "dags"
#: Warehouse to the provider's module that the DAG needs most of, and to where its hook is.
PROVIDERS = {
    "snowflake": (
        "airflow.providers.snowflake.transfers.copy_into_snowflake",
        "airflow.providers.snowflake.hooks.snowflake",
    ),
    "bigquery": (
        "airflow.providers.google.cloud.transfers.gcs_to_bigquery",
        "airflow.providers.google.cloud.hooks.bigquery",
    ),
    "redshift": (
        "airflow.providers.amazon.aws.transfers.s3_to_redshift",
        "airflow.providers.amazon.aws.hooks.redshift_sql",
    ),
}
HOOKS = {"snowflake": "SnowflakeHook", "bigquery": "BigQueryHook", "redshift": "RedshiftSQLHook"}


class FakeHook:
    """Takes statements, answers that one commit is loaded."""

    ran: list[str]
    project_id = "p"

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def run(self, sql: list[str] | str, **_: Any) -> None:
        """Remember statements."""
        type(self).ran += [sql] if isinstance(sql, str) else sql

    def split_tablename(self, table_input: str, **_: Any) -> tuple[str, str, str]:
        """Return project, data set and table."""
        dataset, _dot, table = table_input.partition(".")
        return self.project_id, dataset, table

    def generate_job_id(self, **_: Any) -> str:
        """Return a name."""
        return "job"

    def get_run_after_or_logical_date(self, _: Any) -> None:
        """There is no run."""

    def get_records(self, sql: str) -> list[tuple[str]]:
        """Remember the query; the first commit is loaded."""
        type(self).ran.append(sql)
        return [("00000001-run1-1",)]


def commit(number: int, table: str = "") -> Commit:
    """Return a commit with two files, of the resource's own table or another."""
    at = datetime(2026, 3, number, tzinfo=UTC)
    made = draft_of(f"run{number}", window_end=at, extracted_at=at, committed_at=at).at(number, "Sale")
    files = tuple(
        LiveFile(
            path=f"part-{number}-{part}.parquet",
            rows=5,
            bytes=100 + part,
            commit=made.id,
            account_id="7",
            query=made.query_id,
            window_end=at,
            version=number,
            extracted_at=at,
        )
        for part in range(2)
    )
    return msgspec.structs.replace(made, rows=10, files={table: files})


@pytest.fixture(params=PROVIDERS)
def name(request: pytest.FixtureRequest) -> str:
    """A warehouse whose provider is there."""
    for module in PROVIDERS[request.param]:
        pytest.importorskip(
            module, reason=f"the provider of {request.param} is not installed; make test-warehouses has it"
        )
    return str(request.param)


@pytest.fixture
def module(name: str) -> ModuleType:
    spec = spec_from_file_location(f"example_lightspeed_{name}", DAGS / f"example_lightspeed_{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture
def hook(name: str, monkeypatch: pytest.MonkeyPatch) -> type[FakeHook]:
    """The hook of the warehouse, everywhere it is used."""
    made = type("Hook", (FakeHook,), {"ran": []})
    for path in PROVIDERS[name]:
        monkeypatch.setattr(sys.modules[path], HOOKS[name], made, raising=False)
    return made


@pytest.fixture
def planned(
    name: str, module: ModuleType, hook: type[FakeHook], monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Any], Any]:
    """What the task ``plan`` returns, and the statements it pushes: of sales with two new commits and an old one."""
    from airflow_provider_lightspeed.warehouse import manifest

    scheme = "gs" if name == "bigquery" else "s3"
    commits = (commit(1), commit(2), commit(3, "tombstones"))
    state = Checkpoint(resource="Sale")
    for each in commits:
        state = fold(state, each)
    found = manifest.Manifest(f"{scheme}://bucket/lake/Sale", state, commits, fsspec.filesystem("memory"))
    monkeypatch.setattr(manifest, "read_manifest", lambda _: found)
    pushed: dict[str, Any] = {}
    instance = SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))
    copies = module.plan.function("Sale", ["SaleLines"], "/lake", ti=instance)
    return copies, pushed["load"]


def test_dag_parses_and_loads_each_resource_after_its_extract(name: str, module: ModuleType) -> None:
    """Extract, plan, copy, merge; then the check and the mart."""
    dag = getattr(module, f"example_lightspeed_{name}")()
    for resource in module.RESOURCES:
        tasks = [f"{resource}.{task}" for task in ("extract", "plan", "copy", "merge")]
        assert [dag.get_task(task).task_id for task in tasks] == tasks
        for task, after in itertools.pairwise(tasks):
            assert after in dag.get_task(task).downstream_task_ids
        assert dag.get_task(f"{resource}.merge").downstream_task_ids == {"check"}
    assert dag.get_task("check").downstream_task_ids == {"mart"}
    assert dag.max_active_runs == 1


def test_plan_speaks_the_warehouses_dialect(name: str, hook: type[FakeHook], planned: tuple[list[Any], Any]) -> None:
    """Tables and staging tables are made before it is asked what is loaded; the merge notes the two new commits."""
    statements = planned[1].split(";\n") if isinstance(planned[1], str) else planned[1]
    for statement in [*hook.ran, *statements]:
        sqlglot.parse_one(statement, dialect=name)
    assert hook.ran[0].startswith("CREATE TABLE IF NOT EXISTS")
    assert hook.ran[-1].startswith("SELECT")
    note = statements[1]
    assert "_lightspeed_loads" in note.lower()
    assert tuple(f"'0000000{number}-run{number}-1'" in note for number in (1, 2, 3)) == (False, True, True)


def test_files_are_copied_by_their_names(
    name: str, module: ModuleType, hook: type[FakeHook], planned: tuple[list[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the new commits and no others, into the staging table of their own; never a prefix or a pattern."""
    dag = getattr(module, f"example_lightspeed_{name}")()
    mapped = dag.get_task("Sale.copy")
    loaded = [run(mapped, name, copy, hook, monkeypatch) for copy in planned[0]]
    assert [sorted(files) for _, files in loaded] == [
        [f"lake/Sale.tombstones/part-3-{part}.parquet" for part in range(2)],
        [f"lake/Sale/part-2-{part}.parquet" for part in range(2)],
    ]
    assert [table.lower().rpartition(".")[2] for table, _ in loaded] == ["sale__tombstones__staging", "sale__staging"]


def run(
    mapped: Any, name: str, copy: dict[str, Any], hook: type[FakeHook], monkeypatch: pytest.MonkeyPatch
) -> tuple[str, list[str]]:
    """Execute the provider's operator for one copy; return the table, and the files below the bucket."""
    operator = mapped.operator_class(**mapped.partial_kwargs | copy | {"task_id": "copy"})
    hook.ran.clear()
    if name == "bigquery":
        return bigquery_job(operator, monkeypatch)
    if name == "redshift":
        return redshift_copy(operator, hook, monkeypatch)
    operator.execute({})
    (statement,) = hook.ran
    (parsed,) = sqlglot.parse(statement, dialect="snowflake")
    assert "PATTERN" not in statement
    assert "@RAW.LIGHTSPEED/" in statement
    (files,) = (param.expression for param in parsed.args["params"] if param.name == "FILES")
    return parsed.this.sql(), [f"lake/{file.this}" for file in files.expressions]


class Submitted(Exception):
    """The job that BigQuery would run."""


def bigquery_job(operator: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[str]]:
    """Return what the load job that the operator submits names."""

    def submit(*_: Any) -> None:
        raise Submitted(operator.configuration)

    monkeypatch.setattr(operator, "_submit_job", submit)
    with pytest.raises(Submitted) as submitted:
        operator.execute({})
    job = submitted.value.args[0]["load"]
    assert job["parquetOptions"] == {"enableListInference": True}
    assert job["decimalTargetTypes"] == ["NUMERIC", "BIGNUMERIC"]
    assert (job["createDisposition"], job["writeDisposition"]) == ("CREATE_NEVER", "WRITE_APPEND")
    assert not any("*" in uri for uri in job["sourceUris"])
    table = job["destinationTable"]
    return f"{table['datasetId']}.{table['tableId']}", [uri.removeprefix("gs://bucket/") for uri in job["sourceUris"]]


def redshift_copy(operator: Any, hook: type[FakeHook], monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[str]]:
    """Return what the manifest that the COPY statement names holds."""
    aws = SimpleNamespace(extra_dejson={"role_arn": "arn:aws:iam::1:role/copy"})
    monkeypatch.setattr(f"{PROVIDERS['redshift'][0]}.S3Hook.get_connection", lambda **_: aws)
    operator.execute({})
    (statement,) = hook.ran
    assert "MANIFEST" in statement
    assert "FORMAT AS PARQUET" in statement
    url = statement.split("FROM '", 1)[1].split("'", 1)[0]
    entries = json.loads(fsspec.filesystem("memory").cat_file(url))["entries"]
    assert all(entry["mandatory"] and entry["meta"]["content_length"] >= 100 for entry in entries)
    return f"{operator.schema}.{operator.table}", [entry["url"].removeprefix("s3://bucket/") for entry in entries]
