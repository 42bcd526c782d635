"""What each warehouse's SQL is like."""

from __future__ import annotations

import pyarrow as pa
import pytest

pytest.importorskip("sqlglot", reason="the extra 'warehouse' is not installed")

from airflow_provider_lightspeed.arrow.types import schema_of, shape_of
from airflow_provider_lightspeed.exceptions import InvalidArgument, LightspeedFatalError
from airflow_provider_lightspeed.resources.catalog import resources
from airflow_provider_lightspeed.warehouse.dialects import DIALECTS, dialect


@pytest.mark.parametrize("name", DIALECTS)
def test_every_type_of_an_extract_has_a_column_type(name: str) -> None:
    """Of all resources; an Arrow type that no extract has is an error, not a guess."""
    kinds = {field.type for resource in resources() for field in schema_of(shape_of(resource))}
    assert all(dialect(name).type(kind).sql(dialect=name) for kind in kinds)
    with pytest.raises(LightspeedFatalError, match="duration"):
        dialect(name).type(pa.duration("s"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("duckdb", '"raw"."Sale"'),
        ("postgres", '"raw"."sale"'),
        ("snowflake", '"RAW"."SALE"'),
        ("bigquery", "`raw`.`Sale`"),
        ("redshift", '"raw"."sale"'),
    ],
)
def test_names_are_written_as_unquoted_ones_are_looked_up(name: str, text: str) -> None:
    """So that nobody has to quote them."""
    assert dialect(name).sql(dialect(name).table("raw.Sale")) == text


def test_unknown_dialect_names_the_nearest() -> None:
    """And what there is."""
    with pytest.raises(InvalidArgument, match="'snowflake'"):
        dialect("snowflaek")
