"""A small reverse proxy on loopback, such as stands before an API server: another host, another path."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests


@contextmanager
def reverse_proxy(target: str, path: str) -> Iterator[str]:
    """Yield a base URL below ``path``; what is asked there is asked of ``target``, and nothing else is served."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._pass_on()

        def do_POST(self) -> None:
            self._pass_on()

        def _pass_on(self) -> None:
            if not self.path.startswith(f"{path}/"):
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {"Content-Type": self.headers.get("Content-Type", ""), "X-Forwarded-Prefix": path}
            url = target + self.path.removeprefix(path)
            reply = requests.request(self.command, url, data=body, headers=headers, timeout=60, allow_redirects=False)
            self.send_response(reply.status_code)
            for name in ("Content-Type", "Retry-After", "Location"):
                if name in reply.headers:
                    self.send_header(name, reply.headers[name])
            self.send_header("Content-Length", str(len(reply.content)))
            self.end_headers()
            self.wfile.write(reply.content)

        def log_message(self, *_: object) -> None:
            """The tests' output is not the place."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://localhost:{server.server_port}{path}"
        finally:
            server.shutdown()
