"""Every parser that stands beside Airflow is given bodies of every kind. Only this package's own errors may come out."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import pytest

pytest.importorskip("airflow")

from hypothesis import strategies as st

from airflow_provider_lightspeed.auth.ledger import Account
from airflow_provider_lightspeed.cli import main
from airflow_provider_lightspeed.plugin.views import Card, newest_bucket
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.tokens import attempts
from airflow_provider_lightspeed.tokens.asker import Asker
from airflow_provider_lightspeed.tokens.create import NewConnection
from airflow_provider_lightspeed.tokens.home import find
from airflow_provider_lightspeed.tokens.status import Status
from tests.support.fuzz import BODIES, bodies_of, damaged, fuzz, objects, texts, values

Record = Callable[[str, object], None]

ATTEMPT: Final = {"consent": '{"conn_id": "shop"}', "signature": "0" * 64}
EVENT: Final = {
    "bucket_level": 1.0,
    "bucket_size": 60.0,
    "bucket_drip": 1.0,
    "bucket_seen_at": "2026-03-10T12:00:00+00:00",
}
CLAIM: Final = {"seen": "a" * 64, "refused": True, "used": False, "by": {"dag_id": "d", "task_id": "t", "map_index": 1}}
CONNECTION: Final = {"conn_type": "lightspeed", "login": "id", "password": "p", "host": "", "port": 443, "extra": {}}


@BODIES
def test_consent_state(bodies: int, record_property: Record) -> None:
    """What lies in the database under a consent's key."""
    found = bodies_of(ATTEMPT).map(lambda body: body.decode(errors="surrogateescape"))
    fuzz(lambda text: attempts.parse("key", text), found | texts, bodies, record_property)


@BODIES
def test_state_in_a_pasted_url(bodies: int, record_property: Record) -> None:
    """It becomes the key that is looked for."""
    urls = damaged(b"https://x.example/callback?code=c&state=s").map(lambda url: url.decode(errors="surrogateescape"))
    fuzz(lambda url: attempts.state_of(url).fingerprint(), texts | urls, bodies, record_property)


@BODIES
def test_labels_of_a_claim(bodies: int, record_property: Record) -> None:
    """Labels that stand in logs and in the event log, whatever is sent."""

    def read(found: Any) -> None:
        asker = Asker.parse(found)
        assert str(asker).isprintable()
        str(asker).encode()

    fuzz(read, values | objects("dag_id", "task_id", "run_id", "user", "map_index"), bodies, record_property)


@BODIES
def test_new_connections_form(bodies: int, record_property: Record) -> None:
    """The fields of the page's form, as a browser or somebody else posts them."""
    fields = st.dictionaries(
        st.sampled_from(["conn_id", "client_id", "host", "auth_url"]),
        texts | st.just("shop"),
        max_size=4,
    )
    scopes = st.lists(st.just("employee:all") | texts, max_size=3).map(tuple)
    good = {"conn_id": "shop", "client_id": "id"}
    secrets = (st.just("secret") | texts).map(Secret)
    made = st.tuples(fields.map(lambda found: good | found), secrets, st.just(("employee:all",)) | scopes)
    fuzz(lambda found: NewConnection.read(*found), made, bodies, record_property)


@BODIES
def test_bucket_of_an_asset_event(bodies: int, record_property: Record) -> None:
    """Whoever may create asset events decides what is in them."""
    status = Status("shop", source="metadata database")

    def read(event: Any) -> None:
        Card.of(newest_bucket(status, event), may_edit=True)

    changed = objects(*EVENT).map(lambda found: {**EVENT, **found})
    fuzz(read, changed | values, bodies, record_property)


@BODIES
def test_status_becomes_a_card(bodies: int, record_property: Record) -> None:
    """Whatever a ledger says, it is text on the page."""
    moments = st.none() | st.datetimes(timezones=st.just(UTC))
    numbers = st.none() | st.floats(allow_nan=True)
    statuses = st.builds(
        Status,
        texts,
        account_name=texts,
        scope=texts,
        token=st.sampled_from(["none", "fresh", "stale", "expired"]),
        expires_at=moments,
        refreshed_at=moments,
        lapses_at=moments,
        bucket=st.builds(Account, texts, numbers, numbers, numbers, moments),
        attention=st.lists(texts, max_size=2).map(tuple),
    )

    def read(status: Status) -> None:
        card = Card.of(status, may_edit=True, now=datetime(2026, 3, 10, tzinfo=UTC))
        assert all(
            isinstance(text, str) for text in (card.expires, card.lapses, card.refreshed, card.bucket, *card.scopes)
        )
        dataclasses.asdict(status)

    fuzz(read, statuses, bodies, record_property)


class NoRow:
    """A database without the connection."""

    def scalar(self, _: Any) -> None:
        return None


@BODIES
def test_connection_from_the_environment(bodies: int, record_property: Record) -> None:
    """``AIRFLOW_CONN_`` variables: URIs and JSON, whatever deploy tools write."""
    uri = b"lightspeed://id:secret@https%3A%2F%2Fapi.lightspeedapp.com/?refresh_token=r&account_id=7"
    jsons = bodies_of(CONNECTION).map(lambda body: body.decode(errors="surrogateescape"))
    uris = damaged(uri).map(lambda text: text.decode(errors="surrogateescape"))
    extras = values.map(lambda value: json.dumps({**CONNECTION, "extra": value}))

    def read(value: str) -> None:
        os.environ["AIRFLOW_CONN_FUZZED"] = (
            value.replace("\0", "").encode(errors="surrogateescape").decode("utf-8", "replace")
        )
        try:
            find(NoRow(), "fuzzed")  # type: ignore[arg-type]
        finally:
            del os.environ["AIRFLOW_CONN_FUZZED"]

    texts_of_systems = texts.map(lambda text: text.encode(errors="replace").decode())
    fuzz(read, jsons | uris | extras | texts_of_systems, bodies, record_property)


@BODIES
def test_arguments_of_a_command(bodies: int, record_property: Record) -> None:
    """They end with a result, or with one line on standard error."""
    names = st.sampled_from(["Sale", "sale", "Vendor", "Nothing", ""]) | texts
    columns = st.lists(st.sampled_from(["saleID", "total", "SaleLines", "Reps.firstName"]) | texts, max_size=3).map(
        ",".join
    )
    flags = st.dictionaries(
        st.sampled_from(["--columns", "--exclude-columns", "--hash-columns", "--relations", "--prefix", "--naming"]),
        columns,
    )

    def run(found: tuple[str, dict[str, str]]) -> None:
        name, options = found
        arguments = [f"{flag}={value}" for flag, value in options.items()]
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            main(["sql", "--dialect=duckdb", "--statement=ddl", *arguments, "--", name])

    fuzz(run, st.tuples(names, flags), bodies, record_property, allowed=(SystemExit,))


class Sent:
    """A request with this body."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def stream(self) -> Any:
        yield self._body


@BODIES
def test_body_of_a_claim(bodies: int, record_property: Record) -> None:
    """What stands in a request to the refresh trigger."""
    claim = pytest.importorskip("airflow_provider_lightspeed.plugin.refresh", exc_type=ImportError).claim
    fuzz(lambda body: asyncio.run(claim(Sent(body))), bodies_of(CLAIM), bodies, record_property)


@BODIES
def test_fields_of_a_form(bodies: int, record_property: Record) -> None:
    """What a browser, or somebody else, posts to the page."""
    posted = pytest.importorskip("airflow_provider_lightspeed.plugin.auth", exc_type=ImportError).posted
    forms = damaged(b"form_token=x&conn_id=shop&scope=a&scope=b&redirected=%ff") | st.binary(max_size=100)
    fuzz(lambda body: asyncio.run(posted(Sent(body))), forms, bodies, record_property)
