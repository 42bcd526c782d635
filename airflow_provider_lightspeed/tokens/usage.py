"""What extracts last saw of the accounts' leaky buckets, from the asset events that they raise."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from airflow_provider_lightspeed.compat import new_session


def last_buckets(account_ids: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """Return the facts of each account's newest asset event; accounts without one are missing."""
    from airflow.models.asset import AssetEvent, AssetModel
    from sqlalchemy import select

    found: dict[str, Mapping[str, Any]] = {}
    session = new_session()
    try:
        for account_id in account_ids:
            uri = f"lightspeed://{account_id}/"
            newest = session.scalar(
                select(AssetEvent.extra)
                .join(AssetModel, AssetModel.id == AssetEvent.asset_id)
                .where(AssetModel.uri.startswith(uri, autoescape=True))
                .order_by(AssetEvent.timestamp.desc())
                .limit(1)
            )
            if newest:
                found[account_id] = newest
    finally:
        session.close()
    return found
