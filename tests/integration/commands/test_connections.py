"""``status``, ``refresh`` and ``take-over``: what becomes of connections, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

import pytest

from airflow_provider_lightspeed.cli import main

pytest.importorskip("airflow")


def test_status_is_a_table_for_people_and_json_for_programs(
    connection: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Columns stand aligned; times in JSON are ISO 8601; a connection that needs a person is told below, status 1."""
    from airflow_provider_lightspeed.tokens.keep_alive import keep_alive

    connection()
    keep_alive("lightspeed_default")
    capsys.readouterr()  # Airflow 2.11 may log to standard output
    main(["status"])
    head, row = capsys.readouterr().out.splitlines()
    assert row.index("metadata database") == head.index("FROM")
    assert row[head.index("TOKEN") :].startswith("fresh, ")
    main(["status", "-o", "json"])
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["conn_id"], found["token"]) == ("lightspeed_default", "fresh")
    assert datetime.fromisoformat(found["lapses_at"]) > datetime.fromisoformat(found["expires_at"])
    with pytest.raises(SystemExit) as ended:
        main(["status", "lightspeed_default", "nobody"])
    assert ended.value.code == 1
    assert capsys.readouterr().out.endswith("\n\n! nobody: there is no such connection\n")


def test_status_without_a_connection_says_where_to_add_one(
    airflow_database: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing needs a person yet: status 0."""
    main(["status"])
    assert "Add one of type 'lightspeed'" in capsys.readouterr().out


def test_refresh_keeps_every_connection_alive_that_can_be(
    connection: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    """One that is broken is named on standard error and keeps none of the others from it; status 1."""
    connection("broken", extra={"refresh_token": "spent-long-ago"})
    connection("shop")
    with pytest.raises(SystemExit) as ended:
        main(["refresh", "broken", "shop"])
    assert ended.value.code == 1
    told = capsys.readouterr()
    assert "shop: token good until " in told.out
    assert "broken: " in told.err
    assert "spent-long-ago" not in told.out + told.err
    main(["refresh", "shop"])
    assert "shop: token good until " in capsys.readouterr().out


def test_take_over_makes_the_tokens_this_deployments_own(
    connection: Callable[..., str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copied database refreshes nothing until somebody decides; then it does."""
    connection("shop")
    main(["refresh", "shop"])
    monkeypatch.setenv("AIRFLOW__LIGHTSPEED__DEPLOYMENT", "copy")
    with pytest.raises(SystemExit) as ended:
        main(["status", "shop"])
    assert ended.value.code == 1
    main(["take-over", "shop"])
    assert "belong to this deployment now" in capsys.readouterr().out
    main(["status", "shop"])


def test_take_over_of_nothing_is_an_error(connection: Callable[..., str]) -> None:
    """A connection that was never refreshed has no tokens."""
    connection("shop")
    with pytest.raises(SystemExit, match="connection 'shop' has no tokens to take over"):
        main(["take-over", "shop"])
