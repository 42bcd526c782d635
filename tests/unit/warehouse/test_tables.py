"""From the catalog to a warehouse's tables."""

from __future__ import annotations

from itertools import chain

import pyarrow as pa
import pytest

from airflow_provider_lightspeed.arrow.types import Selection
from airflow_provider_lightspeed.exceptions import InvalidArgument
from airflow_provider_lightspeed.resources.catalog import resources
from airflow_provider_lightspeed.warehouse.tables import tables_of


def test_sale_in_tables_of_its_own() -> None:
    """Rows hang on the main row by its key and their path; tables and columns are named alike."""
    tables = tables_of(
        "Sale", ["SaleLines.Discount"], Selection(naming="snake_case"), layout="tables", prefix="raw.pos_"
    )
    assert (tables.main.name, tables.main.key, tables.main.modified) == ("raw.pos_sale", ("sale_id",), "update_time")
    assert tables.loads.name == tables.main.loads == "raw._lightspeed_loads"
    names = [spec.name for spec in tables]
    assert (
        names.index("raw.pos_sale__tombstones") < names.index("raw.pos_sale") < names.index("raw.pos_sale__sale_lines")
    )
    discount = next(spec for spec in tables.children if spec.relation == "SaleLines.Discount")
    assert discount.name == "raw.pos_sale__sale_lines__discount"
    assert discount.row_key == ("_account_id", "_root_key", "_path")
    assert discount.main is tables.main
    assert not any(pa.types.is_nested(field.type) for spec in tables for field in spec.schema)


def test_rows_read_through_others_name_their_parents() -> None:
    """SalePayment is read through Sale; which sales were read stands in a table of its own."""
    tables = tables_of("SalePayment")
    parents = tables.main.parents
    assert parents is not None
    assert (parents.name, parents.relation, parents.key) == ("SalePayment__Sale", "Sale", ("saleID",))
    assert parents in tuple(tables)


def test_what_cannot_be_compared_does_not_order_versions() -> None:
    """A modification field that is hashed or left out: the time of the extract decides."""
    assert tables_of("Customer").main.modified == "timeStamp"
    assert tables_of("Customer", selection=Selection(hashed=("timeStamp",))).main.modified is None
    assert tables_of("Customer", selection=Selection(excluded=("timeStamp",))).main.modified is None


def test_rows_without_key() -> None:
    """Reports are replaced by the day, other lists as a whole; neither has tombstones."""
    report = tables_of("ReportsAccountingTaxesByDay").main
    assert (report.key, report.day, report.tombstones) == ((), "date", None)
    assert (tables_of("Locale").main.key, tables_of("Locale").main.day) == ((), None)


def test_key_must_be_there() -> None:
    """Rows whose key was left out cannot be merged."""
    with pytest.raises(InvalidArgument, match="merged by 'saleID'"):
        tables_of("Sale", selection=Selection(columns=("total",)))


def test_names_are_unique_and_short_enough_for_postgres() -> None:
    """Of all tables of all resources, with all that can be loaded."""
    names = []
    for resource in resources():
        loadable = [name for name, relation in resource.relations.items() if not relation.single_only]
        tables = tables_of(resource, loadable, Selection(naming="snake_case"), layout="tables")
        names += list(chain.from_iterable((spec.name, spec.staging, spec.current) for spec in tables))
    assert len(set(map(str.lower, names))) == len(names)
    assert max(map(len, names)) <= 63


def test_no_two_columns_differ_in_case_alone() -> None:
    """Warehouses that fold names could not tell them apart."""
    for resource in resources():
        loadable = [name for name, relation in resource.relations.items() if not relation.single_only]
        for layout in ("nested", "tables"):
            for spec in tables_of(resource, loadable, layout=layout):
                assert len(set(map(str.lower, spec.columns))) == len(spec.columns), spec.name


@pytest.mark.parametrize("form", ["{}", '["{}"]', "['{}']", "{}, "])
def test_relations_may_be_a_plain_text(form: str) -> None:
    """As they may be in an extract's arguments."""
    expected = tables_of("Sale", ["SaleLines"], layout="tables")
    assert tables_of("Sale", form.format("SaleLines"), layout="tables") == expected
