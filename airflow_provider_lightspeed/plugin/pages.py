"""Renders pages, carries one-time messages over a redirect, and runs what blocks in threads of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Any, Final, ParamSpec, TypeVar
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from airflow_provider_lightspeed.plugin.auth import FORMS, Seal, user_id
from airflow_provider_lightspeed.plugin.paths import airflow_path, base_url, home, redirect_uri
from airflow_provider_lightspeed.settings import LONGEST_ID

P = ParamSpec("P")
R = TypeVar("R")

_COOKIE: Final = "lightspeed_message"
#: Seconds; it is read by the page that the redirect leads to.
_MESSAGES: Final = Seal("message", 120)
#: Bytes; a cookie holds four thousand, and what is not ASCII doubles on the way there.
_LONGEST_MESSAGE: Final = 1_200
#: Threads of our own, few of them; those who wait for Lightspeed, or for a lock, keep nobody from looking.
_LOOKING: Final = ThreadPoolExecutor(4, thread_name_prefix="lightspeed-page")
_WAITING: Final = ThreadPoolExecutor(4, thread_name_prefix="lightspeed-wait")


@dataclass(frozen=True, slots=True)
class Message:
    """What became of the last action.

    :param tone: ``good`` or ``bad``.
    """

    tone: str
    text: str


async def in_thread(action: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run something that asks the database."""
    return await asyncio.get_running_loop().run_in_executor(_LOOKING, lambda: action(*args, **kwargs))


async def at_length(action: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run something that may wait for Lightspeed, or for a refresh."""
    return await asyncio.get_running_loop().run_in_executor(_WAITING, lambda: action(*args, **kwargs))


def path_of(page: str, conn_id: str = "") -> str:
    """Return the path of a page; a connection's ID comes last, because it may hold slashes."""
    return f"{home()}{page}{'/' if conn_id else ''}{quote(conn_id, safe='/', errors='replace')}"


def render(request: Request, template: str, user: Any, *, status: int = 200, **facts: Any) -> HTMLResponse:
    """Return a page; a message that waits for it is shown, once."""
    waiting = _MESSAGES.read(request.cookies.get(_COOKIE, ""))
    content = (
        _templates()
        .get_template(template)
        .render(
            home=home(),
            airflow=f"{airflow_path()}/",
            longest_id=LONGEST_ID,
            redirect_uri=redirect_uri(),
            redirect_is_https=redirect_uri().startswith("https://"),
            user=user and user.get_name(),
            form_token=FORMS.sign(user_id(user)) if user else "",
            message=Message(*waiting) if waiting else None,
            path_of=path_of,
            **facts,
        )
    )
    # Account names come from the API, which may send half a surrogate pair; UTF-8 has no form for it.
    page = HTMLResponse(content.encode(errors="replace"), status_code=status)
    if waiting:
        page.delete_cookie(_COOKIE, path=home())
    return page


def go(path: str, message: Message | None = None) -> Response:
    """Return a redirect to a page of ours, or to Lightspeed, with a message for the page it leads to."""
    reply = RedirectResponse(path, status_code=303)
    if message:
        text = message.text.encode(errors="replace")[:_LONGEST_MESSAGE].decode(errors="ignore")
        reply.set_cookie(
            _COOKIE,
            _MESSAGES.sign([message.tone, text]),
            max_age=120,
            path=home(),
            httponly=True,
            samesite="lax",
            secure=base_url().startswith("https://"),
        )
    return reply


def log_in(request: Request) -> Response:
    """Send somebody without a login to Airflow's, and from there to the page they wanted.

    Never back to the callback: its address holds the code.
    """
    path = request.url.path
    wanted = path if request.method == "GET" and not path.rstrip("/").endswith("/callback") else home()
    return go(f"{airflow_path()}/api/v2/auth/login?{urlencode({'next': wanted})}")


def refusal(request: Request, status: int, detail: str) -> HTMLResponse:
    """Return the plain page of an error."""
    title = HTTPStatus(status).phrase
    return render(request, "refusal.html", None, status=status, code=status, title=title, detail=detail)


@cache
def _templates() -> Any:
    import jinja2

    loader = jinja2.PackageLoader("airflow_provider_lightspeed.plugin", "templates")
    return jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
