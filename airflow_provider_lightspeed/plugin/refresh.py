"""The refresh trigger: asks for no login, because it hands out nothing.

Whoever calls it must name the SHA-256 of a token that only the holder of the stored connection knows; everybody else
gets one and the same answer.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_lightspeed.auth.step import Claim, Outcome
from airflow_provider_lightspeed.clock import Clock, SystemClock
from airflow_provider_lightspeed.exceptions import LightspeedError, LightspeedRetriableError, RefreshPending
from airflow_provider_lightspeed.plugin.gate import (
    MOST_INSIDE,
    FailureLimiter,
    RecentHashes,
    SharedReads,
    SingleFlight,
)
from airflow_provider_lightspeed.settings import CONN_ID
from airflow_provider_lightspeed.tokens.answer import Answer
from airflow_provider_lightspeed.tokens.asker import Asker
from airflow_provider_lightspeed.tokens.refresh import Refresher
from airflow_provider_lightspeed.tokens.status import connection_ids, report_fault
from airflow_provider_lightspeed.tokens.store import peek
from airflow_provider_lightspeed.tokens.trigger import MARKER

log = logging.getLogger(__name__)

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
    Outcome.SHARED: 409,
    Outcome.INVALID_CLIENT: 409,
    Outcome.INVALID_GRANT: 409,
    Outcome.DISCONNECTED: 409,
}
_NO_MATCH: Final = Answer(Outcome.NO_MATCH)
#: While a peer that has missed too often keeps the reads busy: the tasks among its callers come back, where ``no_match``
#: would end them.
_LATER: Final = Answer(Outcome.BUSY, retry_after=2.0)
#: Seconds that the list of connections is good for.
LIST_LIFE: Final = 5.0


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


def stored_hashes(conn_id: str) -> frozenset[str]:
    """Return what a caller may name as proof that it can read a connection: the hashes of its tokens as stored now.

    Empty for a connection that does not exist, or that cannot be read.

    :raises LightspeedRetriableError: a secrets backend does not answer.
    :raises sqlalchemy.exc.SQLAlchemyError: the metadata database does not answer.
    """
    try:
        found = peek(conn_id)
        if found.stored is None:
            return frozenset()
        access = [ledger.token.access_token for ledger in (found.ledger, found.visible) if ledger.token]
        return frozenset(held.fingerprint() for held in (*access, found.stored.settings.refresh_token) if held)
    except (LightspeedRetriableError, SQLAlchemyError):
        raise
    except LightspeedError as error:  # a connection that is filled in wrongly; the task finds the same
        log.warning("connection %r: no refresh: %s", conn_id, error)
    except Exception as error:  # noqa: BLE001 - a bad connection is answered like one that does not exist
        report_fault(conn_id, error)
    return frozenset()


class Trigger:
    """The refresh trigger: at most one thread per connection waits or refreshes, all others are answered at once.

    :param hashes: returns the right hashes of a connection.
    :param listed: returns the IDs of all connections that can be listed.
    """

    def __init__(
        self,
        refresher: Refresher,
        clock: Clock | None = None,
        *,
        hashes: Callable[[str], frozenset[str]] = stored_hashes,
        listed: Callable[[], Iterable[str]] = connection_ids,
    ) -> None:
        self._refresher = refresher
        self._clock = clock or SystemClock()
        self._places = SingleFlight()
        self._failures = FailureLimiter(self._clock)
        self._right = RecentHashes(self._clock)
        self._listed: frozenset[str] = frozenset()
        self._list_until = -math.inf
        self._hashes, self._list = hashes, listed
        # Threads of our own: a hung grant takes none of those that Airflow serves its endpoints with, nor of the reads.
        self._threads = ThreadPoolExecutor(MOST_INSIDE, thread_name_prefix="lightspeed-refresh")
        self._reads = SharedReads(self._read, threads=2, most=64, name="lightspeed-hashes")
        self._lists = SharedReads(lambda _: self._read_list(), threads=1, most=2, name="lightspeed-list")

    @property
    def is_busy(self) -> bool:
        """Whether many claims wait to be checked."""
        return self._reads.are_many

    async def __call__(self, conn_id: str, stated: tuple[Claim, Asker] | None, peer: str) -> Answer:
        """Answer one request. Whatever is wrong with a claim, the answer is one and the same."""
        overflows = self._failures.overflows(peer) and self.is_busy
        try:
            is_right = stated is not None and await self._is_right(conn_id, stated[0].seen, is_limited=overflows)
        except (LightspeedRetriableError, SQLAlchemyError) as error:  # whatever the claim is
            log.warning("a claim could not be checked (%s)", type(error).__name__)
            return _LATER
        if stated is None or not is_right:
            self._failures.add(peer)
            return _LATER if overflows else _NO_MATCH
        if not self._places.enter(conn_id):
            return Answer(Outcome.BUSY, retry_after=1.0)
        work = asyncio.get_running_loop().run_in_executor(self._threads, self._refresh, conn_id, *stated)
        # A caller that hangs up does not give the place back: the thread does, when it is done.
        answer = await asyncio.shield(work)
        if answer.outcome is Outcome.NO_MATCH:
            self._failures.add(peer)
        return answer

    async def _is_right(self, conn_id: str, seen: str, *, is_limited: bool) -> bool:
        """Check a claim.

        :param is_limited: the caller's peer has missed too often, and many reads wait: only connections that are known
            to exist are read.
        :raises RefreshPending: too many reads wait.
        """
        if not CONN_ID.fullmatch(conn_id):
            return False
        if (conn_id, seen) in self._right:
            return True
        if self._right.are_fresh(conn_id):
            return False
        exists = self._right.exist(conn_id) or await self._is_listed(conn_id)
        if is_limited and not exists:
            return False
        await _shared(self._reads.start(conn_id, urgent=exists))
        return (conn_id, seen) in self._right

    async def _is_listed(self, conn_id: str) -> bool:
        if self._clock.monotonic() >= self._list_until:
            await _shared(self._lists.start(""))
        return conn_id in self._listed or conn_id.lower() in self._listed

    def _read(self, conn_id: str) -> None:
        self._right.put(conn_id, self._hashes(conn_id))

    def _read_list(self) -> None:
        self._listed = frozenset(self._list())
        self._list_until = self._clock.monotonic() + LIST_LIFE

    def _refresh(self, conn_id: str, stated: Claim, asker: Asker) -> Answer:
        try:
            answer = self._refresher.refresh(conn_id, stated, asker)
            self._learn(conn_id, answer.outcome)
        except Exception as error:  # noqa: BLE001 - one bad connection is one bad answer
            report_fault(conn_id, error)
            return _LATER
        finally:
            self._places.leave(conn_id)
        return answer

    def _learn(self, conn_id: str, outcome: Outcome) -> None:
        """Know the hash of a new token before anybody asks with it, and forget one that is right no more."""
        if outcome is Outcome.NO_MATCH:
            self._right.forget(conn_id)
        elif outcome is Outcome.REFRESHED:
            try:
                self._read(conn_id)
            except (LightspeedRetriableError, SQLAlchemyError):
                self._right.forget(conn_id)


async def _shared(read: Future[None] | None) -> None:
    """Wait for a read that others may wait for too.

    :raises RefreshPending: there is none, because too many wait.
    """
    if read is None:
        msg = "too many claims are being checked"
        raise RefreshPending(msg, retry_after=_LATER.retry_after)
    await asyncio.shield(asyncio.wrap_future(read))


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
    content: dict[str, Any] = {
        "outcome": answer.outcome.value,
        "generation": answer.generation,
        "expires_in": round(answer.expires_in, 1),
        "retry_after": round(answer.retry_after, 1),
    }
    if answer.outcome is Outcome.SHARED:
        content["detail"] = answer.detail
    return JSONResponse(content, status_code=STATUS[answer.outcome], headers={**headers, "Cache-Control": "no-store"})
