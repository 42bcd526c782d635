"""The same list through a declarative source of the Airbyte CDK, its messages into a file; there is no destination."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from airbyte_cdk.cli.source_declarative_manifest import run

from bench.halves import Facts, sale_list
from bench.rivals.messages import counted, messages, stdout_into

MANIFEST: Final = Path(__file__).with_name("airbyte.yaml")
CATALOG: Final = {
    "streams": [
        {
            "stream": {"name": "sale", "json_schema": {}, "supported_sync_modes": ["full_refresh"]},
            "sync_mode": "full_refresh",
            "destination_sync_mode": "overwrite",
        }
    ]
}


def read(facts: Facts, folder: str) -> dict[str, Any]:
    """Run the command ``source-declarative-manifest read`` with its messages in ``messages.jsonl``."""
    address, query = sale_list(facts)
    config, catalog = Path(folder, "config.json"), Path(folder, "catalog.json")
    # The query is part of the address: the CDK would make a list of a parameter that looks like one.
    config.write_text(json.dumps({"address": f"{address}?{urlencode(query)}", "access_token": facts["access_token"]}))
    catalog.write_text(json.dumps(CATALOG))
    files = {"--config": config, "--catalog": catalog, "--manifest-path": MANIFEST}
    sys.argv = ["source-declarative-manifest", "read", *(str(part) for pair in files.items() for part in pair)]
    with stdout_into(Path(folder, "messages.jsonl")):
        run()
    return {}


def written(folder: str) -> dict[str, int]:
    """Count what the source said."""
    return counted(message["record"]["data"] for message in messages(Path(folder, "messages.jsonl")))
