"""A server with demo data, and browsers for people that collect every error of their pages."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Error, expect

from tests import forked_programs
from tests.app_fixtures import made_once
from tests.app_pool import copy_folder
from tests.chromium import Browsers
from tests.servers import LiveServer, eventually

#: Of all demo people and of the admin.
PASSWORD = LiveServer.ADMIN[1]
#: Asha leads Rohan's and Manoj's team.
MANAGER, SELLER, COLLEAGUE = "asha.deshmukh", "rohan.parikh", "manoj.thakkar"


#: Where pictures of the pages are kept to be looked at; none without it.
PICTURES = os.environ.get("CRM_TEST_PICTURES")
#: The page of the demo's only account with a provider.
CONSOLE = "/settings/channels/console/1/"
#: Milliseconds; less than the minute after which a page without a socket asks by itself.
PATIENCE = 45_000
#: What playwright says where the page itself was about to go elsewhere, such as to the sign-in, and how often one goes
#: again then.
ELSEWHERE, TRIES = ("ERR_ABORTED", "interrupted by another navigation"), 3


@dataclass
class UserBrowser:
    """A person's browser; `complaints` are errors of scripts, refused resources and what the CSP forbids."""

    tab: Any
    url: str
    complaints: list[str] = field(default_factory=list)
    #: Whether a socket of the page has heard the count of its bell since it was opened.
    is_live: bool = False
    #: What is opened if the page is asked for before any other is.
    home: str = ""
    #: Cookies -> the token of the forms; those of one process are shared.
    tokens: dict[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for event, listen in self._listeners.items():
            self.tab.on(event, listen)
        self.tab.set_default_timeout(PATIENCE)

    @property
    def _listeners(self) -> dict[str, Callable[[Any], None]]:
        return {"websocket": self._meet, "console": self._read, "pageerror": self._note}

    def leave(self) -> None:
        """Hear the page no longer: another test gets it."""
        for event, listen in self._listeners.items():
            self.tab.remove_listener(event, listen)

    @property
    def page(self) -> Any:
        """The page as playwright has it; at My day if nothing else was opened."""
        if self.home:
            self.go(self.home)
        return self.tab

    def _read(self, said: Any) -> None:
        if said.type == "error":
            self.complaints.append(said.text)

    def _note(self, error: Any) -> None:
        self.complaints.append(str(error))

    def _meet(self, socket: Any) -> None:
        socket.on("framereceived", self._hear)

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
            self.page.wait_for_timeout(50)

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

    def take_pictures(self, name: str) -> None:
        """Keep pictures of the page, light on a desk and dark on a phone, if CRM_TEST_PICTURES names a folder."""
        if PICTURES:
            for scheme, size in (("light", (1440, 900)), ("dark", (390, 844))):
                self.page.emulate_media(color_scheme=scheme)
                self.page.set_viewport_size({"width": size[0], "height": size[1]})
                self.page.screenshot(path=f"{PICTURES}/{name}-{scheme}.png")
            self.page.emulate_media(color_scheme="light")
            self.page.set_viewport_size(WINDOW)

    def create(self, kind: str, **values: Any) -> dict[str, Any]:
        """Create a record over REST, as who is signed in here; answers it, with its id. A form takes two pages."""
        url, headers = f"{self.url}/api/v1/{kind}/", {"X-CSRFToken": self._token()}
        answer = self.tab.context.request.post(url, data=values, headers=headers)
        assert answer.status == 201, answer.text()
        made = answer.json()
        return {**made["result"], "id": made["id"]}

    def receive(self, text: str) -> str:
        """Have a stranger's message come in on WhatsApp, as an admin plays it; answers its conversation's path.

        The demo's own conversations are with leads that depend on the time of day, or get answered by other tests.
        """
        name = f"Caller {secrets.token_hex(4)}"
        form = {"channel": "whatsapp", "peer": f"98{secrets.randbelow(10**8):08}", "name": name, "text": text}
        answer = self.tab.context.request.post(
            f"{self.url}{CONSOLE}write", form=form | {"csrf_token": self._token()}, max_redirects=0
        )
        assert answer.status == 302, answer.text()
        row = re.compile(rf'href="(/inbox/\d+)[^"]*"(?:(?!</li>).)*{name}', re.DOTALL)
        find = partial(self._find, "/inbox/?folder=unassigned", row)
        eventually(lambda: bool(find()), "the message has not come in")
        return find()

    def _find(self, path: str, pattern: re.Pattern[str]) -> str:
        """The first group where the page matches; "" if it doesn't."""
        found = pattern.search(self.tab.context.request.get(self.url + path).text())
        return found[1] if found else ""

    def _token(self) -> str:
        """Of the forms of who is signed in."""
        session = self._session()
        if session not in self.tokens:
            html = self.tab.context.request.get(f"{self.url}/me/").text()
            session = self._session()  # it may have got its token just now
            self.tokens[session] = html.partition('name="csrf-token" content="')[2].partition('"')[0]
        return self.tokens[session]

    def _session(self) -> str:
        return repr(sorted((each["name"], each["value"]) for each in self.tab.context.cookies()))

    def sign_in(self, name: str, password: str = PASSWORD) -> None:
        """Through the form, as everybody does."""
        self.go("/login/")
        self.page.fill("#username", name)
        self.page.fill("#password", password)
        self.page.click("form[name=login] button[type=submit]")
        self.page.wait_for_url(lambda url: url in (self.url + "/", self.url + "/dashboard/"))  # My day, or a manager's


#: The fixture open_browser: (username or None, options of Contexts) -> a browser.
OpenBrowser = Callable[..., UserBrowser]

PREPARE = ("-c", "import config, run; run.prepare(config.load())")
LOAD_DEMO = ("-m", "flask", "--app", "run", "demo", "load", "--leads", "40", "--password", PASSWORD)


@pytest.fixture(scope="session")
def demo_office(shared: Path) -> Path:
    """The folder of a server that isn't running, with demo data on SQLite; for all workers, to be copied."""
    folder = shared / "demo-office"
    with made_once(shared, folder.name) as is_first:
        if is_first:
            folder.mkdir()
            environment = LiveServer(folder).environment()
            for command in (PREPARE, LOAD_DEMO):
                done = forked_programs.run(command, environment)
                assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def crm_server(demo_office: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """The product with demo data, on SQLite."""
    folder = tmp_path_factory.mktemp("office")
    copy_folder(demo_office, folder)
    with LiveServer(folder) as server:
        yield server


#: (name, how many-th browser of this person in a test) -> the cookies of its sign-in, for the tests after.
Cookies = dict[tuple[str, int], Any]


@pytest.fixture(scope="session")
def cookies(crm_server: LiveServer) -> Cookies:
    """Who has signed in by now."""
    return {}


#: Methods of a page whose effect outlives the document that it shows, and can't be undone.
ALTERING = ("add_init_script", "expose_binding", "expose_function", "route_web_socket")
#: Those whose effect is undone when a test gives its page back.
UNDONE = ("emulate_media", "route")
#: Options of playwright's context that a page can take on and lay off.
MEDIA = ("color_scheme", "reduced_motion")
WINDOW = {"width": 1440, "height": 900}


class Contexts:
    """Contexts with a page each, which keep what they have cached and compiled, and nothing else.

    The first document of a new page takes twice the CPU of the next one, and three times that of it in a new context. A
    page rests without scripts between two tests. One that a test has closed or altered for good is not used again.

    Options are those of playwright's context, and `init_script`, which runs before the scripts of each document.
    Windows of any size share a context: a second page that a test opens in it has the usual one.
    """

    #: What a page can store, in the words of Chromium's protocol.
    STORES = "local_storage,indexeddb,cache_storage,file_systems,websql"

    def __init__(self, browsers: Browsers, url: str) -> None:
        self._browsers, self.url = browsers, url
        #: Options -> contexts that nobody uses, each with its page if that can be used again.
        self._free: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
        self._lent: list[tuple[str, Any, Any]] = []
        #: Contexts and pages that are not as they were made, and pages that can be made so again.
        self._altered: set[Any] = set()
        self._changed: set[Any] = set()

    def new_page(self, options: dict[str, Any]) -> Any:
        """A page of a context with these options, where nobody is signed in and nothing is stored."""
        media = {name: options[name] for name in MEDIA if name in options}
        lasting = {name: value for name, value in options.items() if name not in (*MEDIA, "viewport")}
        key = repr(sorted(lasting.items()))
        context, page = self._free[key].pop() if self._free[key] else (self._new_context(**lasting), None)
        page = page or self._new_page(context)
        self._lent.append((key, context, page))
        self._dress(page, options.get("viewport", WINDOW), media)
        context.clear_cookies()
        session = context.new_cdp_session(page)
        session.send("Storage.clearDataForOrigin", {"origin": self.url, "storageTypes": self.STORES})
        session.detach()
        return page

    @staticmethod
    def _dress(page: Any, window: dict[str, int], media: dict[str, str]) -> None:
        """Give the page this window and these preferences."""
        if page.viewport_size != window:
            page.set_viewport_size(window)
        if media:
            page.emulate_media(**media)

    def _new_context(self, init_script: str = "", **options: Any) -> Any:
        made = self._browsers.new_context(viewport=WINDOW, **options)
        if init_script:
            made.add_init_script(init_script)
        made.clock.install = self._noting(made.clock.install, made, self._altered)
        return made

    def _new_page(self, context: Any) -> Any:
        made = context.new_page()
        for names, noted in ((ALTERING, self._altered), (UNDONE, self._changed)):
            for name in names:
                setattr(made, name, self._noting(getattr(made, name), made, noted))
        return made

    @staticmethod
    def _noting(method: Callable[..., Any], altered: Any, noted: set[Any]) -> Callable[..., Any]:
        """The method of a context or page, which notes that it was called."""

        def call(*args: Any, **options: Any) -> Any:
            noted.add(altered)
            return method(*args, **options)

        return call

    def take_back(self) -> None:
        """Close what is not used again, and let the pages rest that are."""
        for key, context, page in self._lent:
            if not is_kept(key) or context in self._altered or not context.browser.is_connected():
                self._browsers.end(context)
                continue
            kept = page if self._rests(page) else None
            for each in context.pages:
                if each is not kept:
                    each.close()
            self._free[key].append((context, kept))
        self._lent.clear()

    def _rests(self, page: Any) -> bool:
        """Whether the page can be used again; it then shows a document without scripts."""
        if page.is_closed() or page in self._altered:
            return False
        try:
            if page in self._changed:
                page.unroute_all(behavior="ignoreErrors")
                page.emulate_media(media="null", color_scheme="null", reduced_motion="null")
                self._changed.discard(page)
            page.goto(f"{self.url}/healthz")
            page.evaluate("() => sessionStorage.clear()")
        except Error:  # such as where the test has stopped the server
            return False
        return True


def is_kept(key: str) -> bool:
    """Whether a context with these options is used again: not if a service worker is, or may be, at work in it."""
    return "'service_workers', 'block'" in key


@pytest.fixture(scope="session")
def tokens() -> dict[str, str]:
    """Cookies of a session -> the token of its forms."""
    return {}


@pytest.fixture(scope="session")
def contexts(browsers: Browsers, crm_server: LiveServer) -> Contexts:
    """The contexts that the tests of this process share."""
    return Contexts(browsers, crm_server.url)


@pytest.fixture
def open_browser(contexts: Contexts, cookies: Cookies, tokens: dict[str, str]) -> Iterator[OpenBrowser]:
    """open_browser("rohan.parikh"): where Rohan is signed in; open_browser(None): nobody; options: of Contexts."""
    names, browsers = Counter[str](), list[UserBrowser]()
    expect.set_options(timeout=PATIENCE)

    def opened(name: str | None, **options: Any) -> UserBrowser:
        # Requests that a service worker answers can't be intercepted: where it is at work, a test says so.
        page = contexts.new_page({"service_workers": "block"} | options)
        made = UserBrowser(page, contexts.url, tokens=tokens)
        browsers.append(made)
        if name is None:
            return made
        names[name] += 1
        key, context = (name, names[name]), made.tab.context
        context.add_cookies(cookies.get(key, []))
        answer = context.request.get(f"{made.url}/bell/count", max_redirects=0)
        if "/login/" in answer.headers.get("location", ""):  # the first time, and when a test before signed out
            made.sign_in(name)
            cookies[key] = context.cookies()
        made.home = "/"
        return made

    yield opened
    for each in browsers:
        each.leave()
    contexts.take_back()
