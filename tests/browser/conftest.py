"""A server with demo data, and browsers for people that collect every error of their pages."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Error, expect

from tests import forked_programs
from tests.servers import LiveServer

#: Of all demo people and of the admin.
PASSWORD = LiveServer.ADMIN[1]
#: Asha leads Rohan's and Manoj's team.
MANAGER, SELLER, COLLEAGUE = "asha.deshmukh", "rohan.parikh", "manoj.thakkar"


#: Milliseconds; less than the minute after which a page without a socket asks by itself.
PATIENCE = 45_000
#: What playwright says where the page itself was about to go elsewhere, such as to the sign-in, and how often one goes
#: again then.
ELSEWHERE, TRIES = ("ERR_ABORTED", "interrupted by another navigation"), 3


@dataclass
class Seat:
    """A person's browser; `complaints` are errors of scripts, refused resources and what the CSP forbids."""

    tab: Any
    url: str
    complaints: list[str] = field(default_factory=list)
    #: Whether a socket of the page has heard the count of its bell since it was opened.
    is_live: bool = False
    #: What is opened if the page is asked for before any other is.
    home: str = ""
    #: Of the forms, while the same person is signed in.
    _token: str = ""

    def __post_init__(self) -> None:
        self.tab.on("websocket", lambda socket: socket.on("framereceived", self._hear))
        self.tab.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.set_default_timeout(PATIENCE)

    @property
    def page(self) -> Any:
        """The page as playwright has it; at My day if nothing else was opened."""
        if self.home:
            self.go(self.home)
        return self.tab

    def _hear(self, frame: Any) -> None:
        self.is_live = self.is_live or str(frame).startswith('42["bell"')

    def await_socket(self) -> None:
        """Wait until news reach the page by themselves."""
        self.until(lambda: self.is_live, "the page has no socket")

    def until(self, is_so: Callable[[], Any], what: str) -> None:
        """Wait until it is so, while the page's events are heard; else `what` says what is missing."""
        end = time.monotonic() + PATIENCE / 1000
        while not is_so():
            assert time.monotonic() < end, what
            self.page.wait_for_timeout(20)

    def go(self, path: str) -> Any:
        """Open the page and wait until its scripts are at rest."""
        self.is_live, self.home = False, ""
        for _ in range(TRIES):
            try:
                return self.tab.goto(self.url + path)
            except Error as error:
                if not any(each in str(error) for each in ELSEWHERE):
                    raise
        return self.tab.goto(self.url + path)

    def create(self, kind: str, **values: Any) -> dict[str, Any]:
        """Create a record over REST, as who is signed in here; answers it, with its id. A form takes two pages."""
        if not self._token:
            html = self.tab.context.request.get(f"{self.url}/me/").text()
            self._token = html.partition('name="csrf-token" content="')[2].partition('"')[0]
        url, headers = f"{self.url}/api/v1/{kind}/", {"X-CSRFToken": self._token}
        answer = self.tab.context.request.post(url, data=values, headers=headers)
        assert answer.status == 201, answer.text()
        made = answer.json()
        return {**made["result"], "id": made["id"]}

    def sign_in(self, name: str, password: str = PASSWORD) -> None:
        """Through the form, as everybody does."""
        self.go("/login/")
        self.page.fill("#username", name)
        self.page.fill("#password", password)
        self.page.click("form[name=login] button[type=submit]")
        self.page.wait_for_url(lambda url: url in (self.url + "/", self.url + "/dashboard/"))  # My day, or a manager's


@pytest.fixture(scope="session")
def crm_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """The product with demo data, on SQLite."""
    with LiveServer(tmp_path_factory.mktemp("office")) as server:
        command = ("-m", "flask", "--app", "run", "demo", "load", "--leads", "40", "--password", PASSWORD)
        loaded = forked_programs.run(command, server.environment())
        assert loaded.returncode == 0, loaded.stderr
        yield server


#: (name, how many-th browser of this person in a test) -> the cookies of its sign-in, for the tests after.
Cookies = dict[tuple[str, int], Any]


@pytest.fixture(scope="session")
def cookies(crm_server: LiveServer) -> Cookies:
    """Who has signed in by now."""
    return {}


class Contexts:
    """The browser's contexts, which keep for the tests after what they have cached and compiled, and nothing else.

    The first page of a new context takes three times the CPU of a page. A page without scripts stays open in each: the
    process that draws its pages then outlives a test, which saves a quarter.
    """

    #: What a page can store, in the words of Chromium's protocol.
    STORES = "local_storage,indexeddb,cache_storage,file_systems,websql"

    def __init__(self, browser: Any, url: str) -> None:
        self._browser, self.url = browser, url
        self._free: dict[str, list[Any]] = defaultdict(list)
        self._lent: list[tuple[str, Any]] = []
        self._first: dict[Any, Any] = {}

    def new_page(self, options: dict[str, Any]) -> Any:
        """A page of a context with these options, where nobody is signed in and nothing is stored."""
        key = repr(sorted(options.items()))
        free = self._free[key]
        context = free.pop() if free else self._browser.new_context(**options)
        self._lent.append((key, context))
        if context not in self._first and is_kept(key):
            self._first[context] = context.new_page()
            self._first[context].goto(f"{self.url}/healthz")
        page = context.new_page()
        context.clear_cookies()
        session = context.new_cdp_session(page)
        session.send("Storage.clearDataForOrigin", {"origin": self.url, "storageTypes": self.STORES})
        session.detach()
        return page

    def take_back(self) -> None:
        """Close the pages of the test, and the contexts that are not used again."""
        for key, context in self._lent:
            if not is_kept(key):
                context.close()
                continue
            for page in context.pages:
                if page is not self._first[context]:
                    page.close()
            self._free[key].append(context)
        self._lent.clear()


def is_kept(key: str) -> bool:
    """Whether a context with these options is used again: not if a service worker is, or may be, at work in it."""
    return "'service_workers', 'block'" in key


@pytest.fixture(scope="session")
def contexts(chromium: Any, crm_server: LiveServer) -> Contexts:
    """The contexts that the tests of this process share."""
    return Contexts(chromium, crm_server.url)


@pytest.fixture
def seat(contexts: Contexts, cookies: Cookies) -> Iterator[Callable[..., Seat]]:
    """seat("rohan.parikh") is his signed-in browser; seat(None) a stranger's. Further arguments: playwright's."""
    names = Counter[str]()
    expect.set_options(timeout=PATIENCE)

    def sit(name: str | None, **options: Any) -> Seat:
        # Requests that a service worker answers can't be intercepted: where it is at work, a test says so.
        usual = {"viewport": {"width": 1440, "height": 900}, "service_workers": "block"}
        made = Seat(contexts.new_page(usual | options), contexts.url)
        if name is None:
            return made
        names[name] += 1
        key, context = (name, names[name]), made.tab.context
        context.add_cookies(cookies.get(key, []))
        answer = context.request.get(f"{made.url}/", max_redirects=0)
        if "/login/" in answer.headers.get("location", ""):  # the first time, and when a test before signed out
            made.sign_in(name)
            cookies[key] = context.cookies()
        made.home = "/"
        return made

    yield sit
    contexts.take_back()
