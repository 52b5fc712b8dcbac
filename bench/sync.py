"""Telephones: one long batch into a big house, and eight telephones that sync each second.

python -m bench --only sync                # a few minutes; bench/results/sync.md
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from app.web.security.sessions import hash_token
from bench import generate, run, server

RESULTS = Path(__file__).parent / "results" / "sync.md"
PREFIX = "sync"
SYNC = "/api/method/crm.api.mobile_sync.sync_call_logs"
#: The long batch; then so many telephones with so many logs each second, for so long.
LONG, PHONES, LOGS, SECONDS = 1000, 8, 50, 60
#: The wall clock of the telephones, which says no zone.
NOW = datetime.now().replace(microsecond=0)
#: Until a telephone gives up.
PATIENCE_SECONDS = 30


@dataclass
class Phone:
    """One employee's telephone, and what its server said."""

    port: int
    name: str
    seconds: list[float] = field(default_factory=list)
    #: What was answered beside 200: (status, sentence).
    refused: list[tuple[int, str]] = field(default_factory=list)

    def sync(self, logs: list[dict[str, Any]]) -> tuple[dict[str, int], int]:
        """Send a batch: (status -> how many, SQL statements)."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        headers = {"Content-Type": "application/json", "Authorization": f"token {self.name}:secret-{self.name}"}
        body, began = json.dumps({"call_logs_data": logs}), time.perf_counter()
        with contextlib.closing(line):
            line.request("POST", SYNC, body, headers)
            answer = line.getresponse()
            told = json.loads(answer.read())
        self.seconds.append(time.perf_counter() - began)
        if answer.status != 200:
            self.refused.append((answer.status, str(told.get("exception"))[:120]))
            return {}, 0
        statuses = [each["status"] for each in told["message"]["data"]["results"]]
        return {name: statuses.count(name) for name in set(statuses)}, int(answer.headers.get("X-SQL-Count", 0))


def log(number: int, peer: str, phone: str, seconds: int = 42) -> dict[str, Any]:
    """A call of the last days."""
    started = NOW - timedelta(seconds=60 + number * 7)
    way = {"from": peer, "to": "+919800000000", "type": "Incoming"}
    return way | {
        "status": "Completed",
        "duration": seconds,
        "start_time": f"{started:%Y-%m-%d %H:%M:%S}",
        "device_call_id": f"bench_{phone}_{number}",
        "native_duration": seconds,
    }


def employees(house: run.House) -> list[str]:
    """Eight people who sell, each with a key of his own name."""
    found = house.ask(
        "SELECT DISTINCT assignee_id FROM leads WHERE assignee_id IS NOT NULL ORDER BY 1 LIMIT %s", PHONES
    )
    rows = [(f"phone{key}", hash_token(f"secret-phone{key}"), key) for (key,) in found]
    ahead = datetime.now(UTC).replace(tzinfo=None) + timedelta(days=1)
    with contextlib.closing(house.database.connect(server.DATABASE)) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO api_key (`key`, secret_hash, name, user_id, scope, created_on, last_used_on) "
            "VALUES (%s, %s, 'bench', %s, '[]', UTC_TIMESTAMP(), %s)",
            [(*row, ahead) for row in rows],
        )
        connection.commit()
    return [name for name, _hash, _key in rows]


def peers(house: run.House) -> list[str]:
    """Half numbers of leads, half of customers, in any order."""
    ways = (
        "SELECT mobile_e164 FROM leads WHERE mobile_e164 IS NOT NULL LIMIT 3000",
        "SELECT mobile_e164 FROM customer WHERE mobile_e164 IS NOT NULL LIMIT 3000",
    )
    found = [[number for (number,) in house.ask(way)] for way in ways]
    return [number for pair in zip(*found, strict=False) for number in pair]


def long_batch(house: run.House, names: list[str], numbers: list[str]) -> Iterator[tuple[str, str]]:
    """A thousand new calls, the same again, and grown by a minute each."""
    # The first one meets a database that was just started: its cache is empty, each page is read for the first time.
    for name, state in zip(names, ("cold", "warm"), strict=False):
        phone = Phone(house.product.port, name)
        for _ in range(4):
            phone.sync([])
        for what, seconds in (("new", 42), ("the same again", 42), ("grown", 102)):
            told, statements = phone.sync([log(n, numbers[n % len(numbers)], name, seconds) for n in range(LONG)])
            said = f"{phone.seconds[-1] * 1000:.0f} ms, {statements} statements, {told}"
            yield f"{LONG:,} calls, {what} ({state} database)", said


def many_phones(house: run.House, names: list[str], numbers: list[str]) -> Iterator[tuple[str, str]]:
    """Each telephone sends new calls, and once in a while the same again; then all of them are counted."""
    began, phones = time.monotonic(), [Phone(house.product.port, name) for name in names]
    wanted = [set[str]() for _ in phones]
    threads = [
        threading.Thread(target=_second_by_second, args=(phone, numbers, began, sent))
        for phone, sent in zip(phones, wanted, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = [each * 1000 for phone in phones for each in phone.seconds]
    refused = [each for phone in phones for each in phone.refused]
    cuts = statistics.quantiles(spent, n=20)
    stored = house.ask(
        "SELECT device_call_id, COUNT(*) FROM call_log WHERE device_call_id LIKE 'bench\\_%%\\_1______' "
        "GROUP BY employee_id, device_call_id"
    )
    sent = set().union(*wanted)
    lost, doubled = sent - {key for key, _count in stored}, [key for key, count in stored if count > 1]
    yield (
        f"{PHONES} telephones, {LOGS} calls each second, {SECONDS} s (aim: p95 300 ms)",
        f"p50 {cuts[9]:.0f} ms, p95 {cuts[18]:.0f} ms, most {max(spent):.0f} ms, {len(spent)} batches, "
        f"{len(refused)} refused {sorted(set(refused)) or ''}",
    )
    yield f"of {len(sent):,} calls", f"lost {len(lost)}, doubled {len(doubled)}"


def _second_by_second(phone: Phone, numbers: list[str], began: float, sent: set[str]) -> None:
    for second in range(SECONDS):
        time.sleep(max(0.0, began + second - time.monotonic()))
        first = 1_000_000 + second * LOGS
        logs = [log(n, numbers[n % len(numbers)], phone.name) for n in range(first, first + LOGS)]
        if phone.sync(logs)[0]:
            sent.update(each["device_call_id"] for each in logs)
        if second % 10 == 9:
            phone.sync(logs)


def _million() -> float:
    """Milliseconds: shared machines are not equally fast at all times."""
    began = time.perf_counter()
    sum(n * n for n in range(1_000_000))
    return (time.perf_counter() - began) * 1000


def measure(options: run.Options) -> int:
    """Fill, start, measure, write the page; 0, for what fails stands in it."""
    folder, busy = server.scratch(), os.getloadavg()[1]
    data, _ = server.filled(generate.Sizes.of(options.leads))
    server.copy_of(data, folder)
    try:
        with run.standing(data, folder, options, counting=True) as house:
            names, numbers = employees(house), peers(house)
            rows = [*long_batch(house, names, numbers), *many_phones(house, names, numbers)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    head = (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {options.leads:,} leads; {os.cpu_count()} cores, shared by "
        f"clients, application and MariaDB; load average of the five minutes before {busy:.1f}; a million "
        f"squares in Python took {_million():.0f} ms (30 to 55 here, by the neighbours)."
    )
    table = "\n".join(f"| {what} | {figure} |" for what, figure in rows)
    page = f"# Results of `python -m bench --only sync`\n\n{head}\n\n| what | figure |\n|---|---|\n{table}\n"
    print(page)
    RESULTS.write_text(page)
    return 0
