"""Connections as Airflow hands them over: every reader of one takes the same fields."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed.exceptions import InvalidArgument
from airflow_provider_lightspeed.tokens.home import settings_of


def connection(**changes: Any) -> Any:
    """Return a connection as the ORM and the Task SDK have it."""
    fields = {"conn_id": "ls", "login": "id", "password": "secret", "host": None, "port": None, "extra": None}
    return SimpleNamespace(**fields | changes)


def test_port_of_the_connection_is_read() -> None:
    """From the row, an ``AIRFLOW_CONN_`` variable, or a secrets backend."""
    assert settings_of(connection(port=8443)).host == "https://api.lightspeedapp.com:8443"
    assert settings_of(connection(port=0, extra="null")).host == "https://api.lightspeedapp.com"


@pytest.mark.parametrize("extra", ["refresh_token=hidden", '["hidden"]', '"hidden"', "7"])
def test_extra_that_is_no_object_is_refused_by_name(extra: str) -> None:
    """Without what stood there: it may be a secret."""
    with pytest.raises(InvalidArgument, match="connection 'ls', extra: it is no JSON object") as caught:
        settings_of(connection(extra=extra))
    assert "hidden" not in str(caught.value)
    assert "hidden" not in repr(caught.value.fields)
