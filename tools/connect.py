"""The OAuth consent of a person, played over real HTTP against the simulator."""

from __future__ import annotations

from datetime import UTC, datetime

import requests

from airflow_provider_lightspeed.auth.flow import (
    OAuthClient,
    Pkce,
    authorize_url,
    code_request,
    parse_redirect,
    parse_token,
)
from airflow_provider_lightspeed.auth.token import Token
from airflow_provider_lightspeed.client.transport import RequestsTransport, oauth_exchange
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess


def consent(simulator: SimulatorProcess, scope: tuple[str, ...] = ("employee:all",)) -> Token:
    """Go through the authorization code flow with PKCE, press Allow, exchange the code, return the pair."""
    client = OAuthClient(simulator.client_id, Secret(simulator.client_secret), simulator.base_url)
    pkce, state = Pkce.generate(), "demo-state"
    url = authorize_url(client, scope=scope, state=state, challenge=pkce.challenge)
    pressed = requests.post(url, data={"decision": "allow"}, allow_redirects=False, timeout=30)
    code = parse_redirect(pressed.headers["Location"], expected_state=state)
    exchange = oauth_exchange(RequestsTransport())
    return parse_token(exchange(code_request(client, code, pkce.verifier)), now=datetime.now(UTC))
