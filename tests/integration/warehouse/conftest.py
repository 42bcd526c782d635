"""SQL for warehouses needs sqlglot."""

from __future__ import annotations

import pytest

pytest.importorskip("sqlglot", reason="the extra 'warehouse' is not installed")
