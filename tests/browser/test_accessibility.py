"""The Lightspeed page for everybody: keyboard alone, screen readers, dark theme, phones."""

from __future__ import annotations

from typing import Any, Final

import pytest

pytest.importorskip("playwright.sync_api")
pytest.importorskip("axe_playwright_python")

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.browser.conftest import VIEWER, admit
from tests.support.browser_steps import (
    CONN_ID,
    OTHER_ACCOUNT,
    connect_new,
    go_to_consent,
    message,
    open_lightspeed,
    show,
)
from tools.airflow_stack import AirflowStack

pytestmark = pytest.mark.timeout(300)
DESKTOP: Final = {"width": 1280, "height": 900}
PHONE: Final = {"width": 390, "height": 844}
#: The name of what has the focus, as a screen reader says it, and whether a sighted person sees that it has.
FOCUSED: Final = """() => {
    const at = document.activeElement;
    const name = at.labels?.[0]?.textContent || at.textContent;
    return [name.trim().replace(/\\s+/g, " "), getComputedStyle(at).outlineStyle !== "none"];
}"""


def test_a_keyboard_is_enough_to_connect(page: Page, stack: AirflowStack, shop: SimulatorProcess) -> None:
    """From the empty page to a connected account with Tab, Enter and Space; the focus can always be seen."""
    open_lightspeed(page, stack)
    press(page, "New connection", "Enter")
    expect(page).to_have_title("New Lightspeed connection - Airflow")
    type_into(page, "Client ID", shop.client_id)
    type_into(page, "Client secret", shop.client_secret)
    press(page, "employee:vendor_returns", "Space")
    press(page, "Other servers", "Enter")
    type_into(page, "API base URL", shop.base_url)
    type_into(page, "Authorization server", shop.base_url)
    press(page, "Save and connect", "Enter")
    expect(page).to_have_title(f"Connect {CONN_ID} - Airflow")
    press(page, "Continue at Lightspeed", "Space")
    expect(page.get_by_role("heading", name="Allow access")).to_be_visible()
    press(page, "Allow", "Enter")
    expect(message(page)).to_contain_text(f"account {shop.account_id}")
    card = page.get_by_role("region", name=CONN_ID)
    expect(card).to_contain_text("customers_read")
    expect(card).not_to_contain_text("vendor_returns")


def press(page: Page, name: str, key: str) -> None:
    """Tab to what is called so and press a key there."""
    for _ in range(60):
        page.keyboard.press("Tab")
        found, is_visible = page.evaluate(FOCUSED)
        assert is_visible, f"nobody sees that {found!r} has the focus"
        if found.startswith(name):
            page.keyboard.press(key)
            return
    pytest.fail(f"Tab never comes to {name!r}")


def type_into(page: Page, name: str, text: str) -> None:
    """Tab to a field and type."""
    press(page, name, "End")
    page.keyboard.type(text)


def test_every_page_is_accessible_in_both_themes_and_on_a_phone(
    page: Page, chromium: Browser, stack: AirflowStack, shop: SimulatorProcess
) -> None:
    """axe-core finds nothing serious or critical on any page; nothing scrolls sideways at 390 pixels."""
    found: list[str] = []
    open_lightspeed(page, stack)
    found += inspect(page, "empty")
    page.get_by_role("link", name="New connection").click()
    page.get_by_text("Other servers").click()
    page.get_by_text("Scopes that can also write").click()
    found += inspect(page, "new")
    connect_new(page, stack, shop)
    found += inspect(page, "connected")
    page.get_by_role("link", name="Reconnect").click()
    found += inspect(page, "connect")
    go_to_consent(page, account_id=OTHER_ACCOUNT)
    page.get_by_role("button", name="Allow").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Another account")
    found += inspect(page, "confirm")
    page.get_by_role("button", name="Stay with").click()
    page.get_by_role("link", name="Disconnect").click()
    found += inspect(page, "disconnect")
    page.get_by_role("button", name="Revoke and disconnect").click()
    expect(message(page)).to_contain_text("is disconnected")
    found += inspect(page, "disconnected")
    with chromium.new_context(viewport=DESKTOP) as other:  # type: ignore[arg-type]
        admit(other, stack, VIEWER)
        refused = other.new_page()
        refused.goto(f"{stack.url}/lightspeed/")
        expect(refused.get_by_role("heading", level=1)).to_have_text("403 Forbidden")
        found += inspect(refused, "forbidden")
    assert found == []


def inspect(page: Page, name: str) -> list[str]:
    """Return what is wrong with this page: on a desk, in the dark, on a phone in either theme."""
    found = []
    for theme, size, view in (("light", DESKTOP, "desk"), ("dark", PHONE, "phone"), ("light", PHONE, "phone")):
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        page.set_viewport_size(size)  # type: ignore[arg-type]
        found += [f"{name}, {theme}, {view}: {each}" for each in violations(page)]
        show(page, f"{view}-{theme}-{name}")
    width = page.evaluate("document.documentElement.scrollWidth")
    if width > PHONE["width"]:
        found.append(f"{name}: {width} pixels wide on a phone")
    page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]
    return found


def violations(page: Page) -> list[str]:
    """Return the serious and critical findings of axe-core."""
    report: dict[str, Any] = Axe().run(page).response
    return [
        f"{each['id']}: {node['html']}"
        for each in report["violations"]
        if each["impact"] in {"serious", "critical"}
        for node in each["nodes"]
    ]


def test_the_page_follows_airflows_colour_mode(page: Page, stack: AirflowStack) -> None:
    """What Airflow keeps in the browser's storage counts before what the operating system says."""
    page.emulate_media(color_scheme="light")
    page.goto(f"{stack.url}/lightspeed/")
    page.evaluate("localStorage.setItem('theme', 'dark')")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.locator("body")).to_have_css("background-color", "rgb(17, 20, 24)")
