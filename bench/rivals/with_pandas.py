"""The same list by hand: requests and pandas.json_normalize, the lines as a second frame, both to Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import requests

from bench.halves import Facts, sale_list


def read(facts: Facts, folder: str) -> dict[str, Any]:
    """Fetch all pages, flatten them and write ``sales.parquet`` and ``lines.parquet``."""
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {facts['access_token']}"
    url, query = sale_list(facts)
    sales: list[dict[str, Any]] = []
    while url:
        reply = session.get(url, params=query, timeout=60)
        reply.raise_for_status()
        page = reply.json()
        sales += page["Sale"]
        url, query = page["@attributes"]["next"], {}
    lines = [line for sale in sales for line in lines_of(sale)]
    pd.json_normalize(sales).to_parquet(f"{folder}/sales.parquet", index=False)
    pd.json_normalize(lines).to_parquet(f"{folder}/lines.parquet", index=False)
    return {}


def lines_of(sale: dict[str, Any]) -> list[dict[str, Any]]:
    """Take the lines out of a sale; a single one comes without its list."""
    lines = sale.pop("SaleLines")["SaleLine"]
    return lines if isinstance(lines, list) else [lines]


def written(folder: str) -> dict[str, int]:
    """Count what is in the files."""
    sales, lines = (pq.read_metadata(Path(folder, name)).num_rows for name in ("sales.parquet", "lines.parquet"))
    return {"rows": sales, "lines": lines}
