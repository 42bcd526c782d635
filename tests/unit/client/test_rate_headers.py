"""The headers that tell of the rate limit."""

from __future__ import annotations

from airflow_provider_lightspeed.client.rate_headers import RateHeaders


def test_headers_are_read_in_any_spelling_and_nonsense_is_absent() -> None:
    """Sources: three spellings in the documentation itself."""
    found = RateHeaders.parse(
        {"x-ls-api-bucket-level": "12.5/90", "X-LS-API-Drip-Rate": "1.5", "X-LS-API-Burst-Level": "3/20"}
    )
    assert (found.level, found.size, found.drip, found.burst_limit) == (12.5, 90, 1.5, 20)
    assert RateHeaders.parse({"X-LS-API-Bucket-Level": "full", "X-LS-API-Drip-Rate": "-1"}) == RateHeaders()
