"""The tabs of a record's timeline: contents, counts, filters, pages, and who sees them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import g
from sqlalchemy import insert, select

from app import access
from app.channels.provider_registry import KINDS
from app.domain import timeline
from app.domain.base import Stamp
from app.domain.messaging import channel_accounts
from app.domain.messaging.channel_accounts import AccountSettings
from app.extensions import db
from app.models import Activity, CallLog, Message, MessageFile, Task
from app.web.core.fab_access import current_viewer
from app.web.records.timelines import timeline_counts, timeline_tabs
from tests.app_fixtures import Crm, UserClient
from tests.factories import NOW


@pytest.fixture
def lead(crm: Crm) -> Any:
    """Ana's lead with something in every tab."""
    lead, make = crm.make.lead("ana", task={}), crm.make
    of_lead = {"lead_id": lead.id}
    make.task(lead, title="Bring the form")
    make.task(lead, title="Sent long ago", status="Done")
    make.call("ana", **of_lead, outcome="Interested")
    sms = make.message(**of_lead, channel="sms", body="By SMS")
    mail = make.message(**of_lead, channel="email", peer="ravi@example.in", subject="Papers", body="x" * 3000)
    mail.media = [{"name": "pan.pdf", "mime_type": "application/pdf", "address": "file:" + "a" * 64}]
    crm.session.add(MessageFile(message_id=mail.id, place=0, state="sent", tries=0, size=2048))
    sms.state, sms.reason = "failed", "The number is not in service."
    stamp = Stamp(crm.people["ana"].id, NOW)
    timeline.write(crm.session, lead, "note", stamp, text="He moves to Pune")
    crm.session.commit()
    assert (
        crm.client("ana").rest("PUT", f"lead/{lead.id}", {"last_name": "Rao", "description": "Tall"}).status_code == 200
    )
    return lead


def shown(client: UserClient, lead: Any, tab: str = "", query: str = "") -> str:
    """The list of a tab, as text without its head."""
    answer = client.screen(f"/leads/timeline/{lead.id}?tab={tab}{query}" if tab else f"/leads/timeline/{lead.id}")
    assert answer.status_code == 200, answer.text[-500:]
    return str(answer.text)


#: Tab -> what it has, and what it has not.
CONTENTS = {
    "notes": ("He moves to Pune", "Bring the form"),
    "tasks": ("Bring the form", "Sent long ago"),
    "calls": ("Interested", "He moves to Pune"),
    "sms": ("The number is not in service.", "Papers"),
    "email": ("Papers", "By SMS"),
    "files": ("pan.pdf", "Papers"),
    "changes": ("Tall", "He moves to Pune"),
    "whatsapp": ("No WhatsApp messages yet.", "By SMS"),
}


def test_a_tab_has_what_belongs_to_it(crm: Crm, lead: Any) -> None:
    for tab, (has, lacks) in CONTENTS.items():
        page = shown(crm.client("ana"), lead, tab)
        assert has in page and lacks not in page, tab
        assert has in crm.client("ana").screen(f"/leads/{lead.number}?tab={tab}").text, tab  # without JavaScript


def test_counts_stand_beside_the_tabs(crm: Crm, lead: Any) -> None:
    page = crm.client("ana").screen(f"/leads/{lead.number}").text
    strip = page.partition('class="record-tabs')[2].partition('class="record-body"')[0]
    found = re.findall(r'data-tab="(\w+)".*?(hidden)?>[^<]*<span class="count" data-count( hidden)?>(\d*)<', strip)
    counts = {tab: count for tab, _gone, _none, count in found}
    assert counts == dict.fromkeys(counts, "1") | {"activity": "", "whatsapp": "", "changes": "2"} and len(counts) == 9


def test_a_long_message_is_whole_and_a_failed_one_can_be_sent_again(crm: Crm, lead: Any) -> None:
    client = crm.client("ana")
    assert shown(client, lead, "email").count("x") >= 3000
    page = shown(client, lead, "sms")
    (again,) = re.findall(r'action="(/inbox/message/\d+/again)"', page)
    answer = client.form(again, headers={"Referer": f"http://localhost/leads/{lead.number}?tab=sms"})
    assert answer.status_code == 302 and answer.location.endswith(f"/leads/{lead.number}?tab=sms")


def test_consecutive_changes_of_one_person_are_one_line(crm: Crm) -> None:
    lead, client = crm.make.lead("ana", task={}), crm.client("ana")
    for body in ({"last_name": "Rao"}, {"email": "ravi@example.in", "description": "Tall"}):
        assert client.rest("PUT", f"lead/{lead.id}", body).status_code == 200
    assert crm.client("mia").rest("PUT", f"lead/{lead.id}", {"referral": "R1"}).status_code == 200
    page = shown(client, lead)
    assert "changed 3 fields" in page and "changed Referral code" in page
    assert page.count("entry-fold") == 1 and page.index("Referral code") < page.index("changed 3 fields")
    changes = shown(client, lead, "changes")
    assert "entry-fold" not in changes and changes.count("<del>") == 4


def test_values_of_changes_read_as_elsewhere_on_the_page(crm: Crm) -> None:
    customer, client = crm.make.customer("ana"), crm.client("ana")
    changed = {"no_calls": True, "rekyc_on": "2028-03-25", "alternative_mobile": "9820054321"}
    assert client.rest("PUT", f"customer/{customer.id}", changed).status_code == 200
    page = client.screen(f"/customers/timeline/{customer.id}?tab=changes").text
    for shown in ("Yes", "25 Mar 2028", "+91 98200 54321"):
        assert f"<ins>{shown}</ins>" in page, page


def test_masks_hold_in_the_tab_of_changes(crm: Crm) -> None:
    lead = crm.make.lead("ana", task={}, mobile="9820054321")
    assert crm.client("root").rest("PUT", f"lead/{lead.id}", {"mobile": "9820054322"}).status_code == 200
    crm.make.mask("Sales User", mobile="last4")
    page = shown(crm.client("ana"), lead, "changes").replace(" ", "")
    assert "98200543" not in page and "4322" in page


# --- filters


def test_a_tab_is_filtered_by_person_day_and_kind(crm: Crm, lead: Any) -> None:
    client, ana, mia = crm.client("ana"), crm.people["ana"].id, crm.people["mia"].id
    assert "He moves to Pune" in shown(client, lead, "activity", f"&who={ana}&from=2026-11-23&to=2026-11-23&kind=note")
    for query in (f"&who={mia}", "&from=2026-11-24", "&to=2026-11-22", "&kind=task"):
        page = shown(client, lead, "activity", query)
        assert "He moves to Pune" not in page, query
        assert "Clear filters" in page
    assert "Bring the form" not in shown(client, lead, "tasks", f"&who={mia}")
    assert "Sent long ago" in shown(client, lead, "tasks", "&part=done")


REFUSED = (
    *("tab=x", "tab=notes&kind=note", "kind=x", "part=done", "tab=tasks&part=x", "who=abc", "who=99999", "from=x"),
    *("from=2026-02-01&to=2026-01-01", "before=x", "tab=calls&before=x~y", "tab=tasks&before=1~x", "who--typed=Ana"),
    *("tab=calls&before=2026-01-01T00:00:00~1", "tab=calls&before=2026-01-01T00:00:00%2B00:00~%00"),
)


def test_what_a_tab_cannot_show_is_refused_in_words(crm: Crm) -> None:
    lead, client = crm.make.lead("ana"), crm.client("ana")
    for query in REFUSED:
        for path in (f"/leads/timeline/{lead.id}?{query}", f"/leads/{lead.number}?{query}"):
            assert client.screen(path).status_code == 400, path


# --- pages


def test_pages_follow_each_other_without_gap_or_repetition(crm: Crm) -> None:
    lead, client, wanted = crm.make.lead("ana", task={}), crm.client("ana"), [str(n) for n in range(65)]
    fill(crm, lead, 65)
    for tab in ("activity&kind=note", "notes", "tasks", "tasks&part=done", "calls", "sms", "files", "changes"):
        path, seen = f"/leads/timeline/{lead.id}?tab={tab}", []
        while path:
            page = client.screen(path).text
            seen += re.findall(r">Row (\d+)\.<", page)
            (path,) = re.findall(r'hx-get="([^"]+before=[^"]+)"', page) or [""]
            path = path.replace("&amp;", "&")
        assert seen == (wanted if tab == "tasks" else wanted[::-1]), tab


def fill(crm: Crm, lead: Any, many: int) -> None:
    """So many rows of every tab, each called “Row n.”; tasks are due one after the other, the last five never."""
    session, ana = crm.session, crm.people["ana"].id
    own = {"created_on": NOW, "changed_on": NOW, "created_by_id": ana, "lead_id": lead.id}
    shared = {"priority": "Low", "exhausted": False, "tried": [], "version": 1, "assignee_id": ana}
    call = {"direction": "Outgoing", "status": "Completed", "duration_seconds": 0, "native": {}, "cold": False}
    sms = {"channel": "sms", "direction": "out", "peer": "+919820012345", "state": "sent", "tries": 0, "native": {}}
    for n in range(many):
        due, text = NOW + timedelta(minutes=n // 2) if n < many - 5 else None, f"Row {n}."
        session.add(Task(title=text, status="Todo", due_on=due, **own, **shared))
    session.flush()
    for n in range(many):
        text, at = f"Row {n}.", NOW - timedelta(days=9) + timedelta(minutes=n // 2)
        session.add(Task(title=text, status="Done", **own, **shared))
        session.add(CallLog(outcome=text, started_on=at, employee_id=ana, medium="manual", **call, **own))
        message = Message(body=text, media=[{"name": text, "mime_type": "text/plain"}], **sms, **own)
        session.add(message)
        session.flush()
        session.add(MessageFile(message_id=message.id, place=0, state="sent", tries=0))
        note = {"at": NOW, "actor_id": ana, "lead_id": lead.id}
        changes = [["description", None, text]]
        session.add(Activity(kind="note", payload={"text": text}, **note))
        session.add(Activity(kind="field_change", payload={"changes": changes}, **(note | {"customer_id": None})))
    session.commit()


# --- for whom


def test_who_may_not_read_a_module_has_no_tab_of_it(crm: Crm, lead: Any) -> None:
    for module, tab in (("Notes", "notes"), ("Call Logs", "calls"), ("Messages", "files"), ("Tasks", "tasks")):
        crm.make.cell("Sales User", module, "read", "none")
        page = crm.client("ana").screen(f"/leads/{lead.number}").text
        assert f'data-tab="{tab}"' not in page
        assert crm.client("ana").screen(f"/leads/timeline/{lead.id}?tab={tab}").status_code == 400
    assert crm.client("ben").screen(f"/leads/timeline/{lead.id}?tab=changes").status_code == 404


def test_several_records_are_one_timeline_under_the_access_rules(crm: Crm) -> None:
    make, session = crm.make, crm.session
    mine, other = make.lead("ana", task={}), make.lead("ben", task={})
    ticket = make.ticket("cleo", task={}, lead_id=mine.id)
    for row, text in ((mine, "of mine"), (other, "of Ben's"), (ticket, "of the ticket")):
        timeline.write(session, row, "note", Stamp(crm.people["root"].id, NOW), text=f"A note {text}")
    make.task(mine, title="Mine")
    make.task(other, who="ben", title="Not mine")
    session.commit()
    records = (("lead", mine.id), ("lead", other.id), ("ticket", ticket.id))

    def told(who: str, tab: str) -> tuple[str, dict[str, str]]:
        with crm.app.test_request_context(), crm.as_person(who) as session_of_who:
            g.person = access.acting(session_of_who)
            access.act_as(db.session(), g.person)
            place = timeline_tabs.TimelineLocation("/x", "/y", records, True)
            made = timeline_tabs.context(place, {"tab": tab}, current_viewer())
            return str(made["timeline"]), made["counts"]

    notes, counts = told("ana", "notes")
    assert "of mine" in notes and "Ben" not in notes and counts["notes"] == "2"
    assert all(f"A note {each}" in told("root", "notes")[0] for each in ("of mine", "of Ben's", "of the ticket"))
    assert told("root", "tasks")[1]["tasks"] == "2" and "Not mine" not in told("ana", "tasks")[0]


# --- the composer


def test_a_call_made_elsewhere_is_written_down_in_one_step(crm: Crm) -> None:
    lead, client = crm.make.lead("ana", task={}), crm.client("ana")
    path, back = f"/calls/log/lead/{lead.id}", f"/leads/{lead.number}?tab=calls"
    assert 'name="outcome"' in client.screen(path, headers={"HX-Request": "true"}).text
    typed = {"other": "Wants a demat account", "note": "Call his wife", "when": "tomorrow", "back": back}
    answer = client.form(path, typed, headers={"HX-Request": "true"})
    assert answer.status_code == 204 and answer.headers["HX-Redirect"] == back
    (call,) = crm.rows(select(CallLog))
    assert (call.outcome, call.direction, call.status, call.lead_id) == (
        typed["other"],
        "Outgoing",
        "Completed",
        lead.id,
    )
    assert call.other_e164 == lead.mobile_e164
    assert crm.count(Task, Task.title == "Follow up: Wants a demat account") == 1
    assert "Call his wife" in shown(client, lead, "notes")


def test_a_refused_call_keeps_what_was_typed_and_leaves_nothing(crm: Crm) -> None:
    lead, client = crm.make.lead("ana", task={}), crm.client("ana")
    for more in (
        {},
        {"other": "Fine", "started_on": "2999-01-01T10:00"},
        {"other": "Fine", "direction": "Sideways"},
        {"other": "Fine", "follow_up_on": "2020-01-01T10:00"},
    ):
        for headers in ({}, {"HX-Request": "true"}):
            answer = client.form(f"/calls/log/lead/{lead.id}", {"note": "Kept"} | more, headers=headers)
            assert answer.status_code == 422 and "Kept" in answer.text and "field-error" in answer.text, more
    assert (crm.count(CallLog), crm.count(Task, Task.title != "Call back", Task.done_on.is_not(None))) == (0, 0)
    assert crm.client("ben").form(f"/calls/log/lead/{lead.id}", {"other": "x"}).status_code == 404


def test_a_refused_call_on_its_own_page_still_names_the_record_and_can_be_canceled(crm: Crm) -> None:
    lead, client, htmx = crm.make.lead("ana", first_name="Mina", task={}), crm.client("ana"), {"HX-Request": "true"}
    path, typed = f"/calls/log/lead/{lead.id}", {"other": "Fine", "follow_up_on": "2020-01-01T10:00"}
    page = client.screen(path).text
    sent = dict(re.findall(r'<input type="hidden" name="(?!csrf)(\w+)" value="([^"]*)"', page))
    refused = client.form(path, sent | typed, headers=htmx)
    assert refused.status_code == 422 and "<html" not in refused.text
    for part in ("outcome-about", "Mina", "data-cancel"):
        assert part in page and part in refused.text
    again = dict(re.findall(r'<input type="hidden" name="(?!csrf)(\w+)" value="([^"]*)"', refused.text))
    assert again == sent
    in_dialog = client.form(path, typed, headers=htmx).text
    assert "outcome-about" not in in_dialog and "data-cancel" not in in_dialog


def test_nobody_reached_is_no_completed_call(crm: Crm) -> None:
    lead, client = crm.make.lead("ana", task={}), crm.client("ana")
    for direction, status in (("Outgoing", "No Answer"), ("Incoming", "Missed Call")):
        client.form(f"/calls/log/lead/{lead.id}", {"outcome": "No answer", "direction": direction})
        assert crm.rows(select(CallLog.status).order_by(CallLog.id.desc()))[0] == status


def test_a_message_is_written_from_the_record(crm: Crm) -> None:
    channel_accounts.create(crm.session, KINDS["console"], AccountSettings("Desk"), Stamp(None, NOW), crm.vault)
    crm.session.commit()
    lead, client, part = crm.make.lead("ana", task={}), crm.client("ana"), {"HX-Request": "true"}
    path, back = f"/inbox/write/lead/{lead.id}?channel=whatsapp", f"/leads/{lead.number}?tab=whatsapp"
    form = client.screen(f"{path}&back={back.replace('?', '%3F')}", headers=part).text
    (key,) = re.findall(r'name="key" value="(\w+)"', form)
    assert f'name="back" value="{back}"' in form and "hx-post" in form
    refused = client.form(path, {"body": "y" * 5000, "key": key, "back": back}, headers=part)
    assert refused.status_code == 422 and "y" * 4000 in refused.text and 'role="alert"' in refused.text
    for _ in range(2):  # a second click sends nothing twice
        sent = client.form(path, {"body": "Namaste Ravi", "key": key, "back": back}, headers=part)
        assert sent.status_code == 204 and sent.headers["HX-Redirect"] == back
    assert crm.rows(select(Message.body).where(Message.lead_id == lead.id)) == ["Namaste Ravi"]
    assert "Namaste Ravi" in shown(client, lead, "whatsapp")
    assert client.screen(path.replace("whatsapp", "email"), headers=part).status_code == 400
    assert crm.client("ben").form(path, {"body": "x", "key": "k"}, headers=part).status_code == 404


def test_counts_stop_at_a_hundred(crm: Crm) -> None:
    lead = crm.make.lead("ana", task={})
    rows = [{"kind": "note", "at": datetime.now(UTC), "payload": {"text": "x"}, "lead_id": lead.id}] * 130
    crm.session.execute(Activity.__table__.insert(), rows)
    crm.session.commit()
    assert ">99+<" in crm.client("ana").screen(f"/leads/{lead.number}").text


def test_of_a_long_timeline_few_entries_are_looked_through(crm: Crm) -> None:
    lead, by_ana = crm.make.lead("ana"), Stamp(crm.people["ana"].id, NOW)
    timeline.write(crm.session, lead, "note", by_ana, text="He moves to Pune")
    crm.session.commit()
    call = {"kind": "call", "at": NOW, "lead_id": lead.id, "payload": {}}
    for others, text in ((400, ">1<"), (timeline_counts.MAX_LOOKED_THROUGH - 400, ">1+<")):
        crm.session.execute(insert(Activity.__table__), [call] * others)
        crm.session.commit()
        page = crm.client("ana").screen(f"/leads/{lead.number}").text
        notes = page[page.index("tab=notes") :]
        assert text in notes[: notes.index("tab=tasks")], text


def test_an_answer_to_a_ticket_sets_its_status_and_is_its_resolution(crm: Crm) -> None:
    channel_accounts.create(crm.session, KINDS["console"], AccountSettings("Desk"), Stamp(None, NOW), crm.vault)
    crm.session.commit()
    ticket, client, part = crm.make.ticket("cleo", mobile="9820012345"), crm.client("cleo"), {"HX-Request": "true"}
    path, resolved = f"/inbox/write/ticket/{ticket.id}?channel=whatsapp", crm.ticket_status["Resolved"]
    form = client.screen(path, headers=part).text
    (key,) = re.findall(r'name="key" value="(\w+)"', form)
    assert f'<option value="{resolved}">Set Resolved</option>' in form
    refused = client.form(path, {"body": "Done.", "key": key, "status": "999"}, headers=part)
    assert refused.status_code == 422 and "Done." in refused.text and crm.count(Message) == 0
    sent = client.form(path, {"body": "A new link is on its way.", "key": key, "status": str(resolved)}, headers=part)
    assert sent.status_code == 204
    stored = crm.stored(ticket)
    assert stored is not None
    assert (stored["status_id"], stored["resolution"]) == (resolved, "A new link is on its way.")
