"""Signatures: what verifies, and what does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("airflow")

from cryptography.fernet import Fernet

from airflow_provider_lightspeed.compat import AIRFLOW_V_3_0_PLUS
from airflow_provider_lightspeed.tokens.signer import Signer
from tests.support.fernet import forget_fernet

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))
PARTS = ("shop", 1, 2, "content")


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Airflow's settings, whose key may change."""
    yield monkeypatch
    monkeypatch.undo()
    forget_fernet()


def configure(keys: pytest.MonkeyPatch, fernet: str, session: str = "") -> None:
    keys.setenv("AIRFLOW__CORE__FERNET_KEY", fernet)
    keys.setenv(f"AIRFLOW__{'API' if AIRFLOW_V_3_0_PLUS else 'WEBSERVER'}__SECRET_KEY", session)
    forget_fernet()


def test_first_key_signs_and_each_verifies(keys: pytest.MonkeyPatch) -> None:
    """As with Fernet itself; without the old key, what it signed is nobody's."""
    configure(keys, OLD)
    before = Signer("copy").sign(*PARTS)
    configure(keys, f"{NEW},{OLD}")
    after = Signer("copy").sign(*PARTS)
    assert Signer("copy").verifies(before, *PARTS)
    assert not Signer("copy").is_current(before, *PARTS)
    assert Signer("copy").is_current(after, *PARTS)
    configure(keys, NEW)
    assert Signer("copy").verifies(after, *PARTS)
    assert not Signer("copy").verifies(before, *PARTS)


@pytest.mark.parametrize(
    "parts",
    [("Shop", 1, 2, "content"), ("shop", 2, 2, "content"), ("shop", 1, 3, "content"), ("shop", 1, 2, "contents")],
)
def test_every_part_is_signed(keys: pytest.MonkeyPatch, parts: tuple[str | int, ...]) -> None:
    """Nor do parts run into one another, and a signature serves one purpose."""
    configure(keys, OLD)
    signature = Signer("copy").sign(*PARTS)
    assert not Signer("copy").verifies(signature, *parts)
    assert not Signer("consent").verifies(signature, *PARTS)
    assert not Signer("copy").verifies(Signer("copy").sign("a", "bc"), "ab", "c")


@pytest.mark.parametrize("signature", ["", "0" * 64, None, 7, ["a"], "\u00e9", "\ud83d"])
def test_what_is_no_signature_does_not_verify(keys: pytest.MonkeyPatch, signature: object) -> None:
    """Of whatever type."""
    configure(keys, OLD)
    assert not Signer("copy").verifies(signature, *PARTS)


def test_without_encryption_the_session_key_signs(keys: pytest.MonkeyPatch) -> None:
    """Processes that share neither key believe none of each other's signatures; an empty key signs nothing."""
    configure(keys, "", "session key")
    signature = Signer("copy").sign(*PARTS)
    assert Signer("copy").verifies(signature, *PARTS)
    configure(keys, "", "another")
    assert not Signer("copy").verifies(signature, *PARTS)
    configure(keys, "", "")
    assert Signer("copy").sign(*PARTS) == ""
    assert not Signer("copy").verifies("", *PARTS)
