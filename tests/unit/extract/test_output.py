"""How converted rows are spread over the tables of a commit."""

from __future__ import annotations

import pyarrow as pa
import pytest

from airflow_provider_lightspeed.arrow.convert import Lineage, RecordConverter
from airflow_provider_lightspeed.arrow.tables import MAIN, Layout
from airflow_provider_lightspeed.arrow.types import Selection, shape_of
from airflow_provider_lightspeed.extract.output import Output
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.resources.catalog import resource
from tests.support.fakes import NOON

LINEAGE = Lineage("7", NOON)


def output(selection: Selection | None = None) -> Output:
    layout = Layout(shape_of(resource("SalePayment"), (), selection or Selection()))
    return Output.of(layout, LINEAGE, through="Sale", key="saleID")


def converted() -> pa.RecordBatch:
    converter = RecordConverter(resource("SalePayment"), (), lineage=LINEAGE, salt=Secret("salt"))
    return converter.convert([{"salePaymentID": "1", "saleID": "5", "amount": "2"}])


def test_parents_that_were_read_have_a_table_of_their_own() -> None:
    """Also those without rows: whatever hung on them before is gone."""
    found = output()
    tables = found.split(converted(), [5, 6])
    assert list(tables) == [MAIN, "Sale"]
    assert tables["Sale"].column("saleID").to_pylist() == [5, 6]
    assert set(tables["Sale"].column("_extracted_at").to_pylist()) == {NOON}
    assert {name: batch.schema for name, batch in tables.items()} == dict(found.schemas)


@pytest.mark.parametrize(
    "selection", [Selection(excluded=("saleID",)), Selection(hashed=("saleID",))], ids=["left out", "hashed"]
)
def test_parents_are_not_noted_where_rows_do_not_show_whom_they_hang_on(selection: Selection) -> None:
    """A table of keys in clear text would show what was to be hidden."""
    assert output(selection).parents is None
    assert list(output(selection).schemas) == [MAIN]
