"""Registered clients."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_lightspeed.simulator.oauth import AuthorizationServer

Make = Callable[..., AuthorizationServer]


@pytest.mark.parametrize(
    ("uri", "fine"),
    [
        ("https://airflow.example.com/lightspeed/callback", True),
        ("http://localhost:8080/back", True),
        ("http://127.0.0.1/back", True),
        ("http://airflow.example.com/back", False),
        ("airflow", False),
    ],
)
def test_redirect_uri_must_be_https_unless_loopback(oauth: Make, uri: str, fine: bool) -> None:
    """Page "API clients": the URI must be https; loopback is for tests."""
    server = oauth()
    if fine:
        assert server.register("new", "s", uri).redirect_uri == uri
    else:
        with pytest.raises(ValueError, match="https"):
            server.register("new", "s", uri)
