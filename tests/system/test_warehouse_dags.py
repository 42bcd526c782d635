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
from tools.databases import migrated
from tools.deployment import Deployment

pytestmark = [pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR")]
#: What a customer is given off.
OFF = Decimal("4.50")
DAGS = Path(__file__).parents[2] / "dags"
SALES = "SELECT CAST(day AS TEXT), shop, category, sales, quantity, discount, net, tax FROM mart_sales"
PAYMENTS = "SELECT CAST(day AS TEXT), shop, payment_type, payments, amount FROM mart_payments"
Mart = dict[tuple[str, ...], tuple[Decimal, ...]]


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
        """Sell, void a sale, give a discount on one, and rename a category, a while later."""
        now = datetime.fromtimestamp(self.simulator.advance(600), UTC).isoformat(timespec="seconds")
        self.simulator.mutate("sell", count=9, at=now)
        self.simulator.mutate("update", resource="Sale", key=5, fields={"voided": True}, at=now)
        self._discount(next(sale for sale in self._counted() if sale["saleID"] > 10), at=now)
        self.simulator.mutate("update", resource="Category", key=3, fields={"name": "Renamed"}, at=now)
        self.simulator.advance(600)

    def _counted(self) -> list[dict[str, Any]]:
        """Return the sales that a mart counts and that have a payment of more than the discount."""
        paid = {row["saleID"] for row in self.simulator.truth("SalePayment") if Decimal(row["amount"]) > OFF}
        return [row for row in counted(self.simulator).values() if row["saleID"] in paid]

    def _discount(self, sale: dict[str, Any], *, at: str) -> None:
        """Take something off a line; the customer pays as much less."""
        line = next(row for row in self.simulator.truth("SaleLine") if row["saleID"] == sale["saleID"])
        payment = next(
            row
            for row in self.simulator.truth("SalePayment")
            if row["saleID"] == sale["saleID"] and not row["archived"] and Decimal(row["amount"]) > OFF
        )
        off = {
            "SaleLine": (line, {"calcLineDiscount": OFF, "calcTotal": -OFF}),
            "SalePayment": (payment, {"amount": -OFF}),
            "Sale": (sale, {"calcDiscount": OFF, "calcTotal": -OFF, "total": -OFF}),
        }
        for resource, (row, changes) in off.items():
            key = f"{resource[0].lower()}{resource[1:]}ID"
            fields = {name: str(Decimal(row[name]) + change) for name, change in changes.items()}
            self.simulator.mutate("update", resource=resource, key=row[key], fields=fields, at=at)


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    folder = tmp_path_factory.mktemp("warehouses")
    options: dict[str, Any] = {"sales": 300, "items": 40, "customers": 20, "days": 12, "token_life": 864_000}
    with SimulatorProcess(no_limits=True, **options) as simulator, migrated("sqlite", folder / "sqlite") as database:
        (folder / "dags").mkdir()
        config = {"core__dags_folder": str(folder / "dags")}
        deployment = Deployment(folder / "home", database, config)
        fields = simulator.connection(refresh_token=simulator.grant()["refresh_token"])
        deployment.environment["AIRFLOW_CONN_LIGHTSPEED_DEFAULT"] = json.dumps({"conn_type": "lightspeed", **fields})
        simulator.advance(600)
        yield Account(simulator, deployment, folder)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresWarehouse]:
    with postgres_warehouse(tmp_path_factory.mktemp("postgres")) as running:
        yield running


def counted(simulator: SimulatorProcess) -> dict[int, dict[str, Any]]:
    """Return the sales that count, by key."""
    return {row["saleID"]: row for row in simulator.truth("Sale") if row["completed"] and not row["voided"]}


def names_of(simulator: SimulatorProcess, resource: str, key: str) -> dict[int, str]:
    """Return the names of a resource's records, by key."""
    return {row[key]: row["name"] for row in simulator.truth(resource)}


def shop_day(time: str, shop: dict[str, Any]) -> str:
    """Return the day of a time in a shop's zone."""
    return datetime.fromisoformat(time).astimezone(ZoneInfo(shop["timeZone"])).date().isoformat()


def sales_truth(simulator: SimulatorProcess) -> Mart:
    """Return sales, quantity, discount, net and tax by the shop's day, shop and category, from the account itself."""
    shops = {row["shopID"]: row for row in simulator.truth("Shop")}
    items = {row["itemID"]: row["categoryID"] for row in simulator.truth("Item")}
    categories, sales = names_of(simulator, "Category", "categoryID"), counted(simulator)
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for line in simulator.truth("SaleLine"):
        if sale := sales.get(line["saleID"]):
            shop = shops[sale["shopID"]]
            category = categories.get(items.get(line["itemID"], 0), "no category")
            groups[shop_day(sale["completeTime"], shop), shop["name"], category].append(line)

    def total(lines: list[dict[str, Any]], *fields: str) -> Decimal:
        return sum((Decimal(str(line[field] or 0)) for line in lines for field in fields), Decimal())

    return {
        key: (
            Decimal(len({line["saleID"] for line in lines})),
            total(lines, "unitQuantity"),
            total(lines, "calcLineDiscount", "calcTransactionDiscount"),
            total(lines, "calcTotal") - total(lines, "calcTax1", "calcTax2"),
            total(lines, "calcTax1", "calcTax2"),
        )
        for key, lines in groups.items()
    }


def payments_truth(simulator: SimulatorProcess) -> Mart:
    """Return payments and their amount by the payment's day, shop and payment type, from the account itself."""
    shops = {row["shopID"]: row for row in simulator.truth("Shop")}
    types, sales = names_of(simulator, "PaymentType", "paymentTypeID"), counted(simulator)
    groups: dict[tuple[str, ...], list[Decimal]] = defaultdict(list)
    for payment in simulator.truth("SalePayment"):
        if not payment["archived"] and (sale := sales.get(payment["saleID"])):
            shop = shops[sale["shopID"]]
            key = shop_day(payment["createTime"], shop), shop["name"], types[payment["paymentTypeID"]]
            groups[key].append(Decimal(payment["amount"]))
    return {key: (Decimal(len(amounts)), sum(amounts, Decimal())) for key, amounts in groups.items()}


def shown(rows: list[tuple[Any, ...]]) -> Mart:
    """Return a mart's rows as the truth is put."""
    return {row[:3]: tuple(Decimal(value) for value in row[3:]) for row in rows}


def test_duckdb(account: Account) -> None:
    """After a first run, and after a second that finds new and changed records alone; then each check finds its fault."""
    database = str(account.folder / "lightspeed.duckdb")

    def query(text: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(database, read_only=True) as connection:
            return connection.execute(text).fetchall()

    def check_marts() -> None:
        assert shown(query(SALES)) == sales_truth(account.simulator)
        assert shown(query(PAYMENTS)) == payments_truth(account.simulator)

    account.run("example_lightspeed_duckdb", AIRFLOW_VAR_LIGHTSPEED_DUCKDB=database)
    check_marts()
    account.trade()
    account.run("example_lightspeed_duckdb", AIRFLOW_VAR_LIGHTSPEED_DUCKDB=database)
    check_marts()
    assert sum(row[5] for row in query(SALES)) >= OFF
    assert query("SELECT count(*) FROM _lightspeed_loads WHERE resource = 'Sale'") == [(2,)]
    assert "Renamed" in {category for (_, _, category, *_) in query(SALES)}
    check_duckdb_checks(database)


BREAKS = {
    "a sale's key is unique": "INSERT INTO sale FROM sale LIMIT 1",
    "a line's key is unique": "INSERT INTO sale__sale_lines FROM sale__sale_lines LIMIT 1",
    "a line has its sale": "DELETE FROM sale WHERE sale_id = 8",
    "lines add up to their sale": "UPDATE sale SET calc_total = calc_total + 1 WHERE sale_id = 8",
    "discounts are what is between subtotal and net": "UPDATE sale SET calc_discount = 1, calc_subtotal = calc_subtotal + 2",
    "payments add up to their sale": "UPDATE sale__sale_payments SET archived = FALSE",
    "a sale's shop is known": "DELETE FROM shop WHERE shop_id = 1",
    "nothing is from the future": "UPDATE sale SET create_time = _extracted_at + INTERVAL 1 SECOND WHERE sale_id = 8",
    "sales are fresh": "UPDATE _lightspeed_loads SET window_end = window_end - INTERVAL 3 DAY",
}


def before_discounts(statement: str) -> str:
    """Return the statement of a mart that takes the subtotal, which is before discounts, for net."""
    net = "line.calc_total - coalesce(line.calc_tax1, 0) - coalesce(line.calc_tax2, 0)"
    assert net in statement
    return statement.replace(net, "line.calc_subtotal")


def with_archived(statement: str) -> str:
    """Return the statement of a mart that counts payments which did not stand."""
    assert "AND NOT payment.archived" in statement
    return statement.replace("AND NOT payment.archived", "")


def check_duckdb_checks(database: str) -> None:
    """See that each rule holds, and that its check finds what breaks it."""
    module = module_of("example_lightspeed_duckdb")
    checks = module.CHECKS | module.MART_CHECKS
    faults = BREAKS | {
        "net is that of the sales": before_discounts(module.MARTS[0]),
        "what was paid is the total of the sales": with_archived(module.MARTS[1]),
    }
    assert faults.keys() == checks.keys()
    with duckdb.connect(database) as connection:
        for rule, fault in faults.items():
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
    "lines_add_up_to_their_sale": "UPDATE sale SET calc_total = calc_total + 1 WHERE sale_id = 8",
    "discounts_are_between_subtotal_and_net": "UPDATE sale SET calc_discount = 1, calc_subtotal = calc_subtotal + 2",
    "payments_add_up_to_their_sale": "UPDATE sale__sale_payments SET archived = FALSE",
    "shops_of_sales_are_known": "DELETE FROM shop WHERE shop_id = 1",
    "nothing_is_from_the_future": "UPDATE sale SET create_time = _extracted_at + INTERVAL '1 second' WHERE sale_id = 8",
    "sales_are_fresh": "UPDATE _lightspeed_loads SET window_end = window_end - INTERVAL '3 days'",
}


def test_postgres(account: Account, postgres: PostgresWarehouse) -> None:
    """The same with the Postgres provider's hook and operators."""
    warehouse = {"AIRFLOW_CONN_LIGHTSPEED_WAREHOUSE": connection_of(postgres)}

    def check_marts() -> None:
        assert shown(postgres.rows(SALES)) == sales_truth(account.simulator)
        assert shown(postgres.rows(PAYMENTS)) == payments_truth(account.simulator)

    account.run("example_lightspeed_postgres", **warehouse)
    check_marts()
    account.trade()
    account.run("example_lightspeed_postgres", **warehouse)
    check_marts()
    assert postgres.rows("SELECT count(*) FROM _lightspeed_loads WHERE resource = 'Sale'") == [(2,)]
    module = module_of("example_lightspeed_postgres")
    checks = module.CHECKS | module.MART_CHECKS
    faults: dict[str, list[str]] = {rule: [fault] for rule, fault in POSTGRES_BREAKS.items()} | {
        "net_is_that_of_the_sales": [module.MARTS[0], before_discounts(module.MARTS[1])],
        "what_was_paid_is_the_total_of_the_sales": [module.MARTS[2], with_archived(module.MARTS[3])],
    }
    assert faults.keys() == checks.keys()
    for rule, fault in faults.items():
        assert postgres.rows(checks[rule]) == [(True,)], rule
        postgres.run(["BEGIN", *fault])
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
