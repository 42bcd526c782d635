"""How a request for a refresh ended, and what that means for a person."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_lightspeed.auth.step import Outcome
from airflow_provider_lightspeed.exceptions import (
    InvalidClient,
    LightspeedAuthError,
    LightspeedError,
    LightspeedRetriableError,
    ReconnectRequired,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """How a refresh ended, for the trigger's reply: never a token, never a hint at one.

    :param expires_in: seconds that the stored access token is good for, less its margin; by this side's clock.
    :param retry_after: seconds, where coming back makes sense.
    :param detail: what went wrong, for this side's log; not sent, but for the other connection that has the grant
        (``SHARED``).
    """

    outcome: Outcome
    generation: int = 0
    expires_in: float = 0.0
    retry_after: float = 0.0
    detail: str = ""


def failure(conn_id: str, answer: Answer) -> LightspeedError:
    """Return the error that a bad outcome means for the person who runs the task."""
    reconnect = f"Connect it again: Admin > Lightspeed in Airflow's menu, or `airflow lightspeed connect {conn_id}`."
    match answer.outcome:
        case Outcome.INVALID_CLIENT:
            msg = (
                f"connection {conn_id!r}: Lightspeed refuses the client ID or client secret (invalid_client). "
                "Correct login and password of the connection; nothing more is sent until they change."
            )
            return InvalidClient(msg, conn_id=conn_id)
        case Outcome.INVALID_GRANT:
            msg = (
                f"connection {conn_id!r}: the grant is revoked or expired, or the metadata database was restored from before "
                f"the last refresh (invalid_grant). {reconnect}"
            )
            return ReconnectRequired(msg, conn_id=conn_id)
        case Outcome.DISCONNECTED:
            msg = f"connection {conn_id!r} was disconnected: its grant was revoked at Lightspeed. {reconnect}"
            return ReconnectRequired(msg, conn_id=conn_id)
        case Outcome.NO_GRANT:
            msg = (
                f"connection {conn_id!r}: there is no refresh token for this host, auth_url and client ID. {reconnect}"
            )
            return ReconnectRequired(msg, conn_id=conn_id)
        case Outcome.FOREIGN:
            msg = (
                f"connection {conn_id!r}: its tokens belong to another deployment; this metadata database looks like a "
                "copy, and two deployments on one grant end each other's tokens. If this deployment is to go on with "
                f"them, run `airflow lightspeed take-over {conn_id}`; else put in a refresh token of its own."
            )
            return ReconnectRequired(msg, conn_id=conn_id)
        case Outcome.SHARED:
            msg = (
                f"connection {conn_id!r}: its refresh token is of the grant that {answer.detail or 'another connection'} "
                "uses, and two connections on one grant end each other's tokens. Nothing was sent. Use that connection, or "
                f"give this one a grant of its own: Admin > Lightspeed, or `airflow lightspeed connect {conn_id}`."
            )
            return ReconnectRequired(msg, conn_id=conn_id)
        case Outcome.NO_MATCH:
            msg = (
                f"connection {conn_id!r}: the API server does not know this connection, or holds another token for it. "
                "If the connection comes from an environment variable or a secrets backend, give it to the API server too."
            )
            return LightspeedAuthError(msg, conn_id=conn_id)
        case _:
            msg = f"connection {conn_id!r}: the token could not be refreshed in time. {answer.detail}".rstrip()
            return LightspeedRetriableError(msg, conn_id=conn_id, retry_after=answer.retry_after)
