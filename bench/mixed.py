"""python -m bench.mixed [--minutes 5] [--rate 60] [--people 50] [--leads 200000]: an office at work, through nginx.

Fifty people, each with their own session: of ten requests seven read (lists, records, My day, REST), one searches and
two write (a lead, a task, a status). Each person pauses between two requests, so that together they send `--rate` a
second, however long the responses take. It runs on `make stack` (nginx, two web processes, sockets, workers, scheduler,
MariaDB, Redis) with the benchmark data. Goal: 60 requests a second, no 5xx, p99 below 500 ms.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pymysql

from bench import generate, server
from bench.data_sizes import Sizes
from bench.load import Browser, Request
from bench.measured_versions import JSON, key_of, sign_in
from tests.servers import ROOT, ServerFailed

GOAL_RATE, GOAL_P99_MS, GOAL_CONNECTIONS, GOAL_GROWTH = 60.0, 500.0, 30, 5.0
#: Time for caches to fill and for processes to stop sharing their parent's memory; only later growth counts.
WARM_SECONDS = 60.0
#: The jobs have caught up when none has run for the first time; the wait ends after the second at the latest.
QUIET_SECONDS, CATCH_UP_SECONDS = 20.0, 900.0
#: Of a hundred requests.
SHARES = {"read": 70, "search": 10, "write": 20}
PAGES = ("/", "/leads/", "/leads/?page=2", "/customers/", "/tasks/", "/calls/")
#: Not a trusted proxy, because nginx must see a different address for each person, as in an office.
_ADDRESS = "127.0.8.{}"
#: Users who work on leads; half of the requests here would be refused for others.
_SELLERS = """SELECT u.id, u.username FROM ab_user u
    JOIN ab_user_role m ON m.user_id = u.id JOIN ab_role r ON r.id = m.role_id
    WHERE u.email LIKE '%@bench.example' AND r.name LIKE 'Sales%' ORDER BY u.id"""
#: Jobs that have run for more than five seconds.
_LONG_RUNS = """SELECT COUNT(*) FROM job_run
    WHERE outcome = 'running' AND started_on < UTC_TIMESTAMP() - INTERVAL 5 SECOND"""
#: A number for each request, so that new leads have unique numbers.
_SERIALS = itertools.count(int(time.time()) % 10**6 * 100)


@dataclass
class Person:
    """A working person: a session, an API key, and visible leads."""

    name: str
    browser: Browser
    leads: list[int]
    rng: random.Random

    def next_request(self, serial: int) -> tuple[str, Request]:
        """The person's next action: its kind and the request."""
        kind = self.rng.choices(list(SHARES), list(SHARES.values()))[0]
        return kind, getattr(self, f"_{kind}")(serial)

    def _read(self, _serial: int) -> Request:
        lead = self.rng.choice(self.leads) if self.leads else None
        choices = [Request("GET", self.rng.choice(PAGES))] * 2
        choices.append(Request("GET", "/api/v1/lead/?q=(page_size:20)", key_of(self.name)))
        if lead is not None:
            choices += [Request("GET", f"/leads/show/{lead}")] * 2
            choices.append(Request("GET", f"/api/v1/lead/{lead}", key_of(self.name)))
        return self.rng.choice(choices)

    def _search(self, _serial: int) -> Request:
        text = self.rng.choice(("Asha", "Patel", "98200", "Mehta", "CRM-LEAD-2026-00042"))
        return Request("GET", f"/search/?{urlencode({'q': text})}", {"Accept": "application/json"})

    def _write(self, serial: int) -> Request:
        headers, turn = key_of(self.name) | JSON, serial % 3
        if turn == 0 or not self.leads:
            body: dict[str, Any] = {
                "first_name": "Bench",
                "last_name": f"Mixed {serial}",
                "mobile": generate.mobile(3 * 10**8 + serial),
            }
            return Request("POST", "/api/v1/lead/", headers, json.dumps(body))
        lead = self.rng.choice(self.leads)
        if turn == 1:
            body = {"title": f"Call {serial}", "lead": lead, "priority": "Medium", "due_on": "2027-03-01T10:00:00Z"}
            return Request("POST", "/api/v1/task/", headers, json.dumps(body))
        return Request("PUT", f"/api/v1/lead/{lead}", headers, json.dumps({"description": f"Called again, {serial}"}))


@dataclass
class Log:
    """The measurements."""

    times: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in SHARES})
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    connections: list[int] = field(default_factory=list)
    #: (seconds since the beginning, MB of the CRM's own processes, of all)
    memory: list[tuple[float, float, float]] = field(default_factory=list)
    #: (milliseconds, request) of the slowest requests.
    slowest: list[tuple[float, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: str, request: Request, status: int, seconds: float) -> None:
        """Record one response; status 0 if there was none."""
        with self.lock:
            self.times[kind].append(seconds * 1000)
            self.slowest.append((seconds * 1000, f"{request.method} {_route(request.path)}"))
            self.statuses[status] += 1
            if status == 0 or status >= 400:
                self.wrong[f"{status} {request.method} {request.path.partition('?')[0]}"] += 1


def _route(path: str) -> str:
    return re.sub(r"\d+", "N", path.partition("?")[0]) + ("?" if "?" in path else "")


# --- the stack


@contextlib.contextmanager
def installation(leads: int) -> Iterator[tuple[Path, dict[str, str]]]:
    """`make stack` with the benchmark data: its folder and its values."""
    data, _took = server.filled_data_folder(Sizes.of(leads))
    folder = server.scratch()
    server.copy_data(data, folder / "mariadb")
    command = [sys.executable, str(ROOT / "deploy" / "stack.py")]
    environment = os.environ | {"STACK_BUFFER_POOL": "1G"}
    try:
        # The data is encrypted with its own key; the stack uses existing values.
        subprocess.run([*command, "prepare", str(folder)], check=True, env=environment)
        kept = folder / "stack.json"
        values = json.loads(kept.read_text()) | {"FIELD_KEY": server.FIELD_KEY}
        kept.write_text(json.dumps(values))
        subprocess.run([*command, "start", str(folder)], check=True, env=environment)
        yield folder, values
    finally:
        subprocess.run([*command, "stop", str(folder)], check=False, env=environment)
        shutil.rmtree(folder, ignore_errors=True)


def _connection(values: dict[str, str]) -> pymysql.Connection:
    return pymysql.connect(
        host="127.0.0.1",
        port=int(values["DB_PORT"]),
        user="crm",
        password=values["DB_PASSWORD"],
        database="crm",
        autocommit=True,
    )


def people(values: dict[str, str], count: int) -> list[Person]:
    """The people, signed in; if there are fewer users, some have two sessions."""
    with contextlib.closing(_connection(values)) as connection, connection.cursor() as cursor:
        cursor.execute(_SELLERS)
        users = list(cursor.fetchall())
        found = []
        for n in range(count):
            key, name = users[n % len(users)]
            cursor.execute("SELECT id FROM leads WHERE assignee_id = %s ORDER BY id DESC LIMIT 500", (key,))
            leads = [row[0] for row in cursor.fetchall()]
            browser = Browser(int(values["HTTP_PORT"]), _ADDRESS.format(n + 1))
            found.append(Person(name, sign_in(browser, name), leads, random.Random(n)))
    return found


def wait_for_jobs(values: dict[str, str]) -> float:
    """Wait until the daily jobs have caught up with the generated data. Returns the seconds that it took.

    The data has thousands of leads that expire in the first pass; in an office that was long ago.
    """
    began = time.monotonic()
    quiet_since = began
    with contextlib.closing(_connection(values)) as connection, connection.cursor() as cursor:
        while time.monotonic() - quiet_since < QUIET_SECONDS and time.monotonic() - began < CATCH_UP_SECONDS:
            cursor.execute(_LONG_RUNS)
            if cursor.fetchall()[0][0]:
                quiet_since = time.monotonic()
            time.sleep(2)
    return time.monotonic() - began


# --- the load


def work(person: Person, log: Log, ends: float, pause: float) -> None:
    """Send requests until the end, with random pauses of this many seconds on average."""
    due = time.monotonic() + pause * person.rng.random()
    while due < ends:
        time.sleep(max(0.0, due - time.monotonic()))
        kind, request = person.next_request(next(_SERIALS))
        began = time.monotonic()
        try:
            status = person.browser.send(request)[0]
        except OSError:
            status = 0
            person.browser.connection.close()
        log.add(kind, request, status, time.monotonic() - began)
        due += person.rng.expovariate(1 / pause)


def watch(values: dict[str, str], pid: int, log: Log, ends: float) -> None:
    """Count database connections and memory every two seconds."""
    began = time.monotonic()
    with contextlib.closing(_connection(values)) as connection, connection.cursor() as cursor:
        while time.monotonic() < ends:
            cursor.execute("SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'crm'")
            log.connections.append(cursor.fetchall()[0][0] - 1)
            log.memory.append((time.monotonic() - began, *_memory(pid)))
            time.sleep(2)


_OTHERS = ("nginx", "mariadbd", "redis-server", "supervisord")


def _memory(pid: int) -> tuple[float, float]:
    """(MB of the CRM's own processes, MB with nginx, MariaDB and Redis), with shared pages divided."""
    own = whole = 0.0
    for each in server.family(pid):
        with contextlib.suppress(OSError):
            name = Path(f"/proc/{each}/comm").read_text()
            rollup = Path(f"/proc/{each}/smaps_rollup").read_text()
            size = sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1024
            whole += size
            own += size * (name.strip() not in _OTHERS)
    return own, whole


def _at(times: list[float], share: float) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def report(log: Log, seconds: float) -> tuple[list[str], bool]:
    """The figures as text, and whether the goals were met."""
    every = [each for times in log.times.values() for each in times]
    rate, p99, errors = (
        len(every) / seconds,
        _at(every, 0.99),
        sum(n for s, n in log.statuses.items() if s >= 500 or s == 0),
    )
    lines = [f"{len(every)} requests in {seconds:.0f} s: {rate:.1f}/s; load of the machine {os.getloadavg()[0]:.1f}"]
    for kind, times in [*log.times.items(), ("all", every)]:
        marks = ", ".join(f"p{share * 100:.0f} {_at(times, share):.0f} ms" for share in (0.5, 0.95, 0.99))
        lines.append(f"  {kind}: {len(times)} requests, {marks}")
    lines.append(
        f"  statuses: {dict(sorted(log.statuses.items()))}; not answered well: {dict(log.wrong.most_common(9))}"
    )
    most = max(log.connections, default=0)
    lines.append(f"  database connections: at most {most}")
    lines.append(_growth(log)[0])
    late = sorted(log.slowest, reverse=True)[: max(1, len(every) // 100)]
    routes = Counter(route for _ms, route in late)
    lines.append(f"  the slowest of a hundred: {dict(routes.most_common(8))}")
    good = rate >= GOAL_RATE * 0.97 and p99 < GOAL_P99_MS and errors == 0 and most <= GOAL_CONNECTIONS
    good = good and _growth(log)[1] < GOAL_GROWTH
    lines.append(f"  goals (60/s, no 5xx, p99 < 500 ms, 30 connections, growth < 5 %): {'met' if good else 'not met'}")
    return lines, good


def _growth(log: Log) -> tuple[str, float]:
    """(text, percent): the growth of the CRM's own processes after the first minute; medians of ten samples each."""
    looks = [each for each in log.memory if each[0] >= WARM_SECONDS] or log.memory
    if not looks:
        return "  memory: not looked at", 0.0
    first, last = (statistics.median(each[1] for each in part) for part in (looks[:10], looks[-10:]))
    grown = (last / first - 1) * 100
    minutes = (looks[-1][0] - looks[0][0]) / 60
    line = f"  memory (PSS) of the CRM {last:.0f} MB, {grown:+.1f} % in {minutes:.1f} min after the first; "
    return f"{line}with nginx, MariaDB and Redis {looks[-1][2]:.0f} MB", grown


def main() -> int:
    """Returns 1 if the goals were not met."""
    parser = argparse.ArgumentParser(prog="python -m bench.mixed", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--rate", type=float, default=GOAL_RATE, help="requests a second, of all people together")
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--leads", type=int, default=200_000)
    options = parser.parse_args()
    try:
        with installation(options.leads) as (folder, values):
            print(f"The jobs caught up in {wait_for_jobs(values):.0f} s.", flush=True)
            crowd, log = people(values, options.people), Log()
            pid = int((folder / "supervisord.pid").read_text())
            began = time.monotonic()
            ends = began + options.minutes * 60
            pause = options.people / options.rate
            threads = [threading.Thread(target=work, args=(each, log, ends, pause)) for each in crowd]
            threads.append(threading.Thread(target=watch, args=(values, pid, log, ends)))
            for each in threads:
                each.start()
            for each in threads:
                each.join()
            lines, good = report(log, time.monotonic() - began)
    except ServerFailed as failed:
        print(failed, file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
