"""What a sign-in costs a call: a key and a token against a cookie, taking turns over one line each.

python -m bench --only keys                # a minute; bench/results/keys.md
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bench import run, server
from tests.servers import ROOT, LiveServer, MariaDB

RESULTS = Path(__file__).parent / "results" / "keys.md"
PREFIX = "keys"
#: Reads no row of its own, so that nearly all of its time is asking who it is.
PATH = "/api/v1/user/1"
#: Calls before the measurement, and of it.
WARM, CALLS = 200, 2000


@dataclass
class Caller:
    """Somebody who signs in one way, over one line that stays open."""

    line: http.client.HTTPConnection
    headers: dict[str, str]
    spent: list[float] = field(default_factory=list)

    def call(self) -> None:
        """One call; its time in milliseconds."""
        began = time.perf_counter()
        self.line.request("GET", PATH, headers=self.headers)
        answer = self.line.getresponse()
        answer.read()
        self.spent.append((time.perf_counter() - began) * 1000)
        assert answer.status == 200, answer.status


def key_of(product: LiveServer) -> dict[str, str]:
    """A new key of the admin, as a header."""
    words = [sys.executable, "-m", "flask", "--app", "run", "api-key", "create", "--user", product.ADMIN[0]]
    env = dict(product.environment())
    made = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, check=True, timeout=120)
    found = re.search(r"^Authorization: (.+)$", made.stdout, re.MULTILINE)
    assert found, made.stdout
    return {"Authorization": found[1]}


def token_of(product: LiveServer) -> dict[str, str]:
    """An access token of the admin, as a header."""
    name, password = product.ADMIN
    body = json.dumps({"username": name, "password": password, "provider": "db"})
    with contextlib.closing(line_to(product)) as line:
        line.request("POST", "/api/v1/security/login", body, {"Content-Type": "application/json"})
        return {"Authorization": "Bearer " + json.loads(line.getresponse().read())["access_token"]}


def cookie_of(product: LiveServer) -> dict[str, str]:
    """The signed cookie that the form hands out, as a header."""
    with contextlib.closing(line_to(product)) as line:
        line.request("GET", "/login/")
        page = line.getresponse()
        held = (page.getheader("Set-Cookie") or "").partition(";")[0]
        found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.read().decode())
        assert found, "the form has no token"
        name, password = product.ADMIN
        form = urllib.parse.urlencode({"username": name, "password": password, "csrf_token": found[1]})
        line.request("POST", "/login/", form, {"Cookie": held, "Content-Type": "application/x-www-form-urlencoded"})
        answer = line.getresponse()
        answer.read()
        return {"Cookie": (answer.getheader("Set-Cookie") or "").partition(";")[0]}


def line_to(product: LiveServer) -> http.client.HTTPConnection:
    """A line that stays open."""
    return http.client.HTTPConnection("127.0.0.1", product.port, timeout=30)


def figures(product: LiveServer) -> Iterator[tuple[str, str]]:
    """Way -> its times, and what it costs more than the cookie."""
    ways = {"cookie": cookie_of(product), "key": key_of(product), "token (JWT)": token_of(product)}
    callers = {way: Caller(line_to(product), headers) for way, headers in ways.items()}
    for _ in range(WARM + CALLS):
        for caller in callers.values():
            caller.call()
    middles = {way: statistics.median(caller.spent[WARM:]) for way, caller in callers.items()}
    for way, caller in callers.items():
        worst = statistics.quantiles(caller.spent[WARM:], n=100)[98]
        more = middles[way] - middles["cookie"]
        yield way, f"p50 {middles[way]:.2f} ms, p99 {worst:.2f} ms, {more:+.2f} ms against the cookie"
        caller.line.close()


def measure(options: run.Options) -> int:
    """Start, measure on both databases and with and without the limits, write the page."""
    folder, busy = server.scratch(), os.getloadavg()[1]
    lifted = {"CRM_API_LIMIT": "off", "CRM_API_WRITE_LIMIT": "off"}
    wide = {"CRM_API_LIMIT": "900000 per minute"}
    rows: list[tuple[str, str]] = []
    try:
        with MariaDB(folder / "mariadb", server.CACHE / "empty") as database:
            for name in ("SQLite", "MariaDB"):
                for limits, settings in (("no limit", lifted), ("limits", wide)):
                    where = {"CRM_DATABASE_URL": database.url(database.create_database())} if name == "MariaDB" else {}
                    with LiveServer(folder / f"{name} {limits}", **where, **settings) as product:
                        rows += [(f"{name}, {limits}: {way}", said) for way, said in figures(product)]
    finally:
        shutil.rmtree(folder, ignore_errors=not options.keep)
    _write(rows, busy)
    return 0


def _write(rows: list[tuple[str, str]], busy: float) -> None:
    head = (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; GET {PATH}, {CALLS:,} calls of each way, taking turns; "
        f"load average of the five minutes before {busy:.1f}."
    )
    table = "\n".join(f"| {what} | {said} |" for what, said in rows)
    page = f"# Results of `python -m bench --only keys`\n\n{head}\n\n| what | figure |\n|---|---|\n{table}\n"
    RESULTS.write_text(page, encoding="utf-8")
    print(page)
