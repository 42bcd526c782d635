"""Reduces documented response bodies to their shapes, for tests/contract/test_simulator_speaks_like_the_docs.py.

python tools/build_sample_shapes.py FOLDER    write tests/contract/sample_shapes.json from FOLDER/<resource>.json
python tools/build_sample_shapes.py --check   fail if what is committed is not in this tool's form

A shape says which keys a body has and how their values are written, never what the values are.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
SHAPES: Final = ROOT / "tests" / "contract" / "sample_shapes.json"

_FORMS: Final = (
    ("empty", re.compile(r"")),
    ("boolean", re.compile(r"true|false")),
    ("number", re.compile(r"-?\d+(\.\d+)?")),
    ("timestamp", re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([+-]\d\d:\d\d|Z)?")),
    ("date", re.compile(r"\d{4}-\d\d-\d\d|\d\d/\d\d/\d{4}")),
)

Shape = dict[str, Any]


def form(text: str) -> str:
    """Return how a scalar is written: ``empty``, ``boolean``, ``number``, ``timestamp``, ``date`` or ``text``."""
    return next((name for name, pattern in _FORMS if pattern.fullmatch(text)), "text")


def shape(value: Any) -> Shape:
    """Return a value's shape: ``forms`` it is written in and, for objects, the ``keys`` inside (lists are merged)."""
    if isinstance(value, dict):
        return {"forms": ["object"], "keys": {key: shape(inner) for key, inner in value.items()}}
    if isinstance(value, list):
        inner = merge(shape(item) for item in value)
        return {"forms": ["array"], "keys": inner["keys"], "items": inner["forms"]}
    return {"forms": [form(value) if isinstance(value, str) else f"json {type(value).__name__}"], "keys": {}}


def merge(shapes: Iterable[Shape]) -> Shape:
    """Return one shape that admits all of ``shapes``."""
    whole: Shape = {"forms": [], "keys": {}}
    for found in shapes:
        whole["forms"] = sorted({*whole["forms"], *found["forms"]})
        if "items" in found:
            whole["items"] = sorted({*whole.get("items", []), *found["items"]})
        for key, inner in found["keys"].items():
            whole["keys"][key] = merge((whole["keys"][key], inner)) if key in whole["keys"] else inner
    return whole


def main() -> int:
    """Write or check."""
    arguments = sys.argv[1:]
    if len(arguments) != 1:
        sys.exit(__doc__)
    if arguments == ["--check"]:
        text = SHAPES.read_text()
        stale = text != _text(json.loads(text))
        if stale:
            print(f"{SHAPES.relative_to(ROOT)} is not in the form that {Path(__file__).name} writes")
        return stale
    found = {path.stem: shape(json.loads(path.read_text())) for path in sorted(Path(arguments[0]).glob("*.json"))}
    SHAPES.write_text(_text(found))
    print(f"wrote {SHAPES.relative_to(ROOT)} ({len(found)} samples)")
    return 0


def _text(shapes: dict[str, Shape]) -> str:
    lines = (f"{json.dumps(name)}: {json.dumps(found, separators=(',', ':'))}" for name, found in shapes.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    sys.exit(main())
