"""The page of errors: each class with its docstring, the messages that the package's source has for it, and what to do.

What to do is written by hand, a file for each class in ``docs/remedies``.
"""

from __future__ import annotations

import ast
import inspect
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from airflow_provider_lightspeed import exceptions
from airflow_provider_lightspeed.exceptions import LightspeedError
from tools.docs.markdown import prose

PACKAGE: Final = Path(exceptions.__file__).parent
REMEDIES: Final = PACKAGE.parent / "docs" / "remedies"
#: Shorter texts are parts of a message, and nobody would look for them.
SHORTEST: Final = 20


def pages() -> Iterator[tuple[str, str]]:
    """Yield the page of errors."""
    parts = [
        "# Troubleshooting\n",
        "Look for the words of the error message on this page; … stands for what differs from case to case.\n",
        "Every error is a `LightspeedError`. Its class tells what helps: see the headings.\n",
    ]
    for root in _children(LightspeedError):
        parts += [f"## {root.__name__}\n", *_about(root)]
        for found in _below(root):
            parts += [f"### {found.__name__}\n", *_about(found)]
    yield "troubleshooting.md", "\n".join(parts)


def _children(parent: type[LightspeedError]) -> list[type[LightspeedError]]:
    return [found for found in parent.__subclasses__() if found.__module__ == exceptions.__name__]


def _below(parent: type[LightspeedError]) -> Iterator[type[LightspeedError]]:
    for found in _children(parent):
        yield found
        yield from _below(found)


def _about(found: type[LightspeedError]) -> Iterator[str]:
    yield prose(inspect.getdoc(found) or "") + "\n"
    remedy = REMEDIES / f"{found.__name__}.md"
    if remedy.exists():
        yield f"**What to do.** {remedy.read_text().strip()}\n"
    texts = messages().get(found.__name__, ())
    if texts:
        yield "Messages:\n"
        yield "\n".join(f"- `` {text} ``" for text in texts) + "\n"


@cache
def messages() -> Mapping[str, tuple[str, ...]]:
    """Return the texts that the package's source gives to errors, by the name of the class, sorted."""
    found: dict[str, set[str]] = defaultdict(set)
    names = set(exceptions.__all__)
    for path in PACKAGE.rglob("*.py"):
        if "simulator" in path.parts:
            continue
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                for name, text in _raised(function):
                    if name in names and len(text.replace("…", "")) >= SHORTEST:
                        found[name].add(text)
    return {name: tuple(sorted(texts)) for name, texts in found.items()}


def _raised(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[str, str]]:
    """Yield class and text of each error that a function makes; the text may stand in a variable just above."""
    texts: dict[str, str] = {}
    for node in sorted((each for each in ast.walk(function) if hasattr(each, "lineno")), key=lambda each: each.lineno):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            texts[node.targets[0].id] = text_of(node.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            first = node.args[0]
            yield node.func.id, texts.get(first.id, "") if isinstance(first, ast.Name) else text_of(first)


def text_of(node: ast.expr) -> str:
    """Return the text that an expression makes, with an ellipsis for what is not known before it runs."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join("…" if isinstance(part, ast.FormattedValue) else text_of(part) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return text_of(node.left) + text_of(node.right)
    return "…"
