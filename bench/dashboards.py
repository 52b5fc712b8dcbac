"""The response times of dashboards with a million calls, computed anew each time; with and without the daily roll-ups.

    python -m bench.dashboards [CALLS] [ROUNDS]

starts a private MariaDB, fills it (once: the folder stays in the cache), and prints one line per page and person:
median and 95th percentile of whole requests in milliseconds; processor time of the request and of MariaDB, which
doesn't depend on the load of the machine; statements; the same with cached figures; and without the roll-ups.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access, create_app
from app.domain.telephony import call_rollup_fill, call_rollups
from app.extensions import db
from app.lib.token_hash import hash_token
from app.models import SignIn, User
from app.ops.database.connections import STATEMENTS
from app.web.dashboards import widget_data
from app.web.dashboards.widgets import PAGES
from bench import generate, server
from tests.app_fixtures import Colleague, UserClient, settings_for

SIZES = {"leads": 100_000, "customers": 20_000, "tickets": 50_000, "tasks": 150_000, "activities": 1_000}
PEOPLE = (generate.MANAGER, generate.SALES, generate.SUPPORT)
PERIODS = ("month", "week")


def sign_in(session: Session, name: str) -> Colleague:
    """A sign-in of this user for `UserClient`."""
    user = session.scalars(select(User).where(User.username == name)).one()
    digest, later = hash_token(f"cookie-{name}"), datetime.now(UTC) + timedelta(days=1)
    if session.scalars(select(SignIn).where(SignIn.token_hash == digest)).first() is None:
        values = {"token_hash": digest, "method": "form", "started_on": datetime.now(UTC), "seen_on": later}
        session.add(SignIn(user_id=user.id, **values))
        session.commit()
    return Colleague(user.id, name)


@dataclass(frozen=True)
class Cost:
    """The cost of a page; times in milliseconds."""

    half: float
    most: float
    cpu: float
    database_cpu: float
    statements: int
    #: Of the same page with cached figures, within a minute.
    kept_half: float
    kept_cpu: float
    kept_statements: int


def timed(client: UserClient, path: str, rounds: int, database: server.Database) -> Cost | None:
    """The cost of this page, computed anew each time; None if there is no such page."""
    if client.screen(path).status_code != 200:  # fills all other caches
        return None
    anew = [_round(client, path, database, anew=True) for _each in range(rounds)]
    kept = [_round(client, path, database, anew=False) for _each in range(rounds)]
    spent = sorted(each[0] for each in anew)
    return Cost(
        statistics.median(spent),
        spent[max(0, round(0.95 * len(spent)) - 1)],
        statistics.mean(each[1] for each in anew),
        statistics.mean(each[2] for each in anew),
        anew[-1][3],
        statistics.median(each[0] for each in kept),
        statistics.mean(each[1] for each in kept),
        kept[-1][3],
    )


def _round(client: UserClient, path: str, database: server.Database, anew: bool) -> tuple[float, float, float, int]:
    """Milliseconds of one request, of its CPU and of MariaDB's, and its statements; `anew`: without cached figures."""
    if anew:
        widget_data.forget()
    sent: list[Any] = []
    cpu, beside = time.process_time(), server.cpu_seconds(database.pid)
    token, start = STATEMENTS.set(sent), time.perf_counter()
    client.screen(path)
    took = time.perf_counter() - start
    STATEMENTS.reset(token)
    cpu, beside = time.process_time() - cpu, server.cpu_seconds(database.pid) - beside
    return took * 1000, cpu * 1000, beside * 1000, len(sent)


def rebuild(session: Session, zone: ZoneInfo) -> float:
    """Rebuild all roll-ups. Returns the seconds that it took."""
    now, start = datetime.now(UTC), time.perf_counter()
    call_rollup_fill.begin_rebuild(session, zone, now)
    session.commit()
    while call_rollup_fill.fill(session, call_rollup_fill.days_to_fill(session, zone, now, 5), zone, now):
        session.commit()
    session.commit()
    return time.perf_counter() - start


def measured(
    app: Any, people: list[Colleague], rounds: int, database: server.Database
) -> dict[tuple[str, str, str], Cost]:
    """(person, page, period) -> its cost."""
    found = {}
    for who in people:
        client = UserClient(app, who)
        for page in PAGES:
            for period in PERIODS:
                each = timed(client, f"/dashboard/{page.name}?period={period}", rounds, database)
                if each is not None:
                    found[who.username, page.name, period] = each
    return found


def main(calls: int = 1_000_000, rounds: int = 10) -> None:
    """Fill, measure, print."""
    folder, data = server.scratch(), server.filled_data_folder(generate.Sizes(**SIZES, calls=calls))[0]
    try:
        server.copy_data(data, folder / "db")
        _measure(folder, calls, rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measure(folder: Path, calls: int, rounds: int) -> None:
    with server.Database(folder / "db", server.CACHE / "empty", *server.MEASURING) as database:
        settings = settings_for(
            Path(folder), CRM_DATABASE_URL=database.address, CRM_FIELD_KEY=server.FIELD_KEY, CRM_SCHEDULER="off"
        )
        app = create_app(settings, TESTING=True)
        with app.app_context(), access.as_system(db.session()) as session:
            people, zone = [sign_in(session, name) for name in PEOPLE], ZoneInfo(settings.time_zone)
            call_rollups.start_over(session)
            session.commit()
        without = measured(app, people, max(2, rounds // 3), database)
        with app.app_context(), access.as_system(db.session()) as session:
            print(f"{calls} calls counted by day in {rebuild(session, zone):.1f} s")
        found = measured(app, people, rounds, database)
        print(
            "who\tpage\tperiod\tp50\tp95\tCPU\tof MariaDB\tstatements\tp50 kept\tCPU\tstatements"
            "\tp50 without\tCPU without\tof MariaDB"
        )
        for key, each in found.items():
            before = without[key]
            figures = [each.half, each.most, each.cpu, each.database_cpu, each.statements]
            figures += [each.kept_half, each.kept_cpu, each.kept_statements]
            figures += [before.half, before.cpu, before.database_cpu]
            print(*key, *(f"{figure:.0f}" for figure in figures), sep="\t", flush=True)
        with app.app_context():
            db.engine.dispose()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
