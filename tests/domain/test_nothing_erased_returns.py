"""What an erasure finds beside the records, and what would bring back what is gone: undo, merges, repeats."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, attributes

from app.channels.provider import CallUpdate, IncomingMessage, StatusUpdate
from app.domain import assignment_requests, bulk_undo, data_requests, legal_holds, predecessor_names, timeline
from app.domain.base import Conflict, NotFound, RuleBroken, Stamp
from app.domain.bulk_undo import BulkChange
from app.domain.change_context import ChangeContext
from app.domain.erasure import erasing
from app.domain.inbound import inbound_queue, provider_events
from app.domain.inbound.inbound_queue import SealedRequest
from app.domain.legal_holds import HoldInput
from app.domain.merging import merge_undo
from app.domain.messaging import consents, conversations, message_reactions, messages
from app.domain.notifications import notices
from app.domain.notifications.notices import NoticeEvent
from app.domain.predecessor_names import PredecessorName
from app.domain.telephony import call_sync, calls
from app.domain.telephony.call_parsing import Telephone
from app.lib.field_encryption import Vault
from app.models import (
    Activity,
    AssignmentRequest,
    CallLog,
    CallRecording,
    Campaign,
    CampaignRecipient,
    ChannelAccount,
    Consent,
    Customer,
    ExportRun,
    ImportRow,
    ImportRun,
    InboundEvent,
    Mail,
    Message,
    Notification,
    SavedView,
    ViewPin,
    Webhook,
    WebhookDelivery,
)
from app.outbox import message_delivery
from tests import factories
from tests.domain import test_erasing as erasing_tests
from tests.domain.test_erasing import LATER, NUMBER, begun, dump, requested, work
from tests.domain.test_record_merge import merged
from tests.factories import NOW

session, rhea, ravi = erasing_tests.session, erasing_tests.rhea, erasing_tests.ravi
VAULT = Vault(b"k" * 32)
WAMID = "wamid.919820012345"


@pytest.fixture
def account(session: Session) -> ChannelAccount:
    made = ChannelAccount(name="Desk", kind="console", channels=["whatsapp", "sms"], settings={}, caller_ids=[])
    made.token_hash = made.token_sealed = "x"
    made.stamp(Stamp(None, NOW))
    session.add(made)
    session.flush()
    return made


def stored(session: Session, *rows: Any) -> None:
    for row in rows:
        if hasattr(row, "stamp"):
            row.stamp(Stamp(None, NOW))
    session.add_all(rows)
    session.commit()


def left(session: Session, *words: str) -> list[str]:
    """Rows that still have one of these words."""
    return [row for row in dump(session, "data_request").split("\n") if any(word in row for word in words)]


def erased(session: Session, about: Any) -> None:
    begun(session, requested(session, about))
    work(session)
    session.expire_all()


def test_no_undo_brings_back_a_deleted_note_or_a_replaced_value(session: Session, ravi: Customer, rhea: Any) -> None:
    lead, other = factories.lead(session, rhea, customer_id=ravi.id), factories.lead(session, rhea)
    note = {"kind": "note", "payload": {"json": {"text": "Ravi Likes options"}}}
    parents = dict.fromkeys(("lead_id", "ticket_id", "customer_id", "task_id"))
    before = {**parents, "lead_id": lead.id, **note}
    kept = {**parents, "lead_id": other.id, "kind": "note", "payload": {"json": {"text": "Meera"}}}
    values = {"version": 2, "before": {"custom": {"json": {"hobby": "Likes options"}}}}
    made = [
        BulkChange(module="Notes", rows=[{"id": 900, "version": None, "before": before}]),
        BulkChange(module="Notes", rows=[{"id": 901, "version": None, "before": kept}]),
        BulkChange(module="leads", rows=[{"id": lead.id, **values}, {"id": other.id, **values}]),
    ]
    for each in made:
        each.user_id, each.at, each.label = rhea.id, NOW, "Note deleted."
    stored(session, *made)
    first, second, third = (each.id for each in made)
    erased(session, ravi)
    with pytest.raises(NotFound):
        bulk_undo.claim(session, first, rhea.id, LATER)
    assert bulk_undo.claim(session, second, rhea.id, LATER).rows[0]["before"] == kept
    assert [each["id"] for each in bulk_undo.claim(session, third, rhea.id, LATER).rows] == [other.id]


def test_merges_of_merges_and_undone_ones_keep_nothing(session: Session, ravi: Customer, rhea: Any) -> None:
    first, second, third, undone = (
        factories.lead(session, rhea, first_name="Ravi", mobile=f"98200 1234{n}", mobile_e164=f"+91982001234{n}")
        for n in range(1, 5)
    )
    made = merged(session, third, undone)
    made.undone_on = NOW
    session.flush()
    merged(session, second, first)
    merged(session, third, second)
    session.commit()
    erased(session, third)
    held = dump(session, "customer", "customer_key", "data_request", "audit_entry")
    assert "Ravi" not in held and "98200 1234" not in held
    with pytest.raises(RuleBroken):
        merge_undo.undo(session, made.id, ChangeContext(None, NOW))


def test_what_a_telephone_sends_again_stays_erased(session: Session, ravi: Customer, rhea: Any) -> None:
    telephone = Telephone(rhea.id, ZoneInfo("Asia/Kolkata"))
    sent = {"from": "9820012345", "to": "9820099999", "type": "incoming", "duration": 60}
    sent |= {"start_time": (NOW - timedelta(hours=1)).isoformat(), "contact_name": "Ravi Kumar"}
    named = {**sent, "device_call_id": "982001 2345-A"}
    named |= {"start_time": (NOW - timedelta(hours=2)).isoformat()}
    call_sync.sync(session, telephone, [sent, named], NOW)
    session.commit()
    erased(session, ravi)
    again = {**sent, "device_call_id": "new 9820012345", "duration": 90}
    old = {**sent, "start_time": (NOW - timedelta(days=9)).isoformat(), "from": "9820077777", "contact_name": "Meera"}
    results = call_sync.sync(session, telephone, [{**sent, "duration": 70}, {**named, "duration": 80}, again], LATER)
    results += call_sync.sync(session, telephone, [old, {**sent, "contact_name": "Ravi"}, named], LATER)
    moved = {**named, "start_time": (NOW - timedelta(days=3)).isoformat()}  # known by nothing but its id
    results += call_sync.sync(session, telephone, [moved], LATER)
    session.commit()
    assert [each.status for each in results] == [*["duplicate"] * 3, "created", *["duplicate"] * 3]
    assert left(session, "Ravi", "9820012345", "982001 2345") == []
    stored_calls = session.scalars(select(CallLog).order_by(CallLog.id)).all()
    assert [calls.is_erased(each) for each in stored_calls] == [True, True, False]


@pytest.mark.parametrize("other", ["#1", "#" + "0" * 18, "#" + "0" * 20])
def test_an_id_that_only_begins_like_a_hash_hides_no_erased_call(
    session: Session, ravi: Customer, rhea: Any, other: str
) -> None:
    telephone = Telephone(rhea.id, ZoneInfo("Asia/Kolkata"))
    sent = {"from": "9820012345", "to": "9820099999", "type": "incoming", "duration": 60, "device_call_id": "A"}
    sent |= {"start_time": (NOW - timedelta(hours=2)).isoformat()}
    odd = {**sent, "from": "9820077777", "device_call_id": other}
    odd |= {"start_time": (NOW - timedelta(days=5)).isoformat()}
    call_sync.sync(session, telephone, [sent, odd], NOW)
    session.commit()
    erased(session, ravi)
    moved = {**sent, "start_time": (NOW - timedelta(days=3)).isoformat()}  # known by nothing but its id
    assert [each.status for each in call_sync.sync(session, telephone, [moved], LATER)] == ["duplicate"]


def test_a_call_of_the_predecessor_stays_known_without_a_fingerprint_of_its_number(
    session: Session, ravi: Customer, rhea: Any
) -> None:
    given = {"direction": "Outgoing", "status": "Completed", "to_number": NUMBER, "duration_seconds": 60}
    call = calls.create(session, {**given, "started_on": NOW}, Stamp(rhea.id, NOW))
    session.flush()
    names = [predecessor_names.stored_form("call_log", f"{each}-{NOW}") for each in (NUMBER, "+919820054321")]
    for name, key in zip(names, (call.id, call.id + 1), strict=True):
        session.add(PredecessorName(doctype="CRM Call Log", name=name, kind="call_log", record_id=key))
    session.commit()
    erased(session, ravi)
    assert predecessor_names.find_moved(session, "CRM Call Log", names) == {names[0]: call.id, names[1]: call.id + 1}
    assert [name in dump(session) for name in names] == [False, True], "a number is soon found by its fingerprint"


def test_what_a_provider_sends_again_stays_erased(
    session: Session, ravi: Customer, account: ChannelAccount, rhea: Any
) -> None:
    said = IncomingMessage(WAMID, "whatsapp", NUMBER, "", "Likes options", NOW, "Ravi Kumar")
    rang = CallUpdate("call-9820012345", "completed", "in", NUMBER, "", started_on=NOW, talk_seconds=60)
    sms = {"channel": "sms", "purpose": "service", "peer": NUMBER, "body": "Dear Ravi", "account_id": account.id}
    ours = messages.enqueue(session, {**sms, "customer_id": ravi.id}, Stamp(rhea.id, NOW))
    ours.state, ours.provider_id = "sent", "SM-9820012345"
    for first in (said, rang):
        provider_events.process(session, account, first, NOW)
    session.commit()
    erased(session, ravi)
    assert left(session, "9820012345") == []
    for event in (
        said,
        CallUpdate(rang.provider_id, "completed", "in", NUMBER, "", recording_url="https://example.in/9820012345"),
        StatusUpdate("SM-9820012345", "failed", LATER, reason=f"{NUMBER} of Ravi is unknown", unwanted="opted_out"),
        IncomingMessage("x", "whatsapp", NUMBER, "", "", LATER, in_reply_to=WAMID, reaction="👍"),
    ):
        provider_events.process(session, account, event, LATER)
    session.commit()
    assert left(session, "Ravi", "9820012345", "Likes options") == []
    assert len(session.scalars(select(Message)).all()) == 2 and len(session.scalars(select(CallLog)).all()) == 1
    assert not session.scalars(select(CallRecording)).all() and ours.state == "failed"


def test_an_erased_note_is_not_edited_and_an_erased_message_not_sent_or_asked_about(
    session: Session, ravi: Customer, account: ChannelAccount, rhea: Any
) -> None:
    line = timeline.write_line(session, ravi, "note", Stamp(rhea.id, NOW), text="Likes options")
    sms = {"channel": "sms", "purpose": "service", "peer": NUMBER, "body": "Dear Ravi", "account_id": account.id}
    made = [messages.enqueue(session, {**sms, "customer_id": ravi.id}, Stamp(rhea.id, NOW)) for _ in range(3)]
    made[0].state, made[1].state = "unknown", "failed"
    session.commit()
    opened = session.scalars(select(Activity).where(Activity.id == line.id)).one()
    erased(session, ravi)
    with pytest.raises(RuleBroken, match="note said was erased"):
        timeline.edit_note(session, opened, None, LATER, text="Likes options!")
    attributes.set_committed_value(opened, "payload", {"text": "Likes options"})  # as read before the erasure
    with pytest.raises(Conflict):
        timeline.edit_note(session, opened, None, LATER, text="Likes options!")
    assert [each.state for each in made] == ["canceled", "failed", "canceled"]
    with pytest.raises(RuleBroken, match="message said was erased"):
        messages.send_again(session, made[1], Stamp(rhea.id, LATER))
    with pytest.raises(RuleBroken, match="message said was erased"):
        message_reactions.react(session, made[1], "👍", Stamp(rhea.id, LATER))
    assert messages.send_many_again(session, [each.id for each in made], Stamp(rhea.id, LATER)) == 0
    answer = message_delivery._Found("sent", "SM-9820012345", f"{NUMBER} of Ravi")
    message_delivery._settle_answer(session, made[0].id, answer, LATER)
    assert left(session, "Likes options", "9820012345") == []


def test_notices_and_requests_for_assignment_name_nobody(session: Session, ravi: Customer, rhea: Any) -> None:
    lead, asha = factories.lead(session, rhea, customer_id=ravi.id), factories.user(session, "asha", "Admin")
    request = assignment_requests.create(session, lead, asha.id, "Ravi Likes options", Stamp(rhea.id, NOW))
    outcome = assignment_requests.RequestOutcome("Rejected", "Ravi Kumar said no")
    assignment_requests.close(session, request, outcome, Stamp(asha.id, NOW))
    asked = requested(session, ravi)
    run = ExportRun(kind="person", outcome="done", payload={}, rights={})
    stored(session, run)
    hold = legal_holds.place(session, lead, HoldInput("Ravi Kumar v. us", None, NOW.date()), Stamp(rhea.id, NOW))
    legal_holds.release(session, hold, "Ravi has settled", Stamp(rhea.id, NOW), lead.number)
    hook = Webhook(name="Accounts", url="https://example.in", events=[], state="on", secret_sealed="x", user_id=rhea.id)
    stored(session, hook)
    sent = WebhookDelivery(key="k", webhook_id=hook.id, event="lead.changed", record_id=lead.id, at=NOW, state="sent")
    sent.answer = "Got Ravi Kumar"
    stored(session, sent)
    data_requests.note_copy(session, asked, run.id, Stamp(rhea.id, NOW), "to Ravi")
    payload = {"what": "request", "stage": "late", "row": asked.id, "name": "Ravi Kumar", "due": "1"}
    for key in (f"request:{asked.id}:late:1", "full copy:6"):
        notices.notify(session, NoticeEvent("compliance", key, (asha.id,), payload), NOW)
    notices.notify(session, NoticeEvent("request", "request:7", (asha.id,), {"number": "L-1"}), NOW)
    session.commit()
    begun(session, asked)
    work(session)
    assert {each.payload.get("name") for each in session.scalars(select(Notification))} == {None, f"DR-{asked.id}"}
    session.expire_all()
    (row,) = session.scalars(select(AssignmentRequest))
    assert hold.reason == row.reason and hold.released_why is None and sent.answer is None
    assert (row.reason, row.decision_note) == (f"Erased by request DR-{asked.id}", None)


def test_campaigns_imports_and_emails_of_nobody_are_found_by_address(
    session: Session, ravi: Customer, account: ChannelAccount, rhea: Any
) -> None:
    items = [["98200-12345", {"name": "Ravi"}], ["98200 54321", {"name": "Meera"}]]
    campaign = Campaign(name="Offer", channel="sms", purpose="service", body="Hi", kind="numbers", source=items)
    campaign.total, campaign.filled, campaign.per_minute, campaign.variables = 2, 2, 60, {}
    run = ImportRun(kind="lead", outcome="done")
    stored(session, campaign, run)
    waiting, other = (
        CampaignRecipient(campaign_id=campaign.id, state="waiting", address=each) for each in (NUMBER, "+919820054321")
    )
    wrong = ImportRow(run_id=run.id, is_trial=False, line=1, result="wrong", cells=["Ravi Kumar", "+91 98200 12345"])
    right = ImportRow(run_id=run.id, is_trial=False, line=2, result="wrong", cells=["Meera", "+91 98200 54321"])
    mail = Mail(account_id=account.id, mail_key="k", direction="in", state="failed", peer="ravi@example.in")
    mail.cc, mail.participants, mail.original, mail.received_on, mail.origin = (
        [],
        ["ravi@example.in"],
        "o",
        NOW,
        "person",
    )
    stored(session, waiting, other, wrong, right, mail)
    erased(session, ravi)
    assert campaign.source == [["", {"name": ""}], items[1]]
    assert (waiting.address, waiting.state, other.state) == (None, "left_out", "waiting")
    assert (wrong.cells, right.cells[0]) == (None, "Meera")  # type: ignore[index]
    assert mail.state == "dismissed" and not (mail.peer or mail.original or mail.participants)


def test_nobody_can_enter_what_has_the_form_of_a_hash(
    session: Session, ravi: Customer, account: ChannelAccount
) -> None:
    form, stamp = "#0123456789abcdef012", Stamp(None, NOW)
    near = ["#" + "0" * 18, "#9820012345@example.in", "#" + "g" * 19]
    said = {"channel": "email", "action": "withdrawn", "how": "call", "customer_id": ravi.id}
    for address in near:
        consents.record(session, {**said, "address": address}, stamp)
    with pytest.raises(RuleBroken):
        consents.record(session, {**said, "address": form}, stamp)
    provider_events.process(session, account, IncomingMessage("y", "whatsapp", form, "", "STOP", NOW), NOW)
    account_of = conversations.find_or_create(
        session, conversations.ConversationKey(account.id, "whatsapp", "erased:Ravi"), stamp
    )
    account_of.customer_id = ravi.id
    session.commit()
    erased(session, ravi)
    held = {each.address for each in session.scalars(select(Consent).where(Consent.customer_id == ravi.id))}
    assert not held & {*near, form}
    assert "erased:Ravi" not in dump(session)


def test_a_failed_request_of_a_provider_with_their_number_is_dismissed_and_taken_no_more(
    session: Session, ravi: Customer, account: ChannelAccount
) -> None:
    bodies = {
        "a": b"From=whatsapp%3A%2B919820012345&Body=Zinc",
        "b": b'{"from": "919820012345", "text": "Zinc"}',
        "c": b'{"from": "919820012346", "text": "Tin"}',
        "d": b'{"mail": "Ravi@Example.in"}',
    }
    for digest, body in bodies.items():
        stored = {"query": {}, "body": base64.b64encode(body).decode()}
        request = SealedRequest(digest, VAULT.seal(json.dumps(stored)))
        key = inbound_queue.store(session, account.id, request, NOW)
        inbound_queue.fail(session.get_one(InboundEvent, key), "It can't be read.")
    unreadable = session.get_one(InboundEvent, inbound_queue.store(session, account.id, SealedRequest("e", "x"), NOW))
    inbound_queue.fail(unreadable, "It can't be opened.")
    session.commit()
    planned = erasing.plan(session, requested(session, ravi), None, NOW)
    made = begun(session, requested(session, ravi))
    work(session)
    rows = {row.digest: row for row in session.scalars(select(InboundEvent))}
    assert [rows[each].state for each in "abcde"] == ["dismissed", "dismissed", "failed", "dismissed", "failed"]
    assert VAULT.open(rows["a"].request_sealed) == "{}" and planned.goes["messages"] == made.counts["messages"] == 3
    assert inbound_queue.store(session, account.id, SealedRequest("a", "x"), LATER) is None
    with pytest.raises(Conflict):
        inbound_queue.try_again(session, rows["a"], Stamp(None, LATER))


def test_saved_views_that_look_for_the_person_go(session: Session, ravi: Customer, rhea: Any) -> None:
    said = {"owner_id": rhea.id, "module": "leads", "audience": "all"}
    queries = ("q=98200+12345", "_flt_eq_mobile=%2B919820012345", "q=RAVI%40example.in", "q=98200123456", "q=Meera")
    views = [SavedView(label=f"View {n}", query=query, **said) for n, query in enumerate(queries)]
    stored(session, *views, SavedView(label="Call 098200-12345", query="", **said))
    session.add(ViewPin(user_id=rhea.id, view_id=views[0].id))
    erased(session, ravi)
    assert [each.query for each in session.scalars(select(SavedView))] == ["q=98200123456", "q=Meera"]
    assert not session.scalars(select(ViewPin)).all()
