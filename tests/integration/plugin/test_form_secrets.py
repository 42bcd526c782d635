"""What a person types into a form, and what Lightspeed sends back with them, is in no frame of an error."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("airflow.sdk")

from airflow_provider_lightspeed.plugin import routes
from airflow_provider_lightspeed.tokens import attempts
from tests.support.frames import sent_to_sentry
from tests.support.visits import SCOPE, Site, send

SECRET = "typed-client-secret"
CODE = "code-of-the-callback"


@pytest.fixture
def caught(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BaseException]]:
    """The errors that the page meets, as an error reporter in the API server gets them: without the caller's frames."""
    found: list[BaseException] = []

    def fail(*_: Any, **__: Any) -> Any:
        msg = "a bug of ours"
        raise ZeroDivisionError(msg)

    async def keep(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app(scope, receive, send)
        except ZeroDivisionError as error:
            found.append(error)
            raise

    app = site.app.middleware_stack or site.app.build_middleware_stack()
    site.app.middleware_stack = keep
    monkeypatch.setattr(routes, "create", fail)
    monkeypatch.setattr(attempts, "take", fail)
    yield found
    site.app.middleware_stack = app


def held_by(error: BaseException) -> str:
    """Return the local variables of all frames, as they print and as Sentry's client sends them."""
    frames = [repr(frame.f_locals) for frame, _ in traceback.walk_tb(error.__traceback__)]
    return "\n".join([*frames, sent_to_sentry(error)])


def test_client_secret_of_the_form_is_in_no_frame(site: Site, caught: list[BaseException]) -> None:
    """A bug where the connection is stored: the form and all that was made of it print no value."""
    send(site.browser("ann"), "new", {"conn_id": "shop", "client_id": "id", "client_secret": SECRET, **SCOPE})
    assert len(caught) == 1
    assert SECRET not in held_by(caught[0])


@pytest.mark.parametrize("is_pasted", [False, True])
def test_code_of_the_callback_is_in_no_frame(site: Site, caught: list[BaseException], is_pasted: bool) -> None:
    """A bug where the consent is looked up, for a redirect and for an address that a person pastes."""
    browser, query = site.browser("ann"), f"code={CODE}&state=some-state"
    if is_pasted:
        send(browser, "callback", {"redirected": f"https://example.com/?{query}"})
    else:
        browser.get(f"/lightspeed/callback?{query}")
    assert len(caught) == 1
    assert CODE not in held_by(caught[0])


def test_page_asks_once_for_all_buckets(site: Site, connection: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many connections there are; and if that fails, the connections are shown without them."""
    asked: list[set[str]] = []

    def look(account_ids: set[str]) -> dict[str, Any]:
        asked.append(account_ids)
        msg = "an asset event of somebody else"
        raise ZeroDivisionError(msg)

    monkeypatch.setattr(routes, "last_buckets", look)
    for number in range(3):
        connection(f"shop_{number}", extra={"account_id": str(number)})
    page = site.browser("ann").get("/lightspeed/")
    assert (page.status_code, asked) == (200, [{"0", "1", "2"}])
    assert all(f"shop_{number}" in page.text for number in range(3))
