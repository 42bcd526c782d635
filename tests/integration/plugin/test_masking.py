"""The API server's log masker stays small, however often tokens rotate and whoever looks at them."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("airflow.sdk")

from airflow_provider_lightspeed.auth.ledger import Ledger
from airflow_provider_lightspeed.compat import connection_masker, new_session
from airflow_provider_lightspeed.plugin.masking import MOST
from airflow_provider_lightspeed.tokens import copies
from airflow_provider_lightspeed.tokens.companion import LEDGER_TYPE, ledger_id
from tests.support.visits import Site

Connect = Callable[..., str]


@pytest.fixture
def masker(site: Site, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Airflow's masker as an API server has it: it masks what it is told to."""
    found = connection_masker()
    monkeypatch.setattr(found, "hide_sensitive_var_conn_fields", True, raising=False)
    monkeypatch.setattr(found, "sensitive_variables_fields", ["token", "password"], raising=False)
    return found


def rotate(conn_id: str, number: int) -> None:
    """Store another pair, as a refresh does."""
    from airflow.models.connection import Connection
    from airflow.models.crypto import get_fernet
    from sqlalchemy import update

    pair = {"access_token": f"eyJ{secrets.token_urlsafe(300)}", "refresh_token": f"refresh-{number}-{conn_id}"}
    extras = {
        conn_id: {"refresh_token": pair["refresh_token"]},
        ledger_id(conn_id): {"version": 1, "token": pair, "sibling_tokens": [f"sibling-{number}-{conn_id}"]},
    }
    session, table = new_session(), Connection.__table__
    for name, extra in extras.items():
        encrypted = get_fernet().encrypt(json.dumps(extra).encode()).decode()
        session.execute(update(table).where(table.c.conn_id == name).values(extra=encrypted))
    session.commit()
    session.close()


def store_companion(conn_id: str) -> None:
    """Store a companion connection without a ledger."""
    from airflow.models.connection import Connection
    from sqlalchemy import insert

    session = new_session()
    values = {
        "conn_id": ledger_id(conn_id),
        "conn_type": LEDGER_TYPE,
        "is_extra_encrypted": True,
        "is_encrypted": False,
    }
    session.execute(insert(Connection.__table__).values(values))
    session.commit()
    session.close()


def test_masker_learns_and_compiles_nothing_from_rotated_tokens(masker: Any, connection: Connect) -> None:
    """Tasks read two connections through 100 rotations each; Airflow registers every secret that it hands out."""
    from airflow.api_fastapi.execution_api.routes.connections import get_connection

    names = [connection("shop_a"), connection("shop_b")]
    for name in names:
        store_companion(name)
        get_connection(name, None)
    before, compiled = len(masker.patterns), masker.replacer
    for number in range(100):
        for name in names:
            rotate(name, number)
            assert get_connection(ledger_id(name), None).extra
            assert f"refresh-{number}-{name}" in str(get_connection(name, None).extra)
    assert len(masker.patterns) <= before + MOST
    assert masker.replacer is compiled


def test_masker_still_learns_the_secrets_of_other_connections(masker: Any, connection: Connect) -> None:
    """Only tokens of this provider's rows are held back; a password of any connection is masked in the log."""
    from airflow.api_fastapi.execution_api.routes.connections import get_connection
    from airflow.models.connection import Connection

    connection("shop", password="a-client-secret")
    connection("other", extra={"api_token": "somebody-elses"})
    session = new_session()
    session.query(Connection).filter_by(conn_id="other").update({"conn_type": "http"})
    session.commit()
    session.close()
    for name in ("shop", "other"):
        get_connection(name, None)
    assert masker.redact("a-client-secret somebody-elses") == "*** ***"


def test_list_of_variables_does_not_teach_the_masker_the_copies(masker: Any, connection: Connect) -> None:
    """A person looks at Airflow's variables after each of 30 rotations."""
    from airflow.models.variable import Variable

    name = connection("shop_c")
    before, compiled = len(masker.patterns), masker.replacer
    session = new_session()
    for number in range(30):
        copies.append(session, name, copies.Copy(Ledger(generation=number + 1)))
        session.commit()
        assert [row.val for row in session.query(Variable).all() if name in row.key]
        session.expunge_all()
    session.close()
    assert len(masker.patterns) <= before + MOST
    assert masker.replacer is compiled
