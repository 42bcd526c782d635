"""The world's answers: what the real API refuses, it refuses; what it promises, it keeps."""

from __future__ import annotations

import orjson

from tests.support.small_world import NOW, ROOT, SALES, WORLD, ask, body, everything, make, records


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


def test_sale_shows_its_shop_to_nobody_who_reads() -> None:
    """Answers to writes have it, and no relation asks for it."""
    assert "Shop" not in body("Sale/1")["Sale"]
    assert not any("Shop" in sale for sale in everything("Sale", load_relations="all"))


def test_single_account_has_no_envelope() -> None:
    """Its fields stand beside ``@attributes``."""
    answer = WORLD.query("/API/V3/Account/7.json", {}, base_url="http://x", now=NOW)
    assert orjson.loads(answer.body) == {
        "@attributes": {"count": "1"},
        "accountID": "7",
        "name": "Example Retail 7",
        "link": {"@attributes": {"href": "/API/V3/Account/7"}},
    }


def test_price_is_that_of_the_answer() -> None:
    """Known without answering, as for a request that is refused for its rate."""
    for path, params in (("Sale", {"load_relations": "all"}), ("Sale/1", {"load_relations": "all"}), ("Sale", {})):
        assert WORLD.price(f"{ROOT}/{path}.json", params) == ask(path, **params).cost
    assert WORLD.price(f"{ROOT}/Sales.json", {}) == WORLD.price(f"{ROOT}/Sale.json", {"load_relations": "["}) == 1
