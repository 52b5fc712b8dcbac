"""One pass of a minute job over a big database: how long it takes, idle and with ten thousand overdue tasks.

    python -m bench.job_passes [TASKS] [OVERDUE]

starts a private MariaDB that writes every commit to disk, fills it, and prints the measurements.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine, create_engine, delete, func, insert, select, update
from sqlalchemy.orm import sessionmaker

from app import jobs, models
from app.domain import leads
from app.job_runner import Runner, run_slot
from app.ops.database.connections import STATEMENTS, tune
from bench import generate, server
from tests.servers import MariaDB

REASSIGN, REMIND = "reassign overdue tasks", "send due reminders"


@dataclass(frozen=True)
class PassResult:
    """The measurements of one pass."""

    job: str
    milliseconds: float
    items: int
    failed: int
    #: SQL statements, the claim and the end of the run included; an executemany counts once.
    statements: int

    def __str__(self) -> str:
        return (
            f"{self.job}: {self.items} items ({self.failed} failed) in {self.milliseconds:.1f} ms, "
            f"{self.statements} statements"
        )


def make_idle(engine: Engine, now: datetime) -> int:
    """Make all open tasks due in a day, with no reminder due; the office never closes. Returns how many there are."""
    task = models.Task.__table__
    open_ones = task.c.status.in_(("Todo", "In Progress", "Backlog"))
    later = {"due_on": now + timedelta(days=1), "remind_on": now + timedelta(hours=23), "exhausted": False}
    with engine.begin() as connection:
        connection.execute(delete(models.OfficeRange.__table__))
        connection.execute(update(task).values(status="Todo", done_on=None, **later))
        return int(connection.scalar(select(func.count()).where(open_ones)) or 0)


def add_overdue(engine: Engine, now: datetime, count: int) -> int:
    """Add an overdue task to each of this many active leads, for its assignee. Returns how many were added."""
    status, lead = models.LeadStatus.__table__, models.Lead.__table__
    active = select(status.c.id).where(status.c.meaning.not_in(leads.TERMINAL))
    query = select(lead.c.id, lead.c.assignee_id).where(lead.c.status_id.in_(active)).order_by(lead.c.id).limit(count)
    at, due = now - timedelta(days=2), now - timedelta(hours=5)
    same = {
        "title": "Call back",
        "status": "Todo",
        "priority": "Medium",
        "due_on": due,
        "exhausted": False,
        "tried": [],
        "version": 1,
        "created_on": at,
        "changed_on": at,
        "remind_on": None,
    }
    with engine.begin() as connection:
        rows = [
            same | {"lead_id": key, "assignee_id": user, "owner_id": user} for key, user in connection.execute(query)
        ]
        connection.execute(insert(models.Task.__table__), rows)
    return len(rows)


def add_reminders(engine: Engine, now: datetime, count: int) -> None:
    """Make this many of the future tasks due in an hour, with a reminder due now."""
    task = models.Task.__table__
    some = select(task.c.id).where(task.c.due_on > now).order_by(task.c.id).limit(count).subquery()
    values = {"due_on": now + timedelta(hours=1), "remind_on": now}
    with engine.begin() as connection:
        connection.execute(update(task).where(task.c.id.in_(select(some.c.id))).values(**values))


def run_pass(runner: Runner, name: str, now: datetime) -> PassResult:
    """Run the job of this name once, as if it were `now`."""
    job = next(each for each in jobs.SCHEDULE if each.name == name)
    statements: list[str] = []
    token = STATEMENTS.set(statements)
    start = time.perf_counter()
    run = run_slot(runner, job, (f"bench {time.time()}", now), now)
    spent = (time.perf_counter() - start) * 1000
    STATEMENTS.reset(token)
    if run is None:
        raise RuntimeError("another process runs the jobs of this database")
    return PassResult(name, spent, run.items, run.failed_items, len(statements))


def runner_on(url: str) -> tuple[Engine, Runner]:
    """An engine like the product's, and a job runner on it."""
    engine = create_engine(url, isolation_level="READ COMMITTED")
    tune(engine)
    return engine, Runner(sessionmaker(engine, expire_on_commit=False))


def main(tasks: int = 300_000, overdue: int = 10_000) -> None:
    """Fill, measure, print."""
    folder = server.scratch()
    sizes = generate.Sizes(20_000, 5_000, 5_000, tasks, 1_000, 1_000)
    with MariaDB(folder / "db", server.CACHE / "empty", *server.MEASURING) as database:
        database.create_database(server.DATABASE)
        url = database.url(server.DATABASE)
        server.migrate(url, Path(folder) / "instance")
        engine, runner = runner_on(url)
        generate.fill(engine, sizes)
        now = datetime.now(UTC).replace(microsecond=0)
        print(f"{make_idle(engine, now)} open tasks, none of them due")
        for name in (REASSIGN, REMIND) * 3:
            print(" idle", run_pass(runner, name, now))
        add_reminders(engine, now, overdue)
        print(" busy", run_pass(runner, REMIND, now))
        add_overdue(engine, now, overdue)
        print(" busy", run_pass(runner, REASSIGN, now))
        print(" idle", run_pass(runner, REASSIGN, now))
        engine.dispose()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
