"""An office with demo people, each with a browser of his own that hears every complaint of the page."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import expect

from tests import preloaded
from tests.servers import LiveServer

#: Of all demo people and of the admin.
PASSWORD = LiveServer.ADMIN[1]
#: Asha leads Rohan's and Manoj's team.
MANAGER, SELLER, COLLEAGUE = "asha.deshmukh", "rohan.parikh", "manoj.thakkar"


#: Milliseconds; less than the minute after which a page without a socket asks by itself.
PATIENCE = 45_000


@dataclass
class Seat:
    """A person's browser; `complaints` are errors of scripts, refused resources and what the CSP forbids."""

    page: Any
    url: str
    complaints: list[str] = field(default_factory=list)
    #: Whether a socket of the page has heard the count of its bell since it was opened.
    is_live: bool = False

    def __post_init__(self) -> None:
        self.page.on("websocket", lambda socket: socket.on("framereceived", self._hear))
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.set_default_timeout(PATIENCE)

    def _hear(self, frame: Any) -> None:
        self.is_live = self.is_live or str(frame).startswith('42["bell"')

    def await_socket(self) -> None:
        """Wait until news reach the page by themselves."""
        end = time.monotonic() + PATIENCE / 1000
        while not self.is_live:
            assert time.monotonic() < end, "the page has no socket"
            self.page.wait_for_timeout(20)

    def go(self, path: str) -> Any:
        """Open the page and wait until its scripts are at rest."""
        self.is_live = False
        answer = self.page.goto(self.url + path)
        self.page.wait_for_load_state("load")
        return answer

    def sign_in(self, name: str, password: str = PASSWORD) -> None:
        """Through the form, as everybody does."""
        self.go("/login/")
        self.page.fill("#username", name)
        self.page.fill("#password", password)
        self.page.click("form[name=login] button[type=submit]")
        self.page.wait_for_url(lambda url: url in (self.url + "/", self.url + "/dashboard/"))  # My day, or a manager's


@pytest.fixture(scope="session")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """The product with demo data, on SQLite."""
    with LiveServer(tmp_path_factory.mktemp("office")) as server:
        command = ("-m", "flask", "--app", "run", "demo", "load", "--leads", "40", "--password", PASSWORD)
        loaded = preloaded.run(command, server.environment())
        assert loaded.returncode == 0, loaded.stderr
        yield server


#: (name, how many-th browser of this person in a test) -> the cookies of its sign-in, for the tests after.
Cookies = dict[tuple[str, int], Any]


@pytest.fixture(scope="session")
def cookies(office: LiveServer) -> Cookies:
    """Who has signed in by now."""
    return {}


@pytest.fixture
def seat(chromium: Any, office: LiveServer, cookies: Cookies) -> Iterator[Callable[..., Seat]]:
    """seat("rohan.parikh") is his signed-in browser; seat(None) a stranger's. Further arguments: playwright's."""
    contexts, names = [], Counter[str]()
    expect.set_options(timeout=PATIENCE)

    def sit(name: str | None, **options: Any) -> Seat:
        # Requests that a service worker answers can't be intercepted: where it is at work, a test says so.
        usual = {"viewport": {"width": 1440, "height": 900}, "service_workers": "block"}
        context = chromium.new_context(**usual | options)
        contexts.append(context)
        made = Seat(context.new_page(), office.url)
        if name is None:
            return made
        names[name] += 1
        key = (name, names[name])
        context.add_cookies(cookies.get(key, []))
        made.go("/")
        if "/login/" in made.page.url:  # the first time, and when a test before signed out
            made.sign_in(name)
            cookies[key] = context.cookies()
            made.go("/")
        return made

    yield sit
    for context in contexts:
        context.close()
