"""The URIs of assets."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from airflow_provider_lightspeed.assets import sanitize_uri

pytest.importorskip("airflow")

from airflow_provider_lightspeed.compat import Asset


def test_asset_uri_is_checked() -> None:
    """One account, one resource."""
    assert sanitize_uri(urlsplit("lightspeed://12345/Sale/")).geturl() == "lightspeed://12345/Sale"
    with pytest.raises(ValueError, match="lightspeed://<account id>/<Resource>"):
        sanitize_uri(urlsplit("lightspeed://12345"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_asset_of_an_account_is_the_same_dataset() -> None:
    """A task with the asset among its inlets hangs on the same node as the extract's input."""
    pytest.importorskip("airflow.providers.openlineage")
    from airflow.providers.openlineage.utils.utils import translate_airflow_asset

    dataset = translate_airflow_asset(Asset(uri="lightspeed://12345/Sale", name="sales"), None)
    assert dataset is not None
    assert (dataset.namespace, dataset.name) == ("lightspeed://api.lightspeedapp.com", "12345/Sale")
