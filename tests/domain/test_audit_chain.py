"""The chain of the audit log: every alteration is detected, and simultaneous writers don't break it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Engine, delete, insert, select, text, update
from sqlalchemy.orm import Session

from app import session_hooks
from app.domain.audit_log import audit, audit_chain, audit_keys
from app.domain.audit_log.audit_chain import ChainFault, ChainHead
from app.domain.audit_log.audit_keys import AuditKeys
from app.domain.base import RuleBroken
from app.models import AuditEntry, AuditHead, Notification
from tests import factories
from tests.factories import NOW

KEY = b"k" * 32


@pytest.fixture
def session() -> Iterator[Session]:
    """A session of the system on an empty database."""
    session_hooks.install()
    engine = factories.database()
    audit_keys.set_keys(engine, AuditKeys(KEY))
    with factories.opened(engine) as session:
        yield session
    engine.dispose()


def write(session: Session, count: int, **payload: Any) -> None:
    for number in range(count):
        audit.write(session, "reveal", None, NOW, f"lead {number}", "10.0.0.1", **payload)
    session.commit()


def faults(session: Session, *noted: ChainHead) -> list[tuple[int, str]]:
    return [(fault.seq, fault.what) for fault in audit_chain.verify(session, noted).faults]


ENTRIES, HEAD = AuditEntry.__table__, AuditHead.__table__


def entry(seq: int) -> Any:
    return ENTRIES.c.seq == seq


def test_an_untouched_chain_is_intact(session: Session) -> None:
    write(session, 3)
    write(session, 2, reason="a customer asked", ids=[1, 2])
    report = audit_chain.verify(session)
    assert (report.faults, report.head.seq, report.is_our_key) == ([], 5, True)
    assert session.scalars(select(AuditEntry.seq).order_by(AuditEntry.id)).all() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("payload", "now"),
    [
        ({"counts": {10: "ten", 9: "nine"}}, NOW),
        ({"pair": (1, 2), "none": None, "text": "नमस्ते 🙂"}, NOW),
        ({}, datetime(2026, 11, 23, 10, 0, 0, 1, tzinfo=timezone(timedelta(hours=5, minutes=30)))),
    ],
    ids=["keys that are numbers", "tuples and scripts", "another zone"],
)
def test_what_the_database_stores_differently_breaks_no_chain(session: Session, payload: Any, now: datetime) -> None:
    audit.write(session, "reveal", None, now, **payload)
    session.commit()
    session.expire_all()
    assert faults(session) == []


def _remove(session: Session) -> None:
    session.execute(delete(ENTRIES).where(entry(3)))


def _cut_tail(session: Session) -> None:
    session.execute(delete(ENTRIES).where(ENTRIES.c.seq > 4))


def _swap(session: Session) -> None:
    for old, new in ((2, 99), (3, 2), (99, 3)):
        session.execute(update(ENTRIES).where(entry(old)).values(seq=new))


def _insert(session: Session, seq: int = 7) -> None:
    columns = {"at": NOW, "event": "reveal", "payload": {}, "seq": seq, "hash": "0" * 64}
    session.execute(insert(ENTRIES).values(**columns))


def _insert_between(session: Session) -> None:
    _remove(session)
    _insert(session, 3)


def _close_the_gap(session: Session) -> None:
    session.execute(delete(ENTRIES).where(entry(3)))
    for seq in (4, 5, 6):
        session.execute(update(ENTRIES).where(entry(seq)).values(seq=seq - 1))
    session.execute(update(HEAD).values(count=5))


@pytest.mark.parametrize(
    ("alter", "found"),
    [
        *[
            (
                lambda session, change=change: session.execute(update(ENTRIES).where(entry(3)).values(change)),
                [(3, "altered")],
            )
            for change in (
                {"about": "lead 7"},
                {"event": "export"},
                {"user_id": 1},
                {"address": None},
                {"payload": {"x": 1}},
                {"at": NOW + timedelta(microseconds=1)},
            )
        ],
        (_remove, [(3, "missing"), (4, "altered")]),
        (_cut_tail, [(6, "head")]),
        (_swap, [(2, "altered"), (3, "altered"), (4, "altered")]),
        (_insert, [(7, "inserted")]),
        (_insert_between, [(3, "altered"), (4, "altered")]),
        (_close_the_gap, [(3, "altered"), (4, "altered"), (5, "altered")]),
        (lambda session: session.execute(update(HEAD).values(count=5)), [(5, "head"), (6, "inserted")]),
        (lambda session: session.execute(delete(HEAD)), [(6, "inserted")]),
        (lambda session: session.execute(delete(ENTRIES)), [(6, "head")]),
    ],
)
def test_every_alteration_is_found(session: Session, alter: Callable[[Session], Any], found: list[Any]) -> None:
    factories.user(session, "ana")
    write(session, 6)
    alter(session)
    session.commit()
    assert [fault for fault in faults(session) if fault not in found] == []
    assert faults(session) == found


def test_a_tail_that_was_cut_with_its_head_is_found_by_what_was_noted_outside(session: Session) -> None:
    write(session, 4)
    earlier = audit_chain.current_head(session)
    write(session, 2)
    noted = audit_chain.current_head(session)
    session.execute(delete(ENTRIES).where(ENTRIES.c.seq > 4))
    session.execute(update(HEAD).values(count=earlier.seq, hash=earlier.hash))
    session.commit()
    assert faults(session, earlier) == []
    assert faults(session, earlier, noted) == [(6, "record")]
    write(session, 5, reason="another")  # in the place of the cut ones
    assert faults(session, earlier, noted) == [(6, "record")]


def test_an_attacker_without_the_key_cannot_seal(session: Session) -> None:
    write(session, 3)
    engine, guessed = session.get_bind().engine, AuditKeys(b"guess" * 8)
    audit_keys.set_keys(engine, guessed)
    assert not audit_chain.verify(session).is_our_key
    with pytest.raises(RuleBroken, match="does not have the key"):
        write(session, 1)
    session.rollback()
    session.execute(update(HEAD).values(key_id=guessed.id))
    write(session, 1)
    audit_keys.set_keys(engine, AuditKeys(KEY))
    session.execute(update(HEAD).values(key_id=AuditKeys(KEY).id))
    assert faults(session) == [(4, "altered")]


def test_a_rollback_drops_the_entry_and_a_savepoint_drops_its_own(session: Session) -> None:
    audit.write(session, "reveal", None, NOW, "dropped")
    session.rollback()
    audit.write(session, "reveal", None, NOW, "kept")
    savepoint = session.begin_nested()
    audit.write(session, "reveal", None, NOW, "undone")
    savepoint.rollback()
    with session.begin_nested():
        audit.write(session, "reveal", None, NOW, "kept too")
    session.commit()
    assert session.scalars(select(AuditEntry.about).order_by(AuditEntry.seq)).all() == ["kept", "kept too"]
    assert faults(session) == []


def test_the_alarm_comes_once_a_day(session: Session) -> None:
    session.add(factories.user(session, "ada", "Admin"))
    write(session, 1)
    report = audit_chain.ChainReport(ChainHead(1, ""), [ChainFault(1, "altered", 1)], 1)
    days = (NOW, NOW + factories.HOUR, NOW + factories.DAY)
    assert [audit_chain.notify_admins(session, report, now) for now in days] == [1, 0, 1]
    assert session.scalars(select(Notification.payload)).first() == {"broken": 1, "seq": 1, "key": True}


WRITERS, EACH = 16, 8


@pytest.mark.parametrize("database", ["sqlite", "mariadb"])
def test_parallel_writers_keep_one_unbroken_chain(
    request: pytest.FixtureRequest, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    # 16 writers queue, perhaps on a busy machine.
    monkeypatch.setattr("app.ops.database.connections.SQLITE_LOCK_SECONDS", 300)
    each = EACH if database == "mariadb" else 3  # SQLite writes one at a time anyway
    session_hooks.install()
    if database == "mariadb":
        engine = factories.connected(request.getfixturevalue("picklists_url"))
    else:
        engine = factories.database(f"sqlite:///{tmp_path / 'x'}")
    with factories.opened(engine) as session:  # as the migrations leave it
        session.add(AuditHead(id=1, count=0, hash="", key_id=audit_keys.keys_of(session).id))
        session.commit()
    failed: list[BaseException] = []
    threads = [threading.Thread(target=_write_many, args=(engine, each, failed)) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with factories.opened(engine) as session:
        report = audit_chain.verify(session)
    engine.dispose()
    assert (failed, report.faults, report.head.seq) == ([], [], WRITERS * each)


def _write_many(engine: Engine, count: int, failed: list[BaseException]) -> None:
    from app.ops.database.connections import WRITES

    WRITES.set(True)
    try:
        for number in range(count):
            with factories.opened(engine) as session:
                session.execute(text("SELECT 1"))
                audit.write(session, "sign-in", None, NOW, f"writer {number}")
                session.commit()
    except BaseException as error:  # noqa: BLE001  # shown by the test
        failed.append(error)
