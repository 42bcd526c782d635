"""A whole Airflow 3, a simulated Lightspeed and Chromium, started once for all browser tests."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tools.airflow_api import AirflowApi
from tools.airflow_stack import USER, AirflowStack

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

FLAGS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE: Final = 30_000  # milliseconds, for a slow machine
DAG: Final = Path(__file__).parents[2] / "dags" / "example_lightspeed_daily.py"
#: May not see connections.
VIEWER: Final = "viewer"


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowStack]:
    """Airflow with the example DAG, an administrator, and somebody who may only look at DAGs."""
    folder = tmp_path_factory.mktemp("browser")
    (folder / "dags").mkdir()
    shutil.copy(DAG, folder / "dags")
    config = {"core__simple_auth_manager_users": f"{USER}:admin,{VIEWER}:viewer"}
    with AirflowStack(folder / "airflow", folder / "dags", config=config) as running:
        yield running


@pytest.fixture(scope="session")
def lightspeed(stack: AirflowStack) -> Iterator[SimulatorProcess]:
    """A small shop, whose API client has this Airflow's callback registered."""
    with SimulatorProcess(registers=2, sales=60, items=20, customers=10, days=10) as running:
        running.client(redirect_uri=f"{stack.url}/lightspeed/callback")
        yield running


@pytest.fixture
def shop(stack: AirflowStack, lightspeed: SimulatorProcess) -> Iterator[SimulatorProcess]:
    """The shop while Airflow has no connection yet; what a test makes is removed."""
    yield lightspeed
    lightspeed.client(redirect_uri=f"{stack.url}/lightspeed/callback")
    for found in stack.api.call("GET", "connections", limit=100)["connections"]:
        stack.api.call("DELETE", f"connections/{found['connection_id']}")
    for found in stack.api.call("GET", "variables", limit=100)["variables"]:
        stack.api.call("DELETE", f"variables/{found['key']}")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, or the one that CHROMIUM names."""
    from playwright.sync_api import expect, sync_playwright

    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    assert program, "no Chromium found: install the package chromium, or name the program in CHROMIUM"
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Browser, stack: AirflowStack) -> Iterator[BrowserContext]:
    """A fresh browser window whose user is logged in as administrator."""
    opened = chromium.new_context(viewport={"width": 1280, "height": 900})
    opened.set_default_timeout(PATIENCE)
    admit(opened, stack, USER)
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A tab of it."""
    return context.new_page()


def admit(context: BrowserContext, stack: AirflowStack, user: str) -> None:
    """Give the browser a user's login."""
    passwords = json.loads((stack.home / "passwords.json").read_text())
    api = AirflowApi(stack.url, user, passwords[user])
    context.add_cookies([{"name": "_token", "value": api.token(), "url": stack.url}])
    api.close()
