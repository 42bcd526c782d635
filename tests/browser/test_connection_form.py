"""The connection form of Airflow 3 in a real browser: its fields, and no secret in the page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import Page, expect, sync_playwright

from airflow_provider_lightspeed.provider_info import CONN_FIELDS, HOOK_NAME, UI_FIELD_BEHAVIOUR
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tools.airflow_stack import USER, AirflowStack

pytestmark = pytest.mark.timeout(300)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
PATIENCE = 30_000  # milliseconds, for a slow machine


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowStack]:
    folder = tmp_path_factory.mktemp("browser")
    (folder / "dags").mkdir()
    with AirflowStack(folder / "airflow", folder / "dags") as running:
        yield running


@pytest.fixture(scope="module")
def page(stack: AirflowStack) -> Iterator[Page]:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    assert chromium, "no Chromium found: install the package chromium, or name the program in CHROMIUM"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        page.set_default_timeout(PATIENCE)
        page.goto(f"{stack.url}/auth/login")
        page.get_by_label("Username").fill(USER)
        page.get_by_label("Password").fill(stack.password)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("button", name="Admin")).to_be_visible(timeout=PATIENCE)
        yield page
        browser.close()


def show(page: Page, name: str) -> None:
    """Keep a picture for whoever looks at a failure, where LIGHTSPEED_SCREENSHOTS says."""
    if folder := os.environ.get("LIGHTSPEED_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def test_form_has_the_fields_under_their_own_names(page: Page, stack: AirflowStack) -> None:
    """Client ID and secret instead of login and password; the extra fields; nothing that is hidden."""
    page.goto(f"{stack.url}/connections")
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.get_by_role("combobox").click()
    page.keyboard.type("Lightspeed")
    page.get_by_role("option", name=HOOK_NAME).click()
    for label in UI_FIELD_BEHAVIOUR["relabeling"].values():
        expect(form.get_by_text(label, exact=True)).to_be_visible()
    form.get_by_text("Extra Fields", exact=True).first.click()
    for field in CONN_FIELDS.values():
        expect(form.get_by_text(field["label"], exact=True)).to_be_visible()
    for hidden in ("Schema", "Port"):
        expect(form.get_by_text(hidden, exact=True)).to_have_count(0)
    show(page, "connection-form")


def test_stored_secrets_do_not_reach_the_browser(page: Page, stack: AirflowStack) -> None:
    """Neither in the list nor in the form of a stored connection."""
    with SimulatorProcess(sales=5, items=5, customers=5, days=5, grant=True) as simulator:
        token = simulator.grant()["refresh_token"]
        stack.api.add_connection(
            "shop",
            "lightspeed",
            login=simulator.client_id,
            password=simulator.client_secret,
            host=simulator.base_url,
            extra=f'{{"refresh_token": "{token}"}}',
        )
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
            assert simulator.client_secret not in shown
