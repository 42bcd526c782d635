"""Reads the R-Series API: pages of any list, within the rate limit, past transient faults, never past a loss."""

from __future__ import annotations

import random as _random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from airflow_provider_lightspeed.auth.flow import OAuthReply, retry_after, server_time
from airflow_provider_lightspeed.auth.source import TokenSource
from airflow_provider_lightspeed.auth.token import Token
from airflow_provider_lightspeed.client.decision import Action, Decision, backoff, decide
from airflow_provider_lightspeed.client.pagination import Beginnings, Cursor, records_of
from airflow_provider_lightspeed.client.query import PAGE_SIZE, Filters, build_url, request_cost
from airflow_provider_lightspeed.client.rate_headers import RateHeaders
from airflow_provider_lightspeed.client.rate_limit import BucketSnapshot, RateLimiter
from airflow_provider_lightspeed.client.transport import Reply, Request, Transport
from airflow_provider_lightspeed.clock import Clock, SystemClock
from airflow_provider_lightspeed.exceptions import (
    AccessDenied,
    LightspeedError,
    LightspeedRateError,
    ProtocolViolation,
    Unreachable,
)
from airflow_provider_lightspeed.redact import sealed

BASE_PATH: Final = "/API/V3"
#: Different tokens that may be refused for one request, each replaced by another; one more ends the request.
MOST_REFUSALS: Final = 2
#: The burst limiter's words, for a 429 without the header that names the limiter (docs: introduction/rate-limiting).
_BURST: Final = b"burst rate limit"


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list.

    :param records: as the wire has them, one-or-many normalised at this level only.
    :param next_url: the following page, ``None`` on the last.
    :param cost: what the request was charged; what it was priced at, where the reply does not say.
    :param seconds: from sending to the decoded answer, waits for the rate limit left out.
    """

    url: str = field(repr=False)
    index: int
    records: list[dict[str, Any]] = field(repr=False)
    next_url: str | None = field(repr=False)
    cost: float
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class RetryDetails:
    """A try that failed and will be repeated."""

    path: str
    attempt: int
    wait: float
    reason: str


class ClientEvents(Protocol):
    """What a client reports while it works."""

    def retrying(self, details: RetryDetails) -> None:
        """Before it waits for the next try."""

    def mispriced(self, path: str, expected: float, charged: float) -> None:
        """The server charged something else than was worked out beforehand; said once per path."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Totals since the client was made: requests sent, bucket units, seconds waited for the limiter, repeated tries."""

    requests: int = 0
    drips: float = 0.0
    waited: float = 0.0
    retries: int = 0


class RSeriesClient:
    """A reader of one account. Safe among threads.

    :param host: the API's origin, such as ``https://api.lightspeedapp.com``.
    :param account_id: ``None``: taken from the token, or asked for.
    :param attempts: tries of one request before a transient fault becomes an error.
    :param max_wait: seconds that one request may spend in 429 answers before :class:`LightspeedRateError`.
    :param base_path: where the API starts below the host.
    """

    def __init__(
        self,
        *,
        host: str,
        tokens: TokenSource,
        transport: Transport,
        account_id: str | None = None,
        clock: Clock | None = None,
        limiter: RateLimiter | None = None,
        random: Callable[[], float] = _random.random,
        events: ClientEvents | None = None,
        attempts: int = 6,
        max_wait: float = 900.0,
        base_path: str = BASE_PATH,
    ) -> None:
        self._host = host.rstrip("/")
        self._base_path = base_path
        self._tokens = tokens
        self._transport = transport
        self._account_id = account_id
        self._clock = clock or SystemClock()
        self.limiter = limiter or RateLimiter(self._clock, random=random)
        self._random = random
        self._events = events
        self._attempts = attempts
        self._max_wait = max_wait
        self._server_ahead: timedelta | None = None
        self._lock = threading.Lock()
        self._usage = Usage()
        #: What the server charges, by path and price, where that differs from what was worked out.
        self._charged: dict[tuple[str, float], float] = {}

    @property
    def account_id(self) -> str:
        """The account: as given, else by the token, else by asking the API once."""
        if self._account_id is None:
            self._account_id = self._tokens.token().account_id or self._ask_account()
        return self._account_id

    @property
    def scope(self) -> tuple[str, ...]:
        """The access scopes of the token; empty if it does not say."""
        return self._tokens.token().scope

    def _ask_account(self) -> str:
        body = self.get("/Account", cost=1.0)
        account = body.get("Account")
        found = account.get("accountID") if isinstance(account, Mapping) else body.get("accountID")
        if not found:
            raise ProtocolViolation("Account.json names no accountID")
        return str(found)

    @property
    def usage(self) -> Usage:
        """Running totals."""
        with self._lock:
            usage = self._usage
        return Usage(usage.requests, usage.drips, self.limiter.waited, usage.retries)

    def bucket(self) -> BucketSnapshot:
        """Return the bucket's present estimate."""
        return self.limiter.snapshot()

    def server_now(self) -> datetime:
        """Return the server's time: this clock, corrected by the last reply's ``Date``, if there was one."""
        return self._clock.now() + (self._server_ahead or timedelta())

    def url(self, path: str, *, base_path: str | None = None) -> str:
        """Return the list URL of a path relative to the account, or, with a leading slash, to the API."""
        base = self._base_path if base_path is None else base_path
        inner = path.lstrip("/") if path.startswith("/") else f"Account/{self.account_id}/{path}"
        return f"{self._host}{base}/{inner}.json"

    def pages(
        self,
        path: str,
        *,
        envelope: str,
        filters: Filters | None = None,
        relations: Sequence[str] = (),
        relations_cost: float = 0.0,
        sort: str | None = None,
        archived: str | None = None,
        limit: int | None = PAGE_SIZE,
        params: Mapping[str, str] | None = None,
        base_path: str | None = None,
        timeout: float | None = None,
    ) -> Iterator[Page]:
        """Yield the pages of a list, in order, each requested when it is asked for.

        :param path: ``Sale`` or ``Item/12/Image``, relative to the account.
        :param envelope: the key that holds the records.
        :param relations_cost: bucket units that ``relations`` add to each request.
        :param timeout: seconds to wait for the next byte of an answer; ``None``: the transport's own.
        :raises LightspeedError: see ``exceptions``; pages yielded so far are then not the whole.
        """
        cost = request_cost(relations=relations_cost, filters=filters)
        first = build_url(
            self.url(path, base_path=base_path),
            filters=filters,
            relations=relations,
            sort=sort,
            archived=archived,
            limit=limit,
            params=params,
        )
        cursor = Cursor(first, prefix=_prefix(first))
        index, beginnings = 0, Beginnings()
        while url := cursor.url:
            waited = self.limiter.waited_here
            began = self._clock.monotonic()
            body = self._read(url, cost, page=index + 1, timeout=timeout)
            seconds = self._clock.monotonic() - began - (self.limiter.waited_here - waited)
            records, next_url = records_of(body, envelope), cursor.advance(body)
            beginnings.check(path, records)
            yield Page(url, index, records, next_url, self._price(url, cost), max(0.0, seconds))
            index += 1

    def get(self, path: str, *, cost: float = 1.0, base_path: str | None = None) -> dict[str, Any]:
        """Return one answer as decoded JSON."""
        return self._read(self.url(path, base_path=base_path), cost)

    def count(self, path: str, *, filters: Filters | None = None, archived: str | None = None) -> int:
        """Return how many records a list has; costs 10 units.

        :raises ProtocolViolation: the answer has no count.
        """
        url = build_url(self.url(path), filters=filters, archived=archived, count=True)
        attributes = self._read(url, request_cost(count=True)).get("@attributes")
        try:
            return int(attributes["count"])  # type: ignore[index]
        except (KeyError, TypeError, ValueError):
            raise ProtocolViolation(f"the count of {path} is missing from the answer", path=path) from None

    def _read(self, url: str, cost: float, *, page: int | None = None, timeout: float | None = None) -> dict[str, Any]:
        """Send until the table says deliver.

        :param page: the page's number, from 1, for errors.
        """
        attempt, rate_waited, refused = 0, 0.0, list[Token]()
        before: Reply | Unreachable | None = None
        while True:
            reply, wait, token = self._send(url, cost, timeout)
            decision = decide(reply)
            if decision.action is Action.DELIVER:
                assert decision.body is not None
                self._tokens.used(token)
                return decision.body
            if decision.action is Action.REFRESH and len(refused) < MOST_REFUSALS and token not in refused:
                # Another token than the one refused before may have died on its way: of age, or by a rotation elsewhere.
                refused.append(token)
                self._tokens.refused(token)
                continue
            if decision.action is Action.WAIT:
                rate_waited += wait or 0.0
                if rate_waited > self._max_wait:
                    raise self._error(decision, url, reply, page=page, cls=LightspeedRateError, retry_after=wait)
                continue
            attempt += 1
            is_repeated = not decision.is_transient and _is_same(reply, before)
            before = reply
            if decision.action is not Action.RETRY or attempt >= self._attempts or is_repeated:
                raise self._error(decision, url, reply, page=page, attempts=attempt, is_repeated=is_repeated)
            self._pause(decision, url, attempt, wait)

    def _price(self, url: str, cost: float) -> float:
        """Return what such a request really costs."""
        return self._charged.get((urlsplit(url).path, cost), cost)

    def _count(self, *, requests: int = 0, drips: float = 0.0, retries: int = 0) -> None:
        with self._lock:
            usage = self._usage
            self._usage = Usage(usage.requests + requests, usage.drips + drips, 0.0, usage.retries + retries)

    def _check_price(self, url: str, cost: float, charged: float) -> None:
        path = urlsplit(url).path
        if abs(charged - self._price(url, cost)) < 1e-6:
            return
        is_news = (path, cost) not in self._charged
        self._charged[path, cost] = charged
        if is_news and self._events:
            self._events.mispriced(path, cost, charged)

    @sealed
    def _send(self, url: str, cost: float, timeout: float | None) -> tuple[Reply | Unreachable, float | None, Token]:
        """Wait for the limiter, take the token, send: a wait may outlast a token, so it is taken last."""
        ticket = self.limiter.acquire(self._price(url, cost))
        try:
            token = self._tokens.token()
        except BaseException:
            self.limiter.lost(ticket)
            raise
        try:
            reply = self._transport.send(Request("GET", url, _headers(token), timeout=timeout))
        except Unreachable as error:
            self._count(requests=1, drips=ticket.cost)
            self.limiter.lost(ticket)
            return error, None, token
        now = self._clock.now()
        date = server_time(OAuthReply(reply.status, reply.headers, b""))
        if date is not None:
            self._server_ahead = date - now
        asked = retry_after(reply.headers.get("Retry-After"), date or now)
        rate = RateHeaders.parse(reply.headers)
        if reply.status == 429:
            wait = max(asked or 1.0, 1.0)
            self._count(requests=1)
            if rate.limiter is None and _BURST in reply.body.lower():
                rate = replace(rate, limiter="api-burst-limiter")
            self.limiter.refused(ticket, rate, wait)
            return reply, wait, token
        self._count(requests=1, drips=ticket.cost if rate.cost is None else rate.cost)
        if rate.cost is not None and reply.status == 200:
            self._check_price(url, cost, rate.cost)
        self.limiter.observe(ticket, rate)
        return reply, asked, token

    def _pause(self, decision: Decision, url: str, attempt: int, asked: float | None) -> None:
        wait = backoff(attempt, self._random, asked=min(asked, self._max_wait) if asked else None)
        self._count(retries=1)
        if self._events:
            self._events.retrying(RetryDetails(urlsplit(url).path, attempt, wait, decision.reason))
        self._clock.sleep(wait)

    @staticmethod
    def _error(
        decision: Decision,
        url: str,
        reply: Reply | Unreachable,
        *,
        page: int | None = None,
        is_repeated: bool = False,
        cls: type[LightspeedError] | None = None,
        **facts: Any,
    ) -> LightspeedError:
        parts = urlsplit(url)
        status = None if isinstance(reply, Unreachable) else reply.status
        tries = f" after {facts['attempts']} tries" if facts.get("attempts", 0) > 1 else ""
        where = f"; on page {page}" if page else ""
        repeated = "; the same answer came twice, byte for byte, so it was not asked for again" if is_repeated else ""
        msg = f"GET {parts.path}{tries}: {decision.reason}{where}{repeated}"
        address = f"{parts.scheme}://{parts.netloc}{parts.path}"
        facts |= {"page": page, "offset": decision.offset, "said": decision.said}
        facts["is_permission"] = decision.action is Action.FAIL and decision.error is AccessDenied
        return (cls or decision.error)(msg, status=status, url=address, **facts)


def _headers(token: Token) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token.access_token.reveal()}", "Accept": "application/json"}


def _is_same(reply: Reply | Unreachable, before: Reply | Unreachable | None) -> bool:
    """Whether two answers in a row are the same, byte for byte: then a third would be too."""
    if not isinstance(reply, Reply) or not isinstance(before, Reply):
        return False
    return (reply.status, reply.body) == (before.status, before.body)


def _prefix(url: str) -> str:
    """The path below which a chain of pages has to stay: the account's, where there is one."""
    path = urlsplit(url).path
    head, account, rest = path.partition("/Account/")
    if account and "/" in rest:
        return f"{head}{account}{rest.split('/', 1)[0]}/"
    return path.rsplit("/", 1)[0] + "/"
