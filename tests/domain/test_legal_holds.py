"""Legal holds: held data is never deleted, by hand, by retention, from the trash or by a merge, until the hold ends."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import count
from typing import Any

import pytest
from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.orm import Session

from app import session_hooks
from app.domain import lead_conversion, legal_holds, timeline
from app.domain.audit_log import audit_keys
from app.domain.audit_log.audit_keys import AuditKeys
from app.domain.base import Conflict, RuleBroken, Stamp
from app.domain.change_context import ChangeContext
from app.domain.legal_holds import HoldInput
from app.domain.maintenance import retention
from app.domain.merging import merge_undo, record_merge
from app.domain.persistence import file_references, history_rows
from app.domain.telephony import calls, recordings
from app.domain.telephony.recordings import CallRecording
from app.models import Activity, Attachment, AuditEntry, CallLog, Customer, Lead, LeadStatus, LegalHold, MergedRecord
from tests import factories
from tests.factories import NOW

TODAY = NOW.date()
YEARS = timedelta(days=4000)
_serial = count(1)


@pytest.fixture
def session() -> Iterator[Session]:
    session_hooks.install()
    engine = factories.database()
    audit_keys.set_keys(engine, AuditKeys(b"k" * 32))
    with factories.opened(engine) as session:
        yield session
    engine.dispose()


@pytest.fixture
def stamp(session: Session) -> Stamp:
    return Stamp(factories.user(session, "rhea").id, NOW)


def hold(session: Session, record: Any, stamp: Stamp, until: date | None = None) -> LegalHold:
    return legal_holds.place(session, record, HoldInput("SCORES 2026/77", until, TODAY), stamp)


def customer(session: Session) -> Customer:
    row = Customer(number=f"CRM-CUST-2026-{session.scalar(select(func.count(Customer.id))):05d}", first_name="Asha")
    row.stamp(Stamp(None, NOW))
    session.add(row)
    session.flush()
    return row


def file_of(session: Session, **about: Any) -> Attachment:
    row = Attachment(
        name="pan.pdf", mime_type="application/pdf", size=1, digest="d" * 64, number=1, scan="off", **about
    )
    row.series = f"{next(_serial)}"
    row.stamp(Stamp(None, NOW - YEARS))
    row.deleted_on = NOW - YEARS
    session.add(row)
    session.flush()
    return row


def refuses(session: Session, row: Any) -> bool:
    """Whether the row can't be deleted."""
    try:
        with session.begin_nested():
            session.delete(row)
            session.flush()
            raise LookupError
    except RuleBroken as broken:
        assert "under a legal hold" in broken.message
        return True
    except LookupError:
        return False


def test_what_belongs_to_a_held_record_cannot_be_deleted(session: Session, stamp: Stamp) -> None:
    person = customer(session)
    lead, other = factories.lead(session, customer_id=person.id), factories.lead(session)
    ticket = factories.ticket(session, customer_id=person.id)
    task = factories.task(session, ticket)
    held = hold(session, person, stamp)
    for row in (person, lead, ticket, task, file_of(session, lead_id=lead.id), file_of(session, task_id=task.id)):
        assert refuses(session, row), row
    assert not refuses(session, other)
    legal_holds.release(session, held, "settled", stamp, person.number)
    assert not refuses(session, ticket) and not refuses(session, task)
    hold(session, lead, stamp)
    assert refuses(session, lead) and refuses(session, person), "a part of the customer is held by itself"
    assert not refuses(session, ticket)
    events = [(row.payload["what"], row.about) for row in _audited(session)]
    assert events == [
        ("placed", f"customer {person.number}"),
        ("released", person.number),
        ("placed", f"leads {lead.number}"),
    ]


def _audited(session: Session) -> list[AuditEntry]:
    session.commit()
    return list(session.scalars(select(AuditEntry).where(AuditEntry.event == "legal hold").order_by(AuditEntry.seq)))


def test_a_hold_ends_with_its_last_day(session: Session, stamp: Stamp) -> None:
    lead = factories.lead(session)
    hold(session, lead, stamp, TODAY)
    assert legal_holds.ids_on_hold(session, NOW).covers(lead)
    assert legal_holds.ids_on_hold(session, NOW + timedelta(hours=12)).covers(lead), "the day is not over everywhere"
    assert not legal_holds.ids_on_hold(session, NOW + timedelta(days=2))
    with pytest.raises(RuleBroken, match="not over"):
        hold(session, lead, stamp, TODAY - timedelta(days=1))
    with pytest.raises(RuleBroken, match="say why"):
        legal_holds.place(session, lead, HoldInput(" ", None, TODAY), stamp)
    with pytest.raises(RuleBroken, match="at most 500"):
        legal_holds.place(session, lead, HoldInput("x" * 501, None, TODAY), stamp)
    held = hold(session, lead, stamp)
    legal_holds.release(session, held, "over", stamp, lead.number)
    with pytest.raises(Conflict):
        legal_holds.release(session, held, "over", stamp, lead.number)


def test_what_is_held_stays_however_old_it_is_and_goes_afterwards(session: Session, stamp: Stamp) -> None:
    """Timelines, the trash, files by age, and all of the audit; what would go is told beside what is held."""
    mine, other = factories.lead(session), factories.lead(session)
    for lead in (mine, other):
        timeline.write(session, lead, "system", Stamp(None, NOW - YEARS), event="created")
        file_of(session, lead_id=lead.id)
    held = hold(session, mine, stamp)
    session.execute(update(Activity).values(at=NOW - YEARS))
    session.commit()
    session.execute(update(AuditEntry).values(at=NOW - YEARS))
    open_rows, old = retention.count(session, NOW), retention.count(session, NOW, with_held=True)
    for kind, counted in (("timeline of leads", (1, 2)), ("deleted files", (1, 2)), ("audit", (0, 1))):
        assert (open_rows[kind], min(old[kind], counted[1])) == counted, kind
    _forget(session)
    assert {row.lead_id for row in session.scalars(select(Attachment))} == {mine.id}
    assert {row.lead_id for row in session.scalars(select(Activity).where(Activity.kind == "system"))} == {mine.id}
    assert session.scalar(select(func.count(AuditEntry.id)))
    # A hold that comes after the rows were found
    legal_holds.release(session, held, "settled", stamp, mine.number)
    found = retention.find(session, NOW, 500)
    again = hold(session, mine, stamp)
    retention.forget(session, found.rows, NOW)
    assert {row.lead_id for row in session.scalars(select(Attachment))} == {mine.id}
    legal_holds.release(session, again, "settled", stamp, mine.number)
    _forget(session)
    assert session.scalar(select(func.count(Attachment.id))) == 0
    assert session.scalar(select(func.count(Activity.id)).where(Activity.kind == "system")) == 0


@pytest.mark.parametrize("by", ["lead", "customer"])
def test_recordings_of_held_calls_stay_and_others_go_with_their_files(session: Session, stamp: Stamp, by: str) -> None:
    """Only once an admin has chosen fewer days than for ever, and at least three years."""
    person = customer(session)
    lead = factories.lead(session, customer_id=person.id)
    held_call, other = (_recorded(session, {"lead_id": key}) for key in (lead.id, factories.lead(session).id))
    assert retention.count(session, NOW)["recordings of calls"] == 0
    with pytest.raises(RuleBroken):
        retention.set_days(session, {"recordings of calls": 1095}, stamp)
    retention.set_days(session, {"recordings of calls": 1096}, stamp)
    held = hold(session, lead if by == "lead" else person, stamp)
    counted = [retention.count(session, NOW, each)["recordings of calls"] for each in (False, True)]
    _forget(session)
    assert (counted, list(session.scalars(select(CallRecording.call_id)))) == ([1, 2], [held_call.id])
    assert file_references.referenced(session, ["a" * 63 + str(other.id)]) == set()
    legal_holds.release(session, held, "settled", stamp, lead.number)
    _forget(session)
    assert session.scalar(select(func.count(CallRecording.id))) == 0
    assert session.scalar(select(func.count(CallLog.id))) == 2


def _recorded(session: Session, about: dict[str, int]) -> CallLog:
    """A call with a recording of eleven years ago."""
    known = {"direction": "Incoming", "status": "Completed", "from_number": "9820012345", "started_on": NOW - YEARS}
    call = calls.create(session, known | about, Stamp(None, NOW))
    recordings.report_recording(session, call, "https://voice.example.in/1", NOW - YEARS)
    stored = {"state": "sent", "digest": "a" * 63 + str(call.id)}
    session.execute(update(CallRecording).where(CallRecording.call_id == call.id).values(stored))
    return call


def _forget(session: Session) -> None:
    found = retention.find(session, NOW, 500)
    retention.forget(session, [row for row in found.rows if row.kind != "audit"], NOW)
    retention.close(session, found.ends, NOW)
    session.expire_all()


def test_a_merge_takes_the_hold_along_and_can_be_undone_as_long_as_it_stands(session: Session, stamp: Stamp) -> None:
    kept, gone = factories.lead(session, first_name="A"), factories.lead(session, first_name="A")
    held = hold(session, gone, stamp)
    call = CallLog(direction="Outgoing", status="Completed", started_on=NOW, medium="manual", lead_id=gone.id)
    call.stamp(stamp)
    session.add(call)
    session.flush()
    wish = record_merge.MergeRequest(type(kept), (kept.id, gone.id))
    record_merge.merge(session, wish, ChangeContext(stamp.by, NOW))
    session.expire_all()
    assert held.lead_id == kept.id and refuses(session, kept) and refuses(session, call)
    later = NOW + timedelta(days=60)
    assert merge_undo.forget_old(session, later, 10) == 0
    legal_holds.release(session, held, "settled", stamp, kept.number)
    assert merge_undo.forget_old(session, later, 10) == 1
    assert all(row.row is None for row in session.scalars(select(MergedRecord)))


def test_statements_without_objects_take_nothing_out_of_a_hold(session: Session, stamp: Stamp) -> None:
    person, other = customer(session), customer(session)
    lead, free = factories.lead(session, customer_id=other.id), factories.lead(session)
    call = CallLog(direction="Outgoing", status="Completed", started_on=NOW, medium="manual", lead_id=lead.id)
    call.customer_id = person.id
    call.stamp(stamp)
    session.add(call)
    session.flush()
    hold(session, person, stamp)
    for step in (
        update(CallLog).where(CallLog.lead_id == lead.id).values(customer_id=other.id),
        update(CallLog).values(customer_id=None),
        delete(CallLog),
        delete(Customer).where(Customer.id == person.id),
    ):
        with pytest.raises(RuleBroken, match="under a legal hold"):
            session.execute(step, execution_options={"synchronize_session": False})
    for step in (
        update(CallLog).values(customer_id=person.id),
        update(CallLog).values(lead_id=free.id),
        update(CallLog).values(medium="manual"),
        delete(CallLog).where(CallLog.customer_id == other.id),
    ):
        session.execute(step, execution_options={"synchronize_session": False})
    lead.status_id = session.scalars(select(LeadStatus.id).where(LeadStatus.meaning == "activated")).one()
    session.expire(call)
    call.lead_id = lead.id
    session.flush()
    session.expire(lead)
    with pytest.raises(RuleBroken, match="can't be taken away"):
        lead_conversion.convert(session, lead, ChangeContext(stamp.by, NOW))


def test_a_row_leaves_what_is_held_by_no_way_of_writing_it(session: Session, stamp: Stamp) -> None:
    person, other = customer(session), customer(session)
    lead, free = factories.lead(session, customer_id=person.id), factories.lead(session)
    about = factories.task(session, lead)
    call = CallLog(direction="Outgoing", status="Completed", started_on=NOW, medium="manual", lead_id=lead.id)
    call.stamp(stamp)
    session.add(call)
    hold(session, person, stamp)
    session.commit()

    def change_unread() -> None:
        session.expire(lead)
        lead.customer_id = other.id  # set without having been read

    for change in (
        lambda: setattr(about, "lead_id", free.id),
        lambda: setattr(lead, "customer_id", other.id),
        lambda: setattr(lead, "customer", other),
        change_unread,
        lambda: session.execute(update(CallLog), [{"id": call.id, "lead_id": free.id}]),
        lambda: session.execute(
            update(Lead).where(Lead.id == bindparam("row")).values(customer_id=bindparam("new")),
            {"row": lead.id, "new": other.id},
            execution_options={"synchronize_session": False},
        ),
    ):
        with pytest.raises(RuleBroken, match="can't be taken away"), history_rows.written_together(session):
            change()
        session.rollback()
    statement = update(Lead).where(Lead.id == bindparam("row")).values(customer_id=bindparam("new"))
    for row, new in ((lead.id, person.id), (free.id, other.id)):
        session.execute(statement, {"row": row, "new": new}, execution_options={"synchronize_session": False})
    session.execute(update(CallLog), [{"id": call.id, "lead_id": lead.id}])
    lead.description = "stays where it is"
    session.flush()


def test_the_undo_of_a_merge_puts_both_under_the_hold_that_came_after_it(session: Session, stamp: Stamp) -> None:
    kept, gone = factories.lead(session, first_name="A"), factories.lead(session, first_name="A")
    key = gone.id
    before = hold(session, kept, stamp)
    made = record_merge.merge(
        session, record_merge.MergeRequest(type(kept), (kept.id, gone.id)), ChangeContext(stamp.by, NOW)
    )
    since = Stamp(stamp.by, NOW + timedelta(minutes=1))
    legal_holds.place(session, kept, HoldInput("SCORES 2026/78", None, TODAY), since)
    merge_undo.undo(session, made.id, ChangeContext(stamp.by, NOW + timedelta(minutes=2)))
    rows = session.scalars(select(LegalHold).order_by(LegalHold.id))
    found = [(row.lead_id, row.reason) for row in rows]
    assert found == [(kept.id, before.reason), (kept.id, "SCORES 2026/78"), (key, "SCORES 2026/78")]
