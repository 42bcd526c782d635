"""Keeps Airflow's log masker small in the API server, which reads rotated tokens for months.

Whenever Airflow 3 hands a connection to a task, it registers all secrets of it with its log masker (3.3:
``Connection.get_extra_dejson``). The masker never forgets one, and compiles all of them into one regular expression each
time that it learns another: after 100 rotations a rotation costs the API server most of a second. So tokens are put among
the masker's patterns when their row is loaded, which is just before Airflow would register them. The masker then learns
nothing new and compiles nothing; when newer tokens come, the older ones are taken out again. Tokens are thus no secrets that
the API server's masker knows. This package logs none there, see ``redact``.
"""

from __future__ import annotations

import json
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from typing import Any, Final

from airflow_provider_lightspeed.compat import connection_masker
from airflow_provider_lightspeed.provider_info import CONNECTION_TYPE
from airflow_provider_lightspeed.tokens.attempts import PREFIX
from airflow_provider_lightspeed.tokens.companion import LEDGER_TYPES
from airflow_provider_lightspeed.tokens.copies import LEDGER_SUFFIX

#: Patterns that are kept, and their characters in all; Airflow compiles them when it learns somebody else's secret.
MOST: Final = 64
LONGEST: Final = 65_536
_TYPES: Final = (CONNECTION_TYPE, *LEDGER_TYPES)


class LatestPatterns:
    """The latest secrets of this package's rows among the patterns of a masker. Safe among threads.

    :param masker: Airflow's ``SecretsMasker``; its set ``patterns`` is changed.
    """

    def __init__(self, masker: Any, *, most: int = MOST, longest: int = LONGEST) -> None:
        self._masker = masker
        self._most = most
        self._longest = longest
        self._latest: OrderedDict[str, None] = OrderedDict()
        self._length = 0
        self._guard = threading.Lock()

    def add(self, secrets: Iterable[str]) -> None:
        """Put secrets among the patterns; beyond the limits, those added longest ago go."""
        with self._guard:
            for pattern in (re.escape(form) for secret in secrets for form in self._forms(secret) if form):
                self._length += 0 if pattern in self._latest else len(pattern)
                self._latest[pattern] = None
                self._latest.move_to_end(pattern)
                self._masker.patterns.add(pattern)
            while self._latest and (len(self._latest) > self._most or self._length > self._longest):
                old, _ = self._latest.popitem(last=False)
                self._length -= len(old)
                self._masker.patterns.discard(old)

    def _forms(self, secret: str) -> Iterator[str]:
        yield secret
        adapter = getattr(self._masker, "secret_mask_adapter", None)  # [logging] secret_mask_adapter
        if adapter:
            forms = adapter(secret)
            yield from [forms] if isinstance(forms, str) else forms


def tokens_in(value: Any, name: str = "") -> Iterator[str]:
    """Yield the texts that stand under a key with ``token`` in its name, as Airflow's masker finds them."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from tokens_in(inner, str(key))
    elif isinstance(value, list):
        for inner in value:
            yield from tokens_in(inner, name)
    elif isinstance(value, str) and value and "token" in name.lower():
        yield value


@cache
def keep_masker_small() -> None:
    """Watch the rows that this process loads from now on. For the API server; calling it twice does no harm."""
    from airflow.models.connection import Connection
    from airflow.models.variable import Variable
    from sqlalchemy import event

    latest = LatestPatterns(connection_masker())

    def on_connection(row: Any, _: Any) -> None:
        if row.conn_type in _TYPES:
            with suppress(Exception):  # a row that cannot be read hands out no secret
                latest.add(tokens_in(json.loads(row.extra or "{}")))

    def on_variable(row: Any, _: Any) -> None:
        if LEDGER_SUFFIX in row.key or row.key.startswith(PREFIX):
            with suppress(Exception):
                latest.add([row.get_val()])

    event.listen(Connection, "load", on_connection, insert=True)
    event.listen(Variable, "load", on_variable, insert=True)  # before Airflow's own, which masks the value
