"""The calendar of tasks: visibility, moves through the form's endpoint, left-out tasks, and invalid URLs."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from sqlalchemy import update

from app.models import Lead, User
from app.web.records.lists import calendar_items
from tests.app_fixtures import Crm
from tests.cases import each_case

HX = {"HX-Request": "true"}
#: A Wednesday in the future of every clock that runs these tests, 10:00 in India.
DUE = datetime(2032, 11, 24, 4, 30, tzinfo=UTC)
WEEK = "/tasks/?layout=calendar&from=2032-11-24&span=week"
DAY = timedelta(days=1)


def task(crm: Crm, who: str = "ana", due: datetime | None = DUE, **values: Any) -> Any:
    return crm.make.task(crm.make.lead(who, task={}), who, due_on=due, **values)


def items(crm: Crm, who: str, path: str = WEEK) -> list[str]:
    return re.findall(r'data-item="([^"]+)"', crm.client(who).screen(path).text)


def move(crm: Crm, who: str, row: Any, **form: Any) -> Any:
    given = {"version": crm.fresh(row).version} | form
    return crm.client(who).form(f"/tasks/calendar/move/{row.id}", given, headers=HX)


@pytest.mark.parametrize("who, seen", [("ana", {"ana"}), ("mia", {"ana"}), ("root", {"ana", "ben", "cleo"})])
def test_a_calendar_shows_what_the_person_sees(crm: Crm, who: str, seen: set[str]) -> None:
    made = {name: task(crm, name) for name in ("ana", "ben")}
    made["cleo"] = crm.make.task(crm.make.ticket("cleo"), "cleo", due_on=DUE)
    late = task(crm, due=DUE + 7 * DAY)
    found = items(crm, who)
    assert set(found) == {f"task-{made[name].id}" for name in seen} and f"task-{late.id}" not in found
    mine = items(crm, who, f"{WEEK}&_flt_eq_assignee=@me")
    assert mine == ([f"task-{made[who].id}"] if who in made else [])


def test_it_opens_with_ones_own_tasks_and_keeps_the_filters_of_the_list(crm: Crm) -> None:
    opened = crm.client("mia").screen("/tasks/?layout=calendar")
    assert opened.status_code == 302 and "_flt_eq_assignee=%40me" in opened.location
    one, _other = task(crm, priority="High"), task(crm)
    assert items(crm, "mia", f"{WEEK}&_flt_eq_priority=High") == [f"task-{one.id}"]
    page = unescape(crm.client("mia").screen("/tasks/?_flt_eq_priority=High").text)
    assert "/tasks/?_flt_eq_priority=High&layout=calendar" in page


def test_a_follow_up_is_shown_once_and_where_the_person_sees_it(crm: Crm) -> None:
    alone = crm.make.lead("ana", task={}, next_follow_up_on=DUE)
    worked = crm.make.lead("ana", task={}, next_follow_up_on=DUE)
    row = crm.make.task(worked, "ana", due_on=DUE + timedelta(hours=1))
    foreign = crm.make.lead("ben", task={}, next_follow_up_on=DUE)
    closed = crm.make.lead("ana", task={}, next_follow_up_on=DUE, status="Junk")
    found = items(crm, "ana")
    assert set(found) == {f"lead-{alone.id}", f"task-{row.id}"}
    assert f"lead-{foreign.id}" in items(crm, "root") and f"lead-{closed.id}" not in items(crm, "root")
    filtered = crm.client("ana").screen(f"{WEEK}&_flt_eq_priority=Low").text
    assert f"lead-{alone.id}" not in filtered and "Follow-ups of leads are left out" in filtered
    crm.make.cell("Sales User", "Leads", "read", "none")
    assert items(crm, "ana") == [f"task-{row.id}"]


@pytest.mark.parametrize(
    "form, due",
    [
        ({"to": "2032-11-26T15:30"}, datetime(2032, 11, 26, 10, tzinfo=UTC)),
        ({"to": "2032-12-01"}, DUE + 7 * DAY),
        ({"days": "-1"}, DUE - DAY),
        ({"minutes": "15"}, DUE + timedelta(minutes=15)),
    ],
)
def test_a_move_changes_the_due_time_by_the_endpoint_of_the_form(crm: Crm, form: dict[str, str], due: datetime) -> None:
    row = task(crm)
    version = row.version
    answer = move(crm, "ana", row, **form)
    assert answer.status_code == 200 and f'data-version="{version + 1}"' in answer.text
    changed = crm.fresh(row)
    assert changed.due_on == due and changed.remind_on is not None
    assert items(crm, "mia", WEEK.replace("2032-11-24", f"{due:%Y-%m-%d}")) == [f"task-{row.id}"]


@pytest.mark.parametrize("follow_up, moved", [(DUE, DUE + DAY), (DUE + timedelta(hours=3), DUE + timedelta(hours=3))])
def test_the_follow_up_of_a_lead_moves_with_the_task_at_its_time(
    crm: Crm, follow_up: datetime, moved: datetime
) -> None:
    lead = crm.make.lead("ana", task={}, next_follow_up_on=follow_up)
    row = crm.make.task(lead, "ana", due_on=DUE)
    assert move(crm, "ana", row, days="1").status_code == 200
    assert crm.stored(lead)["next_follow_up_on"] == moved
    assert items(crm, "ana").count(f"lead-{lead.id}") == (moved != DUE + DAY)


def test_a_follow_up_that_one_does_not_see_stays(crm: Crm) -> None:
    lead = crm.make.lead("ben", task={}, next_follow_up_on=DUE)
    row = crm.make.task(lead, "ana", due_on=DUE)
    assert move(crm, "ana", row, days="1").status_code == 200
    assert crm.stored(lead)["next_follow_up_on"] == DUE


@each_case(
    "who, form, status",
    [
        ("ben", {"days": "1"}, 404),
        ("ana", {"days": "1", "version": "77"}, 409),
        ("ana", {"to": "tomorrow, at ten or so"}, 422),
        ("ana", {"to": "2032-13-40"}, 422),
        ("ana", {}, 422),
        ("ana", {"days": "9999"}, 422),
        ("ana", {"to": "2199-12-31T23:59", "minutes": "x"}, 200),
    ],
)
def test_a_refused_move_changes_nothing_and_says_why(crm: Crm, who: str, form: dict[str, str], status: int) -> None:
    row = task(crm)
    answer = move(crm, who, row, **form)
    assert answer.status_code == status
    if status != 200:
        assert crm.fresh(row).due_on == DUE and len(answer.headers["X-Sentence"]) > 20


def test_a_task_without_a_due_time_has_no_step(crm: Crm) -> None:
    assert "no due time" in move(crm, "ana", task(crm, due=None), days="1").headers["X-Sentence"]


@each_case(
    "query, told",
    [
        ("layout=calendar&span=year", "a day, a week or a month"),
        ("layout=calendar&from=yesterday", "must be a date such as"),
        ("layout=calendar&from=2032-11-24&from=2032-11-25", "more than once"),
        ("span=week", "no parameter"),
        ("layout=calendar&from=0001-01-01", "must be a date such as"),
    ],
)
def test_bad_addresses_get_a_sentence(crm: Crm, query: str, told: str) -> None:
    answer = crm.client("ana").screen(f"/tasks/?{query}")
    assert answer.status_code == 400 or answer.status_code == 422
    assert told in unescape(answer.text)
    assert crm.client("ana").screen("/leads/?layout=calendar").status_code in (400, 422)


def test_the_ends_of_time(crm: Crm) -> None:
    for day in ("1900-01-01", "2199-12-31"):
        for span in ("day", "week", "month"):
            assert crm.client("ana").screen(f"/tasks/?layout=calendar&from={day}&span={span}").status_code == 200


def test_a_month_shows_four_of_a_day_and_the_way_to_the_others(crm: Crm) -> None:
    lead = crm.make.lead("ana", task={})
    for number in range(6):
        crm.make.task(lead, "ana", due_on=DUE + timedelta(minutes=number))
    page = unescape(crm.client("ana").screen(WEEK.replace("week", "month")).text)
    assert page.count("data-item=") == 4 and "+2 more" in page
    assert "/tasks/?layout=calendar&span=day&from=2032-11-24" in page
    assert page.count("is-empty") > 27 and len(items(crm, "ana", WEEK.replace("week", "day"))) == 6


def test_too_many_are_cut_with_a_sentence(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(calendar_items.MOST, "week", 2)
    lead = crm.make.lead("ana", task={})
    rows = [crm.make.task(lead, "ana", due_on=DUE + number * DAY) for number in range(3)]
    page = unescape(crm.client("ana").screen(WEEK).text)
    assert "These are the first 2 tasks, up to 25 Nov, 10:00." in page
    assert re.findall(r'data-item="task-(\d+)"', page) == [str(row.id) for row in rows[:2]]
    monkeypatch.setitem(calendar_items.MOST, "month", 2)
    crm.make.lead("ana", task={}, next_follow_up_on=DUE + 3 * DAY)  # not shown: its day's tasks aren't either
    page = crm.client("ana").screen(WEEK.replace("week", "month")).text
    assert page.count("Open the day") == 11 and 'data-item="lead' not in page


def test_a_month_of_many_tasks_has_the_first_ones_of_each_day(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calendar_items, "MANY", 7)
    monkeypatch.setattr(calendar_items, "OF_DAY", 5)
    lead = crm.make.lead("ana", task={})
    for number in range(8):
        crm.make.task(lead, "ana", due_on=DUE + timedelta(minutes=number), status="Todo")
    late = crm.make.task(lead, "ana", due_on=DUE + 6 * DAY)
    alone = crm.make.lead("ana", task={}, next_follow_up_on=DUE + 5 * DAY)
    crm.make.lead("ana", task={}, next_follow_up_on=DUE - timedelta(minutes=1))  # left to the page of its day
    page = unescape(crm.client("ana").screen(WEEK.replace("week", "month")).text)
    shown = re.findall(r'data-item="([^"]+)"', page)
    assert len(shown) == 6 and shown[-2:] == [f"lead-{alone.id}", f"task-{late.id}"]
    assert "+1 or more" in page and ">7+<" in page and "These are the first" not in page


def make_random_tasks(crm: Crm, chance: random.Random, count: int) -> None:
    """So many tasks of five leads, due within five days."""
    leads = [crm.make.lead(chance.choice(("ana", "ben")), task={}) for _ in range(5)]
    for _ in range(count):
        due = DUE + timedelta(hours=chance.randrange(-60, 60))
        status = chance.choice(("Todo", "Todo", "Backlog", "In Progress", "Done"))
        crm.make.task(chance.choice(leads), chance.choice(("ana", "ben", "mia")), due_on=due, status=status)


@pytest.mark.parametrize("seed", range(3))
def test_a_month_of_many_tasks_shows_what_one_of_few_does(crm: Crm, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    chance = random.Random(seed)
    make_random_tasks(crm, chance, 50)
    crm.session.execute(update(Lead).values(next_follow_up_on=None))
    crm.session.commit()
    filters = ("", "&_flt_eq_assignee=@me", "&_flt_eq_status=Todo", "&_flt_eq_priority=Low")
    asked = [(who, f"{WEEK}&span=month{each}") for who in ("ana", "ben", "mia", "root") for each in filters]
    asked = [(who, path.replace("&span=week", "")) for who, path in asked]
    expected = [items(crm, *each) for each in asked]
    monkeypatch.setattr(calendar_items, "MANY", 2)
    monkeypatch.setattr(calendar_items, "OF_DAY", chance.choice((4, 6)))
    assert expected == [items(crm, *each) for each in asked]


def test_closed_days_are_shaded_and_late_tasks_colored(crm: Crm) -> None:
    row = task(crm, due=datetime(2026, 1, 6, 4, 30, tzinfo=UTC))
    page = crm.client("ana").screen("/tasks/?layout=calendar&from=2026-01-06&span=day").text
    assert f'class="cal-item is-task is-late can-move" data-item="task-{row.id}"' in page
    sunday = crm.client("ana").screen("/tasks/?layout=calendar&from=2026-01-04&span=day").text
    assert "Office closed" in sunday and "Office closed" not in page and page.count('<td class="is-closed">') > 0


def test_days_are_those_of_the_persons_clock(crm: Crm) -> None:
    row = task(crm, due=datetime(2032, 11, 24, 20, 30, tzinfo=UTC))  # the 25th in India, the 24th in Berlin
    day = "/tasks/?layout=calendar&span=day&from=2032-11-2"
    assert items(crm, "ana", f"{day}5") == [f"task-{row.id}"] and items(crm, "ana", f"{day}4") == []
    crm.session.get_one(User, crm.people["ana"].id).time_zone = "Europe/Berlin"
    crm.session.commit()
    assert items(crm, "ana", f"{day}4") == [f"task-{row.id}"]


@pytest.mark.parametrize("seed", range(3))
def test_the_first_tasks_are_the_same_when_their_end_is_looked_for_first(
    crm: Crm, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    make_random_tasks(crm, chance, 40)
    monkeypatch.setitem(calendar_items.MOST, "week", chance.choice((3, 6, 10)))
    filters = ("", "&_flt_eq_assignee=@me", "&_flt_eq_status=Todo", "&_flt_eq_status=Done", "&_flt_eq_priority=Low")
    asked = [(who, f"{WEEK}{each}") for who in ("ana", "ben", "mia", "root") for each in filters]
    look, ends = calendar_items._end_of_first, list[Any]()

    def look_and_note(*given: Any) -> datetime | None:
        ends.append(look(*given))
        return ends[-1]

    monkeypatch.setattr(calendar_items, "_end_of_first", look_and_note)
    found = [items(crm, *each) for each in asked]
    assert None in ends and any(ends)
    monkeypatch.setattr(calendar_items, "_end_of_first", lambda *_: None)
    assert found == [items(crm, *each) for each in asked]
