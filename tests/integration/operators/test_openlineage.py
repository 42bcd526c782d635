"""What OpenLineage is told about an extract, by its own provider: extractor, redaction and JSON are the real ones."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("airflow.providers.openlineage")

from airflow.providers.openlineage.extractors.manager import ExtractorManager
from airflow.providers.openlineage.plugins.adapter import OpenLineageAdapter
from airflow.utils.state import TaskInstanceState
from openlineage.client.serde import Serde

from airflow_provider_lightspeed.operators.lightspeed import LightspeedToParquetOperator
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess

Connect = Callable[..., str]
Context = Callable[..., dict[str, Any]]
OWN = {"_extra", "_account_id", "_extracted_at", "_window_start", "_window_end"}
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def operator(path: Path, **options: Any) -> LightspeedToParquetOperator:
    """Return an operator that reads sales."""
    return LightspeedToParquetOperator(**{"task_id": "extract", "resource": "Sale", "path": str(path)} | options)


def told(task: LightspeedToParquetOperator, state: TaskInstanceState = TaskInstanceState.SUCCESS) -> dict[str, Any]:
    """Return the event of the task's end, as it goes over the wire."""
    sent: list[Any] = []
    client: Any = SimpleNamespace(emit=sent.append, transport=SimpleNamespace(kind="test"))
    metadata = ExtractorManager().extract_metadata(  # type: ignore[no-untyped-call]
        SimpleNamespace(run_id="run"), task, state, SimpleNamespace()
    )
    OpenLineageAdapter(client).complete_task(
        str(uuid.uuid4()), "dag.extract", datetime.now(UTC).isoformat(), metadata, None, None, None, None, None
    )
    event: dict[str, Any] = json.loads(Serde.to_json(sent[0]))
    return event


def facets(dataset: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return all facets of a dataset, without who made them and by which schema."""
    every = {**dataset["facets"], **dataset.get("inputFacets", {}), **dataset.get("outputFacets", {})}
    return {name: {k: v for k, v in facet.items() if not k.startswith("_")} for name, facet in every.items()}


def fields(schema: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the fields of a schema facet, nested ones by their dotted path."""
    for field in schema["fields"]:
        path = prefix if field["name"] == "_element" else f"{prefix}{field['name']}"
        yield path, field
        yield from fields({"fields": field.get("fields", [])}, path if path.endswith(".") else f"{path}.")


def test_source_and_dataset_are_named_and_counted(
    connection: Connect, simulator: SimulatorProcess, context: Context, tmp_path: Path
) -> None:
    """One input by host and account, one output by its folder; rows, bytes and files are the commit's."""
    connection()
    task = operator(tmp_path)
    summary = task.execute(context())
    event = told(task)
    (source,), (dataset,) = event["inputs"], event["outputs"]
    host = urlsplit(simulator.base_url).netloc
    assert (source["namespace"], source["name"]) == (f"lightspeed://{host}", f"{summary['account_id']}/Sale")
    assert (dataset["namespace"], dataset["name"]) == ("file", f"{tmp_path}/Sale")
    about = facets(dataset)
    assert about["outputStatistics"] == {
        "rowCount": summary["rows"], "size": summary["bytes"], "fileCount": summary["files"],
    }  # fmt: skip
    assert about["version"] == {"datasetVersion": summary["commit"]}
    assert about["dataSource"] == {"name": "file", "uri": f"file://{tmp_path}/Sale"}
    assert facets(source)["inputStatistics"] == {"rowCount": summary["rows"]}
    assert facets(source)["dataSource"]["uri"].startswith(f"{simulator.base_url}/API/V3/Account/")


def test_schema_is_the_files_own_and_every_column_is_described(
    connection: Connect, context: Context, tmp_path: Path
) -> None:
    """Same names, order and types as in Parquet; keys, relations and our own columns say what they are."""
    connection()
    task = operator(tmp_path, relations=["SaleLines", "Customer.Contact"], columns=["saleID", "customerID", "total", "SaleLines", "Customer"])  # fmt: skip
    task.execute(context())
    schema = facets(told(task)["outputs"][0])["schema"]
    (file,) = (tmp_path / "Sale").glob("*.parquet")
    written = pq.read_schema(file)
    assert [field["name"] for field in schema["fields"]] == written.names
    for field, arrow in zip(schema["fields"], written, strict=True):
        assert field["type"] == _type(arrow.type)
        assert field["description"]
    known = dict(fields(schema))
    assert [known[name]["description"] for name in ("saleID", "customerID", "total", "SaleLines", "Customer.Contact")] == [
        "integer, primary key", "integer, key of Customer", "money", "collection, relation SaleLines: many SaleLine",
        "object, relation Customer.Contact: one Contact",
    ]  # fmt: skip
    assert known["SaleLines.itemID"] == {
        "name": "itemID", "type": "int64", "description": "integer, key of Item", "fields": [],
    }  # fmt: skip


def _type(arrow: pa.DataType) -> str:
    if pa.types.is_list(arrow):
        return "array"
    return "struct" if pa.types.is_struct(arrow) else str(arrow)


def test_columns_lead_back_to_the_fields_they_came_from(
    connection: Connect, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they are, or masked where hashed, also inside a relation; what was left out is not in the output at all."""
    connection()
    monkeypatch.setenv("AIRFLOW__LIGHTSPEED__HASH_SALT", "pepper-of-this-test")
    task = operator(
        tmp_path,
        resource="Customer",
        relations=["Contact"],
        exclude_columns=["lastName", "Contact.Phones"],
        hash_columns=["firstName", "Contact.Emails.address"],
    )
    task.execute(context())
    event = told(task)
    (source,), (dataset,) = event["inputs"], event["outputs"]
    about = facets(dataset)
    lineage = about["columnLineage"]["fields"]
    assert set(lineage) == {field["name"] for field in about["schema"]["fields"]} - OWN
    found = {
        (column, field["field"]): field["transformations"][0]["masking"]
        for column, value in lineage.items()
        for field in value["inputFields"]
    }
    assert {path for (_, path), masking in found.items() if masking} == {"firstName", "Contact.Emails.address"}
    assert found["title", "title"] is found["Contact", "Contact.custom"] is False
    kinds = {field["transformations"][0]["subtype"] for value in lineage.values() for field in value["inputFields"]}
    assert kinds == {"IDENTITY", "TRANSFORMATION"}
    assert all(
        (field["namespace"], field["name"]) == (source["namespace"], source["name"])
        for value in lineage.values()
        for field in value["inputFields"]
    )
    known = {path for path, _ in fields(facets(source)["schema"])}
    assert {path for _, path in found} < known
    assert {"lastName", "Contact.Phones"} < known
    assert "lastName" not in json.dumps(dataset)
    assert "Phones" not in json.dumps(dataset)


def test_window_is_the_subset_that_was_read(
    connection: Connect, simulator: SimulatorProcess, context: Context, tmp_path: Path
) -> None:
    """A condition on the field that moves with every change; a full read has none and replaces what was there."""
    connection()
    simulator.advance(0)
    end = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    start = end - timedelta(days=3)
    task = operator(tmp_path, window_start=start, window_end=end)
    task.execute(context())
    field = {"type": "field", "field": "updateTime"}
    event = told(task)
    assert facets(event["inputs"][0])["subset"]["inputCondition"] == {
        "type": "binary",
        "operator": "AND",
        "left": {
            "type": "compare",
            "comparison": "GREATER_EQUAL_THAN",
            "left": field,
            "right": {"type": "literal", "value": start.isoformat()},
        },
        "right": {
            "type": "compare",
            "comparison": "LESS_THAN",
            "left": field,
            "right": {"type": "literal", "value": end.isoformat()},
        },
    }
    assert "lifecycleStateChange" not in facets(event["outputs"][0])
    task = operator(tmp_path, mode="full")
    task.execute(context("full"))
    event = told(task)
    assert "subset" not in facets(event["inputs"][0])
    assert facets(event["outputs"][0])["lifecycleStateChange"]["lifecycleStateChange"] == "OVERWRITE"


def test_event_after_a_deferral_covers_the_whole_extract(connection: Connect, context: Context, tmp_path: Path) -> None:
    """The process that resumed it commits it and is asked; the one that was deferred has nothing to tell."""
    connection()
    task = operator(tmp_path)
    assert (told(task)["inputs"], told(task)["outputs"]) == ([], [])
    moment = datetime.now(UTC).isoformat()
    result = task.execute_complete(context(), None, began=moment, until=moment, drips=4.0, requests=3)
    assert facets(told(task)["outputs"][0])["outputStatistics"]["rowCount"] == result["rows"] > 0


def test_failed_task_tells_of_no_dataset(connection: Connect, context: Context, tmp_path: Path) -> None:
    """Nothing was committed, so nothing was written."""
    connection()
    task = operator(tmp_path, resource="Sales")
    with pytest.raises(Exception, match="Did you mean 'Sale'"):
        task.execute(context())
    event = told(task, TaskInstanceState.FAILED)
    assert (event["inputs"], event["outputs"]) == ([], [])


def test_no_secret_and_no_record_is_told(
    connection: Connect,
    simulator: SimulatorProcess,
    context: Context,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stored: Callable[[str], dict[str, Any]],
) -> None:
    """Neither tokens, client secret and salt, nor the value of a filter or of a row."""
    connection()
    monkeypatch.setenv("AIRFLOW__LIGHTSPEED__HASH_SALT", "pepper-of-this-test")
    somebody = next(row for row in simulator.truth("Customer") if len(row["lastName"]) > 3)
    task = operator(
        tmp_path, resource="Customer", hash_columns=["firstName"], filters={"lastName": somebody["lastName"]}
    )
    monkeypatch.setattr(  # what Airflow masks by itself must not be what hides them
        "airflow.providers.openlineage.utils.utils.OpenLineageRedactor.redact", lambda _self, item, **_: item
    )
    assert task.execute(context())["rows"] > 0
    text = json.dumps(told(task))
    ledger = stored("lightspeed_default__lightspeed_tokens")["token"]
    for secret in (
        "pepper-of-this-test", simulator.client_secret, ledger["access_token"], ledger["refresh_token"], somebody["lastName"],
    ):  # fmt: skip
        assert secret not in text


#: What differs from deployment to deployment, and from run to run.
VARYING = {"namespace", "uri", "value", "datasetVersion", "rowCount", "size", "fileCount"}


def test_example_in_the_docs_is_such_an_event(
    connection: Connect, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every key of it is in the event of that very extract, with the same words."""
    connection()
    monkeypatch.setenv("AIRFLOW__LIGHTSPEED__HASH_SALT", "pepper-of-this-test")
    task = operator(
        tmp_path,
        resource="Customer",
        columns=["customerID", "customerTypeID", "firstName"],
        hash_columns=["firstName"],
    )
    task.execute(context())
    text = (Path(__file__).parents[3] / "docs" / "lineage.md").read_text()
    (example,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    shown = json.loads(example)
    shown["outputs"][0]["name"] = f"{tmp_path}/Customer"
    assert list(_missing(shown, told(task))) == []


def _missing(shown: Any, real: Any, path: str = "") -> Iterator[str]:
    if isinstance(shown, dict):
        for key, value in shown.items():
            if key not in real:
                yield f"{path}.{key}"
            elif key not in VARYING:
                yield from _missing(value, real[key], f"{path}.{key}")
    elif isinstance(shown, list):
        for number, item in enumerate(shown):
            named = [found for found in real if found.get("name") == item.get("name")]
            yield from _missing(item, (named or real)[0], f"{path}[{number}]")
    elif shown != real:
        yield f"{path}: {shown!r} is {real!r}"


def test_lineage_names_the_apis_fields_whatever_the_columns_are_called(
    connection: Connect, context: Context, tmp_path: Path
) -> None:
    """In snake case a column comes from the field of the API's name; the primary key is still said to be it."""
    connection()
    task = operator(tmp_path, column_naming="snake_case", columns=["saleID", "ticketNumber"])
    task.execute(context())
    (output,) = told(task)["outputs"]
    fields = facets(output)["columnLineage"]["fields"]
    assert {name: each["inputFields"][0]["field"] for name, each in fields.items()} == {
        "sale_id": "saleID",
        "ticket_number": "ticketNumber",
    }
    about = {field["name"]: field.get("description", "") for field in facets(output)["schema"]["fields"]}
    assert "primary key" in about["sale_id"]
    assert "primary key" not in about["ticket_number"]


@pytest.mark.parametrize("hashed", [[], ["saleID"]])
def test_each_table_is_a_dataset_of_its_own(
    hashed: list[str], connection: Connect, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the schema of its files and its own rows; its columns come from the fields inside the relation."""
    connection()
    monkeypatch.setenv("AIRFLOW__LIGHTSPEED__HASH_SALT", "pepper-of-this-test")
    options = {"relation_layout": "tables", "relations": ["SaleLines.Item"], "column_naming": "snake_case"}
    task = operator(tmp_path, hash_columns=hashed, **options)
    summary = task.execute(context())
    outputs = {found["name"]: found for found in told(task)["outputs"]}
    names = ["", *(f".{table}" for table in summary["tables"])]
    assert {".SaleLines", ".SaleLines.Item"} < set(names)
    assert set(outputs) == {f"{tmp_path}/Sale{name}" for name in names}
    for name in names:
        about = facets(outputs[f"{tmp_path}/Sale{name}"])
        rows = summary["tables"][name[1:]] if name else summary["rows"]
        assert about["outputStatistics"] == {"rowCount": rows}
        file = next((tmp_path / f"Sale{name}").glob("*.parquet"))
        written = pq.read_schema(file)
        shown = {field["name"]: field["type"] for field in about["schema"]["fields"]}
        assert shown == {field.name: _type(field.type) for field in written}
        assert about["dataSource"]["uri"] == f"file://{tmp_path}/Sale{name}"
    lines = facets(outputs[f"{tmp_path}/Sale.SaleLines"])["columnLineage"]["fields"]
    assert lines["item_id"]["inputFields"][0]["field"] == "SaleLines.itemID"


def test_tables_of_keys_are_told_too(
    connection: Connect, simulator: SimulatorProcess, context: Context, tmp_path: Path
) -> None:
    """The records through which rows were read, and what is gone."""
    connection()
    first = operator(tmp_path, resource="SalePayment")
    first.execute(context("one"))
    gone = simulator.truth("SalePayment")[0]["salePaymentID"]
    simulator.mutate("delete", resource="SalePayment", key=int(gone))
    simulator.advance(3_600)
    then = operator(tmp_path, resource="SalePayment", detect_deletes=True, detect_deletes_every=timedelta(minutes=30))
    assert then.execute(context("two"))["swept"]["deleted"] == 1
    for task, table, key in ((first, ".Sale", "saleID"), (then, ".tombstones", "salePaymentID")):
        outputs = {found["name"].removeprefix(f"{tmp_path}/SalePayment"): found for found in told(task)["outputs"]}
        assert set(outputs) == {"", table}
        about = facets(outputs[table])
        written = pq.read_schema(next(Path(f"{tmp_path}/SalePayment{table}").glob("*.parquet")))
        assert [field["name"] for field in about["schema"]["fields"]] == written.names
        assert set(about["columnLineage"]["fields"]) == {key}
    assert about["outputStatistics"] == {"rowCount": 1}
