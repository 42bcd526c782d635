"""The page on which an employee decides."""

from __future__ import annotations

from airflow_provider_lightspeed.simulator.consent_page import consent_page


def test_page_escapes_what_it_shows_and_offers_both_decisions() -> None:
    """The shop's name is anybody's text."""
    page = consent_page("Bikes & <Boards>", ["employee:all", "<x>"])
    assert page.count("Bikes &amp; &lt;Boards&gt;") == 2
    assert "<li>employee:all</li><li>&lt;x&gt;</li>" in page
    assert 'name="decision" value="allow"' in page
    assert 'name="decision" value="deny"' in page
