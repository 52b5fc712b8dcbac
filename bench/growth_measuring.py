"""Measures operations and jobs in one process, for bench.growth: statements, rows read, CPU, plans."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import event, text

from app import access, create_app, jobs
from app.extensions import db
from app.ops.database.connections import STATEMENTS
from app.web.dashboards import widget_data
from bench import generate, plans, server
from bench.dashboards import sign_in
from bench.growth_operations import ADMIN, DASHBOARD, add_busy_customer, all_operations
from bench.load import Request
from bench.measured_versions import USERS, Target
from bench.operations import Operation
from tests.app_fixtures import UserClient, settings_for

#: Requests before one is measured, which fill the caches, and measured ones, of which the least counts.
WARM, TRIES = 3, 3
_MAKE_ADMIN = "INSERT IGNORE INTO ab_user_role (user_id, role_id) SELECT :user, id FROM ab_role WHERE name = 'Admin'"
_READS = "SHOW SESSION STATUS LIKE 'Handler_read%'"
_ALL_READS = "SHOW GLOBAL STATUS LIKE 'Handler_read%%'"
#: Jobs that other programs do, and that are measured on their own.
_ELSEWHERE = ("back up", "drill the newest backup", "start backups and drills")
#: A job with much to do is run this often at most.
MAX_PASSES = 3


@dataclass
class Cost:
    """What one request, or one pass of a job, costs."""

    name: str
    who: str
    statements: int = 0
    rows: int = 0
    web_ms: float = 0.0
    database_ms: float = 0.0
    #: The rows of the statement that reads most, and its text.
    dearest: str = ""
    #: Full scans of growing tables and long sorts.
    faults: list[str] = field(default_factory=list)
    failure: str = ""


@dataclass
class Bed:
    """The product in this process, and its database."""

    app: Any
    target: Target
    memory: str = ""


@contextmanager
def opened(database: server.Database, folder: Path) -> Iterator[Bed]:
    """The product on this database, with the bench users signed in."""
    settings = settings_for(folder / "instance", CRM_DATABASE_URL=database.address, CRM_FIELD_KEY=server.FIELD_KEY)
    app = create_app(settings, TESTING=True)
    target = Target("ours", database, None)  # type: ignore[arg-type]  # there is no web server
    target.load_ids()
    with app.app_context(), access.as_system(db.session()) as session:
        people = [sign_in(session, name) for name in (*USERS, ADMIN)]
        session.execute(text(_MAKE_ADMIN), {"user": people[-1].id})
        session.execute(text("DELETE FROM office_range"))  # so that jobs can be measured at any hour
        session.commit()
    for who in people:
        cookie = UserClient(app, who).browser.get_cookie(app.config["SESSION_COOKIE_NAME"])
        assert cookie is not None
        target.cookies[who.username] = f"{cookie.key}={cookie.value}"
    access.rights_cache.CACHE_SECONDS = 3600
    try:
        yield Bed(app, target)
    finally:
        with app.app_context():
            db.engine.dispose()


# --- operations


def measure_operations(bed: Bed, sizes: generate.Sizes, only: str, rounds: int) -> list[Cost]:
    """The cost of every operation with `only` in its name or person."""
    add_busy_customer(bed.target, sizes)
    growing = plans.growing_tables(bed.target)
    wanted = [each for each in all_operations(bed.target) if only.lower() in f"{each.name} {each.who}".lower()]
    found, before = [], _memory()
    for each in wanted:
        cost = _measure(bed, each, growing, rounds)
        found.append(cost)
        print(f"  {cost}", flush=True)
    bed.memory = f"{sizes.leads:,} leads: the process had {before} MB before, {_memory()} MB after all operations"
    return found


def _measure(bed: Bed, operation: Operation, growing: set[str], rounds: int) -> Cost:
    cost = Cost(operation.name, operation.who)
    requests = operation.requests(bed.target)
    if not requests:
        cost.failure = "nothing to send"
        return cost
    turn = iter(requests * (1 + (WARM + TRIES + rounds) // len(requests)))
    client = bed.app.test_client(use_cookies=False)
    forget = widget_data.forget if operation.name.startswith(DASHBOARD) else bool
    for _ in range(WARM):
        answer = _send(client, next(turn))
        if answer.status_code >= 300:
            cost.failure = f"{answer.status_code} {' '.join(answer.text.split())[:100]}"
            return cost
    tries = [_recorded(bed, lambda: (forget(), _send(client, next(turn)))) for _ in range(TRIES)]
    recorded = min(tries, key=lambda each: sum(rows for rows, _ in each))
    cost.statements, cost.rows = len(recorded), sum(rows for rows, _ in recorded)
    cost.dearest = "{:,} rows: {}".format(*max(recorded)) if recorded else ""
    cost.web_ms, cost.database_ms = _cpu(bed, lambda: (forget(), _send(client, next(turn))), rounds)
    cost.faults = [fault for _, sent in recorded for fault in plans.plan_of(bed.target, sent).faults(growing)]
    return cost


def _send(client: Any, request: Request) -> Any:
    return client.open(request.path, method=request.method, headers=request.headers, data=request.body or None)


def _recorded(bed: Bed, act: Callable[[], object]) -> list[tuple[int, str]]:
    """(rows read, text) of each statement of a request."""
    found: list[tuple[int, str]] = []

    def before(connection: Any, *_: Any) -> None:
        start = _reads(connection)
        own = _reads(connection) - start  # of the question itself
        connection.info["reads"] = start + 2 * own

    def after(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        sent = getattr(cursor, "_executed", statement)
        rows = _reads(connection) - connection.info["reads"]
        found.append((rows, sent.decode() if isinstance(sent, bytes) else sent))

    with bed.app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "after_cursor_execute", after)
    try:
        act()
    finally:
        event.remove(engine, "before_cursor_execute", before)
        event.remove(engine, "after_cursor_execute", after)
    return found


def _reads(connection: Any) -> int:
    with connection.connection.cursor() as cursor:
        cursor.execute(_READS)
        return sum(int(value) for _name, value in cursor.fetchall())


def _cpu(bed: Bed, act: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Milliseconds of CPU of this process and of MariaDB for each of so many times."""
    own, beside = time.process_time(), server.cpu_seconds(bed.target.database.pid)
    for _ in range(rounds):
        act()
    own, beside = time.process_time() - own, server.cpu_seconds(bed.target.database.pid) - beside
    return own * 1000 / rounds, beside * 1000 / rounds


def _memory() -> int:
    """Resident memory of this process in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) // 1024


# --- jobs


def measure_jobs(bed: Bed, only: str) -> list[Cost]:
    """The cost of each job: its first passes, and one with nothing left to do."""
    found = []
    for name in jobs.names():
        if name in _ELSEWHERE or only.lower() not in name.lower():
            continue
        for number in range(MAX_PASSES):
            cost, items = _pass(bed, name, number)
            found.append(cost)
            print(f"  {cost}", flush=True)
            if not items:
                break
    return found


def _pass(bed: Bed, name: str, number: int) -> tuple[Cost, int]:
    """One pass, and how many items it had."""
    before = _all_reads(bed.target)
    own_reads = _all_reads(bed.target) - before
    token, cost = STATEMENTS.set([]), Cost(name, f"pass {number + 1}")
    own, beside = time.process_time(), server.cpu_seconds(bed.target.database.pid)
    run = jobs.run_now(bed.app, name)
    items = run.items + run.failed_items
    cost.failure = run.error or run.outcome if run.outcome != "done" else ""
    cost.web_ms = (time.process_time() - own) * 1000
    cost.database_ms = (server.cpu_seconds(bed.target.database.pid) - beside) * 1000
    cost.statements = len(STATEMENTS.get() or ())
    STATEMENTS.reset(token)
    cost.rows = _all_reads(bed.target) - before - 2 * own_reads
    cost.dearest = f"{items} items, {_memory()} MB"
    return cost, items


def _all_reads(target: Target) -> int:
    return sum(int(value) for _name, value in target.query(_ALL_READS))
