"""What a person does in the browser, step by step."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from playwright.sync_api import Locator, Page, expect

from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tools.airflow_stack import USER, AirflowStack

CONN_ID: Final = "lightspeed_default"
OTHER_ACCOUNT: Final = "67890"


def show(page: Page, name: str, *, full_page: bool = True) -> None:
    """Keep a picture for whoever looks at a failure or writes documentation, where LIGHTSPEED_SCREENSHOTS says."""
    if folder := os.environ.get("LIGHTSPEED_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=full_page)


def open_lightspeed(page: Page, stack: AirflowStack) -> None:
    """Go to the Lightspeed page."""
    page.goto(f"{stack.url}/lightspeed/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Lightspeed connections")


def log_in(page: Page, stack: AirflowStack) -> None:
    """Log in to Airflow as its administrator."""
    page.goto(f"{stack.url}/auth/login")
    page.get_by_label("Username").fill(USER)
    page.get_by_label("Password").fill(stack.password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Admin")).to_be_visible()


def fill_new(page: Page, shop: SimulatorProcess) -> None:
    """Fill in *New connection*; scopes and ID stay as they are offered."""
    page.get_by_role("link", name="New connection").click()
    page.get_by_label("Client ID").fill(shop.client_id)
    page.get_by_label("Client secret").fill(shop.client_secret)
    page.get_by_text("Other servers").click()
    page.get_by_label("API base URL").fill(shop.base_url)
    page.get_by_label("Authorization server").fill(shop.base_url)


def go_to_consent(page: Page, *, account_id: str = "") -> None:
    """Continue at Lightspeed; the simulator lets another account in if its page is opened with its ID."""
    page.get_by_role("button", name="Continue at Lightspeed").click()
    expect(page.get_by_role("heading", name="Allow access")).to_be_visible()
    if account_id:
        page.goto(f"{page.url}&sim_account={account_id}")


def connect_new(page: Page, stack: AirflowStack, shop: SimulatorProcess) -> None:
    """Make a connection and connect it."""
    open_lightspeed(page, stack)
    fill_new(page, shop)
    page.get_by_role("button", name="Save and connect").click()
    go_to_consent(page)
    page.get_by_role("button", name="Allow").click()
    expect(message(page)).to_contain_text(f"account {shop.account_id}")


def message(page: Page) -> Locator:
    """Return what the page says about the last action."""
    return page.locator(".message")


def address_bar(page: Page) -> str:
    """Return the address as the browser shows it, also of a page that could not be loaded."""
    history = page.context.new_cdp_session(page).send("Page.getNavigationHistory")
    return str(history["entries"][history["currentIndex"]]["url"])
