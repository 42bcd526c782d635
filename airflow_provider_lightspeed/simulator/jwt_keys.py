"""The key that signs access tokens, and the public half as a JWKS document.

Access tokens are JWTs signed with RS256 whose header names the key (documentation page "Using access tokens").
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa


class SigningKey:
    """An RSA key of 2048 bits, made anew for every simulator.

    :ivar key_id: the ``kid`` of every token signed here.
    """

    def __init__(self) -> None:
        self._private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        numbers = self._private.public_key().public_numbers()
        self._modulus, self._exponent = _base64url(numbers.n), _base64url(numbers.e)
        self.key_id = hashlib.sha256(self._modulus.encode()).hexdigest()[:32]

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return the claims as a signed JWT."""
        return jwt.encode(dict(claims), self._private, algorithm="RS256", headers={"kid": self.key_id})

    def jwks(self) -> dict[str, Any]:
        """Return the JSON Web Key Set (RFC 7517) that verifies the tokens."""
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.key_id, "n": self._modulus, "e": self._exponent}
        return {"keys": [key]}


def _base64url(number: int) -> str:
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
