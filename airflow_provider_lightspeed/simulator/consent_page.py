"""The page on which an employee lets a client into the account."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;background:#f4f5f7;color:#1c2430;margin:0;display:grid;place-items:center;
min-height:100vh}main{background:#fff;max-width:26rem;margin:1rem;padding:2rem;border-radius:.75rem;
box-shadow:0 1px 6px #0003}h1{font-size:1.35rem;margin:0 0 1rem}li{font-family:ui-monospace,monospace}
button{font:inherit;padding:.6rem 1.6rem;border-radius:.4rem;border:1px solid #1c2430;background:#fff;cursor:pointer}
button[value=allow]{background:#b3001b;border-color:#b3001b;color:#fff;margin-right:.6rem}
button:focus-visible{outline:3px solid #1a66ff;outline-offset:2px}small{color:#4a5566}
"""


def consent_page(account_name: str, scopes: Iterable[str]) -> str:
    """Return the consent page. It posts ``decision=allow`` or ``deny`` to its own address, query included."""
    items = "".join(f"<li>{escape(scope)}</li>" for scope in scopes)
    account = escape(account_name)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Allow access to {account}?</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>Allow access to {account}?</h1><p>An application asks for these rights in your Retail account:</p>"
        f'<ul>{items}</ul><form method="post">'
        '<button name="decision" value="allow">Allow</button><button name="decision" value="deny">Deny</button>'
        "</form><p><small>Simulated Lightspeed Retail. No real account is involved.</small></p>"
        "</main></body></html>"
    )
