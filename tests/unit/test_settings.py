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


@pytest.mark.parametrize("around", ["{} ", " {}", "{}\n", "\t{}\r\n"])
def test_blanks_and_line_ends_around_a_field_are_no_part_of_it(around: str) -> None:
    """They come from copying a value out of a page or a file."""
    extra = {"refresh_token": "token", "account_id": "7", "auth_url": "https://cloud.lightspeedapp.com", "scope": "a b"}
    found = read(
        login=around.format("id"),
        password=around.format("secret"),
        host=around.format("https://api.lightspeedapp.com"),
        extra={name: around.format(value) for name, value in extra.items()},
    )
    assert found == read(extra=extra)
    assert (found.client_secret.reveal(), found.refresh_token.reveal()) == ("secret", "token")


@pytest.mark.parametrize("changes", [{"password": " \n"}, {"login": "\t"}])
def test_blank_field_is_a_missing_one(changes: dict[str, Any]) -> None:
    """And the mask is one with a line end as well."""
    with pytest.raises(MissingCredentials):
        read(**changes)
    with pytest.raises(InvalidArgument, match="found the mask"):
        read(password="***\n")


@pytest.mark.parametrize(
    ("host", "port", "used"),
    [
        (None, None, "https://api.lightspeedapp.com"),
        (None, 0, "https://api.lightspeedapp.com"),
        (None, "", "https://api.lightspeedapp.com"),
        (None, "0", "https://api.lightspeedapp.com"),
        (None, 443, "https://api.lightspeedapp.com"),
        (None, 8443, "https://api.lightspeedapp.com:8443"),
        ("eu.lightspeedapp.com", "8443", "https://eu.lightspeedapp.com:8443"),
        ("https://eu.lightspeedapp.com/proxy/", 8443, "https://eu.lightspeedapp.com:8443/proxy"),
        ("https://eu.lightspeedapp.com:8443", 8443, "https://eu.lightspeedapp.com:8443"),
        ("https://eu.lightspeedapp.com:8443", 0, "https://eu.lightspeedapp.com:8443"),
    ],
)
def test_port_is_used_where_the_host_names_none(host: str | None, port: Any, used: str) -> None:
    """Airflow's form sends 0 or null for an empty field; the scheme's own port changes nothing."""
    assert read(host=host, port=port).host == used


@pytest.mark.parametrize("port", [443, "8000"])
def test_port_other_than_the_hosts_is_refused_by_name(port: Any) -> None:
    """Neither of the two is taken silently."""
    with pytest.raises(InvalidArgument, match=rf"'ls', port: found {port}, and host .* names port 8443") as caught:
        read(host="https://eu.lightspeedapp.com:8443", port=port)
    assert caught.value.field == "port"


@pytest.mark.parametrize("port", [-1, 65_536, "https", "1.5", "80 80"])
def test_number_that_is_no_port_is_refused_by_name(port: Any) -> None:
    """With what is allowed."""
    with pytest.raises(InvalidArgument, match=r"port: found .*, allowed 1 to 65535, or nothing"):
        read(port=port)


def test_port_is_held_against_the_policy() -> None:
    """As if it stood in the host."""
    policy = HostPolicy.parse("http://127.0.0.1:8000")
    fields: dict[str, Any] = {"login": "id", "password": "secret", "extra": {"auth_url": "http://127.0.0.1:8000"}}
    assert read_settings("ls", host="http://127.0.0.1", port=8000, policy=policy, **fields).host.endswith(":8000")
    with pytest.raises(InvalidArgument, match="allowed_hosts"):
        read_settings("ls", host="http://127.0.0.1", port=8001, policy=policy, **fields)


@pytest.mark.parametrize(
    ("extra", "field"),
    [
        ({"refresh_token": ["hidden"]}, "extra.refresh_token"),
        ({"auth_url": {"hidden": 1}}, "extra.auth_url"),
        ({"account_id": 7.5}, "extra.account_id"),
        ({"scope": 7.5}, "extra.scope"),
        ({"scope": [["hidden"]]}, "extra.scope"),
    ],
)
def test_value_of_another_type_is_refused_by_name(extra: dict[str, Any], field: str) -> None:
    """What was found is not shown: it may be a secret."""
    with pytest.raises(InvalidArgument, match=f"{field}: found a value of type") as caught:
        read(extra=extra)
    assert caught.value.field == field
    assert "hidden" not in str(caught.value)
    assert read(extra={"account_id": 7, "scope": ["a", "b"]}).scope == ("a", "b")


@pytest.mark.parametrize(
    "host",
    [
        "https://api.lightspeedapp.com:0",
        "https://api.lightspeedapp.com:65536",
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


@pytest.mark.parametrize(
    "changes",
    [
        {"login": "a\x00b"},
        {"login": "x" * 10_000},
        {"password": "p\u00e4ss"},
        {"port": 10**5000},
        {"extra": {"refresh_token": "\ud800"}},
        {"extra": {"refresh_token": "a\nb"}},
        {"extra": {"account_id": "1/../2"}},
        {"extra": {"account_id": float("inf")}},
        {"extra": {"auth_url": f"https://{'a' * 300}.lightspeedapp.com"}},
    ],
)
def test_value_that_no_request_can_carry_is_refused_by_name(changes: dict[str, Any]) -> None:
    """Client IDs, secrets and tokens are visible ASCII (RFC 6749, appendix A); the account ID is part of a path."""
    with pytest.raises(InvalidArgument) as caught:
        read(**changes)
    assert caught.value.field
    assert len(str(caught.value)) < 1_000


def test_warning_of_unknown_keys_is_one_short_line(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the keys are: they come from outside."""
    read(extra={f"key\n{number}\ud800": 1 for number in range(500)})
    (record,) = caplog.records
    text = record.getMessage()
    assert "\n" not in text
    assert "and 490 more" in text
    text.encode()
