"""Errors of the OAuth server in its documented shape."""

from __future__ import annotations

import pytest

from airflow_provider_lightspeed.simulator.errors import OAuthError


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (OAuthError.invalid_request("x"), 400, "invalid_request"),
        (OAuthError.invalid_request("x", 405), 405, "invalid_request"),
        (OAuthError.invalid_client(401), 401, "invalid_client"),
        (OAuthError.invalid_grant("x"), 400, "invalid_grant"),
        (OAuthError.invalid_scope("employee:x"), 400, "invalid_scope"),
        (OAuthError.access_denied("x"), 401, "access_denied"),
    ],
)
def test_each_error_has_its_status_code_and_description(error: OAuthError, status: int, code: str) -> None:
    """A hint where there is one; no ``Retry-After`` but on 429."""
    body = error.body()
    assert (error.status, body["error"], error.retry_after) == (status, code, None)
    assert body["error_description"]
    assert ("hint" in body) == (error.hint is not None)


@pytest.mark.parametrize(("oldest", "now", "wait"), [(0.0, 0.0, 60), (0.0, 30.2, 30), (0.0, 59.99, 1), (0.0, 70.0, 1)])
def test_wait_ends_when_the_oldest_attempt_is_a_minute_old(oldest: float, now: float, wait: int) -> None:
    """Whole seconds, one at least."""
    error = OAuthError.limited([oldest, now], now)
    assert (error.status, error.retry_after) == (429, wait)
    assert str(wait) in str(error.hint)
