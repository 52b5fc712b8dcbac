"""python -m bench.retention [ROWS]: a night in which most of a million rows are too old, while people write.

Fills the tables of retention with about ROWS rows (1,000,000), four of five of which are too old, runs the nightly job
on a private MariaDB that writes every commit to disk, and prints the duration of the longest transaction, the most rows
locked by one, and the delays of writers before and during the run.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, Engine, event, insert, text
from sqlalchemy.orm import Session

from app import access, models, session_hooks
from app.domain.audit_log import audit, audit_keys
from app.domain.audit_log.audit_keys import AuditKeys
from app.domain.base import UtcDateTime
from app.domain.maintenance import retention
from app.domain.maintenance.retention_kinds import BY_NAME, RetentionTable
from app.lib.field_encryption import audit_key, read_key
from app.ops.database.database_errors import summary_of
from bench import generate, server
from bench.job_passes import run_pass, runner_on
from tests.servers import MariaDB

JOB = "forget what is too old"
SIZES = generate.Sizes(20_000, 5_000, 5_000, 20_000, 5_000, 20_000)
#: Kind -> (share of the rows, SQL by column if a blank value would be kept or refused; `seq` is the row's number).
FILLING: dict[str, tuple[float, Mapping[str, str]]] = {
    "answers": (0.05, {}),
    "job runs": (0.10, {"outcome": "'done'"}),
    "health": (0.05, {"server": "CONCAT('crm', seq)"}),
    "webhook deliveries": (0.10, {"state": "'sent'"}),
    "provider requests": (0.05, {"state": "'done'", "request_sealed": "REPEAT('x', 600)"}),
    "notifications": (0.20, {"kind": "'assigned'", "lead_id": "1 + seq MOD 20000"}),
    "sent emails of notifications": (0.15, {"state": "'sent'", "channel": "'mail'"}),
    "sign-ins": (0.05, {}),
    "timeline of customers and tickets": (
        0.20,
        {
            "kind": "ELT(1 + seq MOD 3, 'field_change', 'system', 'note')",
            "lead_id": "1 + seq MOD 20000",
            "customer_id": "IF(seq MOD 5, NULL, 1 + seq MOD 5000)",
            "payload": """'{"field": "status", "old": "New", "new": "Working"}'""",
        },
    ),
}
#: The share of audit entries, which are written as the product writes them.
AUDIT_SHARE, AUDIT_AT_ONCE = 0.05, 500
#: The ages of a table's rows range from this multiple of the retention time down to zero: four of five are too old.
OLDEST = 5


def fill(engine: Engine, rows: int, now: datetime) -> int:
    """Fill the tables. Returns the number of rows."""
    made = 0
    for name, (share, values) in FILLING.items():
        kind = BY_NAME[name]
        count = int(rows * share)
        with engine.begin() as connection:
            connection.execute(text("SET foreign_key_checks = 0"))
            connection.execute(text(_filling(kind.stores[0], count, kind.days, dict(values))), {"now": now})
            connection.execute(text("SET foreign_key_checks = 1"))
        made += count
    return made + _fill_audit(engine, int(rows * AUDIT_SHARE), now)


def _filling(store: RetentionTable, count: int, days: int, values: dict[str, str]) -> str:
    at = f":now - INTERVAL FLOOR({OLDEST * days * 86400} * (1 - seq / {count})) SECOND"
    values |= {store.time: f"UNIX_TIMESTAMP({at}) DIV 60" if store.time == "minute" else at}
    if store.table.name == "delivery":
        values["notification_id"] = "seq"
    for column in store.table.c:
        if not column.nullable and column.name not in (store.key, *values):
            values[column.name] = _blank(column, at)
    names, parts = ", ".join(f"`{name}`" for name in values), ", ".join(values.values())
    return f"INSERT INTO `{store.table.name}` ({names}) SELECT {parts} FROM seq_1_to_{count}"  # noqa: S608


def _blank(column: Any, at: str) -> str:
    """A value for a column that can't be empty."""
    if column.foreign_keys:
        return "(SELECT MIN(id) FROM ab_user)" if column.name == "user_id" else "1"
    if isinstance(column.type, JSON):
        return "'{}'"
    if isinstance(column.type, UtcDateTime):
        return at
    return "0" if column.type.python_type in (int, bool) else f"LEFT(CONCAT(seq, 'x'), {column.type.length})"


def _fill_audit(engine: Engine, count: int, now: datetime) -> int:
    days = BY_NAME["audit"].days
    with Session(engine) as session, access.as_system(session):
        for number in range(count):
            at = now - timedelta(days=OLDEST * days * (1 - number / count))
            audit.write(session, "reveal", None, at, f"lead {number}", field="mobile")
            if number % AUDIT_AT_ONCE == AUDIT_AT_ONCE - 1:
                session.commit()
        session.commit()
    return count


# --- what is watched


@dataclass
class Watch:
    """Observations of the run's transactions."""

    engine: Engine
    #: Seconds of the longest transaction with changes, and of the longest that only read.
    longest: float = 0.0
    longest_look: float = 0.0
    transactions: int = 0
    most_locked: int = 0
    _began: dict[Any, float] = field(default_factory=dict)
    _changing: set[Any] = field(default_factory=set)
    _is_over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self, url: str) -> Iterator[None]:
        event.listen(self.engine, "begin", lambda each: self._began.__setitem__(id(each), time.perf_counter()))
        event.listen(self.engine, "before_cursor_execute", self._note)
        event.listen(self.engine, "commit", self._ended)
        event.listen(self.engine, "rollback", self._ended)
        looker = threading.Thread(target=self._look, args=[url])
        looker.start()
        try:
            yield
        finally:
            self._is_over.set()
            looker.join()

    def _note(self, connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if statement.startswith(("DELETE", "UPDATE", "INSERT")):
            self._changing.add(id(connection))

    def _ended(self, connection: Any) -> None:
        if (began := self._began.pop(id(connection), None)) is not None:
            name = "longest" if id(connection) in self._changing else "longest_look"
            self._changing.discard(id(connection))
            setattr(self, name, max(getattr(self, name), time.perf_counter() - began))
            self.transactions += 1

    def _look(self, url: str) -> None:
        engine, _runner = runner_on(url)
        while not self._is_over.wait(0.1):
            with engine.connect() as connection:
                query = text("SELECT MAX(trx_rows_locked) FROM information_schema.INNODB_TRX")
                self.most_locked = max(self.most_locked, connection.execute(query).scalar() or 0)
        engine.dispose()


@dataclass
class Writers:
    """Two writers into the tables of retention, every 20 ms, and their times."""

    url: str
    times: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator[None]:
        over = threading.Event()
        threads = [threading.Thread(target=self._write, args=[over, number]) for number in range(2)]
        for each in threads:
            each.start()
        try:
            yield
        finally:
            over.set()
            for each in threads:
                each.join()

    def _write(self, over: threading.Event, number: int) -> None:
        engine, _runner = runner_on(self.url)
        serial = 0
        while not over.wait(0.02):
            serial += 1
            began = time.perf_counter()
            try:
                with engine.begin() as connection:
                    _as_people_do(connection, f"w{number}:{serial}:{began}", 2 * serial + number)
            except Exception as error:  # noqa: BLE001  # it is what is measured
                self.failures.append(summary_of(error))
            self.times.append((time.perf_counter() - began) * 1000)
        engine.dispose()

    def __str__(self) -> str:
        cuts = statistics.quantiles(self.times, n=100)
        figures = (
            f"p50 {cuts[49]:.1f} ms, p95 {cuts[94]:.1f} ms, p99 {cuts[98]:.1f} ms, longest {max(self.times):.0f} ms"
        )
        return f"{len(self.times)} transactions: {figures}, failed: {dict(Counter(self.failures))}"


def _as_people_do(connection: Any, key: str, serial: int) -> None:
    now = datetime.now(UTC)
    line = {"kind": "note", "at": now, "lead_id": 1 + serial % 20_000, "payload": {"text": "Called"}}
    connection.execute(insert(models.Activity.__table__), [line])
    user = connection.execute(text("SELECT MIN(id) FROM ab_user")).scalar()
    notice = {"event_key": key, "kind": "assigned", "user_id": user, "at": now, "payload": {}}
    made = connection.execute(insert(models.Notification.__table__).values(notice)).inserted_primary_key[0]
    connection.execute(text("UPDATE notification SET read_on = :now WHERE id = :id"), {"now": now, "id": made})
    change = text("UPDATE leads SET changed_on = :now WHERE id = :id")
    connection.execute(change, {"now": now, "id": line["lead_id"]})


def main(rows: int = 1_000_000) -> None:
    """Fill, measure, print."""
    folder = server.scratch()
    with MariaDB(folder / "db", server.CACHE / "empty", *server.MEASURING) as database:
        database.create_database(server.DATABASE)
        url = database.url(server.DATABASE)
        server.migrate(url, Path(folder) / "instance")
        engine, runner = runner_on(url)
        session_hooks.install()
        audit_keys.set_keys(engine, AuditKeys(audit_key(read_key(server.FIELD_KEY))))
        generate.fill(engine, SIZES)
        now = datetime.now(UTC).replace(microsecond=0)
        print(f"{fill(engine, rows, now):,} rows", flush=True)
        alone = Writers(url)
        with alone.running():
            time.sleep(20)
        print("writers alone:", alone, flush=True)
        meanwhile, watch = Writers(url), Watch(engine)
        cpu = time.process_time()
        with watch.running(url), meanwhile.running():
            result = run_pass(runner, JOB, now)
        print("writers meanwhile:", meanwhile)
        print(result, f"{time.process_time() - cpu:.1f} s of CPU of Python, writers included")
        print(f"{watch.transactions} transactions; the longest that deleted {watch.longest:.2f} s", end=", ")
        print(f"the longest that only looked {watch.longest_look:.2f} s")
        print(f"{watch.most_locked} rows locked at most, as seen every 0.1 s")
        with Session(engine) as session, access.as_system(session):
            print("left to delete:", sum(retention.count(session, now).values()))
        engine.dispose()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
