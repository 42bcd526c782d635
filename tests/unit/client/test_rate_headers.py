"""The headers that tell of the rate limit."""

from __future__ import annotations

from airflow_provider_lightspeed.auth.flow import retry_after
from airflow_provider_lightspeed.client.rate_headers import RateHeaders
from tests.support.fakes import NOON


def test_headers_are_read_in_any_spelling_and_nonsense_is_absent() -> None:
    """Sources: three spellings in the documentation itself."""
    found = RateHeaders.parse(
        {"x-ls-api-bucket-level": "12.5/90", "X-LS-API-Drip-Rate": "1.5", "X-LS-API-Burst-Level": "3/20"}
    )
    assert (found.level, found.size, found.drip, found.burst_limit) == (12.5, 90, 1.5, 20)
    assert RateHeaders.parse({"X-LS-API-Bucket-Level": "full", "X-LS-API-Drip-Rate": "-1"}) == RateHeaders()


def test_d9_size_and_a_decimal_drip_are_read_from_every_answer() -> None:
    """Sizes of 60, 90 and 180 were recorded, and levels of fourteen digits."""
    for size, drip in (("60", "1"), ("90", "1.5"), ("180", "5.5")):
        found = RateHeaders.parse({"X-Ls-Api-Bucket-Level": f"9.2179536819447/{size}", "X-LS-API-Drip-Rate": drip})
        assert (found.level, found.size, found.drip) == (9.2179536819447, float(size), float(drip))


def test_d11_retry_after_in_digits_is_read() -> None:
    """An HTTP date is read as well (RFC 9110, section 10.2.3)."""
    assert retry_after("17", NOON) == 17
