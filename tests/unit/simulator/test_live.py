"""Each behaviour of the live API that its documentation does not have: off it is not there, on it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from airflow_provider_lightspeed.simulator.answer import Answer
from airflow_provider_lightspeed.simulator.caller import Caller
from airflow_provider_lightspeed.simulator.clients import OAuthRules
from airflow_provider_lightspeed.simulator.live import SWITCHES, Live
from airflow_provider_lightspeed.simulator.schema import lists
from airflow_provider_lightspeed.simulator.state import Settings
from airflow_provider_lightspeed.simulator.world import World

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
ROOT = "/API/V3/Account/7"
REVOKED = "Access token has been revoked"
NOT_ALLOWED = "Tried to load one or more relations that are not allowed: "
Serve = Callable[..., Any]


@pytest.fixture(scope="module")
def shop() -> World:
    """A shop that every test may switch and none changes."""
    return World.generate(1, sales=230, items=30, customers=20, days=20, registers=2, now=NOW, account_id="7")


@pytest.fixture
def world(shop: World) -> World:
    """The shop, as documented."""
    shop.behave(Live())
    return shop


def ask(world: World, path: str, **params: str) -> Answer:
    return world.query(f"{ROOT}/{path}.json", params, base_url="http://x", now=NOW)


def listed(world: World, path: str, **params: str) -> list[dict[str, Any]]:
    answer = ask(world, path, **params)
    assert answer.status == 200, answer.body
    body = orjson.loads(answer.body)
    found = body.get(lists()[path].envelope, [])
    return found if isinstance(found, list) else [found]


def keys(world: World, path: str, key: str, **params: str) -> list[int]:
    return [int(row[key]) for row in listed(world, path, **params)]


def message(answer: Answer) -> str:
    text: str = orjson.loads(answer.body)["message"]
    return text


# -- the switches themselves ----------------------------------------------------------------------------------------


def test_all_is_what_is_marked_so_and_a_minus_takes_one_out() -> None:
    """Later entries win; a value replaces the default one."""
    assert set(Live.parse("all").values) == {code for code, switch in SWITCHES.items() if switch.in_set}
    chosen = Live.parse("all,-A12,C1=5")
    assert "A12" not in chosen
    assert chosen.number("C1") == 5
    assert str(Live.parse("B1,C1=5")) == "B1,C1=5"
    assert not Live.parse("none").values


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Z9", "Z9"),
        ("A5=soon", "A5"),
        ("B1=yes", "B1"),
        ("A2", "A2"),
        ("C2=Sale", "C2"),
        ("C1=0", "C1"),
        ("A1=500", "A1"),
        ("all,-Z9", "Z9"),
    ],
)
def test_wrong_switch_is_refused_by_name(text: str, code: str) -> None:
    """An unknown number, a value that it does not take, or none where one is needed."""
    with pytest.raises(ValueError, match=code):
        Live.parse(text)


def test_every_value_in_the_set_is_one_that_its_switch_takes() -> None:
    """``all`` is made of defaults; each can be written out as well."""
    everything = Live.parse("all")
    assert Live.parse(str(everything)) == everything


def test_switches_change_while_it_runs(serve: Serve) -> None:
    """By ``/_sim/live``; a wrong one changes nothing."""
    sim = serve()
    assert sim.admin("GET", "live") == {}
    assert sim.admin("POST", "live", {"live": "A5,C1=3"}) == {"A5": "1800", "C1": "3"}
    assert sim.call("POST", "/_sim/live", json={"live": "Z9"}).status_code == 400
    assert sim.admin("GET", "live") == {"A5": "1800", "C1": "3"}


# -- tokens ----------------------------------------------------------------------------------------------------------


def rotated(sim: Any) -> str:
    """Return an access token after another holder of its grant has refreshed and read."""
    old = sim.grant()
    new = sim.token(grant_type="refresh_token", refresh_token=old["refresh_token"]).json()
    assert sim.get(new["access_token"]).status_code == 200
    token: str = old["access_token"]
    return token


@pytest.mark.parametrize("form", ["403", "403-oauth", "401"])
def test_a1_token_rotated_away_is_refused_in_one_of_three_forms(serve: Serve, form: str) -> None:
    """The words are the same in all; a token that never was one gets the documented answer."""
    sim = serve(Settings(live=Live.parse(f"A1={form}")))
    reply = sim.get(rotated(sim))
    assert reply.status_code == int(form[:3])
    if form.endswith("oauth"):
        assert (reply.json()["error"], reply.json()["hint"]) == ("access_denied", REVOKED)
    else:
        phrase = {"403": "Forbidden", "401": "Unauthorized"}[form]
        assert reply.json() == {"httpCode": form, "httpMessage": phrase, "message": REVOKED}
    assert sim.get("nonsense").json()["error"] == "access_denied"


def test_a1_off_the_old_access_token_lives_on(serve: Serve) -> None:
    """What is documented says nothing of its end."""
    sim = serve()
    assert sim.get(rotated(sim)).status_code == 200


def test_a2_missing_scope_is_403_for_its_resources_only(world: World) -> None:
    """One scope that the resource's page names is enough, its reading half too; ``employee:all`` opens everything."""

    def status(path: str, *scope: str) -> int:
        return world.query(f"{ROOT}/{path}.json", {}, base_url="http://x", now=NOW, caller=Caller(scope)).status

    assert status("Sale", "employee:register") == status("Sale", "employee:register_read") == 200
    assert status("Workorder", "employee:register") == 403
    assert status("Workorder", "employee:all") == 200
    assert status("InventoryLog", "employee:inventory") == 403  # its page names scopes that nobody can be granted
    assert status("Discount", "employee:tags") == 200  # its page names none
    refused = world.query(
        f"{ROOT}/Workorder/1.json", {}, base_url="http://x", now=NOW, caller=Caller(("employee:tags",))
    )
    assert message(refused) == "You do not have permission to access this resource"


def test_a2_employee_without_a_right_is_403_whatever_the_scope(world: World) -> None:
    """The rights are those of scope and employee together."""
    world.behave(Live.parse("A2=SaleVoid+Employee"))
    assert {ask(world, name).status for name in ("SaleVoid", "Employee")} == {403}
    assert ask(world, "Sale").status == 200


def test_a2_missing_scope_over_http_is_charged_and_leaves_the_token_alone(serve: Serve, world: World) -> None:
    """As any request that is refused."""
    sim = serve(world=world)
    token = sim.grant(scope="employee:register", account_id="7")["access_token"]
    reply = sim.get(token, f"{ROOT}/Workorder.json")
    assert (reply.status_code, reply.headers["X-LS-Api-Request-Cost"]) == (403, "1")
    assert sim.get(token, f"{ROOT}/Sale.json").status_code == 200


def test_a4_old_access_token_is_401_before_its_time(serve: Serve) -> None:
    """In the documented shape."""
    sim = serve(Settings(live=Live.parse("A4")))
    reply = sim.get(rotated(sim))
    assert (reply.status_code, reply.json()["hint"]) == (401, REVOKED)


def test_a5_access_token_lives_half_an_hour(serve: Serve) -> None:
    """A life that was set stays."""
    sim = serve(Settings(live=Live.parse("A5")))
    assert sim.grant()["expires_in"] == 1800
    assert serve(Settings(live=Live.parse("A5"), oauth=OAuthRules(token_life=90))).grant()["expires_in"] == 90


@pytest.mark.parametrize(
    ("value", "left_out"),
    [("refresh_token", {"refresh_token"}), ("expires_in", {"expires_in"}), ("both", {"refresh_token", "expires_in"})],
)
def test_a8_refresh_answers_without_a_field(serve: Serve, value: str, left_out: set[str]) -> None:
    """Without a new refresh token the old one stays good, also after the new access token was used."""
    sim = serve(Settings(live=Live.parse(f"A8={value}")))
    refresh = sim.grant()["refresh_token"]
    answer = sim.token(grant_type="refresh_token", refresh_token=refresh).json()
    assert {"token_type", "expires_in", "access_token", "refresh_token"} - set(answer) == left_out
    assert sim.get(answer["access_token"]).status_code == 200
    again = sim.token(grant_type="refresh_token", refresh_token=refresh)
    assert (again.status_code == 200) is ("refresh_token" in left_out)


def test_a10_early_refresh_answers_the_same_pair(serve: Serve) -> None:
    """As servers before 2024."""
    sim = serve(Settings(live=Live.parse("A10")))
    grant = sim.grant()
    answer = sim.token(grant_type="refresh_token", refresh_token=grant["refresh_token"]).json()
    assert (answer["access_token"], answer["refresh_token"]) == (grant["access_token"], grant["refresh_token"])


def test_a12_one_read_in_so_many_is_told_to_come_again(serve: Serve) -> None:
    """400, and the same request is served afterwards."""
    sim = serve(Settings(live=Live.parse("A12=3")))
    token = sim.grant()["access_token"]
    replies = [sim.get(token) for _ in range(6)]
    assert [reply.status_code for reply in replies] == [200, 200, 400, 200, 200, 400]
    assert replies[2].json()["message"] == "Please try again later."


# -- records ---------------------------------------------------------------------------------------------------------


def test_b1_sale_ignores_archived(world: World) -> None:
    """Other lists heed it."""
    before = keys(world, "Sale", "saleID"), keys(world, "Item", "itemID", archived="only")
    every = keys(world, "Sale", "saleID", archived="true")
    assert before[0] != every
    world.behave(Live.parse("B1"))
    assert {tuple(keys(world, "Sale", "saleID", archived=text)) for text in ("only", "true", "false")} == {tuple(every)}
    assert keys(world, "Item", "itemID", archived="only") == before[1]


def test_b2_archived_records_are_hidden_unless_asked_for(world: World) -> None:
    """Documented and live alike."""
    for text in ("none", "all"):
        world.behave(Live.parse(text))
        shown, every = keys(world, "Item", "itemID"), keys(world, "Item", "itemID", archived="true")
        assert set(shown) < set(every)
        assert set(keys(world, "Item", "itemID", archived="only")) == set(every) - set(shown)


def test_b4_gift_cards_come_only_when_asked_for(world: World) -> None:
    """Two reads make the whole; the parameter is no other list's."""
    every = keys(world, "CreditAccount", "creditAccountID", archived="true")
    world.behave(Live.parse("B4"))
    cards = keys(world, "CreditAccount", "creditAccountID", archived="true", giftCard="true")
    plain = keys(world, "CreditAccount", "creditAccountID", archived="true")
    assert cards
    assert plain
    assert sorted(cards + plain) == every
    assert ask(world, "Sale", giftCard="true").status == 400


@pytest.mark.parametrize(
    ("value", "name", "other"), [("live", "updateTime", "updatetime"), ("documented", "updatetime", "updateTime")]
)
def test_b6_change_time_of_a_sale_has_one_name(world: World, value: str, name: str, other: str) -> None:
    """In records, sorts, filters and links; the other spelling is refused by name, also where unknown fields are not."""
    world.behave(Live.parse(f"D6,B6={value}"))
    page = orjson.loads(ask(world, "Sale", sort=f"-{name}", limit="5").body)
    assert all(name in row and other not in row for row in page["Sale"])
    assert f"sort=-{name}" in page["@attributes"]["next"]
    assert keys(world, "Sale", "saleID", **{name: f">=,{page['Sale'][0][name]}"})
    for params in ({"sort": other}, {other: ">,2020-01-01"}):
        refused = ask(world, "Sale", **params)
        assert (refused.status, f"'{other}'" in message(refused)) == (400, True)
    record = orjson.loads(ask(world, "Sale/1").body)["Sale"]
    assert name in record


def test_b8_deleted_record_leaves_no_trace() -> None:
    """Neither in lists nor by key; the keys around it say that there was one."""
    world = World.generate(1, sales=9, items=3, customers=3, days=3, registers=1, now=NOW, account_id="7")
    world.mutate("delete", resource="Sale", key=4)
    assert 4 not in keys(world, "Sale", "saleID", archived="true")
    assert ask(world, "Sale/4").status == 404


def test_b10_deleted_customer_is_archived_and_without_personal_data() -> None:
    """Notes and custom fields stay, and so does the credit account, without a name."""
    world = World.generate(1, sales=9, items=3, customers=9, days=3, registers=1, now=NOW, account_id="7")
    relations = '["Contact","Note","CreditAccount","CustomFieldValues"]'

    def customer() -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(ask(world, f"Customer/{key}", load_relations=relations).body)["Customer"]
        return found

    key = next(
        row["customerID"] for row in world.rows("Customer") if row["creditAccountID"] and row["noteID"] and row["dob"]
    )
    before = customer()
    world.mutate("delete_customer", customer=key, at=NOW.isoformat())
    after = customer()
    assert after["archived"] == "true"
    assert {after[name] for name in ("firstName", "lastName", "title", "company")} == {""}
    assert "dob" not in after
    assert not any(after["Contact"].get(name) for name in ("Addresses", "Phones", "Emails", "Websites"))
    assert after["CreditAccount"]["name"] == ""
    assert after["CreditAccount"]["balance"] == before["CreditAccount"]["balance"]
    assert (after["Note"], after.get("CustomFieldValues")) == (before["Note"], before.get("CustomFieldValues"))


# -- relations -------------------------------------------------------------------------------------------------------


def test_c1_more_relations_than_the_server_can_take_are_500(world: World) -> None:
    """On any resource, also by ``all``; one fewer is served."""
    names = list(lists()["Sale"].relations)[:5]
    world.behave(Live.parse("C1=4"))
    assert ask(world, "Sale", load_relations=orjson.dumps(names).decode()).status == 500
    assert ask(world, "Sale", load_relations=orjson.dumps(names[:4]).decode()).status == 200
    assert ask(world, "Item", load_relations="all").status == 500
    world.behave(Live())
    assert ask(world, "Sale", load_relations="all").status == 200


def test_c2_relation_that_the_account_refuses_is_400_by_name(world: World) -> None:
    """A dotted one stands for itself."""
    world.behave(Live.parse("C2=Sale.Quote+Sale.SaleLines.Note"))
    for name in ("Quote", "SaleLines.Note"):
        answer = ask(world, "Sale", load_relations=f'["SaleLines","{name}"]')
        assert (answer.status, message(answer)) == (400, NOT_ALLOWED + name)
    assert ask(world, "Sale", load_relations='["SaleLines"]').status == 200
    assert ask(world, "SaleLine", load_relations='["Note"]').status == 200


def test_c3_c4_relation_is_dropped_without_a_word(world: World) -> None:
    """With all that hangs on it, from every record."""
    world.behave(Live.parse("C3=Sale.SaleLines"))
    rows = listed(world, "Sale", load_relations='["SaleLines","SaleLines.Item","SalePayments"]')
    assert all("SaleLines" not in row and "SalePayments" in row for row in rows)


@pytest.mark.parametrize(
    ("path", "name"), [("Sale", "Note"), ("SpecialOrder", "Customer"), ("Item", "Vendor"), ("Item", "Season")]
)
def test_c5_relation_that_does_not_exist_is_refused_in_the_same_words(world: World, path: str, name: str) -> None:
    """Those that clients met."""
    world.behave(Live.parse("C5"))
    answer = ask(world, path, load_relations=f'["{name}"]')
    assert (answer.status, message(answer)) == (400, NOT_ALLOWED + name)


def test_c6_sparse_relations_hold_nothing(world: World) -> None:
    """Absent if to-one, ``""`` if to-many; a credit account keeps its contact, a gift card has none."""
    world.behave(Live.parse("C6"))
    assert all("Note" not in row for row in listed(world, "Customer", load_relations='["Note"]', archived="true"))
    assert {
        row["ItemVendorNums"] for row in listed(world, "Item", load_relations='["ItemVendorNums"]', archived="true")
    } == {""}
    accounts = listed(world, "CreditAccount", load_relations='["Contact"]', archived="true")
    assert not any("Contact" in row for row in accounts if row["giftCard"] == "true")
    assert any("Contact" in row for row in accounts if row["giftCard"] == "false")


def test_c9_account_is_one_record_without_paging(world: World) -> None:
    """Neither limit nor sort nor relations."""
    world.behave(Live.parse("C9"))

    def account(**params: str) -> Answer:
        return world.query("/API/V3/Account.json", params, base_url="http://x", now=NOW)

    body = orjson.loads(account(limit="0", sort="name").body)
    assert (body["@attributes"], body["Account"]["accountID"]) == ({"count": "1"}, "7")
    refused = account(load_relations='["Shop"]')
    assert (refused.status, message(refused)) == (400, NOT_ALLOWED + "Shop")


def test_c11_big_page_of_shipments_takes_long(world: World) -> None:
    """In the envelope OrderShipment; a page of 50 does not."""
    world.behave(Live.parse("C11=7.5"))
    assert ask(world, "Shipment").seconds == 7.5
    assert ask(world, "Shipment", limit="50").seconds == 0
    assert ask(world, "Sale").seconds == 0
    assert "OrderShipment" in orjson.loads(ask(world, "Shipment", limit="50").body)


# -- queries and limits ----------------------------------------------------------------------------------------------


def test_d6_filter_on_an_unknown_field_is_ignored(world: World) -> None:
    """All records come, and no error."""
    every = keys(world, "Shop", "shopID")
    assert ask(world, "Shop", nonsense="1").status == 400
    world.behave(Live.parse("D6"))
    assert keys(world, "Shop", "shopID", nonsense="1") == every
    assert keys(world, "Shop", "shopID", **{"or": "nonsense%3D1|nonsense%3D2"}) == every
    assert keys(world, "Shop", "shopID", shopID="1", **{"Nonsense.name": "x"}) == [1]


@pytest.mark.parametrize(("value", "level", "drip"), [("60/1", "1/60", "1"), ("180/5.5", "1/180", "5.5")])
def test_d9_bucket_has_another_size_and_a_decimal_drip(serve: Serve, value: str, level: str, drip: str) -> None:
    """Also a bucket that is in use already; the burst window follows its size."""
    sim = serve()
    token = sim.grant()["access_token"]
    sim.get(token)
    sim.admin("POST", "live", {"live": f"D9={value}"})
    sim.admin("POST", "clock", {"advance": 10})
    reply = sim.get(token)
    assert (reply.headers["X-LS-Api-Bucket-Level"], reply.headers["X-LS-Api-Drip-Rate"]) == (level, drip)


def test_d10_burst_refusal_says_burst_rate_limit_exceeded(serve: Serve) -> None:
    """Clients tell it by these words."""
    sim = serve()
    token = sim.grant()["access_token"]
    replies = [sim.get(token) for _ in range(21)]
    assert "burst rate limit exceeded" in replies[-1].json()["message"]


def test_e3_f21_record_has_every_field_of_the_catalog(world: World) -> None:
    """Those too that only live accounts show: records follow the catalog."""
    for path in ("Sale", "ItemShop", "Workorder", "CreditAccount", "Register", "TaxClass", "Employee", "SpecialOrder"):
        row = listed(world, path, limit="1", **({"archived": "true"} if lists()[path].archived else {}))[0]
        needed = {
            spec.wire
            for spec in lists()[path].entity.fields.values()
            if not spec.nested and spec.type not in ("datetime", "date")
        }
        assert needed <= set(row), path


def test_g2_shops_name_their_zones_by_old_aliases(world: World) -> None:
    """The truth too, and back again."""
    assert "America/New_York" in {row["timeZone"] for row in listed(world, "Shop")}
    world.behave(Live.parse("G2"))
    assert "US/Eastern" in {row["timeZone"] for row in listed(world, "Shop")}
    assert {row["timeZone"] for row in world.rows("Shop")} == {row["timeZone"] for row in listed(world, "Shop")}
    world.behave(Live())
    assert "America/New_York" in {row["timeZone"] for row in listed(world, "Shop")}


def test_k2_reasons_are_in_camel_case() -> None:
    """Those of before and of afterwards."""
    world = World.generate(1, sales=9, items=3, customers=3, days=3, registers=1, now=NOW, account_id="7")
    assert all(row["reason"][0].isupper() for row in world.rows("InventoryLog"))
    world.behave(Live.parse("K2"))
    world.mutate("sell", at=NOW.isoformat())
    assert all(row["reason"][0].islower() for row in world.rows("InventoryLog"))


def test_every_switch_has_a_test_with_its_number() -> None:
    """By its name, as ``test_a1_...`` or ``test_c3_c4_...``."""
    tested = {part for name in globals() if name.startswith("test_") for part in name.split("_")}
    assert {code.lower() for code in SWITCHES} <= tested


def test_every_switch_is_documented_with_its_value() -> None:
    """In the table of docs/simulator.md, and no other is."""
    page = (Path(__file__).parents[3] / "docs/simulator.md").read_text()
    rows = dict(re.findall(r"^\| ([A-Z][0-9]+) \| (.*?) \|", page, re.MULTILINE))
    assert set(rows) == set(SWITCHES)
    for code, switch in SWITCHES.items():
        value = f"`{switch.value}`" if switch.value else "on"
        assert rows[code] in ((value, "a list") if switch.in_set else ("off",)), code
