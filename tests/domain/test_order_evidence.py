"""Orders by telephone: what counts as evidence, who is told of orders without it, and how long they are kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app import access
from app.domain import data_requests
from app.domain.automation import order_notices
from app.domain.base import RuleBroken, Stamp
from app.domain.files import export_and_import_runs
from app.domain.files.export_and_import_runs import NewExport
from app.domain.maintenance import order_retention, retention
from app.domain.maintenance.retention_kinds import ORDERS
from app.domain.telephony import calls, order_evidence, recordings
from app.models import Attachment, CallLog, CallRecording, DataRequest, Message, ModulePermission, Notification, Role
from tests import factories
from tests.factories import NOW

ZONE = "Asia/Kolkata"
DAY = timedelta(days=1)
YEARS = timedelta(days=11 * 366)


@pytest.fixture
def ana(session: Session) -> Any:
    mia = factories.user(session, "mia", "Sales Manager")
    return factories.user(session, "ana", "Sales User", manager_id=mia.id)


@pytest.fixture
def lead(session: Session, ana: Any) -> Any:
    return factories.lead(session, ana)


def order(session: Session, ana: Any, ago: timedelta = DAY, **more: Any) -> CallLog:
    given = {"direction": "Incoming", "status": "Completed", "from_number": "9820012345", "is_order": True}
    return calls.create(session, given | {"started_on": NOW - ago} | more, Stamp(ana.id, NOW))


def record(session: Session, call: CallLog, state: str = "sent", ago: timedelta = DAY) -> None:
    recordings.report_recording(session, call, "https://voice.example.in/1", NOW - ago)
    values = {"state": state, "digest": "a" * 64, "created_on": NOW - ago}
    session.execute(update(CallRecording).where(CallRecording.call_id == call.id).values(values))


def file_of(session: Session, **about: Any) -> Attachment:
    row = Attachment(name="order.pdf", mime_type="application/pdf", size=3, digest="b" * 64, series="s", number=1)
    row.scan = "off"
    for name, value in about.items():
        setattr(row, name, value)
    row.stamp(Stamp(None, NOW))
    session.add(row)
    session.flush()
    return row


def message_of(session: Session, **about: Any) -> Message:
    row = Message(channel="email", direction="in", peer="ravi@example.com", body="Buy 10 INFY", state="received")
    for name, value in about.items():
        setattr(row, name, value)
    row.stamp(Stamp(None, NOW))
    session.add(row)
    session.flush()
    return row


def lacking(session: Session) -> list[int]:
    return list(session.scalars(select(CallLog.id).where(*order_evidence.without_evidence())))


@pytest.mark.parametrize("state", ["queued", "failed", "sent"])
def test_only_a_recording_that_is_stored_is_evidence(session: Session, ana: Any, state: str) -> None:
    call = order(session, ana)
    order(session, ana, is_order=False)
    record(session, call, state)
    assert lacking(session) == ([] if state == "sent" else [call.id])


def test_a_file_is_evidence_until_it_is_in_the_trash(session: Session, ana: Any, lead: Any) -> None:
    call, file = order(session, ana, lead_id=lead.id), file_of(session, lead_id=lead.id)
    for _twice in range(2):
        order_evidence.link(session, call, file, Stamp(ana.id, NOW))
    assert lacking(session) == [] and len(order_evidence.of_call(session, call.id)) == 1
    file.deleted_on = NOW
    session.flush()
    assert lacking(session) == [call.id]


def test_a_message_of_the_same_lead_is_evidence_and_no_other(session: Session, ana: Any, lead: Any) -> None:
    call, stamp = order(session, ana, lead_id=lead.id), Stamp(ana.id, NOW)
    with pytest.raises(RuleBroken, match="own lead, ticket or customer"):
        order_evidence.link(session, call, message_of(session, lead_id=factories.lead(session).id), stamp)
    with pytest.raises(RuleBroken, match="own lead, ticket or customer"):
        order_evidence.link(session, call, message_of(session), stamp)
    with pytest.raises(RuleBroken, match="isn't marked"):
        other = order(session, ana, lead_id=lead.id, is_order=False)
        order_evidence.link(session, other, message_of(session, lead_id=lead.id), stamp)
    order_evidence.link(session, call, message_of(session, lead_id=lead.id), stamp)
    assert lacking(session) == []


def test_there_is_a_most_of_evidence(session: Session, ana: Any, lead: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_evidence, "MAX_PER_CALL", 1)
    call = order(session, ana, lead_id=lead.id)
    order_evidence.link(session, call, message_of(session, lead_id=lead.id), Stamp(ana.id, NOW))
    with pytest.raises(RuleBroken, match="as much evidence"):
        order_evidence.link(session, call, message_of(session, lead_id=lead.id), Stamp(ana.id, NOW))


# --- who is told


def told(session: Session, later: timedelta = timedelta()) -> list[tuple[int, int]]:
    """(user, orders) of the new notices, as the job writes them."""
    before = session.scalar(select(func.max(Notification.id))) or 0
    for notice in order_notices.due_notices(session, NOW + later, ZONE):
        order_notices.notify(session, notice, NOW + later)
    rows = session.scalars(select(Notification).where(Notification.id > before).order_by(Notification.user_id))
    return [(row.user_id, row.payload["orders"]) for row in rows]


def test_managers_and_compliance_are_told_once_a_day(session: Session, ana: Any) -> None:
    role = Role(name="Auditors")
    session.add(role)
    session.flush()
    rhea = factories.user(session, "rhea", "Auditors")
    session.add(ModulePermission(role_id=role.id, module="Call Logs", verb="recordings", level="all"))
    assert told(session) == []
    order(session, ana), order(session, rhea)
    order(session, ana, timedelta(minutes=1))
    assert told(session) == [(ana.manager_id, 1), (rhea.id, 2)]
    assert told(session) == [] and told(session, timedelta(minutes=5)) == []
    assert told(session, DAY) == [(ana.manager_id, 2), (rhea.id, 3)], "the next day, with the order of today"


# --- how long they are kept


def test_an_order_cannot_be_deleted_before_its_recording_may_go(session: Session, ana: Any) -> None:
    young, old = order(session, ana), order(session, ana, YEARS)
    plain = order(session, ana, is_order=False)
    retention.set_days(session, {ORDERS: 1096}, Stamp(None, NOW))
    order_retention.refuse_orders(session, [old, plain], NOW)
    with pytest.raises(RuleBroken, match="kept with its recording for 1096 days"):
        order_retention.refuse_orders(session, [young], NOW)
    young.is_order = False
    with pytest.raises(RuleBroken):
        order_retention.refuse_orders(session, [young], NOW)


def test_recordings_of_orders_stay_while_a_ticket_is_open(session: Session, ana: Any) -> None:
    _recordings_stay_while_a_ticket_is_open(session, ana)


def test_mariadb_keeps_and_deletes_the_same_and_one_of_two_gets_a_copy(picklists_url: str) -> None:
    engine = factories.connected(picklists_url)
    with factories.opened(engine) as session:
        ana = factories.user(session, "ana", "Sales User")
        _recordings_stay_while_a_ticket_is_open(session, ana)
        call = order(session, ana)
        assert call.id in lacking(session)
        key = _request_with_copy(session)
        with ThreadPoolExecutor(2) as pool:
            taken = list(pool.map(lambda _n: _takes_copy(engine, key), range(2)))
    assert sorted(taken) == [False, True]
    engine.dispose()


def _request_with_copy(session: Session) -> int:
    row = DataRequest(person="Meera", kind="access", received_on=NOW.date(), due_on=NOW.date(), state="open")
    row.stamp(Stamp(None, NOW))
    session.add(row)
    run = export_and_import_runs.new_export(session, NewExport("person", "zip", {}), Stamp(None, NOW))
    session.flush()
    data_requests.note_copy(session, row, run.id, Stamp(None, NOW))
    session.commit()
    return row.id


def _takes_copy(engine: Any, key: int) -> bool:
    with Session(engine) as session, access.as_system(session):
        row = session.get_one(DataRequest, key)
        taken = data_requests.take_copy(session, row, Stamp(None, NOW))
        session.commit()
        return taken


def _recordings_stay_while_a_ticket_is_open(session: Session, ana: Any) -> None:
    person = factories.double(session)
    disputed = order(session, ana, YEARS, customer_id=person.id)
    own_ticket = factories.ticket(session, ana)
    of_ticket = order(session, ana, YEARS, ticket_id=own_ticket.id)
    free, plain = order(session, ana, YEARS), order(session, ana, YEARS, is_order=False)
    ticket = factories.ticket(session, ana, customer_id=person.id)
    for call in (disputed, of_ticket, free, plain):
        record(session, call, ago=YEARS)
    days = {ORDERS: 2000, "recordings of calls": 1096}
    retention.set_days(session, days, Stamp(None, NOW))
    assert {name: retention.count(session, NOW)[name] for name in days} == {ORDERS: 1, "recordings of calls": 1}
    _forget(session)
    assert set(session.scalars(select(CallRecording.call_id))) == {disputed.id, of_ticket.id}
    ticket.resolved_on = own_ticket.resolved_on = NOW
    session.flush()
    _forget(session)
    assert not session.scalar(select(func.count(CallRecording.id)))
    with pytest.raises(RuleBroken):
        retention.set_days(session, {ORDERS: 1095}, Stamp(None, NOW))


def _forget(session: Session) -> None:
    found = retention.find(session, NOW, 500)
    retention.forget(session, [row for row in found.rows if "recordings" in row.kind], NOW)
