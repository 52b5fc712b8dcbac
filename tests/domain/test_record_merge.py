"""Merging: references to the merged records point to the remaining one; undo restores each row."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from flask_appbuilder import Model
from sqlalchemy import JSON, Boolean, Date, DateTime, Integer, Time, func, inspect, select
from sqlalchemy.orm import Session

from app.domain import customers, leads, tickets
from app.domain.audit_log import audit
from app.domain.base import NotFound, RuleBroken, UtcDateTime
from app.domain.change_context import ChangeContext
from app.domain.customer_rights import ALL_RIGHTS
from app.domain.merging import merge_fields, merge_rows, merge_undo, merged_records, record_merge
from app.domain.merging.merge_fields import MergeChoice
from app.domain.merging.record_merge import RECORDS, MergeRequest
from app.domain.persistence import parent_holders
from app.lib.field_encryption import Vault
from app.models import Activity, Assignment, Customer, CustomerKey, Lead, Task, Ticket, TicketSubject
from tests import factories
from tests.domain.test_leads import status_id
from tests.factories import DAY, NOW

#: Whole-number columns that sound like a reference and are none to a record that can be merged.
NO_REFERENCES = {
    "activity.record_id": "moved by merge_rows.PAIRS",
    "former_name.record_id": "moved by merge_rows.PAIRS",
    "former_person.record_id": "moved by merge_rows.PAIRS",
    "custom_value.record_id": "made anew from the record's own row",
    "import_row.record_id": "a revert must not delete the record that was kept",
    "kept_answer.record_id": "answers a repeated request with what it has made; kept for a day",
    "webhook_delivery.record_id": "a log of what was sent",
    "merged_record.record_id": "of merges themselves",
    "record_merge.kept_id": "of merges themselves",
    "duplicate_pair.first_id": "found anew",
    "duplicate_pair.second_id": "found anew",
    "duplicate_scan.seen_id": "a place, not a reference",
    "conversation.last_message_id": "a message",
    "leads.exhausted_task_id": "a task",
    "ticket.exhausted_task_id": "a task",
    "status_change.from_id": "a status",
    "status_change.to_id": "a status",
    "call_day_count.person_id": "a colleague",
    "call_day_numbers.person_id": "a colleague",
    "call_hour_count.person_id": "a colleague",
    "file_usage.user_id": "a colleague",
    "counted_row.row_id": "counted anew",
    "row_mark.row_id": "counted anew",
    "sign_in.viewed_id": "a colleague",
    "task.parent_assignee_id": "a colleague",
    "task.parent_owner_id": "a colleague",
    "assignment.beside_id": "a colleague",
    "data_erasure.record_id": "whom an erasure meant; it goes by the number, too, and ends with a merged record",
}
#: Keys of which a column that moves is a part.
#: A ticket in the register of complaints isn't merged into another one, so that only the kept one has a complaint.
SHARED_KEYS = {("ticket_subjects", "ticket_id"), ("complaint", "ticket_id")}

_serial = count(1)


def context(vault: Vault | None = None, now: datetime = NOW) -> ChangeContext:
    return ChangeContext(None, now, vault=vault, customer_rights=ALL_RIGHTS, may_reopen=True)


def made_lead(session: Session, vault: Vault | None = None, **values: Any) -> Lead:
    contact = {"first_name": "Ravi", "last_name": "Kumar", "mobile": f"98{next(_serial):08d}"}
    return leads.create(session, contact | values, context(vault))


def made_customer(session: Session, vault: Vault | None = None, **values: Any) -> Customer:
    contact = {"first_name": "Asha", "mobile": f"97{next(_serial):08d}"}
    return customers.create(session, contact | values, context(vault))


def made_ticket(session: Session, vault: Vault | None = None, **values: Any) -> Ticket:
    subject = session.scalars(select(TicketSubject.id).order_by(TicketSubject.id)).first()
    return tickets.create(session, {"subject_ids": [subject], **values}, context(vault))


MAKERS = {"leads": made_lead, "customer": made_customer, "ticket": made_ticket}


def wish(*rows: Any, **chosen: Any) -> MergeRequest:
    choices = {
        name: each if isinstance(each, MergeChoice) else MergeChoice(each.id, name) for name, each in chosen.items()
    }
    return MergeRequest(type(rows[0]), tuple(row.id for row in rows), choices)


def merged(session: Session, *rows: Any, now: datetime = NOW, **chosen: Any) -> Any:
    session.flush()
    return record_merge.merge(session, wish(*rows, **chosen), context(now=now))


# --- what refers to a record


def test_every_column_that_sounds_like_a_reference_is_known() -> None:
    found = {
        f"{table.name}.{column.name}"
        for table in Model.metadata.tables.values()
        for column in table.columns
        if column.name.endswith("_id")
        and isinstance(column.type, Integer)
        and not column.foreign_keys
        and not table.name.startswith("ab_")
    }
    assert found == set(NO_REFERENCES), found ^ set(NO_REFERENCES)
    shared = {
        (column.table.name, column.name)
        for kind in RECORDS
        for column in merge_rows.references(kind)
        if merge_rows.shared_keys(column)
    }
    assert shared == SHARED_KEYS, "two rows of one record could have the same key: merge_rows must say what happens"


def a_value(column: Any) -> Any:
    kind = column.type
    if isinstance(kind, UtcDateTime | DateTime):
        return NOW
    if isinstance(kind, Date):
        return date(2026, 1, 2)
    if isinstance(kind, Time):
        return datetime(2026, 1, 1, 9, tzinfo=UTC).time()
    if isinstance(kind, Boolean):
        return False
    if isinstance(kind, JSON):
        return {}
    return next(_serial) if isinstance(kind, Integer) else f"x{next(_serial)}"


#: What a CHECK of a table asks for beside the columns that must have a value.
CHECKED = {"customer_link": "ticket_id"}


def filled(session: Session, table: Any, **given: Any) -> int:
    """Insert a row with these values and whatever else it needs; its id."""
    row = dict(given)
    beside = CHECKED.get(table.name)
    if beside and not {beside, "lead_id"} & set(row):
        row[beside] = existing(session, Ticket.__table__)
    for column in table.columns:
        if column.name in row or column.nullable or column.computed is not None or column.server_default is not None:
            continue
        target = next(iter(column.foreign_keys), None)
        if target is not None:
            row[column.name] = existing(session, target.column.table)
        elif not (column.primary_key and isinstance(column.type, Integer)):
            row[column.name] = a_value(column)
    done: Any = session.connection().execute(table.insert().values(**row))
    return int(done.inserted_primary_key[0])


def existing(session: Session, table: Any) -> int:
    found = session.connection().execute(select(table.c.id).limit(1)).scalar()
    return found if found is not None else filled(session, table)


@pytest.mark.parametrize("kind", sorted(RECORDS))
def test_every_reference_moves_and_comes_back(db: Session, vault: Vault, kind: str) -> None:
    kept: Any = MAKERS[kind](db, vault)
    gone: Any = MAKERS[kind](db, vault)
    db.flush()
    for column in merge_rows.references(kind):
        if "id" in column.table.c:
            filled(db, column.table, **{column.name: gone.id})
    if kind == "ticket":
        parent_holders.note_assignments(db, [gone.id])  # the session hears nothing of these rows
    db.commit()
    before = everything(db)
    made = merged(db, kept, gone)
    db.commit()
    connection = db.connection()
    for column in merge_rows.references(kind):
        left = connection.execute(select(func.count()).where(column == gone.id).select_from(column.table)).scalar()
        assert left == 0, column
        assert connection.execute(select(func.count()).where(column == kept.id).select_from(column.table)).scalar()
    assert db.get(RECORDS[kind], gone.id) is None
    done = merge_undo.undo(db, made.id, context(now=NOW + DAY))
    db.commit()
    assert (done.left, done.kept_fields) == ({}, [])
    assert differences(before, everything(db)) == []


#: Columns that any save changes, and tables that remember what happened.
_STAMPS = ("version", "changed_on", "changed_by_id")
_HISTORY = (*merge_rows.BOOKKEEPING, "audit_entry", "audit_head", "duplicate_scan", "row_mark")


def everything(session: Session) -> dict[str, dict[Any, Any]]:
    """All rows of all tables by primary key; lines of the timeline that were there."""
    found = {}
    for table in Model.metadata.tables.values():
        if table.name in _HISTORY:
            continue
        rows = session.connection().execute(select(table)).mappings().all()
        names = [name for name in [each.name for each in table.c] if name not in _STAMPS or table.name not in RECORDS]
        keys = table.primary_key.columns.keys()
        found[table.name] = {tuple(row[key] for key in keys): {name: row[name] for name in names} for row in rows}
    return found


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[Any]:
    found = []
    for table, rows in before.items():
        for key, row in rows.items():
            now = after[table].get(key)
            if now != row:
                changed = {name: (row[name], now[name]) for name in row if now and now[name] != row[name]}
                found.append((table, key, changed or "gone"))
        new = [key for key in after[table] if key not in rows and table != "activity"]
        found += [(table, key, "new") for key in new]
    return found


# --- fields


def test_what_is_chosen_stays_and_the_rest_is_proposed(db: Session, vault: Vault) -> None:
    old = made_lead(db, vault, email="old@x.in", description="first", pan="ABCDE1234F")
    new = made_lead(db, vault, first_name="Ravindra", email="new@x.in", date_of_birth=date(1990, 1, 2))
    new.changed_on = NOW + timedelta(hours=1)
    mobiles = old.mobile, new.mobile
    db.commit()
    merged(db, old, new, first_name=old, status=new)
    assert (old.first_name, old.email, old.description, old.date_of_birth) == (
        "Ravi",
        "new@x.in",
        "first",
        date(1990, 1, 2),
    )
    assert vault.open(str(old.pan_sealed)) == "ABCDE1234F"
    assert {old.mobile, old.alternative_mobile} == set(mobiles), "no number is lost"
    text = [line.payload.get("text") for line in db.scalars(select(Activity).where(Activity.lead_id == old.id))]
    kept = merged_records.follow(db, "leads", new.id)
    assert kept is not None and f"Merged from {kept.number}" in text
    assert text.count("Lead created") == 2, "the timelines are joined"


def test_follow_ups_of_an_open_lead_close_with_the_closed_one_that_remains_until_the_undo(db: Session) -> None:
    one, two = (made_lead(db, assignee_id=filled(db, Model.metadata.tables["ab_user"])) for _ in range(2))
    leads.change(db, one, {"status_id": status_id(db, "junk"), "close_tasks": []}, context())  # its own stays open
    named = factories.task(db, two, title="Send the form")
    db.commit()
    made = merged(db, one, two)

    def states() -> list[tuple[Any, ...]]:
        query = select(Task.title, Task.status, Task.remind_on.is_(None)).order_by(Task.id)
        return [("named" if title == named.title else "generated", *rest) for title, *rest in db.execute(query)]

    assert states() == [("generated", "Todo", False), ("generated", "Canceled", True), ("named", "Todo", True)]
    merge_undo.undo(db, made.id, context())
    assert states() == [("generated", "Todo", False), ("generated", "Todo", False), ("named", "Todo", True)]


def test_one_assignee_is_left_and_the_undo_gives_both_back(db: Session) -> None:
    users = [filled(db, Model.metadata.tables["ab_user"]) for _ in range(2)]
    one, two = (made_lead(db, assignee_id=user) for user in users)
    db.commit()
    made = merged(db, one, two)
    is_open = select(Assignment.user_id).where(Assignment.lead_id == one.id, Assignment.ended_on.is_(None))
    assert db.scalars(is_open).all() == [users[0]]
    assert db.scalar(select(func.count()).where(Task.lead_id == one.id)) == 2
    merge_undo.undo(db, made.id, context())
    both = select(Assignment.lead_id, Assignment.user_id, Assignment.open_key).where(Assignment.ended_on.is_(None))
    assert sorted(db.execute(both).all()) == [
        (row, user, f"leads:{row}:{user}") for row, user in zip((one.id, two.id), users, strict=True)
    ]


def test_a_linked_lead_keeps_its_customer_and_the_other_proposes(db: Session, vault: Vault) -> None:
    asha = made_customer(db, vault, mobile="9820012345", email="asha@x.in")
    linked, free = made_lead(db, vault, mobile="9820012345"), made_lead(db, vault, email="other@x.in")
    db.commit()
    assert linked.customer_id == asha.id
    made = merged(db, free, linked)
    assert (free.customer_id, free.email) == (asha.id, None)
    proposals = db.scalars(select(Activity.payload).where(Activity.lead_id == free.id, Activity.kind == "proposal"))
    assert ["email", "asha@x.in", "other@x.in"] in [change for each in proposals for change in each["changes"]]
    merge_undo.undo(db, made.id, context())
    assert (free.customer_id, free.email) == (None, "other@x.in")


# --- customers


def test_the_kept_customer_holds_what_it_has_and_the_rest_is_free(db: Session, vault: Vault) -> None:
    one = made_customer(db, vault, mobile="9820011111", pan="ABCDE1234F")
    two = made_customer(db, vault, mobile="9820022222", alternative_mobile="9820033333", no_calls=True)
    db.commit()
    made = merged(db, one, two, mobile=two, alternative_mobile=two)
    held = select(CustomerKey.kind, CustomerKey.value).where(CustomerKey.customer_id == one.id)
    assert {value for kind, value in db.execute(held) if kind == "mobile"} == {"+919820022222", "+919820033333"}
    assert one.no_calls is True, "whoever asked for it in one record has asked for it"
    free = made_customer(db, vault, mobile="9820011111")
    db.commit()
    with pytest.raises(RuleBroken, match="belongs to another record by now"):
        merge_undo.undo(db, made.id, context())
    db.rollback()
    db.delete(db.get(Customer, free.id))
    db.commit()
    merge_undo.undo(db, made.id, context())
    db.commit()
    keys = db.execute(select(CustomerKey.customer_id, CustomerKey.value).where(CustomerKey.kind == "mobile")).all()
    assert sorted(keys) == [(one.id, "+919820011111"), (two.id, "+919820022222"), (two.id, "+919820033333")]


# --- refusals, and what happened since


@pytest.mark.parametrize(
    ("ids", "sentence"),
    [((0,), "at least two different"), ((0, 0), "at least two different"), ((0, 1, 2, 3), "At most 3")],
)
def test_too_few_and_too_many_are_refused(db: Session, ids: tuple[int, ...], sentence: str) -> None:
    rows = [made_lead(db) for _ in range(4)]
    with pytest.raises(RuleBroken, match=sentence):
        merged(db, *(rows[each] for each in ids))


def test_different_customers_and_missing_fields_are_refused(db: Session, vault: Vault) -> None:
    for number in ("9820011111", "9820022222"):
        made_customer(db, vault, mobile=number)
    one, two = (made_lead(db, vault, mobile=number) for number in ("9820011111", "9820022222"))
    with pytest.raises(RuleBroken, match="merge the customers first"):
        merged(db, one, two)
    opened, plain = made_lead(db, vault), made_lead(db, vault)
    leads.change(db, opened, {"status_id": status_id(db, "opened"), "client_id": "E1"}, context(vault))
    db.commit()
    with pytest.raises(RuleBroken, match="needs a field that would be empty"):
        merged(db, plain, opened, status=opened, client_id=plain)


def test_a_merge_is_undone_once_in_time_and_from_the_end_of_a_chain(db: Session) -> None:
    one, two, three = (made_lead(db) for _ in range(3))
    db.commit()
    first = merged(db, two, three)
    second = merged(db, one, two)
    found = merged_records.follow(db, "leads", three.id)
    assert found is not None and found.kept_id == one.id
    with pytest.raises(RuleBroken, match="itself merged into"):
        merge_undo.undo(db, first.id, context())
    merge_undo.undo(db, second.id, context())
    with pytest.raises(RuleBroken, match="undone already"):
        merge_undo.undo(db, second.id, context())
    with pytest.raises(RuleBroken, match="within 30 days"):
        merge_undo.undo(db, first.id, context(now=NOW + merge_undo.UNDO_FOR + DAY))
    with pytest.raises(NotFound):
        merge_undo.undo(db, 999, context())
    assert merge_undo.forget_old(db, NOW + merge_undo.UNDO_FOR + DAY, 10) == 2
    kept = merged_records.follow(db, "leads", three.id)
    assert kept is not None and kept.kept_id == two.id, "where a number leads is not forgotten"


def test_what_was_changed_since_stays_and_is_told(db: Session) -> None:
    one, two = made_lead(db, email="one@x.in"), made_lead(db, email="two@x.in")
    two.changed_on = NOW + timedelta(hours=1)
    moved = filled(db, Task.__table__, lead_id=two.id)
    other = filled(db, Task.__table__, lead_id=two.id)
    elsewhere = made_lead(db)
    db.commit()
    made = merged(db, one, two)
    one.email = "later@x.in"
    db.get_one(Task, moved).lead_id = elsewhere.id
    db.flush()
    done = merge_undo.undo(db, made.id, context())
    assert (one.email, db.get_one(Lead, two.id).email) == ("later@x.in", "two@x.in")
    assert (done.kept_fields, done.left) == (["email"], {"task": 1})
    assert (db.get_one(Task, moved).lead_id, db.get_one(Task, other).lead_id) == (elsewhere.id, two.id)


def test_an_account_since_then_refuses_the_undo(db: Session, vault: Vault) -> None:
    one, two = made_lead(db, vault), made_lead(db, vault)
    db.commit()
    made = merged(db, one, two)
    leads.change(db, one, {"status_id": status_id(db, "opened"), "client_id": "E9"}, context(vault))
    with pytest.raises(RuleBroken, match="got a customer or an account since"):
        merge_undo.undo(db, made.id, context())


def test_tickets_share_their_subjects(db: Session) -> None:
    first, second = db.scalars(select(TicketSubject.id).order_by(TicketSubject.position)).all()[:2]
    one = tickets.create(db, {"subject_ids": [first]}, context())
    two = tickets.create(db, {"subject_ids": [first, second], "description": "late"}, context())
    db.commit()
    made = merged(db, one, two)
    assert (one.title, one.description) == ("KYC update, DP charges", "late")
    merge_undo.undo(db, made.id, context())
    assert (one.title, len(db.get_one(Ticket, two.id).subjects)) == ("KYC update", 2)


def test_every_field_is_a_column_and_every_event_is_known() -> None:
    for record, fields in merge_fields.FIELDS.items():
        columns = {each.key for each in inspect(record).columns}
        assert {name for each in fields for name in each.columns} <= columns
        assert max(Counter(name for each in fields for name in each.columns).values()) == 1
    assert "merge" in audit.EVENTS
