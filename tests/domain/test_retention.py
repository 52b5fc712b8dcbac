"""Retention: everything too old is deleted, and nothing else, even if a run is interrupted.

The audit stays verifiable.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import JSON, create_engine, event, func, insert, select, update
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import StaticPool

from app import jobs, session_hooks
from app.domain.audit_log import audit, audit_chain, audit_keys
from app.domain.audit_log.audit_chain import ChainHead
from app.domain.audit_log.audit_keys import AuditKeys
from app.domain.base import RuleBroken, Stamp, UtcDateTime
from app.domain.maintenance import retention
from app.domain.maintenance.retention_kinds import BY_NAME, KINDS, ORDERS, RetentionKind, RetentionTable
from app.job_runner import Runner, run_slot
from app.models import Activity, AuditEntry, AuditHead, JobRun, RetentionRule, RetentionRun
from tests import factories
from tests.cases import each_case
from tests.factories import NOW

DAYS = timedelta(days=1)
SLOT = ("2026-11-23", NOW)
_serial = count(1)


@pytest.fixture
def engine() -> Iterator[Any]:
    session_hooks.install()
    made = factories.database()
    audit_keys.set_keys(made, AuditKeys(b"k" * 32))
    yield made
    made.dispose()


@pytest.fixture
def session(engine: Any) -> Iterator[Session]:
    """A session of the system; rows may name others that don't exist."""
    engine.raw_connection().driver_connection.execute("PRAGMA foreign_keys = OFF")  # outside of transactions only
    with factories.opened(engine) as session:
        yield session


@pytest.fixture
def runner(engine: Any) -> Runner:
    return Runner(sessionmaker(engine, expire_on_commit=False))


#: Column -> value, where another one than blank is needed for a row to be forgotten.
OLD_ENOUGH: dict[str, dict[str, Any]] = {
    "provider requests": {"state": "done"},
    "failed queue calls": {"settled_on": NOW},
    "sent emails of notifications": {"state": "sent"},
    "backup runs": {"kind": "drill"},
    "emails of reports": {"state": "sent"},
    "recordings of calls": {"state": "sent"},
    "timeline of leads": {"kind": "field_change", "lead_id": 1},
    "timeline of customers and tickets": {"kind": "system", "lead_id": 1, "customer_id": 1},
}
#: The same, where the row stays although it is old.
STAYS: dict[str, dict[str, Any]] = {
    "provider requests": {"state": "failed"},
    "failed queue calls": {"settled_on": None},
    "call cards": {"note": "wants the form by Monday"},
    "sent emails of notifications": {"state": "queued"},
    "backup runs": {"kind": "backup"},
    "emails of reports": {"state": "queued"},
    "recordings of calls": {"state": "queued"},
    "timeline of leads": {"kind": "note", "lead_id": 1},
    "timeline of customers and tickets": {"kind": "status_change", "ticket_id": 1},
}


def add(session: Session, store: RetentionTable, at: datetime, values: dict[str, Any]) -> Any:
    """Insert a row of this age; columns that are not nullable get something. Returns its key."""
    table, n = store.table, next(_serial)
    row: dict[str, Any] = {store.time: store.as_stored(at)} | values
    for column in table.c:
        needed = not column.nullable and not (column.primary_key and column.type.python_type is int)
        if needed and column.name not in row and column.name != "id":
            row[column.name] = blank(column.type, at, n)
    done: Any = session.execute(insert(table).values(row))
    return done.inserted_primary_key[0]


def blank(kind: Any, at: datetime, n: int) -> Any:
    if isinstance(kind, JSON | UtcDateTime):
        return {} if isinstance(kind, JSON) else at
    return {int: n, str: f"{n}", bool: False}[kind.python_type]


def left(session: Session, store: RetentionTable) -> set[Any]:
    return set(session.scalars(select(next(iter(store.table.primary_key.columns)))))


def run(session: Session, runner: Runner, slot: str = "2026-11-23") -> JobRun:
    session.commit()  # both have the one connection of a database in memory
    job = next(each for each in jobs.SCHEDULE if each.name == "forget what is too old")
    made = run_slot(runner, job, (slot, NOW), NOW)
    assert made is not None
    session.expire_all()
    return made


#: Without recordings of orders, which depend on their calls: see test_order_evidence.py.
PLAIN = [(kind, store) for kind in KINDS if kind.delete is None and kind.name != ORDERS for store in kind.stores]


@pytest.mark.parametrize(("kind", "store"), PLAIN, ids=lambda part: getattr(part, "name", ""))
def test_rows_that_are_too_old_are_forgotten(
    session: Session, runner: Runner, kind: RetentionKind, store: RetentionTable
) -> None:
    own, before = OLD_ENOUGH.get(kind.name, {}), NOW - kind.days * DAYS
    add(session, store, before - DAYS, own)
    kept = {add(session, store, before + DAYS, own)}
    if kind.name in STAYS:
        kept |= {add(session, store, before - DAYS, STAYS[kind.name])}
        kept |= {add(session, store, before + DAYS, own)}
    session.commit()
    assert retention.count(session, NOW)[kind.name] == 1
    session.commit()
    assert run(session, runner).outcome == "done"
    session.expire_all()
    assert left(session, store) - kept <= {row.id for row in session.scalars(select(JobRun))} | {
        row.id for row in session.scalars(select(RetentionRun))
    }
    assert kept <= left(session, store)
    (noted,) = session.scalars(select(RetentionRun).where(RetentionRun.kind == kind.name))
    assert (noted.deleted, noted.days, noted.open_key) == (1, kind.days, None)
    (entry,) = session.scalars(select(AuditEntry).where(AuditEntry.event == "retention"))
    assert entry.payload == {"rows": {kind.name: 1}}


def activities(session: Session, ages: list[int], kind: str = "field_change") -> None:
    rows = [{"kind": kind, "at": NOW - days * DAYS, "lead_id": 1, "payload": {}} for days in ages]
    session.execute(insert(Activity), rows)
    session.commit()


def test_a_chunk_has_at_most_500_rows_and_what_was_looked_through_is_not_looked_through_again(
    session: Session, runner: Runner, engine: Any
) -> None:
    activities(session, [2000] * 1200 + [10] * 50)
    activities(session, [5] * 3, "note")
    sizes: list[int] = []

    def note(_c: Any, cursor: Any, statement: str, *_more: Any) -> None:
        if statement.startswith("DELETE FROM activity"):
            sizes.append(cursor.rowcount)

    event.listen(engine, "after_cursor_execute", note)
    made = run(session, runner)
    assert (made.outcome, made.items, sizes) == ("done", 1200, [500, 500, 200])
    assert session.scalar(select(func.count(Activity.id))) == 53
    reached = {row.kind: row.reached for row in session.scalars(select(RetentionRule))}
    assert reached["timeline of leads"] == 1200
    assert run(session, runner, "2026-11-24").items == 0


def test_a_run_that_is_cut_off_goes_on_where_it_was_and_is_told_as_one(
    session: Session, runner: Runner, engine: Any
) -> None:
    activities(session, [2000] * 1200)

    def stop(_c: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if statement.startswith("DELETE FROM activity"):
            runner.stopping.set()  # as a kill would: after this transaction nothing more

    event.listen(engine, "after_cursor_execute", stop)
    assert run(session, runner).outcome == "cut"
    event.remove(engine, "after_cursor_execute", stop)
    assert session.scalar(select(func.count(Activity.id))) == 700
    assert session.scalars(select(RetentionRun.deleted)).all() == [500]
    session.commit()
    runner.stopping.clear()
    assert run(session, runner).outcome == "done"
    session.expire_all()
    assert session.scalar(select(func.count(Activity.id))) == 0
    assert session.scalars(select(RetentionRun.deleted)).all() == [1200]
    assert [e.payload for e in session.scalars(select(AuditEntry))] == [{"rows": {"timeline of leads": 1200}}]


def test_what_is_set_to_stay_longer_while_a_run_goes_on_stays(session: Session) -> None:
    activities(session, [2000])
    found = retention.find(session, NOW, 10)
    retention.set_days(session, {"timeline of leads": 3000}, Stamp(None, NOW))
    assert retention.forget(session, found.rows, NOW) == 0
    assert session.scalar(select(func.count(Activity.id))) == 1


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 50), max_size=60), st.integers(0, 50), st.integers(1, 9))
def test_the_end_of_the_old_rows_is_found_by_halving(ages: list[int], limit: int, gap: int) -> None:
    """Keys with gaps, times that never go back: the last row that is older, as looking at all of them would find it."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    store = BY_NAME["job runs"].stores[0]
    store.table.create(engine)
    with factories.opened(engine) as session:
        keys = []
        for n, age in enumerate(sorted(ages, reverse=True)):
            add(session, store, NOW - age * DAYS, {"id": 1 + n * gap})
            keys.append((1 + n * gap, age))
        wanted = [key for key, age in keys if age > limit]
        found = retention._last_old_key(session, store, NOW - limit * DAYS)
        assert found == (wanted[-1] if wanted else None)
    engine.dispose()


# --- the settings


@each_case("kind", KINDS, ids=lambda kind: kind.name)
def test_less_than_the_minimum_is_refused_with_its_reason(session: Session, kind: RetentionKind) -> None:
    for days, said in ((kind.least - 1, str(kind.why)), (36_501, "at most 36500 days")):
        with pytest.raises(RuleBroken) as refused:
            retention.set_days(session, {kind.name: days}, Stamp(None, NOW))
        assert said in refused.value.errors[kind.name][0]
    assert retention.days_of(session)[kind.name] == kind.days
    retention.set_days(session, {kind.name: kind.least}, Stamp(None, NOW))
    assert retention.days_of(session)[kind.name] == kind.least


def test_a_change_is_audited_and_the_same_days_are_none(session: Session) -> None:
    assert retention.set_days(session, {"health": 30, "notifications": 90}, Stamp(None, NOW)) == ["notifications"]
    assert retention.set_days(session, {"notifications": 90}, Stamp(None, NOW)) == []
    session.commit()
    (entry,) = session.scalars(select(AuditEntry))
    assert entry.payload == {"days": {"notifications": [180, 90]}}


# --- the audit


def entries(session: Session, ages: list[int]) -> list[ChainHead]:
    """Write entries of these ages, and return the head after each."""
    heads = []
    for age in ages:
        audit.write(session, "reveal", None, NOW - age * DAYS, "lead 1")
        session.commit()
        heads.append(audit_chain.current_head(session))
    return heads


def verify(session: Session, *noted: ChainHead) -> list[tuple[int, str]]:
    session.expire_all()
    return [(fault.seq, fault.what) for fault in audit_chain.verify(session, noted).faults]


def test_the_audit_is_shortened_from_its_beginning_and_stays_provable(session: Session, runner: Runner) -> None:
    heads = entries(session, [4000, 3999, 3998, 100, 1])
    assert run(session, runner).outcome == "done"
    session.expire_all()
    report = audit_chain.verify(session, heads)
    assert (report.faults, report.deleted_until, report.head.seq) == ([], 3, 6)
    assert session.scalars(select(AuditEntry.seq)).all() == [4, 5, 6]
    assert verify(session, ChainHead(3, "f" * 64)) == [(3, "record")]
    assert verify(session, ChainHead(4, "f" * 64)) == [(4, "record")]


HEAD, ENTRIES = AuditHead.__table__, AuditEntry.__table__
ATTACKS = {
    "a later beginning": (update(HEAD).values(base_seq=4), (1, "missing")),
    "another hash there": (update(HEAD).values(base_hash="f" * 64), (1, "missing")),
    "another seal": (update(HEAD).values(base_seal="f" * 64), (1, "missing")),
    "the beginning forgotten": (update(HEAD).values(base_seq=0, base_seal=""), (1, "missing")),
    "an entry put before it": (
        insert(ENTRIES).values(seq=2, at=NOW, event="reveal", payload={}, hash="f" * 64),
        (2, "altered"),
    ),
    "one more entry cut off": (ENTRIES.delete().where(ENTRIES.c.seq == 4), (4, "missing")),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_beginning_that_was_forged_is_noticed(session: Session, runner: Runner, attack: str) -> None:
    entries(session, [4000, 3999, 3998, 100, 1])
    run(session, runner)
    statement, fault = ATTACKS[attack]
    session.execute(statement)
    session.commit()
    assert fault in verify(session)


def test_an_altered_entry_is_evidence_and_stays(session: Session, runner: Runner, caplog: Any) -> None:
    entries(session, [4000, 3999, 3998, 1])
    session.execute(update(ENTRIES).where(ENTRIES.c.seq == 2).values(about="lead 2"))
    session.commit()
    made = run(session, runner)
    assert made.failed_items and "altered" not in (made.error or "")
    session.expire_all()
    assert 2 in session.scalars(select(AuditEntry.seq)).all()
    assert (2, "altered") in verify(session)


def test_after_a_key_was_replaced_the_beginning_is_still_proved(session: Session, runner: Runner, engine: Any) -> None:
    from app.lib.field_encryption import Vault

    entries(session, [4000, 3999, 100])
    run(session, runner)
    vault = Vault(b"v" * 32)
    audit_keys.set_keys(engine, AuditKeys(b"n" * 32, [b"k" * 32], vault))
    session.expire_all()
    assert audit_chain.replace_key(session, vault)
    session.commit()
    entries(session, [0])
    audit_keys.set_keys(engine, AuditKeys(b"n" * 32, [], vault))
    assert verify(session) == []


def test_the_oldest_recording_is_named(session: Session) -> None:
    (kind,) = [each for each in KINDS if each.name == "recordings of calls"]
    add(session, kind.stores[0], NOW - timedelta(days=90), STAYS[kind.name])
    add(session, kind.stores[0], NOW - timedelta(days=30), OLD_ENOUGH[kind.name])
    assert retention.oldest(session)[kind.name] == NOW - timedelta(days=30)
