"""Answers in the API's own dress."""

from __future__ import annotations

import json
from email.utils import parsedate_to_datetime
from xml.etree import ElementTree as ET

import pytest

from airflow_provider_lightspeed.simulator.errors import OAuthError
from airflow_provider_lightspeed.simulator.faults import Action, Fault
from airflow_provider_lightspeed.simulator.replies import (
    api_error_body,
    faulty_reply,
    gateway_page,
    json_reply,
    oauth_error,
    to_xml,
)


def test_header_names_keep_their_casing_and_the_date_is_the_clocks() -> None:
    """Starlette would fold the names; clients judge tokens by the date."""
    reply = json_reply(200, {"a": 1}, 1_800_000_000.0, {"X-LS-Api-Drip-Rate": "1.5"})
    headers = dict(reply.raw_headers)
    assert headers[b"X-LS-Api-Drip-Rate"] == b"1.5"
    assert headers[b"Content-Length"] == str(len(reply.body)).encode()
    assert parsedate_to_datetime(headers[b"Date"].decode()).timestamp() == 1_800_000_000.0


@pytest.mark.parametrize(
    ("error", "wait"), [(OAuthError.invalid_grant("x"), None), (OAuthError.limited([0.0], 30.0), b"30")]
)
def test_retry_after_comes_with_429_alone(error: OAuthError, wait: bytes | None) -> None:
    """And no answer of the OAuth server may be kept by a cache."""
    headers = dict(oauth_error(error, 0.0).raw_headers)
    assert headers.get(b"Retry-After") == wait
    assert headers[b"Cache-Control"] == b"no-store"


def test_api_errors_are_texts_with_escaped_slashes() -> None:
    """As recorded; newer recordings have no class."""
    body = api_error_body(404, "No such path /x")
    assert b"\\/x" in body
    assert json.loads(body) == {
        "httpCode": "404", "httpMessage": "Not Found", "message": "No such path /x", "errorClass": "Exception"
    }  # fmt: skip
    assert "errorClass" not in json.loads(api_error_body(404, "x", None))


def test_xml_says_what_the_json_says() -> None:
    """Attributes on the root, an element for each record."""
    body = b'{"@attributes": {"count": "2"}, "Sale": [{"saleID": "1"}, {"saleID": "2"}]}'
    root = ET.fromstring(to_xml(body))  # noqa: S314 - our own
    assert (root.tag, root.get("count")) == ("Sales", "2")
    assert [sale.findtext("saleID") for sale in root.findall("Sale")] == ["1", "2"]


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        (Fault(Action.STATUS, status=502), 502, gateway_page(502).decode()),
        (Fault(Action.STATUS, status=503, body="busy"), 503, "busy"),
        (Fault(Action.HTML), 200, "<html>"),
        (Fault(Action.UNAUTHORIZED), 401, "access_denied"),
        (Fault(Action.RATE_LIMITED), 429, "Rate limit exceeded."),
        (Fault(Action.TRY_LATER), 400, "Please try again later."),
    ],
)
def test_each_fault_has_its_answer(fault: Fault, status: int, text: str) -> None:
    """Without an answer from behind."""
    reply = faulty_reply(fault, None, 0.0)
    assert reply.status_code == status
    assert text in bytes(reply.body).decode()


def test_fault_that_works_on_an_answer_needs_one() -> None:
    """A slow answer is a good one."""
    good = json_reply(200, {}, 0.0)
    assert faulty_reply(Fault(Action.SLOW), good, 0.0) is good
    with pytest.raises(ValueError, match="needs an answer"):
        faulty_reply(Fault(Action.SLOW), None, 0.0)
