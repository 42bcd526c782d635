"""What is told of a refresh: Airflow's event log and metrics. Nothing secret is ever passed to this module."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta
from typing import Final

from airflow_provider_lightspeed.auth.ledger import Ledger
from airflow_provider_lightspeed.compat import count_metric, write_event
from airflow_provider_lightspeed.tokens.answer import Answer
from airflow_provider_lightspeed.tokens.asker import Asker

log = logging.getLogger(__name__)

EVENT: Final = "lightspeed.token_refresh"
CREATED: Final = "lightspeed.create"
CONNECTED: Final = "lightspeed.connect"
DISCONNECTED: Final = "lightspeed.disconnect"
TAKEN_OVER: Final = "lightspeed.take_over"
METRIC: Final = "lightspeed.token_refresh"
#: A grant this close to its end is worth a warning.
LAPSE_WARNING: Final = timedelta(days=7)


def note(event: str, conn_id: str, user: str, **facts: str) -> None:
    """Write down what a person did. What is done does not fail over its own record."""
    try:
        write_event(event, owner=user[:500], extra=json.dumps({"conn_id": conn_id, **facts}))
    except Exception as error:  # noqa: BLE001 - of whatever database
        log.warning("connection %r: %s by %s is not in the event log (%s)", conn_id, event, user, type(error).__name__)


def record(conn_id: str, answer: Answer, asker: Asker) -> None:
    """Write the event and count it. A refresh that is done does not fail over its own record."""
    extra = {"conn_id": conn_id, "outcome": answer.outcome.value, "generation": answer.generation}
    labels = {"dag_id": asker.dag_id, "task_id": asker.task_id, "run_id": asker.run_id}
    task = {key: value for key, value in labels.items() if value}
    try:
        write_event(EVENT, owner=str(asker)[:500], extra=json.dumps(extra), **task, map_index=asker.map_index)
        count_metric(METRIC, {"conn_id": conn_id, "outcome": answer.outcome.value})
    except Exception as error:  # noqa: BLE001 - of whatever database and metrics backend
        log.warning("connection %r: the refresh is not in the event log (%s)", conn_id, type(error).__name__)


def warn_of_lapse(conn_id: str, ledger: Ledger, now: datetime) -> bool:
    """Warn, and say so, if the grant is about to die: a refresh token unused for 30 days does (docs: refresh-token)."""
    end = ledger.lapses_at
    if end is None or end - now > LAPSE_WARNING:
        return False
    log.warning(
        "connection %r: the grant lapses on %s unless a refresh succeeds before; see `airflow lightspeed status`",
        conn_id,
        f"{end:%Y-%m-%d %H:%M} UTC",
    )
    return True
