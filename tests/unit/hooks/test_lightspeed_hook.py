"""The hook: records, Arrow, DataFrame, count, and a test of the connection that spends nothing it cannot save."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed.hooks.lightspeed import LightspeedHook
from airflow_provider_lightspeed.provider_info import CONN_FIELDS
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess

Connect = Callable[..., str]


def test_records_table_frame_and_count_agree(connection: Connect, simulator: SimulatorProcess) -> None:
    """Four ways to the same rows, archived ones included."""
    connection()
    hook = LightspeedHook()
    truth = simulator.truth("Item")
    assert (
        len(list(hook.get_records("Item"))) == hook.get_arrow("Item").num_rows == len(hook.get_df("Item")) == len(truth)
    )
    assert hook.count("Item") == len(truth)


def test_frame_keeps_money_exact(connection: Connect) -> None:
    """Decimals stay decimals."""
    connection()
    total = LightspeedHook().get_df("Sale", filters={"saleID": 1})["total"]
    assert all(isinstance(value, Decimal) for value in total)


def test_connection_test_names_the_account(connection: Connect) -> None:
    """The message says what one is connected to."""
    connection()
    assert LightspeedHook().test_connection() == (True, "Connected to Example Retail 12345 (account 12345)")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"login": None}, "Client ID"),
        ({"password": "***"}, "mask"),
        ({"password": "wrong"}, "lient"),
        ({"extra": {"refresh_token": ""}}, "onnect"),
    ],
)
def test_connection_test_says_what_is_wrong(changes: dict[str, Any], words: str, connection: Connect) -> None:
    """False and a reason, never an exception."""
    connection(**changes)
    worked, message = LightspeedHook().test_connection()
    assert not worked
    assert words in message


def test_secrets_stay_out_of_the_hooks_repr_and_logs(
    connection: Connect,
    simulator: SimulatorProcess,
    caplog: pytest.LogCaptureFixture,
    stored: Callable[[str], dict[str, Any]],
) -> None:
    """Neither the pair before nor the one after the refresh is shown."""
    connection()
    before = stored("lightspeed_default")["refresh_token"]
    caplog.set_level("DEBUG")
    hook = LightspeedHook()
    hook.count("Sale")
    shown = caplog.text + repr(hook) + repr(hook.client) + repr(vars(hook.client))
    for secret in (before, stored("lightspeed_default")["refresh_token"], simulator.client_secret):
        assert secret not in shown


def test_form_of_airflow_2_has_the_fields_of_airflow_3() -> None:
    """One description, two forms."""
    assert set(LightspeedHook.get_ui_field_behaviour()) == {"hidden_fields", "relabeling", "placeholders"}
    pytest.importorskip("flask_appbuilder")
    assert set(LightspeedHook.get_connection_form_widgets()) == set(CONN_FIELDS)
