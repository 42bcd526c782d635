"""The checker of the busy weeks notices a dataset that is not the truth, whichever way it is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_lightspeed.lake.storage import Storage
from tests.support.busy_week.fate import small_world
from tests.support.busy_week.rules import Rule
from tests.support.busy_week.scene import Scene

Json = dict[str, Any]
Tampering = Callable[[Path, Json], None]
CHANGED = 5


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Sale 5 was read twice, in two states; one sale was sold between."""
    scene = Scene(Storage.at(str(tmp_path)))
    with small_world():
        scene.read("Sale", "first")
        scene.touch("Sale", CHANGED, referenceNumber="new")
        scene.do("sell", completed=True)
        scene.later(hours=1)
        scene.read("Sale", "second")
    assert scene.wrong() == []
    return scene


def forgets_the_newest_file(folder: Path, manifest: Json) -> None:
    manifest["files"].pop()


def forgets_that_it_was_read(folder: Path, manifest: Json) -> None:
    manifest["watermarks"] = dict.fromkeys(manifest["watermarks"], "2024-03-04T00:00:00+00:00")


def publishes(folder: Path, manifest: Json, table: pa.Table) -> None:
    """Put a file with these rows into the place of the newest one, of the same commit."""
    pq.write_table(table, folder / "other.parquet")
    file = manifest["files"][-1] | {"path": "other.parquet", "rows": table.num_rows}
    manifest["files"][-1] = file


def newest(folder: Path, manifest: Json) -> pa.Table:
    return pq.read_table(folder / manifest["files"][-1]["path"])


def writes_a_wrong_value(folder: Path, manifest: Json) -> None:
    table = newest(folder, manifest)
    place = table.schema.get_field_index("referenceNumber")
    wrong = pa.array(["wrong"] * table.num_rows, pa.string())
    publishes(folder, manifest, table.set_column(place, table.schema.field(place), wrong))


def leaves_the_lines_out(folder: Path, manifest: Json) -> None:
    table = newest(folder, manifest)
    place = table.schema.get_field_index("SaleLines")
    none = pa.nulls(table.num_rows, table.schema.field(place).type)
    publishes(folder, manifest, table.set_column(place, table.schema.field(place), none))


def writes_a_row_twice(folder: Path, manifest: Json) -> None:
    table = newest(folder, manifest)
    publishes(folder, manifest, pa.concat_tables([table, table]))


def loses_a_file(folder: Path, manifest: Json) -> None:
    publishes(folder, manifest, newest(folder, manifest))
    (folder / "other.parquet").unlink()


@pytest.mark.parametrize(
    ("tampering", "rules"),
    [
        (forgets_the_newest_file, {Rule.LOST, Rule.STALE, Rule.LOWERED, Rule.VANISHED}),
        (forgets_that_it_was_read, {Rule.BACKWARD}),
        (writes_a_wrong_value, {Rule.INVENTED}),
        (leaves_the_lines_out, {Rule.CHILDREN}),
        (writes_a_row_twice, {Rule.BROKEN}),
        (loses_a_file, {Rule.BROKEN, Rule.LOST}),
    ],
)
def test_wrong_dataset_is_noticed(tampering: Tampering, rules: set[Rule], scene: Scene, tmp_path: Path) -> None:
    """By the rule that it breaks."""
    path = tmp_path / "Sale" / "_manifest.json"
    manifest = orjson.loads(path.read_bytes())
    tampering(path.parent, manifest)
    path.write_bytes(orjson.dumps(manifest))
    assert scene.look("Sale") >= rules


def test_account_of_a_record_tells_its_states_and_the_commits_that_hold_them(scene: Scene, tmp_path: Path) -> None:
    """Enough to see what went wrong without running it again."""
    path = tmp_path / "Sale" / "_manifest.json"
    manifest = orjson.loads(path.read_bytes())
    forgets_the_newest_file(path.parent, manifest)
    path.write_bytes(orjson.dumps(manifest))
    scene.look("Sale")
    account = next(text for text in scene.wrong() if text.startswith("STALE"))
    head, place, first, second, *commits = account.splitlines()
    assert head == f"STALE: {Rule.STALE.value}"
    assert place.startswith(f"Sale {CHANGED} at 2024-03-04T02:")
    assert first.endswith("shows from 1970-01-01T00:00:00+00:00")
    assert second.startswith("  state 1: update; stamped 2024-03-04T01:")
    assert [commit.rpartition(": ")[2] for commit in commits] == ["holds state [0]", "holds state [1]"]


def test_deleted_record_may_lag_until_a_full_read(tmp_path: Path) -> None:
    """Then it is noticed if it is still there."""
    with small_world():
        scene = Scene(Storage.at(str(tmp_path)))
        scene.read("Customer", "first")
        scene.do("delete", resource="Customer", key=CHANGED)
        scene.later(hours=1)
        assert scene.look("Customer") == set()
        scene.read("Customer", "full", mode="full")
    path = tmp_path / "Customer" / "_manifest.json"
    manifest = orjson.loads(path.read_bytes())
    assert scene.look("Customer") == set()
    manifest["files"] += orjson.loads((tmp_path / "Customer" / "_log" / "00000001.json").read_bytes())["files"][""]
    path.write_bytes(orjson.dumps(manifest))
    assert scene.look("Customer") == {Rule.RETURNED}
