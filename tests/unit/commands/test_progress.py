"""A read shown while it runs: facts, estimates marked as such, and nothing on standard output."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from airflow_provider_lightspeed.commands.progress import LINE_SECONDS, eta, line, progress_of, share
from airflow_provider_lightspeed.extract.summary import Progress

HALF = Progress(
    rows=12_000, requests=121, seconds=60.0, bucket_level=42.4, bucket_size=90.0, drip_rate=1.5, done=0.5, seconds_left=61.0
)  # fmt: skip


def test_line_holds_what_is_known_and_marks_what_is_estimated() -> None:
    """The tilde is gone when the read is done; unknown is a dash."""
    assert line("Sale", HALF) == (
        "Sale: 12,000 rows, 121 requests, 200 rows/s, bucket 42/90, 1.5 drips/s, done ~50 %, ETA ~0:01:01"
    )
    ended = replace(HALF, done=1.0, seconds_left=0.0)
    assert (share(ended), eta(ended)) == ("100 %", "0:00:00")
    unknown = replace(HALF, done=None, seconds_left=None)
    assert (share(unknown), eta(unknown)) == ("-", "-")


@pytest.mark.parametrize("is_quiet", [True, False])
def test_where_nobody_watches_lines_come_at_a_pace(is_quiet: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, one in half a minute; the package's log goes there too, warnings even if quiet."""
    log = logging.getLogger("airflow_provider_lightspeed.test")
    with progress_of("Sale", is_quiet=is_quiet) as watch:
        for seconds in (1.0, LINE_SECONDS, LINE_SECONDS + 1):
            watch(replace(HALF, seconds=seconds))
        log.info("for the curious")
        log.warning("for everybody")
    log.warning("after the read")
    out, err = capsys.readouterr()
    # Airflow 2.11 has a logger of its own on standard output; what the package says while it reads is not there.
    assert "for everybody" not in out
    assert "Sale" not in out
    assert err.count("Sale: ") == (0 if is_quiet else 1)
    assert ("for the curious" in err) is not is_quiet
    assert "for everybody" in err
    assert "after the read" not in err
