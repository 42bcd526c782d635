"""The client between the table and the wire: retries, 401, 429, pages, server time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_lightspeed.auth.token import Token
from airflow_provider_lightspeed.client.rest import MOST_REFUSALS, RetryDetails, RSeriesClient
from airflow_provider_lightspeed.client.transport import Reply
from airflow_provider_lightspeed.exceptions import (
    AccessDenied,
    LightspeedRateError,
    ProtocolViolation,
    RequestRefused,
    ServerFault,
    Unreachable,
)
from tests.support.fakes import NOON, FakeClock, Scripted, ScriptedTransport, json_reply, make_token

GOOD = json_reply({"@attributes": {}, "Sale": [{"saleID": "1"}]})


class Tokens:
    """Counts refusals; each brings the next token."""

    def __init__(self) -> None:
        self.current = 1

    def token(self) -> Token:
        return make_token(str(self.current))

    def refused(self, token: Token) -> Token:
        self.current += 1
        return self.token()

    def used(self, token: Token) -> None:
        """Nothing follows from it here."""


class Unchanging(Tokens):
    """Has no other."""

    def refused(self, token: Token) -> Token:
        return token


class Events:
    """Remembers retries, and prices that were wrong."""

    def __init__(self) -> None:
        self.seen: list[RetryDetails] = []
        self.prices: list[tuple[str, float, float]] = []

    def mispriced(self, path: str, expected: float, charged: float) -> None:
        self.prices.append((path, expected, charged))

    def retrying(self, details: RetryDetails) -> None:
        self.seen.append(details)


class Setting:
    """A client over scripted replies."""

    def __init__(self, *replies: Scripted, **options: Any) -> None:
        self.clock, self.transport, self.events = FakeClock(), ScriptedTransport(*replies), Events()
        self.client = RSeriesClient(
            host="https://api.example",
            tokens=Tokens(),
            transport=self.transport,
            clock=self.clock,
            random=lambda: 0.5,
            events=self.events,
            **options,
        )

    def read(self) -> list[Any]:
        return [record for page in self.client.pages("Sale", envelope="Sale") for record in page.records]

    @property
    def bearers(self) -> list[str]:
        return [request.headers["Authorization"] for request in self.transport.requests]


def test_transient_faults_are_survived_and_told() -> None:
    """Each kind once, in a row, with a growing pause between."""
    faults: list[Scripted] = [Unreachable("reset"), Reply(502, {}, b"<html>"), Reply(200, {}, b'{"Sale": [{"sa')]
    setting = Setting(*faults, GOOD)
    assert setting.read() == [{"saleID": "1"}]
    assert [event.attempt for event in setting.events.seen] == [1, 2, 3]
    assert setting.client.usage.retries == 3
    assert setting.clock.sleeps == sorted(setting.clock.sleeps)


def test_retries_end_with_the_last_fault_named() -> None:
    """After the allowed tries; the error knows how many there were."""
    setting = Setting(*[Reply(503, {}, b"")] * 3, attempts=3)
    with pytest.raises(ServerFault, match="after 3 tries: 503") as caught:
        setting.read()
    assert caught.value.status == 503
    assert "?" not in caught.value.url


@pytest.mark.parametrize("status", [400, 404, 422])
def test_refusals_are_not_repeated(status: int) -> None:
    """Asking again cannot help, and costs bucket units."""
    setting = Setting(json_reply({"message": "no"}, status))
    with pytest.raises(RequestRefused, match="no"):
        setting.read()
    assert len(setting.transport.requests) == 1


@pytest.mark.parametrize(
    "refusal",
    [json_reply({}, 401), json_reply({"message": "Access token has been revoked"}, 403)],
    ids=["401", "a1 403"],
)
def test_token_that_dies_on_its_way_is_replaced_again(refusal: Reply) -> None:
    """A short life, or a rotation elsewhere: each refused token deserves another, within bounds."""
    setting = Setting(refusal, refusal, GOOD)
    assert setting.read() == [{"saleID": "1"}]
    assert setting.bearers == ["Bearer access-1", "Bearer access-2", "Bearer access-3"]
    setting = Setting(*[refusal] * 9)
    with pytest.raises(AccessDenied, match="access token was refused"):
        setting.read()
    assert len(setting.transport.requests) == MOST_REFUSALS + 1


def test_token_that_is_refused_twice_is_not_sent_again() -> None:
    """Nothing newer is to be had, and a third time would answer the same."""
    setting = Setting(json_reply({}, 401), json_reply({}, 401))
    setting.client._tokens = Unchanging()
    with pytest.raises(AccessDenied, match="access token was refused"):
        setting.read()
    assert setting.bearers == ["Bearer access-1", "Bearer access-1"]


def test_rate_limit_is_waited_out_within_reason() -> None:
    """``Retry-After`` is obeyed; beyond ``max_wait`` it is an error that says how long."""
    limited = json_reply({}, 429, {"Retry-After": "20"})
    setting = Setting(limited, GOOD)
    setting.read()
    assert setting.clock.passed >= 20
    setting = Setting(*[limited] * 4, max_wait=50)
    with pytest.raises(LightspeedRateError) as caught:
        setting.read()
    assert caught.value.retry_after == 20


def test_rate_limit_does_not_use_up_the_tries() -> None:
    """Waiting is not failing."""
    setting = Setting(*[json_reply({}, 429, {"Retry-After": "1"})] * 10, GOOD, attempts=2)
    assert setting.read() == [{"saleID": "1"}]


def test_pages_are_read_in_order_and_each_once() -> None:
    """The first URL is ours, all others the server's."""
    link = "https://api.example/API/V3/Account/7/Sale.json?after=1"
    first = json_reply({"@attributes": {"next": link}, "Sale": [{"saleID": "1"}]})
    setting = Setting(first, json_reply({"@attributes": {"next": ""}, "Sale": {"saleID": "2"}}))
    assert [row["saleID"] for row in setting.read()] == ["1", "2"]
    assert [request.url for request in setting.transport.requests] == [
        "https://api.example/API/V3/Account/7/Sale.json?limit=100",
        link,
    ]


def test_foreign_link_gets_no_token() -> None:
    """Nothing is sent there at all."""
    link = "https://evil.example/API/V3/Account/7/Sale.json?after=1"
    setting = Setting(json_reply({"@attributes": {"next": link}, "Sale": [{"saleID": "1"}]}))
    with pytest.raises(ProtocolViolation):
        setting.read()
    assert len(setting.transport.requests) == 1


def test_server_time_corrects_this_machines_clock() -> None:
    """By the reply's ``Date``."""
    setting = Setting(json_reply({"Account": {"accountID": "7"}}, headers={"Date": "Tue, 10 Mar 2026 13:00:00 GMT"}))
    assert setting.client.server_now() == NOON
    setting.client.get("/Account")
    assert setting.client.server_now() == NOON + timedelta(hours=1)


def test_account_is_the_tokens_or_asked_for() -> None:
    """And an answer without one is an error."""
    assert Setting().client.account_id == "7"
    assert Setting(account_id="9").client.account_id == "9"


def test_count_costs_ten_and_is_a_number() -> None:
    """Or an error, never zero by default."""
    setting = Setting(json_reply({"@attributes": {"count": "12"}}), json_reply({"@attributes": {}}))
    assert setting.client.count("Sale") == 12
    assert setting.client.usage.drips == 10
    with pytest.raises(ProtocolViolation, match="count of Sale"):
        setting.client.count("Sale")


def test_no_request_or_error_shows_the_token() -> None:
    """Not even in a repr."""
    setting = Setting(Reply(404, {}, b"{}"))
    with pytest.raises(RequestRefused) as caught:
        setting.read()
    assert "access-1" not in repr(setting.transport.requests) + repr(caught.value) + repr(caught.value.fields)


def test_other_price_than_worked_out_is_said_once_and_learned() -> None:
    """The rules may change: what the server charges counts, for the totals and for the next request of that list."""
    dear = json_reply(
        {"@attributes": {}, "Sale": []}, headers={"X-LS-Api-Request-Cost": "2.5", "X-LS-Api-Bucket-Level": "2.5/90"}
    )
    setting = Setting(dear, dear)
    for _ in range(2):
        (page,) = setting.client.pages("Sale", envelope="Sale")
        assert page.cost == 2.5
    assert setting.events.prices == [("/API/V3/Account/7/Sale.json", 1.0, 2.5)]
    assert setting.client.usage.drips == 5.0


REVOKED = json_reply({"httpCode": "403", "httpMessage": "Forbidden", "message": "Access token has been revoked"}, 403)


def test_a1_revoked_token_is_replaced_and_the_read_goes_on() -> None:
    """It comes as a 403; where it goes on without end, the request ends with its cause."""
    setting = Setting(REVOKED, GOOD)
    assert setting.read() == [{"saleID": "1"}]
    assert setting.bearers == ["Bearer access-1", "Bearer access-2"]
    setting = Setting(*[REVOKED] * 9)
    with pytest.raises(AccessDenied, match="Access token has been revoked"):
        setting.read()
    assert len(setting.transport.requests) == MOST_REFUSALS + 1


def test_a2_missing_right_is_said_and_costs_no_refresh() -> None:
    """One request, one token."""
    setting = Setting(json_reply({"message": "You do not have permission to access this resource"}, 403))
    with pytest.raises(AccessDenied, match="You do not have permission") as caught:
        setting.read()
    assert caught.value.status == 403
    assert setting.bearers == ["Bearer access-1"]


def test_a12_try_again_later_is_retried_like_a_gateways_fault() -> None:
    """Though its words are the same each time."""
    later = json_reply({"message": "Please try again later."}, 400)
    assert Setting(*[later] * 5, GOOD).read() == [{"saleID": "1"}]


def test_token_is_taken_after_the_wait_for_the_limiter() -> None:
    """A wait may be longer than a token lives."""
    setting = Setting(json_reply({}, 429, {"Retry-After": "30"}), GOOD)
    tokens: Any = setting.client._tokens
    clock = setting.clock
    tokens.token = lambda: make_token("late" if clock.passed >= 30 else "early")
    setting.read()
    assert setting.bearers == ["Bearer access-early", "Bearer access-late"]


@pytest.mark.parametrize(
    "fault",
    [Reply(500, {}, b"oops"), Reply(200, {}, b'{"Sale": [{"saleID": "1"'), Reply(200, {}, b"<html>login</html>")],
)
def test_fault_that_repeats_itself_byte_for_byte_is_tried_twice(fault: Reply) -> None:
    """It is not transient; the error names the place."""
    setting = Setting(*[fault] * 6)
    with pytest.raises(
        ServerFault, match=r"Sale\.json after 2 tries: .*on page 1; the same answer came twice"
    ) as caught:
        setting.read()
    assert len(setting.transport.requests) == 2
    assert caught.value.page == 1


def test_fault_that_changes_is_tried_to_the_end() -> None:
    """Each time another half of the page: a connection that breaks off."""
    halves = [Reply(200, {}, b'{"Sale": [{"saleID": "1"'[: 20 - n]) for n in range(5)]
    assert Setting(*halves, GOOD).read() == [{"saleID": "1"}]


def test_undecodable_body_is_named_with_page_and_byte() -> None:
    """So that a person finds it."""
    link = "https://api.example/API/V3/Account/7/Sale.json?after=1"
    first = json_reply({"@attributes": {"next": link}, "Sale": [{"saleID": "1"}]})
    setting = Setting(first, *[Reply(200, {}, b'{"Sale": [{"saleID": "2", "note": \'x\'}]}')] * 2)
    with pytest.raises(ServerFault, match=r"not JSON at byte 34 .*on page 2") as caught:
        setting.read()
    assert (caught.value.page, caught.value.offset) == (2, 34)


def test_gateways_page_is_tried_to_the_end() -> None:
    """Its HTML never changes, and it goes away."""
    assert Setting(*[Reply(502, {}, b"<html>502</html>")] * 5, GOOD).read() == [{"saleID": "1"}]


def test_d1_walk_that_begins_anew_is_an_error() -> None:
    """A page that begins with the record of an earlier page: the server did not follow its own cursor."""
    link = "https://api.example/API/V3/Account/7/Sale.json?after={}"
    pages = [
        json_reply({"@attributes": {"next": link.format(n)}, "Sale": [{"saleID": "1"}, {"saleID": "2"}]})
        for n in (1, 2)
    ]
    with pytest.raises(ProtocolViolation, match="page 2 begins with the record"):
        Setting(*pages).read()


def test_d10_burst_limit_is_known_by_its_text_too() -> None:
    """A 429 without the header that names the limiter: then only the burst window is waited out."""
    burst = Reply(429, {}, b'{"message": "Burst rate limit exceeded"}')
    setting = Setting(burst, GOOD)
    assert setting.read() == [{"saleID": "1"}]
    assert setting.clock.passed < 5
    bucket = Setting(json_reply({"message": "Rate limit exceeded"}, 429), GOOD)
    bucket.read()
    assert bucket.clock.passed >= 10


def test_c11_time_out_of_a_list_reaches_the_transport() -> None:
    """Some lists take minutes."""
    setting = Setting(GOOD)
    list(setting.client.pages("Shipment", envelope="Sale", timeout=300.0))
    assert setting.transport.requests[0].timeout == 300.0
