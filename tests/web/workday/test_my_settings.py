"""My settings: when I take work, who stands in, how early I am reminded; wrong input keeps what was typed."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app import access
from app.domain.permissions import AccessVersion
from app.models import Task, User
from tests.app_fixtures import World

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


def mark(world: World, who: str = "ana") -> str:
    found = re.search(r'name="mark" value="([0-9a-f]+)"', world.door(who).screen("/me/").text)
    return found[1] if found else ""


def save(world: World, who: str = "ana", **values: Any) -> Any:
    """Send the form as it is, with these changes."""
    return world.door(who).form("/me/", EMPTY | {"mark": mark(world, who)} | values)


def user(world: World, who: str = "ana") -> Any:
    return world.rows(select(User).where(User.id == world.people[who].id))[0]


def version(world: World) -> int:
    return int(world.rows(select(AccessVersion.n))[0])


def test_settings_are_saved(world: World) -> None:
    leave_from, leave_to = datetime.now(UTC) + 2 * DAY, datetime.now(UTC) + 9 * DAY
    before, ben = version(world), world.people["ben"].id
    answer = save(
        world,
        leave_from=typed(leave_from),
        leave_to=typed(leave_to),
        delegate=str(ben),
        reminder_minutes="30 5",
        time_zone="Asia/Dubai",
        locale="en",
        available="",
    )
    ana = user(world)
    assert answer.location == "/me/" and version(world) > before
    assert (ana.delegate_id, ana.reminder_minutes, ana.available) == (ben, [30, 5], False)
    assert (ana.time_zone, ana.locale) == ("Asia/Dubai", "en")
    assert ana.leave_from == leave_from.replace(second=0, microsecond=0)


def test_the_page_describes_the_availability(world: World) -> None:
    leave_from, leave_to = datetime.now(UTC) + 2 * DAY, datetime.now(UTC) + 9 * DAY
    assert "You get new work by round robin" in world.door("ana").screen("/me/").text
    save(world, leave_from=typed(leave_from), leave_to=typed(leave_to), delegate=str(world.people["ben"].id))
    page = world.door("ana").screen("/me/").text
    assert re.search(r"From \d+ \w+( \d+)?, [\d:]+, Ben Shah gets your new work .* they return to you", page)
    assert "You cover for Ana Shah" in world.door("ben").screen("/me/").text


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
def test_each_state_has_its_text(world: World, columns: dict[str, Any], sentence: str) -> None:
    ana, now = world.session.get(User, world.people["ana"].id), datetime.now(UTC)
    for name, value in columns.items():
        is_days = isinstance(value, int) and not isinstance(value, bool)
        setattr(ana, name, now + value * DAY if is_days else world.people[value].id if value == "ben" else value)
    world.session.commit()
    assert sentence in world.door("ana").screen("/me/").text


def test_a_delegate_who_is_also_away_is_allowed_with_a_warning(world: World) -> None:
    now = datetime.now(UTC)
    ben = world.session.get(User, world.people["ben"].id)
    ben.leave_from, ben.leave_to = now + 3 * DAY, now + 4 * DAY
    world.session.commit()
    save(world, leave_from=typed(now + DAY), leave_to=typed(now + 9 * DAY), delegate=str(ben.id))
    assert user(world).delegate_id == ben.id
    assert "Ben Shah is also on leave" in world.door("ana").screen("/me/").text


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
def test_a_refused_save_keeps_the_values_and_stores_nothing(world: World, name: str, value: str, sentence: str) -> None:
    world.make.user("gone", "Sales User")
    world.session.get(User, world.people["gone"].id).active = False
    world.session.commit()
    before, value = vars(user(world)), str(world.people[value].id) if value in world.people else value
    other = "reminder_minutes" if name != "reminder_minutes" else "away_until"
    kept = {"reminder_minutes": "77, 7", "away_until": "2031-02-03T10:00"}[other]
    answer = save(world, **{name: value, other: kept})
    assert answer.status_code == 422 and sentence in answer.text and kept in answer.text
    same = {key: each for key, each in vars(user(world)).items() if key != "_sa_instance_state"}
    assert same == {key: each for key, each in before.items() if key != "_sa_instance_state"}


def test_two_people_cannot_cover_for_each_other_at_once(world: World) -> None:
    now = datetime.now(UTC)
    leave = {"leave_from": typed(now + DAY), "leave_to": typed(now + 3 * DAY)}
    assert save(world, "ana", **leave, delegate=str(world.people["ben"].id)).status_code == 302
    answer = save(world, "ben", **leave, delegate=str(world.people["ana"].id))
    assert answer.status_code == 422 and "no one would cover it" in answer.text


def test_an_outdated_page_is_a_conflict(world: World) -> None:
    old = mark(world)
    save(world, reminder_minutes="30")
    answer = save(world, reminder_minutes="45", mark=old)
    assert answer.status_code == 409 and user(world).reminder_minutes == [30]
    assert 'value="45"' in answer.text and "<td>45</td><td>30</td>" in answer.text
    again = re.search(r'name="mark" value="([0-9a-f]+)"', answer.text)
    assert again and save(world, reminder_minutes="45", mark=again[1]).status_code == 302
    assert user(world).reminder_minutes == [45]


def test_an_unchanged_form_changes_nothing(world: World) -> None:
    moment = datetime.now(UTC) + DAY + timedelta(seconds=31)
    ana = world.session.get(User, world.people["ana"].id)
    ana.away_until = moment
    world.session.commit()
    assert save(world, away_until=typed(moment), reminder_minutes="30").status_code == 302
    assert user(world).away_until == moment


def due_task(world: World) -> Task:
    now = datetime.now(UTC).replace(microsecond=0)
    return world.make.task(world.make.lead("ana", at=now, task={}), "ana", at=now, due_on=now + 5 * HOUR)  # type: ignore[no-any-return]


def test_changed_reminders_reschedule_open_tasks(world: World) -> None:
    task = due_task(world)
    save(world, reminder_minutes="120")
    assert world.fresh(task).remind_on == task.due_on - 2 * HOUR
    save(world)
    assert world.fresh(task).remind_on == task.due_on - HOUR
    assert world.fresh(task).version == 1


def test_an_admin_changing_reminders_reschedules_open_tasks(world: World) -> None:
    task, ana = due_task(world), user(world)
    sent = {
        "first_name": "Ana",
        "last_name": "Shah",
        "username": "ana",
        "email": "ana@example.in",
        "active": "y",
        "available": "y",
        "roles": [role.id for role in world.session.get(User, ana.id).roles],
        "reminder_minutes": "120",
    }
    answer = world.door("root").form(f"/users/edit/{ana.id}", sent)
    assert answer.status_code == 302
    assert world.fresh(task).remind_on == task.due_on - 2 * HOUR


def test_the_delegate_can_edit_the_records_at_once(world: World) -> None:
    access.clear_cache()
    lead, now = world.make.lead("ana"), datetime.now(UTC)
    assert not world.door("ben").sees(lead)
    save(world, leave_from=typed(now - HOUR), leave_to=typed(now + DAY), delegate=str(world.people["ben"].id))
    assert world.door("ben").sees(lead)


def test_everybody_has_their_own_page_only(world: World) -> None:
    for who in ("ana", "cleo", "mia", "rhea", "root"):
        page = world.door(who).screen("/me/")
        assert page.status_code == 200 and 'href="/bell/choices"' in page.text
    assert "/login/" in world.door(None).screen("/me/").location
    assert 'href="/me/"' in world.door("ana").screen("/").text


def test_the_language_of_the_menu_is_stored_for_notices_and_the_next_sign_in(world: World) -> None:
    door = world.door("ana")
    assert door.form("/me/language", {"locale": "hi"}).status_code == 302
    assert user(world).locale == "hi" and 'lang="hi"' in door.screen("/me/").text[:300]
    refused = door.form("/me/language", {"locale": "xx"}, follow_redirects=True)
    assert "पेज इस भाषा में उपलब्ध नहीं हैं।" in refused.text and user(world).locale == "hi"
    assert user(world, "ben").locale is None
