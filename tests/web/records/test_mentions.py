"""“@name” in a note tells those who may see the record, and nobody else; a note is changed by its author only."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from app import access
from app.models import Activity, Group, Notification, Role, User
from tests.app_fixtures import World
from tests.factories import DAY, NOW


def told(world: World, kind: str = "mention") -> list[str]:
    """Who was told, by user name."""
    names = {each.id: name for name, each in world.people.items()}
    query = select(Notification.user_id).where(Notification.kind == kind).order_by(Notification.id)
    return [names[key] for key in world.rows(query)]


def note(world: World, about: Any, text: str, who: str = "ana") -> Any:
    kind = {"leads": "lead"}.get(about.__tablename__, about.__tablename__)
    answer = world.door(who).rest("POST", "activity/", {kind: about.id, "text": text})
    assert answer.status_code == 201, answer.text
    return answer.json


# --- who is told


def test_who_sees_the_record_is_told_and_the_author_hears_of_the_others(world: World) -> None:
    made = note(world, world.make.lead("ana"), "@mia, @max and @root: please look. @mia! max@eshin.test")
    assert told(world) == ["mia", "root"]
    assert made["result"]["warnings"] == [
        "Max Shah wasn't notified because they don't have access to this record. A manager can assign it to them."
    ]
    assert [card["username"] for card in made["result"]["told"]["mentions"]] == ["mia", "root"]


def test_on_the_page_the_warning_is_a_flash(world: World) -> None:
    lead, ana = world.make.lead("ana"), world.door("ana")
    ana.form(f"/leads/note/{lead.id}", {"body": "@cleo?"})
    assert "Cleo Shah wasn&#39;t notified" in ana.screen(f"/leads/show/{lead.id}").text


def test_a_mention_of_somebody_without_sight_tells_him_nothing(world: World) -> None:
    lead = world.make.lead("ana", first_name="Secretive", mobile="9820054321")
    note(world, lead, "@ben @cleo PAN ABCDE1234F")
    for name in ("ben", "cleo"):
        door = world.door(name)
        assert door.rest("GET", "notification/").json["result"] == []
        assert lead.number not in door.screen("/bell/").text + door.screen("/bell/panel").text
    assert world.rows(select(Notification).where(Notification.kind.in_(["mention", "comment"]))) == []


def test_a_notice_of_a_note_says_the_number_and_nothing_more(world: World) -> None:
    lead = world.make.lead("ana", mobile="9820054321")
    note(world, lead, "@mia call 9820054321, PAN ABCDE1234F")
    row = world.rows(select(Notification).where(Notification.kind == "mention"))[0]
    assert row.payload == {"number": lead.number}


def test_assignee_and_owner_hear_of_a_note_once(world: World) -> None:
    lead = world.make.give(world.make.lead("ana"), "ben")  # ana still owns it
    note(world, lead, "Called. @ana", who="root")
    assert (told(world), told(world, "comment")) == (["ana"], ["ben"])
    note(world, lead, "Again", who="ben")
    assert told(world, "comment") == ["ben", "ana"]


def test_who_left_is_named_to_the_author(world: World) -> None:
    gone = world.make.user("gita", "Admin")
    world.session.get(User, gone.id).active = False
    world.session.commit()
    made = note(world, world.make.lead("ana"), "@gita")
    assert made["result"]["warnings"] == ["Gita Shah wasn't notified: the account is deactivated."]
    assert world.count(Notification, Notification.user_id == gone.id) == 0


@pytest.mark.parametrize("kind, who", [("customer", "ana"), ("ticket", "cleo")])
def test_notes_on_customers_and_tickets_tell_too(world: World, kind: str, who: str) -> None:
    about, boss = getattr(world.make, kind)(who), {"ana": "mia", "cleo": "sam"}[who]
    note(world, about, f"@{boss} and @ben", who)
    assert told(world) == [boss]
    assert about.number in world.door(boss).screen("/bell/panel").text


def test_a_chip_stands_for_who_was_told(world: World) -> None:
    lead = world.make.lead("ana")
    note(world, lead, "@mia <b>and</b> @max")
    page = world.door("ana").screen(f"/leads/show/{lead.id}").text
    assert '<span class="mention" title="mia">@Mia Shah</span> &lt;b&gt;and&lt;/b&gt; @max' in page


def test_to_whom_notes_are_closed_nothing_is_told_of_one(world: World) -> None:
    lead = world.make.lead("ana")
    world.make.cell("Sales Manager", "Notes", "read", "none")
    made = note(world, lead, "@mia and @root")
    assert [card["username"] for card in made["result"]["told"]["mentions"]] == ["root"]
    assert "Mia Shah wasn't notified" in made["result"]["warnings"][0]
    world.make.cell("Sales User", "Notes", "read", "none")
    note(world, lead, "He called", "root")
    assert (told(world), told(world, "comment")) == (["root"], [])


# --- whom the composer offers


def test_asked_of_many_the_law_says_the_same_as_of_each(world: World) -> None:
    make, session = world.make, world.session
    records = [make.lead("ana"), make.give(make.lead("ana"), "ben"), make.ticket("cleo"), make.customer("ben")]
    away = session.get(User, world.people["ben"].id)
    away.leave_from, away.delegate_id = NOW - DAY, world.people["cleo"].id
    cleo, sells = session.get(User, world.people["cleo"].id), select(Role).where(Role.name == "Sales User")
    session.add(Group(name="Sellers", roles=[session.scalars(sells).one()], users=[cleo]))
    session.commit()
    everybody = [each.id for each in world.people.values()]
    for row in records:
        one_by_one = {key for key in everybody if _sees(session, key, row)}
        assert access.users_who_see(session, everybody, row, NOW) == one_by_one, row.number


def _sees(session: Any, key: int, row: Any) -> bool:
    who, record = access.load_person(session, key, NOW), type(row)
    query = select(record.id).where(record.id == row.id, access.visible(who, record))
    return session.scalars(query).first() is not None


def test_only_those_who_may_see_it_are_offered(world: World) -> None:
    lead = world.make.give(world.make.lead("ana"), "ana")
    offered = world.door("ana").screen(f"/people/lookup?about=lead:{lead.id}&q=").json["results"]
    assert {hit["hint"] for hit in offered} == {"mia", "rhea", "root"}
    assert world.door("ana").screen(f"/people/lookup?about=lead:{lead.id}&q=mi").json["results"][0]["hint"] == "mia"


@pytest.mark.parametrize("about", ["lead:1", "lead:999999", "lead:", "user:1", "lead:1 or 1", ":", "lead:٣"])
def test_nothing_is_offered_for_what_one_does_not_see(world: World, about: str) -> None:
    world.make.lead("ana")
    answer = world.door("cleo").screen("/people/lookup", query_string={"about": about})
    assert answer.status_code == 404 and answer.json["message"].endswith(".")


# --- changing a note


def change(world: World, key: int, text: str, who: str = "ana", **more: Any) -> Any:
    return world.door(who).rest("PUT", f"activity/{key}", {"text": text, **more})


def test_a_changed_note_keeps_its_former_text_and_tells_nobody_twice(world: World) -> None:
    made = note(world, world.make.lead("ana"), "@mia on Monday")
    answer = change(world, made["id"], "@mia and @root on Friday; not @max", edited_on=None)
    assert answer.status_code == 200 and told(world) == ["mia", "root"]
    assert answer.json["result"]["told"]["body"] == "@mia and @root on Friday; not @max"
    assert [old["text"] for old in answer.json["result"]["told"]["history"]] == ["@mia on Monday"]
    assert len(answer.json["result"]["warnings"]) == 1
    again = change(world, made["id"], "@mia and @root; not @max", edited_on=answer.json["result"]["edited_on"])
    assert again.status_code == 200 and told(world) == ["mia", "root"] and again.json["result"]["warnings"] == []


def test_a_stale_edit_is_refused_and_keeps_what_was_typed(world: World) -> None:
    made = note(world, world.make.lead("ana"), "Monday")
    assert change(world, made["id"], "Tuesday").status_code == 200
    assert change(world, made["id"], "Friday", edited_on=None).status_code == 409
    answer = world.door("ana").form(f"/notes/{made['id']}", {"text": "Typed before lunch", "edited_on": ""})
    assert answer.status_code == 409
    assert "Typed before lunch</textarea>" in answer.text and "Tuesday" in answer.text


@pytest.mark.parametrize("who, code", [("mia", 403), ("root", 403), ("rhea", 403), ("ben", 404), ("cleo", 404)])
def test_a_note_is_its_authors(world: World, who: str, code: int) -> None:
    made = note(world, world.make.lead("ana"), "Mine")
    door = world.door(who)
    codes = {
        change(world, made["id"], "Yours", who).status_code,
        door.screen(f"/notes/{made['id']}").status_code,
        door.form(f"/notes/{made['id']}", {"text": "Yours"}).status_code,
    }
    assert codes <= {code, 403 if who == "cleo" else code}
    assert world.rows(select(Activity).where(Activity.id == made["id"]))[0].payload == {"text": "Mine"}


def test_who_lost_the_record_cannot_change_his_note(world: World) -> None:
    lead = world.make.lead("ben")
    world.make.give(lead, "ana")
    made = note(world, lead, "Mine")
    world.make.give(lead, "ben")
    assert change(world, made["id"], "Still mine").status_code == 404


def test_only_notes_are_changed(world: World) -> None:
    lead = world.make.lead("ana")
    line = world.rows(select(Activity.id).where(Activity.lead_id == lead.id, Activity.kind != "note"))[0]
    answer = change(world, line, "It was not me")
    assert answer.status_code == 422 and "Only notes" in answer.json["message"]


def test_a_note_cannot_become_empty(world: World) -> None:
    made = note(world, world.make.lead("ana"), "Mine")
    assert change(world, made["id"], "  ").status_code == 422
    assert world.door("ana").form(f"/notes/{made['id']}", {"text": " "}).status_code == 422


def test_in_place_the_line_comes_back_changed(world: World) -> None:
    ana, made = world.door("ana"), note(world, world.make.lead("ana"), "Monday")
    part = {"headers": {"HX-Request": "true"}}
    form = ana.screen(f"/notes/{made['id']}", **part).text
    assert "<html" not in form and "Monday</textarea>" in form
    answer = ana.form(f"/notes/{made['id']}", {"text": "Friday @max", "edited_on": ""}, **part)
    assert answer.text.strip().startswith("<li") and "Friday" in answer.text and "edited" in answer.text
    assert "Max Shah wasn't notified" in answer.headers["HX-Trigger"]
    assert "Friday" in ana.screen(f"/notes/{made['id']}/shown", **part).text


def test_mentions_work_on_mariadb_too(maria: World) -> None:
    made = note(maria, maria.make.lead("ana"), "@mia @max")
    assert told(maria) == ["mia"]
    first = change(maria, made["id"], "@root", edited_on=None)
    assert first.status_code == 200 and told(maria) == ["mia", "root"]
    assert change(maria, made["id"], "Late", edited_on=None).status_code == 409
    seen = first.json["result"]["edited_on"]
    assert change(maria, made["id"], "In time", edited_on=seen).status_code == 200
