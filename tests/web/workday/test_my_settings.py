"""My settings: working times, delegate, reminders; invalid input is kept."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app import access
from app.domain.people.permissions import AccessVersion
from app.models import Task, User
from tests.app_fixtures import Crm

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
EMPTY = {
    "available": "1",
    "away_until": "",
    "leave_from": "",
    "leave_to": "",
    "delegate": "",
    "reminder_minutes": "",
    "time_zone": "",
    "locale": "",
}


def typed(moment: datetime) -> str:
    """As the form shows a moment in India."""
    return f"{moment.astimezone(UTC) + timedelta(hours=5, minutes=30):%Y-%m-%dT%H:%M}"


def mark(crm: Crm, who: str = "ana") -> str:
    found = re.search(r'name="mark" value="([0-9a-f]+)"', crm.client(who).screen("/me/").text)
    return found[1] if found else ""


def save(crm: Crm, who: str = "ana", **values: Any) -> Any:
    """Send the form as it is, with these changes."""
    return crm.client(who).form("/me/", EMPTY | {"mark": mark(crm, who)} | values)


def user(crm: Crm, who: str = "ana") -> Any:
    return crm.rows(select(User).where(User.id == crm.people[who].id))[0]


def version(crm: Crm) -> int:
    return int(crm.rows(select(AccessVersion.n))[0])


def test_settings_are_saved(crm: Crm) -> None:
    leave_from, leave_to = datetime.now(UTC) + 2 * DAY, datetime.now(UTC) + 9 * DAY
    before, ben = version(crm), crm.people["ben"].id
    answer = save(
        crm,
        leave_from=typed(leave_from),
        leave_to=typed(leave_to),
        delegate=str(ben),
        reminder_minutes="30 5",
        time_zone="Asia/Dubai",
        locale="en",
        available="",
    )
    ana = user(crm)
    assert answer.location == "/me/" and version(crm) > before
    assert (ana.delegate_id, ana.reminder_minutes, ana.available) == (ben, [30, 5], False)
    assert (ana.time_zone, ana.locale) == ("Asia/Dubai", "en")
    assert ana.leave_from == leave_from.replace(second=0, microsecond=0)


def test_the_page_describes_the_availability(crm: Crm) -> None:
    leave_from, leave_to = datetime.now(UTC) + 2 * DAY, datetime.now(UTC) + 9 * DAY
    assert "You get new work by round robin" in crm.client("ana").screen("/me/").text
    save(crm, leave_from=typed(leave_from), leave_to=typed(leave_to), delegate=str(crm.people["ben"].id))
    page = crm.client("ana").screen("/me/").text
    assert re.search(r"From \d+ \w+( \d+)?, [\d:]+, Ben Shah gets your new work .* they return to you", page)
    assert "You cover for Ana Shah" in crm.client("ben").screen("/me/").text


@pytest.mark.parametrize(
    "columns, sentence",
    [
        ({"available": False}, "until you turn this on again"),
        ({"away_until": 5}, "You get no new work until"),
        ({"leave_from": 1, "leave_to": 5}, "No one covers for you"),
        ({"leave_from": 1}, "until you enter an end date"),
        ({"leave_from": -1, "leave_to": 5, "delegate_id": "ben"}, "Ben Shah gets your new work"),
        ({"leave_from": 1, "delegate_id": "ben"}, "with no end date yet"),
        ({"leave_from": -9, "leave_to": -5, "delegate_id": "ben"}, "You get new work by round robin"),
    ],
)
def test_each_state_has_its_text(crm: Crm, columns: dict[str, Any], sentence: str) -> None:
    ana, now = crm.session.get_one(User, crm.people["ana"].id), datetime.now(UTC)
    for name, value in columns.items():
        is_days = isinstance(value, int) and not isinstance(value, bool)
        setattr(ana, name, now + value * DAY if is_days else crm.people[value].id if value == "ben" else value)
    crm.session.commit()
    assert sentence in crm.client("ana").screen("/me/").text


def test_a_delegate_who_is_also_away_is_allowed_with_a_warning(crm: Crm) -> None:
    now = datetime.now(UTC)
    ben = crm.session.get_one(User, crm.people["ben"].id)
    ben.leave_from, ben.leave_to = now + 3 * DAY, now + 4 * DAY
    crm.session.commit()
    save(crm, leave_from=typed(now + DAY), leave_to=typed(now + 9 * DAY), delegate=str(ben.id))
    assert user(crm).delegate_id == ben.id
    assert "Ben Shah is also on leave" in crm.client("ana").screen("/me/").text


@pytest.mark.parametrize(
    "name, value, sentence",
    [
        ("away_until", "2020-01-01T10:00", "This time is in the past"),
        ("away_until", "soon", "date and time"),
        ("leave_to", "2031-01-01T10:00", "enter when it starts"),
        ("delegate", "ana", "own delegate"),
        ("delegate", "999999", "no colleague"),
        ("delegate", "gone", "no longer works here"),
        ("reminder_minutes", "soon", "numbers of minutes"),
        ("reminder_minutes", "1 2 3 4 5 6", "up to five"),
        ("reminder_minutes", "9" * 99, "too long"),
        ("time_zone", "Mars/Base", "have this option"),
        ("locale", "xx", "have this option"),
        ("away_until", "0001-01-01T00:00", "date and time"),
    ],
)
def test_a_refused_save_keeps_the_values_and_stores_nothing(crm: Crm, name: str, value: str, sentence: str) -> None:
    crm.make.user("gone", "Sales User")
    crm.session.get_one(User, crm.people["gone"].id).active = False
    crm.session.commit()
    before, value = vars(user(crm)), str(crm.people[value].id) if value in crm.people else value
    other = "reminder_minutes" if name != "reminder_minutes" else "away_until"
    kept = {"reminder_minutes": "77, 7", "away_until": "2031-02-03T10:00"}[other]
    answer = save(crm, **{name: value, other: kept})
    assert answer.status_code == 422 and sentence in answer.text and kept in answer.text
    same = {key: each for key, each in vars(user(crm)).items() if key != "_sa_instance_state"}
    assert same == {key: each for key, each in before.items() if key != "_sa_instance_state"}


def test_two_people_cannot_cover_for_each_other_at_once(crm: Crm) -> None:
    now = datetime.now(UTC)
    leave = {"leave_from": typed(now + DAY), "leave_to": typed(now + 3 * DAY)}
    assert save(crm, "ana", **leave, delegate=str(crm.people["ben"].id)).status_code == 302
    answer = save(crm, "ben", **leave, delegate=str(crm.people["ana"].id))
    assert answer.status_code == 422 and "no one would cover it" in answer.text


def test_an_outdated_page_is_a_conflict(crm: Crm) -> None:
    old = mark(crm)
    save(crm, reminder_minutes="30")
    answer = save(crm, reminder_minutes="45", mark=old)
    assert answer.status_code == 409 and user(crm).reminder_minutes == [30]
    assert 'value="45"' in answer.text and "<td>45</td><td>30</td>" in answer.text
    again = re.search(r'name="mark" value="([0-9a-f]+)"', answer.text)
    assert again and save(crm, reminder_minutes="45", mark=again[1]).status_code == 302
    assert user(crm).reminder_minutes == [45]


def test_an_unchanged_form_changes_nothing(crm: Crm) -> None:
    moment = datetime.now(UTC) + DAY + timedelta(seconds=31)
    ana = crm.session.get_one(User, crm.people["ana"].id)
    ana.away_until = moment
    crm.session.commit()
    assert save(crm, away_until=typed(moment), reminder_minutes="30").status_code == 302
    assert user(crm).away_until == moment


def due_task(crm: Crm) -> Task:
    now = datetime.now(UTC).replace(microsecond=0)
    return crm.make.task(crm.make.lead("ana", at=now, task={}), "ana", at=now, due_on=now + 5 * HOUR)


def test_changed_reminders_reschedule_open_tasks(crm: Crm) -> None:
    task: Any = due_task(crm)
    save(crm, reminder_minutes="120")
    assert crm.fresh(task).remind_on == task.due_on - 2 * HOUR
    save(crm)
    assert crm.fresh(task).remind_on == task.due_on - HOUR
    assert crm.fresh(task).version == 1


def test_an_admin_changing_reminders_reschedules_open_tasks(crm: Crm) -> None:
    task: Any = due_task(crm)
    ana = user(crm)
    sent = {
        "first_name": "Ana",
        "last_name": "Shah",
        "username": "ana",
        "email": "ana@example.in",
        "active": "y",
        "available": "y",
        "roles": [role.id for role in crm.session.get_one(User, ana.id).roles],
        "reminder_minutes": "120",
    }
    answer = crm.client("root").form(f"/users/edit/{ana.id}", sent)
    assert answer.status_code == 302
    assert crm.fresh(task).remind_on == task.due_on - 2 * HOUR


def test_the_delegate_can_edit_the_records_at_once(crm: Crm) -> None:
    access.clear_cache()
    lead, now = crm.make.lead("ana"), datetime.now(UTC)
    assert not crm.client("ben").sees(lead)
    save(crm, leave_from=typed(now - HOUR), leave_to=typed(now + DAY), delegate=str(crm.people["ben"].id))
    assert crm.client("ben").sees(lead)


def test_everybody_has_their_own_page_only(crm: Crm) -> None:
    for who in ("ana", "cleo", "mia", "rhea", "root"):
        page = crm.client(who).screen("/me/")
        assert page.status_code == 200 and 'href="/bell/choices"' in page.text
    assert "/login/" in crm.client(None).screen("/me/").location
    assert 'href="/me/"' in crm.client("ana").screen("/").text


def test_the_language_of_the_menu_is_stored_for_notices_and_the_next_sign_in(crm: Crm) -> None:
    client = crm.client("ana")
    assert client.form("/me/language", {"locale": "hi"}).status_code == 302
    assert user(crm).locale == "hi" and 'lang="hi"' in client.screen("/me/").text[:300]
    refused = client.form("/me/language", {"locale": "xx"}, follow_redirects=True)
    assert "पेज इस भाषा में उपलब्ध नहीं हैं।" in refused.text and user(crm).locale == "hi"
    assert user(crm, "ben").locale is None


def test_what_one_field_has_to_say_is_said_once_above_the_form(crm: Crm) -> None:
    page = save(crm, leave_from="2027-01-04T09:00", leave_to="2027-01-02T09:00").text
    summary = page.partition("data-error-summary")[2].partition("</div>")[0]
    assert summary.count("The leave must end after it starts.") == 1 and "Not saved yet" in summary
