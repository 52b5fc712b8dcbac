"""The targets of the measurement: the product, an earlier version of it, and the baseline; each with its database."""

from __future__ import annotations

import contextlib
import html
import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from bench import generate, server
from bench.load import Browser, Request
from tests.servers import LiveServer, Server, ServerFailed

RESULTS = Path(__file__).parent / "results" / "latest.md"
JSON = {"Content-Type": "application/json"}
#: Signed-in users.
USERS = (generate.SALES, generate.MANAGER, generate.SUPPORT)


@dataclass(frozen=True)
class Options:
    """The options of the command line."""

    leads: int = 200_000
    seconds: float = 5.0
    rounds: int = 2
    workers: int = 2
    threads: int = 4
    only: str = ""
    #: A commit whose product is measured in turn with the current one.
    against: str = ""
    keep: bool = False
    results: Path = RESULTS
    #: One of sizes.SCALES instead of `leads`.
    scale: str = ""

    @property
    def sizes(self) -> generate.Sizes:
        """The number of rows."""
        return generate.Sizes.named(self.scale) if self.scale else generate.Sizes.of(self.leads)


@dataclass
class Target:
    """A running server with its database, and the data for requests to it."""

    name: str
    database: server.Database
    web: Server
    mine: list[int] = field(default_factory=list)
    any: list[int] = field(default_factory=list)
    #: Mobile numbers of leads: ten digits.
    phones: list[str] = field(default_factory=list)
    status: dict[str, int] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    serial: int = field(default_factory=lambda: int(time.time()) % 10_000_000 * 10)

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Query its database."""
        with contextlib.closing(self.database.connect(server.DATABASE)) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())

    def load_ids(self) -> None:
        """Read the ids, numbers and statuses to request; the same rows for each target."""
        self.mine = [row[0] for row in self.query(_MINE, generate.SALES)]
        self.any = [row[0] for row in self.query("SELECT id FROM leads WHERE id % 97 = 0 LIMIT 2000")]
        random.Random(generate.SEED).shuffle(self.mine)
        self.phones = [row[0] for row in self.query(_PHONES, self.mine[:500])]
        self.status = dict(self.query("SELECT label, id FROM lead_status"))

    def sign_in_all(self) -> None:
        """Sign in each user and keep the cookies; prints who can't sign in."""
        for who in USERS:
            try:
                found = sign_in(Browser(self.web.port), who).cookies
            except ServerFailed as failed:
                print(f"  {self.name}: {failed}")
                found = {}
            self.cookies[who] = "; ".join(f"{name}={value}" for name, value in found.items())

    def next_serial(self) -> int:
        """A number that wasn't used in this run."""
        self.serial += 1
        return self.serial


_MINE = """SELECT l.id FROM leads l JOIN ab_user u ON u.id = l.assignee_id WHERE u.username = %s
    ORDER BY l.id DESC LIMIT 5000"""
_PHONES = "SELECT mobile FROM leads WHERE mobile IS NOT NULL AND id IN %s"


def key_of(who: str) -> dict[str, str]:
    """The header of a user's API key."""
    return {"Authorization": f"token {generate.key_of(who)}:{generate.secret_of(who)}"}


# --- sign-in

_TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')


def sign_in(browser: Browser, who: str) -> Browser:
    """Sign in. Raises ServerFailed."""
    port = browser.connection.port
    _, _, page = browser.send(Request("GET", "/login/"))
    token = _TOKEN.search(page)
    form = {"username": who, "password": generate.PASSWORD} | ({"csrf_token": html.unescape(token[1])} if token else {})
    kind = {"Content-Type": "application/x-www-form-urlencoded", "Referer": f"http://127.0.0.1:{port}/login/"}
    status, headers, _ = browser.send(Request("POST", "/login/", kind, urlencode(form)))
    if status not in (302, 303) or "/login" in headers.get("location", ""):
        raise ServerFailed(f"{who} cannot sign in: {status} {headers.get('location', '')}")
    return browser


def restart_ended(targets: Sequence[Target]) -> str:
    """Restart the servers that have ended. Returns their names."""
    ended = [each for each in targets if each.web.process is None or each.web.process.poll() is not None]
    texts = [f"{each.name} ended with {each.web.process and each.web.process.returncode}" for each in ended]
    for each in ended:
        print(each.web.last_words())
        each.web.start()
    return ", ".join(texts) or "all of them run"


def is_product(target: Target) -> bool:
    """Whether it serves the product's URLs (the baseline doesn't)."""
    return isinstance(target.web, LiveServer)
