"""Data for the benchmarks: hundreds of thousands of invented rows, the same in every run.

    from bench import generate
    generate.fill(engine, generate.Sizes.of(200_000))

needs an empty database with the schema, lists and roles of the migrations. On MariaDB each table is inserted by one
LOAD DATA while the rows of the next one are made; on SQLite (tests) by executemany.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, delete, func, insert, select, text, update
from sqlalchemy.orm import Session
from werkzeug.security import generate_password_hash

from app import access, models
from app.demo.sample_text import FIRST, LAST
from app.domain import customer_keys, task_holders
from app.domain.people.permissions import MODULES, VERBS
from app.domain.searchable_notes import NOTES
from bench.data_sizes import DAYS, MANAGER, SALES, SEED, SHARE, SUPPORT, Picklists, Sizes, mobile, moment
from bench.loader import MariaLoader, SqliteLoader, loader
from bench.rows import RowGenerator

__all__ = ["MANAGER", "PASSWORD", "SALES", "SEED", "SHARE", "SUPPORT", "Sizes", "fill", "key_of", "mobile", "secret_of"]

#: The password of all benchmark users.
PASSWORD = "Bench-is-fast-2026"


def key_of(username: str) -> str:
    """The API key of a bench user: letters and digits only."""
    return username.replace("_", "")


def secret_of(username: str) -> str:
    """The secret of a bench user's API key. The server is private, so the secret may be known."""
    return hashlib.sha256(f"bench {username}".encode()).hexdigest()


def _secret_hash(username: str) -> str:
    return hashlib.sha256(secret_of(username).encode()).hexdigest()


def fill(engine: Engine, sizes: Sizes, now: datetime | None = None) -> dict[str, int]:
    """Fill an empty database. Returns the number of rows by table."""
    now = (now or datetime.now(UTC)).replace(tzinfo=None, microsecond=0)
    with loader(engine) as load:
        generator = RowGenerator(sizes, now, _picklists(engine))
        _load_people(generator, load)
        for table, columns, rows in generator.tables():
            load.table(table, columns, rows)
        counts = load.finish()
    with Session(engine) as session:
        customer_keys.assign_bulk(session)
        session.commit()
    _copy_notes(engine)
    _copy_holders(engine)
    _set_number_series(engine, generator.years)
    _grant_all(engine, generator.picklists.roles["Sales Manager"])
    _let_none_expire(engine)
    return counts


def _copy_notes(engine: Engine) -> None:
    """Make the notes searchable, as their effect does when they are written one by one."""
    line, note, state = (each.__table__ for each in (models.Activity, models.NoteText, models.NoteTextState))
    notes = select(line.c.id, line.c.payload["text"].as_string()).where(line.c.kind.in_(NOTES))
    with engine.begin() as connection:
        connection.execute(insert(note).from_select(["id", "body"], notes))
        connection.execute(update(state).values(filled_until=select(func.max(line.c.id)).scalar_subquery()))


def _copy_holders(engine: Engine) -> None:
    """Give tasks the holders of their leads and tickets, as the CRM does when it writes them."""
    with Session(engine) as session, access.as_system(session):
        for name in task_holders.KINDS:
            task_holders.settle(session, name, datetime.now(UTC))


def _set_number_series(engine: Engine, last: dict[tuple[str, int], int]) -> None:
    """Make the number series continue after the last number."""
    table = models.NumberSeries.__table__
    with engine.begin() as connection:
        connection.execute(delete(table))
        connection.execute(insert(table), [{"kind": kind, "year": year, "last": n} for (kind, year), n in last.items()])


def _grant_all(engine: Engine, role: int) -> None:
    """Let the manager of the benchmark see everything, and make every process reload its permissions."""
    cells = [{"role_id": role, "module": module, "verb": verb, "level": "all"} for module in MODULES for verb in VERBS]
    table = models.ModulePermission.__table__
    with engine.begin() as connection:
        connection.execute(delete(table).where(table.c.role_id == role))
        connection.execute(insert(table), cells)
        connection.execute(text("UPDATE access_version SET n = n + 1"))


def _let_none_expire(engine: Engine) -> None:
    """Keep leads from expiring: of years of generated leads, two thirds would do so in the first minutes of a run."""
    rows = [{"key": key, "value": 3650} for key in ("lead_expiry_days", "opened_expiry_days")]
    with engine.begin() as connection:
        connection.execute(insert(models.BusinessSetting.__table__), rows)


def _picklists(engine: Engine) -> Picklists:
    with engine.connect() as connection:

        def ids(record: Any) -> list[int]:
            return list(connection.scalars(select(record.__table__.c.id)))

        def named(record: Any, column: str) -> dict[str, int]:
            table = record.__table__
            return {row[0]: row[1] for row in connection.execute(select(table.c[column], table.c.id))}

        return Picklists(
            named(models.LeadStatus, "label"),
            named(models.TicketStatus, "label"),
            ids(models.TicketSubject),
            ids(models.LeadSource),
            ids(models.AccountType),
            named(models.Role, "name"),
            max(ids(models.User), default=0) + 1,
        )


_USER_COLUMNS = (
    *("id", "first_name", "last_name", "username", "email", "active", "password", "login_count", "fail_login_count"),
    *("created_on", "changed_on", "available", "manager_id"),
)


def _load_people(generator: RowGenerator, load: SqliteLoader | MariaLoader) -> None:
    password, at = generate_password_hash(PASSWORD), moment(generator.now - timedelta(days=DAYS + 5))
    roles = generator.picklists.roles
    people = generator.people
    load.table(
        "ab_user",
        _USER_COLUMNS,
        (
            (
                key,
                FIRST[n % len(FIRST)][0],
                LAST[n % len(LAST)][0],
                name,
                f"{name}@bench.example",
                1,
                password,
                0,
                0,
                at,
                at,
                1,
                generator.manager if key != generator.manager else None,
            )
            for n, (key, name, _) in enumerate(people)
        ),
    )
    load.table("ab_user_role", ("user_id", "role_id"), [(key, roles[role]) for key, _, role in people])
    load.table(
        "api_key",
        ("`key`", "secret_hash", "name", "user_id", "scope", "created_on"),
        [(key_of(name), _secret_hash(name), "bench", key, "[]", at) for key, name, _ in people],
    )
