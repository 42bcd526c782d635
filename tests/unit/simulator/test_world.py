"""The world's answers: what the real API refuses, it refuses; what it promises, it keeps."""

from __future__ import annotations

import orjson

from tests.support.small_world import NOW, SALES, ask, body, make, records


def test_key_of_a_deleted_record_is_not_given_again() -> None:
    """Not even the newest one's: a reader that saw the dead record would take the new one for it."""
    world = make()
    world.mutate("delete", resource="Sale", key=SALES)
    assert world.mutate("sell", count=2, at=NOW.isoformat()) == [SALES + 1, SALES + 2]


def test_count_is_the_lists_length_and_excludes_paging() -> None:
    """And costs ten."""
    answer = ask("Sale", count="1", archived="true")
    assert (orjson.loads(answer.body)["@attributes"]["count"], answer.cost) == (str(SALES), 10.0)
    assert ask("Sale", count="1", limit="5").status == 400


def test_unknown_paths_and_keys_are_404() -> None:
    """Both in the API's own error shape."""
    assert ask("Sales").status == 404
    answer = ask("Sale/99999")
    assert (answer.status, "primary ID '99999'" in orjson.loads(answer.body)["message"]) == (404, True)


def test_single_record_and_relations() -> None:
    """Half the price of a list's relations."""
    sale = records(body("Sale/1", load_relations='["SaleLines"]'), "Sale")[0]
    assert sale["saleID"] == "1"
    assert "SaleLines" in sale
    assert "SaleLines" not in records(body("Sale/1"), "Sale")[0]
