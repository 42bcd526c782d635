"""The refresh trigger: asks for no login, because it hands out nothing.

Whoever calls it must name the SHA-256 of a token that only the holder of the stored connection knows; everybody else
gets one and the same answer.
"""

from __future__ import annotations

import asyncio
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from airflow_provider_lightspeed.auth.step import Claim, Outcome
from airflow_provider_lightspeed.clock import Clock
from airflow_provider_lightspeed.plugin.gate import MOST_INSIDE, Confirmed, Misses, Turnstile
from airflow_provider_lightspeed.settings import CONN_ID
from airflow_provider_lightspeed.tokens.answer import Answer
from airflow_provider_lightspeed.tokens.asker import Asker
from airflow_provider_lightspeed.tokens.refresh import Refresher
from airflow_provider_lightspeed.tokens.trigger import MARKER

#: Bytes; three labels of Airflow at their longest, escaped.
MAX_BODY: Final = 8_192
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
STATUS: Final = {
    Outcome.REFRESHED: 200,
    Outcome.FRESH: 200,
    Outcome.NO_MATCH: 404,
    Outcome.BUSY: 503,
    Outcome.UNAVAILABLE: 503,
    Outcome.NO_GRANT: 409,
    Outcome.FOREIGN: 409,
    Outcome.INVALID_CLIENT: 409,
    Outcome.INVALID_GRANT: 409,
    Outcome.DISCONNECTED: 409,
}
_NO_MATCH: Final = Answer(Outcome.NO_MATCH)
#: For peers that have missed too often: the tasks among them come back, where ``no_match`` would end them.
_OVERFLOW: Final = Answer(Outcome.BUSY, retry_after=2.0)


async def claim(request: Request) -> tuple[Claim, Asker] | None:
    """Return what the request's body claims if it is well formed, else ``None``."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            return None
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return None
    seen = data.get("seen") if isinstance(data, dict) else None
    if not isinstance(seen, str) or not _SHA256.fullmatch(seen):
        return None
    stated = Claim(seen, refused=data.get("refused") is True, used=data.get("used") is True)
    return stated, Asker.parse(data.get("by"))


class Trigger:
    """The refresh trigger: at most one thread per connection waits or refreshes, all others are answered at once."""

    def __init__(self, refresher: Refresher, clock: Clock | None = None) -> None:
        self._refresher = refresher
        self._turnstile = Turnstile()
        self._misses = Misses(clock)
        self._confirmed = Confirmed()
        # Threads of our own: a hung grant takes none of those that Airflow serves its endpoints with.
        self._threads = ThreadPoolExecutor(MOST_INSIDE, thread_name_prefix="lightspeed-refresh")

    async def __call__(self, conn_id: str, stated: tuple[Claim, Asker] | None, peer: str) -> Answer:
        """Answer one request."""
        is_confirmed = stated is not None and (conn_id, stated[0].seen) in self._confirmed
        if not is_confirmed and self._misses.overflows(peer):
            return _OVERFLOW
        if stated is None or not CONN_ID.fullmatch(conn_id):
            return _NO_MATCH
        if not self._turnstile.enter(conn_id):
            return Answer(Outcome.BUSY, retry_after=1.0)
        work = asyncio.get_running_loop().run_in_executor(self._threads, self._refresh, conn_id, *stated)
        # A caller that hangs up does not open the turnstile: the thread does, when it is done.
        answer = await asyncio.shield(work)
        self._learn(conn_id, stated[0].seen, answer.outcome, peer)
        return answer

    def _learn(self, conn_id: str, seen: str, outcome: Outcome, peer: str) -> None:
        if outcome is Outcome.NO_MATCH:
            self._misses.add(peer)
            self._confirmed.discard(conn_id, seen)
        elif outcome is not Outcome.BUSY:  # which may come before the claim was looked at
            self._confirmed.add(conn_id, seen)

    def _refresh(self, conn_id: str, stated: Claim, asker: Asker) -> Answer:
        try:
            return self._refresher.refresh(conn_id, stated, asker)
        finally:
            self._turnstile.leave(conn_id)


def trigger_router(trigger: Trigger) -> APIRouter:
    """Return the routes that ask for no login: the marker and the trigger."""
    router = APIRouter()

    @router.get("/marker")
    async def marker() -> dict[str, Any]:
        return dict(MARKER)

    @router.post("/refresh/{connection_id:path}")
    async def refresh(
        request: Request, connection_id: str, stated: Annotated[tuple[Claim, Asker] | None, Depends(claim)]
    ) -> JSONResponse:
        peer = request.client.host if request.client else ""
        return _reply(await trigger(connection_id, stated, peer))

    return router


def _reply(answer: Answer) -> JSONResponse:
    headers = {"Retry-After": str(max(1, round(answer.retry_after)))} if answer.retry_after else {}
    content = {
        "outcome": answer.outcome.value,
        "generation": answer.generation,
        "expires_in": round(answer.expires_in, 1),
        "retry_after": round(answer.retry_after, 1),
    }
    return JSONResponse(content, status_code=STATUS[answer.outcome], headers={**headers, "Cache-Control": "no-store"})
