"""The example DAGs of warehouses, as ``airflow dags test`` runs them: tables, checks and mart against the account's truth."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

pytest.importorskip("airflow.sdk")

from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.warehouses import PostgresWarehouse, postgres_warehouse
from tools.databases import sqlite
from tools.deployment import Deployment

pytestmark = [pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR")]
DAGS = Path(__file__).parents[2] / "dags"
MART = "SELECT CAST(day AS TEXT), shop, category, sales, quantity, net FROM mart_sales"


class Account:
    """An account, and an Airflow that reads it."""

    def __init__(self, simulator: SimulatorProcess, deployment: Deployment, folder: Path) -> None:
        self.simulator, self.deployment, self.folder = simulator, deployment, folder

    def run(self, dag_id: str, **environment: str) -> None:
        """Run a DAG in one process to its good end."""
        shutil.copy(DAGS / f"{dag_id}.py", self.folder / "dags")
        lake = {"AIRFLOW_VAR_LIGHTSPEED_PATH": str(self.folder / dag_id)}
        done = subprocess.run(
            [sys.executable, "-m", "airflow", "dags", "test", dag_id],
            env=self.deployment.environment | lake | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-3_000:]

    def trade(self) -> None:
        """Sell, void a sale, and rename a category, a while later."""
        now = datetime.fromtimestamp(self.simulator.advance(600), UTC).isoformat(timespec="seconds")
        self.simulator.mutate("sell", count=9, at=now)
        self.simulator.mutate("update", resource="Sale", key=5, fields={"voided": True}, at=now)
        self.simulator.mutate("update", resource="Category", key=3, fields={"name": "Renamed"}, at=now)
        self.simulator.advance(600)


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    folder = tmp_path_factory.mktemp("warehouses")
    options: dict[str, Any] = {"sales": 300, "items": 40, "customers": 20, "days": 12, "token_life": 864_000}
    with SimulatorProcess(no_limits=True, **options) as simulator, sqlite(folder / "sqlite") as database:
        (folder / "dags").mkdir()
        config = {"core__dags_folder": str(folder / "dags")}
        deployment = Deployment(folder / "home", database, config).migrate()
        fields = simulator.connection(refresh_token=simulator.grant()["refresh_token"])
        deployment.environment["AIRFLOW_CONN_LIGHTSPEED_DEFAULT"] = json.dumps({"conn_type": "lightspeed", **fields})
        simulator.advance(600)
        yield Account(simulator, deployment, folder)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresWarehouse]:
    with postgres_warehouse(tmp_path_factory.mktemp("postgres")) as running:
        yield running


def truth(simulator: SimulatorProcess) -> dict[tuple[str, str, str], tuple[int, int, Decimal]]:
    """Return sales, quantity and net by the shop's day, shop and category, from the account itself."""
    shops = {row["shopID"]: row for row in simulator.truth("Shop")}
    items = {row["itemID"]: row for row in simulator.truth("Item")}
    categories = {row["categoryID"]: row for row in simulator.truth("Category")}
    counted = {row["saleID"]: row for row in simulator.truth("Sale") if row["completed"] and not row["voided"]}
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for line in simulator.truth("SaleLine"):
        if line["saleID"] not in counted:
            continue
        sale = counted[line["saleID"]]
        shop = shops[sale["shopID"]]
        day = datetime.fromisoformat(sale["completeTime"]).astimezone(ZoneInfo(shop["timeZone"])).date()
        category = categories.get(items[line["itemID"]]["categoryID"], {"name": "no category"})
        groups[day.isoformat(), shop["name"], category["name"]].append(line)
    return {
        key: (
            len({line["saleID"] for line in lines}),
            sum(line["unitQuantity"] for line in lines),
            sum((Decimal(line["calcSubtotal"]) for line in lines), Decimal()),
        )
        for key, lines in groups.items()
    }


def shown(rows: list[tuple[Any, ...]]) -> dict[tuple[str, str, str], tuple[int, int, Decimal]]:
    """Return a mart's rows as the truth is put."""
    return {(day, shop, category): (sales, int(quantity), net) for day, shop, category, sales, quantity, net in rows}


def test_duckdb(account: Account) -> None:
    """After a first run, and after a second that finds new and changed records alone; then each check finds its fault."""
    database = str(account.folder / "lightspeed.duckdb")

    def query(text: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(database, read_only=True) as connection:
            return connection.execute(text).fetchall()

    account.run("example_lightspeed_duckdb", AIRFLOW_VAR_LIGHTSPEED_DUCKDB=database)
    assert shown(query(MART)) == truth(account.simulator)
    account.trade()
    account.run("example_lightspeed_duckdb", AIRFLOW_VAR_LIGHTSPEED_DUCKDB=database)
    assert shown(query(MART)) == truth(account.simulator)
    assert query("SELECT count(*) FROM _lightspeed_loads WHERE resource = 'Sale'") == [(2,)]
    assert "Renamed" in {category for (_, _, category, *_) in query(MART)}
    check_duckdb_checks(database)


BREAKS = {
    "a sale's key is unique": "INSERT INTO sale FROM sale LIMIT 1",
    "a line's key is unique": "INSERT INTO sale__sale_lines FROM sale__sale_lines LIMIT 1",
    "a line has its sale": "DELETE FROM sale WHERE sale_id = 8",
    "lines add up to their sale": "UPDATE sale SET calc_subtotal = calc_subtotal + 0.01 WHERE sale_id = 8",
    "a sale's shop is known": "DELETE FROM shop WHERE shop_id = 1",
    "nothing is from the future": "UPDATE sale SET create_time = _extracted_at + INTERVAL 1 SECOND WHERE sale_id = 8",
    "sales are fresh": "UPDATE _lightspeed_loads SET window_end = window_end - INTERVAL 3 DAY",
}


def check_duckdb_checks(database: str) -> None:
    """See that each rule holds, and that its check finds what breaks it."""
    checks = module_of("example_lightspeed_duckdb").CHECKS
    assert BREAKS.keys() == checks.keys()
    with duckdb.connect(database) as connection:
        for rule, fault in BREAKS.items():
            assert connection.execute(checks[rule]).fetchall() == [], rule
            connection.execute("BEGIN")
            connection.execute(fault)
            assert connection.execute(checks[rule]).fetchall() != [], rule
            connection.execute("ROLLBACK")


POSTGRES_BREAKS = {
    "lines_have_their_sale": "DELETE FROM sale WHERE sale_id = 8",
    "lines_are_unique": """
        INSERT INTO sale__sale_lines SELECT (jsonb_populate_record(line, '{"_path": "again"}')).*
        FROM sale__sale_lines line LIMIT 1""",
    "lines_add_up_to_their_sale": "UPDATE sale SET calc_subtotal = calc_subtotal + 0.01 WHERE sale_id = 8",
    "shops_of_sales_are_known": "DELETE FROM shop WHERE shop_id = 1",
    "nothing_is_from_the_future": "UPDATE sale SET create_time = _extracted_at + INTERVAL '1 second' WHERE sale_id = 8",
    "sales_are_fresh": "UPDATE _lightspeed_loads SET window_end = window_end - INTERVAL '3 days'",
}


def test_postgres(account: Account, postgres: PostgresWarehouse) -> None:
    """The same with the Postgres provider's hook and operators."""
    warehouse = {"AIRFLOW_CONN_LIGHTSPEED_WAREHOUSE": connection_of(postgres)}
    account.run("example_lightspeed_postgres", **warehouse)
    assert shown(postgres.rows(MART)) == truth(account.simulator)
    account.trade()
    account.run("example_lightspeed_postgres", **warehouse)
    assert shown(postgres.rows(MART)) == truth(account.simulator)
    assert postgres.rows("SELECT count(*) FROM _lightspeed_loads WHERE resource = 'Sale'") == [(2,)]
    checks = module_of("example_lightspeed_postgres").CHECKS
    assert POSTGRES_BREAKS.keys() == checks.keys()
    for rule, fault in POSTGRES_BREAKS.items():
        assert postgres.rows(checks[rule]) == [(True,)], rule
        postgres.run(["BEGIN", fault])
        assert postgres.rows(checks[rule]) == [(False,)], rule
        postgres.run(["ROLLBACK"])


def connection_of(postgres: PostgresWarehouse) -> str:
    """Return an Airflow connection to a server that is reached by a socket."""
    from sqlalchemy.engine import make_url

    url = make_url(postgres.uri)
    socket = url.query.get("host", url.host)
    fields = {"conn_type": "postgres", "host": socket, "login": url.username, "schema": url.database, "port": url.port}
    return json.dumps({key: value for key, value in fields.items() if value})


def module_of(dag_id: str) -> ModuleType:
    """Import an example DAG's file."""
    spec = spec_from_file_location(dag_id, DAGS / f"{dag_id}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
