"""Every parser of the core is given bodies of every kind. Nothing but this package's own errors may come out."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import strategies as st

from airflow_provider_lightspeed.arrow.convert import Lineage, RecordConverter
from airflow_provider_lightspeed.arrow.paged import PageConverter
from airflow_provider_lightspeed.auth.flow import OAuthReply, parse_redirect, parse_revoke, parse_token, retry_after
from airflow_provider_lightspeed.auth.token import claims
from airflow_provider_lightspeed.client.decision import decide
from airflow_provider_lightspeed.client.pagination import Beginnings, Cursor, records_of
from airflow_provider_lightspeed.client.query import build_url, request_cost
from airflow_provider_lightspeed.client.rate_headers import RateHeaders
from airflow_provider_lightspeed.client.transport import Reply
from airflow_provider_lightspeed.lake.paths import check_path
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.resources.catalog import resource
from airflow_provider_lightspeed.settings import HostPolicy, read_settings
from tests.support.fakes import NOON
from tests.support.fuzz import BODIES, bodies_of, damaged, fuzz, objects, scalars, texts, values

Record = Callable[[str, object], None]

HEADERS: Final = ("Date", "Retry-After", "X-LS-API-Bucket-Level", "X-LS-API-Drip-Rate", "x-ls-api-burst-level")
PREFIX: Final = "/API/V3/Account/7/"
FIRST: Final = f"https://api.lightspeedapp.com{PREFIX}Sale.json?limit=100"
PAIR: Final = {"access_token": "a.b.c", "refresh_token": "r", "expires_in": 3600, "token_type": "Bearer"}
ERROR: Final = {"error": "invalid_grant", "error_description": "revoked", "hint": "Token has been revoked"}
PAGE: Final = {"@attributes": {"next": f"{FIRST}&after=x", "previous": ""}, "Sale": [{"saleID": "1", "total": "2.50"}]}
LINEAGE: Final = Lineage("7", datetime(2026, 3, 10, tzinfo=UTC), None, None)

headers = st.dictionaries(st.sampled_from(HEADERS), texts, max_size=4)
statuses = st.sampled_from([200, 204, 302, 400, 401, 403, 404, 422, 429, 500, 502, 503, 599])


@BODIES
def test_settings(bodies: int, record_property: Record) -> None:
    """A connection's fields, of any type and with any text."""
    policy = HostPolicy.parse("http://127.0.0.1:*,*.lightspeedapp.com")
    extra = objects("auth_url", "account_id", "scope", "refresh_token")
    good = {"login": "id", "password": "secret", "host": None, "port": None}
    fields = objects(*good).map(lambda found: {**good, **{key: found[key] for key in good if key in found}})

    def read(found: tuple[dict[str, Any], dict[str, Any]]) -> None:
        settings = read_settings("ls", extra=found[1], policy=policy, **found[0])
        for text in (settings.client_id, settings.client_secret.reveal(), settings.refresh_token.reveal()):
            assert text.isprintable()
        settings.refresh_token.fingerprint()

    fuzz(read, st.tuples(fields, extra), bodies, record_property)


@BODIES
def test_host_policy(bodies: int, record_property: Record) -> None:
    """Any list of allowed hosts, any URL."""
    lists = texts | st.lists(texts, max_size=4).map(",".join)
    urls = texts | damaged(b"https://api.lightspeedapp.com:443/a").map(lambda url: url.decode(errors="surrogateescape"))
    fuzz(
        lambda found: HostPolicy.parse(found[0]).check("host", found[1]),
        st.tuples(lists, urls),
        bodies,
        record_property,
    )


@BODIES
def test_pasted_redirect(bodies: int, record_property: Record) -> None:
    """What a person pastes after the consent."""
    good = b"https://x.example/lightspeed/callback?code=c&state=s"
    urls = texts | damaged(good).map(lambda url: url.decode(errors="surrogateescape"))
    errors = st.tuples(texts, texts).map(lambda two: f"?error={two[0]}&error_description={two[1]}")
    fuzz(lambda url: parse_redirect(url, expected_state="s"), urls | errors, bodies, record_property)


replies = st.builds(OAuthReply, statuses, headers, bodies_of(PAIR) | bodies_of(ERROR))


@BODIES
def test_token_answer(bodies: int, record_property: Record) -> None:
    """Whatever the token endpoint answers."""
    fuzz(lambda reply: parse_token(reply, now=NOON), replies, bodies, record_property)


@BODIES
def test_revoke_answer(bodies: int, record_property: Record) -> None:
    """Whatever the revoke endpoint answers."""
    fuzz(lambda reply: parse_revoke(reply, now=NOON), replies, bodies, record_property)


@BODIES
def test_retry_after(bodies: int, record_property: Record) -> None:
    """Seconds, dates, and all else: a number of seconds, or nothing."""

    def read(value: str | None) -> None:
        found = retry_after(value, NOON)
        assert found is None or found >= 0

    dates = damaged(b"Tue, 10 Mar 2026 12:00:00 GMT").map(lambda text: text.decode(errors="replace"))
    fuzz(read, st.none() | texts | dates, bodies, record_property)


@BODIES
def test_token_claims(bodies: int, record_property: Record) -> None:
    """What an access token says of itself."""
    payloads = bodies_of({"exp": 1, "acct": 7, "scope": "a b"})
    tokens = payloads.map(lambda payload: f"eyJ.{base64.urlsafe_b64encode(payload).decode()}.x")
    fuzz(
        lambda text: claims(Secret(text)),
        tokens | texts | texts.map(lambda text: f"a.{text}.b"),
        bodies,
        record_property,
    )


@BODIES
def test_rate_headers(bodies: int, record_property: Record) -> None:
    """Levels, sizes and drips in any spelling."""
    fuzz(RateHeaders.parse, headers | st.dictionaries(texts, texts, max_size=3), bodies, record_property)


@BODIES
def test_verdict_on_an_answer(bodies: int, record_property: Record) -> None:
    """Whatever the API answers, there is a row of the table for it."""
    answers = st.builds(Reply, statuses, headers, bodies_of(PAGE) | bodies_of({"message": "x", "httpCode": "403"}))
    fuzz(decide, answers, bodies, record_property)


@BODIES
def test_page_of_a_list(bodies: int, record_property: Record) -> None:
    """Links, envelopes and records of an answer that is JSON."""
    links = texts | damaged(f"{FIRST}&after=x".encode()).map(lambda link: link.decode(errors="surrogateescape"))

    def pages(body: Any, link: Any) -> Any:
        return {**body, "@attributes": {"next": link}} if isinstance(body, dict) else {"Sale": body}

    def read(body: dict[str, Any]) -> None:
        following = Cursor(FIRST, prefix=PREFIX).advance(body)
        assert following is None or following.startswith("https://")
        Beginnings().check("/Sale", records_of(body, "Sale"))

    made = st.builds(pages, objects("Sale", "@attributes") | values, links | scalars)
    fuzz(read, made | objects("Sale", "@attributes"), bodies, record_property)


@BODIES
def test_filters(bodies: int, record_property: Record) -> None:
    """Conditions as operator arguments and templates give them."""
    conditions = values | st.tuples(st.sampled_from([">=", "><", "IN", "~", "<>", ""]), texts).map(",".join)
    moments = st.datetimes(timezones=st.none() | st.just(UTC))
    filters = objects("total", "or", "SaleLines.unitPrice", like=conditions | moments)

    def read(found: dict[str, Any]) -> None:
        build_url("https://api.example/API/V3/Account/7/Sale.json", filters=found).encode("ascii")
        request_cost(filters=found)

    fuzz(read, filters, bodies, record_property)


@BODIES
def test_paths(bodies: int, record_property: Record) -> None:
    """Where a dataset is to lie."""
    urls = damaged(b"s3://conn_id@bucket/key/name").map(lambda text: text.decode(errors="surrogateescape"))
    fuzz(check_path, values | urls, bodies, record_property)


FIELDS: Final = (
    "vendorID",
    "name",
    "archived",
    "timeStamp",
    "shareSellThrough",
    "purchasingCurrency",
    "Reps",
    "Unknown",
)
REPS: Final = objects("VendorRep", "firstName", "lastName")
RECORDS: Final = st.lists(objects(*FIELDS, like=values | REPS | st.lists(REPS, max_size=2)), max_size=3)


@BODIES
def test_records_become_columns(bodies: int, record_property: Record) -> None:
    """Whatever a record holds goes into its column or into ``_extra``, the quick way and the careful way alike."""
    vendor, relations = resource("Vendor"), ("Reps",)
    careful = RecordConverter(vendor, relations, lineage=LINEAGE)
    quick = PageConverter(vendor, relations, lineage=LINEAGE)

    def read(records: list[dict[str, Any]]) -> None:
        quick.take(records)
        assert quick.flush().num_rows == careful.convert(records).num_rows == len(records)

    # Numbers as JSON's readers give them, for those of a reply go through one.
    fuzz(read, RECORDS.map(_as_decoded), bodies, record_property)


def _as_decoded(records: Any) -> Any:
    """Return records as a reply's body gives them."""
    from airflow_provider_lightspeed.client.decoding import Undecodable, decode

    try:
        return decode(json.dumps(records).encode())
    except (Undecodable, ValueError):
        return []


@pytest.mark.parametrize("error", [TypeError, UnicodeEncodeError, RecursionError, OverflowError])
def test_foreign_error_fails_the_fuzzing(error: type[Exception], record_property: Record) -> None:
    """Else these tests would prove nothing."""

    def parse(_: Any) -> None:
        if error is UnicodeEncodeError:
            "\ud800".encode()
        raise error

    with pytest.raises(error):
        fuzz(parse, st.just(b""), 1, record_property)
