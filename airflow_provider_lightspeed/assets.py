"""Assets: ``lightspeed://<account>/<Resource>`` names the data of an account, wherever it is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from airflow_provider_lightspeed.settings import DEFAULT_HOST

if TYPE_CHECKING:
    from openlineage.client.event_v2 import Dataset

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


def openlineage_name(account_id: str, resource: str, host: str) -> tuple[str, str]:
    """Return how OpenLineage names the data of an account at the API: namespace and name.

    :param host: of the API, with its port if it has one.
    """
    return f"lightspeed://{host}", f"{account_id}/{resource}"


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> Dataset:
    """Return the OpenLineage dataset of an asset among a task's inlets or outlets; the API's host is taken for granted.

    :param lineage_context: not needed.
    """
    from airflow.providers.common.compat.openlineage.facet import Dataset as DatasetClass

    del lineage_context
    parts = urlsplit(asset.uri)
    namespace, name = openlineage_name(parts.netloc, parts.path.strip("/"), urlsplit(DEFAULT_HOST).netloc)
    return DatasetClass(namespace=namespace, name=name)
