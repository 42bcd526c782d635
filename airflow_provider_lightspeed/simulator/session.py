"""The Session resource: who the token belongs to and what that employee may do (page "Session")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from airflow_provider_lightspeed.simulator.caller import Caller
from airflow_provider_lightspeed.simulator.schema import entity

#: Rights that a scope of another name brings.
_BROUGHT_BY: Final = {"all_read": "all", "allow_login": None}


def session(caller: Caller, employee: Mapping[str, Any], shops: int) -> dict[str, Any]:
    """Return the body: no envelope, no ``@attributes``, every scalar a text.

    :param employee: its row; empty for an employee that the shop does not know.
    :param shops: number of shops.
    """
    granted = {name.removeprefix("employee:") for name in caller.scope}
    rights = {name: _has(name, granted) for name in entity("SessionRights").fields}
    return {
        "sessionID": "",
        "sessionCookie": "PHPSESSID=; path=/",
        "employeeID": caller.employee_id,
        "systemCustomerID": "83050",
        "systemUserID": "170236",
        "systemAPIClientID": "25578",
        "systemAPIKeyID": "1757062",
        "ecomUrl": "https://example.shoplightspeed.com",
        "shopCount": str(shops),
        "Employee": {
            "employeeID": caller.employee_id,
            "firstName": str(employee.get("firstName", "")),
            "lastName": str(employee.get("lastName", "")),
            "singleShop": "false",
            "hasPin": "true",
            "isCheckedIn": "false",
        },
        "Rights": {name: "true" if has else "false" for name, has in rights.items()},
    }


def _has(name: str, granted: set[str]) -> bool:
    scope = _BROUGHT_BY.get(name, name)
    return "all" in granted or scope is None or scope in granted
