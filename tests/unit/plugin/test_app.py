"""How the page's app is put together."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("airflow.sdk")


def test_templates_escape_everything() -> None:
    """No template switches it off."""
    folder = Path(__file__).parents[3] / "airflow_provider_lightspeed" / "plugin" / "templates"
    templates = list(folder.glob("*.html"))
    assert templates
    for template in templates:
        text = template.read_text()
        assert "|safe" not in text.replace(" ", "")
        assert "autoescape" not in text
        assert " style=" not in text
        assert "onclick" not in text
