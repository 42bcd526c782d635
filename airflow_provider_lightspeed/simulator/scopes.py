"""The access scopes a client may ask for (documentation page "Access scopes")."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from airflow_provider_lightspeed.simulator.errors import OAuthError

SCOPES: Final = frozenset(
    {
        "employee:admin",
        "employee:admin_employees",
        "employee:admin_inventory",
        "employee:admin_purchases",
        "employee:admin_shops",
        "employee:admin_void_sale",
        "employee:all",
        "employee:categories",
        "employee:customers",
        "employee:customers_read",
        "employee:customers_view_gift_card_numbers",
        "employee:inventory",
        "employee:inventory_counts",
        "employee:inventory_counts_reconcile",
        "employee:inventory_read",
        "employee:manufacturers",
        "employee:product_cost",
        "employee:product_edit",
        "employee:purchase_orders",
        "employee:register",
        "employee:register_layaway",
        "employee:register_read",
        "employee:register_refund",
        "employee:reports",
        "employee:special_orders",
        "employee:tags",
        "employee:transfers",
        "employee:vendor_returns",
        "employee:vendors",
        "employee:workbench",
    }
)


def parse_scope(text: str) -> tuple[str, ...]:
    """Return the scopes of an authorize request, joined by spaces or ``+``.

    :raises OAuthError: 400 ``invalid_scope`` when there is none or one is not on the documented list.
    """
    names = tuple(dict.fromkeys(text.replace("+", " ").split()))
    for name in names:
        if name not in SCOPES:
            raise OAuthError.invalid_scope(name)
    if not names:
        raise OAuthError.invalid_scope("")
    return names


def may_read(granted: Collection[str], wanted: Collection[str]) -> bool:
    """Tell whether scopes open a resource for reading.

    :param granted: scopes of the token; ``employee:all`` opens everything, ``employee:x_read`` what ``employee:x`` opens.
    :param wanted: scopes that the resource's page names; one of them is enough, none means that no page names any. Pages
        name some that nobody can be granted.
    """
    if not wanted or "employee:all" in granted:
        return True
    return any(name in granted or f"{name}_read" in granted for name in wanted)
