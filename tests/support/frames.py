"""What an exception carries away: the locals of all its frames, as they print and as Sentry's client sends them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sentry_sdk
from sentry_sdk.transport import Transport
from sentry_sdk.utils import event_from_exception


class Known:
    """Secrets by name, for tests: whose own frames are among those that are searched."""

    def __init__(self, **secrets: str) -> None:
        self._secrets = secrets

    def __repr__(self) -> str:
        return f"secrets: {', '.join(self._secrets)}"

    def add(self, name: str, secret: str) -> None:
        """Know one more."""
        self._secrets[name] = secret

    def found_in(self, text: str) -> list[str]:
        """Return the names of the secrets that a text holds."""
        return [name for name, secret in self._secrets.items() if secret and secret in text]


def leaks(error: BaseException, known: Known) -> list[str]:
    """Return the places of an exception, and of those that led to it, that hold a secret."""
    return [f"{name} in {place}" for place, text in _texts(error) for name in known.found_in(text)]


def _texts(error: BaseException) -> Iterator[tuple[str, str]]:
    for link in _chain(error):
        kind = type(link).__name__
        yield f"the text of {kind}", f"{link} {link!r} {getattr(link, '__notes__', ())}"
        trace = link.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            for name, value in trace.tb_frame.f_locals.items():
                yield f"{code.co_filename}:{trace.tb_lineno} {code.co_name}, local {name} ({kind})", repr(value)
            trace = trace.tb_next
    yield "Sentry's event", sent_to_sentry(error)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        if error.__cause__ is not None and error.__cause__ is not error.__context__:
            yield from _chain(error.__cause__)
        error = error.__context__


class _KeptEnvelopes(Transport):
    """Sends nothing; keeps what would be sent."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.kept: list[bytes] = []

    def capture_envelope(self, envelope: Any) -> None:
        self.kept.append(envelope.serialize())


def sent_to_sentry(error: BaseException) -> str:
    """Return what Sentry's client sends of an exception by its default settings, but that nothing is cut short."""
    transport = _KeptEnvelopes()
    client = sentry_sdk.Client(
        dsn="http://key@127.0.0.1:9/1", transport=transport, default_integrations=False, max_value_length=10**6
    )
    event, hint = event_from_exception(error, client_options=client.options)
    client.capture_event(event, hint)
    assert transport.kept
    return b"\n".join(transport.kept).decode(errors="replace")
