"""What OpenLineage is told about a finished extract. Only imported where its provider is installed and asks.

The source is named by OpenLineage's rule for services: the scheme and the host are the namespace
(``lightspeed://api.lightspeedapp.com``), what is read there is the name (``12345/Sale``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

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

from airflow_provider_lightspeed.arrow.tables import PARENT_KEY, PATH, POSITION, ROOT_KEY, Layout
from airflow_provider_lightspeed.arrow.types import EXTRA, LINEAGE, Column, Shape, shape_of
from airflow_provider_lightspeed.assets import openlineage_name
from airflow_provider_lightspeed.extract.plan import Job
from airflow_provider_lightspeed.extract.tombstones import REASON, TOMBSTONES
from airflow_provider_lightspeed.operators.outcome import Outcome
from airflow_provider_lightspeed.resources.base import FieldType, Strategy
from airflow_provider_lightspeed.resources.catalog import resource as resource_named

SchemaField = schema_dataset.SchemaDatasetFacetFields
Statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet

#: What the columns mean that are not the API's.
_OWN: Final = {
    EXTRA: "what did not fit its column or is not in the catalog, as JSON",
    "_account_id": "the account that the row comes from",
    "_extracted_at": "when the read began, by the server's clock",
    "_window_start": "start of the window that the row was read for, inclusive",
    "_window_end": "end of the window that the row was read for, exclusive",
    ROOT_KEY: "primary key of the resource's row that the record hangs on",
    PARENT_KEY: "primary key of the record right above",
    PATH: "where the record stood in the resource's row",
    POSITION: "place in its collection, from 0",
    REASON: "why the record is gone",
}
_OWN_TYPES: Final = {POSITION: "int32", ROOT_KEY: "int64", PARENT_KEY: "int64"} | {
    found.name: found.type for found in LINEAGE
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
    yield _output(outcome, _resource(job, layout), Statistics(rowCount=summary.rows) if written else whole)
    for name, rows in written.items():
        inner = _inside(layout.shape, name)
        table = _relation(name, inner) if inner is not None else _keys(job, layout, name)
        yield _output(outcome, table, Statistics(rowCount=rows))


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of the dataset.

    :param suffix: of its folder.
    :param prefix: path of the record that its columns are fields of, in the resource's.
    """

    suffix: str
    prefix: str
    columns: Sequence[Column]
    fields: Sequence[SchemaField]


def _resource(job: Job, layout: Layout) -> _Table:
    columns = [column for column in layout.shape.columns if layout.is_nested or column.shape is None]
    fields = [*(_field(column, job.resource.primary_key) for column in columns), *_own(EXTRA)]
    return _Table("", "", columns, fields)


def _relation(name: str, shape: Shape) -> _Table:
    columns = [column for column in shape.columns if column.shape is None]
    return _Table(f".{name}", f"{name}.", columns, [*_own(ROOT_KEY, PARENT_KEY, PATH, POSITION), *map(_field, columns)])


def _keys(job: Job, layout: Layout, name: str) -> _Table:
    """Describe the table of what is gone, or of the records through which rows were read."""
    key = job.resource.primary_key if name == TOMBSTONES else resource_named(name).primary_key
    columns = [column for column in layout.shape.columns if column.source == key]
    return _Table(f".{name}", "", columns, [*map(_field, columns), *(_own(REASON) if name == TOMBSTONES else ())])


def _inside(shape: Shape, name: str) -> Shape | None:
    """Return the shape of a relation's records; ``None`` if there is no such relation."""
    found: Shape | None = shape
    for part in name.split("."):
        found = next((column.shape for column in found.columns if column.source == part), None) if found else None
    return found


def _output(outcome: Outcome, table: _Table, statistics: Statistics) -> OutputDataset:
    summary, location = outcome.summary, outcome.location
    facets: dict[str, DatasetFacet] = {
        "schema": schema_dataset.SchemaDatasetFacet([*table.fields, *_own(*(found.name for found in LINEAGE))]),
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


def _own(*names: str) -> Iterator[SchemaField]:
    for name in names:
        yield SchemaField(name, str(_OWN_TYPES.get(name, "string")), _OWN[name])


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
