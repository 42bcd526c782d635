"""``resources``: the catalog at the command line."""

from __future__ import annotations

import re

import pytest

from airflow_provider_lightspeed.cli import main

pytest.importorskip("airflow")


def test_resources_command_lists_and_describes(capsys: pytest.CaptureFixture[str]) -> None:
    """A name, how it is read, its fields; a wrong name suggests the right one."""
    main(["resources"])
    assert "SalePayment" in capsys.readouterr().out
    main(["resources", "Sale"])
    out = capsys.readouterr().out
    assert "SaleLines.Item" in out
    assert re.search(r"cashRoundingDelta +money +live\b", out)
    main(["resources", "CreditAccount"])
    assert re.search(r"code +string +documented +secret\b", capsys.readouterr().out)
    with pytest.raises(SystemExit, match="'Sale'"):
        main(["resources", "Sales"])
