"""Connections that Airflow stores, or hands out, and that no request can be sent with."""

from __future__ import annotations

from typing import Any, Final

#: Extras that Airflow's API takes as they are (a JSON object of whatever), and some that only get there past it.
EXTRAS: Final = {
    "scope_number": '{"scope": 5}',
    "scope_object": '{"scope": {"a": 1}}',
    "scope_deep": '{"scope": ' + "[" * 400 + "]" * 400 + "}",
    "auth_url_number": '{"auth_url": 5}',
    "auth_url_list": '{"auth_url": ["https://cloud.lightspeedapp.com"]}',
    "auth_url_brackets": '{"auth_url": "https://[::1"}',
    "auth_url_port": '{"auth_url": "http://127.0.0.1:99999"}',
    "auth_url_unicode": '{"auth_url": "https://\\uff4c\\u2488ightspeedapp.com"}',
    "auth_url_long": '{"auth_url": "https://' + "a" * 9_000 + '.lightspeedapp.com"}',
    "true": "true",
    "list": '["x"]',
    "text": '"x"',
    "number": "1e400",
    "not_json": "refresh_token=x",
    "deep": "[" * 100_000,
    "deep_object": '{"a": ' * 5_000 + "1" + "}" * 5_000,
    "surrogate": '{"refresh_token": "\\ud800"}',
    "surrogate_key": '{"\\ud800": 1, "a\\nb": 2}',
    "control": '{"refresh_token": "a\\u0000b"}',
    "line_end": '{"refresh_token": "a\\nb"}',
    "long": '{"refresh_token": "' + "a" * 10_000 + '"}',
    "account_infinite": '{"account_id": 1e400}',
    "account_nan": '{"account_id": NaN}',
    "account_huge": '{"account_id": ' + "1" * 5_000 + "}",
    "account_path": '{"account_id": "1/../2"}',
    "account_true": '{"account_id": true}',
    "account_surrogate": '{"account_id": "\\udfff"}',
    "many_keys": "{" + ", ".join(f'"k{number}": {number}' for number in range(500)) + "}",
}
FIELDS: Final[dict[str, dict[str, Any]]] = {
    "login_long": {"login": "x" * 10_000},
    "login_control": {"login": "a\x07b"},
    "login_unicode": {"login": "\u202eclient"},
    "no_login": {"login": None},
    "no_password": {"password": None},
    "password_long": {"password": "x" * 10_000},
    "password_unicode": {"password": "p\u00e4ssword"},
    "host_brackets": {"host": "https://["},
    "host_unicode": {"host": "https://\u2100.lightspeedapp.com"},
    "host_nul": {"host": "https://api\x7f.lightspeedapp.com"},
    "port_negative": {"port": -1},
    "port_high": {"port": 2_147_483_647},
    "port_other": {"port": 1},
}
#: Of these all is well with the fields; that they hold something odd is told in the log, or not at all.
READABLE: Final = {"scope_number", "surrogate_key", "many_keys"}
