"""Where the page is: the configuration says it, no request does."""

from __future__ import annotations

import pytest

pytest.importorskip("airflow.sdk")

from airflow_provider_lightspeed.plugin import paths


@pytest.mark.parametrize(
    ("configured", "home", "redirect"),
    [
        ("", "/lightspeed/", "http://localhost:8080/lightspeed/callback"),
        ("https://a.example", "/lightspeed/", "https://a.example/lightspeed/callback"),
        ("https://a.example/", "/lightspeed/", "https://a.example/lightspeed/callback"),
        ("https://a.example/team/x/", "/team/x/lightspeed/", "https://a.example/team/x/lightspeed/callback"),
    ],
)
def test_page_and_redirect_uri_follow_the_base_url(
    configured: str, home: str, redirect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also below a path of Airflow's own."""
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", configured)
    assert (paths.home(), paths.redirect_uri()) == (home, redirect)
