"""The connection form of Airflow 3 in a real browser: its fields, and no secret in the page."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import Locator, Page, expect

from airflow_provider_lightspeed.provider_info import CONN_FIELDS, HOOK_NAME, UI_FIELD_BEHAVIOUR
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.browser_steps import CONN_ID, connect_new, show
from tools.airflow_stack import AirflowStack

pytestmark = pytest.mark.timeout(300)


def new_form(page: Page, stack: AirflowStack) -> Locator:
    """Open Airflow's form for a new connection of our type."""
    page.goto(f"{stack.url}/connections")
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.get_by_role("combobox").click()
    page.keyboard.type("Lightspeed")
    page.get_by_role("option", name=HOOK_NAME).click()
    return form


def test_form_has_the_fields_under_their_own_names(page: Page, stack: AirflowStack) -> None:
    """Client ID and secret instead of login and password; the extra fields; nothing that is hidden."""
    form = new_form(page, stack)
    for label in UI_FIELD_BEHAVIOUR["relabeling"].values():
        expect(form.get_by_text(label, exact=True)).to_be_visible()
    form.get_by_text("Extra Fields", exact=True).first.click()
    for field in CONN_FIELDS.values():
        expect(form.get_by_text(field["label"], exact=True)).to_be_visible()
    for hidden in ("Schema", "Port"):
        expect(form.get_by_text(hidden, exact=True)).to_have_count(0)
    show(page, "connection-form")


def test_stored_secrets_do_not_reach_the_browser(page: Page, stack: AirflowStack, shop: SimulatorProcess) -> None:
    """Neither in the list nor in the form of a stored connection."""
    token = shop.grant()["refresh_token"]
    stack.api.add_connection("shop", "lightspeed", **shop.connection(refresh_token=token))
    bodies: list[str] = []
    page.on("response", lambda reply: bodies.append(reply.text()) if "/connections" in reply.url else None)
    page.goto(f"{stack.url}/connections")
    expect(page.get_by_text("shop", exact=True).first).to_be_visible()
    page.get_by_role("button", name="Edit Connection").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    show(page, "connection-edit")
    assert any("shop" in body for body in bodies)
    for shown in (page.content(), *bodies):
        assert token not in shown
        assert shop.client_secret not in shown


@pytest.mark.timeout(600)
def test_airflows_own_test_button_reads_the_account(page: Page, stack: AirflowStack, shop: SimulatorProcess) -> None:
    """Of a connection made with the form, with the page, and with the command line; none of them names a port."""
    page.set_default_timeout(90_000)
    form, fields = new_form(page, stack), shop.connection(refresh_token=shop.grant()["refresh_token"])
    extra = json.loads(fields["extra"])
    form.locator('input[name="connection_id"]').fill("by_form")
    for name in ("host", "login", "password"):
        form.locator(f'input[name="{name}"]').fill(fields[name])
    form.get_by_text("Extra Fields", exact=True).first.click()
    for name in ("refresh_token", "auth_url"):
        form.locator(f'input[name="element_{name}"]').fill(extra[name])
    form.get_by_role("button", name="Save").click()
    expect(page.get_by_text("by_form", exact=True)).to_be_visible()

    given = json.dumps({**extra, "refresh_token": shop.grant()["refresh_token"]})
    flags = {"host": fields["host"], "login": fields["login"], "password": fields["password"], "extra": given}
    arguments = [part for name, value in flags.items() for part in (f"--conn-{name}", value)]
    stack.run("connections", "add", "by_command", "--conn-type", "lightspeed", *arguments)

    connect_new(page, stack, shop)
    for conn_id in ("by_form", "by_command", CONN_ID):
        page.goto(f"{stack.url}/connections")
        expect(page.get_by_text(conn_id, exact=True)).to_be_visible(timeout=90_000)
        row = page.get_by_role("row").filter(has=page.get_by_text(conn_id, exact=True))
        with page.expect_response("**/connections/test") as answered:
            row.get_by_role("button", name="Test Connection").click()
        assert (answered.value.status, answered.value.json()["status"]) == (200, True), answered.value.text()
        expect(page.get_by_text(f"account {shop.account_id}").first).to_be_visible()
    show(page, "connection-test")
