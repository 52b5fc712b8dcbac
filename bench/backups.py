"""The duration of a backup, its verification, the drill and a restore, and their effect on requests meanwhile.

python -m bench --only backups --leads 100000          # some minutes; bench/results/backups.md

One client creates leads and one loads a list all the time. Afterwards a check of the restored database shows whether it
is of one moment: every lead has the timeline entry of its transaction.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bench import keys, server
from bench.measured_versions import Options, key_of
from tests.servers import ROOT

RESULTS = Path(__file__).parent / "results" / "backups.md"
PREFIX = "backups"
LIST = "/api/v1/lead/?q=(page_size:20)"
#: Seconds between two new leads.
PAUSE = 0.1
RESTORED = "restored"


@dataclass
class Traffic(threading.Thread):
    """A client that sends requests in a loop and records the duration of each."""

    product: server.Product
    call: Callable[[keys.Client, int], None]
    pause: float
    times: list[float] = field(default_factory=list)
    told: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        """Send requests until told to stop."""
        with contextlib.closing(keys.connect(self.product)) as connection:
            client = keys.Client(connection, key_of("bench_sales") | {"Content-Type": "application/json"})
            while not self.told.wait(self.pause):
                began = time.perf_counter()
                self.call(client, len(self.times))
                self.times.append((time.perf_counter() - began) * 1000)

    def mark(self) -> list[float]:
        """The durations since the last call."""
        seen, self.times = self.times, []
        return seen


def load_list(client: keys.Client, _number: int) -> None:
    """One page of leads."""
    client.connection.request("GET", LIST, headers=client.headers)
    answer = client.connection.getresponse()
    answer.read()
    assert answer.status == 200, answer.status


def create_lead(client: keys.Client, number: int) -> None:
    """A new lead with a unique number."""
    body = json.dumps(
        {"first_name": f"Backup {number}", "mobile": f"+9170{time.time_ns() // 100_000 % 100_000_000:08d}"}
    )
    client.connection.request("POST", "/api/v1/lead/", body, client.headers)
    answer = client.connection.getresponse()
    said = answer.read()
    assert answer.status == 201, said[:300]


def p95(times: list[float]) -> str:
    """Median and 95th percentile."""
    if len(times) < 20:
        return f"{len(times)} calls only"
    return (
        f"median {statistics.median(times):.0f} ms, p95 {statistics.quantiles(times, n=20)[-1]:.0f} ms ({len(times)})"
    )


@dataclass
class Bed:
    """The running servers, and the rows of the results."""

    product: server.Product
    database: server.Database
    reader: Traffic
    writer: Traffic
    rows: list[tuple[str, str]] = field(default_factory=list)

    def command(self, title: str, *words: str) -> str:
        """Run `flask backup …`; record its duration, its memory, and the durations of the requests meanwhile."""
        self.reader.mark(), self.writer.mark()
        began = time.perf_counter()
        line = ["/usr/bin/time", "-f", "peak %M kB, CPU %U + %S s", sys.executable, "-m", "flask", "--app", "run"]
        env = dict(self.product.environment()) | {"CRM_RESTORE_INTO": self.database.url(RESTORED)}
        done = subprocess.run([*line, "backup", *words], cwd=ROOT, env=env, capture_output=True, text=True)
        took = time.perf_counter() - began
        assert done.returncode == 0, done.stderr
        cost = done.stderr.strip().splitlines()[-1]
        self.rows.append((title, f"{took:.1f} s ({cost})"))
        self.rows.append(("— a list meanwhile", p95(self.reader.mark())))
        self.rows.append(("— a new lead meanwhile", p95(self.writer.mark())))
        return done.stdout


def measure(options: Options) -> int:
    """Measure, and write the page of results."""
    data, _took = server.filled_data_folder(options.sizes)
    folder = Path(os.environ.get("TMPDIR", "/tmp")) / f"crm-bench-backups-{os.getpid()}"  # noqa: S108
    busy = os.getloadavg()[0]
    try:
        server.copy_data(data, folder / "mariadb")
        with _bed(folder) as bed:
            _measure_all(bed, folder)
        _write(bed.rows, options.leads, (busy, os.getloadavg()[0]))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


@contextlib.contextmanager
def _bed(folder: Path) -> Iterator[Bed]:
    with (
        server.Database(folder / "mariadb", server.CACHE / "empty", *server.MEASURING) as database,
        server.Product(folder / "product", database.address, 2, 8) as product,
    ):
        bed = Bed(product, database, Traffic(product, load_list, 0.02), Traffic(product, create_lead, PAUSE))
        for traffic in (bed.reader, bed.writer):
            traffic.start()
        try:
            yield bed
        finally:
            for traffic in (bed.reader, bed.writer):
                traffic.told.set()
                traffic.join()


def _measure_all(bed: Bed, folder: Path) -> None:
    time.sleep(10)
    bed.rows.append(("nothing else: a list", p95(bed.reader.mark())))
    bed.rows.append(("nothing else: a new lead", p95(bed.writer.mark())))
    said = bed.command("create", "create")
    name = re.search(r"(\d{8}T\d{6}Z)", said)
    assert name, said
    manifest = json.loads((folder / "product" / "instance" / "backups" / name[1] / "manifest.json").read_text())
    part = manifest["parts"]["database"]
    bed.rows.append(("— the dump", f"{part['plain_size'] / 1e6:.0f} MB, stored {part['size'] / 1e6:.0f} MB"))
    bed.rows.append(("— its rows", f"{sum(each['rows'] for each in manifest['contents']['tables'].values()):,}"))
    bed.command("verify", "verify", name[1])
    bed.command("drill (restore, compare all tables, drop)", "drill")
    bed.command("restore into an empty database", "restore", name[1])
    bed.rows.append(("the restored database", _of_one_moment(bed.database)))


def _of_one_moment(database: server.Database) -> str:
    """Check that the backup is of one moment: no lead of it lacks the timeline entry of the same transaction."""
    written = "leads l WHERE l.first_name LIKE 'Backup %'"
    without_entry = f"NOT EXISTS (SELECT 1 FROM {RESTORED}.activity a WHERE a.lead_id = l.id)"  # noqa: S608
    orphans = _count(database, f"{RESTORED}.{written} AND {without_entry}")
    assert orphans == 0, orphans
    restored, now = _count(database, f"{RESTORED}.{written}"), _count(database, f"{server.DATABASE}.{written}")
    return f"{restored} of the {now} leads written by now, none without its timeline entry: of one moment"


def _count(database: server.Database, rows: str) -> int:
    with contextlib.closing(database.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {rows}")  # noqa: S608
        return int(cursor.fetchall()[0][0])


def _write(rows: list[tuple[str, str]], leads: int, busy: tuple[float, float]) -> None:
    lines = [
        "# Backups",
        "",
        f"{leads:,} leads and everything in proportion, MariaDB, {os.cpu_count()} cores, one reader and one writer "
        f"all the time. {datetime.now(UTC):%Y-%m-%d %H:%M} UTC. Load of the machine by others: {busy[0]:.1f} before, "
        f"{busy[1]:.1f} at the end (a quiet machine has less than 1).",
        "",
        "| What | Measured |",
        "|---|---|",
        *(f"| {what} | {figure} |" for what, figure in rows),
        "",
    ]
    RESULTS.write_text("\n".join(lines))
    print("\n".join(lines))
