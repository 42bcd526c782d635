"""Signs what this package keeps in Airflow's variables: whoever may only set variables must not be able to forge it.

Who may edit connections may read and replace tokens anyway; the right on variables is another one, and often a weaker one.
So what lies there carries an HMAC-SHA256. Its keys are derived (HKDF, RFC 5869) from Airflow's Fernet keys: the first one
signs, each of them verifies, as they encrypt and decrypt.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from functools import cache
from typing import Any

from airflow_provider_lightspeed.compat import shared_secrets


class Signer:
    """Signs texts for one purpose; a signature for another purpose does not verify.

    :param purpose: what is signed.
    """

    def __init__(self, purpose: str) -> None:
        self._purpose = purpose

    def sign(self, *parts: str | int) -> str:
        """Return the signature of the parts, empty if this deployment has no key to sign with."""
        keys = _keys(self._purpose, shared_secrets())
        return _mac(keys[0], parts) if keys else ""

    def verifies(self, signature: Any, *parts: str | int) -> bool:
        """Tell whether this deployment has signed the parts, with any of its keys."""
        return any(_is_mac(signature, key, parts) for key in _keys(self._purpose, shared_secrets()))

    def is_current(self, signature: Any, *parts: str | int) -> bool:
        """Tell whether the parts are signed with the first key: the others are about to go."""
        return any(_is_mac(signature, key, parts) for key in _keys(self._purpose, shared_secrets())[:1])


def _is_mac(signature: Any, key: bytes, parts: tuple[str | int, ...]) -> bool:
    return isinstance(signature, str) and signature.isascii() and hmac.compare_digest(signature, _mac(key, parts))


def _mac(key: bytes, parts: tuple[str | int, ...]) -> str:
    return hmac.new(key, json.dumps(parts).encode(), hashlib.sha256).hexdigest()


@cache
def _keys(purpose: str, secrets: tuple[str, ...]) -> tuple[bytes, ...]:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    info = f"airflow-provider-lightspeed {purpose}".encode()
    return tuple(HKDF(SHA256(), 32, None, info).derive(secret.encode()) for secret in secrets)
