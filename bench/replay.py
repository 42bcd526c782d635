"""A server that repeats one page of sales under ever new keys: lists too long for a simulator that keeps its records.

``python -m bench.replay ROWS`` takes a page of the simulator on stdin, prints its port, and serves
``saleID=><,a,b``, ``>,a``, the cursor ``after`` and ``sort=-saleID&limit=1``, one row for each key from 1 to ROWS.
"""

from __future__ import annotations

import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import orjson

PAGE: Final = 100
#: Limits so wide that nobody waits.
HEADERS: Final = {
    "X-LS-Api-Bucket-Level": "0/1000000",
    "X-LS-Api-Burst-Level": "0/1000000",
    "X-LS-Api-Drip-Rate": "100000",
}


class Replay(ThreadingHTTPServer):
    """Serves ``rows`` records that look like those of a page.

    :param records: of the page, in wire form.
    """

    daemon_threads = True

    def __init__(self, records: list[dict[str, Any]], rows: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.rows = rows
        self.parts = [_around_key(record) for record in records]

    def page(self, first: int, last: int) -> bytes:
        """Return the records of the keys ``first`` to ``last``, joined."""
        parts = self.parts
        shown = []
        for key in range(first, last + 1):
            before, after = parts[key % len(parts)]
            shown.append(b"%b%d%b" % (before, key, after))
        return b",".join(shown)


def _around_key(record: dict[str, Any]) -> tuple[bytes, bytes]:
    before, _, after = orjson.dumps({**record, "saleID": "\0"}).partition(b"\\u0000")
    return before, after


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Replay

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if not parts.path.endswith("/Sale.json"):
            self._send(b'{"@attributes":{"count":"1"},"Account":{"accountID":"1","name":"Replay"}}')
            return
        low, high = 1, self.server.rows
        condition = query.get("saleID", "").split(",")
        if condition[0] == "><":
            low, high = int(condition[1]), min(high, int(condition[2]))
        elif condition[0] == ">":
            low = int(condition[1]) + 1
        if query.get("sort") == "-saleID":
            self._send(b'{"@attributes":{"next":"","previous":""},"Sale":%b}' % self.server.page(high, high))
            return
        first = int(query.get("after", low - 1)) + 1
        last = min(high, first + PAGE - 1)
        more = last < high
        kept = f"saleID={query['saleID'].replace('>', '%3E').replace('<', '%3C')}&" if "saleID" in query else ""
        url = f"http://{self.headers['Host']}{parts.path}?{kept}after={last}" if more else ""
        body = self.server.page(first, last)
        self._send(b'{"@attributes":{"next":"%b","previous":""},"Sale":[%b]}' % (url.encode(), body))

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        for name, value in {**HEADERS, "Content-Type": "application/json", "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until stdin closes."""
    page = orjson.loads(sys.stdin.buffer.readline())
    server = Replay(page, int(sys.argv[1]))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    while os.read(0, 4096):
        pass


if __name__ == "__main__":
    main()
