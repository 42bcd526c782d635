"""Layouts and names: tables hold what nested rows hold, each row keyed to the one it hangs on."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_lightspeed.arrow.convert import Lineage, RecordConverter
from airflow_provider_lightspeed.arrow.tables import MAIN, PARENT_KEY, PATH, POSITION, ROOT_KEY, Layout
from airflow_provider_lightspeed.arrow.types import Selection, Shape, shape_of, snake_case
from airflow_provider_lightspeed.exceptions import InvalidArgument
from airflow_provider_lightspeed.extract.plan import Job
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.resources.base import FieldType, Resource
from airflow_provider_lightspeed.resources.catalog import resource, resources
from tests.support.fakes import NOON
from tests.support.tables import Rows, joined, plain

LINEAGE = Lineage("7", NOON, NOON, NOON)


def relations_of(found: Resource) -> list[str]:
    return [name for name, facts in found.relations.items() if not facts.single_only]


def tables_of(name: str, records: Rows, relations: list[str], **selection: Any) -> tuple[Rows, dict[str, Rows]]:
    """Return the nested rows, and the rows of all tables."""
    chosen = Selection(**selection)
    shape = shape_of(resource(name), relations, chosen)
    batch = RecordConverter(resource(name), relations, chosen, lineage=LINEAGE, salt=Secret("salt")).convert(records)
    tables = Layout(shape, "tables").split(batch)
    for table, found in tables.items():
        found.validate(full=True)
        assert found.schema == Layout(shape, "tables").schemas[table]
    return batch.to_pylist(), {table: found.to_pylist() for table, found in tables.items()}


def record_of(draw: st.DrawFn, shape: Shape) -> dict[str, Any]:
    """Draw a record of the wire: any of its fields, collections of none, one or several."""
    record: dict[str, Any] = {}
    for column in shape.columns:
        if column.shape is None or not draw(st.booleans()):
            record[column.source] = draw(st.sampled_from(["", "1", "17", "true", "x"]))
            continue
        several = [record_of(draw, column.shape) for _ in range(draw(st.integers(0, 2)))]
        if column.type is not FieldType.COLLECTION:
            record[column.source] = several[0] if several else ""
        elif several:
            inner: Any = several if len(several) > 1 or draw(st.booleans()) else several[0]
            record[column.source] = {column.element: inner} if column.element else inner
    return record


DEEP = ("Sale", "Item", "Customer", "Employee", "Order", "VendorReturn", "CustomerType", "InventoryTransfer")


@pytest.mark.parametrize("name", DEEP)
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(data=st.data())
def test_tables_hold_what_nested_rows_hold(name: str, data: st.DataObject) -> None:
    """Put together again by key and path, they are the nested rows; nothing is left over, nothing is missing."""
    found = resource(name)
    relations = relations_of(found)
    shape = shape_of(found, relations)
    records = [data.draw(st.composite(record_of)(shape)) for _ in range(data.draw(st.integers(0, 3)))]
    for place, record in enumerate(records):
        record[found.primary_key or ""] = str(place + 1)
    nested, tables = tables_of(name, records, relations)
    assert plain(shape, joined(shape, tables)) == plain(shape, nested)


@pytest.mark.parametrize("found", list(resources()), ids=lambda found: found.name)
def test_no_table_has_a_nested_column(found: Resource) -> None:
    """But lists of plain texts, and resources without a key, whose relations have nothing to hang on."""
    schemas = Layout(shape_of(found, relations_of(found)), "tables").schemas
    for schema in schemas.values():
        assert len(set(schema.names)) == len(schema.names)
        nested = [field.name for field in schema if pa.types.is_struct(field.type) or _is_list_of_structs(field.type)]
        assert nested == [] or found.primary_key is None


def _is_list_of_structs(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) and pa.types.is_struct(kind.value_type))


def test_row_of_a_child_table_knows_where_it_hangs() -> None:
    """The main row's key, the key of the record above, its place, and a path that is unique within the main row."""
    lines = [{"saleLineID": "11"}, {"saleLineID": "12", "Discount": {"discountID": "3"}}]
    _, tables = tables_of(
        "Sale", [{"saleID": "5", "SaleLines": {"SaleLine": lines}}], ["SaleLines", "SaleLines.Discount"]
    )
    assert [[row[key] for key in (ROOT_KEY, PARENT_KEY, PATH, POSITION)] for row in tables["SaleLines"]] == [
        [5, 5, "SaleLines[0]", 0],
        [5, 5, "SaleLines[1]", 1],
    ]
    (discount,) = tables["SaleLines.Discount"]
    assert [discount[key] for key in (ROOT_KEY, PARENT_KEY, PATH, POSITION, "discountID")] == [
        5, 12, "SaleLines[1].Discount", 0, 3,
    ]  # fmt: skip
    assert (discount["_account_id"], discount["_extracted_at"]) == ("7", NOON)


def test_record_whose_kind_has_no_key_is_no_parent_key() -> None:
    """A phone has none, a contact has one."""
    phones = {"ContactPhone": [{"number": "1"}, {"number": "2"}]}
    record = {"customerID": "9", "Contact": {"contactID": "4", "Phones": phones}}
    _, tables = tables_of("Customer", [record], ["Contact"])
    assert [(row[PARENT_KEY], row["number"]) for row in tables["Contact.Phones"]] == [(4, "1"), (4, "2")]


def test_child_table_of_hashed_keys_hangs_on_the_hashes() -> None:
    """They match those of the main table, and the raw key is nowhere."""
    record = {"customerID": "424242", "Contact": {"contactID": "4"}}
    _, tables = tables_of("Customer", [record], ["Contact"], hashed=("customerID",))
    assert tables["Contact"][0][ROOT_KEY] == tables[MAIN][0]["customerID"]
    assert "424242" not in repr(tables)


def test_what_does_not_fit_stays_with_the_main_row() -> None:
    """With the path that the child table's row has."""
    lines = [{"saleLineID": "11", "new": "x"}, {"saleLineID": "12"}]
    _, tables = tables_of("Sale", [{"saleID": "5", "SaleLines": {"SaleLine": lines}}], ["SaleLines"])
    assert tables[MAIN][0]["_extra"] == '{"SaleLines[0].new":"x"}'
    assert tables["SaleLines"][0][PATH] == "SaleLines[0]"


@pytest.mark.parametrize(
    ("name", "snake"),
    [
        ("saleID", "sale_id"),
        ("itemECommerceID", "item_e_commerce_id"),
        ("CCCharge", "cc_charge"),
        ("updatetime", "updatetime"),
        ("onWorkOrder", "on_work_order"),
        ("tax1Rate", "tax1_rate"),
        ("SaleLines", "sale_lines"),
        ("ID", "id"),
        ("name_", "name_"),
    ],
)
def test_snake_case(name: str, snake: str) -> None:
    """Words are parted where the case changes; runs of capitals are one word."""
    assert snake_case(name) == snake
    assert snake_case(snake) == snake


@pytest.mark.parametrize("found", list(resources()), ids=lambda found: found.name)
def test_snake_case_keeps_columns_apart(found: Resource) -> None:
    """On every level, in order, of the same types; only names differ."""

    def compare(source: Shape, snake: Shape) -> None:
        names = [column.name for column in snake.columns]
        assert len(set(names)) == len(names)
        assert names == [snake_case(column.name) for column in source.columns]
        assert snake.key == (source.key and snake_case(source.key))
        for ours, theirs in zip(source.columns, snake.columns, strict=True):
            assert (ours.keys, ours.type) == (theirs.keys, theirs.type)
            if ours.shape and theirs.shape:
                compare(ours.shape, theirs.shape)

    relations = relations_of(found)
    compare(shape_of(found, relations), shape_of(found, relations, Selection(naming="snake_case")))


def test_names_of_arguments_and_paths_stay_the_apis() -> None:
    """Columns are chosen, and what is set aside is named, as the API names it."""
    rows, tables = tables_of(
        "Sale",
        [{"saleID": "5", "total": "x", "SaleLines": {"SaleLine": {"unitPrice": "y"}}}],
        ["SaleLines"],
        columns=("saleID", "total", "SaleLines"),
        naming="snake_case",
    )
    assert [name for name in rows[0] if not name.startswith("_")] == ["sale_lines", "sale_id", "total"]
    assert rows[0]["_extra"] == '{"SaleLines[0].unitPrice":"y","total":"x"}'
    assert tables["SaleLines"][0][PATH] == "SaleLines[0]"


def test_layout_and_names_part_datasets() -> None:
    """Rows of another form are another query, with a watermark of its own."""
    plain_query = Job.of("Sale").query("7")
    assert Job.of("Sale", relation_layout="tables").query("7") != plain_query
    assert Job.of("Sale", column_naming="snake_case").query("7") != plain_query


def test_tables_need_the_primary_key() -> None:
    """Left out, there is nothing to hang on; hashed will do."""
    with pytest.raises(InvalidArgument, match="hang on 'saleID'"):
        Job.of("Sale", relation_layout="tables", columns=["total"])
    Job.of("Sale", relation_layout="tables", hash_columns=["saleID"], salt=Secret("salt"))
