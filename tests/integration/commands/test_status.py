"""``status``: the table of connections, for people and for programs."""

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
