"""Erasing a person: what goes and stays, in chunks that can be cut off, and what is erased when a duty has ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import session_hooks
from app.domain import customers, legal_holds, timeline
from app.domain.audit_log import audit_chain, audit_keys
from app.domain.audit_log.audit_keys import AuditKeys
from app.domain.base import Conflict, RuleBroken, Stamp
from app.domain.change_context import ChangeContext
from app.domain.customer_rights import ALL_RIGHTS
from app.domain.erasure import erasing, erasure_list
from app.domain.erasure.erasing import CHUNK, SETTLES_AFTER, Confirmation
from app.domain.legal_holds import HoldInput
from app.domain.messaging import consents, messages
from app.domain.telephony import calls
from app.lib.field_encryption import Vault
from app.models import (
    Activity,
    Attachment,
    AuditEntry,
    CallLog,
    CallRecording,
    Complaint,
    ComplaintCategory,
    Consent,
    Customer,
    CustomerAccount,
    CustomerKey,
    DataErasure,
    DataRequest,
    DoNotDisturb,
    Message,
    NoteText,
    Notification,
)
from app.ops.storage.erasure_list_file import ErasureListFile
from tests import factories
from tests.factories import NOW

NUMBER = "+919820012345"
#: What must be found nowhere afterwards.
SECRETS = ("Ravi", "Kumar", "98200 12345", "9820012345", "ravi@example.in", "Likes options", "Carter Road")
SMS = {"channel": "sms", "purpose": "service", "peer": "9820012345"}
LATER = NOW + SETTLES_AFTER


@pytest.fixture
def session() -> Iterator[Session]:
    session_hooks.install()
    engine = factories.database()
    audit_keys.set_keys(engine, AuditKeys(b"k" * 32, vault=Vault(b"k" * 32)))
    with factories.opened(engine) as session:
        yield session
    engine.dispose()


@pytest.fixture
def rhea(session: Session) -> Any:
    return factories.user(session, "rhea")


@pytest.fixture
def ravi(session: Session, rhea: Any) -> Customer:
    """A customer without an account."""
    context = ChangeContext(rhea.id, NOW, vault=Vault(b"k" * 32), customer_rights=ALL_RIGHTS)
    values: dict[str, Any] = {
        "first_name": "Ravi",
        "last_name": "Kumar",
        "mobile": "98200 12345",
        "email": "ravi@example.in",
    }
    values |= {"pan": "ABCDE1234F", "address": "Carter Road", "no_sms": True}
    return customers.create(session, values, context)


def requested(session: Session, about: Any, **more: Any) -> DataRequest:
    column = "customer_id" if isinstance(about, Customer) else "lead_id"
    row = DataRequest(person="Ravi Kumar", kind="erasure", identity_how="PAN", **{column: about.id}, **more)
    row.received_on = row.due_on = row.identity_checked_on = NOW.date()
    row.stamp(Stamp(None, NOW))
    row.state = row.state or "open"
    session.add(row)
    session.flush()
    return row


def begun(session: Session, request: DataRequest, **more: Any) -> DataErasure:
    confirmed = Confirmation(erasing.number_of(request).lower(), **more)
    made = erasing.begin(session, request, confirmed, Stamp(None, NOW))
    session.commit()
    return made


def work(session: Session, at: datetime = LATER, most: int = 1000) -> int:
    """Steps until nothing is due; returns how many."""
    for n in range(most):
        found = erasing.due(session, at, 10)
        if not found:
            return n
        for key in found:
            erasing.step(session, key, at)
            session.commit()
    return most


def dump(session: Session, *without: str) -> str:
    """All that the database holds, as a text."""
    tables = [table for table in DataErasure.metadata.sorted_tables if table.name not in without]
    return "\n".join(f"{table.name} {dict(row._mapping)}" for table in tables for row in session.execute(select(table)))


def counted(session: Session) -> list[int | None]:
    """How many calls, messages and entries of timelines there are."""
    return [session.scalar(select(func.count()).select_from(record)) for record in (CallLog, Message, Activity)]


def fill(session: Session, ravi: Customer, rhea: Any) -> None:
    """What there is of a person."""
    stamp = Stamp(rhea.id, NOW)
    lead = factories.lead(session, rhea, customer_id=ravi.id, description="Likes options")
    ticket = factories.ticket(session, rhea, customer_id=ravi.id, summary="Ravi Kumar calls", description="Carter Road")
    task = factories.task(session, lead, rhea, title="Call Ravi on 98200 12345")
    timeline.write_line(session, lead, "note", stamp, text="Ravi Likes options")
    timeline.write(session, ravi, "field_change", stamp, changes=[["address", "Carter Road", "Hill Road"]])
    given = {"direction": "Outgoing", "status": "Completed", "to_number": "9820012345", "duration_seconds": 60}
    calls.create(session, {**given, "started_on": NOW, "lead_id": lead.id, "outcome": "Likes options"}, stamp)
    calls.create(session, {**given, "started_on": NOW}, stamp)
    for about in ({"ticket_id": ticket.id}, {}):
        messages.enqueue(
            session, {"channel": "sms", "purpose": "service", "peer": "9820012345", "body": "Dear Ravi", **about}, stamp
        )
    file = Attachment(name="Ravi.pdf", mime_type="application/pdf", size=9, digest="d" * 64, series="1", number=1)
    file.task_id, file.scan = task.id, "off"
    file.stamp(stamp)
    notice = Notification(
        event_key="x", kind="task", user_id=rhea.id, at=NOW, lead_id=lead.id, payload={"text": "Ravi"}
    )
    dnd = DoNotDisturb(number=NUMBER, preference="blocked", checked_on=NOW, how="scrub file")
    dnd.stamp(stamp)
    session.add_all([file, notice, dnd])
    said = {"channel": "whatsapp", "address": NUMBER, "action": "withdrawn", "how": "call", "words": "Ravi says no"}
    consents.record(session, {**said, "customer_id": ravi.id}, stamp)
    session.commit()


def test_all_of_a_person_goes_and_rows_and_opt_outs_stay(session: Session, ravi: Customer, rhea: Any) -> None:
    fill(session, ravi, rhea)
    request, version = requested(session, ravi), ravi.version
    planned = erasing.plan(session, request, None, NOW)
    assert planned.goes["calls"] == 2 and planned.goes["messages"] == 2 and planned.goes["files"] == 1
    assert [(each["kind"], each["duty"]) for each in planned.stays] == [("requests", "proof")]
    before = counted(session)
    made = begun(session, request)
    assert work(session) > len(planned.goes)
    assert made.state == "waiting" and {kind: made.counts[kind] for kind in planned.goes} == planned.goes
    held = dump(session, "data_request", "audit_entry")
    assert [secret for secret in SECRETS if secret in held] == []
    assert counted(session) == before and not session.scalars(select(Attachment)).all()
    session.refresh(ravi)
    assert (ravi.last_name, ravi.pan_blind, ravi.mobile_e164) == ("Erased by request DR-1", None, None)
    assert ravi.version > version and not session.scalars(select(CustomerKey)).all()
    assert {each.body for each in session.scalars(select(NoteText))} == {"Erased by request DR-1"}
    assert {each.state for each in session.scalars(select(Message))} == {"canceled"}
    assert consents.latest(session, "whatsapp", NUMBER).action == "withdrawn"  # type: ignore[union-attr]
    assert consents.latest(session, "sms", NUMBER).action == "withdrawn"  # type: ignore[union-attr]  # was a flag
    assert consents.is_blocked(session, NUMBER, LATER, 30) and not consents.is_blocked(
        session, "+919820012346", NOW, 30
    )
    assert consents.refusals(session, "sms", {NUMBER: None}, NOW)[NUMBER][0] == "opted_out"
    assert customers.find_by_mobile(session, NUMBER) is None
    entries = session.scalars(select(AuditEntry).where(AuditEntry.about == f"data request {request.id}")).all()
    assert entries[-1].payload["rows"] == made.counts
    assert not any(secret in json.dumps([each.payload for each in entries]) for secret in SECRETS)
    assert audit_chain.verify(session).broken == 0


def test_the_request_goes_when_its_days_are_over(session: Session, ravi: Customer) -> None:
    made = begun(session, requested(session, ravi))
    work(session)
    assert made.next_on is not None and made.next_on > NOW + timedelta(days=1095)
    assert work(session, made.next_on) and made.state == "done"
    assert "Kumar" not in dump(session)


def test_a_kill_in_the_middle_and_two_at_once_erase_everything_once(
    session: Session, ravi: Customer, rhea: Any
) -> None:
    stamp = Stamp(rhea.id, NOW)
    for n in range(CHUNK + 5):
        timeline.write(session, ravi, "call", stamp, text=f"Call {n} with Ravi")
    made = begun(session, requested(session, ravi))
    while not made.counts.get("timeline"):
        erasing.step(session, made.id, NOW)
        session.commit()
    erasing.step(session, made.id, NOW)
    session.rollback()  # killed before its commit
    session.refresh(made)
    assert made.counts["timeline"] == CHUNK
    timeline.write(session, ravi, "call", stamp, text="Ravi calls meanwhile")
    session.commit()
    work(session, NOW)
    assert made.state == "running", "whoever was saving may not have finished"
    work(session)
    session.refresh(made)
    assert made.counts["timeline"] == CHUNK + 7 and "Ravi" not in dump(session, "data_request")
    again = erasing.begin(session, requested(session, ravi), Confirmation("DR-2"), Stamp(rhea.id, LATER))
    session.commit()
    assert (made.state, made.active_number, again.active_number) == ("done", None, ravi.number)
    with pytest.raises(Conflict):
        erasing.begin(session, requested(session, ravi), Confirmation("DR-3"), stamp)
    session.rollback()
    assert work(session, LATER + SETTLES_AFTER) < 10 and again.state == "waiting"


def test_a_customer_with_an_account_is_kept_until_years_after_its_end(
    session: Session, ravi: Customer, rhea: Any
) -> None:
    account = CustomerAccount(customer_id=ravi.id, client_id="AB1234")
    account.stamp(Stamp(None, NOW))
    session.add(account)
    timeline.write_line(session, ravi, "note", Stamp(rhea.id, NOW), text="Likes options")
    made = begun(session, requested(session, ravi))
    work(session)
    assert ("contact", "customer", None) in {(each["kind"], each["duty"], each["until"]) for each in made.kept}
    session.refresh(ravi)
    assert ravi.first_name == "Ravi" and "Likes options" not in dump(session)
    timeline.write_line(session, ravi, "note", Stamp(rhea.id, LATER), text="Sent the form")
    session.commit()
    work(session, LATER + timedelta(days=2))
    assert "Sent the form" in dump(session), "they are a customer still"
    made.accounts_ended_on = NOW.date()
    session.commit()
    work(session, LATER + timedelta(days=4))
    kept = next(each for each in made.kept if each["kind"] == "contact")
    assert kept["until"] == f"{NOW.date() + timedelta(days=1826)}"
    work(session, NOW + timedelta(days=1828))
    held = dump(session)
    assert [each for each in (*SECRETS, "AB1234", "Sent the form") if each in held] == []
    assert made.state == "done"


def test_complaints_and_orders_stay_as_long_as_they_have_to(session: Session, ravi: Customer, rhea: Any) -> None:
    stamp = Stamp(rhea.id, NOW)
    ticket = factories.ticket(session, rhea, customer_id=ravi.id, summary="Shares of Ravi", resolved_on=NOW)
    messages.enqueue(
        session,
        {"channel": "sms", "purpose": "service", "peer": NUMBER, "body": "To Ravi", "ticket_id": ticket.id},
        stamp,
    )
    category = session.scalars(select(ComplaintCategory)).first() or ComplaintCategory(label="Demat", position=1)
    session.add(category)
    session.flush()
    complaint = Complaint(number="C-1", ticket_id=ticket.id, title="Shares of Ravi", source="Investor")
    complaint.category_id, complaint.received_on, complaint.disposed_on = category.id, NOW.date(), NOW.date()
    complaint.acknowledge_due_on = complaint.report_due_on = NOW.date()
    complaint.stamp(stamp)
    given = {"direction": "Incoming", "status": "Completed", "from_number": NUMBER, "duration_seconds": 60}
    call = calls.create(session, {**given, "started_on": NOW, "customer_id": ravi.id}, stamp)
    call.is_order = True
    recording = CallRecording(call_id=call.id, address="x", address_hash="x", state="sent", tries=1, digest="e" * 64)
    recording.stamp(stamp)
    session.add_all([complaint, recording])
    session.commit()
    made = begun(session, requested(session, ravi))
    work(session)
    kept = {(each["kind"], each["duty"]): each["until"] for each in made.kept}
    assert kept["tickets", "complaint"] == kept["messages", "complaint"] == f"{NOW.date() + timedelta(days=1826)}"
    assert kept["calls", "order"] == kept["recordings", "order"] == f"{NOW.date() + timedelta(days=1096)}"
    work(session, NOW + timedelta(days=1098))
    assert not session.scalars(select(CallRecording)).all() and "To Ravi" in dump(session)
    work(session, NOW + timedelta(days=1828))
    assert made.state == "done" and "Ravi" not in dump(session)


def test_a_hold_refuses_it_and_one_that_comes_later_halts_it(session: Session, ravi: Customer, rhea: Any) -> None:
    stamp, request = Stamp(rhea.id, NOW), requested(session, ravi)
    ticket = factories.ticket(session, rhea, customer_id=ravi.id)
    hold = legal_holds.place(session, ticket, HoldInput("SCORES 2026/77", None, NOW.date()), stamp)
    session.commit()
    assert erasing.plan(session, request, None, NOW).is_held
    with pytest.raises(RuleBroken, match="legal hold"):
        begun(session, request)
    session.rollback()
    legal_holds.release(session, hold, "settled", stamp, ticket.number)
    made = begun(session, request)
    legal_holds.place(session, ravi, HoldInput("Police", None, NOW.date()), stamp)
    session.commit()
    work(session)
    session.refresh(ravi)
    assert ravi.first_name == "Ravi" and made.next_on == LATER + timedelta(days=1)


def test_a_lead_that_is_no_customer_is_erased_by_itself(session: Session, rhea: Any) -> None:
    lead = factories.lead(session, rhea, first_name="Ravi", mobile="98200 12345", mobile_e164=NUMBER)
    other = factories.lead(session, rhea, first_name="Meera", mobile_e164=NUMBER)
    made = begun(session, requested(session, lead))
    work(session)
    session.refresh(lead)
    assert (lead.first_name, lead.last_name, lead.mobile) == (None, "Erased by request DR-1", None)
    assert other.first_name == "Meera" and made.counts["leads"] == 1


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"kind": "access"}, "Only a request for erasure"),
        ({"state": "refused"}, "refused or withdrawn"),
        ({"identity_checked_on": None}, "check the person"),
        ({"customer_id": None}, "choose the customer or lead"),
    ],
)
def test_a_request_has_to_be_ready(session: Session, ravi: Customer, values: dict[str, Any], said: str) -> None:
    request = requested(session, ravi)
    for name, value in values.items():
        setattr(request, name, value)
    with pytest.raises(RuleBroken, match=said):
        erasing.plan(session, request, None, NOW)
    with pytest.raises(RuleBroken, match=said):
        erasing.begin(session, request, Confirmation("DR-1"), Stamp(None, NOW))


def test_the_number_is_typed_again(session: Session, ravi: Customer) -> None:
    with pytest.raises(RuleBroken, match="DR-1"):
        erasing.begin(session, requested(session, ravi), Confirmation("yes"), Stamp(None, NOW))
    assert not session.scalars(select(Consent)).all()


def listed(number: str, key: int, request: str = "DR-1", at: datetime = NOW) -> dict[str, Any]:
    entry = {"number": number, "table": "customer", "id": key, "request": request, "accounts_ended_on": None}
    return entry | {"confirmed_on": at.isoformat(timespec="seconds")}


def test_an_id_that_was_given_anew_touches_nobody_elses_opt_outs(session: Session, ravi: Customer) -> None:
    request = requested(session, ravi)  # DR-1 of the restored database, and no_sms of Ravi
    assert erasure_list.begin_missing(session, [listed("CUST-2020-9", ravi.id)], NOW) == 1
    [made] = session.scalars(select(DataErasure)).all()
    assert (made.request_id, made.addresses_sealed, made.active_number) == (None, None, None)
    assert not session.scalars(select(Consent)).all()
    work(session)
    session.refresh(ravi)
    assert ravi.first_name == "Ravi" and made.state == "done"
    assert erasing.of_request(session, request) is None


def test_of_several_erasures_of_a_record_the_last_one_is_listed_and_begun_again(
    session: Session, ravi: Customer, tmp_path: Path
) -> None:
    file, later = ErasureListFile(tmp_path), NOW + timedelta(days=9)
    file.add([listed(ravi.number, ravi.id, "DR-7", later), listed(ravi.number, ravi.id)])
    assert [each["request"] for each in file.entries().values()] == ["DR-7"]
    first = begun(session, requested(session, ravi))  # the restored database knows the first one, which runs still
    assert erasure_list.compare(session, file, later) == 1 and erasure_list.compare(session, file, later) == 0
    again = session.scalars(select(DataErasure).where(DataErasure.request_number == "DR-7")).one()
    assert (first.state, again.active_number) == ("done", ravi.number)
    assert work(session, later + SETTLES_AFTER) < 20 and again.state == "waiting"
    assert len(file.path.read_text().splitlines()) == 2


def test_the_last_day_of_the_accounts_that_a_restored_database_lacks_is_taken_from_the_list(
    session: Session, ravi: Customer, tmp_path: Path
) -> None:
    account = CustomerAccount(customer_id=ravi.id, client_id="AB1234")
    account.stamp(Stamp(None, NOW))
    session.add(account)
    file, made, later = ErasureListFile(tmp_path), begun(session, requested(session, ravi)), NOW + timedelta(days=1828)
    work(session)
    file.add([listed(ravi.number, ravi.id) | {"accounts_ended_on": f"{NOW.date()}"}])
    assert [erasure_list.compare(session, file, later) for _ in range(2)] == [0, 0]
    assert (made.accounts_ended_on, made.next_on, len(file.path.read_text().splitlines())) == (NOW.date(), later, 1)
    session.commit()
    assert work(session, later) and made.state == "done" and "Kumar" not in dump(session)
    made.accounts_ended_on = None
    assert [erasure_list.compare(session, file, later) for _ in range(2)] == [0, 0]
    assert len(file.path.read_text().splitlines()) == 1
