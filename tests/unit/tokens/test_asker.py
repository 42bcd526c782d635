"""Who asks for a refresh: labels, whatever somebody sends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lightspeed.tokens.asker import Asker

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=2), max_leaves=4
)  # fmt: skip


@given(st.one_of(anything, st.dictionaries(st.sampled_from(["dag_id", "task_id", "map_index", "user"]), anything)))
def test_whatever_is_sent_becomes_short_printable_labels(data: Any) -> None:
    """They stand in logs and in the event log: no line breaks, no objects, nothing long."""
    asker = Asker.parse(data)
    assert str(asker).isprintable()
    assert all(len(label) <= 250 for label in (asker.dag_id, asker.task_id, asker.run_id, asker.user))
    assert -1 <= asker.map_index < 1_000_000


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"dag_id": "d", "task_id": "t"}, "d.t"),
        ({"dag_id": "d", "task_id": "t", "map_index": "0"}, "d.t[0]"),
        ({"dag_id": "d", "task_id": "t", "map_index": 3}, "d.t[3]"),
        ({"user": "ann"}, "ann"),
        ({}, "unknown"),
    ],
)
def test_task_is_named_with_its_map_index(facts: dict[str, Any], words: str) -> None:
    """A person by name."""
    assert str(Asker.parse(facts)) == words


def test_running_task_is_known_from_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow exports it; elsewhere it is the process's user."""
    for name, value in (("DAG_ID", "d"), ("TASK_ID", "t"), ("DAG_RUN_ID", "r"), ("MAP_INDEX", "2")):
        monkeypatch.setenv(f"AIRFLOW_CTX_{name}", value)
    assert Asker.current() == Asker("d", "t", "r", 2)
    monkeypatch.delenv("AIRFLOW_CTX_TASK_ID")
    monkeypatch.setattr("getpass.getuser", lambda: "ann")
    assert Asker.current() == Asker(user="ann")
