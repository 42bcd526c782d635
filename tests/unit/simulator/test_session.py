"""Who the token belongs to, and what that employee may do."""

from __future__ import annotations

import orjson
import pytest

from airflow_provider_lightspeed.simulator.caller import Caller
from tests.support.small_world import NOW, WORLD


@pytest.mark.parametrize("path", ["/API/Session.json", "/API/V3/Session.json"])
def test_session_tells_who_the_token_is_and_what_it_may(path: str) -> None:
    """Without an envelope; rights follow the scopes."""
    caller = Caller(("employee:register", "employee:reports"), "2")
    found = orjson.loads(WORLD.query(path, {}, base_url="http://x", now=NOW, caller=caller).body)
    assert (found["employeeID"], found["shopCount"], found["Employee"]["employeeID"]) == ("2", "2", "2")
    rights = {name for name, has in found["Rights"].items() if has == "true"}
    assert rights == {"register", "reports", "allow_login"}
    everything_open = orjson.loads(WORLD.query(path, {}, base_url="http://x", now=NOW).body)["Rights"]
    assert set(everything_open.values()) == {"true"}
    stranger = WORLD.query(path, {}, base_url="http://x", now=NOW, caller=Caller(employee_id="nobody"))
    assert orjson.loads(stranger.body)["employeeID"] == "nobody"
