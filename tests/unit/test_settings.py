"""What a connection may hold, and where credentials may go."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_lightspeed.exceptions import InvalidArgument, MissingCredentials
from airflow_provider_lightspeed.settings import ConnectionSettings, HostPolicy, read_settings

POLICY = HostPolicy.parse(None)


def read(**changes: Any) -> ConnectionSettings:
    fields: dict[str, Any] = {"login": "id", "password": "secret", "host": None, "extra": {}} | changes
    return read_settings("ls", **fields, policy=POLICY)


def test_empty_host_means_lightspeeds_own() -> None:
    """API and authorization server are two hosts."""
    found = read()
    assert (found.host, found.auth_url) == ("https://api.lightspeedapp.com", "https://cloud.lightspeedapp.com")


@pytest.mark.parametrize(
    ("changes", "label"), [({"login": ""}, "login"), ({"password": None}, "password"), ({"login": None}, "Client ID")]
)
def test_missing_field_is_named_as_the_form_shows_it(changes: dict[str, Any], label: str) -> None:
    """With the connection's ID."""
    with pytest.raises(MissingCredentials, match=label) as caught:
        read(**changes)
    assert "ls" in str(caught.value)


@pytest.mark.parametrize("changes", [{"password": "***"}, {"extra": {"refresh_token": "***"}}])
def test_mask_in_place_of_a_secret_is_named(changes: dict[str, Any]) -> None:
    """It comes from saving what an API showed."""
    with pytest.raises(InvalidArgument, match=r"found the mask.*enter the real one") as caught:
        read(**changes)
    assert caught.value.field in ("password", "extra.refresh_token")


@pytest.mark.parametrize(
    "host",
    [
        "https://evil.example",
        "http://api.lightspeedapp.com",
        "https://api.lightspeedapp.com.evil.example",
        "https://evil.example/api.lightspeedapp.com",
        "https://user:pass@api.lightspeedapp.com",
        "https://api.lightspeedapp.com?x=1",
        "ftp://api.lightspeedapp.com",
        "https://evil.example\\.lightspeedapp.com",
        "https://evil.example;.lightspeedapp.com",
        "https://evil.example%2f.lightspeedapp.com",
        "https://evil.example%00.lightspeedapp.com",
        "https://evil.example .lightspeedapp.com",
        "https://a; frame-ancestors *; x .lightspeedapp.com",
        "https://evil.example\uff0f.lightspeedapp.com",
        "https://api.lightspeedapp.com:443@evil.example",
        "https://api.lightspeedapp.com/..\\evil.example",
        "https://[.lightspeedapp.com",
        "https://",
    ],
)
def test_credentials_go_nowhere_else(host: str) -> None:
    """The error names airflow.cfg's setting, never the password in a URL."""
    with pytest.raises(InvalidArgument, match="host") as caught:
        read(host=host)
    assert "pass@" not in str(caught.value)


@pytest.mark.parametrize(
    ("entries", "url", "admitted"),
    [
        ("http://127.0.0.1:*", "http://127.0.0.1:8123", True),
        ("http://127.0.0.1:*", "http://10.0.0.1:8123", False),
        ("http://simulator:8000", "http://simulator:8000", True),
        ("http://simulator:*", "http://simulator:8000", False),
        ("http://*", "http://simulator:8000", False),
        ("proxy.corp.example", "https://proxy.corp.example", True),
        ("proxy.corp.example", "http://proxy.corp.example", False),
    ],
)
def test_clear_text_needs_loopback_or_an_exact_entry(entries: str, url: str, admitted: bool) -> None:
    """A wildcard never opens plain HTTP to other machines."""
    policy = HostPolicy.parse(entries)
    if admitted:
        assert policy.check("host", url) == url
    else:
        with pytest.raises(InvalidArgument, match="allowed_hosts"):
            policy.check("host", url)
