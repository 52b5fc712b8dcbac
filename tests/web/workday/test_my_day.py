"""My day: whose work it lists, and the steps of one click."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from app import access
from app.models import Activity, Customer, Lead, Task, Ticket, User
from app.web.workday import my_day_sections
from tests.app_fixtures import Crm
from tests.cases import each_case

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
#: Eleven in the office: today has two hours, and more, ahead.
NOW = datetime(2026, 11, 23, 5, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def eleven(monkeypatch: pytest.MonkeyPatch) -> None:
    """All endpoints look at the same clock."""
    from app.web.core import fab_access

    monkeypatch.setattr(fab_access, "request_time", lambda: NOW)


def parts(crm: Crm, who: str, path: str = "/") -> dict[str, str]:
    """The page's parts: name -> its HTML."""
    page = crm.client(who).screen(path).text
    found = re.split(r'data-part="([a-z-]+)"', page)
    return dict(zip(found[1::2], found[2::2], strict=True))


def task(crm: Crm, due: timedelta, title: str = "Call back", who: str = "ana", **lead: Any) -> Task:
    about = crm.make.lead(who, at=NOW - DAY, task={}, **lead)
    return crm.make.task(about, who, at=NOW - DAY, due_on=NOW + due, title=title)


def stored(crm: Crm, row: Any) -> Any:
    return crm.fresh(row)


# --- what waits


def test_who_sees_the_registers_of_compliance_sees_what_is_due_in_them(crm: Crm) -> None:
    make, rhea = crm.make, crm.client("rhea")
    about = {"source": "Investor", "category": "Demat", "received_on": "2026-10-20"}
    for who, title in (("cleo", "Shares not credited"), ("sam", "Pay-out missing")):
        sent = about | {"ticket": make.ticket(who).number, "title": title}
        assert crm.client(who).rest("POST", "complaint/", sent).status_code == 201
    later = about | {"ticket": make.ticket("sam").number, "title": "Not yet due", "received_on": "2026-11-20"}
    assert crm.client("sam").rest("POST", "complaint/", later | {"acknowledged_on": "2026-11-20"}).status_code == 201
    for person, received in (("Meera Joshi", "2026-08-20"), ("Somebody Else", "2026-11-20")):
        sent = {"person": person, "kind": "access", "received_on": received}
        assert rhea.rest("POST", "data_request/", sent).status_code == 201
    breach = {"title": "Laptop lost", "noticed_on": "2026-11-23T05:00:00Z"}
    assert rhea.rest("POST", "data_breach/", breach).status_code == 201
    for at in (NOW - DAY, NOW - 2 * HOUR):
        make.call("ana", is_order=True, started_on=at)
    shown = parts(crm, "rhea")
    assert list(shown) == ["breaches", "complaints", "data-requests", "orders"]
    assert "Laptop lost" in shown["breaches"] and "CERT-In is to be told" in shown["breaches"]
    assert shown["complaints"].count("data-row=") == 2 and "33 days overdue" in shown["complaints"]
    assert "Meera Joshi" in shown["data-requests"] and "Somebody Else" not in shown["data-requests"]
    assert shown["orders"].count("data-row=") == 1 and "Order with Ana" in shown["orders"]
    assert "Pay-out missing" in rhea.screen("/?only=complaints").text
    own = parts(crm, "cleo")
    assert "Shares not credited" in own["complaints"] and "Pay-out missing" not in own["complaints"]
    for who in ("ana", "mia", "cleo"):
        assert not {"breaches", "data-requests", "orders"} & set(parts(crm, who)), who


@pytest.mark.parametrize(
    "due, part",
    [(-HOUR, "overdue"), (HOUR, "soon"), (2 * HOUR, "later"), (6 * HOUR, "later"), (13 * HOUR, None), (DAY, None)],
)
def test_a_task_is_in_the_section_of_its_due_time(crm: Crm, due: timedelta, part: str | None) -> None:
    task(crm, due, "Bring the form")
    assert [name for name, html in parts(crm, "ana").items() if "Bring the form" in html] == ([part] if part else [])


def test_near_midnight_the_next_two_hours_reach_into_tomorrow(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.web.core import fab_access

    late = datetime(2026, 11, 23, 18, tzinfo=UTC)  # half past eleven at night in the office
    monkeypatch.setattr(fab_access, "request_time", lambda: late)
    task(crm, late - NOW + HOUR, "Bring the form")
    assert "Bring the form" in parts(crm, "ana")["soon"]


@pytest.mark.parametrize("who", ["ben", "cleo", "mia"])
def test_tasks_of_others_are_not_shown(crm: Crm, who: str) -> None:
    task(crm, -HOUR, "Bring the form")
    assert "Bring the form" not in crm.client(who).screen("/").text


def test_a_task_whose_lead_was_given_away_says_so(crm: Crm) -> None:
    lead = crm.make.lead("ben", task={})
    for title, about in (("Collect the cheque", lead), ("Bring the form", crm.make.lead("ana", task={}))):
        crm.make.task(about, "ana", at=NOW - DAY, due_on=NOW - HOUR, title=title)
    rows = {title: parts(crm, "ana")["overdue"].partition(f">{title}<")[2].partition("</div>")[0]
            for title in ("Collect the cheque", "Bring the form")}  # fmt: skip
    told = "Its lead or ticket is with somebody else now."
    assert told in rows["Collect the cheque"] and told not in rows["Bring the form"]


def test_closed_tasks_are_not_shown(crm: Crm) -> None:
    done = task(crm, -HOUR, "Bring the form")
    crm.session.get_one(Task, done.id).status = "Done"
    crm.session.commit()
    assert "Nothing is waiting" in crm.client("cleo").screen("/").text
    assert "overdue" not in parts(crm, "ana")


def test_the_heading_shows_the_counts(crm: Crm) -> None:
    for due in (-HOUR, -2 * HOUR, HOUR, 5 * HOUR):
        task(crm, due)
    assert "2 overdue, 2 today" in crm.client("ana").screen("/").text


def test_a_row_shows_title_person_and_phone_number(crm: Crm) -> None:
    made = task(crm, -HOUR, "Bring the form", first_name="Zarina", last_name="Khan", mobile="9820077001")
    html = parts(crm, "ana")["overdue"]
    number = crm.rows(select(Lead.number).where(Lead.id == made.lead_id))[0]
    assert f'href="/leads/{number}"' in html and "Zarina Khan" in html and "is-late" in html
    assert 'href="tel:+919820077001"' in html


@pytest.mark.parametrize("level", ["last4", "hidden"])
def test_a_masked_number_is_not_sent(crm: Crm, level: str) -> None:
    crm.make.mask("Sales User", mobile=level)
    task(crm, -HOUR, mobile="9820077001")
    page = crm.client("ana").screen("/").text
    assert "9820077001" not in page and "tel:" not in page


def test_customers_who_want_no_calls_have_no_call_link(crm: Crm) -> None:
    customer = crm.make.customer("ana", mobile="9820077001")
    crm.session.get_one(Customer, customer.id).no_calls = True
    task(crm, -HOUR, mobile="9820077001")
    html = parts(crm, "ana")["overdue"]
    assert "Do not call" in html and "tel:" not in html


def test_the_delegate_sees_for_whom_they_cover(crm: Crm) -> None:
    task(crm, -HOUR, "Bring the form")
    leave(crm, "ana", delegate="ben")
    html = parts(crm, "ben")
    assert "Bring the form" in html["overdue"] and "for Ana" in html["overdue"]
    assert "for Ana" not in parts(crm, "ana")["overdue"]


def leave(crm: Crm, who: str, delegate: str) -> None:
    now = datetime.now(UTC)  # people are read by the clock of the law
    user = crm.session.get_one(User, crm.people[who].id)
    user.leave_from, user.leave_to, user.delegate_id = now - DAY, now + DAY, crm.people[delegate].id
    crm.session.commit()
    access.clear_cache()


def test_new_leads_and_tickets_are_shown_until_their_status_changes(crm: Crm) -> None:
    crm.make.lead("ana", task={}, first_name="Zarina")
    crm.make.lead("ana", task={}, first_name="Touched", status="Contacted")
    crm.make.ticket("cleo", task={})
    html = parts(crm, "ana")["new-leads"]
    assert "Zarina" in html and "Touched" not in html
    assert "CRM-TICKET" in parts(crm, "cleo")["new-tickets"]
    assert "new-leads" not in parts(crm, "ben")


@pytest.mark.parametrize(
    "owed, shown",
    [
        ({"reply_due_on": NOW + 3 * HOUR}, "first response"),
        ({"resolve_due_on": NOW + 3 * HOUR}, "resolution"),
        ({"reply_due_on": NOW - DAY, "resolve_due_on": NOW + HOUR}, "first response"),
        ({"reply_due_on": NOW + DAY, "resolve_due_on": NOW + HOUR}, "resolution"),
        ({"reply_due_on": NOW + 5 * HOUR}, None),
        ({"resolve_due_on": NOW - HOUR, "paused_on": NOW}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("kind, who", [("lead", "ana"), ("ticket", "cleo")])
def test_sla_clocks_are_shown_before_they_are_due(crm: Crm, kind: str, who: str, owed: Any, shown: Any) -> None:
    row = getattr(crm.make, kind)(who, task={})
    clean = {"reply_due_on": None, "resolve_due_on": None, "paused_on": None}
    for name, value in (clean | owed).items():
        setattr(row, name, value)
    crm.session.commit()
    html = parts(crm, who).get(f"sla-{kind}s", "")
    assert (shown in html and row.number in html) if shown else html == ""


def test_managers_see_tasks_for_which_no_one_is_available(crm: Crm) -> None:
    stuck = task(crm, -DAY, "Bring the form")
    stuck.exhausted = True
    crm.session.commit()
    html = parts(crm, "mia")["nobody"]
    assert "Bring the form" in html and "with Ana Shah" in html and f"/leads/assign/{stuck.lead_id}" in html
    for who in ("ana", "max", "sam"):
        assert "nobody" not in parts(crm, who)


def test_requests_are_shown_to_those_who_may_decide(crm: Crm) -> None:
    request = crm.make.request(crm.make.lead("ben", task={}), "ana", who="ben", reason="I know him")
    html = parts(crm, "mia")["requests"]
    assert "I know him" in html and f"/requests/decide/{request.id}?approve=1" in html
    assert all("requests" not in parts(crm, who) for who in ("ana", "ben", "max", "sam", "cleo"))


def test_an_approval_leads_back_to_the_day(crm: Crm) -> None:
    request = crm.make.request(crm.make.lead("ben", task={}), "ana", who="ben")
    answer = crm.client("mia").form(f"/requests/decide/{request.id}?approve=1", {"came_from": "day"})
    assert answer.location == "/" and stored(crm, request).status == "Approved"


# --- long lists


@pytest.mark.parametrize("due, part", [(-HOUR, "overdue"), (HOUR, "soon"), (6 * HOUR, "later")])
def test_more_than_twelve_tasks_are_on_the_linked_list(crm: Crm, due: timedelta, part: str) -> None:
    lead = crm.make.lead("ana", at=NOW - DAY, task={})
    for n in range(14):
        crm.make.task(lead, "ana", at=NOW - DAY, due_on=NOW + due + timedelta(seconds=n), title=f"Step {n}")
    crm.make.task(lead, "ana", at=NOW - DAY, due_on=NOW + 3 * DAY, title="Far away")
    html = parts(crm, "ana")[part]
    assert html.count("data-row=") == my_day_sections.MAX_ROWS and '<span class="count">14</span>' in html
    link = re.search(r'class="day-all" href="([^"]+)"', html)
    assert link and numbers(crm, "ana", link[1].replace("&amp;", "&")) == 14


def test_counts_are_those_of_the_lists_and_stop_at_a_hundred(crm: Crm) -> None:
    lead = crm.make.lead("ana", at=NOW - DAY, task={})
    for due, number in ((-HOUR, 101), (HOUR, 70), (6 * HOUR, 20)):
        for n in range(number):
            crm.make.task(lead, "ana", at=NOW - DAY, due_on=NOW + due + timedelta(seconds=n))
    crm.session.commit()
    html, shown = parts(crm, "ana"), {}
    for name in ("overdue", "soon", "later"):
        found = re.search(r'class="count">([^<]+)</span><a class="day-all" href="([^"]+)"', html[name])
        assert found is not None, name
        shown[name] = (found[1], numbers(crm, "ana", found[2].replace("&amp;", "&")))
    assert shown == {"overdue": ("100+", 101), "soon": ("70", 70), "later": ("20", 20)}
    assert "100+ overdue, 90 today" in crm.client("ana").screen("/").text
    assert parts(crm, "ana", "/?only=overdue")["overdue"].count("data-row=") == 100


def test_tasks_done_before_they_are_due_are_no_longer_counted(crm: Crm) -> None:
    kept, done = task(crm, HOUR, "Bring the form"), task(crm, HOUR, "Collect the cheque")
    crm.session.get_one(Task, done.id).status = "Done"
    crm.session.commit()
    html = parts(crm, "ana")["soon"]
    assert kept.title in html and done.title not in html and '<span class="count">1</span>' in html


def numbers(crm: Crm, who: str, path: str) -> int:
    """How many rows the list shows."""
    found = re.search(r'id="list-count"[^>]*>([0-9,]+)', crm.client(who).screen(path).text)
    return int(found[1]) if found else -1


@pytest.mark.parametrize("kind, who, part", [("lead", "ana", "new-leads"), ("ticket", "cleo", "new-tickets")])
def test_more_than_twelve_new_records_are_on_the_linked_list(crm: Crm, kind: str, who: str, part: str) -> None:
    for _n in range(13):
        getattr(crm.make, kind)(who, task={})
    link = re.search(r'class="day-all" href="([^"]+)"', parts(crm, who)[part])
    assert link and numbers(crm, who, link[1].replace("&amp;", "&")) == 13


def test_sla_clocks_have_a_page_of_their_own(crm: Crm) -> None:
    for _n in range(13):
        crm.make.lead("ana", task={}).reply_due_on = NOW
    crm.session.commit()
    assert 'href="/?only=sla-leads"' in parts(crm, "ana")["sla-leads"]
    alone = parts(crm, "ana", "/?only=sla-leads")
    assert list(alone) == ["sla-leads"] and alone["sla-leads"].count("data-row=") == 13
    assert crm.client("ana").screen("/?only=nonsense").status_code == 404


def test_the_linked_lists_of_exhausted_tasks_and_of_a_delegate(crm: Crm) -> None:
    lead = crm.make.lead("ana", at=NOW - DAY, task={})
    for _n in range(13):
        crm.make.task(lead, "ana", at=NOW - DAY, due_on=NOW - HOUR).exhausted = True
    crm.session.commit()
    leave(crm, "ana", delegate="ben")
    for who, part in (("mia", "nobody"), ("ben", "overdue")):
        link = re.search(r'class="day-all" href="([^"]+)"', parts(crm, who)[part])
        assert link and numbers(crm, who, link[1].replace("&amp;", "&")) == 13


def test_htmx_gets_the_fragment_only(crm: Crm) -> None:
    task(crm, -HOUR, "Bring the form")
    answer = crm.client("ana").screen("/", headers={"HX-Request": "true"})
    assert answer.text.lstrip().startswith('<div id="day"') and "Bring the form" in answer.text
    assert answer.headers["HX-Retarget"] == "#day"
    quiet = crm.client("ana").screen("/", headers={"HX-Request": "true", "HX-Target": "day-parts"})
    assert "HX-Retarget" not in quiet.headers


# --- steps


def test_done_and_undone(crm: Crm) -> None:
    made, ana = task(crm, -HOUR, "Bring the form"), crm.client("ana")
    assert ana.form(f"/tasks/done/{made.id}").status_code == 302
    assert stored(crm, made).status == "Done"
    page = ana.screen("/").text
    version = re.search(r'name="version" value="(\d+)"', page)
    assert "Done: Bring the form" in page and version
    ana.form(f"/tasks/reopen/{made.id}", {"status": "Todo", "version": version[1]})
    after = stored(crm, made)
    assert (after.status, after.done_on, after.due_on) == ("Todo", None, NOW - HOUR)
    assert after.remind_on is not None


def test_undo_is_refused_after_another_change(crm: Crm) -> None:
    made, ana = task(crm, -HOUR), crm.client("ana")
    ana.form(f"/tasks/done/{made.id}")
    before = stored(crm, made)
    answer = ana.form(f"/tasks/reopen/{made.id}", {"version": "1"}, headers={"HX-Request": "true"})
    assert answer.status_code == 409 and stored(crm, made).version == before.version


@pytest.mark.parametrize("step", ["done", "snooze", "finish"])
def test_a_closed_task_takes_no_further_action(crm: Crm, step: str) -> None:
    made, ana = task(crm, -HOUR), crm.client("ana")
    ana.form(f"/tasks/done/{made.id}")
    before = crm.stored(made)
    answer = ana.form(f"/tasks/{step}/{made.id}", {"until": "1h"}, headers={"HX-Request": "true"})
    assert answer.status_code == 409 and "already finished" in answer.text
    assert crm.stored(made) == before


@pytest.mark.parametrize(
    "until, due_on",
    [
        ("15m", NOW + timedelta(minutes=15)),
        ("1h", NOW + HOUR),
        ("tomorrow", datetime(2026, 11, 24, 9, tzinfo=ZoneInfo("Asia/Kolkata"))),
    ],
)
def test_a_postponed_task_reminds_again(crm: Crm, until: str, due_on: datetime) -> None:
    made = task(crm, -HOUR)
    made.exhausted, made.tried, made.remind_on = True, [1], None
    crm.session.commit()
    assert crm.client("ana").form(f"/tasks/snooze/{made.id}", {"until": until}).status_code == 302
    after = stored(crm, made)
    assert (after.due_on, after.exhausted, after.tried) == (due_on, False, []) and after.remind_on <= due_on
    line = crm.rows(select(Activity).where(Activity.task_id == made.id).order_by(Activity.id.desc()))[0]
    assert line.payload["changes"][0][0] == "due_on"


@pytest.mark.parametrize("until", ["", "never", "2h"])
def test_an_unknown_postponement_is_refused(crm: Crm, until: str) -> None:
    made = task(crm, -HOUR)
    before = crm.stored(made)
    answer = crm.client("ana").form(f"/tasks/snooze/{made.id}", {"until": until}, headers={"HX-Request": "true"})
    assert answer.status_code == 422 and crm.stored(made) == before


@pytest.mark.parametrize("step", ["done", "reopen", "snooze", "finish"])
@each_case("who, code", [("ben", 404), ("cleo", 404), ("rhea", 403), (None, 302)])
def test_actions_on_tasks_of_others_are_refused(crm: Crm, step: str, who: str | None, code: int) -> None:
    made = task(crm, -HOUR)
    before = crm.stored(made)
    answer = crm.client(who).form(
        f"/tasks/{step}/{made.id}", {"until": "1h", "title": "x", "due_on": "2030-01-01T09:00"}
    )
    assert answer.status_code in (code, 302, 403) and crm.stored(made) == before


NEXT = {"note": "He wants it on Monday", "title": "Visit him", "due_on": "2026-11-30T10:00"}


def test_done_and_next_task_in_one_action(crm: Crm) -> None:
    made = task(crm, -HOUR)
    answer = crm.client("ana").form(f"/tasks/finish/{made.id}", NEXT)
    assert answer.location == "/" and stored(crm, made).status == "Done"
    after = crm.rows(select(Task).where(Task.lead_id == made.lead_id, Task.status == "Todo"))[0]
    moment = datetime(2026, 11, 30, 4, 30, tzinfo=UTC)
    assert (after.title, after.due_on, after.assignee_id) == ("Visit him", moment, made.assignee_id)
    assert crm.rows(select(Lead.next_follow_up_on).where(Lead.id == made.lead_id)) == [moment]
    notes = crm.rows(select(Activity).where(Activity.lead_id == made.lead_id, Activity.kind == "note"))
    assert [note.payload["text"] for note in notes] == ["He wants it on Monday"]


@pytest.mark.parametrize(
    "wrong, sentence",
    [
        ({"title": " "}, "what to do next"),
        ({"due_on": ""}, "When is the next follow-up"),
        ({"due_on": "soon"}, "date and time"),
        ({"due_on": "2026-11-23T10:00"}, "is in the past"),
        ({"title": "x" * 201}, "too long"),
        ({"note": "x" * 20_001}, "too long"),
    ],
)
def test_an_invalid_next_task_changes_nothing_and_keeps_its_values(crm: Crm, wrong: Any, sentence: str) -> None:
    made = task(crm, -HOUR)
    before = crm.stored(made)
    answer = crm.client("ana").form(f"/tasks/finish/{made.id}", NEXT | wrong)
    assert answer.status_code == 422 and sentence in answer.text
    kept = [word for name, word in NEXT.items() if name not in wrong]
    assert all(word in answer.text for word in kept)
    assert crm.stored(made) == before and crm.count(Task) == 1 and crm.count(Activity, Activity.kind == "note") == 0


def test_the_next_task_form_works_as_page_and_fragment(crm: Crm) -> None:
    made, ana = task(crm, -HOUR, "Bring the form"), crm.client("ana")
    page = ana.screen(f"/tasks/finish/{made.id}")
    assert "<html" in page.text and 'value="2026-11-24T09:00"' in page.text and 'value="Bring the form"' in page.text
    part = ana.screen(f"/tasks/finish/{made.id}", headers={"HX-Request": "true"})
    assert "<html" not in part.text and 'hx-post="/tasks/finish/' in part.text


def test_a_ticket_task_can_have_a_next_task(crm: Crm) -> None:
    ticket = crm.make.ticket("cleo", task={})
    made = crm.make.task(ticket, "cleo", at=NOW - DAY, due_on=NOW - HOUR)
    assert crm.client("cleo").form(f"/tasks/finish/{made.id}", NEXT).status_code == 302
    assert crm.count(Task, Task.ticket_id == ticket.id, Task.status == "Todo") == 1
    assert crm.count(Ticket) == 1


def test_a_task_is_added_on_the_page_of_its_lead(crm: Crm) -> None:
    lead = crm.make.lead("ana", task={})
    came = {"Referer": f"http://localhost/leads/{lead.number}"}
    answer = crm.client("ana").form(f"/tasks/add?lead={lead.id}&back=1", {"title": "Visit him"}, headers=came)
    assert answer.location.startswith(f"/leads/{lead.number}")
    assert crm.count(Task, Task.lead_id == lead.id, Task.title == "Visit him") == 1
