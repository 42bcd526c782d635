"""Consents under way, as values."""

from __future__ import annotations

import pytest

pytest.importorskip("airflow")
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.tokens.attempts import (
    Attempt,
)
from tests.support.fakes import make_token

VERIFIER = "verifier-that-nobody-may-read"


DESTINATION = ("https://api.example", "https://auth.example", "client")


def test_nothing_secret_shows_in_an_attempt() -> None:
    """Not in a traceback either."""
    attempt = Attempt(
        "shop", "ann", "Ann", "row:1", DESTINATION, Secret(VERIFIER), make_token().expires_at, make_token()
    )
    assert not any(secret in repr(attempt) for secret in (VERIFIER, "access-1", "refresh-1"))
