"""The same list through dlt's rest_api source, normalised into two tables and loaded as local Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dlt
import pyarrow.parquet as pq
from dlt.destinations import filesystem
from dlt.sources.helpers.rest_client.paginators import BaseNextUrlPaginator
from dlt.sources.rest_api import rest_api_source
from requests import Response

from bench.halves import Facts, sale_list


class NextLinkPaginator(BaseNextUrlPaginator):
    """Follows ``@attributes.next``. dlt's JSONLinkPaginator takes the last page's empty string for an address."""

    def update_state(self, response: Response, data: list[Any] | None = None) -> None:
        """Remember the next page, None after the last."""
        del data
        self._next_reference = response.json()["@attributes"]["next"] or None


def listed(sale: dict[str, Any]) -> dict[str, Any]:
    """Put a single line into a list; without this dlt spreads it over the columns of the sale."""
    lines = sale["SaleLines"]["SaleLine"]
    if isinstance(lines, dict):
        sale["SaleLines"]["SaleLine"] = [lines]
    return sale


def read(facts: Facts, folder: str) -> dict[str, Any]:
    """Run a pipeline whose state and data are in the folder."""
    dlt.config["runtime.dlthub_telemetry"] = False
    address, query = sale_list(facts)
    source = rest_api_source(
        {
            "client": {
                "base_url": facts["base_url"],
                "auth": {"type": "bearer", "token": facts["access_token"]},
                "paginator": NextLinkPaginator(),
            },
            "resources": [
                {
                    "name": "sale",
                    "primary_key": "saleID",
                    "write_disposition": "replace",
                    "endpoint": {"path": address, "params": query, "data_selector": "Sale"},
                    "processing_steps": [{"map": listed}],
                }
            ],
        }
    )
    pipeline = dlt.pipeline(
        "bench",
        pipelines_dir=f"{folder}/state",
        destination=filesystem(bucket_url=Path(folder, "data").absolute().as_uri()),
        dataset_name="lightspeed",
    )
    pipeline.run(source, loader_file_format="parquet").raise_on_failed_jobs()
    return {}


def written(folder: str) -> dict[str, int]:
    """Count what is in the files of both tables."""
    tables = {"rows": "sale", "lines": "sale__sale_lines__sale_line"}
    dataset = Path(folder, "data", "lightspeed")
    return {
        name: sum(pq.read_metadata(file).num_rows for file in (dataset / table).glob("*.parquet"))
        for name, table in tables.items()
    }
