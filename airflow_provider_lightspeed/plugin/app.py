"""The FastAPI app under ``/lightspeed``: a marker to recognise it by, and the refresh trigger.

The trigger needs no login: it hands out nothing. Whoever calls it must name the SHA-256 of a token that only the
holder of the stored connection knows; everybody else gets one and the same answer.
"""

from __future__ import annotations

import json
import threading
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from airflow_provider_lightspeed.auth.ledger import Outcome
from airflow_provider_lightspeed.tokens.refresh import Answer, Refresher
from airflow_provider_lightspeed.tokens.trigger import MARKER

MAX_BODY: Final = 2_048
STATUS: Final = {
    Outcome.REFRESHED: 200,
    Outcome.FRESH: 200,
    Outcome.NO_MATCH: 404,
    Outcome.BUSY: 503,
    Outcome.UNAVAILABLE: 503,
    Outcome.NO_GRANT: 409,
    Outcome.INVALID_CLIENT: 409,
    Outcome.INVALID_GRANT: 409,
}
_NO_MATCH: Final = Answer(Outcome.NO_MATCH)


class Turnstile:
    """Lets one thread per connection through; the others are told at once to come back."""

    def __init__(self) -> None:
        self._inside: set[str] = set()
        self._guard = threading.Lock()

    def enter(self, conn_id: str) -> bool:
        """Say whether the caller may refresh this connection now."""
        with self._guard:
            if conn_id in self._inside:
                return False
            self._inside.add(conn_id)
            return True

    def leave(self, conn_id: str) -> None:
        """Let the next one through."""
        with self._guard:
            self._inside.discard(conn_id)


async def claim(request: Request) -> dict[str, Any] | None:
    """Return the request's body if it is a well-formed claim, else ``None``."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            return None
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    seen = data.get("seen")
    well_formed = isinstance(seen, str) and len(seen) == 64 and all(letter in "0123456789abcdef" for letter in seen)
    return {"seen": seen, "refused": data.get("refused") is True, "by": data.get("by")} if well_formed else None


def create_app(refresher: Refresher | None = None) -> FastAPI:
    """Return the app that Airflow mounts."""
    app = FastAPI(title="Lightspeed", docs_url=None, redoc_url=None, openapi_url=None)
    router = APIRouter()
    turnstile = Turnstile()
    shared = refresher or Refresher()

    @router.get("/marker")
    async def marker() -> dict[str, Any]:
        return dict(MARKER)

    @router.post("/refresh/{connection_id:path}")
    async def refresh(connection_id: str, body: Annotated[dict[str, Any] | None, Depends(claim)]) -> JSONResponse:
        if body is None or len(connection_id) > 250:
            return _reply(_NO_MATCH)
        if not turnstile.enter(connection_id):
            return _reply(Answer(Outcome.BUSY, retry_after=1.0))
        try:
            by = body["by"] if isinstance(body["by"], str) else ""
            answer = await run_in_threadpool(
                shared.refresh, connection_id, seen=body["seen"], refused=body["refused"], by=by[:200]
            )
        finally:
            turnstile.leave(connection_id)
        return _reply(answer)

    app.include_router(router)
    return app


def _reply(answer: Answer) -> JSONResponse:
    headers = {"Retry-After": str(max(1, round(answer.retry_after)))} if answer.retry_after else {}
    content = {
        "outcome": answer.outcome.value,
        "generation": answer.generation,
        "expires_in": round(answer.expires_in, 1),
        "retry_after": round(answer.retry_after, 1),
    }
    return JSONResponse(content, status_code=STATUS[answer.outcome], headers={**headers, "Cache-Control": "no-store"})
