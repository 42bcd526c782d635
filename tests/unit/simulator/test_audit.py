"""A record of every request, without any secret."""

from __future__ import annotations

from airflow_provider_lightspeed.simulator.audit import Audit, Entry, fingerprint


def entry(kind: str = "api", status: int = 200, **facts: object) -> Entry:
    return Entry(1.0, kind, "GET", "/x", status, **facts)  # type: ignore[arg-type]


def test_counters_cover_all_and_entries_the_kind_that_is_asked_for() -> None:
    """Drips and the most requests at a time among them."""
    audit = Audit()
    audit.add(entry(cost=1.4, rows=100, in_flight=2))
    audit.add(entry(status=429, outcome="api-leaky-bucket", in_flight=1))
    audit.add(entry(status=429, outcome="api-burst-limiter"))
    audit.add(entry("token", fault="reset", status=0))
    report = audit.report(kind="token")
    assert [found["kind"] for found in report["requests"]] == ["token"]
    assert report["counters"] == {
        "requests": 4, "api_requests": 3, "token_requests": 1, "status_200": 1, "status_429": 2, "status_0": 1,
        "rows": 100, "bucket_429": 1, "burst_429": 1, "faults": 1, "drips": 1.4, "max_in_flight": 2,
    }  # fmt: skip
    assert "requests" not in audit.report(counters_only=True)


def test_clearing_forgets_everything() -> None:
    """Tests begin with nothing counted."""
    audit = Audit()
    audit.add(entry(cost=2.0, in_flight=3))
    audit.clear()
    assert audit.report() == {"counters": {"drips": 0.0, "max_in_flight": 0}, "requests": []}


def test_fingerprint_names_a_token_without_being_one() -> None:
    """SHA-256; no token has none."""
    assert fingerprint("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert fingerprint(None) is fingerprint("") is None
