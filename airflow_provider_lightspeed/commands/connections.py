"""``status``, ``refresh`` and ``take-over``: the tokens of connections."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from datetime import datetime

from airflow_provider_lightspeed.commands.output import instant, table, until
from airflow_provider_lightspeed.exceptions import ReconnectRequired
from airflow_provider_lightspeed.tokens.asker import Asker
from airflow_provider_lightspeed.tokens.keep_alive import keep_alive
from airflow_provider_lightspeed.tokens.refresh import take_over as take_over_tokens
from airflow_provider_lightspeed.tokens.status import Status, connection_ids
from airflow_provider_lightspeed.tokens.status import status as status_of


def status(arguments: argparse.Namespace) -> None:
    """Print the state of connections; exit status 1 if one needs a person."""
    found = [status_of(conn_id) for conn_id in arguments.conn_id or connection_ids()]
    if arguments.output == "json":
        print(json.dumps([asdict(each) for each in found], indent=2, default=datetime.isoformat))
    elif not found:
        print("There is no Lightspeed connection. Add one of type 'lightspeed' in Admin > Connections.")
    else:
        _table(found)
    if any(each.attention for each in found):
        sys.exit(1)


def _table(found: list[Status]) -> None:
    table(
        ("CONNECTION", "FROM", "ACCOUNT", "TOKEN", "LAST REFRESH", "FOR", "LAPSES"),
        (
            (
                each.conn_id,
                each.source or "-",
                " ".join(filter(None, (each.account_id, each.account_name))) or "-",
                _token(each),
                instant(each.refreshed_at),
                each.refreshed_by or "-",
                _lapse(each),
            )
            for each in found
        ),
    )
    remarks = [f"! {each.conn_id}: {remark}" for each in found for remark in each.attention]
    if remarks:
        print("", *remarks, sep="\n")


def _token(found: Status) -> str:
    if found.expires_at is None or found.token == "expired":  # noqa: S105 - a state
        return found.token
    return f"{found.token}, {until(found.expires_at)} left"


def _lapse(found: Status) -> str:
    return f"in {until(found.lapses_at)}, {found.lapses_at:%Y-%m-%d}" if found.lapses_at else "-"


def refresh(arguments: argparse.Namespace) -> None:
    """Refresh the tokens that are due; exit status 1 if one could not be."""
    failed = False
    for conn_id in arguments.conn_id or connection_ids():
        try:
            kept = keep_alive(conn_id)
            print(f"{conn_id}: token good until {instant(kept.expires_at)}, the grant until {instant(kept.lapses_at)}")
        except Exception as error:  # noqa: BLE001 - one broken connection does not keep the others from being kept alive
            failed = True
            print(f"{conn_id}: {error}", file=sys.stderr)
    if failed:
        sys.exit(1)


def take_over(arguments: argparse.Namespace) -> None:
    """Make this deployment the owner of a connection's tokens."""
    if not take_over_tokens(arguments.conn_id, str(Asker.current())):
        msg = f"connection {arguments.conn_id!r} has no tokens to take over"
        raise ReconnectRequired(msg, conn_id=arguments.conn_id)
    print(f"{arguments.conn_id}: its tokens belong to this deployment now. End the other one's schedule.")
