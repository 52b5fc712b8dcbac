"""Complaints: what the register refuses, its clocks, outcomes, reviews, and one grievance that came several ways."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app import session_hooks
from app.domain import tickets
from app.domain.automation import complaint_warnings
from app.domain.base import Conflict, RuleBroken, Stamp
from app.domain.change_context import ChangeContext
from app.domain.complaints import entries, joining, register
from app.domain.complaints.clocks import ComplaintTerms
from app.domain.complaints.complaint import Complaint, ComplaintEntry, is_pending
from app.models import Activity, BusinessSetting, ComplaintCategory, Notification, Ticket, TicketStatus, User
from tests import factories
from tests.factories import NOW, OFFICE

TODAY = date(2026, 11, 23)  # a Monday
TERMS = ComplaintTerms(TODAY, OFFICE)


@pytest.fixture
def session() -> Iterator[Session]:
    session_hooks.install()
    engine = factories.database()
    with factories.opened(engine) as session:
        session.add(ComplaintCategory(label="Demat", position=1))
        yield session
    engine.dispose()


@pytest.fixture
def stamp(session: Session) -> Stamp:
    return Stamp(factories.user(session, "rhea").id, NOW)


def registered(session: Session, stamp: Stamp, **values: Any) -> Complaint:
    category = session.scalars(select(ComplaintCategory.id)).one()
    given = {"category_id": category, "received_on": TODAY} | values
    ticket = factories.ticket(session, session.get(User, stamp.by))
    return register.register(session, ticket, given, TERMS.stamped(stamp))


def later(days: int) -> ComplaintTerms:
    return ComplaintTerms(TODAY + timedelta(days=days), OFFICE)


# --- registration


def test_a_registered_ticket_has_a_number_clocks_an_entry_and_a_line(session: Session, stamp: Stamp) -> None:
    row = registered(session, stamp, source="SEBI SCORES", reference=" sebie/mh26/1 ")
    assert row.number == "CRM-COMPLAINT-2026-00001" and row.reference == "SEBIE/MH26/1"
    assert (row.acknowledge_due_on, row.report_due_on) == (date(2026, 11, 24), date(2026, 12, 14))
    entry = session.scalars(select(ComplaintEntry)).one()
    assert (entry.complaint_id, entry.origin_id, entry.way) == (row.id, row.id, "Portal")
    line = session.scalars(select(Activity).where(Activity.kind == "complaint")).one()
    assert line.ticket_id == row.ticket_id and line.payload["what"] == "registered"
    assert session.get_one(Ticket, row.ticket_id).complaint_state == "pending"


def test_the_acknowledgment_is_due_on_a_working_day(session: Session, stamp: Stamp) -> None:
    assert registered(session, stamp, received_on=date(2026, 11, 20)).acknowledge_due_on == TODAY  # from Friday


def test_a_ticket_is_registered_once(session: Session, stamp: Stamp) -> None:
    row = registered(session, stamp)
    with pytest.raises(Conflict, match="already in the register"):
        register.register(session, session.get_one(Ticket, row.ticket_id), {"category_id": 1}, TERMS.stamped(stamp))


def test_the_database_refuses_a_reference_that_its_source_gave_before(session: Session, stamp: Stamp) -> None:
    registered(session, stamp, source="SEBI SCORES", reference="A1")
    registered(session, stamp, source="Stock exchange", reference="A1")
    registered(session, stamp), registered(session, stamp)  # any number without a reference
    with pytest.raises(IntegrityError), session.begin_nested():
        registered(session, stamp, source="SEBI SCORES", reference="a1")


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"source": "Rumor"}, "source"),
        ({"received_on": TODAY + timedelta(days=1)}, "received_on"),
        ({"cause_on": TODAY + timedelta(days=1)}, "cause_on"),
        ({"category_id": 99}, "category"),
        ({"amount_in_dispute": -1}, "amount_in_dispute"),
        ({"outcome": "Resolved"}, "report_actions"),
        ({"report_filed_on": TODAY}, "report_actions"),
        ({"acknowledged_on": TODAY - timedelta(days=1)}, "acknowledged_on"),
        ({"title": "  "}, "title"),
    ],
)
def test_what_the_register_refuses(session: Session, stamp: Stamp, values: dict[str, Any], field: str) -> None:
    with pytest.raises(RuleBroken) as refused:
        registered(session, stamp, **values)
    assert field in refused.value.errors


# --- outcome, review, ticket


def test_an_outcome_closes_the_clocks_and_can_be_taken_back(session: Session, stamp: Stamp) -> None:
    row = registered(session, stamp)
    with pytest.raises(RuleBroken, match="what was done"):
        register.change(session, row, {"outcome": "Resolved"}, later(3).stamped(stamp))
    row.outcome = None
    register.change(session, row, {"outcome": "Resolved", "report_actions": "Credited."}, later(3).stamped(stamp))
    day = TODAY + timedelta(days=3)
    assert (row.disposed_on, row.report_filed_on, row.acknowledged_on) == (day, day, day)
    assert session.get_one(Ticket, row.ticket_id).complaint_state == "disposed"
    register.change(session, row, {"outcome": None}, later(4).stamped(stamp))
    assert row.disposed_on is None and session.get_one(Ticket, row.ticket_id).complaint_state == "pending"


def test_a_ticket_is_not_resolved_before_its_complaint_has_an_outcome(session: Session, stamp: Stamp) -> None:
    row = registered(session, stamp)
    ticket, context = session.get_one(Ticket, row.ticket_id), ChangeContext(stamp.by, NOW)
    status = session.scalars(select(TicketStatus.id).where(TicketStatus.meaning == "resolved")).one()
    values = {"status_id": status, "resolution": "Done."}
    with pytest.raises(RuleBroken, match="outcome of the complaint first"):
        tickets.change_status(session, ticket, values, context)
    register.change(session, row, {"outcome": "Withdrawn", "report_actions": "Withdrawn."}, TERMS.stamped(stamp))
    tickets.change_status(session, ticket, values, context)
    assert ticket.resolved_on == NOW
    with pytest.raises(RuleBroken, match="Reopen the ticket first"):
        register.change(session, row, {"outcome": None}, TERMS.stamped(stamp))
    assert ticket.complaint_state == "disposed"


def test_a_review_only_goes_forward_and_has_its_days(session: Session, stamp: Stamp) -> None:
    row = registered(session, stamp)
    first = {"review_stage": "First review"}
    with pytest.raises(RuleBroken, match="after the report was filed"):
        register.change(session, row, first, later(5).stamped(stamp))
    register.change(session, row, {"report_filed_on": TODAY, "report_actions": "Credited."}, later(5).stamped(stamp))
    with pytest.raises(RuleBroken, match="follows the first"):
        register.change(session, row, {"review_stage": "Second review"}, later(5).stamped(stamp))
    register.change(session, row, first, later(5).stamped(stamp))
    assert row.first_review_due_on == TODAY + timedelta(days=20)
    register.change(session, row, {"review_stage": "Online dispute resolution"}, later(9).stamped(stamp))
    assert (row.dispute_on, row.dispute_due_on) == (TODAY + timedelta(days=9), TODAY + timedelta(days=30))
    with pytest.raises(RuleBroken, match="only goes forward"):
        register.change(session, row, first, later(9).stamped(stamp))


# --- joining


def test_joined_complaints_count_once_from_the_earliest_receipt_and_can_be_parted(
    session: Session, stamp: Stamp
) -> None:
    kept = registered(session, stamp, source="SEBI SCORES", reference="S1")
    early = registered(session, stamp, received_on=TODAY - timedelta(days=10))
    joining.join(session, kept.id, early.id, TERMS.stamped(stamp))
    assert session.scalars(select(Complaint.id).where(is_pending())).all() == [kept.id]
    assert kept.report_due_on == TODAY + timedelta(days=11)
    assert session.scalars(select(ComplaintEntry.complaint_id)).all() == [kept.id, kept.id]
    assert session.get_one(Ticket, early.ticket_id).complaint_state == "joined"
    with pytest.raises(RuleBroken, match="joined to another one"):
        register.change(session, early, {"title": "Other"}, TERMS.stamped(stamp))
    ticket, values = session.get_one(Ticket, early.ticket_id), {"resolution": "See the other one."}
    by_meaning = {row.meaning: row.id for row in session.scalars(select(TicketStatus))}
    tickets.change_status(session, ticket, values | {"status_id": by_meaning["resolved"]}, ChangeContext(None, NOW))
    with pytest.raises(RuleBroken, match="Reopen the ticket first"):
        joining.part(session, early.id, TERMS.stamped(stamp))
    reopening = ChangeContext(None, NOW, may_reopen=True)
    tickets.change_status(session, ticket, {"status_id": by_meaning["working"]}, reopening)
    joining.part(session, early.id, TERMS.stamped(stamp))
    assert kept.report_due_on == TODAY + timedelta(days=21) and early.joined_to_id is None
    assert {row.complaint_id for row in session.scalars(select(ComplaintEntry))} == {kept.id, early.id}


def test_what_can_not_be_joined(session: Session, stamp: Stamp) -> None:
    kept, other = registered(session, stamp), registered(session, stamp)
    with pytest.raises(RuleBroken, match="another complaint"):
        joining.join(session, kept.id, kept.id, TERMS.stamped(stamp))
    register.change(session, other, {"outcome": "Withdrawn", "report_actions": "Withdrawn."}, TERMS.stamped(stamp))
    with pytest.raises(RuleBroken, match="has an outcome already"):
        joining.join(session, kept.id, other.id, TERMS.stamped(stamp))
    with pytest.raises(RuleBroken, match="isn't joined"):
        joining.part(session, kept.id, TERMS.stamped(stamp))


def test_complaints_of_one_number_are_suggested_only_to_those_who_see_it(session: Session, stamp: Stamp) -> None:
    one, two = registered(session, stamp), registered(session, stamp)
    for row in (one, two):
        ticket = session.get_one(Ticket, row.ticket_id)
        ticket.customer_id, ticket.mobile_e164 = None, "+919820012345"
    session.flush()
    assert joining.suggestions(session, one, True, True) == [two]
    assert joining.suggestions(session, one, False, True) == []


def test_an_entry_by_hand_moves_the_clocks(session: Session, stamp: Stamp) -> None:
    row = registered(session, stamp)
    values = {"source": "Depository", "reference": "d7", "way": "Letter", "received_on": TODAY - timedelta(days=2)}
    entries.add_entry(session, row, values, TERMS.stamped(stamp))
    assert row.report_due_on == TODAY + timedelta(days=19)


# --- the job


def warned(session: Session, days: int) -> list[tuple[int, str]]:
    now, zone = NOW + timedelta(days=days), factories.ZONE
    before = set(session.scalars(select(Notification.id)))
    for _time in range(2):  # the second pass has nothing left to do
        ids = complaint_warnings.due_complaints(session, now, zone, 100)
        complaint_warnings.warn_many(session, ids, now, zone)
    assert complaint_warnings.due_complaints(session, now, zone, 100) == []
    rows = session.scalars(select(Notification).where(Notification.id.not_in(before)).order_by(Notification.id))
    found = [(row.user_id, f"{row.kind} {row.payload.get('what')} {row.payload.get('days')}") for row in rows]
    return sorted((user, what.removeprefix("complaint ")) for user, what in found)


def test_warnings_go_up_the_matrix_once_each(session: Session, stamp: Stamp) -> None:
    people = {role: factories.user(session, role).id for role in ("care", "head", "compliance", "chief")}
    session.add(BusinessSetting(key="complaint_people", value=people))
    officer = factories.user(session, "officer").id
    registered(session, stamp, acknowledged_on=TODAY, officer_id=officer)
    daily = (people["compliance"], "complaint_list None None")
    assert warned(session, 0) == [daily]
    assert warned(session, 6) == sorted([daily, (people["compliance"], "step desk 15")])
    assert warned(session, 7) == sorted([daily, (officer, "warning 14"), (people["care"], "warning 14")])
    told = warned(session, 20)  # after an outage: the latest of each only
    everyone = [(user, "warning 1") for user in (officer, *people.values())]
    assert told == sorted([daily, *everyone, (people["chief"], "step director 1")])
    assert {user for user, what in warned(session, 22) if what == "overdue -1"} == {officer, *people.values()}


def test_a_filed_report_ends_the_warnings_and_a_late_acknowledgment_is_told(session: Session, stamp: Stamp) -> None:
    row = registered(session, stamp, report_filed_on=TODAY, report_actions="Credited.")
    row.acknowledged_on, row.officer_id = None, stamp.by
    session.flush()
    assert [what for _user, what in warned(session, 30)] == ["acknowledge -29"]


def test_the_last_day_of_a_review_is_told_before_and_after_once_each(session: Session, stamp: Stamp) -> None:
    compliance, officer = factories.user(session, "compliance").id, factories.user(session, "officer").id
    session.add(BusinessSetting(key="complaint_people", value={"compliance": compliance}))
    done = {"report_filed_on": TODAY, "report_actions": "Credited.", "outcome": "Resolved", "officer_id": officer}
    row = registered(session, stamp, **done)
    register.change(session, row, {"review_stage": "First review"}, TERMS.stamped(stamp))
    session.flush()
    assert row.first_review_due_on == TODAY + timedelta(days=15)
    assert warned(session, 11) == []
    assert warned(session, 12) == sorted([(officer, "review 3"), (compliance, "review 3")])
    assert warned(session, 15) == []
    assert warned(session, 16) == sorted([(officer, "review over -1"), (compliance, "review over -1")])
    assert warned(session, 40) == []
    register.change(session, row, {"review_stage": "Second review"}, TERMS.stamped(stamp))
    session.flush()
    assert warned(session, 14) == sorted([(officer, "review 1"), (compliance, "review 1")])


def test_the_days_before_the_end_of_a_review_are_a_setting(session: Session, stamp: Stamp) -> None:
    session.add(BusinessSetting(key="complaint_clocks", value={"review_warning": 5}))
    officer = factories.user(session, "officer").id
    row = registered(session, stamp, report_filed_on=TODAY, report_actions="Credited.", officer_id=officer)
    row.acknowledged_on = TODAY
    register.change(session, row, {"review_stage": "First review"}, TERMS.stamped(stamp))
    session.flush()
    assert warned(session, 10) == [(officer, "review 5")]
