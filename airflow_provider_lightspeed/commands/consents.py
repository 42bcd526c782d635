"""``connect`` and ``disconnect``: the same consents as the page's, where there is no page."""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from typing import Final

from airflow_provider_lightspeed.auth.scopes import READ_ONLY
from airflow_provider_lightspeed.exceptions import (
    InvalidArgument,
    LightspeedError,
    LightspeedRetriableError,
    ServerFault,
)
from airflow_provider_lightspeed.tokens.asker import Asker
from airflow_provider_lightspeed.tokens.attempts import Attempt
from airflow_provider_lightspeed.tokens.connect import Consents
from airflow_provider_lightspeed.tokens.probe import probe
from airflow_provider_lightspeed.tokens.status import partners, status

_END_OF_INPUT: Final = b"\x04"
_ERASE: Final = (b"\x08", b"\x7f")


def connect(arguments: argparse.Namespace) -> None:
    """Print where to give consent, take the redirected URL, store the grant."""
    flow, conn_id, me = Consents(), arguments.conn_id, str(Asker.current())
    departure = flow.depart(conn_id, _scope(conn_id, arguments.scope), user=me, by=me)
    _say("Open this address, log in at Lightspeed as the merchant, and allow access:\n")
    print(departure.url, flush=True)
    if arguments.open:
        webbrowser.open(departure.url)
    _say("\nThen paste the whole address that you are sent to, be it an error page, within a minute:")
    attempt = flow.redeem(departure.attempt, departure.state, _line("> "))
    if not _settle(flow, attempt, is_sure=arguments.yes):
        sys.exit("Nothing was changed; the new grant was revoked.")
    works, words = probe(conn_id)
    if not works:
        msg = f"the grant is stored, but a first look at the account failed: {words}"
        raise ServerFault(msg, conn_id=conn_id)
    print(f"{conn_id}: {words}")


def _scope(conn_id: str, given: list[str] | None) -> tuple[str, ...]:
    """Return the scopes to ask for: those given, else the connection's own, else the ones that only read."""
    text = " ".join(given or ()) or status(conn_id).scope or " ".join(READ_ONLY)
    return tuple(text.replace(",", " ").split())


def _settle(flow: Consents, attempt: Attempt, *, is_sure: bool) -> bool:
    """Store the grant if it is wanted, and tell whether it is; one that is not stored is revoked: nobody else has it."""
    try:
        is_wanted = is_sure or _accepts(attempt, flow.replaces(attempt))
    except BaseException:  # Ctrl-C and the end of the input are no yes
        _give_back(flow, attempt)
        raise
    if not is_wanted:
        flow.discard(attempt)
        return False
    try:
        flow.adopt(attempt)
    except LightspeedRetriableError:  # nothing was stored, and here is no page on which to try once more
        _give_back(flow, attempt)
        raise
    return True


def _give_back(flow: Consents, attempt: Attempt) -> None:
    """Revoke a grant on the way out; what ended the command is what it reports, so a failure is only said."""
    try:
        flow.discard(attempt)
    except LightspeedError as error:
        _say(f"The new grant is still alive: end it in Lightspeed's settings ({error.message})")


def _accepts(attempt: Attempt, before: str | None) -> bool:
    """Ask, if the consent is for another account than the connection's."""
    if before is None:
        return True
    after = attempt.token and attempt.token.account_id
    _say(f"Connection {attempt.conn_id!r} reads account {before} so far; this consent is for account {after}.")
    return _line(f"Read account {after} from now on? [y/N] ").lower() in ("y", "yes")


def disconnect(arguments: argparse.Namespace) -> None:
    """Revoke a connection's grant at Lightspeed and forget its tokens."""
    conn_id = arguments.conn_id
    others = partners(conn_id)
    if others:
        _say(f"The same grant serves {', '.join(others)}: what ends here ends there.")
    question = f"Revoke the grant of {conn_id!r} at Lightspeed? [y/N] "
    if not arguments.yes and _line(question).lower() not in ("y", "yes"):
        sys.exit("Nothing was changed.")
    Consents().disconnect(conn_id, str(Asker.current()))
    print(f"{conn_id}: disconnected, the grant was revoked at Lightspeed")


def _say(words: str) -> None:
    """Speak to the person; what a script wants stands alone on standard output."""
    print(words, file=sys.stderr, flush=True)


def _line(prompt: str) -> str:
    """Ask on standard error and read a line.

    :raises InvalidArgument: there was none.
    """
    line = _long_line(prompt, sys.stdin.fileno()) if sys.stdin.isatty() else sys.stdin.readline()
    if not line:
        msg = "nothing was entered"
        raise InvalidArgument(msg, field="input", found="", allowed=())
    return line.strip()


def _long_line(prompt: str, terminal: int) -> str:
    """Read a line of any length: a terminal that assembles lines itself cuts them at 4,096 characters, without a word."""
    import termios

    before = termios.tcgetattr(terminal)
    raw = list(before)
    # Echo and Ctrl-C stay. A terminal that does not assemble lines would echo Enter as ^J, were it to name controls.
    raw[3] &= ~(termios.ICANON | termios.ECHOCTL)
    typed = bytearray()
    try:
        termios.tcsetattr(terminal, termios.TCSADRAIN, raw)
        print(prompt, end="", file=sys.stderr, flush=True)
        while byte := os.read(terminal, 1):
            if byte in (b"\n", _END_OF_INPUT):
                return f"{typed.decode(errors='replace')}\n" if byte == b"\n" or typed else ""
            if byte in _ERASE:
                # The echo of \b has moved the cursor already; that of Delete shows nothing.
                print(" \b" if byte == b"\x08" else "\b \b" if typed else "", end="", file=sys.stderr, flush=True)
                del typed[-1:]
            else:
                typed += byte
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
    return ""
