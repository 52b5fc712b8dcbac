"""Sync of phones: one large batch into a large database, and eight phones that sync every second.

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

from app.lib.token_hash import hash_token
from bench import run, server
from bench.measured_versions import Options, Target

RESULTS = Path(__file__).parent / "results" / "sync.md"
PREFIX = "sync"
SYNC = "/api/method/crm.api.mobile_sync.sync_call_logs"
#: The size of the large batch; then the number of phones, their calls per second, and the duration.
LONG, PHONES, LOGS, SECONDS = 1000, 8, 50, 60
#: The local time of the phones, without a zone.
NOW = datetime.now().replace(microsecond=0)
#: The timeout of a phone.
PATIENCE_SECONDS = 30


@dataclass
class Telephone:
    """One employee's phone, and the responses to it."""

    port: int
    name: str
    seconds: list[float] = field(default_factory=list)
    #: Responses other than 200: (status, message).
    refused: list[tuple[int, str]] = field(default_factory=list)

    def sync(self, logs: list[dict[str, Any]]) -> tuple[dict[str, int], int]:
        """Send a batch. Returns (status -> how many calls, SQL statements)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        headers = {"Content-Type": "application/json", "Authorization": f"token {self.name}:secret-{self.name}"}
        body, began = json.dumps({"call_logs_data": logs}), time.perf_counter()
        with contextlib.closing(connection):
            connection.request("POST", SYNC, body, headers)
            answer = connection.getresponse()
            content = json.loads(answer.read())
        self.seconds.append(time.perf_counter() - began)
        if answer.status != 200:
            self.refused.append((answer.status, str(content.get("exception"))[:120]))
            return {}, 0
        statuses = [each["status"] for each in content["message"]["data"]["results"]]
        return {name: statuses.count(name) for name in set(statuses)}, int(answer.headers.get("X-SQL-Count", 0))


def log(number: int, peer: str, phone: str, seconds: int = 42) -> dict[str, Any]:
    """A call within the last days."""
    started = NOW - timedelta(seconds=60 + number * 7)
    way = {"from": peer, "to": "+919800000000", "type": "Incoming"}
    return way | {
        "status": "Completed",
        "duration": seconds,
        "start_time": f"{started:%Y-%m-%d %H:%M:%S}",
        "device_call_id": f"bench_{phone}_{number}",
        "native_duration": seconds,
    }


def employees(bed: Target) -> list[str]:
    """Eight salespeople, each with an API key of their own."""
    found = bed.query(
        "SELECT DISTINCT assignee_id FROM leads WHERE assignee_id IS NOT NULL ORDER BY 1 LIMIT %s", PHONES
    )
    rows = [(f"phone{key}", hash_token(f"secret-phone{key}"), key) for (key,) in found]
    ahead = datetime.now(UTC).replace(tzinfo=None) + timedelta(days=1)
    with contextlib.closing(bed.database.connect(server.DATABASE)) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO api_key (`key`, secret_hash, name, user_id, scope, created_on, last_used_on) "
            "VALUES (%s, %s, 'bench', %s, '[]', UTC_TIMESTAMP(), %s)",
            [(*row, ahead) for row in rows],
        )
        connection.commit()
    return [name for name, _hash, _key in rows]


def peers(bed: Target) -> list[str]:
    """Numbers of leads and of customers in turn."""
    queries = (
        "SELECT mobile_e164 FROM leads WHERE mobile_e164 IS NOT NULL LIMIT 3000",
        "SELECT mobile_e164 FROM customer WHERE mobile_e164 IS NOT NULL LIMIT 3000",
    )
    found = [[number for (number,) in bed.query(each)] for each in queries]
    return [number for pair in zip(*found, strict=False) for number in pair]


def long_batch(bed: Target, names: list[str], numbers: list[str]) -> Iterator[tuple[str, str]]:
    """A thousand new calls, the same again, and the same a minute longer."""
    # The first one runs on a database that has just started and has an empty cache.
    for name, state in zip(names, ("cold", "warm"), strict=False):
        phone = Telephone(bed.web.port, name)
        for _ in range(4):
            phone.sync([])
        for what, seconds in (("new", 42), ("the same again", 42), ("grown", 102)):
            statuses, statements = phone.sync([log(n, numbers[n % len(numbers)], name, seconds) for n in range(LONG)])
            figure = f"{phone.seconds[-1] * 1000:.0f} ms, {statements} statements, {statuses}"
            yield f"{LONG:,} calls, {what} ({state} database)", figure


def many_phones(bed: Target, names: list[str], numbers: list[str]) -> Iterator[tuple[str, str]]:
    """Each phone sends new calls and sometimes repeats them; then the stored calls are counted."""
    began, phones = time.monotonic(), [Telephone(bed.web.port, name) for name in names]
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
    stored = bed.query(
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


def _second_by_second(phone: Telephone, numbers: list[str], began: float, sent: set[str]) -> None:
    for second in range(SECONDS):
        time.sleep(max(0.0, began + second - time.monotonic()))
        first = 1_000_000 + second * LOGS
        logs = [log(n, numbers[n % len(numbers)], phone.name) for n in range(first, first + LOGS)]
        if phone.sync(logs)[0]:
            sent.update(each["device_call_id"] for each in logs)
        if second % 10 == 9:
            phone.sync(logs)


def _reference_milliseconds() -> float:
    """Milliseconds of a fixed computation, because shared machines aren't always equally fast."""
    began = time.perf_counter()
    sum(n * n for n in range(1_000_000))
    return (time.perf_counter() - began) * 1000


def measure(options: Options) -> int:
    """Fill, start, measure, and write the page. Always returns 0: failures are on the page."""
    folder, busy = server.scratch(), os.getloadavg()[1]
    data, _ = server.filled_data_folder(options.sizes)
    server.copy_data(data, folder)
    try:
        with run.running(run.Data(data), folder, options, counting=True) as servers:
            bed = servers.product
            names, numbers = employees(bed), peers(bed)
            rows = [*long_batch(bed, names, numbers), *many_phones(bed, names, numbers)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    head = (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {options.leads:,} leads; {os.cpu_count()} cores, shared by "
        f"clients, application and MariaDB; load average of the five minutes before {busy:.1f}; a million "
        f"squares in Python took {_reference_milliseconds():.0f} ms (30 to 55 here, by the neighbours)."
    )
    table = "\n".join(f"| {what} | {figure} |" for what, figure in rows)
    page = f"# Results of `python -m bench --only sync`\n\n{head}\n\n| what | figure |\n|---|---|\n{table}\n"
    print(page)
    RESULTS.write_text(page)
    return 0
