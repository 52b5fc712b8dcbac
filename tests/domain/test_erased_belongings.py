"""What belongs to a person who is erased: what is another's stays, and nothing brings back what is gone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import customers, lead_requirements, leads, timeline
from app.domain.base import RuleBroken, Stamp
from app.domain.change_context import ChangeContext
from app.domain.customer_rights import ALL_RIGHTS
from app.domain.erasure import duties, erasing, erasure_scope
from app.domain.erasure.erasures import is_marker
from app.domain.merging import merge_undo, record_merge
from app.domain.merging.record_merge import MergeRequest
from app.domain.messaging import messages
from app.domain.telephony import call_matching, calls
from app.lib.field_encryption import Vault
from app.models import (
    Activity,
    Attachment,
    CallLog,
    Complaint,
    ComplaintCategory,
    Customer,
    CustomerAccount,
    Message,
    MessageFile,
    Task,
    Ticket,
)
from tests import factories
from tests.domain import test_erasing as erasing_tests
from tests.domain.test_erasing import LATER, NUMBER, begun, dump, requested, work
from tests.domain.test_record_merge import merged
from tests.factories import NOW

session, rhea, ravi = erasing_tests.session, erasing_tests.rhea, erasing_tests.ravi
VAULT = Vault(b"k" * 32)


@pytest.fixture
def meera(session: Session, rhea: Any) -> Customer:
    """Another customer, who isn't erased."""
    context = ChangeContext(rhea.id, NOW, vault=VAULT, customer_rights=ALL_RIGHTS)
    return customers.create(session, {"first_name": "Meera", "mobile": "98200 54321"}, context)


def file_of(**about: int) -> Attachment:
    file = Attachment(name="Meera.pdf", mime_type="application/pdf", size=9, digest="e" * 64, series="1", number=1)
    file.scan = "off"
    for column, key in about.items():
        setattr(file, column, key)
    file.stamp(Stamp(None, NOW))
    return file


def filled(session: Session, ticket: Ticket, rhea: Any) -> None:
    """A task, an entry, a call, a message and a file of a ticket; all say Meera."""
    stamp = Stamp(rhea.id, NOW)
    factories.task(session, ticket, rhea, title="Call Meera")
    timeline.write_line(session, ticket, "note", stamp, text="Meera asks")
    about = {"ticket_id": ticket.id, "lead_id": ticket.lead_id, "customer_id": ticket.customer_id}
    given = {"direction": "Outgoing", "status": "Completed", "to_number": "9820054321", "duration_seconds": 60}
    calls.create(session, {**given, **about, "started_on": NOW, "outcome": "Meera agrees"}, stamp)
    sms = {"channel": "sms", "purpose": "service", "peer": "9820054321", "body": "Dear Meera"}
    messages.enqueue(session, {**sms, **about}, stamp)
    session.add(file_of(ticket_id=ticket.id))
    session.commit()


def held(session: Session) -> list[Any]:
    """What `filled` has made."""
    session.expire_all()
    return [
        *(each.title for each in session.scalars(select(Task))),
        *(each.payload.get("text") for each in session.scalars(select(Activity)) if each.kind == "note"),
        *(each.outcome for each in session.scalars(select(CallLog))),
        *(each.body for each in session.scalars(select(Message))),
        *(each.name for each in session.scalars(select(Attachment))),
    ]


@pytest.mark.parametrize("is_lead", [False, True])
def test_a_ticket_of_another_customer_stays_though_it_names_a_lead_of_the_person(
    session: Session, ravi: Customer, meera: Customer, rhea: Any, is_lead: bool
) -> None:
    lead = factories.lead(session, rhea, customer_id=None if is_lead else ravi.id, mobile_e164=NUMBER)
    ticket = factories.ticket(
        session, rhea, customer_id=meera.id, lead_id=lead.id, summary="Meera", mobile_e164="+919820054321"
    )
    filled(session, ticket, rhea)
    before = held(session)
    about: Any = lead if is_lead else ravi
    assert erasure_scope.addresses_of(session, about.__tablename__, about.id)[0] == NUMBER
    begun(session, requested(session, about))
    work(session)
    assert held(session) == before and len(before) == 5
    assert (ticket.summary, ticket.mobile_e164) == ("Meera", "+919820054321")


def test_a_ticket_of_the_person_goes_though_it_names_a_lead_of_another(
    session: Session, ravi: Customer, meera: Customer, rhea: Any
) -> None:
    lead = factories.lead(session, rhea, customer_id=meera.id)
    ticket = factories.ticket(session, rhea, customer_id=ravi.id, lead_id=lead.id, summary="Ravi")
    filled(session, ticket, rhea)
    begun(session, requested(session, ravi))
    work(session)
    assert not any("Meera" in str(each) for each in held(session))


def test_a_row_belongs_to_the_ticket_before_the_lead_and_to_the_lead_before_the_task(
    session: Session, ravi: Customer, meera: Customer, rhea: Any
) -> None:
    lead = factories.lead(session, rhea, customer_id=ravi.id)
    task = factories.task(session, lead, rhea)
    ticket = factories.ticket(session, rhea, customer_id=meera.id)
    other = factories.lead(session, rhea, customer_id=meera.id)
    at = {"kind": "system", "at": NOW, "payload": {"text": "Meera"}}
    made = [
        Activity(**at, lead_id=lead.id, ticket_id=ticket.id),
        Activity(**at, task_id=task.id, ticket_id=ticket.id),
        Activity(**at, task_id=task.id, lead_id=other.id),
        Activity(**at, lead_id=lead.id, customer_id=meera.id),
        Activity(**at, task_id=task.id),
    ]
    session.add_all(made)
    begun(session, requested(session, ravi))
    work(session)
    session.expire_all()
    assert [each.payload.get("text") == "Meera" for each in made] == [True, True, True, True, False]


def test_whoever_is_erased_is_not_merged_meanwhile(
    session: Session, ravi: Customer, meera: Customer, rhea: Any
) -> None:
    twin = customers.create(session, {"first_name": "Ravi"}, ChangeContext(rhea.id, NOW, vault=VAULT))
    before = merged(session, ravi, twin)
    lead, other = factories.lead(session, rhea, customer_id=ravi.id), factories.lead(session, rhea)
    made = begun(session, requested(session, ravi))
    for records in ((meera, ravi), (ravi, meera), (other, lead)):
        with pytest.raises(RuleBroken, match=f"{ravi.number} is being erased for request DR-1"):
            merged(session, *records)
        session.rollback()
    with pytest.raises(RuleBroken, match="its merges can't be undone"):
        merge_undo.undo(session, before.id, ChangeContext(rhea.id, NOW))
    session.rollback()
    work(session)
    with pytest.raises(RuleBroken, match="when a duty to keep it ends"):
        merged(session, meera, ravi)
    session.rollback()
    assert made.state == "waiting" and merged(session, other, lead)


def test_whoever_is_erased_is_not_deleted_before(session: Session, ravi: Customer, rhea: Any) -> None:
    given = {"direction": "Outgoing", "status": "Completed", "to_number": "9820012345", "duration_seconds": 60}
    calls.create(session, {**given, "started_on": NOW}, Stamp(rhea.id, NOW))
    made = begun(session, requested(session, ravi))
    with pytest.raises(RuleBroken, match=f"{ravi.number} is being erased for request DR-1"):
        session.delete(ravi)
        session.flush()
    session.rollback()
    work(session)
    assert made.counts["calls"] == 1 and made.next_on is not None
    work(session, made.next_on)
    session.delete(ravi)
    session.commit()
    assert "9820012345" not in dump(session)


def test_a_lead_is_erased_at_once_since_it_may_be_converted(session: Session, rhea: Any) -> None:
    lead = factories.lead(session, rhea, first_name="Ravi", mobile="98200 12345", mobile_e164=NUMBER)
    made = begun(session, requested(session, lead))
    assert (lead.first_name, lead.mobile_e164, made.counts) == (None, None, {"leads": 1})
    context = ChangeContext(rhea.id, NOW, vault=VAULT, customer_rights=ALL_RIGHTS)
    lead.customer = lead_requirements.find_or_create_customer(session, lead, context)
    session.commit()
    work(session)
    assert "9820012345" not in dump(session) and made.counts["leads"] == 1


def test_what_is_entered_anew_is_not_erased_when_the_proof_is(session: Session, ravi: Customer, rhea: Any) -> None:
    old = factories.lead(session, rhea, customer_id=ravi.id, description="Zinc")
    made = begun(session, requested(session, ravi))
    work(session)
    assert made.next_on is not None and old.description is None
    later = made.next_on - timedelta(days=9)
    context = ChangeContext(rhea.id, later, vault=VAULT, customer_rights=ALL_RIGHTS)
    customers.change(session, ravi, {"first_name": "Ravi", "mobile": "98200 12345"}, context)
    account = CustomerAccount(customer_id=ravi.id, client_id="AB1234")
    account.stamp(Stamp(None, later))
    session.add(account)
    leads.change(session, old, {"description": "Gold"}, context)
    factories.lead(session, rhea, customer_id=ravi.id, created_on=later, description="Silver")
    sms = {"channel": "sms", "purpose": "service", "peer": NUMBER, "body": "Dear Ravi", "customer_id": ravi.id}
    sms |= {"media": [{"address": f"file:{'a' * 64}", "mime_type": "application/pdf", "name": "x.pdf", "caption": ""}]}
    messages.enqueue(session, sms, Stamp(rhea.id, later))
    session.commit()
    work(session, made.next_on)
    kept = dump(session)
    assert made.state == "done" and session.scalars(select(MessageFile)).all()
    wanted = ("'Ravi'", "98200 12345", "AB1234", "Gold", "Silver", "Dear Ravi")
    assert [each for each in wanted if each not in kept] == []


def complained(session: Session, ticket: Ticket, **more: Any) -> Complaint:
    """The ticket as a complaint, of which nothing has happened."""
    category = session.scalars(select(ComplaintCategory)).first() or ComplaintCategory(label="Demat", position=1)
    session.add(category)
    session.flush()
    row = Complaint(number=f"C-{ticket.id}", ticket_id=ticket.id, title="Shares", source="Investor", **more)
    row.category_id, row.received_on = category.id, NOW.date()
    row.acknowledge_due_on = row.report_due_on = NOW.date()
    row.stamp(Stamp(None, NOW))
    session.add(row)
    session.commit()
    return row


def contact_of(row: Any) -> list[Any]:
    """All contact fields."""
    names = ("first_name", "last_name", "mobile", "mobile_e164", "alternative_e164", "email", "address", "pan_blind")
    return [getattr(row, name) for name in names]


def why_kept(stays: list[dict[str, Any]]) -> dict[str, Any]:
    return {each["duty"]: (each["rows"], each["until"]) for each in stays if each["kind"] == "contact"}


@pytest.mark.parametrize(
    ("is_lead", "source", "kept"),
    [(False, "On Call", [NUMBER, None, None, None]), (True, "E-mail", [None, None, None, "lata@example.in"])],
)
def test_who_complained_stays_on_the_ticket_alone_until_the_day_of_the_complaint(
    session: Session, ravi: Customer, rhea: Any, is_lead: bool, source: str, kept: list[Any]
) -> None:
    about: Any = ravi
    if is_lead:
        about = factories.lead(session, rhea, first_name="Lata", last_name="Rao", mobile_e164="+919820099999")
        about.client_id, about.address, about.email = "AB1234", "Hill Road", "lata@example.in"
    else:
        account = CustomerAccount(customer_id=ravi.id, client_id="AB1234")
        account.stamp(Stamp(None, NOW))
        session.add(account)
    names, number = [about.first_name, about.last_name], about.mobile_e164
    link = {"lead_id" if is_lead else "customer_id": about.id}
    ticket, other = factories.ticket(session, rhea, **link), factories.ticket(session, rhea, **link)
    ticket.source = source
    complaint = complained(session, ticket)
    ended = None if is_lead else NOW.date() - timedelta(days=1827)
    request = requested(session, about)
    planned = erasing.plan(session, request, ended, NOW)
    assert planned.goes["leads" if is_lead else "contact"] and why_kept(planned.stays) == {"complainant": (1, None)}
    if not is_lead:
        about.created_on = NOW - timedelta(days=3000)
    made = begun(session, request, accounts_ended_on=ended)
    work(session)
    session.expire_all()
    assert contact_of(about)[:1] + contact_of(about)[2:] == [None] * 7 and is_marker(about.last_name)
    assert contact_of(ticket) == [*names, *kept[:1], None, None, kept[3], None, None]
    assert "AB1234" in str([each.payload for each in session.scalars(select(Activity)) if each.ticket_id == ticket.id])
    assert not other.first_name and not call_matching.match_number(session, number, NOW).is_matched
    assert why_kept(made.kept) == {"complainant": (1, None)} and made.addresses_sealed is None
    again = erasing.plan(session, requested(session, about), ended, LATER)
    assert again.goes == {} and why_kept(again.stays) == {"complainant": (1, None)}
    context = ChangeContext(None, LATER, vault=VAULT, customer_rights=ALL_RIGHTS)
    record_merge.merge(session, MergeRequest(Ticket, (ticket.id, other.id)), context)
    complaint.disposed_on = LATER.date()
    session.commit()
    work(session, LATER + timedelta(days=2))
    until = LATER.date() + timedelta(days=1826)
    assert why_kept(made.kept) == {"complainant": (1, until.isoformat())} and ticket.first_name == names[0]
    work(session, LATER + timedelta(days=1828))
    held = dump(session, "data_request")
    assert [each for each in (*names, number, f"{names[0]}@".lower(), "AB1234") if each in held] == []


def test_a_joined_complaint_is_kept_as_long_as_the_one_that_is_counted(
    session: Session, ravi: Customer, rhea: Any
) -> None:
    tickets = [factories.ticket(session, rhea, customer_id=ravi.id, mobile_e164=NUMBER) for _ in range(2)]
    first = complained(session, tickets[0], disposed_on=NOW.date() - timedelta(days=1830))
    complained(session, tickets[1], joined_to_id=first.id)
    made = begun(session, requested(session, ravi))
    work(session)
    assert made.counts["complaints"] == 2 and {each["duty"] for each in made.kept} == {"proof"}


def test_each_of_several_complaints_goes_when_its_own_day_has_come(session: Session, ravi: Customer, rhea: Any) -> None:
    tickets = [factories.ticket(session, rhea, customer_id=ravi.id, mobile_e164=NUMBER) for _ in range(2)]
    for place, ticket in enumerate(tickets):
        complained(session, ticket, disposed_on=NOW.date() - timedelta(days=1800 - place * 10))
    made = begun(session, requested(session, ravi))
    work(session)
    first = NOW.date() + timedelta(days=26)
    assert made.next_on == duties.begin_of(first) and [each.mobile for each in tickets] == [NUMBER, NUMBER]
    work(session, made.next_on)
    session.expire_all()
    assert [each.mobile for each in tickets] == [None, NUMBER]
    assert made.next_on == duties.begin_of(first + timedelta(days=10))
