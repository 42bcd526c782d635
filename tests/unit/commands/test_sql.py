"""``sql``: prints a warehouse's statements, of the tables that an extract with the same arguments has."""

from __future__ import annotations

import sys

import pytest

pytest.importorskip("sqlglot", reason="SQL for warehouses needs sqlglot (the extra 'warehouse')")

import sqlglot

from airflow_provider_lightspeed.cli import COMMANDS, main
from airflow_provider_lightspeed.warehouse.dialects import DIALECTS

Capture = pytest.CaptureFixture[str]


def printed(capsys: Capture, *options: str) -> str:
    """Return what the command prints."""
    assert main(["sql", *options]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("statement", ["ddl", "staging", "merge", "view"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_prints_statements_that_parse(dialect: str, statement: str, capsys: Capture) -> None:
    """Each ended by a semicolon, so that the output can be piped into the warehouse's own client."""
    options = ["--relations", "SaleLines", "--layout", "tables", "--naming", "snake_case", "--prefix", "raw.pos_"]
    text = printed(capsys, "Sale", "--dialect", dialect, "--statement", statement, *options)
    parsed = [found for found in sqlglot.parse(text, dialect=dialect) if found is not None]
    assert len(parsed) == text.count(";\n") > 1
    assert "pos_sale__sale_lines" in text.lower()


def test_columns_as_extracted(capsys: Capture) -> None:
    """The options that decide about columns are the extract's own."""
    options = ["--dialect", "postgres", "--statement", "ddl", "--columns", "itemID,description,upc"]
    text = printed(capsys, "Item", *options, "--exclude-columns", "upc", "--hash-columns", "itemID")
    assert '"itemid" TEXT NOT NULL' in text
    assert '"description" TEXT' in text
    assert "upc" not in text


def test_history_has_no_key(capsys: Capture) -> None:
    """``--history`` prints tables of every row ever loaded, for the views."""
    options = ["Shop", "--dialect", "postgres", "--statement", "ddl"]
    assert printed(capsys, *options).count("PRIMARY KEY") == 3
    assert printed(capsys, *options, "--history").count("PRIMARY KEY") == 1


def test_knows_the_dialects_without_loading_them() -> None:
    """The table of commands names them, for Airflow's start must not pay for sqlglot."""
    (command,) = (command for command in COMMANDS if command.name == "sql")
    (argument,) = (argument for argument in command.arguments if "--dialect" in argument.flags)
    assert argument.options["choices"] == tuple(DIALECTS)


def test_without_sqlglot_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "sqlglot"]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if ".warehouse" in name or name.endswith("commands.sql")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sqlglot", None)
    with pytest.raises(SystemExit, match=r"^error: .*airflow-provider-lightspeed\[warehouse\]"):
        main(["sql", "Shop", "--dialect", "duckdb", "--statement", "ddl"])
