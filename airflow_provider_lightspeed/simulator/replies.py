"""Answers in the API's own dress: header names in their documented casing, error bodies, XML for who forgets JSON."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Final
from xml.etree import ElementTree

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from airflow_provider_lightspeed.simulator.errors import OAuthError
from airflow_provider_lightspeed.simulator.faults import Action, Fault
from airflow_provider_lightspeed.simulator.limits import Verdict

JSON: Final = "application/json"
XML: Final = "application/vnd.merchantos.pos-v1+xml"
HTML: Final = "text/html; charset=UTF-8"


def reply(
    status: int, body: bytes, content_type: str, now: float, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a response whose header names keep their casing, which Starlette would fold.

    :param now: epoch seconds for the ``Date`` header: clients judge token lifetimes by it.
    """
    response = Response(status_code=status)
    response.body = body
    named = {
        "Date": formatdate(now, usegmt=True),
        "Content-Type": content_type,
        "Content-Length": str(len(body)),
        **(headers or {}),
    }
    response.raw_headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in named.items()]
    return response


def json_reply(status: int, data: Any, now: float, headers: Mapping[str, str] | None = None) -> Response:
    """Return ``data`` as JSON."""
    return reply(status, json.dumps(data).encode(), JSON, now, headers)


def oauth_error(error: OAuthError, now: float) -> Response:
    """Return an OAuth error with its documented body; ``Retry-After`` only on 429."""
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return json_reply(error.status, error.body(), now, {"Cache-Control": "no-store", **headers})


def api_error_body(status: int, message: str, error_class: str | None = "Exception") -> bytes:
    """Return an API error as recorded: strings only, slashes escaped.

    :param error_class: None leaves it out, as newer recordings do.
    """
    data = {"httpCode": str(status), "httpMessage": HTTPStatus(status).phrase, "message": message}
    data |= {"errorClass": error_class} if error_class else {}
    return json.dumps(data).replace("/", "\\/").encode()


def limit_headers(verdict: Verdict, cost: float) -> dict[str, str]:
    """Return the documented rate limit headers; the last two only on a refusal.

    :param cost: what the request costs, in drips. The documented 429 shows it too.
    """
    headers = {
        "X-LS-Api-Bucket-Level": f"{verdict.level:.13g}/{verdict.size:g}",
        "X-LS-Api-Burst-Level": f"{verdict.burst}/{verdict.burst_limit}",
        "X-LS-Api-Drip-Rate": f"{verdict.drip:g}",
        "X-LS-Api-Request-Cost": f"{cost:g}",
    }
    if verdict.refused is not None:
        headers |= {"X-LS-API-RateLimit-Type": verdict.refused.value, "Retry-After": str(verdict.retry_after)}
    return headers


def to_xml(body: bytes) -> bytes:
    """Return a JSON body as XML, the API's default format for clients that ask for nothing else."""
    data = json.loads(body)
    names = [name for name in data if name != "@attributes"]
    root = ElementTree.Element(f"{names[0]}s" if len(names) == 1 else "Response")
    _fill(root, data)
    xml: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return xml


def _fill(parent: ElementTree.Element, value: Any) -> None:
    if not isinstance(value, dict):
        parent.text = str(value)
        return
    for name, inner in value.items():
        if name == "@attributes":
            parent.attrib.update({key: str(text) for key, text in inner.items()})
            continue
        for each in inner if isinstance(inner, list) else [inner]:
            _fill(ElementTree.SubElement(parent, name), each)


def gateway_page(status: int) -> bytes:
    """Return the HTML page of a gateway that has no answer from behind."""
    title = f"{status} {HTTPStatus(status).phrase}"
    return f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\r\n".encode()


def faulty_reply(fault: Fault, answer: Response | None, now: float) -> Response:
    """Return what a fault makes of an answer; ``answer`` is None if the request was not carried out."""
    match fault.action:
        case Action.STATUS:
            body = gateway_page(fault.status) if fault.body is None else fault.body.encode()
            return reply(fault.status, body, fault.content_type, now, fault.headers)
        case Action.HTML:
            body = gateway_page(200) if fault.body is None else fault.body.encode()
            return reply(200, body, HTML, now, fault.headers)
        case Action.UNAUTHORIZED:
            return oauth_error(OAuthError.access_denied("Access token could not be verified"), now)
        case Action.RATE_LIMITED:
            return reply(429, api_error_body(429, "Rate limit exceeded."), HTML, now)
        case Action.TRY_LATER:
            return reply(400, api_error_body(400, "Please try again later."), HTML, now)
        case Action.TRUNCATE | Action.RESET | Action.HANG:
            return BrokenResponse(fault, answer)
        case _:
            if answer is None:
                msg = f"{fault.action} needs an answer to work on"
                raise ValueError(msg)
            return answer


class BrokenResponse(Response):
    """No proper answer: the connection ends early. Needs the server's transport in ``scope["state"]``."""

    def __init__(self, fault: Fault, answer: Response | None) -> None:
        super().__init__(status_code=200 if answer is None else answer.status_code)
        self._fault = fault
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send as much as the fault lets through and end the connection."""
        transport = scope.get("state", {}).get("transport")
        if transport is None:
            raise ConnectionResetError(self._fault.action)
        if self._fault.action is Action.TRUNCATE and self._answer is not None:
            await self._send_part(self._answer, send)
            transport.close()
        elif self._fault.action is Action.HANG:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(_gone(receive), self._fault.seconds)
            transport.close()
        else:
            linger = struct.pack("ii", 1, 0)  # closing without lingering sends RST instead of FIN
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()
        await _gone(receive)

    async def _send_part(self, answer: Response, send: Send) -> None:
        body = bytes(answer.body)
        part = len(body) // 2 if self._fault.bytes is None else self._fault.bytes
        await send({"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers})
        await send({"type": "http.response.body", "body": body[:part], "more_body": True})


async def _gone(receive: Receive) -> None:
    """Wait until the connection is closed."""
    while (await receive())["type"] != "http.disconnect":
        pass
