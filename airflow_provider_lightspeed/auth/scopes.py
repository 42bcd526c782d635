"""The access scopes that a client may ask for, with their documented meaning (docs: authentication/access-scopes)."""

from __future__ import annotations

from typing import Final

from airflow_provider_lightspeed.exceptions import unknown

SCOPES: Final[dict[str, str]] = {
    "employee:register_read": "See sales and their history",
    "employee:inventory_read": "See items and stock",
    "employee:customers_read": "See customers",
    "employee:reports": "See reports",
    "employee:vendor_returns": "See vendor returns",
    "employee:all": "Everything the consenting employee may do, reading and writing",
    "employee:register": "Make sales and see their history",
    "employee:register_refund": "Make refunds",
    "employee:register_layaway": "Make layaway sales",
    "employee:inventory": "See, create, change and archive items and stock",
    "employee:inventory_counts": "See, create and change inventory counts",
    "employee:inventory_counts_reconcile": "Reconcile inventory counts",
    "employee:product_edit": "Create, change and archive products",
    "employee:product_cost": "See and change what products cost",
    "employee:categories": "See, create, change and archive categories",
    "employee:tags": "See, create, change and archive tags",
    "employee:manufacturers": "See, create, change and archive manufacturers",
    "employee:vendors": "See, create, change and archive vendors",
    "employee:purchase_orders": "See, create and change purchase orders",
    "employee:special_orders": "See, create and change special orders",
    "employee:transfers": "See, create, change and archive transfers",
    "employee:customers": "See, create, change and archive customers",
    "employee:customers_view_gift_card_numbers": "See gift card numbers in full",
    "employee:workbench": "See, create, change and archive work orders",
    "employee:admin": "See, create, change and archive administrative records",
    "employee:admin_shops": "See, create, change and archive shops",
    "employee:admin_employees": "See, create, change and archive employees",
    "employee:admin_inventory": "See, create, change and archive vendors and manufacturers",
    "employee:admin_purchases": "See, create, change and archive payment types, discounts and taxes",
    "employee:admin_void_sale": "Void sales",
}

#: Those that let nobody change anything. Other resources have no scope of their own that only reads.
READ_ONLY: Final = (
    "employee:register_read",
    "employee:inventory_read",
    "employee:customers_read",
    "employee:reports",
    "employee:vendor_returns",
)


def checked(scope: tuple[str, ...]) -> tuple[str, ...]:
    """Return the scopes without repetitions, in the order given.

    :raises InvalidArgument: there is none, or one that the documentation does not have.
    """
    for name in scope or ("",):
        if name not in SCOPES:
            raise unknown("scope", name, tuple(SCOPES))
    return tuple(dict.fromkeys(scope))
