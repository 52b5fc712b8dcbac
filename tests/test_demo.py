"""The demo data: complete, consistent, and loaded once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from flask_appbuilder import Model
from sqlalchemy import create_engine, event, func, insert, select
from sqlalchemy.orm import Session

from app import access, demo, models
from app.demo import ticket_text
from app.demo.complaints import OLD, OTHER_SUBJECT, RECENT, SUBJECTS
from app.domain import lead_requirements, leads, tickets
from app.domain.base import RuleBroken
from app.domain.complaints import disclosure_checks, disclosure_counts, disclosure_figures
from app.domain.messaging.messages import CAMPAIGN_CAUSE
from app.domain.people import login_names
from app.domain.persistence.numbering import next_number
from app.domain.working_time.sla import ENDED, PAUSED, RUNNING
from app.lib.field_encryption import Vault
from app.lib.identity_numbers import is_pan

NOW = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)  # Friday, 14:00 in India
VAULT = Vault(bytes(32))


def add_picklists(session: Session) -> None:
    """Add the lists and roles that the migrations bring."""
    for table, rows in (
        (models.LeadStatus, [{"meaning": m, "label": name, "color": c} for m, name, c in leads.STATUSES]),
        (models.TicketStatus, [{"meaning": m, "label": name, "color": c} for m, name, c in tickets.STATUSES]),
        (models.TicketSubject, [{"label": name} for name in tickets.SUBJECTS]),
        (models.ComplaintCategory, [{"label": "Demat"}]),
        (models.AccountType, [{"label": "Individual"}, {"label": "HUF"}]),
        (models.LeadSource, [{"label": "On Call"}, {"label": "Website"}]),
    ):
        session.execute(insert(table), [row | {"position": n, "is_active": True} for n, row in enumerate(rows)])
    first = [models.SlaTarget(priority="", first_response_minutes=120, resolution_minutes=1080)]
    session.add(models.SlaPolicy(label="Standard", applies_to="ticket", position=1, is_active=True, targets=first))
    roles = ("Admin", "Compliance", "Sales Manager", "Support Manager", "Sales User", "Support User")
    session.add_all(models.Role(name=role) for role in roles)
    session.flush()


@pytest.fixture(scope="module")
def loaded() -> Iterator[tuple[Session, dict[str, int]]]:
    engine = create_engine("sqlite://")
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys=ON"))
    Model.metadata.create_all(engine)
    with Session(engine) as session, access.as_system(session):
        add_picklists(session)
        counts = demo.load(session, NOW, leads=40, vault=VAULT)
        session.commit()
        yield session, counts
    engine.dispose()


def count(session: Session, record: object, *where: object) -> int:
    return session.execute(select(func.count()).select_from(record).where(*where)).scalar() or 0


def test_the_numbers_of_rows_follow_the_number_of_leads(loaded):
    session, counts = loaded
    assert counts["leads"] == 40 and counts["customer"] >= 10 and counts["ticket"] == 12 + len(OLD)
    assert counts["task"] == 60 and counts["call_log"] == 200 and counts["ab_user"] == 13
    assert {name: count(session, Model.metadata.tables[name]) for name in counts} == counts


def test_all_notes_can_be_searched(loaded):
    session, counts = loaded
    notes = session.scalars(select(models.Activity).where(models.Activity.kind.in_(("note", "comment")))).all()
    copied = session.execute(select(models.NoteText.__table__)).all()
    assert {row.id: row.body for row in copied} == {note.id: note.payload["text"] for note in notes}
    assert counts["note_text"] == len(notes) > 10


def test_all_users_have_a_role_and_a_manager(loaded):
    session, _ = loaded
    people = session.scalars(select(models.User)).all()
    roles = Counter(user.roles[0].name for user in people)
    assert roles == {"Sales Manager": 2, "Support Manager": 1, "Sales User": 6, "Support User": 3, "Compliance": 1}
    assert sum(user.manager_id is None for user in people) == 4


def test_complaints_are_escalated_to_people_of_the_demo(loaded):
    session, _ = loaded
    people = session.scalars(select(models.BusinessSetting.value).filter_by(key="complaint_people")).one()
    roles = {role: session.get_one(models.User, key).roles[0].name for role, key in people.items()}
    assert roles == {"care": "Support User", "head": "Support Manager", "compliance": "Compliance"}


@pytest.mark.parametrize("record", [models.Lead, models.Customer, models.Ticket, models.AssignmentRequest])
def test_record_numbers_are_unique_and_the_series_continues(loaded, record):
    session, _ = loaded
    numbers = session.scalars(select(record.number)).all()
    kind = {"leads": "LEAD", "customer": "CUST", "ticket": "TICKET"}.get(record.__tablename__, "CAR")
    assert len(set(numbers)) == len(numbers) > 0
    assert next_number(session, kind, NOW.year) not in numbers


@pytest.mark.parametrize("record", [models.Lead, models.Customer, models.Ticket])
def test_records_are_numbered_in_order_of_time(loaded, record):
    rows = loaded[0].execute(select(record.number, record.created_on).order_by(record.number)).all()
    times = [at for _number, at in rows]
    assert times == sorted(times)


def test_a_converted_lead_names_its_customer(loaded):
    session, _ = loaded
    rows = session.execute(
        select(models.Activity.payload, models.Customer.number)
        .join(models.Customer, models.Customer.id == models.Activity.customer_id)
        .where(models.Activity.lead_id.is_not(None))
    ).all()
    converted = [(payload["text"], number) for payload, number in rows if payload.get("what") == "converted"]
    assert converted and all(text == f"Converted to {number}" for text, number in converted)


@pytest.mark.parametrize(("record", "own"), [(models.Lead, "lead_id"), (models.Ticket, "ticket_id")])
def test_every_record_has_a_current_assignment_and_a_creation_entry(loaded, record, own):
    session, _ = loaded
    assignees = dict(session.execute(select(record.id, record.assignee_id)).all())
    open_assignments = select(getattr(models.Assignment, own), models.Assignment.user_id).where(
        models.Assignment.ended_on.is_(None), getattr(models.Assignment, own).is_not(None)
    )
    assert sorted(session.execute(open_assignments).all()) == sorted(assignees.items())
    made = models.Activity.payload["text"].as_string().in_(["Lead created", "Ticket created"])
    created = session.scalars(select(getattr(models.Activity, own)).where(made)).all()
    assert sorted(key for key in created if key) == sorted(assignees)


@pytest.mark.parametrize(("record", "own"), [(models.Lead, "lead_id"), (models.Ticket, "ticket_id")])
def test_the_last_status_change_is_the_status(loaded, record, own):
    session, _ = loaded
    column = getattr(models.StatusChange, own)
    changes = select(column, models.StatusChange.to_id).where(column.is_not(None)).order_by(models.StatusChange.id)
    last = dict(session.execute(changes).all())
    assert last == dict(session.execute(select(record.id, record.status_id)).all())


def test_every_status_of_leads_and_tickets_occurs(loaded):
    session, _ = loaded
    assert count(session, models.LeadStatus) == len(set(session.scalars(select(models.Lead.status_id))))
    assert count(session, models.TicketStatus) == len(set(session.scalars(select(models.Ticket.status_id))))


def test_the_fields_that_a_status_requires_are_filled(loaded):
    session, _ = loaded
    for lead in session.scalars(select(models.Lead)):
        needed = lead_requirements.REQUIRED_FIELDS.get(lead.status.meaning)
        assert needed is None or getattr(lead, needed)
        assert lead.status.meaning not in ("opened", "activated") or (lead.customer and lead.first_name is None)


def test_nothing_has_happened_in_the_future(loaded):
    session, _ = loaded
    for column in (models.Activity.at, models.Lead.changed_on, models.CallLog.started_on, models.StatusChange.at):
        assert session.execute(select(func.max(column))).scalar().replace(tzinfo=UTC) <= NOW


def test_a_few_tasks_are_overdue(loaded):
    session, _ = loaded
    late = select(models.Task.due_on).where(models.Task.status.in_(["Todo", "In Progress"]), models.Task.due_on < NOW)
    overdue = session.scalars(late).all()
    assert 3 <= sum(due < NOW - timedelta(minutes=30) for due in overdue) <= 8
    assert len(overdue) <= 12


def test_sla_clocks_run_for_open_tickets_and_pause_for_waiting_ones(loaded):
    session, _ = loaded
    for ticket in session.scalars(select(models.Ticket)):
        state = ticket.clock_state(ticket.status.meaning)
        assert (ticket.resolve_due_on is None) is (state == ENDED)
        assert (ticket.paused_on is not None) is (state == PAUSED)
        assert (ticket.sla_on is not None) is (state == RUNNING)
        assert (ticket.reply_due_on is None) or ticket.replied_on is None


@pytest.mark.parametrize(("record", "own"), [(models.Lead, "lead_id"), (models.Ticket, "ticket_id")])
def test_an_answered_call_or_a_sent_message_is_a_first_reply(loaded, record, own):
    session, _ = loaded
    calls = select(getattr(models.CallLog, own)).where(models.CallLog.status == "Completed")
    of_campaign = func.coalesce(models.Message.cause, "").startswith(CAMPAIGN_CAUSE)
    sent = select(getattr(models.Message, own)).where(models.Message.direction == "out", ~of_campaign)
    talked = {*session.scalars(calls), *session.scalars(sent)} - {None}
    rows = session.scalars(select(record).where(record.id.in_(talked))).all()
    assert rows or record is models.Ticket
    for row in rows:
        assert row.replied_on and row.reply_due_on is None, row.number


def test_nobody_has_talked_to_a_new_lead_by_telephone(loaded):
    session, _ = loaded
    new = select(models.LeadStatus.id).where(models.LeadStatus.meaning == "new")
    mine = models.CallLog.lead_id.in_(select(models.Lead.id).where(models.Lead.status_id.in_(new)))
    statuses = set(session.scalars(select(models.CallLog.status).where(mine)))
    assert statuses and "Completed" not in statuses


def test_nothing_has_happened_before_a_lead_was_created(loaded):
    session, _ = loaded
    early = select(models.Lead.number, models.Activity.kind).where(
        models.Activity.lead_id == models.Lead.id, models.Activity.at < models.Lead.created_on
    )
    assert session.execute(early).all() == []


def test_a_ticket_says_what_the_customer_said(loaded):
    assert set(ticket_text.DESCRIPTIONS) == set(tickets.SUBJECTS)
    session, _ = loaded
    known = {*ticket_text.DESCRIPTIONS.values()}
    said = select(models.Ticket.description).where(models.Ticket.complaint_state.is_(None))
    assert known >= set(session.scalars(said))


def test_telephone_numbers_and_pans_are_valid(loaded):
    session, _ = loaded
    people = session.scalars(select(models.Customer)).all()
    assert all(person.mobile_e164 and person.mobile_e164.startswith("+919") for person in people)
    sealed = [person for person in people if person.pan_sealed]
    assert sealed and all(is_pan(VAULT.open(person.pan_sealed)) for person in sealed)
    assert all(VAULT.blind(VAULT.open(p.pan_sealed), "pan") == p.pan_blind for p in sealed)


def test_outcomes_fit_their_calls(loaded):
    session, _ = loaded
    for call in session.scalars(select(models.CallLog)):
        answered = call.status == "Completed"
        assert not call.outcome or (call.outcome == "No answer") is not answered, (call.status, call.outcome)
        assert bool(call.duration_seconds) is answered
        assert answered or call.direction == "Outgoing" or call.outcome is None


def test_only_messages_of_the_demo_account_claim_to_be_delivered(loaded):
    session, _ = loaded
    rows = session.execute(select(models.Message.state, models.Message.account_id)).all()
    assert {state for state, account in rows if account is None} == {"noted"}
    assert {state for state, account in rows if account} == {"delivered", "read"}
    assert not session.scalars(select(models.Message.provider_id).where(models.Message.provider_id.is_not(None))).all()


def test_a_conversation_knows_its_newest_message_and_what_is_unread(loaded):
    session, _ = loaded
    for talk in session.scalars(select(models.Conversation)):
        mine = select(models.Message).where(models.Message.conversation_id == talk.id).order_by(models.Message.id)
        said = session.scalars(mine).all()
        assert (talk.last_message_id, talk.last_message_on) == (said[-1].id, said[-1].happened_on)
        answered = max((n for n, each in enumerate(said) if each.direction == "out"), default=-1)
        assert talk.unread == len(said) - 1 - answered


def test_nothing_happens_with_a_lead_that_was_given_up(loaded):
    session, _ = loaded
    given_up = ("unqualified", "junk", "expired", "expired_opened")
    for lead in session.scalars(select(models.Lead)):
        if lead.status.meaning in given_up:
            late = [models.Activity.lead_id == lead.id, models.Activity.at > lead.status_on]
            kinds = session.scalars(select(models.Activity.kind).where(*late)).all()
            assert not {"call", "message", "note"} & set(kinds), lead.number


def test_there_are_message_templates_of_each_channel(loaded):
    session, _ = loaded
    assert set(session.scalars(select(models.MessageTemplate.channel))) == {"whatsapp", "sms", "email", "note"}


def test_there_are_support_pages_to_be_sent(loaded):
    session, _ = loaded
    pages = session.scalars(select(models.SupportPage)).all()
    assert len(pages) == 4 and all(page.url.startswith("https://example.com/") for page in pages)


def test_a_decided_request_asks_nobody_any_more(loaded):
    session, _ = loaded
    pending = {row.id for row in session.scalars(select(models.AssignmentRequest)) if row.status == "Pending"}
    for notice in session.scalars(select(models.Notification).where(models.Notification.kind == "request")):
        key = int(notice.event_key.split(":")[1])
        assert notice.payload["number"].startswith("CRM-LEAD-") and (notice.read_on is None) is (key in pending)


def test_demo_data_is_loaded_once(loaded):
    session, _ = loaded
    with pytest.raises(RuleBroken, match="already"):
        demo.load(session, NOW, leads=40)


def test_without_picklists_the_error_says_what_is_missing():
    engine = create_engine("sqlite://")
    Model.metadata.create_all(engine)
    with Session(engine) as session, pytest.raises(RuleBroken, match="role"):
        demo.load(session, NOW, leads=40)
    engine.dispose()


def test_nobody_can_take_the_name_or_address_of_a_demo_user(loaded):
    session, _ = loaded
    for user in session.scalars(select(models.User)):
        assert login_names.holder_of(session, user.username) == user.id
        assert login_names.holder_of(session, user.email.upper()) == user.id


def test_some_leads_are_in_the_list_twice(loaded):
    session, _ = loaded
    pairs = session.scalars(select(models.DuplicatePair).order_by(models.DuplicatePair.score)).all()
    assert len(pairs) >= 3
    for pair in pairs:
        first, second = session.get(models.Lead, pair.first_id), session.get(models.Lead, pair.second_id)
        assert first.created_on < second.created_on and second.customer_id is None
        assert second.last_name == first.last_name


def test_complaints_have_a_ticket_an_entry_and_days_that_fit(loaded):
    session, _ = loaded
    rows = session.scalars(select(models.Complaint).order_by(models.Complaint.received_on)).all()
    assert 20 <= len(rows) == count(session, models.ComplaintEntry)
    assert rows[0].received_on < (NOW - timedelta(days=400)).date() and any(row.outcome is None for row in rows)
    for row in rows:
        assert row.ticket.complaint_state == ("disposed" if row.outcome else "pending")
        assert (row.ticket.resolved_on is None) is (row.outcome is None)
        assert row.received_on <= (row.disposed_on or row.received_on) <= NOW.date()
        assert row.ticket.customer.created_on.date() <= row.cause_on < row.received_on
        assert row.title in row.ticket.description


def test_the_subject_of_a_complaints_ticket_fits_its_category(loaded):
    session, _ = loaded
    subjects = {row.label for row in session.scalars(select(models.TicketSubject))}
    expected = {about: SUBJECTS.get(category, OTHER_SUBJECT) for _days, _source, category, about, _taken in OLD}
    expected |= {about: SUBJECTS.get(category, OTHER_SUBJECT) for _source, category, about, _done in RECENT}
    assert {*SUBJECTS.values(), OTHER_SUBJECT} <= subjects
    for row in session.scalars(select(models.Complaint)):
        assert [each.label for each in row.ticket.subjects] == [expected[row.title]]


def test_two_months_of_the_disclosure_are_published_and_add_up(loaded):
    session, counts = loaded
    rows = session.scalars(select(models.ComplaintDisclosure).order_by(models.ComplaintDisclosure.month)).all()
    assert [f"{row.month:%Y-%m}" for row in rows] == ["2026-09", "2026-10"] and counts["complaint_disclosure"] == 2
    assert all(row.month < row.published_on.date() <= NOW.date() for row in rows)
    for row in rows:
        assert disclosure_checks.broken_identities(row.disclosure) == []
        counted = disclosure_figures.as_json(disclosure_counts.disclosure_of(session, row.span))
        assert disclosure_figures.from_json(counted) == row.disclosure, "nothing has changed since"
