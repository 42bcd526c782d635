"""What OpenLineage is told about a finished extract. Only imported where its provider is installed and asks.

The source is named by OpenLineage's rule for services: the scheme and the host are the namespace
(``lightspeed://api.lightspeedapp.com``), what is read there is the name (``12345/Sale``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

from airflow_provider_lightspeed.arrow.types import EXTRA, LINEAGE, Column, Shape, shape_of
from airflow_provider_lightspeed.assets import openlineage_name
from airflow_provider_lightspeed.operators.outcome import Outcome
from airflow_provider_lightspeed.resources.base import FieldType, Strategy

SchemaField = schema_dataset.SchemaDatasetFacetFields

#: What the columns mean that are not the API's.
_OWN: Final = {
    EXTRA: "what did not fit its column or is not in the catalog, as JSON",
    "_account_id": "the account that the row comes from",
    "_extracted_at": "when the read began, by the server's clock",
    "_window_start": "start of the window that the row was read for, inclusive",
    "_window_end": "end of the window that the row was read for, exclusive",
}


def lineage_of(outcome: Outcome) -> OperatorLineage[Any, Any]:
    """Return one input, the resource of the account, and one output, the dataset, with their facets."""
    return OperatorLineage(inputs=[_source(outcome)], outputs=[_output(outcome)])


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


def _output(outcome: Outcome) -> OutputDataset:
    job, summary, location = outcome.job, outcome.summary, outcome.location
    shape = shape_of(job.resource, job.relations, job.selection)
    key = job.resource.primary_key
    facets: dict[str, DatasetFacet] = {
        "schema": schema_dataset.SchemaDatasetFacet(
            [*(_field(column, key) for column in shape.columns), *_own_fields()]
        ),
        "columnLineage": _column_lineage(outcome, shape),
        "dataSource": datasource_dataset.DatasourceDatasetFacet(name=location.namespace, uri=location.uri),
        "documentation": documentation_dataset.DocumentationDatasetFacet(
            f"{summary.resource} of Lightspeed Retail account {summary.account_id} as Parquet; "
            "_manifest.json names the files that count"
        ),
        "version": dataset_version_dataset.DatasetVersionDatasetFacet(summary.commit),
    }
    if job.whole:
        facets["lifecycleStateChange"] = lifecycle_state_change_dataset.LifecycleStateChangeDatasetFacet(
            lifecycle_state_change_dataset.LifecycleStateChange.OVERWRITE
        )
    statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        rowCount=summary.rows, size=summary.bytes, fileCount=summary.files
    )
    return OutputDataset(
        location.namespace, location.name, facets=facets, outputFacets={"outputStatistics": statistics}
    )


def _field(column: Column, key: str | None = None) -> SchemaField:
    """Describe a column of the dataset; of a list, ``_element`` is what it holds, as in OpenLineage's Spark integration."""
    about = f"{column.about}, primary key" if column.source == key else column.about
    if column.shape is None:
        return SchemaField(column.name, str(column.arrow), about)
    inner = [_field(found) for found in column.shape.columns]
    if column.type is not FieldType.COLLECTION:
        return SchemaField(column.name, "struct", about, fields=inner)
    return SchemaField(column.name, "array", about, fields=[SchemaField("_element", "struct", fields=inner)])


def _own_fields() -> Iterator[SchemaField]:
    yield SchemaField(EXTRA, "string", _OWN[EXTRA])
    for found in LINEAGE:
        yield SchemaField(found.name, str(found.type), _OWN[found.name])


def _wire_field(column: Column) -> SchemaField:
    """Describe a field of the API, which has types of its own."""
    inner = [_wire_field(found) for found in column.shape.columns] if column.shape else []
    return SchemaField(column.name, str(column.type), column.about.partition(", ")[2] or None, fields=inner)


def _column_lineage(outcome: Outcome, shape: Shape) -> column_lineage_dataset.ColumnLineageDatasetFacet:
    """Say which fields of the API each column holds; a nested column has many, each as it is or hashed."""
    namespace, name = _name(outcome)
    return column_lineage_dataset.ColumnLineageDatasetFacet(
        {
            column.name: column_lineage_dataset.Fields(
                [
                    column_lineage_dataset.InputField(namespace, name, path, [_transformation(leaf)])
                    for path, leaf in _leaves((column,))
                ]
            )
            for column in shape.columns
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
