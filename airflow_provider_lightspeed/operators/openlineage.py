"""What OpenLineage is told about a finished extract. Only imported where its provider is installed and asks.

The source is named by OpenLineage's rule for services: the scheme and the host are the namespace
(``lightspeed://api.lightspeedapp.com``), what is read there is the name (``12345/Sale``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import pyarrow as pa
from airflow.providers.openlineage.extractors import OperatorLineage
from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    DatasetFacet,
    InputDatasetFacet,
    base_subset_dataset,
    column_lineage_dataset,
    dataset_version_dataset,
    datasource_dataset,
    documentation_dataset,
    input_statistics_input_dataset,
    lifecycle_state_change_dataset,
    output_statistics_output_dataset,
    schema_dataset,
)

from airflow_provider_lightspeed.arrow.tables import MAIN, PARENT_KEY, PATH, POSITION, ROOT_KEY, Layout
from airflow_provider_lightspeed.arrow.types import EXTRA, EXTRACTED_AT, Column, Shape, shape_of
from airflow_provider_lightspeed.assets import openlineage_name
from airflow_provider_lightspeed.extract.output import Parents
from airflow_provider_lightspeed.lake.tombstones import REASON, TOMBSTONES, tombstone_schema
from airflow_provider_lightspeed.operators.outcome import Outcome
from airflow_provider_lightspeed.resources.base import FieldType, Strategy
from airflow_provider_lightspeed.resources.catalog import resource as resource_named

SchemaField = schema_dataset.SchemaDatasetFacetFields
Statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet

#: What the columns mean that are not the API's.
_OWN: Final = {
    EXTRA: "what did not fit its column or is not in the catalog, as JSON",
    "_account_id": "the account that the row comes from",
    EXTRACTED_AT: "when the read began, by the server's clock",
    "_window_start": "start of the window that the row was read for, inclusive",
    "_window_end": "end of the window that the row was read for, exclusive",
    ROOT_KEY: "primary key of the resource's row that the record hangs on",
    PARENT_KEY: "primary key of the record right above",
    PATH: "where the record stood in the resource's row",
    POSITION: "place in its collection, from 0",
    REASON: "why the record is gone",
}


def lineage_of(outcome: Outcome) -> OperatorLineage[Any, Any]:
    """Return one input, the resource of the account, and an output for each table that was written, with their facets."""
    return OperatorLineage(inputs=[_source(outcome)], outputs=list(_outputs(outcome)))


def _name(outcome: Outcome) -> tuple[str, str]:
    """Return namespace and name of the source."""
    return openlineage_name(outcome.summary.account_id, outcome.summary.resource, urlsplit(outcome.source).netloc)


def _source(outcome: Outcome) -> InputDataset:
    job, summary = outcome.job, outcome.summary
    namespace, name = _name(outcome)
    facets: dict[str, InputDatasetFacet] = {
        "inputStatistics": input_statistics_input_dataset.InputStatisticsInputDatasetFacet(rowCount=summary.rows)
    }
    if condition := _window(outcome):
        facets["subset"] = base_subset_dataset.InputSubsetInputDatasetFacet(condition)
    known = shape_of(job.resource, job.relations)
    return InputDataset(
        namespace,
        name,
        facets={
            "schema": schema_dataset.SchemaDatasetFacet([_wire_field(column) for column in known.columns]),
            "dataSource": datasource_dataset.DatasourceDatasetFacet(name=namespace, uri=outcome.source),
            "documentation": documentation_dataset.DocumentationDatasetFacet(
                f"{summary.resource} of Lightspeed Retail account {summary.account_id}: {job.resource.docs_url}"
            ),
        },
        inputFacets=facets,
    )


def _outputs(outcome: Outcome) -> Iterator[OutputDataset]:
    job, summary = outcome.job, outcome.summary
    layout = job.output_layout()
    written = {**summary.tables}
    if summary.swept.get("deleted"):
        written[TOMBSTONES] = summary.swept["deleted"]
    whole = Statistics(rowCount=summary.rows, size=summary.bytes, fileCount=summary.files)
    yield _output(outcome, _table(layout, MAIN), Statistics(rowCount=summary.rows) if written else whole)
    for name, rows in written.items():
        yield _output(outcome, _table(layout, name), Statistics(rowCount=rows))


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of the dataset.

    :param suffix: of its folder.
    :param prefix: path of the record that its columns are fields of, in the resource's.
    :param columns: those that hold the API's fields.
    :param schema: of its files.
    """

    suffix: str
    prefix: str
    columns: Sequence[Column]
    schema: pa.Schema

    @classmethod
    def of(cls, name: str, prefix: str, columns: Sequence[Column], schema: pa.Schema) -> _Table:
        """Return the table of a name; of the resource's own it is empty."""
        present = [column for column in columns if column.name in schema.names]
        return cls(f".{name}" if name else "", prefix, present, schema)


def _table(layout: Layout, name: str) -> _Table:
    """Describe a table: of rows, of a relation, of what is gone, or of the records through which rows were read."""
    shape, key = layout.shape, layout.shape.key
    if (inner := _inside(shape, name)) is not None:
        return _Table.of(name, f"{name}.", inner.columns, layout.schemas[name])
    if name == MAIN:
        return _Table.of(name, "", shape.columns, layout.schemas[MAIN])
    if name == TOMBSTONES and key is not None:
        return _Table.of(name, "", shape.columns, tombstone_schema(key))
    parent = resource_named(name).primary_key
    column = next(column.name for column in shape.columns if column.source == parent)
    return _Table.of(name, "", shape.columns, Parents(name, column).schema)


def _inside(shape: Shape, name: str) -> Shape | None:
    """Return the shape of a relation's records; ``None`` if there is no such relation."""
    found: Shape | None = shape if name else None
    for part in name.split("."):
        found = next((column.shape for column in found.columns if column.source == part), None) if found else None
    return found


def _output(outcome: Outcome, table: _Table, statistics: Statistics) -> OutputDataset:
    summary, location = outcome.summary, outcome.location
    facets: dict[str, DatasetFacet] = {
        "schema": schema_dataset.SchemaDatasetFacet(list(_fields(table, outcome.job.resource.primary_key))),
        "columnLineage": _column_lineage(outcome, table),
        "dataSource": datasource_dataset.DatasourceDatasetFacet(
            name=location.namespace, uri=location.uri + table.suffix
        ),
        "documentation": documentation_dataset.DocumentationDatasetFacet(
            f"{summary.resource}{table.suffix} of Lightspeed Retail account {summary.account_id} as Parquet; "
            "_manifest.json names the files that count"
        ),
        "version": dataset_version_dataset.DatasetVersionDatasetFacet(summary.commit),
    }
    if outcome.job.whole:
        facets["lifecycleStateChange"] = lifecycle_state_change_dataset.LifecycleStateChangeDatasetFacet(
            lifecycle_state_change_dataset.LifecycleStateChange.OVERWRITE
        )
    name = location.name + table.suffix
    return OutputDataset(location.namespace, name, facets=facets, outputFacets={"outputStatistics": statistics})


def _field(column: Column, key: str | None = None) -> SchemaField:
    """Describe a column of the dataset; of a list, ``_element`` is what it holds, as in OpenLineage's Spark integration."""
    about = f"{column.about}, primary key" if column.source == key else column.about
    if column.shape is None:
        return SchemaField(column.name, str(column.arrow), about)
    inner = [_field(found) for found in column.shape.columns]
    if column.type is not FieldType.COLLECTION:
        return SchemaField(column.name, "struct", about, fields=inner)
    return SchemaField(column.name, "array", about, fields=[SchemaField("_element", "struct", fields=inner)])


def _fields(table: _Table, key: str | None) -> Iterator[SchemaField]:
    """Describe the columns of a table, in the order of its files."""
    known = {column.name: column for column in table.columns}
    for found in table.schema:
        if found.name in known:
            yield _field(known[found.name], None if table.prefix else key)
        else:
            yield SchemaField(found.name, str(found.type), _OWN[found.name])


def _wire_field(column: Column) -> SchemaField:
    """Describe a field of the API, which has types of its own."""
    inner = [_wire_field(found) for found in column.shape.columns] if column.shape else []
    return SchemaField(column.name, str(column.type), column.about.partition(", ")[2] or None, fields=inner)


def _column_lineage(outcome: Outcome, table: _Table) -> column_lineage_dataset.ColumnLineageDatasetFacet:
    """Say which fields of the API each column holds; a nested column has many, each as it is or hashed."""
    namespace, name = _name(outcome)
    return column_lineage_dataset.ColumnLineageDatasetFacet(
        {
            column.name: column_lineage_dataset.Fields(
                [
                    column_lineage_dataset.InputField(namespace, name, path, [_transformation(leaf)])
                    for path, leaf in _leaves((column,), table.prefix)
                ]
            )
            for column in table.columns
        }
    )


def _leaves(columns: Sequence[Column], prefix: str = "") -> Iterator[tuple[str, Column]]:
    for column in columns:
        if column.shape is None:
            yield prefix + column.source, column
        else:
            yield from _leaves(column.shape.columns, f"{prefix}{column.source}.")


def _transformation(leaf: Column) -> column_lineage_dataset.Transformation:
    if leaf.is_hashed:
        return column_lineage_dataset.Transformation("DIRECT", "TRANSFORMATION", "salted HMAC-SHA-256", masking=True)
    return column_lineage_dataset.Transformation("DIRECT", "IDENTITY", masking=False)


def _window(outcome: Outcome) -> base_subset_dataset.BaseSubsetCondition | None:
    """Return the window as a condition on the field that moves with every change; ``None`` if all was read."""
    resource, summary = outcome.job.resource, outcome.summary
    if outcome.job.whole or resource.strategy is not Strategy.MODIFIED or resource.modified_field is None:
        return None
    field = base_subset_dataset.FieldBaseCompareExpression(resource.entity.find(resource.modified_field).name)

    def compare(moment: str, how: str) -> base_subset_dataset.CompareSubsetCondition:
        return base_subset_dataset.CompareSubsetCondition(
            field, base_subset_dataset.LiteralCompareExpression(moment), how
        )

    end = compare(summary.window_end.isoformat(), "LESS_THAN")
    if summary.window_start is None:
        return end
    start = compare(summary.window_start.isoformat(), "GREATER_EQUAL_THAN")
    return base_subset_dataset.BinarySubsetCondition(start, end, "AND")
