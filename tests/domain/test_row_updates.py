"""A changed record written by a prepared statement equals one after a flush, for the session, webhooks and lists."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import event, inspect, select, update
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from app import session_hooks
from app.domain.persistence import row_updates
from app.domain.persistence.record_change_event import ChangeEvent
from app.domain.persistence.transaction_state import transaction_state
from app.models import Lead, LeadStatus
from tests.factories import NOW, lead


@pytest.fixture(autouse=True)
def hooks() -> None:
    """A session without them writes everything by flushes."""
    session_hooks.install()


@pytest.fixture
def sent(db: Session) -> list[str]:
    """The texts that are sent from now on."""
    found: list[str] = []
    event.listen(db.get_bind(), "before_cursor_execute", lambda _c, _cursor, text, *_: found.append(text))
    return found


def stored(db: Session, key: int) -> tuple[object, ...]:
    columns = (Lead.description, Lead.status_id, Lead.status_on, Lead.version)
    return tuple(db.execute(select(*columns).where(Lead.id == key)).one())


def test_what_was_changed_is_written_once(db: Session, sent: list[str]) -> None:
    about = lead(db)
    db.commit()
    version, later = about.version, NOW + timedelta(days=3)
    other = db.scalars(select(LeadStatus).where(LeadStatus.id != about.status_id).limit(1)).one()
    sent.clear()
    about.description, about.status, about.status_on = "e\u0301", other, later
    row_updates.flush(db)
    assert [text.split()[0] for text in sent] == ["UPDATE"]
    assert not db.dirty and not inspect(about).committed_state
    assert (about.description, about.status_id, about.version) == ("é", other.id, version + 1)
    assert stored(db, about.id) == ("é", other.id, later, version + 1)
    assert transaction_state(db).change_events == {("lead", about.id): ChangeEvent(frozenset({"changed", "status"}))}
    row_updates.flush(db)
    db.flush()
    assert stored(db, about.id)[3] == version + 1


def test_a_row_that_was_changed_meanwhile_is_refused(db: Session) -> None:
    about = lead(db)
    db.flush()
    table = Lead.__table__
    db.connection().execute(update(table).where(table.c.id == about.id).values(version=about.version + 1))
    about.description = "mine"
    with pytest.raises(StaleDataError):
        row_updates.flush(db)


def test_a_rollback_takes_it_back(db: Session) -> None:
    about = lead(db)
    db.commit()
    about.description = "gone"
    row_updates.flush(db)
    db.rollback()
    assert about.description is None


def test_within_a_savepoint_the_session_can_take_it_back(db: Session) -> None:
    about = lead(db)
    db.commit()
    with db.begin_nested() as savepoint:
        about.description = "gone"
        row_updates.flush(db)
        savepoint.rollback()
    assert about.description is None
    assert stored(db, about.id)[0] is None


def test_what_is_more_than_one_record_is_flushed(db: Session) -> None:
    one, two = lead(db), lead(db)
    db.commit()
    one.description = two.description = "both"
    row_updates.flush(db)
    assert [stored(db, each.id)[0] for each in (one, two)] == ["both", "both"]
