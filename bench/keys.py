"""The cost of authentication: an API key and a token compared with a cookie, in turn over one connection each.

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

from bench import server
from bench.measured_versions import Options
from tests.servers import ROOT, LiveServer, MariaDB

RESULTS = Path(__file__).parent / "results" / "keys.md"
PREFIX = "keys"
#: A cheap request, so that nearly all of its time is authentication.
PATH = "/api/v1/user/1"
#: Calls before the measurement and during it.
WARM_UP, CALLS = 200, 2000


@dataclass
class Client:
    """A client with one way to authenticate, over one connection that stays open."""

    connection: http.client.HTTPConnection
    headers: dict[str, str]
    times: list[float] = field(default_factory=list)

    def call(self) -> None:
        """Call once and record the time in milliseconds."""
        began = time.perf_counter()
        self.connection.request("GET", PATH, headers=self.headers)
        answer = self.connection.getresponse()
        answer.read()
        self.times.append((time.perf_counter() - began) * 1000)
        assert answer.status == 200, answer.status


def api_key_header(product: LiveServer) -> dict[str, str]:
    """The header of a new API key of the admin."""
    words = [sys.executable, "-m", "flask", "--app", "run", "api-key", "create", "--user", product.ADMIN[0]]
    env = dict(product.environment())
    made = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, check=True, timeout=120)
    found = re.search(r"^Authorization: (.+)$", made.stdout, re.MULTILINE)
    assert found, made.stdout
    return {"Authorization": found[1]}


def token_header(product: LiveServer) -> dict[str, str]:
    """The header of an access token of the admin."""
    name, password = product.ADMIN
    body = json.dumps({"username": name, "password": password, "provider": "db"})
    with contextlib.closing(connect(product)) as connection:
        connection.request("POST", "/api/v1/security/login", body, {"Content-Type": "application/json"})
        return {"Authorization": "Bearer " + json.loads(connection.getresponse().read())["access_token"]}


def cookie_header(product: LiveServer) -> dict[str, str]:
    """The header of the cookie that the login form sets."""
    with contextlib.closing(connect(product)) as connection:
        connection.request("GET", "/login/")
        page = connection.getresponse()
        cookie = (page.getheader("Set-Cookie") or "").partition(";")[0]
        found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.read().decode())
        assert found, "the form has no token"
        name, password = product.ADMIN
        form = urllib.parse.urlencode({"username": name, "password": password, "csrf_token": found[1]})
        connection.request(
            "POST", "/login/", form, {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
        )
        answer = connection.getresponse()
        answer.read()
        return {"Cookie": (answer.getheader("Set-Cookie") or "").partition(";")[0]}


def connect(product: LiveServer) -> http.client.HTTPConnection:
    """A connection that stays open."""
    return http.client.HTTPConnection("127.0.0.1", product.port, timeout=30)


def figures(product: LiveServer) -> Iterator[tuple[str, str]]:
    """(method, its times and its cost above the cookie)."""
    ways = {"cookie": cookie_header(product), "key": api_key_header(product), "token (JWT)": token_header(product)}
    clients = {way: Client(connect(product), headers) for way, headers in ways.items()}
    for _ in range(WARM_UP + CALLS):
        for client in clients.values():
            client.call()
    middles = {way: statistics.median(client.times[WARM_UP:]) for way, client in clients.items()}
    for way, client in clients.items():
        worst = statistics.quantiles(client.times[WARM_UP:], n=100)[98]
        more = middles[way] - middles["cookie"]
        yield way, f"p50 {middles[way]:.2f} ms, p99 {worst:.2f} ms, {more:+.2f} ms against the cookie"
        client.connection.close()


def measure(options: Options) -> int:
    """Start, measure on both databases with and without rate limits, and write the page."""
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
                        rows += [(f"{name}, {limits}: {way}", figure) for way, figure in figures(product)]
    finally:
        shutil.rmtree(folder, ignore_errors=not options.keep)
    _write(rows, busy)
    return 0


def _write(rows: list[tuple[str, str]], busy: float) -> None:
    head = (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; GET {PATH}, {CALLS:,} calls of each way, taking turns; "
        f"load average of the five minutes before {busy:.1f}."
    )
    table = "\n".join(f"| {what} | {figure} |" for what, figure in rows)
    page = f"# Results of `python -m bench --only keys`\n\n{head}\n\n| what | figure |\n|---|---|\n{table}\n"
    RESULTS.write_text(page, encoding="utf-8")
    print(page)
