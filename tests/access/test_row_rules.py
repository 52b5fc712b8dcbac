"""Which rows each verb reaches: by owner and assignee, through parents, and for add-on records."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.access import ADMIN, RULES, row_rules
from app.access.row_rules import OwnedRows, reaches_all_visible
from app.domain.people import permissions
from app.models import (
    Activity,
    ApiKey,
    Assignment,
    AssignmentRequest,
    Attachment,
    AuditEntry,
    BackupRun,
    CallLog,
    Customer,
    Delivery,
    ExportRun,
    FailedCall,
    ImportRun,
    JobRun,
    Lead,
    Message,
    Notification,
    PhoneSync,
    QuarantinedCall,
    SavedView,
    SignIn,
    StoredResponse,
    Task,
    Ticket,
)
from tests.access.factories import person, row, seen
from tests.factories import NOW, lead, ticket, user

EVERY_PARENT = {"Leads.read": "own", "Tickets.read": "own", "Customers.read": "own"}


@pytest.fixture
def users(db: Session) -> tuple[int, int]:
    """The ids of Ana and Ben."""
    return user(db, "ana").id, user(db, "ben").id


@pytest.mark.parametrize("make, module", [(lead, "Leads"), (ticket, "Tickets")])
@pytest.mark.parametrize(
    "level, expected", [("none", ""), ("own", "as assignee, as owner"), ("all", "as assignee, as owner, another's")]
)
def test_rows_are_reached_by_owner_or_assignee(
    db: Session, users: Any, make: Any, module: str, level: str, expected: str
) -> None:
    ana, ben = users
    holders = {"as assignee": (ana, ben), "as owner": (ben, ana), "another's": (ben, ben)}
    rows: dict[str, Any] = {}
    for name, (assignee, owner) in holders.items():
        rows[name] = make(db)
        rows[name].assignee_id, rows[name].owner_id = assignee, owner
    db.flush()
    found = seen(db, person(ana, {f"{module}.read": level}), type(rows["as owner"]))
    assert ", ".join(name for name, made in rows.items() if made.id in found) == expected


def test_each_current_assignee_of_a_ticket_reaches_it(db: Session, users: Any) -> None:
    ana, ben = users
    current, former = ticket(db), ticket(db)
    row(db, Assignment, ticket_id=current.id, user_id=ana, open_key="a")
    row(db, Assignment, ticket_id=former.id, user_id=ana, ended_on=NOW)
    assert seen(db, person(ana, {"Tickets.read": "own"}), Ticket) == {current.id}
    assert seen(db, person(ben, {"Tickets.read": "own"}), Ticket) == set()


@pytest.mark.parametrize("make, column, module", [(lead, "lead_id", "Leads"), (ticket, "ticket_id", "Tickets")])
def test_a_customer_is_seen_with_its_visible_leads_and_tickets(
    db: Session, users: Any, make: Any, column: str, module: str
) -> None:
    ana, ben = users
    own, through, other = (row(db, Customer, owner_id=owner) for owner in (ana, ben, ben))
    make(db, user(db, "cy")).customer_id = other.id
    about = make(db)
    about.assignee_id, about.customer_id = ana, through.id
    db.flush()
    assert seen(db, person(ana, {"Customers.read": "own"}), Customer) == {own.id}
    assert seen(db, person(ana, {"Customers.read": "own", f"{module}.read": "own"}), Customer) == {
        own.id,
        through.id,
    }
    assert seen(db, person(ana, {f"{module}.read": "own"}), Customer) == set()


def test_a_narrower_verb_reaches_customers_of_the_persons_own_records_only(db: Session, users: Any) -> None:
    ana, ben = users
    of_ana, of_ben = row(db, Customer), row(db, Customer)
    for owner, customer in ((ana, of_ana), (ben, of_ben)):
        for make in (lead, ticket):
            about = make(db)
            about.owner_id, about.customer_id = owner, customer.id
    db.flush()
    levels = {"Customers.read": "team", "Customers.write": "own", "Leads.read": "team", "Tickets.read": "team"}
    who = person(ana, levels, team=(ben,))
    assert seen(db, who, Customer) == {of_ana.id, of_ben.id}
    assert seen(db, who, Customer, "write") == {of_ana.id}


@pytest.mark.parametrize(
    "record, module, column",
    [(Task, "Tasks", "assignee_id"), (CallLog, "Call Logs", "employee_id"), (Message, "Messages", "created_by_id")],
)
def test_rows_are_reached_as_ones_own_or_through_a_parent(
    db: Session, users: Any, record: Any, module: str, column: str
) -> None:
    ana, ben = users
    about, theirs = lead(db, db.get(type(user(db, "cy")), ana)), lead(db)
    own, through, other = (
        row(db, record, **{column: owner, "lead_id": parent.id})
        for owner, parent in ((ana, theirs), (ben, about), (ben, theirs))
    )
    assert seen(db, person(ana, {f"{module}.read": "own"}), record) == {own.id}
    assert seen(db, person(ana, {f"{module}.read": "own", "Leads.read": "own"}), record) == {own.id, through.id}
    assert seen(db, person(ana, {"Leads.read": "own"}), record) == set()
    assert seen(db, person(ana, {f"{module}.read": "all"}), record) == {own.id, through.id, other.id}


@pytest.mark.parametrize("parent", ["lead", "ticket", "customer"])
def test_a_narrower_verb_needs_a_parent_within_its_reach(db: Session, users: Any, parent: str) -> None:
    ana, ben = users
    calls = {}
    for owner in users:
        about: Any = (
            row(db, Customer, owner_id=owner) if parent == "customer" else {"lead": lead, "ticket": ticket}[parent](db)
        )
        about.owner_id = owner
        calls[owner] = row(db, CallLog, employee_id=ben, **{f"{parent}_id": about.id}).id
    levels = dict.fromkeys(EVERY_PARENT, "team") | {"Call Logs.read": "team", "Call Logs.write": "own"}
    who = person(ana, levels, team=(ben,))
    assert seen(db, who, CallLog) == set(calls.values())
    assert seen(db, who, CallLog, "write") == {calls[ana]}


@pytest.mark.parametrize(
    "module, parent", [("Leads", "lead_id"), ("Tickets", "ticket_id"), ("Customers", "customer_id")]
)
def test_history_is_seen_with_its_parent(db: Session, users: Any, module: str, parent: str) -> None:
    make = {"lead_id": lead, "ticket_id": ticket, "customer_id": lambda session: row(session, Customer)}[parent]
    lines = []
    for owner in users:
        about = make(db)
        about.owner_id = owner
        lines.append(row(db, Attachment, **{parent: about.id}).id)
    # A file is read like a note: by who sees its record, and may read notes.
    notes = {"Notes.read": "own"}
    assert seen(db, person(users[0], {f"{module}.read": "own"} | notes), Attachment) == {lines[0]}
    assert seen(db, person(users[0], {f"{module}.read": "own"}), Attachment) == set()
    assert seen(db, person(users[0], notes), Attachment) == set()


@pytest.mark.parametrize("is_converted, expected", [(False, False), (True, True)])
def test_lines_of_a_converted_lead_are_seen_with_its_customer(
    db: Session, users: Any, is_converted: bool, expected: bool
) -> None:
    ana, _ = users
    customer, about = row(db, Customer, owner_id=ana), lead(db, converted_on=NOW if is_converted else None)
    line = row(db, Activity, kind="status", lead_id=about.id, customer_id=customer.id)
    on_ticket = row(db, Activity, kind="status", ticket_id=ticket(db).id, customer_id=customer.id)
    alone = row(db, Activity, kind="status", customer_id=customer.id)
    found = seen(db, person(ana, {"Customers.read": "own"}), Activity)
    assert (line.id in found, on_ticket.id in found, alone.id in found) == (expected, False, True)


@pytest.mark.parametrize(
    "kind, module", [("note", "Notes"), ("comment", "Notes"), ("task", "Tasks"), ("call", "Call Logs")]
)
@pytest.mark.parametrize("level", ["own", "all"])
def test_timeline_lines_need_the_right_to_read_what_they_are_about(
    db: Session, users: Any, kind: str, module: str, level: str
) -> None:
    about = lead(db)
    about.owner_id = users[0]
    line, status = (row(db, Activity, kind=k, lead_id=about.id).id for k in (kind, "status"))
    levels = dict.fromkeys([*EVERY_PARENT, "Tasks.read", "Notes.read", "Call Logs.read", "Messages.read"], level)
    assert seen(db, person(users[0], levels), Activity) == {line, status}
    del levels[f"{module}.read"]
    assert seen(db, person(users[0], levels), Activity) == {status}


@pytest.mark.parametrize("level, expected", [("none", []), ("own", ["by", "for"]), ("all", ["by", "for", "other"])])
def test_requests_are_seen_by_who_made_them_and_whom_they_ask_for(
    db: Session, users: Any, level: str, expected: list[str]
) -> None:
    ana, ben = users
    pairs = {"by": (ana, ben), "for": (ben, ana), "other": (ben, ben)}
    ids = {
        name: row(db, AssignmentRequest, created_by_id=by, requested_user_id=wanted, lead_id=lead(db).id).id
        for name, (by, wanted) in pairs.items()
    }
    found = seen(db, person(ana, {"Requests.read": level}), AssignmentRequest)
    assert [name for name, key in ids.items() if key in found] == expected
    levels = {"Requests.read": "all", "Requests.write": level}
    assert seen(db, person(ana, levels), AssignmentRequest, "write") == found


@pytest.mark.parametrize(
    "record, column, admin_sees_all",
    [
        (Notification, "user_id", False),
        (StoredResponse, "user_id", False),
        (SavedView, "owner_id", False),
        (ApiKey, "user_id", True),
        (SignIn, "user_id", True),
        (ImportRun, "created_by_id", True),
        (ExportRun, "created_by_id", True),
    ],
)
def test_personal_records_are_ones_own(db: Session, users: Any, record: Any, column: str, admin_sees_all: bool) -> None:
    own, other = (row(db, record, **{column: key}).id for key in users)
    assert seen(db, person(users[0]), record) == {own}
    admin = person(users[0], roles=frozenset({ADMIN}))
    assert seen(db, admin, record) == ({own, other} if admin_sees_all else {own})


def test_deliveries_are_those_of_ones_own_notifications_and_shared_views_are_everybodys(
    db: Session, users: Any
) -> None:
    own, _ = (
        row(db, Delivery, notification_id=row(db, Notification, user_id=key, kind="status").id, channel="email").id
        for key in users
    )
    shared = row(db, SavedView, owner_id=users[1], audience="all").id
    assert seen(db, person(users[0]), Delivery) == {own}
    assert seen(db, person(users[0]), SavedView) == {shared}


@pytest.mark.parametrize(
    "record, allowed",
    [
        (AuditEntry, {"levels": {("Audit Log", "read"): "all"}}),
        (JobRun, {"levels": {("Settings", "read"): "all"}}),
        (FailedCall, {"levels": {("Settings", "read"): "all"}}),
        (BackupRun, {"roles": frozenset({ADMIN})}),
    ],
)
def test_records_of_the_operation_are_for_those_in_charge(db: Session, record: Any, allowed: Any) -> None:
    key = row(db, record).id
    assert seen(db, person(roles=frozenset({ADMIN})), record) == {key}
    assert seen(db, person(), record) == set()
    values = {"levels": {}} | allowed
    levels = {".".join(cell): level for cell, level in values.pop("levels").items()}
    assert seen(db, person(levels=levels, **values), record) == {key}


@pytest.mark.parametrize("record", [PhoneSync, QuarantinedCall])
def test_synced_telephones_are_seen_with_the_calls_of_their_employee(db: Session, users: Any, record: Any) -> None:
    own, other = (row(db, record, employee_id=key).id for key in users)
    assert seen(db, person(users[0], {"Call Logs.read": "own"}), record) == {own}
    assert seen(db, person(users[0], {"Call Logs.read": "all"}), record) == {own, other}
    assert seen(db, person(users[0]), record) == set()


@pytest.mark.parametrize(
    "record, levels, expected",
    [
        (Lead, {"Leads.read": "own", "Leads.write": "own"}, True),
        (Lead, {"Leads.read": "team", "Leads.write": "own"}, False),
        (Customer, {"Customers.read": "own", "Customers.write": "own"}, True),
        (Customer, {"Customers.read": "own", "Customers.write": "own", "Leads.read": "own"}, True),
        (Customer, {"Customers.read": "own", "Customers.write": "own", "Leads.read": "all"}, False),
        (Customer, {"Customers.read": "own", "Customers.write": "own", "Leads.write": "all"}, True),
    ],
)
def test_levels_alone_may_say_that_a_verb_reaches_all_visible_rows(record: Any, levels: Any, expected: bool) -> None:
    assert reaches_all_visible(person(1, levels, team=(2,)), record, "write") is expected


def test_a_record_of_an_addon_is_reached_by_owner_and_verb(
    db: Session, users: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RULES, Lead, OwnedRows(Lead, "Plugins"))
    about, other = lead(db), lead(db)
    about.assignee_id, other.owner_id = users
    db.flush()
    who = person(users[0], {"Plugins.read": "team", "Plugins.write": "own"}, team=(users[1],))
    assert seen(db, who, Lead) == {about.id, other.id}
    assert seen(db, who, Lead, "write") == {about.id}


def test_a_record_without_a_rule_shows_no_rows(db: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    lead(db)
    monkeypatch.delitem(RULES, Lead)
    assert seen(db, person(roles=frozenset({ADMIN})), Lead) == set()


def test_an_added_model_is_for_those_who_read_its_module_at_level_all(
    db: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_rules, "RULES", {Activity: RULES[Activity]})
    for module, name in ((row_rules, "MODULE_OF"), (row_rules, "_TIMELINES"), (permissions, "_ADDED")):
        monkeypatch.setattr(module, name, {})
    monkeypatch.setattr(permissions, "VERBS_OF", {})
    row_rules.add_model(FailedCall, "Plugins", has_timeline=True)
    key = row(db, FailedCall).id
    assert seen(db, person(levels={"Plugins.read": "all"}), FailedCall) == {key}
    assert seen(db, person(levels={"Plugins.read": "team"}), FailedCall) == set()
    line = row(db, Activity, kind="note", record_kind="failed_call", record_id=key)
    other = row(db, Activity, kind="note", record_kind="job_run", record_id=key)
    levels = {"Plugins.read": "all", "Notes.read": "all"}
    assert seen(db, person(levels=levels), Activity) == {line.id} and other.id != line.id
    assert seen(db, person(levels={"Notes.read": "all"}), Activity) == set()
    assert (row_rules.MODULE_OF[FailedCall], permissions.has_owner("Plugins")) == ("Plugins", False)


def test_every_record_with_or_without_a_rule_is_guarded() -> None:
    tables = row_rules.guarded_tables()
    assert {record.__tablename__: record for record in RULES}.items() <= tables.items()
    assert "lead_status" not in tables and row_rules.guarded_tables() is tables
