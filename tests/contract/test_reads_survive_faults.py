"""No fault of the network or the server costs a row or doubles one: the whole truth is committed, or nothing is.

Nobody waits here: the back-off's sleep moves the simulator's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_lightspeed.auth.flow import OAuthClient
from airflow_provider_lightspeed.auth.source import RefreshingTokenSource
from airflow_provider_lightspeed.auth.token import Token
from airflow_provider_lightspeed.client.query import PAGE_SIZE
from airflow_provider_lightspeed.client.rate_limit import RateLimiter
from airflow_provider_lightspeed.client.rest import RSeriesClient
from airflow_provider_lightspeed.client.transport import Request, RequestsTransport, oauth_exchange
from airflow_provider_lightspeed.exceptions import (
    AccessDenied,
    LightspeedError,
    LightspeedRateError,
    ProtocolViolation,
    ServerFault,
    Unreachable,
)
from airflow_provider_lightspeed.extract.plan import TRAILING_KEYS, Job
from airflow_provider_lightspeed.extract.run import extract
from airflow_provider_lightspeed.extract.summary import Summary
from airflow_provider_lightspeed.extract.window import RunFacts
from airflow_provider_lightspeed.lake.storage import Storage
from airflow_provider_lightspeed.redact import Secret
from airflow_provider_lightspeed.resources.catalog import resource
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tests.support.fakes import client_of
from tests.support.interference import Interloper, SharedTime, every
from tests.support.truth import Record, assert_equal, rows_of

#: Longer than all that the tests let pass.
LONG_LIFE = 10_000_000
#: Chance that is none, for the back-off.
HALF: Callable[[], float] = lambda: 0.5  # noqa: E731 - a value among others
#: Tries of one request that chance does not use up.
MANY = 30
SALES = r"/Sale\.json"
HTML_502: dict[str, Any] = {"action": "status", "status": 502}


def shop(**options: Any) -> SimulatorProcess:
    """Return a shop of several pages, not yet open."""
    defaults: dict[str, Any] = {
        "sales": 430,
        "items": 40,
        "customers": 330,
        "days": 30,
        "grant": True,
        "token_life": LONG_LIFE,
    }
    return SimulatorProcess(**defaults | options)


@pytest.fixture(scope="module")
def unlimited() -> Iterator[SimulatorProcess]:
    with shop(no_limits=True, registers=2) as running:
        running.advance(600)  # the history ends where a window's end may lie: the settle time is over
        yield running


@pytest.fixture
def simulator(unlimited: SimulatorProcess) -> Iterator[SimulatorProcess]:
    unlimited.clear_faults()
    yield unlimited
    unlimited.clear_faults()


@pytest.fixture(scope="module")
def limited() -> Iterator[SimulatorProcess]:
    """A shop whose limiters are on."""
    with shop() as running:
        running.advance(600)
        yield running


def client_with(simulator: SimulatorProcess, **options: Any) -> RSeriesClient:
    """Return a client that loses no time by waiting."""
    defaults: dict[str, Any] = {"clock": SharedTime(simulator), "random": HALF}
    return client_of(simulator, **defaults | options)


def run(
    client: RSeriesClient,
    folder: Path,
    name: str = "Sale",
    *,
    facts: RunFacts | None = None,
    key: str = "run",
    attempt: str = "1",
    **options: Any,
) -> Summary:
    """Extract a resource, from the beginning of time if nothing else is said."""
    job = Job.of(name, **options)
    return extract(client, Storage.at(str(folder)), job, facts or RunFacts(), run_key=key, attempt=attempt)


def published(folder: Path, name: str = "Sale") -> dict[str, bytes]:
    """Return all that a reader of the dataset may see: manifest, log, files."""
    home = folder / name
    return {str(path): path.read_bytes() for path in (*home.glob("*"), *home.glob("_log/*")) if path.is_file()}


def assert_lines(rows: list[Record], simulator: SimulatorProcess) -> None:
    """Every sale has its own lines, each once."""
    nested = sorted((row["saleID"], line["saleLineID"]) for row in rows for line in row["SaleLines"] or ())
    lines = [line for line in simulator.truth("SaleLine") if line["saleID"]]  # reservations hang on no sale
    assert nested == sorted((line["saleID"], line["saleLineID"]) for line in lines)


def hits(simulator: SimulatorProcess) -> list[int]:
    """Return how often each fault struck."""
    return [rule["hits"] for rule in simulator.call("GET", "faults")]


# -- faults that pass -----------------------------------------------------------------------------------------------

PASSING: dict[str, list[dict[str, Any]]] = {
    "connections reset": [{"action": "reset", "count": 3}, {"action": "reset", "nth": 4, "count": 3}],
    "answers lost after the work": [{"action": "reset", "after": True, "nth": 2, "count": 2}],
    "truncated bodies": [
        {"action": "truncate"},
        {"action": "truncate", "nth": 2, "bytes": 0},
        {"action": "truncate", "nth": 3, "bytes": 1},
        {"action": "truncate", "nth": 3, "count": 3},
    ],
    "HTML with status 200": [
        {"action": "html", "nth": 2},
        {"action": "html", "nth": 2, "body": "<html>busy</html>"},
        {"action": "html", "nth": 4},
    ],
    "JSON that breaks off with status 200": [
        {"action": "html", "nth": 3, "body": '{"@attributes": {"next": ""}, "Sale": [{"saleID": "1"}'}
    ],
    "JSON that is no object": [{"action": "html", "nth": 2, "body": body} for body in ("", "[]", "null", '"busy"')],
    "502 pages of a gateway": [HTML_502 | {"nth": 2, "count": 4}, HTML_502 | {"nth": 3, "count": 2}],
    "503 storms over several pages": [
        {"action": "status", "status": 503, "nth": nth, "count": 5, "headers": {"Retry-After": "7"}}
        for nth in (1, 2, 3)
    ],
    "400 please try again later": [{"action": "try_later", "nth": 2, "count": 3}],
    "slow replies": [{"action": "slow", "seconds": 0.1, "nth": 2, "count": 3}],
    "replies slower than the time-out": [{"action": "slow", "seconds": 0.5, "nth": 2, "count": 2}],
    "silence": [{"action": "hang", "seconds": 0.5, "nth": 3, "count": 2}],
}


@pytest.mark.parametrize("faults", PASSING.values(), ids=PASSING)
def test_passing_faults_lose_no_row_and_double_none(
    faults: list[dict[str, Any]], simulator: SimulatorProcess, tmp_path: Path
) -> None:
    """Every page is asked for again until it is whole; sales and their lines equal the truth."""
    simulator.faults(*({"path": SALES} | fault for fault in faults))
    summary = run(
        client_with(simulator, transport=RequestsTransport(read_timeout=0.3)), tmp_path, relations=["SaleLines"]
    )
    assert hits(simulator) == [fault.get("count", 1) for fault in faults]
    rows = rows_of(tmp_path, "Sale")
    assert summary.rows == len(rows)
    assert_equal("Sale", rows, simulator.truth("Sale"))
    assert_lines(rows, simulator)


@pytest.mark.parametrize("name", ["InventoryLog", "SalePayment", "ItemImage", "Customer"])
def test_passing_faults_harm_no_way_of_reading(name: str, simulator: SimulatorProcess, tmp_path: Path) -> None:
    """Along the key, through a parent, one list per parent, plain lists: about every third request fails."""
    simulator.faults(
        {"action": "reset", "path": "^/API", "count": 2},
        {"action": "status", "status": 503, "path": "^/API", "probability": 0.3, "count": None},
    )
    run(client_with(simulator, attempts=MANY), tmp_path, name)
    assert sum(hits(simulator)) >= 2
    assert_equal(name, rows_of(tmp_path, name), simulator.truth(name))


def test_empty_object_is_not_the_end_of_a_list(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """``{}`` with status 200 instead of the third page: asked again or an error, never the pages before it alone."""
    simulator.faults({"action": "html", "path": SALES, "nth": 3, "body": "{}"})
    try:
        run(client_with(simulator), tmp_path)
    except LightspeedError:
        assert published(tmp_path) == {}
    else:
        assert_equal("Sale", rows_of(tmp_path, "Sale"), simulator.truth("Sale"))


# -- 401 ------------------------------------------------------------------------------------------------------------


def refreshing_client(simulator: SimulatorProcess, **options: Any) -> RSeriesClient:
    """Return a client that can refresh, over a grant of its own."""
    clock, grant = SharedTime(simulator), simulator.grant()
    issued = clock.now()
    token = Token(
        Secret(grant["access_token"]),
        Secret(grant["refresh_token"]),
        issued,
        issued + timedelta(seconds=grant["expires_in"]),
        account_id=simulator.account_id,
    )
    tokens = RefreshingTokenSource(
        OAuthClient(simulator.client_id, Secret(simulator.client_secret), simulator.base_url),
        token.refresh_token,
        exchange=oauth_exchange(RequestsTransport()),
        clock=clock,
        token=token,
    )
    defaults: dict[str, Any] = {"clock": clock, "random": HALF, "transport": RequestsTransport()}
    return RSeriesClient(host=simulator.base_url, tokens=tokens, **defaults | options)


def test_refused_token_in_the_middle_costs_one_refresh_and_no_row(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """A 401 to the third page: refreshed once, the page is read with the new token."""
    client = refreshing_client(simulator)
    simulator.clear_audit()
    simulator.faults({"action": "unauthorized", "path": SALES, "nth": 3})
    run(client, tmp_path)
    assert hits(simulator) == [1]
    assert simulator.counters()["refreshes"] == 1
    assert_equal("Sale", rows_of(tmp_path, "Sale"), simulator.truth("Sale"))


@pytest.mark.parametrize("old_access", ["live", "die"])
def test_token_that_dies_in_the_middle_costs_one_refresh_and_no_row(old_access: str, tmp_path: Path) -> None:
    """The server's hour is over while the reader's clock still calls the token fresh; also where old ones die at once."""
    with shop(no_limits=True, token_life=7200, old_access=old_access) as simulator:
        simulator.advance(600)
        interloper = Interloper("Sale", {2: lambda _: void(simulator.advance(7200))})
        run(refreshing_client(simulator, transport=interloper), tmp_path)
        assert interloper.deeds == {}
        assert 401 in interloper.statuses
        assert simulator.counters()["refreshes"] == 1
        assert_equal("Sale", rows_of(tmp_path, "Sale"), simulator.truth("Sale"))


def void(_: object) -> None:
    """Forget a result, so that a call fits where nothing is returned."""


# -- 429 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limiter", [None, "api-leaky-bucket", "api-burst-limiter"])
def test_refusal_for_the_rate_without_retry_after_is_waited_out(
    limiter: str | None, simulator: SimulatorProcess, tmp_path: Path
) -> None:
    """A 429 that names no time, of either limiter or of none: waited for, and no try is used up by it."""
    headers = {"X-LS-API-RateLimit-Type": limiter} if limiter else {}
    refusal = {"action": "status", "status": 429, "body": "{}", "headers": headers}
    simulator.faults(*({"path": SALES, "nth": nth, "count": 3} | refusal for nth in (1, 2, 4)))
    time = SharedTime(simulator)
    run(client_with(simulator, clock=time, limiter=RateLimiter(time), attempts=1), tmp_path)
    assert hits(simulator) == [3, 3, 3]
    assert time.slept > 0.9
    assert_equal("Sale", rows_of(tmp_path, "Sale"), simulator.truth("Sale"))


def test_bucket_that_others_fill_is_waited_for(limited: SimulatorProcess, tmp_path: Path) -> None:
    """After every page a neighbour overfills the bucket, so that the next request is refused: the read takes longer."""
    limited.clear_audit()
    limited.fill_bucket(150)
    interloper = Interloper("Sale", every(3, lambda _: void(limited.fill_bucket(150))))
    time = SharedTime(limited)
    run(client_with(limited, clock=time, transport=interloper, attempts=1), tmp_path, relations=["SaleLines"])
    assert interloper.deeds == {}
    assert 429 in interloper.statuses
    assert limited.counters()["bucket_429"] >= 1
    assert time.slept >= 60
    rows = rows_of(tmp_path, "Sale")
    assert_equal("Sale", rows, limited.truth("Sale"))
    assert_lines(rows, limited)


def test_burst_that_others_make_is_waited_for(limited: SimulatorProcess, tmp_path: Path) -> None:
    """After every page a neighbour uses the second up, so that the next request in it is refused."""
    wire = RequestsTransport()
    url = f"{limited.base_url}/API/V3/Account/{limited.account_id}/Shop.json"
    request = Request("GET", url, {"Authorization": f"Bearer {limited.facts['access_token']}"})

    def crowd(_: object) -> None:
        limited.advance(1 - limited.advance(0) % 1 + 0.01)  # a second begins: all requests fall into it
        assert any(wire.send(request).status == 429 for _ in range(100))

    limited.advance(600)  # the bucket is empty, whatever was done to it before
    interloper = Interloper("Sale", every(3, crowd))
    crowd(None)
    run(client_with(limited, transport=interloper, attempts=1), tmp_path)
    assert interloper.deeds == {}
    assert 429 in interloper.statuses
    assert_equal("Sale", rows_of(tmp_path, "Sale"), limited.truth("Sale"))


# -- filters that the server ignores --------------------------------------------------------------------------------


def middle(simulator: SimulatorProcess, name: str, field: str) -> tuple[RunFacts, list[Record]]:
    """Return a window that holds the middle third of a resource by a time, and the records in it."""
    truth = sorted(simulator.truth(name), key=lambda record: str(record[field]))
    start, end = (truth[len(truth) * part // 3][field] for part in (1, 2))
    facts = RunFacts(start=datetime.fromisoformat(start), end=datetime.fromisoformat(end))
    return facts, [record for record in truth if start <= record[field] < end]


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize(
    ("name", "list_name", "field"),
    [
        ("Sale", "Sale", "updateTime"),
        ("Customer", "Customer", "timeStamp"),
        ("SalePayment", "Sale", "updateTime"),
        ("InventoryLog", "InventoryLog", "createTime"),
    ],
)
def test_ignored_window_is_an_error_that_names_the_field(
    name: str, list_name: str, field: str, nth: int, simulator: SimulatorProcess, tmp_path: Path
) -> None:
    """From the first page or from the second on: nothing is committed, and the same run tried again is right."""
    facts, inside = middle(simulator, list_name, field)
    assert len(inside) > PAGE_SIZE
    simulator.faults({"action": "ignore_filter", "path": rf"/{list_name}\.json", "nth": nth, "count": None})
    with pytest.raises(ProtocolViolation, match=f"(?i){field}") as caught:
        run(client_with(simulator), tmp_path, name, facts=facts)
    assert caught.value.field.lower() == field.lower()
    assert published(tmp_path, name) == {}
    simulator.clear_faults()
    run(client_with(simulator), tmp_path, name, facts=facts, attempt="2")
    if name == "SalePayment":
        sales = {sale["saleID"] for sale in inside}
        inside = [payment for payment in simulator.truth(name) if payment["saleID"] in sales]
    assert_equal(name, rows_of(tmp_path, name), inside)


def test_ignored_key_filter_of_an_append_read_is_an_error_that_names_the_field(tmp_path: Path) -> None:
    """The second run asks for the keys after the first one's: what was committed stays as it is."""
    with shop(sales=600, no_limits=True) as simulator:
        assert len(simulator.truth("InventoryLog")) > TRAILING_KEYS
        run(client_with(simulator), tmp_path, "InventoryLog", key="first")
        before = published(tmp_path, "InventoryLog")
        simulator.advance(600)
        simulator.faults({"action": "ignore_filter", "path": r"/InventoryLog\.json\?.*inventoryLogID=", "count": None})
        with pytest.raises(ProtocolViolation, match="inventoryLogID") as caught:
            run(client_with(simulator), tmp_path, "InventoryLog", key="second")
        assert caught.value.field == "inventoryLogID"
        assert published(tmp_path, "InventoryLog") == before


@pytest.mark.parametrize("name", ["Sale", "InventoryLog"])
@pytest.mark.parametrize("nth", [1, 2])
def test_ignored_key_range_never_doubles_a_row(
    name: str, nth: int, simulator: SimulatorProcess, tmp_path: Path
) -> None:
    """However a whole list is cut into ranges of keys: an error that names the key and no commit, or the truth."""
    key = resource(name).primary_key or ""
    simulator.faults(
        {"action": "ignore_filter", "path": rf"/{name}\.json\?.*{key}=", "fields": [key], "nth": nth, "count": None}
    )
    error = None
    try:
        run(client_with(simulator), tmp_path, name, mode="full")
    except ProtocolViolation as caught:
        error = caught
    if error is None:
        assert_equal(name, rows_of(tmp_path, name), simulator.truth(name))
    else:
        assert error.field == key
        assert key in str(error)
        assert published(tmp_path, name) == {}


def test_ignored_filter_of_the_user_is_an_error_that_names_the_field(
    simulator: SimulatorProcess, tmp_path: Path
) -> None:
    """Equality over a field of the record itself: a sale of another shop shows that the filter was not applied."""
    simulator.faults({"action": "ignore_filter", "path": SALES, "fields": ["shopID"], "count": None})
    with pytest.raises(ProtocolViolation, match="shopID"):
        run(client_with(simulator), tmp_path, mode="full", filters={"shopID": 1})
    assert published(tmp_path) == {}


# -- all at once ----------------------------------------------------------------------------------------------------

MIXTURE: tuple[dict[str, Any], ...] = (
    {"action": "reset", "probability": 0.05},
    {"action": "reset", "probability": 0.03, "after": True},
    {"action": "truncate", "probability": 0.05},
    {"action": "html", "probability": 0.05, "count": 1},  # twice in a row it would not pass
    {"action": "status", "status": 504, "probability": 0.05},
    {"action": "status", "status": 502, "probability": 0.05},
    {"action": "status", "status": 503, "probability": 0.05, "headers": {"Retry-After": "3"}},
    {"action": "try_later", "probability": 0.05},
    {"action": "rate_limited", "probability": 0.05},
    {"action": "slow", "seconds": 0.01, "probability": 0.05},
    {"action": "unauthorized", "probability": 0.2, "count": 1},
)


@pytest.mark.parametrize(
    "seed",
    [
        11,
        pytest.param(12, marks=pytest.mark.slow),
        pytest.param(13, marks=pytest.mark.slow),
        pytest.param(14, marks=pytest.mark.slow),
    ],
)
def test_random_mixture_of_faults_loses_no_row_and_doubles_none(seed: int, tmp_path: Path) -> None:
    """About every third request fails in some way, both limiters are on, and neighbours spend drips meanwhile."""
    with shop(seed=seed) as simulator:
        simulator.advance(600)
        client = refreshing_client(
            simulator,
            attempts=MANY,
            transport=Interloper("Sale", every(4, lambda _: void(simulator.fill_bucket(40)))),
        )
        simulator.faults(*({"path": "^/API", "count": None} | fault for fault in MIXTURE))
        for name in ("Sale", "InventoryLog", "ItemImage"):
            run(client, tmp_path, name, relations=["SaleLines"] if name == "Sale" else [])
        assert sum(hits(simulator)) >= 10
        for name in ("Sale", "InventoryLog", "ItemImage"):
            assert_equal(name, rows_of(tmp_path, name), simulator.truth(name))
        assert_lines(rows_of(tmp_path, "Sale"), simulator)


# -- faults that do not pass ----------------------------------------------------------------------------------------

ENDLESS: dict[str, tuple[dict[str, Any], type[LightspeedError], str]] = {
    "500": (
        {"action": "status", "status": 500},
        ServerFault,
        r"Sale\.json after 2 tries: 500.*on page 1; the same.*behind saleID \d+",
    ),
    "502 pages": (HTML_502, ServerFault, r"Sale\.json after 6 tries: 502"),
    "resets": ({"action": "reset"}, Unreachable, r"Sale\.json after 6 tries: no complete reply"),
    "truncated bodies": ({"action": "truncate"}, Unreachable, r"Sale\.json after 6 tries: no complete reply"),
    "HTML with status 200": (
        {"action": "html"},
        ServerFault,
        r"Sale\.json after 2 tries: 200: the body is an HTML page.*on page 4; the same answer came twice",
    ),
    "try again later": ({"action": "try_later"}, ServerFault, r"Sale\.json after 6 tries: 400"),
    "401": ({"action": "unauthorized"}, AccessDenied, r"Sale\.json: 401"),
    "429": ({"action": "rate_limited"}, LightspeedRateError, r"Sale\.json: 429"),
}


@pytest.mark.parametrize(("fault", "error", "message"), ENDLESS.values(), ids=ENDLESS)
def test_fault_that_never_ends_commits_nothing_and_the_next_try_is_whole(
    fault: dict[str, Any],
    error: type[LightspeedError],
    message: str,
    simulator: SimulatorProcess,
    tmp_path: Path,
) -> None:
    """From the fourth page on: an error that says what and where; then the same run, tried again."""
    simulator.faults({"path": SALES, "nth": 4, "count": None} | fault)
    with pytest.raises(error, match=message) as caught:
        run(refreshing_client(simulator, max_wait=10), tmp_path, relations=["SaleLines"])
    assert type(caught.value) is error
    assert published(tmp_path) == {}
    simulator.clear_faults()
    summary = run(refreshing_client(simulator), tmp_path, relations=["SaleLines"], attempt="2")
    rows = rows_of(tmp_path, "Sale")
    assert summary.rows == len(rows)
    assert_equal("Sale", rows, simulator.truth("Sale"))
    assert_lines(rows, simulator)


def test_failed_run_leaves_what_earlier_ones_committed(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """A reader sees the dataset of before, to the byte, until a later try is whole."""
    run(client_with(simulator), tmp_path, mode="full", key="monday")
    before = published(tmp_path)
    simulator.faults({"action": "status", "path": SALES, "nth": 3, "count": None})
    for attempt in ("1", "2"):
        with pytest.raises(ServerFault):
            run(client_with(simulator), tmp_path, mode="full", key="tuesday", attempt=attempt)
        assert published(tmp_path) == before
    simulator.clear_faults()
    run(client_with(simulator), tmp_path, mode="full", key="tuesday", attempt="3")
    assert_equal("Sale", rows_of(tmp_path, "Sale"), simulator.truth("Sale"))


def test_many_tries_that_die_early_end_whole(simulator: SimulatorProcess, tmp_path: Path) -> None:
    """Every try gets one page; the last one commits each row once, whatever the others left."""
    for attempt in ("1", "2", "3"):
        simulator.clear_faults()
        simulator.faults({"action": "reset", "path": SALES, "nth": 2, "count": None})
        with pytest.raises(Unreachable):
            run(client_with(simulator, attempts=2), tmp_path, attempt=attempt)
        assert published(tmp_path) == {}
    simulator.clear_faults()
    run(client_with(simulator), tmp_path, attempt="4")
    assert_equal("Sale", rows_of(tmp_path, "Sale"), simulator.truth("Sale"))


def test_history_holds_what_the_tests_need(simulator: SimulatorProcess) -> None:
    """Several pages, some of the records archived, and sales of more than one shop."""
    sales = simulator.truth("Sale")
    assert len(sales) > 4 * PAGE_SIZE
    assert any(sale["archived"] for sale in sales)
    assert len({sale["shopID"] for sale in sales}) > 1
