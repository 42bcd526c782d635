"""How commands read their arguments."""

from __future__ import annotations


def names(text: str | None) -> list[str] | None:
    """Return names that are given with commas between them; ``None`` if nothing was given."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]
