"""Access tokens are JWTs that anybody can verify by the published key."""

from __future__ import annotations

import jwt

from airflow_provider_lightspeed.simulator.jwt_keys import SigningKey


def test_published_key_verifies_what_was_signed() -> None:
    """RS256; the header names the key in the set (RFC 7517)."""
    key = SigningKey()
    token = key.sign({"sub": "1", "acct": 7})
    (published,) = jwt.PyJWKSet.from_dict(key.jwks()).keys
    assert jwt.get_unverified_header(token)["kid"] == published.key_id == key.key_id
    assert jwt.decode(token, published.key, algorithms=["RS256"]) == {"sub": "1", "acct": 7}
