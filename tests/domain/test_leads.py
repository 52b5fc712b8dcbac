"""Leads: creation, status changes, and conversion into customers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.domain import conversion, customers, leads, sla
from app.domain.base import RuleBroken, Stamp
from app.domain.change_context import ChangeContext
from app.domain.settings import LeadStatus
from app.lib.vault import Vault
from app.models import Activity, Assignment, CallLog, Customer, CustomerAccount, Lead, Notification, StatusChange, Task
from tests.makers import ALWAYS_OPEN, DAY, HOUR, MINUTE, NOW, user

TERMS = sla.SlaTerms(ALWAYS_OPEN, {("lead", ""): (60, None)})


def create_lead(session: Session, by: Any = None, vault: Any = None, **values: Any) -> Lead:
    contact = {"first_name": "Ravi", "last_name": "Kumar", "mobile": "98200 12345"}
    return leads.create(
        session, contact | values, ChangeContext(by.id if by else None, NOW, vault=vault, sla_terms=TERMS)
    )


def status_id(session: Session, meaning: str) -> int:
    return int(session.scalars(select(LeadStatus.id).where(LeadStatus.meaning == meaning)).first() or 0)


def change_status(
    session: Session, lead: Lead, meaning: str, by: Any = None, at: Any = NOW, reopen: bool = False, **values: Any
) -> None:
    leads.change_status(
        session,
        lead,
        {"status_id": status_id(session, meaning)} | values,
        ChangeContext(by.id if by else None, at, may_reopen=reopen),
    )


def count(session: Session, record: Any) -> int:
    return session.execute(select(func.count()).select_from(record)).scalar() or 0


# --- Creating


def test_a_lead_needs_a_name_a_number_or_an_email(office: Session) -> None:
    with pytest.raises(RuleBroken, match="name, a mobile number or an email"):
        create_lead(office, first_name=" ", last_name=None, mobile="")


@pytest.mark.parametrize("entered", ["9820012345", "+91 98200-12345", "09820012345", "(0) 98200 12345"])
def test_every_spelling_of_a_number_is_the_same_person(office: Session, entered: str) -> None:
    known = customers.create(office, {"first_name": "Asha", "mobile": "9820012345"}, ChangeContext(None, NOW))
    assert create_lead(office, mobile=entered).customer is known


def test_a_main_number_wins_over_an_alternative_one(office: Session) -> None:
    customers.create(
        office,
        {"first_name": "A", "mobile": "9811111111", "alternative_mobile": "9820012345"},
        ChangeContext(None, NOW),
    )
    main = customers.create(office, {"first_name": "B", "mobile": "9820012345"}, ChangeContext(None, NOW))
    assert create_lead(office).customer is main


def test_a_lead_of_a_known_customer_stores_no_contact_data(office: Session, vault: Vault) -> None:
    customers.create(office, {"first_name": "Asha", "mobile": "9820012345"}, ChangeContext(None, NOW))
    lead = create_lead(office, vault=vault, email="new@x.in", pan="ABCDE1234F", address="Here")
    own = ("first_name", "last_name", "mobile", "mobile_e164", "email", "address", "pan_sealed", "pan_blind")
    assert [getattr(lead, name) for name in own] == [None] * len(own)
    assert lead.display_name == "Asha"


@pytest.mark.parametrize(
    "field, value",
    [
        ("pan", "ABCDE12345"),
        ("aadhaar", "123412341234"),
        ("mobile", "12345"),
        ("mobile", "call me"),
        ("email", "ravi@"),
        ("email", "a b@x.in"),
        ("category", "Sideways"),
    ],
)
def test_an_invalid_value_is_refused_for_its_field(office: Session, vault: Vault, field: str, value: str) -> None:
    with pytest.raises(RuleBroken) as refused:
        create_lead(office, vault=vault, **{field: value})
    assert list(refused.value.errors) == [field]


def test_the_first_task_is_due_by_its_priority(office: Session) -> None:
    ana = user(office, "ana", "Sales User")
    for priority, minutes in (("Low", 1440), ("Medium", 120), ("High", 60)):
        lead = create_lead(office, ana, mobile=None, task={"priority": priority})
        task = office.scalars(select(Task).where(Task.lead_id == lead.id)).one()
        assert (task.due_on, task.assignee_id) == (NOW + minutes * MINUTE, ana.id)
        assert (task.title, lead.next_follow_up_on) == ("Follow up: Ravi Kumar", task.due_on)


def test_a_lead_without_an_assignee_has_no_task_and_no_assignment(office: Session) -> None:
    lead = create_lead(office)
    assert (lead.assignee_id, lead.owner_id, count(office, Task), count(office, Assignment)) == (None, None, 0, 0)


def test_an_assignee_is_notified_once_unless_they_created_the_lead(office: Session) -> None:
    ana, mia = user(office, "ana", "Sales User"), user(office, "mia", "Sales Manager")
    create_lead(office, ana)
    assert count(office, Notification) == 0
    create_lead(office, mia, assignee_id=ana.id, mobile="9811111111")
    notice = office.scalars(select(Notification)).one()
    assert (notice.kind, notice.user_id, notice.actor_id) == ("assigned", ana.id, mia.id)


def test_the_timeline_never_contains_a_pan(office: Session, vault: Vault) -> None:
    lead = create_lead(office, vault=vault, pan="ABCDE1234F")
    leads.change(office, lead, {"pan": "ABCDE9999K", "email": "x@y.in"}, ChangeContext(None, NOW, vault=vault))
    changes = office.scalars(select(Activity).where(Activity.kind == "field_change")).one().payload["changes"]
    assert changes == [["email", None, "x@y.in"], ["pan", None, None]]


def test_the_task_title_of_a_nameless_lead_shows_no_contact_data(office: Session) -> None:
    create_lead(office, user(office, "ana", "Sales User"), first_name=None, last_name=None, email="ravi@x.in")
    title = office.scalars(select(Task.title)).one()
    assert "98200" not in title and "ravi@" not in title and title.startswith("Follow up")


# --- Changing the status


@pytest.mark.parametrize("meaning, field", [*leads.REQUIRED_FIELDS.items(), ("scheduled", "task")])
def test_a_status_names_the_required_field_that_is_missing(office: Session, meaning: str, field: str) -> None:
    lead = create_lead(office)
    with pytest.raises(RuleBroken) as refused:
        change_status(office, lead, meaning)
    assert list(refused.value.errors) == [field] and lead.status.meaning == "new"


def test_every_shipped_status_can_be_reached(office: Session) -> None:
    given = {"client_id": "C1", "pod_id": "P1", "rejection_reason": "x", "task": {"title": "Call"}}
    for row in office.scalars(select(LeadStatus).order_by(LeadStatus.position)).all():
        lead = create_lead(office, mobile=None)
        leads.change_status(
            office, lead, {"status_id": row.id, **given, "client_id": f"C{row.id}"}, ChangeContext(None, NOW)
        )
        assert lead.status is row


def test_setting_the_same_status_changes_nothing(office: Session) -> None:
    lead = create_lead(office)
    change_status(office, lead, "new", at=NOW + HOUR)
    assert (count(office, StatusChange), lead.status_on) == (1, NOW)


def test_a_status_change_records_how_long_the_old_status_lasted(office: Session) -> None:
    lead, ana = create_lead(office), user(office, "ana", "Sales User")
    change_status(office, lead, "working", ana, NOW + 90 * MINUTE)
    row = office.scalars(select(StatusChange).order_by(StatusChange.id.desc())).first()
    assert row and (row.seconds, row.by_id, row.at) == (5400, ana.id, NOW + 90 * MINUTE)


def test_the_first_status_change_by_a_user_is_the_first_reply(office: Session) -> None:
    lead = create_lead(office)
    change_status(office, lead, "working", None)
    assert lead.replied_on is None and lead.reply_due_on == NOW + HOUR
    change_status(office, lead, "documents", user(office, "ana"), NOW + MINUTE)
    assert (lead.replied_on, lead.reply_due_on) == (NOW + MINUTE, None)


@pytest.mark.parametrize("meaning", leads.TERMINAL)
def test_only_who_may_reopen_reopens_an_ended_lead(office: Session, meaning: str) -> None:
    lead = create_lead(office)
    change_status(office, lead, meaning, client_id="C1")
    with pytest.raises(RuleBroken, match="Only a manager"):
        change_status(office, lead, "working")
    change_status(office, lead, "working", reopen=True)
    assert lead.status.meaning == "working"


# --- Accounts and customers


def test_opening_creates_customer_and_account_and_activation_finds_them(office: Session) -> None:
    lead = create_lead(office)
    change_status(office, lead, "opened", client_id=" c1 ")
    change_status(office, lead, "activated", at=NOW + DAY)
    account = office.scalars(select(CustomerAccount)).one()
    assert (account.client_id, account.opened_on, account.activated_on) == ("C1", NOW, NOW + DAY)
    assert (lead.customer, lead.client_id, lead.opened_on) == (account.customer, "C1", NOW)
    assert (account.customer.referral_code, account.customer.mobile_e164) == ("C1", "+919820012345")
    assert count(office, Customer) == 1


def test_a_client_id_of_another_customer_is_refused(office: Session) -> None:
    first, second = create_lead(office), create_lead(office, mobile="9811111111")
    change_status(office, first, "opened", client_id="C1")
    with pytest.raises(RuleBroken, match="already belongs to another customer"):
        change_status(office, second, "opened", client_id="c1")


def test_one_customer_may_open_a_second_account(office: Session) -> None:
    for client_id in ("C1", "C2"):
        change_status(office, create_lead(office), "opened", client_id=client_id)
    assert (count(office, Customer), count(office, CustomerAccount)) == (1, 2)


def test_an_encrypted_pan_moves_to_the_customer_unchanged(office: Session, vault: Vault) -> None:
    lead = create_lead(office, vault=vault, pan="ABCDE1234F")
    sealed = lead.pan_sealed
    change_status(office, lead, "opened", client_id="C1")
    assert lead.customer and lead.customer.pan_sealed == sealed and lead.pan_sealed is None
    assert vault.open(sealed or "") == "ABCDE1234F"


def test_a_conversion_happens_once_and_can_be_undone_for_a_day(office: Session) -> None:
    lead = create_lead(office)
    change_status(office, lead, "activated", client_id="C1")
    customer = conversion.convert(office, lead, Stamp(None, NOW))
    assert conversion.convert(office, lead, Stamp(None, NOW + HOUR)) is customer and lead.converted_on == NOW
    with pytest.raises(RuleBroken, match="24 hours"):
        conversion.undo(office, lead, Stamp(None, NOW + DAY + MINUTE))
    conversion.undo(office, lead, Stamp(None, NOW + DAY))
    assert lead.converted_on is None
    with pytest.raises(RuleBroken, match="was not converted"):
        conversion.undo(office, lead, Stamp(None, NOW + DAY))


def test_a_conversion_moves_calls_and_timeline(office: Session) -> None:
    lead = create_lead(office)
    call = CallLog(direction="Outgoing", status="Completed", started_on=NOW, lead_id=lead.id, medium="manual")
    call.stamp(Stamp(None, NOW))
    office.add(call)
    change_status(office, lead, "activated", client_id="C1")
    customer = conversion.convert(office, lead, Stamp(None, NOW))
    office.flush()
    office.expire_all()
    assert call.customer_id == customer.id
    assert set(office.scalars(select(Activity.customer_id).where(Activity.lead_id == lead.id))) == {customer.id}


def test_changing_the_contact_of_a_linked_lead_changes_the_customer(office: Session) -> None:
    lead = create_lead(office)
    change_status(office, lead, "opened", client_id="C1")
    leads.change(office, lead, {"email": "NEW@x.in"}, ChangeContext(None, NOW + HOUR))
    assert lead.customer and lead.customer.email == "new@x.in" and lead.email is None


def test_a_number_entered_later_links_the_customer(office: Session) -> None:
    known = customers.create(office, {"first_name": "Asha", "mobile": "9820012345"}, ChangeContext(None, NOW))
    lead = create_lead(office, mobile=None)
    leads.change(office, lead, {"mobile": "09820012345"}, ChangeContext(None, NOW))
    assert lead.customer is known and lead.mobile is None


def test_a_lead_is_expired_by_the_system(office: Session) -> None:
    lead = create_lead(office)
    leads.expire(office, lead, False, NOW + timedelta(days=61))
    row = office.scalars(select(StatusChange).order_by(StatusChange.id.desc())).first()
    assert row and row.by_id is None and lead.status.meaning == "expired"
