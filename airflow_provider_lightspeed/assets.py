"""Assets: ``lightspeed://<account>/<Resource>`` names the data of an account, wherever it is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult

if TYPE_CHECKING:
    from airflow_provider_lightspeed.compat import Asset


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Check a ``lightspeed://account/Resource`` URI, as Airflow asks of a scheme's provider.

    :raises ValueError: account or resource is missing, or there is more.
    """
    parts = [part for part in uri.path.split("/") if part]
    if not uri.netloc or len(parts) != 1 or uri.query or uri.fragment:
        msg = "URI format lightspeed:// must be lightspeed://<account id>/<Resource>, such as lightspeed://12345/Sale"
        raise ValueError(msg)
    return uri._replace(path=f"/{parts[0]}")


def resource_asset(account_id: str, resource: str) -> Asset:
    """Return the asset of a resource of an account; in Airflow 2, a dataset, which has a URI and no name."""
    from airflow_provider_lightspeed.compat import AIRFLOW_V_3_0_PLUS
    from airflow_provider_lightspeed.compat import Asset as AssetClass

    fields: dict[str, Any] = {"uri": f"lightspeed://{account_id}/{resource}"}
    if AIRFLOW_V_3_0_PLUS:
        fields["name"] = f"lightspeed/{account_id}/{resource}"
    made: Any = AssetClass(**fields)
    return made  # type: ignore[no-any-return]
