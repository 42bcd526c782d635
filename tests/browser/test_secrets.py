"""What comes to the browser when an account is connected, and what stays in logs."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import Browser, BrowserContext, Page, expect

from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from airflow_provider_lightspeed.tokens.attempts import PREFIX
from tests.browser.conftest import PATIENCE, admit
from tests.support.browser_steps import CONN_ID, OTHER_ACCOUNT, fill_new, go_to_consent, message, open_lightspeed
from tools.airflow_stack import USER, AirflowStack

pytestmark = pytest.mark.timeout(300)
STORAGE = "JSON.stringify([localStorage, sessionStorage])"


def test_no_secret_comes_to_the_browser_and_no_code_into_a_log(
    chromium: Browser, stack: AirflowStack, shop: SimulatorProcess, tmp_path: Path
) -> None:
    """Client secret, tokens and PKCE verifier are in no answer and in no storage; code and state are in no log."""
    archive = tmp_path / "traffic.har"
    context = chromium.new_context(record_har_path=archive, record_har_content="embed")
    context.set_default_timeout(PATIENCE)
    admit(context, stack, USER)
    secrets, kept = walk(context, stack, shop)
    context.close()
    entries = json.loads(archive.read_text())["log"]["entries"]
    received = kept + "".join(received_in(each) for each in entries if each["request"]["url"].startswith(stack.url))
    assert "lightspeed_default" in received
    assert len(secrets) >= 7
    assert [secret for secret in secrets if secret in received] == []
    logs = "".join(path.read_text(errors="replace") for path in stack.home.rglob("*.log"))
    assert "path=/lightspeed/callback" in logs
    spent = spent_in(entries)
    assert len(spent) >= 4
    assert [word for word in spent if word in logs] == []


def walk(context: BrowserContext, stack: AirflowStack, shop: SimulatorProcess) -> tuple[set[str], str]:
    """Connect, reconnect to another account, test, and look at everything; return all secrets and all storages."""
    page = context.new_page()
    secrets = {shop.client_secret}
    open_lightspeed(page, stack)
    fill_new(page, shop)
    page.get_by_label("Connection ID").fill("not allowed")
    page.get_by_role("button", name="Save and connect").click()
    expect(page.get_by_role("alert")).to_contain_text("connection ID")
    page.get_by_label("Connection ID").fill(CONN_ID)
    page.get_by_label("Client secret").fill(shop.client_secret)
    page.get_by_role("button", name="Save and connect").click()
    secrets |= consent(page, stack)
    expect(message(page)).to_contain_text(f"account {shop.account_id}")
    secrets |= stored(stack)
    page.get_by_role("button", name="Test").click()
    page.get_by_role("link", name="Reconnect").click()
    secrets |= consent(page, stack, account_id=OTHER_ACCOUNT)
    page.get_by_role("button", name=f"Read account {OTHER_ACCOUNT}").click()
    expect(page.get_by_role("region", name=CONN_ID)).to_contain_text(OTHER_ACCOUNT)
    secrets |= stored(stack)
    page.get_by_role("link", name="Disconnect").click()
    kept = str(page.evaluate(STORAGE))
    page.goto(f"{stack.url}/connections")
    page.get_by_role("button", name="Edit Connection").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    return secrets, kept + str(page.evaluate(STORAGE))


def consent(page: Page, stack: AirflowStack, account_id: str = "") -> set[str]:
    """Allow access; return the PKCE verifiers that Airflow keeps meanwhile."""
    go_to_consent(page, account_id=account_id)
    kept = [row for row in stack.dump()["variable"] if any(str(cell).startswith(PREFIX) for cell in row)]
    sealed = [cell for row in kept for cell in row if str(cell).startswith("gAAAA")]
    consents = [json.loads(stack.decrypt(cell))["consent"] for cell in sealed]
    verifiers = {json.loads(consent)["verifier"] for consent in consents}
    assert verifiers
    page.get_by_role("button", name="Allow").click()
    page.wait_for_url(f"{stack.url}/**")
    return verifiers


def stored(stack: AirflowStack) -> set[str]:
    """Return the tokens that Airflow keeps now."""
    pair = (stack.stored_extra(f"{CONN_ID}__lightspeed_tokens") or {})["token"]
    return {pair["access_token"], pair["refresh_token"]}


def received_in(entry: dict[str, Any]) -> str:
    """Return the answer's headers and body."""
    content = entry["response"]["content"]
    text = content.get("text", "")
    if content.get("encoding") == "base64":
        text = base64.b64decode(text).decode(errors="replace")
    return f"{entry['response']['headers']}{text}"


def spent_in(entries: list[dict[str, Any]]) -> set[str]:
    """Return every OAuth code and state that the callback was given."""
    queries = [parse_qs(urlsplit(each["request"]["url"]).query) for each in entries]
    return {word for query in queries if "code" in query for name in ("code", "state") for word in query[name]}
