"""The Lightspeed page in a real browser, before a real Airflow 3 and a simulated Lightspeed."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest

pytest.importorskip("playwright.sync_api")

import pyarrow.parquet as pq
from playwright.sync_api import Browser, Page, expect

from airflow_provider_lightspeed.auth.scopes import READ_ONLY
from airflow_provider_lightspeed.provider_info import HOOK_NAME
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.browser_steps import (
    CONN_ID,
    OTHER_ACCOUNT,
    address_bar,
    connect_new,
    fill_new,
    go_to_consent,
    log_in,
    message,
    open_lightspeed,
    show,
)
from tools.airflow_stack import AirflowStack, free_port

pytestmark = pytest.mark.timeout(300)
DAG_ID = "example_lightspeed_daily"
#: Milliseconds for six task processes on a slow machine.
RUN_PATIENCE = 240_000


@pytest.mark.timeout(600)
def test_from_log_in_to_parquet(chromium: Browser, stack: AirflowStack, shop: SimulatorProcess, tmp_path: Path) -> None:
    """Log in, open Lightspeed from the Admin menu, connect, test, run the example DAG, find the rows."""
    with chromium.new_context(viewport={"width": 1280, "height": 900}) as context:
        airflow = context.new_page()
        log_in(airflow, stack)
        airflow.get_by_role("button", name="Admin").click()
        expect(airflow.get_by_role("menuitem", name="Lightspeed")).to_be_visible()
        show(airflow, "airflow-menu", full_page=False)
        with context.expect_page() as opened:
            airflow.get_by_role("menuitem", name="Lightspeed").click()
        page = opened.value
        expect(page.get_by_role("heading", name="No connection yet")).to_be_visible()
        create_and_consent(page, shop)
        card = page.get_by_role("region", name=CONN_ID)
        expect(card).to_contain_text(f"Example Retail {shop.account_id}")
        for words in ("Connected", *(name.removeprefix("employee:") for name in READ_ONLY)):
            expect(card).to_contain_text(words)
        expect(card).to_contain_text(re.compile(r"Access token\s*fresh until"))
        expect(card).to_contain_text(re.compile(r"bucket\s*[\d.]+ of \d+, drips [\d.]+/s"))
        show(page, "connected")
        card.get_by_role("button", name="Test").click()
        expect(message(page)).to_contain_text(f"Connected to Example Retail {shop.account_id}")
        run_example(airflow, stack, tmp_path / "lake")
    rows = rows_on_disk(tmp_path / "lake")
    assert set(rows) == {"Customer", "Item", "ItemShop", "Sale", "SaleLine", "SalePayment"}
    assert all(0 < rows[resource] <= len(shop.truth(resource)) for resource in rows)  # the newest wait for the next run


def create_and_consent(page: Page, shop: SimulatorProcess) -> None:
    """Make the first connection; the scopes that let nobody change anything are chosen already."""
    fill_new(page, shop)
    chosen = page.locator("input[name=scope]:checked").evaluate_all("boxes => boxes.map(box => box.value)")
    assert chosen == list(READ_ONLY)
    page.get_by_text("Other servers").click()
    show(page, "new-connection")
    page.get_by_role("button", name="Save and connect").click()
    show(page, "connect")
    go_to_consent(page)
    show(page, "consent", full_page=False)
    page.get_by_role("button", name="Allow").click()
    expect(message(page)).to_contain_text(f"{CONN_ID}: Connected to Example Retail {shop.account_id}")


def run_example(page: Page, stack: AirflowStack, lake: Path) -> None:
    """Trigger the example DAG in Airflow's UI and watch it succeed."""
    stack.api.call("POST", "variables", {"key": "lightspeed_path", "value": str(lake)})
    stack.api.wait_for_dag(DAG_ID)
    settle_daily_run(stack)
    page.goto(f"{stack.url}/dags/{DAG_ID}")
    page.get_by_role("button", name="Trigger").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("checkbox", name="Unpause")).to_be_checked()
    dialog.get_by_test_id("trigger-dag-submit").click()
    page.wait_for_url("**/runs/manual__*")
    page.reload()  # the page of a DAG that was paused does not watch its runs
    try:
        succeeded = page.get_by_test_id("state-badge").filter(has_text="Success")
        expect(succeeded).to_have_count(6 + 1, timeout=RUN_PATIENCE)  # the tasks and the run
    finally:
        show(page, "dag-run", full_page=False)
        stack.api.call("PATCH", f"dags/{DAG_ID}", {"is_paused": True}, update_mask="is_paused")


def settle_daily_run(stack: AirflowStack) -> None:
    """Have today's scheduled run behind us: of two runs, which only go one by one, nobody knows which goes first."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0).isoformat()
    run = stack.api.call("POST", f"dags/{DAG_ID}/dagRuns", {"logical_date": midnight})
    stack.api.call("PATCH", f"dags/{DAG_ID}/dagRuns/{quote(run['dag_run_id'])}", {"state": "success"})


def rows_on_disk(lake: Path) -> dict[str, int]:
    """Return each resource's rows; the Parquet files hold what their manifest says."""
    found = {}
    for path in lake.glob("*/_manifest.json"):
        manifest = json.loads(path.read_bytes())
        files = [path.parent / file["path"] for file in manifest["files"]]
        assert sum(pq.read_metadata(file).num_rows for file in files) == manifest["rows"]
        found[manifest["resource"]] = manifest["rows"]
    return found


def test_a_connection_of_airflows_own_form_is_connected_on_the_page(
    page: Page, stack: AirflowStack, shop: SimulatorProcess
) -> None:
    """Add Connection without a refresh token, then Connect."""
    page.goto(f"{stack.url}/connections")
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.locator("[name=connection_id]").fill("from_form")
    form.get_by_role("combobox").click()
    page.keyboard.type("Lightspeed")
    page.get_by_role("option", name=HOOK_NAME).click()
    form.locator("[name=login]").fill(shop.client_id)
    form.locator("[name=password]").fill(shop.client_secret)
    form.locator("[name=host]").fill(shop.base_url)
    form.get_by_text("Extra Fields", exact=True).first.click()
    form.locator("[name=element_auth_url]").fill(shop.base_url)
    form.get_by_role("button", name="Save").click()
    expect(form).to_be_hidden()
    open_lightspeed(page, stack)
    card = page.get_by_role("region", name="from_form")
    expect(card).to_contain_text("no refresh token: connect")
    card.get_by_role("link", name="Connect").click()
    go_to_consent(page)
    page.get_by_role("button", name="Allow").click()
    expect(card).to_contain_text(f"Example Retail {shop.account_id}")
    expect(card.get_by_role("button", name="Test")).to_be_visible()


def test_the_redirected_address_is_pasted_where_the_redirect_leads_elsewhere(
    page: Page, stack: AirflowStack, shop: SimulatorProcess
) -> None:
    """A registered https address that nobody answers at: its address is copied, pasted, and good once."""
    shop.client(redirect_uri=f"https://127.0.0.1:{free_port()}/elsewhere")
    open_lightspeed(page, stack)
    fill_new(page, shop)
    page.get_by_role("button", name="Save and connect").click()
    go_to_consent(page)
    page.get_by_role("button", name="Allow").click()
    page.wait_for_url("chrome-error:**")
    address = address_bar(page)
    assert "/elsewhere?code=" in address
    open_lightspeed(page, stack)
    page.get_by_label("Redirected address").fill(address)
    show(page, "paste")
    page.get_by_role("button", name="Finish").click()
    expect(message(page)).to_contain_text(f"account {shop.account_id}")
    page.get_by_label("Redirected address").fill(address)
    page.get_by_role("button", name="Finish").click()
    expect(message(page)).to_contain_text("this consent was used already")
    expect(page.get_by_role("region", name=CONN_ID)).to_contain_text("Connected")


def test_the_browser_follows_where_lightspeed_sends_it_without_a_page_in_between(
    page: Page, stack: AirflowStack, shop: SimulatorProcess
) -> None:
    """A merchant who need not be asked is sent on at once, to any https address: the page's own policy is not in the way."""
    with SimulatorProcess(sales=5, items=5, customers=5, days=5, auto_approve=True) as other:
        other.client(redirect_uri=f"https://127.0.0.1:{free_port()}/elsewhere")
        open_lightspeed(page, stack)
        fill_new(page, other)
        page.get_by_role("button", name="Save and connect").click()
        page.get_by_role("button", name="Continue at Lightspeed").click()
        page.wait_for_url("chrome-error:**")
        assert "/elsewhere?code=" in address_bar(page)


def test_a_denied_consent_says_so_and_changes_nothing(page: Page, stack: AirflowStack, shop: SimulatorProcess) -> None:
    """After Deny the page tells that access was refused; the connection is as unconnected as before."""
    open_lightspeed(page, stack)
    fill_new(page, shop)
    page.get_by_role("button", name="Save and connect").click()
    go_to_consent(page)
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_role("alert")).to_contain_text("Not connected")
    expect(page.get_by_role("alert")).to_contain_text("denied")
    expect(page.get_by_role("region", name=CONN_ID)).to_contain_text("Not connected")


def test_disconnecting_warns_of_the_grants_other_connections_and_is_undone_by_connecting(
    page: Page, stack: AirflowStack, shop: SimulatorProcess
) -> None:
    """Who copied the refresh token into another connection is told that this one stops too; Connect brings a new grant."""
    connect_new(page, stack, shop)
    stack.api.add_connection(
        "copy", "lightspeed", **shop.connection() | {"extra": json.dumps(stack.stored_extra(CONN_ID))}
    )
    before = live_grants(shop)
    card = page.get_by_role("region", name=CONN_ID)
    card.get_by_role("link", name="Disconnect").click()
    expect(page.get_by_role("alert")).to_contain_text("The same grant serves copy")
    show(page, "disconnect")
    page.get_by_role("button", name="Revoke and disconnect").click()
    expect(message(page)).to_contain_text(f"{CONN_ID} is disconnected")
    expect(card).to_contain_text("Not connected")
    assert len(live_grants(shop)) == len(before) - 1
    card.get_by_role("link", name="Connect").click()
    go_to_consent(page)
    page.get_by_role("button", name="Allow").click()
    expect(card.get_by_role("button", name="Test")).to_be_visible()


def live_grants(shop: SimulatorProcess) -> set[str]:
    """Return the grants that nobody revoked, as Lightspeed knows them."""
    return {grant["grant_id"] for grant in shop.grants() if not grant["revoked"]}


def test_another_account_is_read_only_after_a_confirmation(
    page: Page, stack: AirflowStack, shop: SimulatorProcess
) -> None:
    """Staying with the old account revokes the new grant; taking the new one makes the connection read it."""
    connect_new(page, stack, shop)
    before = live_grants(shop)
    card = page.get_by_role("region", name=CONN_ID)
    card.get_by_role("link", name="Reconnect").click()
    go_to_consent(page, account_id=OTHER_ACCOUNT)
    page.get_by_role("button", name="Allow").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Another account")
    show(page, "confirm")
    page.get_by_role("button", name=f"Stay with account {shop.account_id}").click()
    expect(message(page)).to_contain_text("nothing was changed; the new grant was revoked")
    assert live_grants(shop) == before
    expect(card).to_contain_text(shop.account_id)
    card.get_by_role("link", name="Reconnect").click()
    go_to_consent(page, account_id=OTHER_ACCOUNT)
    page.get_by_role("button", name="Allow").click()
    page.get_by_role("button", name=f"Read account {OTHER_ACCOUNT}").click()
    expect(card).to_contain_text(OTHER_ACCOUNT)
    extra = stack.stored_extra(CONN_ID)
    assert extra is not None
    assert extra["account_id"] == OTHER_ACCOUNT
