"""The pages under ``/lightspeed``: every one behind Airflow's login and the auth manager's rights on connections.

Who may read connections sees; who may edit them connects, tests, disconnects and takes over; who may create them creates.
The permission is a dependency of the router, so that a route cannot be added without one.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from typing import Annotated, Any, Final

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import Response

from airflow_provider_lightspeed.exceptions import LightspeedError, LightspeedRetriableError
from airflow_provider_lightspeed.plugin import shell
from airflow_provider_lightspeed.plugin.auth import (
    FormDep,
    may,
    require_own_form,
    requires,
    teams_to_create_in,
    user_id,
)
from airflow_provider_lightspeed.plugin.pages import Message, at_length, go, in_thread, path_of, render
from airflow_provider_lightspeed.plugin.paths import home
from airflow_provider_lightspeed.plugin.views import Card, newest_bucket, scope_choices
from airflow_provider_lightspeed.redact import Secret, describe_fault
from airflow_provider_lightspeed.tokens import attempts
from airflow_provider_lightspeed.tokens.connect import Consents
from airflow_provider_lightspeed.tokens.create import NewConnection, create, is_addressable
from airflow_provider_lightspeed.tokens.home import team_of
from airflow_provider_lightspeed.tokens.probe import probe
from airflow_provider_lightspeed.tokens.refresh import take_over
from airflow_provider_lightspeed.tokens.status import Status, connection_ids, partners, report_fault, status
from airflow_provider_lightspeed.tokens.usage import last_buckets

log = logging.getLogger(__name__)

reading: Final = APIRouter(dependencies=[Depends(requires("GET"))])
editing: Final = APIRouter(dependencies=[Depends(requires("PUT"))])
acting: Final = APIRouter(dependencies=[Depends(requires("PUT")), Depends(require_own_form)])
creating: Final = APIRouter(dependencies=[Depends(requires("POST"))])
ROUTERS: Final = (reading, editing, acting, creating)


def consents() -> Consents:
    """Return the authorization code flow; replaced in tests that have no server to talk to."""
    return Consents()


ConsentsDep = Annotated[Consents, Depends(consents)]


@reading.get("/")
async def overview(request: Request, user: GetUserDep) -> Response:
    """Every connection that the user may see."""

    def look() -> tuple[list[Card], bool]:
        seen = [found for conn_id in connection_ids() if (found := _visible(user, conn_id))]
        buckets = _buckets({found.account_id for found, _ in seen if found.account_id})
        return [_card(*found, buckets) for found in seen], bool(teams_to_create_in(user))

    cards, may_create = await in_thread(look)
    return render(request, "overview.html", user, cards=cards, may_create=may_create)


def _visible(user: Any, conn_id: str) -> tuple[Status, bool] | None:
    """Return one connection's state and whether the user may edit it, ``None`` if they may not see it.

    It stands alone: whatever is wrong with one connection, the others are shown.
    """
    try:
        found = status(conn_id)
        if not may("GET", user, conn_id, found.team):
            return None
        return found, is_addressable(conn_id) and may("PUT", user, conn_id, found.team)
    except Exception as error:  # noqa: BLE001 - nobody can tell who may see this one
        report_fault(conn_id, error)
        return None


def _buckets(account_ids: set[str]) -> dict[str, Mapping[str, Any]]:
    """Return what extracts last saw of the accounts' buckets; the page is shown without it too."""
    try:
        return last_buckets(account_ids)
    except Exception as error:  # noqa: BLE001 - whatever somebody has put into an asset event
        log.warning("what extracts saw of the rate limits could not be read: %s", describe_fault(error))
        return {}


def _card(found: Status, may_edit: bool, buckets: Mapping[str, Mapping[str, Any]]) -> Card:
    try:
        return Card.of(newest_bucket(found, buckets.get(found.account_id)), may_edit=may_edit)
    except Exception as error:  # noqa: BLE001 - one bad connection must not hide the others
        bare = Status(found.conn_id, team=found.team, attention=(report_fault(found.conn_id, error),))
        return Card.of(bare, may_edit=False)


@creating.get("/new")
async def new(request: Request, user: GetUserDep) -> Response:
    """The form for a new connection."""
    teams = await in_thread(teams_to_create_in, user)
    return render(request, "new.html", user, scopes=scope_choices(()), filled={}, error="", teams=teams)


@creating.post("/new", dependencies=[Depends(require_own_form)])
async def make_new(request: Request, user: GetUserDep, form: FormDep) -> Response:
    """Store a new connection and go on to its consent."""
    filled = {name: form.first(name) for name in ("conn_id", "client_id", "host", "auth_url", "team")}
    client_secret, scope = Secret(form.first("client_secret")), form.all("scope")
    teams = await in_thread(teams_to_create_in, user)
    if (filled["team"] or None) not in teams:
        raise HTTPException(403, "You may not create connections of this team")
    try:
        new = NewConnection.read(filled, client_secret, scope)
        may_replace = await in_thread(lambda: may("PUT", user, new.conn_id, team_of(new.conn_id)))
        await in_thread(create, new, user.get_name(), may_replace=may_replace)
    except LightspeedError as error:
        # The client secret that was typed does not come back to the browser.
        facts = {"scopes": scope_choices(scope), "filled": filled, "error": str(error), "teams": teams}
        return render(request, "new.html", user, status=422, **facts)
    return go(path_of("connect", filled["conn_id"]), Message("good", f"Connection {filled['conn_id']} is stored."))


@editing.get("/connect/{connection_id:path}")
async def connecting(request: Request, user: GetUserDep, connection_id: str) -> Response:
    """What will be asked for at Lightspeed, and where to paste the redirected URL."""
    found = await in_thread(status, connection_id)
    if not found.source:
        return go(home(), Message("bad", f"Connection {connection_id}: {'; '.join(found.attention)}."))
    page = render(
        request,
        "connect.html",
        user,
        card=Card.of(found, may_edit=True),
        scopes=scope_choices(tuple(found.scope.split())),
    )
    page.headers["Content-Security-Policy"] = shell.content_security_policy(found.auth_url)
    return page


@acting.post("/connect/{connection_id:path}")
async def depart(user: GetUserDep, connection_id: str, form: FormDep, flow: ConsentsDep) -> Response:
    """Send the user to Lightspeed."""
    try:
        departure = await in_thread(
            flow.depart, connection_id, form.all("scope"), user=user_id(user), by=user.get_name()
        )
        await in_thread(attempts.keep, departure.state, departure.attempt)
    except LightspeedError as error:
        return go(path_of("connect", connection_id), Message("bad", str(error)))
    return go(departure.url)


@editing.get("/callback")
@editing.get("/callback/")  # registered with a slash at its end: a redirect would take the code into the access log
async def come_back(request: Request, user: GetUserDep, flow: ConsentsDep) -> Response:
    """The registered redirect URI: the user comes back from Lightspeed with a code."""
    return await _arrive(user, flow, Secret(f"?{request.scope[shell.QUERY].reveal()}"))


@acting.post("/callback")
async def paste(user: GetUserDep, flow: ConsentsDep, form: FormDep) -> Response:
    """The same for a redirect URI that leads elsewhere: the user pastes the address they were sent to."""
    return await _arrive(user, flow, Secret(form.first("redirected")))


async def _arrive(user: Any, flow: Consents, redirected: Secret) -> Response:
    state = attempts.state_of(redirected.reveal())
    try:
        attempt = await in_thread(attempts.take, state, user_id(user))
        await _require_edit(user, attempt.conn_id)
        attempt = await at_length(flow.redeem, attempt, state, redirected.reveal())
        # Stored before anything else can go wrong: from here on the grant exists.
        key = Secret(secrets.token_urlsafe(32))
        await in_thread(attempts.keep, key, attempt)
        if await in_thread(flow.replaces, attempt):
            return go(path_of(f"confirm/{key.reveal()}"))
    except LightspeedError as error:
        return go(home(), Message("bad", f"Not connected: {error}"))
    return await _finish(user, flow, key)


async def _finish(user: Any, flow: Consents, key: Secret) -> Response:
    """Store the waiting pair; until that is done it goes on waiting, whatever goes wrong."""
    try:
        attempt = await in_thread(attempts.waiting, key, user_id(user))
        await at_length(flow.adopt, attempt)
    except LightspeedRetriableError as error:
        return go(path_of(f"confirm/{key.reveal()}"), Message("bad", str(error)))
    except LightspeedError as error:
        return go(home(), Message("bad", f"Not connected: {error}"))
    await in_thread(attempts.forget, key)
    works, words = await at_length(probe, attempt.conn_id)
    text = words if works else f"the grant is stored, but a first look at the account failed: {words}"
    return go(home(), Message("good" if works else "bad", f"{attempt.conn_id}: {text}."))


async def _require_edit(user: Any, conn_id: str) -> None:
    if not await in_thread(lambda: may("PUT", user, conn_id, team_of(conn_id))):
        raise HTTPException(403, "You may not edit this connection")


@editing.get("/confirm/{key}")
async def confirming(request: Request, user: GetUserDep, key: str, flow: ConsentsDep) -> Response:
    """Another account than before: a person decides."""
    attempt = await in_thread(attempts.look, Secret(key), user_id(user))
    if attempt is None or attempt.token is None:
        return go(home(), Message("bad", "There is nothing to confirm (any more). Start again with Connect."))
    before = await in_thread(flow.replaces, attempt)
    after = attempt.token.account_id
    return render(request, "confirm.html", user, key=key, conn_id=attempt.conn_id, before=before, after=after)


@acting.post("/confirm/{key}")
async def confirm(user: GetUserDep, key: str, form: FormDep, flow: ConsentsDep) -> Response:
    """Take the new account, or give its grant back."""
    waiting = await in_thread(attempts.look, Secret(key), user_id(user))
    if waiting is not None:
        await _require_edit(user, waiting.conn_id)
    if form.first("decision") == "replace":
        return await _finish(user, flow, Secret(key))
    try:
        attempt = await in_thread(attempts.waiting, Secret(key), user_id(user))
        await at_length(flow.discard, attempt)
    except LightspeedError as error:
        return go(home(), Message("bad", f"Nothing was changed; the new grant was not revoked: {error}"))
    await in_thread(attempts.forget, Secret(key))
    return go(home(), Message("good", f"{attempt.conn_id}: nothing was changed; the new grant was revoked."))


@acting.post("/test/{connection_id:path}")
async def test(connection_id: str) -> Response:
    """Say whether the stored grant reads the account."""
    works, words = await at_length(probe, connection_id)
    return go(home(), Message("good" if works else "bad", f"{connection_id}: {words}."))


@editing.get("/disconnect/{connection_id:path}")
async def disconnecting(request: Request, user: GetUserDep, connection_id: str) -> Response:
    """What a disconnection means, and for which other connections."""

    def look() -> tuple[Status, list[str], int]:
        found = status(connection_id)
        others = [status(each) for each in partners(connection_id)] if found.source else []
        seen = [each.conn_id for each in others if may("GET", user, each.conn_id, each.team)]
        return found, seen, len(others) - len(seen)

    found, seen, hidden = await in_thread(look)
    if not found.source:
        return go(home(), Message("bad", f"Connection {connection_id}: {'; '.join(found.attention)}."))
    return render(
        request, "disconnect.html", user, card=Card.of(found, may_edit=True), partners=seen, hidden_partners=hidden
    )


@acting.post("/disconnect/{connection_id:path}")
async def disconnect(user: GetUserDep, connection_id: str, flow: ConsentsDep) -> Response:
    """Revoke the grant and forget its tokens."""
    try:
        await at_length(flow.disconnect, connection_id, user.get_name())
    except LightspeedError as error:
        return go(home(), Message("bad", f"{connection_id} is still connected, its tokens are kept: {error}"))
    return go(home(), Message("good", f"{connection_id} is disconnected: its grant was revoked at Lightspeed."))


@acting.post("/take-over/{connection_id:path}")
async def take(user: GetUserDep, connection_id: str) -> Response:
    """Let this deployment go on with tokens that belong to another one."""
    try:
        done = await in_thread(take_over, connection_id, user.get_name())
    except LightspeedError as error:
        return go(home(), Message("bad", f"{connection_id}: {error}"))
    words = (
        "its tokens belong to this deployment now; end the other one's schedule" if done else "no tokens to take over"
    )
    return go(home(), Message("good" if done else "bad", f"{connection_id}: {words}."))
