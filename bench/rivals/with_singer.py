"""The same list through a tap of the Meltano Singer SDK, its messages into a file; there is no target."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import ParseResult

from requests import Response
from singer_sdk import RESTStream, Tap
from singer_sdk import typing as th
from singer_sdk.authenticators import BearerTokenAuthenticator
from singer_sdk.pagination import BaseHATEOASPaginator
from singer_sdk.streams.rest import HTTPRequest, PageContext

from bench.halves import Facts, sale_list
from bench.rivals.fields import LINE, SALE, SHOP
from bench.rivals.messages import counted, messages, stdout_into


def strings(names: str) -> list[th.Property[Any]]:
    """Return a property for each of the names between spaces: every value is a string on the wire."""
    return [th.Property(name, th.StringType) for name in names.split()]


class NextLinkPaginator(BaseHATEOASPaginator):
    """Follows ``@attributes.next``."""

    def get_next_url(self, response: Response) -> str | None:
        """Return the address of the next page, an empty string after the last."""
        found: str = response.json()["@attributes"]["next"]
        return found


class SaleStream(RESTStream[ParseResult]):
    """Sales with their lines."""

    name = "sale"
    path = ""
    primary_keys = ("saleID",)
    records_jsonpath = "$.Sale[*]"
    schema: ClassVar[dict[str, Any]] = th.PropertiesList(
        *strings(SALE),
        th.Property("Shop", th.ObjectType(*strings(SHOP))),
        th.Property(
            "SaleLines",
            th.ObjectType(
                th.Property(
                    "SaleLine",
                    th.ArrayType(
                        th.ObjectType(
                            *strings(LINE),
                            th.Property("SalesAccounts", th.ObjectType(additional_properties=True)),
                        )
                    ),
                )
            ),
        ),
    ).to_dict()

    @property
    def url_base(self) -> str:
        """The address of the list."""
        address: str = self.config["address"]
        return address

    @property
    def authenticator(self) -> BearerTokenAuthenticator:
        """A Bearer token, as the configuration has it."""
        return BearerTokenAuthenticator(token=self.config["access_token"])

    def get_new_paginator(self) -> NextLinkPaginator:
        """Return a paginator for one run."""
        return NextLinkPaginator()

    def get_http_request(self, *, page: PageContext[ParseResult]) -> HTTPRequest:
        """Return the request of the first page, or of the one that the last reply named."""
        request = super().get_http_request(page=page)
        if page.next_page_token:
            request.url = page.next_page_token.geturl()
        else:
            request.params = self.config["query"]
        return request

    def post_process(self, row: dict[str, Any], context: Any = None) -> dict[str, Any]:
        """Put a single line into a list, as the schema says."""
        del context
        lines = row["SaleLines"]["SaleLine"]
        if isinstance(lines, dict):
            row["SaleLines"]["SaleLine"] = [lines]
        return row


class LightspeedTap(Tap):
    """A tap with one stream."""

    name = "tap-lightspeed"
    config_jsonschema: ClassVar[dict[str, Any]] = th.PropertiesList(
        th.Property("address", th.StringType, required=True),
        th.Property("access_token", th.StringType, required=True, secret=True),
        th.Property("query", th.ObjectType(additional_properties=th.StringType)),
    ).to_dict()

    def discover_streams(self) -> list[SaleStream]:
        """Return the stream."""
        return [SaleStream(self)]


def read(facts: Facts, folder: str) -> dict[str, Any]:
    """Run the tap's command line with its messages in ``messages.jsonl``."""
    address, query = sale_list(facts)
    config = Path(folder, "config.json")
    config.write_text(json.dumps({"address": address, "query": query, "access_token": facts["access_token"]}))
    with stdout_into(Path(folder, "messages.jsonl")):
        LightspeedTap.cli(["--config", str(config)], standalone_mode=False)
    return {}


def written(folder: str) -> dict[str, int]:
    """Count what the tap said."""
    return counted(message["record"] for message in messages(Path(folder, "messages.jsonl")))
