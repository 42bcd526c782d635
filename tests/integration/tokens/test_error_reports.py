"""An error reporter sends the locals of every frame: no exception that leaves this package has a secret among them."""

from __future__ import annotations

import http.client
import json
import socket
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import pytest

pytest.importorskip("airflow")

from airflow_provider_lightspeed.auth.step import Claim
from airflow_provider_lightspeed.cli import COMMANDS
from airflow_provider_lightspeed.clock import SystemClock
from airflow_provider_lightspeed.hooks.lightspeed import LightspeedHook
from airflow_provider_lightspeed.operators.lightspeed import LightspeedToParquetOperator
from airflow_provider_lightspeed.redact import Secret, sealed
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from airflow_provider_lightspeed.tokens.asker import Asker
from airflow_provider_lightspeed.tokens.connect import Consents
from airflow_provider_lightspeed.tokens.probe import probe
from airflow_provider_lightspeed.tokens.refresh import Refresher
from airflow_provider_lightspeed.tokens.source import LedgerTokenSource
from airflow_provider_lightspeed.tokens.trigger import RefreshTrigger
from tests.support.frames import Known, leaks
from tests.support.token_steps import CONN, change, connect, ledger, redeem, set_out

Connect = Callable[..., str]


class Setting:
    """A connection with a token that is due, and the secrets of it."""

    def __init__(self, simulator: SimulatorProcess, folder: Path, context: Callable[..., Any]) -> None:
        self.simulator, self.folder, self.context = simulator, folder, context
        self.known = Known(secret=simulator.client_secret)
        self.learn()
        self.attempt = redeem(set_out())
        assert self.attempt.token is not None
        self.known.add("refresh token of a consent", self.attempt.token.refresh_token.reveal())
        self.known.add("access token of a consent", self.attempt.token.access_token.reveal())
        self.known.add("verifier", self.attempt.verifier.reveal())

    def learn(self) -> None:
        """Add the stored pair to the secrets."""
        token = ledger().token
        if token is None:  # disconnected
            return
        self.known.add(f"access token {ledger().generation}", token.access_token.reveal())
        self.known.add(f"refresh token {ledger().generation}", token.refresh_token.reveal())

    @property
    def claim(self) -> Claim:
        token = ledger().token
        return Claim(token.access_token.fingerprint() if token else "", refused=True)

    # Each of these does what people and tasks do.
    def hook(self) -> Any:
        return LightspeedHook().count("Shop")

    def refresher(self) -> Any:
        return Refresher().refresh(CONN, self.claim)

    def consent(self) -> Any:
        return Consents().adopt(self.attempt)

    def disconnect(self) -> Any:
        return Consents().disconnect(CONN, "Ann")

    def probe(self) -> Any:
        return probe(CONN)

    def operator(self) -> Any:
        operator = LightspeedToParquetOperator(task_id="extract", resource="Shop", path=str(self.folder))
        return operator.execute(self.context())

    def command(self) -> Any:
        (command,) = (each for each in COMMANDS if each.name == "take-over")
        return command(Namespace(conn_id=CONN))

    def trigger(self) -> Any:
        return RefreshTrigger().ask(CONN, self.claim, Asker())


ACTIONS = ("hook", "refresher", "consent", "disconnect", "probe", "operator", "command", "trigger")


@pytest.fixture
def setting(
    unconnected: Connect, simulator: SimulatorProcess, tmp_path: Path, context: Any, monkeypatch: pytest.MonkeyPatch
) -> Setting:
    # Waiting brings no token here: every pause ends at once.
    monkeypatch.setitem(LedgerTokenSource.__init__.__kwdefaults__ or {}, "patience", 0.0)
    for module, name in (("probe", "PATIENCE"), ("refresh", "PERSIST_PATIENCE"), ("connect", "LOCK_PATIENCE")):
        monkeypatch.setattr(f"airflow_provider_lightspeed.tokens.{module}.{name}", 0.0)
    skipped = [0.0]
    monkeypatch.setattr(SystemClock, "sleep", lambda _, seconds: skipped.append(seconds))
    monkeypatch.setattr(SystemClock, "monotonic", lambda _: time.monotonic() + sum(skipped))
    monkeypatch.setenv("AIRFLOW__LIGHTSPEED__API_SERVER_URL", simulator.base_url)
    unconnected()
    connect()
    return Setting(simulator, tmp_path, context)


def the_error_of(setting: Setting, action: str) -> BaseException | None:
    """Return what an action raises; whoever made one of the libraries' errors into text has no frame to show."""
    try:
        getattr(setting, action)()
    except BaseException as error:  # noqa: BLE001 - it is looked at
        return error
    return None


class Injected(Exception):
    """A bug of ours, or of a library."""


class Interrupted(BaseException):
    """What a time-out of Airflow's, or Ctrl-C, raises wherever the process is."""


#: Functions, with secrets in the frames around them: where a bug is put.
DEPTHS: dict[str, tuple[Any, str]] = {
    "http.client sends": (http.client.HTTPConnection, "send"),
    "http.client reads": (http.client.HTTPResponse, "begin"),
    "a connection is opened": (socket, "create_connection"),
    "requests prepares the body": ("requests.models.PreparedRequest", "prepare_content_length"),
    "requests prepares the request": ("requests.models.PreparedRequest", "prepare_hooks"),
    "the body is read": ("airflow_provider_lightspeed.client.bounds.Bounds", "read"),
    "the answer is read": ("airflow_provider_lightspeed.auth.token", "Token"),
    "claims are read": ("airflow_provider_lightspeed.auth.flow", "claims"),
    "settings are read": ("airflow_provider_lightspeed.settings.HostPolicy", "check"),
    "a ledger is read": ("airflow_provider_lightspeed.auth.codec", "load_token"),
    "a ledger is written": ("airflow_provider_lightspeed.auth.ledger.Ledger", "granted"),
    "a row is written": ("airflow.models.connection.Connection", "set_extra"),
    "a value is encrypted": ("cryptography.fernet.Fernet", "encrypt"),
    "a value is decrypted": ("cryptography.fernet.Fernet", "decrypt"),
    "a reply is judged": ("airflow_provider_lightspeed.client.rest", "decide"),
}


def _inject(patch: pytest.MonkeyPatch, depth: str, kind: type[BaseException]) -> None:
    where, name = DEPTHS[depth]

    def fail(*_: Any, **__: Any) -> Any:
        raise kind("injected")

    if isinstance(where, str):
        patch.setattr(f"{where}.{name}", fail)
    else:
        patch.setattr(where, name, fail)


@pytest.mark.parametrize(
    ("depth", "kind"),
    [(depth, Injected) for depth in DEPTHS]
    + [(depth, Interrupted) for depth in ("http.client reads", "a row is written")],
)
def test_bug_deep_inside_carries_no_secret_away(
    setting: Setting, depth: str, kind: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is under way, wherever it breaks."""
    raised = 0
    for action in ACTIONS:
        with monkeypatch.context() as patch:
            _inject(patch, depth, kind)
            error = the_error_of(setting, action)
        setting.learn()
        if error is not None:
            raised += 1
            assert leaks(error, setting.known) == []
    assert raised


@pytest.mark.parametrize("action", ["hook", "refresher", "operator", "probe", "disconnect"])
@pytest.mark.parametrize(
    "fault",
    [
        {"action": "status", "status": 401},
        {"action": "status", "status": 503},
        {"action": "reset"},
        {"action": "truncate"},
        {"action": "html"},
    ],
    ids=["401", "503", "reset", "truncated", "html"],
)
def test_fault_of_lightspeed_carries_no_secret_away(setting: Setting, fault: dict[str, Any], action: str) -> None:
    """The errors of every day."""
    setting.simulator.faults({**fault, "path": "/", "count": 99})
    error = the_error_of(setting, action)
    setting.simulator.clear_faults()
    setting.learn()
    if error is not None:
        assert leaks(error, setting.known) == []


def test_wrong_field_of_a_connection_carries_no_secret_away(setting: Setting) -> None:
    """Whoever reads the connection has all of it in hand when it finds the fault."""
    change(host="https://evil.example")
    for action in ("hook", "operator"):
        with pytest.raises(Exception, match="may not be sent to") as caught:
            getattr(setting, action)()
        assert leaks(caught.value, setting.known) == []


def test_search_finds_what_stands_in_a_frame() -> None:
    """In a local, in a library's frame, in an exception's context, in Sentry's event: this search is not blind."""
    token = Secret(token_urlsafe())
    known = Known(token=token.reveal())

    def fail(headers: dict[str, str]) -> None:
        json.loads(headers["Authorization"])

    def fail_twice(headers: dict[str, str]) -> None:
        try:
            fail(headers)
        except ValueError:
            raise Injected from None

    with pytest.raises(ValueError) as caught:
        fail({"Authorization": token.reveal()})
    places = leaks(caught.value, known)
    for part in ("local headers", "local s ", "Sentry's event"):
        assert any(part in place for place in places), places
    with pytest.raises(Injected) as with_context:
        fail_twice({"Authorization": token.reveal()})
    assert any("local s " in place for place in leaks(with_context.value, known))
    with pytest.raises(Injected) as cut:
        sealed(fail_twice)({"Authorization": token.reveal()})
    assert leaks(cut.value, known) == []
    assert cut.value.__context__ is not None
    assert "decoder.py" in "".join(cut.value.__context__.__notes__)
