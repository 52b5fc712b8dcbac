"""Leads: creation, status changes, and conversion into customers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.domain import customers, lead_conversion, lead_requirements, leads, tasks
from app.domain.base import RuleBroken, Stamp
from app.domain.change_context import ChangeContext
from app.domain.picklists import LeadStatus
from app.domain.working_time import sla
from app.lib.field_encryption import Vault
from app.models import Activity, Assignment, CallLog, Customer, CustomerAccount, Lead, Notification, StatusChange, Task
from tests.factories import ALWAYS_OPEN, DAY, HOUR, MINUTE, NOW, double, user

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


def test_a_lead_needs_a_name_a_number_or_an_email(db: Session) -> None:
    with pytest.raises(RuleBroken, match="name, a mobile number or an email"):
        create_lead(db, first_name=" ", last_name=None, mobile="")


@pytest.mark.parametrize("entered", ["9820012345", "+91 98200-12345", "09820012345", "(0) 98200 12345"])
def test_every_spelling_of_a_number_is_the_same_person(db: Session, entered: str) -> None:
    known = customers.create(db, {"first_name": "Asha", "mobile": "9820012345"}, ChangeContext(None, NOW))
    assert create_lead(db, mobile=entered).customer is known


def test_a_main_number_wins_over_an_alternative_one(db: Session) -> None:
    double(db, mobile="9811111111", alternative_mobile="9820012345")
    main = double(db, mobile="9820012345")
    assert create_lead(db).customer is main


def test_a_lead_of_a_known_customer_stores_no_contact_data(db: Session, vault: Vault) -> None:
    customers.create(db, {"first_name": "Asha", "mobile": "9820012345"}, ChangeContext(None, NOW))
    lead = create_lead(db, vault=vault, email="new@x.in", pan="ABCDE1234F", address="Here")
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
def test_an_invalid_value_is_refused_for_its_field(db: Session, vault: Vault, field: str, value: str) -> None:
    with pytest.raises(RuleBroken) as refused:
        create_lead(db, vault=vault, **{field: value})
    assert list(refused.value.errors) == [field]


def test_the_first_task_is_due_by_its_priority(db: Session) -> None:
    ana = user(db, "ana", "Sales User")
    for priority, minutes in (("Low", 1440), ("Medium", 120), ("High", 60)):
        lead = create_lead(db, ana, mobile=None, task={"priority": priority})
        task = db.scalars(select(Task).where(Task.lead_id == lead.id)).one()
        assert (task.due_on, task.assignee_id) == (NOW + minutes * MINUTE, ana.id)
        assert (task.title, lead.next_follow_up_on) == ("Follow up: Ravi Kumar", task.due_on)


def test_a_lead_without_an_assignee_has_no_task_and_no_assignment(db: Session) -> None:
    lead = create_lead(db)
    assert (lead.assignee_id, lead.owner_id, count(db, Task), count(db, Assignment)) == (None, None, 0, 0)


def test_an_assignee_is_notified_once_unless_they_created_the_lead(db: Session) -> None:
    ana, mia = user(db, "ana", "Sales User"), user(db, "mia", "Sales Manager")
    create_lead(db, ana)
    assert count(db, Notification) == 0
    create_lead(db, mia, assignee_id=ana.id, mobile="9811111111")
    notice = db.scalars(select(Notification)).one()
    assert (notice.kind, notice.user_id, notice.actor_id) == ("assigned", ana.id, mia.id)


def test_the_timeline_never_contains_a_pan(db: Session, vault: Vault) -> None:
    lead = create_lead(db, vault=vault, pan="ABCDE1234F")
    leads.change(db, lead, {"pan": "ABCDE9999K", "email": "x@y.in"}, ChangeContext(None, NOW, vault=vault))
    changes = db.scalars(select(Activity).where(Activity.kind == "field_change")).one().payload["changes"]
    assert changes == [["email", None, "x@y.in"], ["pan", None, None]]


def test_the_task_title_of_a_nameless_lead_shows_no_contact_data(db: Session) -> None:
    create_lead(db, user(db, "ana", "Sales User"), first_name=None, last_name=None, email="ravi@x.in")
    title = db.scalars(select(Task.title)).one()
    assert "98200" not in title and "ravi@" not in title and title.startswith("Follow up")


# --- Changing the status


@pytest.mark.parametrize("meaning, field", [*lead_requirements.REQUIRED_FIELDS.items(), ("scheduled", "task")])
def test_a_status_names_the_required_field_that_is_missing(db: Session, meaning: str, field: str) -> None:
    lead = create_lead(db)
    with pytest.raises(RuleBroken) as refused:
        change_status(db, lead, meaning)
    assert list(refused.value.errors) == [field] and lead.status.meaning == "new"


def test_every_shipped_status_can_be_reached(db: Session) -> None:
    given = {"client_id": "C1", "pod_id": "P1", "rejection_reason": "x", "task": {"title": "Call"}}
    for row in db.scalars(select(LeadStatus).order_by(LeadStatus.position)).all():
        lead = create_lead(db, mobile=None)
        leads.change_status(
            db, lead, {"status_id": row.id, **given, "client_id": f"C{row.id}"}, ChangeContext(None, NOW)
        )
        assert lead.status is row


def test_setting_the_same_status_changes_nothing(db: Session) -> None:
    lead = create_lead(db)
    change_status(db, lead, "new", at=NOW + HOUR)
    assert (count(db, StatusChange), lead.status_on) == (1, NOW)


def test_a_status_change_records_how_long_the_old_status_lasted(db: Session) -> None:
    lead, ana = create_lead(db), user(db, "ana", "Sales User")
    change_status(db, lead, "working", ana, NOW + 90 * MINUTE)
    row = db.scalars(select(StatusChange).order_by(StatusChange.id.desc())).first()
    assert row and (row.seconds, row.by_id, row.at) == (5400, ana.id, NOW + 90 * MINUTE)


def test_the_first_status_change_by_a_user_is_the_first_reply(db: Session) -> None:
    lead = create_lead(db)
    change_status(db, lead, "working", None)
    assert lead.replied_on is None and lead.reply_due_on == NOW + HOUR
    change_status(db, lead, "documents", user(db, "ana"), NOW + MINUTE)
    after: Any = (lead.replied_on, lead.reply_due_on)
    assert after == (NOW + MINUTE, None)


@pytest.mark.parametrize("meaning", leads.TERMINAL)
def test_only_who_may_reopen_reopens_an_ended_lead(db: Session, meaning: str) -> None:
    lead = create_lead(db)
    change_status(db, lead, meaning, client_id="C1")
    with pytest.raises(RuleBroken, match="Only a manager"):
        change_status(db, lead, "working")
    change_status(db, lead, "working", reopen=True)
    assert lead.status.meaning == "working"


# --- Accounts and customers


def test_opening_creates_customer_and_account_and_activation_finds_them(db: Session) -> None:
    lead = create_lead(db)
    change_status(db, lead, "opened", client_id=" c1 ")
    change_status(db, lead, "activated", at=NOW + DAY)
    account = db.scalars(select(CustomerAccount)).one()
    assert (account.client_id, account.opened_on, account.activated_on) == ("C1", NOW, NOW + DAY)
    assert (lead.customer, lead.client_id, lead.opened_on) == (account.customer, "C1", NOW)
    assert (account.customer.referral_code, account.customer.mobile_e164) == ("C1", "+919820012345")
    assert count(db, Customer) == 1


def test_a_client_id_of_another_customer_is_refused(db: Session) -> None:
    first, second = create_lead(db), create_lead(db, mobile="9811111111")
    change_status(db, first, "opened", client_id="C1")
    with pytest.raises(RuleBroken, match="already belongs to another customer"):
        change_status(db, second, "opened", client_id="c1")


def test_one_customer_may_open_a_second_account(db: Session) -> None:
    for client_id in ("C1", "C2"):
        change_status(db, create_lead(db), "opened", client_id=client_id)
    assert (count(db, Customer), count(db, CustomerAccount)) == (1, 2)


def test_an_encrypted_pan_moves_to_the_customer_unchanged(db: Session, vault: Vault) -> None:
    lead = create_lead(db, vault=vault, pan="ABCDE1234F")
    sealed = lead.pan_sealed
    change_status(db, lead, "opened", client_id="C1")
    assert lead.customer and lead.customer.pan_sealed == sealed and lead.pan_sealed is None
    assert vault.open(sealed or "") == "ABCDE1234F"


def test_a_conversion_happens_once_and_can_be_undone_for_a_day(db: Session) -> None:
    lead = create_lead(db)
    change_status(db, lead, "activated", client_id="C1")
    customer = lead_conversion.convert(db, lead, ChangeContext(None, NOW))
    assert lead_conversion.convert(db, lead, ChangeContext(None, NOW + HOUR)) is customer and lead.converted_on == NOW
    with pytest.raises(RuleBroken, match="24 hours"):
        lead_conversion.undo(db, lead, Stamp(None, NOW + DAY + MINUTE))
    lead_conversion.undo(db, lead, Stamp(None, NOW + DAY))
    assert lead.converted_on is None
    with pytest.raises(RuleBroken, match="was not converted"):
        lead_conversion.undo(db, lead, Stamp(None, NOW + DAY))


def test_a_conversion_moves_calls_and_timeline(db: Session) -> None:
    lead = create_lead(db)
    call = CallLog(direction="Outgoing", status="Completed", started_on=NOW, lead_id=lead.id, medium="manual")
    call.stamp(Stamp(None, NOW))
    db.add(call)
    change_status(db, lead, "activated", client_id="C1")
    customer = lead_conversion.convert(db, lead, ChangeContext(None, NOW))
    db.flush()
    db.expire_all()
    assert call.customer_id == customer.id
    assert set(db.scalars(select(Activity.customer_id).where(Activity.lead_id == lead.id))) == {customer.id}


def test_changing_the_contact_of_a_linked_lead_changes_the_customer(db: Session) -> None:
    lead = create_lead(db)
    change_status(db, lead, "opened", client_id="C1")
    leads.change(db, lead, {"email": "NEW@x.in"}, ChangeContext(None, NOW + HOUR))
    assert lead.customer and lead.customer.email == "new@x.in" and lead.email is None


def test_a_number_entered_later_links_the_customer(db: Session) -> None:
    known = customers.create(db, {"first_name": "Asha", "mobile": "9820012345"}, ChangeContext(None, NOW))
    lead = create_lead(db, mobile=None)
    leads.change(db, lead, {"mobile": "09820012345"}, ChangeContext(None, NOW))
    assert lead.customer is known and lead.mobile is None


def test_a_lead_is_expired_by_the_system(db: Session) -> None:
    lead = create_lead(db)
    leads.expire(db, [lead], NOW + timedelta(days=61))
    row = db.scalars(select(StatusChange).order_by(StatusChange.id.desc())).first()
    assert row and row.by_id is None and lead.status.meaning == "expired"


# --- What is stored, logged and refused


def test_a_new_lead_holds_what_was_given(db: Session) -> None:
    ana, mia = user(db, "ana"), user(db, "mia")
    given = {"category": "Indirect", "referral": "C9", "description": "Twice", "pod_id": "P1", "owner_id": mia.id}
    lead = create_lead(db, ana, **given)
    assert {name: getattr(lead, name) for name in given} == given
    assert (lead.number, lead.version, lead.status.meaning) == ("CRM-LEAD-2026-00001", 1, "new")
    assert (lead.status_on, lead.created_on, lead.created_by_id) == (NOW, NOW, ana.id)
    assert (lead.assignee_id, lead.assigned_role, lead.sla_started_on) == (ana.id, None, NOW)
    line = db.scalars(select(Activity).order_by(Activity.id)).first()
    assert line and (line.kind, line.payload, line.actor_id) == ("system", {"text": "Lead created"}, ana.id)
    (history,) = db.scalars(select(StatusChange)).all()
    assert (history.lead_id, history.from_id, history.to_id, history.at) == (lead.id, None, lead.status_id, NOW)


@pytest.mark.parametrize(
    "requested, expected",
    [(None, ["Follow up: Ravi Kumar"]), ({}, []), ({"title": "Own"}, ["Own"])],
)
def test_the_first_task_is_as_requested(db: Session, requested: Any, expected: list[str]) -> None:
    lead = create_lead(db, user(db, "ana"), task=requested, next_follow_up_on=NOW + DAY)
    assert db.scalars(select(Task.title)).all() == expected
    assert lead.next_follow_up_on == NOW + DAY


def test_a_lead_may_begin_in_any_status_that_its_values_allow(db: Session) -> None:
    lead = create_lead(db, user(db, "ana"), status_id=status_id(db, "scheduled"))
    assert (lead.status.meaning, count(db, Task)) == ("scheduled", 1)
    with pytest.raises(RuleBroken) as refused:
        create_lead(db, mobile=None, status_id=status_id(db, "sent"))
    assert list(refused.value.errors) == ["pod_id"]
    assert create_lead(db, mobile=None, status_id=status_id(db, "sent"), pod_id="P").pod_id == "P"


@pytest.mark.parametrize(
    "field, values",
    [
        ("first_name", {"first_name": "", "last_name": "", "mobile": ""}),
        ("status", {"status_id": 999}),
        ("category", {"category": "Sideways"}),
    ],
)
def test_each_refusal_names_its_field(db: Session, field: str, values: Any) -> None:
    with pytest.raises(RuleBroken) as refused:
        create_lead(db, **values)
    assert list(refused.value.errors) == [field]


def test_without_a_status_of_the_meaning_the_lead_is_refused(db: Session) -> None:
    for row in db.scalars(select(LeadStatus).where(LeadStatus.meaning == "new")).all():
        row.meaning = "working"
    db.flush()
    with pytest.raises(RuleBroken, match="No lead status has the meaning “new”") as refused:
        create_lead(db)
    assert list(refused.value.errors) == ["status"]


def test_a_customer_cannot_refer_themselves(db: Session) -> None:
    change_status(db, create_lead(db), "opened", client_id="C1")
    with pytest.raises(RuleBroken, match="refer themselves") as refused:
        create_lead(db, referral="C1")
    assert list(refused.value.errors) == ["referral"]
    assert create_lead(db, referral="C2").referral == "C2"
    assert create_lead(db, mobile="9811111111", referral="C1").referral == "C1"


def test_a_lead_becomes_a_customer_with_its_owner_and_a_line(db: Session) -> None:
    ana = user(db, "ana")
    lead = create_lead(db, ana)
    change_status(db, lead, "opened", ana, NOW + HOUR, client_id="c1")
    customer = db.scalars(select(Customer)).one()
    assert (customer.source, customer.status, customer.kyc_status) == ("Lead", "Active", "Pending")
    assert (customer.owner_id, customer.number) == (ana.id, "CRM-CUST-2026-00001")
    assert (customer.created_on, customer.created_by_id, customer.first_name) == (NOW + HOUR, ana.id, "Ravi")
    line = db.scalars(select(Activity).where(Activity.customer_id == customer.id, Activity.kind == "system")).one()
    assert line.payload == {"text": f"Customer created from {lead.number}"}


def test_a_known_customer_is_linked_with_a_proposal(db: Session) -> None:
    lead = create_lead(db, email="new@x.in")
    known = customers.create(db, {"first_name": "Asha", "mobile": "9820012345"}, ChangeContext(None, NOW))
    change_status(db, lead, "opened", client_id="C1")
    assert (lead.customer, count(db, Customer)) == (known, 1)
    proposal = db.scalars(select(Activity).where(Activity.kind == "proposal")).one()
    assert ["email", None, "new@x.in"] in proposal.payload["changes"] and proposal.lead_id == lead.id


def test_opening_and_activation_happen_once(db: Session) -> None:
    lead = create_lead(db)
    change_status(db, lead, "opened", client_id="C1")
    for days, meaning in ((1, "activated"), (2, "opened"), (3, "activated")):
        change_status(db, lead, meaning, at=NOW + days * DAY, reopen=True)
    account = db.scalars(select(CustomerAccount)).one()
    assert (lead.opened_on, lead.activated_on, account.activated_on) == (NOW, NOW + DAY, NOW + DAY)


@pytest.mark.parametrize("meaning, field", lead_requirements.REQUIRED_FIELDS.items())
def test_what_a_status_requires_is_stored_and_is_its_note(db: Session, meaning: str, field: str) -> None:
    lead = create_lead(db)
    more: dict[str, Any] = {field: " given "}
    change_status(db, lead, meaning, **more)
    expected = "GIVEN" if field == "client_id" else "given"
    assert getattr(lead, field) == expected
    line = db.scalars(select(Activity).where(Activity.kind == "status_change")).one()
    assert line.payload == {"from": status_id(db, "new"), "to": lead.status_id, "note": expected}


def test_a_scheduled_follow_up_has_a_task_and_a_time(db: Session) -> None:
    ana, ben = user(db, "ana"), user(db, "ben")
    lead = create_lead(db)
    change_status(db, lead, "scheduled", ana, task={"title": "Call", "due_on": NOW + DAY})
    task = db.scalars(select(Task)).one()
    assert (task.lead_id, task.assignee_id, lead.next_follow_up_on) == (lead.id, ana.id, NOW + DAY)
    lead.assignee_id = ben.id
    change_status(db, lead, "new", ana)
    change_status(db, lead, "scheduled", ana)
    change_status(db, lead, "new", ana)
    change_status(db, lead, "scheduled", ana, task={"title": "Again", "due_on": NOW + HOUR})
    assert db.scalars(select(Task.assignee_id).order_by(Task.id)).all() == [ana.id, ben.id]


@pytest.mark.parametrize("meaning, open_titles", [("new", ["Call"]), ("working", ["Call"]), ("junk", ["Call"])])
def test_a_task_that_comes_with_a_change_is_created(db: Session, meaning: str, open_titles: list[str]) -> None:
    """Also if somebody else has set this status meanwhile, and for a status that closes the lead: "ask next year"."""
    ana, lead = user(db, "ana"), create_lead(db)
    values = {"status_id": status_id(db, meaning), "task": {"title": "Call", "due_on": NOW + DAY}}
    leads.change(db, lead, values, ChangeContext(ana.id, NOW))
    open_tasks = select(Task.title).where(Task.lead_id == lead.id, Task.status.in_(tasks.OPEN))
    assert db.scalars(open_tasks).all() == open_titles


def test_a_change_is_stamped_and_logged_with_its_fields(db: Session) -> None:
    ana, lead = user(db, "ana"), create_lead(db)
    values = {"first_name": "Ram", "description": "New", "owner_id": ana.id, "client_id": "c7", "category": "Direct"}
    leads.change(db, lead, values, ChangeContext(ana.id, NOW + HOUR))
    (line,) = db.scalars(select(Activity).where(Activity.kind == "field_change")).all()
    changes = [["client_id", None, "C7"], ["description", None, "New"], ["first_name", "Ravi", "Ram"]]
    assert sorted(line.payload["changes"]) == [*changes, ["owner_id", None, ana.id]]
    assert (lead.changed_on, lead.changed_by_id, line.actor_id) == (NOW + HOUR, ana.id, ana.id)


def test_a_save_without_a_difference_is_no_change_and_keeps_the_owner(db: Session) -> None:
    ana = user(db, "ana")
    lead = create_lead(db, ana)
    leads.change(db, lead, {"owner_id": None, "status_id": lead.status_id}, ChangeContext(None, NOW + HOUR))
    assert (lead.owner_id, lead.changed_on) == (ana.id, NOW)
    assert db.scalars(select(Activity).where(Activity.kind == "field_change")).all() == []


def test_a_client_id_that_opens_the_account_is_logged_with_the_status_only(db: Session) -> None:
    lead = create_lead(db)
    values = {"status_id": status_id(db, "opened"), "client_id": "C1", "description": "New"}
    leads.change(db, lead, values, ChangeContext(None, NOW))
    (line,) = db.scalars(select(Activity).where(Activity.kind == "field_change")).all()
    assert line.payload["changes"] == [["description", None, "New"]]
    leads.change(db, lead, {"status_id": status_id(db, "activated"), "client_id": "C2"}, ChangeContext(None, NOW))
    assert (lead.client_id, count(db, CustomerAccount)) == ("C2", 1)


@pytest.mark.parametrize("before, meaning", [("opened", "expired_opened"), ("junk", "expired")])
def test_a_lead_expires_into_the_right_status(db: Session, before: str, meaning: str) -> None:
    lead = create_lead(db)
    change_status(db, lead, before, client_id="C1")
    leads.expire(db, [lead], NOW + DAY)
    assert (lead.status.meaning, lead.status_on, lead.changed_by_id) == (meaning, NOW + DAY, None)


def test_a_contact_change_that_leaves_nobody_is_refused(db: Session) -> None:
    lead = create_lead(db, email="a@x.in")
    gone = {"first_name": "", "last_name": "", "mobile": ""}
    leads.change(db, lead, gone, ChangeContext(None, NOW))
    with pytest.raises(RuleBroken) as refused:
        leads.change(db, lead, {"email": ""}, ChangeContext(None, NOW))
    assert list(refused.value.errors) == ["first_name"]
