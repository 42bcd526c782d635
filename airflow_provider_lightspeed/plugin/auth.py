"""Who may do what on the page: Airflow's login, the auth manager's rights on connections, and proof that a form is ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final
from urllib.parse import parse_qs

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import ConnectionDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import Depends, HTTPException, Request
from itsdangerous import BadSignature, URLSafeTimedSerializer

from airflow_provider_lightspeed.compat import conf
from airflow_provider_lightspeed.tokens.create import is_addressable
from airflow_provider_lightspeed.tokens.home import team_names, team_of

#: Bytes; a form of ours has a few short fields and a pasted URL.
MAX_FORM: Final = 65_536
#: Seconds that an open page's forms stay good: a working day.
FORM_LIFE: Final = 12 * 3600


class Form:
    """The fields of a posted form. It prints their names alone: error reporters send local variables."""

    __slots__ = ("_fields",)

    def __init__(self, body: bytes) -> None:
        self._fields = parse_qs(body.decode(errors="replace"), keep_blank_values=True)

    def __repr__(self) -> str:
        return f"Form({', '.join(sorted(self._fields))})"

    def all(self, name: str) -> tuple[str, ...]:
        """Return all values of a field."""
        return tuple(self._fields.get(name, ()))

    def first(self, name: str) -> str:
        """Return a field's first value without blanks around it, empty if there is none."""
        return "".join(self.all(name)[:1]).strip()


def may(method: str, user: Any, conn_id: str | None, team: str | None = None) -> bool:
    """Tell whether the auth manager lets this user read (``GET``), create (``POST``) or edit (``PUT``) the connection."""
    details = ConnectionDetails(conn_id=conn_id, team_name=team)
    return bool(get_auth_manager().is_authorized_connection(method=method, details=details, user=user))  # type: ignore[arg-type]


def teams_to_create_in(user: Any) -> list[str | None]:
    """Return the teams that the user may create connections in; ``None`` is no team: every team may use it."""
    return [team for team in (None, *team_names()) if may("POST", user, None, team)]


def requires(method: str) -> Callable[[Request, Any], None]:
    """Return a dependency that refuses whoever may not do this with the connection in the path, or with any.

    Who may create connections in some team gets through; the form checks which.

    Airflow's own (``requires_access_connection``) looks for a team in a JSON body where there are teams, and answers a
    form, and a page, with 400.

    :raises HTTPException: 403; 404 for an ID that a browser or a proxy may make another one of.
    """

    # Not async, so in a thread: the database has the team, and some auth managers ask a server of their own.
    def check(request: Request, user: GetUserDep) -> None:
        conn_id = request.path_params.get("connection_id")
        if conn_id is not None and not is_addressable(conn_id):
            raise HTTPException(404, "No page can name this connection; use the command line")
        if method == "POST":
            is_allowed = bool(teams_to_create_in(user))
        else:
            is_allowed = may(method, user, conn_id, team_of(conn_id) if conn_id else None)
        if not is_allowed:
            raise HTTPException(403, "Forbidden")

    return check


def user_id(user: Any) -> str:
    """Return what names the user for ever, for binding things to them."""
    return str(user.get_id())


class Seal:
    """Signs what goes through the browser and must come back as it was, with the key that all API servers share."""

    def __init__(self, purpose: str, life: int) -> None:
        self._purpose = purpose
        self._life = life

    def _serializer(self) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(conf.get("api", "secret_key"), salt=f"lightspeed-{self._purpose}")

    def sign(self, value: Any) -> str:
        """Return the value as signed text."""
        return str(self._serializer().dumps(value))

    def read(self, text: str) -> Any | None:
        """Return the value if the text is ours and not too old, else ``None``."""
        try:
            return self._serializer().loads(text, max_age=self._life)
        except BadSignature:
            return None


FORMS: Final = Seal("form", FORM_LIFE)


async def posted(request: Request) -> Form:
    """Return the posted form.

    :raises HTTPException: 413 on a body larger than any form of ours.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM:
            raise HTTPException(413, "The form is too large")
    return Form(body)


FormDep = Annotated[Form, Depends(posted)]


async def require_own_form(request: Request, user: GetUserDep, form: FormDep) -> None:
    """Refuse a form that another site, or another user's page, has made the browser post.

    :raises HTTPException: 403.
    """
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise HTTPException(403, "The form was not sent from this page")
    if FORMS.read(form.first("form_token")) != user_id(user):
        raise HTTPException(403, "This page is too old, or was opened by somebody else. Go back, reload it, try again")
