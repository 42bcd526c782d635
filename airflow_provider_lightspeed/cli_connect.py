"""``airflow lightspeed connect`` and ``disconnect``: the same consents as the page's, where there is no page."""

from __future__ import annotations

import argparse
import sys
import webbrowser

from airflow_provider_lightspeed.exceptions import InvalidArgument, LightspeedError


def connect_command(arguments: argparse.Namespace) -> None:
    """Print where to give consent, take the redirected URL, store the grant."""
    from airflow_provider_lightspeed.auth.scopes import READ_ONLY
    from airflow_provider_lightspeed.tokens.asker import Asker
    from airflow_provider_lightspeed.tokens.connect import Consents
    from airflow_provider_lightspeed.tokens.probe import probe
    from airflow_provider_lightspeed.tokens.status import status

    flow, conn_id, me = Consents(), arguments.conn_id, str(Asker.current())
    try:
        scope = tuple((arguments.scope or status(conn_id).scope or " ".join(READ_ONLY)).replace(",", " ").split())
        departure = flow.depart(conn_id, scope, user=me, by=me)
        _say("Open this address, log in at Lightspeed as the merchant, and allow access:\n")
        print(departure.url, flush=True)
        if arguments.open:
            webbrowser.open(departure.url)
        _say("\nThen paste the whole address that you are sent to, be it an error page, within a minute:")
        attempt = flow.redeem(departure.attempt, departure.state, _line("> "))
        before = flow.replaces(attempt)
        if before and not arguments.yes:
            after = attempt.token and attempt.token.account_id
            _say(f"Connection {conn_id!r} reads account {before} so far; this consent is for account {after}.")
            if _line(f"Read account {after} from now on? [y/N] ").lower() not in ("y", "yes"):
                flow.discard(attempt)
                sys.exit("Nothing was changed; the new grant was revoked.")
        flow.adopt(attempt)
        works, words = probe(conn_id)
    except LightspeedError as error:
        sys.exit(f"error: {error}")
    if not works:
        sys.exit(f"error: the grant is stored, but a first look at the account failed: {words}")
    print(f"{conn_id}: {words}")


def disconnect_command(arguments: argparse.Namespace) -> None:
    """Revoke a connection's grant at Lightspeed and forget its tokens."""
    from airflow_provider_lightspeed.tokens.asker import Asker
    from airflow_provider_lightspeed.tokens.connect import Consents
    from airflow_provider_lightspeed.tokens.status import partners

    conn_id = arguments.conn_id
    try:
        others = partners(conn_id)
        if others:
            _say(f"The same grant serves {', '.join(others)}: what ends here ends there.")
        if not arguments.yes and _line(f"Revoke the grant of {conn_id!r} at Lightspeed? [y/N] ").lower() not in (
            "y",
            "yes",
        ):
            sys.exit("Nothing was changed.")
        Consents().disconnect(conn_id, str(Asker.current()))
    except LightspeedError as error:
        sys.exit(f"error: {conn_id} is still connected, its tokens are kept: {error}")
    print(f"{conn_id}: disconnected, the grant was revoked at Lightspeed")


def _say(words: str) -> None:
    """Speak to the person; what a script wants stands alone on standard output."""
    print(words, file=sys.stderr, flush=True)


def _line(prompt: str) -> str:
    """Read a line. A terminal by itself cuts lines at 4,096 characters; readline does not.

    :raises InvalidArgument: there was none.
    """
    import contextlib

    if sys.stdin.isatty():
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401
    try:
        return input(prompt if sys.stdin.isatty() else "").strip()
    except EOFError:
        msg = "nothing was entered"
        raise InvalidArgument(msg, field="input", found="", allowed=()) from None
