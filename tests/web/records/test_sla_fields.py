"""The SLA clock at the endpoints: each of them starts, stops and sets it, and pages show its state."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from sqlalchemy import select

from app import jobs
from app.domain.working_time import sla
from app.domain.working_time.sla import SlaTerms
from app.models import Activity, Lead, Notification, Ticket, TicketSubject
from app.web.core.fields.lookups import Lookups
from app.web.core.viewer import Viewer
from app.web.records.sla_fields import NextTargetField, SlaTargetField
from tests.app_fixtures import Crm
from tests.factories import ALWAYS_OPEN, DAY, HOUR, MINUTE, NOW, OFFICE, ZONE


def opened(crm: Crm, **more: Any) -> Ticket:
    """A ticket that Cleo took over REST."""
    body = {"subjects": ["KYC update"], **more}
    key = crm.client("cleo").rest("POST", "ticket/", body).get_json()["id"]
    return crm.rows(select(Ticket).where(Ticket.id == key))[0]


def change(crm: Crm, row: Any, **values: Any) -> Any:
    """Over REST; answers the row afterwards."""
    kind, who = ("lead", "ana") if isinstance(row, Lead) else ("ticket", "cleo")
    answer = crm.client(who).rest("PUT", f"{kind}/{row.id}", values)
    assert answer.status_code == 200, answer.text
    return crm.fresh(row)


# --- endpoints


def test_a_ticket_promises_by_its_priority(crm: Crm) -> None:
    ticket = opened(crm, priority="Urgent")
    (reply, resolve) = sla.deadlines(ticket, SlaTerms(ALWAYS_OPEN))
    assert reply.name == "reply" and reply.due_on < resolve.due_on
    assert ticket.sla_on is not None and ticket.reply_due_on is not None and ticket.sla_on < ticket.reply_due_on


def test_a_form_promises_the_same(crm: Crm) -> None:
    subject = crm.rows(select(TicketSubject.id))[0]
    crm.client("cleo").form("/tickets/add", {"subjects": [subject], "priority": "High"})
    ticket = crm.rows(select(Ticket).order_by(Ticket.id.desc()))[0]
    assert ticket.priority == "High" and ticket.reply_due_on and ticket.resolve_due_on and ticket.sla_on


def test_waiting_stops_the_clock_and_going_on_lets_it_run(crm: Crm) -> None:
    ticket = change(crm, opened(crm), status="Waiting for Customer")
    assert ticket.paused_on == ticket.status_on and ticket.sla_on is None
    before = ticket.resolve_due_on
    ticket = change(crm, ticket, status="In Progress")
    assert ticket.paused_on is None and ticket.sla_on is not None and ticket.resolve_due_on >= before


def test_resolving_ends_the_clock_and_reopening_begins_it_anew(crm: Crm) -> None:
    taken = opened(crm)
    ended = change(crm, taken, status="Resolved", resolution="Done")
    assert (ended.reply_due_on, ended.resolve_due_on, ended.sla_on) == (None, None, None)
    again = change(crm, ended, status="Open")
    assert again.sla_started_on == again.status_on > taken.sla_started_on
    assert again.reply_due_on is None and again.resolve_due_on is not None


def test_the_button_and_the_bulk_bar_go_through_the_same_clock(crm: Crm) -> None:
    one, two = opened(crm), opened(crm)
    waits = crm.ticket_status["Waiting for Customer"]
    crm.client("cleo").form(f"/tickets/move/{one.id}", {"status": waits})
    crm.client("cleo").form("/tickets/action_post", {"action": "status", "rowid": [two.id], "status": waits})
    assert all(crm.fresh(row).paused_on and crm.fresh(row).sla_on is None for row in (one, two))


def test_another_priority_sets_the_clock_anew_from_the_same_start(crm: Crm) -> None:
    low = opened(crm, priority="Low")
    urgent = change(crm, low, priority="Urgent")
    assert urgent.sla_started_on == low.sla_started_on
    assert urgent.reply_due_on < low.reply_due_on and urgent.resolve_due_on < low.resolve_due_on


def test_a_lead_stands_still_while_its_follow_up_is_awaited(crm: Crm) -> None:
    key = crm.client("ana").rest("POST", "lead/", {"mobile": "9820011122"}).get_json()["id"]
    lead = crm.rows(select(Lead).where(Lead.id == key))[0]
    assert lead.reply_due_on is not None and lead.sla_on is not None
    lead = change(crm, lead, status="Follow-up Scheduled")
    assert (lead.reply_due_on, lead.paused_on, lead.sla_on) == (None, lead.status_on, None)
    assert change(crm, lead, status="Nurture").paused_on is None


@pytest.mark.parametrize("field", ["reply_due_on", "resolve_due_on", "sla", "paused_on", "reply_late_on"])
def test_nobody_sets_the_clock_by_hand(crm: Crm, field: str) -> None:
    ticket = opened(crm)
    before = crm.stored(ticket)
    crm.client("cleo").rest("PUT", f"ticket/{ticket.id}", {field: "2001-01-01T00:00:00Z"})
    after = crm.stored(ticket)
    assert {name: after[name] for name in after if name.endswith(("due_on", "late_on", "paused_on", "sla_on"))} == {
        name: before[name] for name in before if name.endswith(("due_on", "late_on", "paused_on", "sla_on"))
    }


def test_tickets_are_found_by_what_they_owe(crm: Crm) -> None:
    waiting, running = change(crm, opened(crm), status="Waiting for Customer"), opened(crm)
    client = crm.client("cleo")
    for name, found in (("false", [waiting.id]), ("true", [running.id])):
        asked = {"filters": [{"col": "paused_on", "opr": "null", "value": name}]}
        assert client.rest("GET", "ticket/", q=asked).get_json()["ids"] == found
    soon = {"filters": [{"col": "resolve_due_on", "opr": "lt", "value": "2199-01-01T00:00:00Z"}]}
    assert len(client.rest("GET", "ticket/", q=soon).get_json()["ids"]) == 2


def test_over_rest_a_ticket_says_what_it_owes_next(crm: Crm) -> None:
    ticket = opened(crm)
    client = crm.client("cleo")
    told = client.rest("GET", f"ticket/{ticket.id}").get_json()["result"]["sla"]
    assert ticket.reply_due_on is not None
    assert told == {"promise": "reply", "due_on": ticket.reply_due_on.isoformat(), "is_paused": False}
    change(crm, ticket, status="Closed", resolution="Done")
    assert client.rest("GET", f"ticket/{ticket.id}").get_json()["result"]["sla"] is None


# --- pages


@pytest.fixture
def words(app: Flask) -> Iterator[None]:
    """Within a request, which knows the language."""
    with app.test_request_context():
        yield


def eyes(now: datetime, db: Any = ALWAYS_OPEN) -> Viewer:
    return Viewer(None, Lookups(0, terms=SlaTerms(db)), ZoneInfo(ZONE), now)  # type: ignore[arg-type]


NEXT = NextTargetField("sla", "SLA", Ticket)
REPLY = SlaTargetField("reply_due_on", "First response due", Ticket, Ticket.replied_on)


@pytest.mark.parametrize(
    "after, text, tone",
    [
        *(
            (1, "respond in 1 h 59 min", "green"),
            (60, "respond in 1 h", "green"),
            (89, "respond in 31 min", "green"),
            (90, "respond in 30 min", "amber"),
        ),
        *((120, "response 1 min overdue", "red"), (300, "response 3 h overdue", "red")),
        *((6120, "response 100 h overdue", "red"),),
    ],
)
def test_a_list_says_how_soon_an_answer_is_owed(words: None, after: int, text: str, tone: str) -> None:
    cell = NEXT.cell((NOW + 2 * HOUR, NOW + DAY, None, NOW + 90 * MINUTE), eyes(NOW + after * MINUTE))
    assert (cell["text"], cell["tone"]) == (text, tone)


def test_who_was_warned_or_will_be_at_once_sees_it(words: None) -> None:
    for looked in (NOW + 2 * HOUR, NOW - MINUTE):  # the job has looked, and comes back at the breach; or is about to
        assert NEXT.cell((NOW + 2 * HOUR, None, None, looked), eyes(NOW))["tone"] == "amber"


@pytest.mark.parametrize("after, tone", [(0, "green"), (89, "green"), (90, "amber"), (121, "red")])
def test_the_page_of_a_record_colors_its_clock(words: None, after: int, tone: str) -> None:
    cell = REPLY.cell((NOW + 2 * HOUR, NOW, None, 0, None, None), eyes(NOW + after * MINUTE))
    assert cell["tone"] == tone and "office" in cell["title"]


def test_after_the_answer_the_resolution_comes_next(words: None) -> None:
    assert NEXT.cell((None, NOW + 3 * DAY, None, NOW + DAY), eyes(NOW))["text"] == "resolve in 3 d"
    assert NEXT.cell((None, None, None, None), eyes(NOW)) == {"kind": "missing"}


def test_a_paused_clock_says_so_and_does_not_count(words: None) -> None:
    listed = NEXT.cell((NOW + 2 * HOUR, None, NOW + HOUR, None), eyes(NOW + 30 * DAY))
    shown = REPLY.cell((NOW + 2 * HOUR, NOW, NOW + HOUR, 0, None, None), eyes(NOW + 30 * DAY))
    for cell in (listed, shown):
        assert (cell["text"], cell["tone"], "due" in cell) == ("paused", "gray", False)
    assert shown["title"] == "Paused since Mon 23 Nov 2026, 11:00 · 60 office minutes left"


def test_lateness_is_office_time_and_grows_while_the_office_is_open(words: None) -> None:
    values = (NOW + 7 * HOUR, NOW, None, 0, None, None)  # due on Monday at 17:00
    night, morning = (REPLY.cell(values, eyes(now, OFFICE)) for now in (NOW + 12 * HOUR, NOW + 24 * HOUR))
    assert (night["text"], "due" in night) == ("1 h overdue", False)
    assert (morning["text"], morning["due"]) == ("2 h overdue", (NOW + 22 * HOUR).isoformat())


@pytest.mark.parametrize(
    "late_on, text, tone",
    [(None, "responded 5 h ago", ""), (NOW + HOUR, "responded 1 h late", "red")],
)
def test_what_was_answered_says_when_and_how_late(words: None, late_on: Any, text: str, tone: str) -> None:
    cell = REPLY.cell((None, NOW, None, 0, late_on, NOW + 2 * HOUR), eyes(NOW + 7 * HOUR))
    assert (cell["text"], cell["tone"]) == (text, tone)


def test_list_and_page_carry_the_clock(crm: Crm) -> None:
    ticket = opened(crm)
    assert ticket.reply_due_on is not None
    for path in ("/tickets/", f"/tickets/{ticket.number}"):
        page = crm.client("cleo").screen(path).text
        assert f'data-clock="{ticket.reply_due_on.isoformat()}"' in page and "js/sla_clock.js" in page


# --- the job, from endpoint to endpoint


def test_a_missed_answer_reaches_bell_and_timeline_once(crm: Crm) -> None:
    ticket = opened(crm, priority="Urgent")
    assert ticket.reply_due_on is not None
    late = ticket.reply_due_on + timedelta(seconds=1)
    for _ in range(2):
        assert jobs.run_now(crm.app, "watch the SLA clocks", late).outcome == "done"
    bell = crm.client("cleo").screen("/bell/panel").text
    assert f'The first response to <span class="whole">{ticket.number}</span> is overdue by less than a minute.' in bell
    page = crm.client("cleo").screen(f"/tickets/{ticket.number}").text
    assert page.count("The first response was due") == 1 and "Notified: Cleo Shah, Sam Shah" in page
    assert crm.count(Notification, Notification.kind == "sla_breach") == 2
    assert crm.count(Activity, Activity.kind == "system", Activity.ticket_id == ticket.id) == 2


def test_a_stranger_sees_nothing_of_it(crm: Crm) -> None:
    ticket = opened(crm, priority="Urgent")
    jobs.run_now(crm.app, "watch the SLA clocks", ticket.reply_due_on)
    assert ticket.number not in crm.client("ana").screen("/bell/panel").text
    assert crm.client("ana").screen(f"/tickets/{ticket.number}").status_code in (403, 404)


# --- settings


@pytest.mark.parametrize("aims, code", [({"reply_any": "60"}, 302), ({"reply_any": "60", "reply_high": "15"}, 422)])
def test_a_lead_has_no_priority_to_promise_by(crm: Crm, aims: dict[str, str], code: int) -> None:
    sent = {"label": "Gold", "applies_to": "lead", "position": "1", "is_active": "y"}
    assert crm.client("root").form("/settings/sla/add", sent | aims).status_code == code


def test_a_manager_may_add_a_lead_status_in_which_the_clock_stands_still(crm: Crm) -> None:
    sent = {"label": "Awaiting papers", "color": "gray", "meaning": "waiting", "position": "99", "is_active": "y"}
    assert crm.client("root").form("/settings/lead-statuses/add", sent).status_code == 302
    lead = change(crm, crm.make.lead("ana"), status="Awaiting papers")
    assert lead.paused_on == lead.status_on
