"""The page in real API servers, two workers each: below a path with the simple auth manager, at the root with FAB's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

pytest.importorskip("airflow.sdk")

from airflow_provider_lightspeed.plugin.shell import HEADERS
from airflow_provider_lightspeed.simulator.testing import SimulatorProcess
from tools.airflow_api import AirflowApi
from tools.airflow_stack import USER, AirflowStack

pytestmark = [pytest.mark.timeout(420), pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR")]

FAB: Final = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
SHOP: Final = "shop"
#: Everything with a right on connections; what each needs is told from its answer to those who lack it.
GETS: Final = ("", "new", f"connect/{SHOP}", "callback?code=c&state=s", "confirm/key", f"disconnect/{SHOP}")
POSTS: Final = (
    "new",
    f"connect/{SHOP}",
    "callback",
    "confirm/key",
    f"test/{SHOP}",
    f"disconnect/{SHOP}",
    f"take-over/{SHOP}",
)
FORM_TOKEN: Final = re.compile(r'name="form_token" value="([^"]+)"')


class Browser:
    """Somebody's browser; each request takes a connection of its own, and with it any of the workers."""

    def __init__(self, page: str, token: str | None) -> None:
        self._page = page
        self._cookies = {"_token": token} if token else {}

    def send(self, method: str, path: str, data: Any = None, **headers: str) -> requests.Response:
        """Send one request below the page, and follow nothing."""
        url = f"{self._page}/{path}"
        kept = {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
        reply = requests.request(method, url, data=data, headers={**kept, **headers}, allow_redirects=False, timeout=60)
        self._cookies |= {str(cookie.name): cookie.value or "" for cookie in reply.cookies}
        return reply

    def get(self, path: str = "") -> requests.Response:
        """Open a page."""
        return self.send("GET", path)

    def post(self, path: str, **fields: str) -> requests.Response:
        """Send a form of this user's page."""
        found = FORM_TOKEN.search(self.get(f"connect/{SHOP}").text)
        assert found
        return self.send("POST", path, {"form_token": found[1], **fields}, **{"Sec-Fetch-Site": "same-origin"})

    def message(self) -> str:
        """Return what the overview says of the last action."""
        found = re.search(r'<p class="message[^>]*>(.*?)</p>', self.get().text, re.DOTALL)
        return found[1].strip() if found else ""


@dataclass(frozen=True)
class World:
    """One deployment with its account."""

    stack: AirflowStack
    simulator: SimulatorProcess
    readers: tuple[str, ...]
    seen: list[str]

    @property
    def home(self) -> str:
        """Return the path of the page."""
        return f"{urlsplit(self.stack.url).path}/lightspeed/"

    def browser(self, user: str | None = None) -> Browser:
        """Return the browser of somebody who has logged in."""
        page = f"{self.stack.url}/lightspeed"
        if user is None:
            return Browser(page, None)
        api = AirflowApi(self.stack.url, user, self.stack.password)
        try:
            return Browser(page, api.token())
        finally:
            api.close()

    def add(self, conn_id: str) -> str:
        """Store a connection without a grant."""
        self.stack.api.add_connection(conn_id, "lightspeed", **self.simulator.connection())
        return conn_id

    def set_out(self, browser: Browser, conn_id: str) -> str:
        """Press Connect, then Allow at Lightspeed; return the callback that the browser is sent to."""
        reply = browser.post(f"connect/{conn_id}", scope="employee:all")
        assert reply.headers["Location"].startswith(self.simulator.base_url)
        allowed = {"decision": "allow"}
        back = requests.post(reply.headers["Location"], allowed, allow_redirects=False, timeout=30).headers["Location"]
        query = urlsplit(back).query
        self.seen.extend(value for values in parse_qs(query).values() for value in values)
        return f"callback?{query}"

    def grants(self) -> list[dict[str, Any]]:
        """Return those that live."""
        return [grant for grant in self.simulator.grants() if not grant["revoked"]]


def _people_of_fab(stack: AirflowStack) -> None:
    """Make a user per role, and one whose role may read connections and nothing else."""
    names = ("--firstname", USER, "--lastname", USER, "--email", f"{USER}@example.org")
    stack.run("users", "create", "--role", "Admin", "--username", USER, "--password", stack.password, *names)
    token = {"Authorization": f"Bearer {stack.api.token()}"}

    def make(what: str, body: dict[str, Any]) -> None:
        reply = requests.post(f"{stack.url}/auth/fab/v1/{what}", json=body, headers=token, timeout=60)
        assert reply.ok, reply.text

    right = {"action": {"name": "can_read"}, "resource": {"name": "Connections"}}
    make("roles", {"name": "Reader", "actions": [right]})
    for role in ("Viewer", "User", "Op", "Reader"):
        name = role.lower()
        facts = {"first_name": name, "last_name": name, "email": f"{name}@example.org", "password": stack.password}
        make("users", {"username": name, **facts, "roles": [{"name": role}]})


@pytest.fixture(scope="session")
def airflow_of_fab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowStack]:
    """An API server at the root, on SQLite, with FAB's users and roles."""
    folder: Path = tmp_path_factory.mktemp("fab")
    (folder / "dags").mkdir()
    config = {"api__workers": "2", "logging__logging_level": "DEBUG", "core__auth_manager": FAB}
    with AirflowStack(folder / "airflow", folder / "dags", config=config, processes=("api-server",)) as stack:
        _people_of_fab(stack)
        yield stack


@pytest.fixture(scope="module", params=["simple", "fab"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    is_fab = request.param == "fab"
    stack: AirflowStack = (
        request.getfixturevalue("airflow_of_fab") if is_fab else request.getfixturevalue("airflow").stack
    )
    with SimulatorProcess(sales=5, items=5, customers=5, days=3, no_limits=True) as simulator:
        made = World(stack, simulator, ("reader",) if is_fab else (), [])
        made.add(SHOP)
        yield made


def test_nobody_gets_in_without_a_login(world: World) -> None:
    """Every page leads to Airflow's login, below Airflow's own path; what needs no login tells nothing."""
    browser = world.browser()
    login = f"{urlsplit(world.stack.url).path}/api/v2/auth/login?next="
    for method, paths in (("GET", GETS), ("POST", POSTS)):
        for path in paths:
            reply = browser.send(method, path, {"decision": "replace"} if method == "POST" else None)
            assert (reply.status_code, reply.text) == (303, ""), path
            assert reply.headers["Location"].startswith(login)
            assert "code" not in reply.headers["Location"]
    assert browser.get("marker").json()["service"] == "airflow-provider-lightspeed"
    assert browser.get("static/page.css").status_code == 200
    assert browser.send("POST", f"refresh/{SHOP}", "{}").json()["outcome"] == "no_match"


@pytest.mark.parametrize("user", ["viewer", "user"])
def test_weak_roles_get_a_plain_refusal(world: World, user: str) -> None:
    """On every page, with all headers, and with no word of what there is."""
    browser, before = world.browser(user), world.stack.stored_extra(SHOP)
    for method, paths in (("GET", GETS), ("POST", POSTS)):
        for path in paths:
            reply = browser.send(method, path, {"form_token": "x"} if method == "POST" else None)
            assert reply.status_code == 403, path
            assert "You may not do this" in reply.text
            assert SHOP not in reply.text
            assert {name: reply.headers[name] for name in HEADERS} == HEADERS
    assert world.stack.stored_extra(SHOP) == before


def test_role_that_may_only_read_sees_and_does_nothing(world: World) -> None:
    """Of FAB's many roles; the simple auth manager has none such."""
    for user in world.readers:
        browser = world.browser(user)
        overview = browser.get()
        assert SHOP in overview.text
        assert "<form" not in overview.text
        assert world.home + "new" not in overview.text
        for path in GETS[1:]:
            assert browser.get(path).status_code == 403, path
        for path in POSTS:
            assert "You may not do this" in browser.send("POST", path, {}).text, path


@pytest.mark.parametrize("user", ["op", USER])
def test_full_rights_connect_test_and_disconnect(world: World, user: str) -> None:
    """The whole way over real HTTP, whichever worker answers."""
    browser, conn_id = world.browser(user), world.add(f"of-{user}")
    reply = browser.get(world.set_out(browser, conn_id))
    assert (reply.status_code, reply.headers["Location"]) == (303, world.home)
    assert conn_id in browser.message()
    assert (world.stack.stored_extra(conn_id) or {})["account_id"] == world.simulator.account_id
    alive = len(world.grants())
    assert browser.post(f"test/{conn_id}").headers["Location"] == world.home
    assert browser.post(f"disconnect/{conn_id}").headers["Location"] == world.home
    assert "revoked at Lightspeed" in browser.message()
    assert len(world.grants()) == alive - 1
    assert "refresh_token" not in (world.stack.stored_extra(conn_id) or {})


def test_forms_of_others_are_refused(world: World) -> None:
    """Another user's token, and one that another site has made the browser send."""
    op, admin = world.browser("op"), world.browser(USER)
    found = FORM_TOKEN.search(op.get(f"connect/{SHOP}").text)
    assert found
    for path in POSTS:
        assert admin.send("POST", path, {"form_token": found[1]}).status_code == 403, path
        cross = {"Sec-Fetch-Site": "cross-site"}
        assert op.send("POST", path, {"form_token": found[1]}, **cross).status_code == 403, path


def test_stolen_state_is_worthless_and_a_callback_is_good_once(world: World) -> None:
    """Whoever else brings it gets nothing and spoils nothing; its owner finishes, and cannot do so again."""
    conn_id, owner, thief = world.add("stolen"), world.browser("op"), world.browser(USER)
    callback, before = world.set_out(owner, conn_id), len(world.grants())
    thief.get(callback)
    assert "begun by another Airflow user" in thief.message()
    assert len(world.grants()) == before
    owner.get(callback)
    ours = world.stack.stored_extra(f"{conn_id}__lightspeed_tokens")
    assert ours
    assert ours["generation"] == 1
    for browser in (owner, thief):
        browser.get(callback)
        assert "Not connected" in browser.message()
    assert world.stack.stored_extra(f"{conn_id}__lightspeed_tokens") == ours


def test_connection_named_like_a_path_cannot_act_for_another(world: World) -> None:
    """Neither can one be made on the page, nor does a button of one that Airflow's API admits lead out of its page."""
    conn_id, admin = world.add(".."), world.browser(USER)
    overview = admin.get().text
    assert f">{conn_id}</h2>" in overview
    assert not re.search(r'(?:action|href)="[^"]*\.\.', overview)
    assert admin.post("test/..%2Fdisconnect%2Fshop").status_code == 404
    made = admin.post("new", conn_id="../disconnect/shop", client_id="x", client_secret="y", scope="employee:all")
    assert made.status_code == 422
    assert world.stack.stored_extra("../disconnect/shop") is None


def test_no_log_has_a_code_a_state_or_a_token(world: World) -> None:
    """At DEBUG, in what the server prints and in what Airflow writes; the callbacks themselves are there."""
    files = [path for path in world.stack.home.rglob("*.log") if path.is_file()]
    text = "\n".join(path.read_text(errors="replace") for path in files)
    assert "/lightspeed/callback" in text
    stored = json.dumps(world.stack.stored_extra("stolen__lightspeed_tokens"))
    secrets = [*world.seen, *re.findall(r'_token": "([^"]{16,})"', stored), world.simulator.client_secret]
    assert len(secrets) > 6
    for secret in secrets:
        assert secret not in text
