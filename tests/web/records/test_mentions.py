"""“@name” in a note notifies people who may see the record, and nobody else; only the author can change a note."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from app import access
from app.models import Activity, Group, Notification, Role, User
from tests.app_fixtures import Crm
from tests.cases import each_case
from tests.factories import DAY, NOW


def told(crm: Crm, kind: str = "mention") -> list[str]:
    """Who was told, by user name."""
    names = {each.id: name for name, each in crm.people.items()}
    query = select(Notification.user_id).where(Notification.kind == kind).order_by(Notification.id)
    return [names[key] for key in crm.rows(query)]


def note(crm: Crm, about: Any, text: str, who: str = "ana") -> Any:
    kind = {"leads": "lead"}.get(about.__tablename__, about.__tablename__)
    answer = crm.client(who).rest("POST", "activity/", {kind: about.id, "text": text})
    assert answer.status_code == 201, answer.text
    return answer.json


# --- who is told


def test_who_sees_the_record_is_told_and_the_author_hears_of_the_others(crm: Crm) -> None:
    made = note(crm, crm.make.lead("ana"), "@mia, @max and @root: please look. @mia! max@eshin.test")
    assert told(crm) == ["mia", "root"]
    assert made["result"]["warnings"] == [
        "Max Shah wasn't notified because they don't have access to this record. A manager can assign it to them."
    ]
    assert [card["username"] for card in made["result"]["told"]["mentions"]] == ["mia", "root"]


def test_on_the_page_the_warning_is_a_flash(crm: Crm) -> None:
    lead, ana = crm.make.lead("ana"), crm.client("ana")
    ana.form(f"/leads/note/{lead.id}", {"body": "@cleo?"})
    assert "Cleo Shah wasn&#39;t notified" in ana.screen(f"/leads/show/{lead.id}").text


def test_a_mention_of_somebody_without_sight_tells_him_nothing(crm: Crm) -> None:
    lead = crm.make.lead("ana", first_name="Secretive", mobile="9820054321")
    note(crm, lead, "@ben @cleo PAN ABCDE1234F")
    for name in ("ben", "cleo"):
        client = crm.client(name)
        assert client.rest("GET", "notification/").json["result"] == []
        assert lead.number not in client.screen("/bell/").text + client.screen("/bell/panel").text
    assert crm.rows(select(Notification).where(Notification.kind.in_(["mention", "comment"]))) == []


def test_a_notice_of_a_note_says_the_number_and_nothing_more(crm: Crm) -> None:
    lead = crm.make.lead("ana", mobile="9820054321")
    note(crm, lead, "@mia call 9820054321, PAN ABCDE1234F")
    row = crm.rows(select(Notification).where(Notification.kind == "mention"))[0]
    assert row.payload == {"number": lead.number}


def test_assignee_and_owner_hear_of_a_note_once(crm: Crm) -> None:
    lead = crm.make.give(crm.make.lead("ana"), "ben")  # ana still owns it
    note(crm, lead, "Called. @ana", who="root")
    assert (told(crm), told(crm, "comment")) == (["ana"], ["ben"])
    note(crm, lead, "Again", who="ben")
    assert told(crm, "comment") == ["ben", "ana"]


def test_who_left_is_named_to_the_author(crm: Crm) -> None:
    gone = crm.make.user("gita", "Admin")
    crm.session.get_one(User, gone.id).active = False
    crm.session.commit()
    made = note(crm, crm.make.lead("ana"), "@gita")
    assert made["result"]["warnings"] == ["Gita Shah wasn't notified: the account is deactivated."]
    assert crm.count(Notification, Notification.user_id == gone.id) == 0


@pytest.mark.parametrize("kind, who", [("customer", "ana"), ("ticket", "cleo")])
def test_notes_on_customers_and_tickets_tell_too(crm: Crm, kind: str, who: str) -> None:
    about, boss = getattr(crm.make, kind)(who), {"ana": "mia", "cleo": "sam"}[who]
    note(crm, about, f"@{boss} and @ben", who)
    assert told(crm) == [boss]
    assert about.number in crm.client(boss).screen("/bell/panel").text


def test_a_chip_stands_for_who_was_told(crm: Crm) -> None:
    lead = crm.make.lead("ana")
    note(crm, lead, "@mia <b>and</b> @max")
    page = crm.client("ana").screen(f"/leads/show/{lead.id}").text
    assert '<span class="mention" title="mia">@Mia Shah</span> &lt;b&gt;and&lt;/b&gt; @max' in page


def test_to_whom_notes_are_closed_nothing_is_told_of_one(crm: Crm) -> None:
    lead = crm.make.lead("ana")
    crm.make.cell("Sales Manager", "Notes", "read", "none")
    made = note(crm, lead, "@mia and @root")
    assert [card["username"] for card in made["result"]["told"]["mentions"]] == ["root"]
    assert "Mia Shah wasn't notified" in made["result"]["warnings"][0]
    crm.make.cell("Sales User", "Notes", "read", "none")
    note(crm, lead, "He called", "root")
    assert (told(crm), told(crm, "comment")) == (["root"], [])


# --- whom the composer offers


def test_asked_of_many_the_law_says_the_same_as_of_each(crm: Crm) -> None:
    make, session = crm.make, crm.session
    records = [make.lead("ana"), make.give(make.lead("ana"), "ben"), make.ticket("cleo"), make.customer("ben")]
    away = session.get_one(User, crm.people["ben"].id)
    away.leave_from, away.delegate_id = NOW - DAY, crm.people["cleo"].id
    cleo, sells = session.get(User, crm.people["cleo"].id), select(Role).where(Role.name == "Sales User")
    session.add(Group(name="Sellers", roles=[session.scalars(sells).one()], users=[cleo]))
    session.commit()
    everybody = [each.id for each in crm.people.values()]
    for row in records:
        one_by_one = {key for key in everybody if _sees(session, key, row)}
        assert access.users_who_see(session, everybody, row, NOW) == one_by_one, row.number


def _sees(session: Any, key: int, row: Any) -> bool:
    who, record = access.load_person(session, key, NOW), type(row)
    query = select(record.id).where(record.id == row.id, access.visible(who, record))
    return session.scalars(query).first() is not None


def test_only_those_who_may_see_it_are_offered(crm: Crm) -> None:
    lead = crm.make.give(crm.make.lead("ana"), "ana")
    offered = crm.client("ana").screen(f"/people/lookup?about=lead:{lead.id}&q=").json["results"]
    assert {hit["hint"] for hit in offered} == {"mia", "rhea", "root"}
    assert crm.client("ana").screen(f"/people/lookup?about=lead:{lead.id}&q=mi").json["results"][0]["hint"] == "mia"


@each_case("about", ["lead:1", "lead:999999", "lead:", "user:1", "lead:1 or 1", ":", "lead:٣"])
def test_nothing_is_offered_for_what_one_does_not_see(crm: Crm, about: str) -> None:
    crm.make.lead("ana")
    answer = crm.client("cleo").screen("/people/lookup", query_string={"about": about})
    assert answer.status_code == 404 and answer.json["message"].endswith(".")


# --- changing a note


def change(crm: Crm, key: int, text: str, who: str = "ana", **more: Any) -> Any:
    return crm.client(who).rest("PUT", f"activity/{key}", {"text": text, **more})


def test_a_changed_note_keeps_its_former_text_and_tells_nobody_twice(crm: Crm) -> None:
    made = note(crm, crm.make.lead("ana"), "@mia on Monday")
    answer = change(crm, made["id"], "@mia and @root on Friday; not @max", edited_on=None)
    assert answer.status_code == 200 and told(crm) == ["mia", "root"]
    assert answer.json["result"]["told"]["body"] == "@mia and @root on Friday; not @max"
    assert [old["text"] for old in answer.json["result"]["told"]["history"]] == ["@mia on Monday"]
    assert len(answer.json["result"]["warnings"]) == 1
    again = change(crm, made["id"], "@mia and @root; not @max", edited_on=answer.json["result"]["edited_on"])
    assert again.status_code == 200 and told(crm) == ["mia", "root"] and again.json["result"]["warnings"] == []


def test_a_stale_edit_is_refused_and_keeps_what_was_typed(crm: Crm) -> None:
    made = note(crm, crm.make.lead("ana"), "Monday")
    assert change(crm, made["id"], "Tuesday").status_code == 200
    assert change(crm, made["id"], "Friday", edited_on=None).status_code == 409
    answer = crm.client("ana").form(f"/notes/{made['id']}", {"text": "Typed before lunch", "edited_on": ""})
    assert answer.status_code == 409
    assert "Typed before lunch</textarea>" in answer.text and "Tuesday" in answer.text


@pytest.mark.parametrize("who, code", [("mia", 403), ("root", 403), ("rhea", 403), ("ben", 404), ("cleo", 404)])
def test_a_note_is_its_authors(crm: Crm, who: str, code: int) -> None:
    made = note(crm, crm.make.lead("ana"), "Mine")
    client = crm.client(who)
    codes = {
        change(crm, made["id"], "Yours", who).status_code,
        client.screen(f"/notes/{made['id']}").status_code,
        client.form(f"/notes/{made['id']}", {"text": "Yours"}).status_code,
    }
    assert codes <= {code, 403 if who == "cleo" else code}
    assert crm.rows(select(Activity).where(Activity.id == made["id"]))[0].payload == {"text": "Mine"}


def test_who_lost_the_record_cannot_change_his_note(crm: Crm) -> None:
    lead = crm.make.lead("ben")
    crm.make.give(lead, "ana")
    made = note(crm, lead, "Mine")
    crm.make.give(lead, "ben")
    assert change(crm, made["id"], "Still mine").status_code == 404


def test_only_notes_are_changed(crm: Crm) -> None:
    lead = crm.make.lead("ana")
    line = crm.rows(select(Activity.id).where(Activity.lead_id == lead.id, Activity.kind != "note"))[0]
    answer = change(crm, line, "It was not me")
    assert answer.status_code == 422 and "Only notes" in answer.json["message"]


def test_a_note_cannot_become_empty(crm: Crm) -> None:
    made = note(crm, crm.make.lead("ana"), "Mine")
    assert change(crm, made["id"], "  ").status_code == 422
    assert crm.client("ana").form(f"/notes/{made['id']}", {"text": " "}).status_code == 422


def test_in_place_the_line_comes_back_changed(crm: Crm) -> None:
    ana, made = crm.client("ana"), note(crm, crm.make.lead("ana"), "Monday")
    part = {"headers": {"HX-Request": "true"}}
    form = ana.screen(f"/notes/{made['id']}", **part).text
    assert "<html" not in form and "Monday</textarea>" in form
    answer = ana.form(f"/notes/{made['id']}", {"text": "Friday @max", "edited_on": ""}, **part)
    assert answer.text.strip().startswith("<li") and "Friday" in answer.text and "edited" in answer.text
    assert "Max Shah wasn't notified" in answer.headers["HX-Trigger"]
    assert "Friday" in ana.screen(f"/notes/{made['id']}/shown", **part).text


def test_mentions_work_on_mariadb_too(maria: Crm) -> None:
    made = note(maria, maria.make.lead("ana"), "@mia @max")
    assert told(maria) == ["mia"]
    first = change(maria, made["id"], "@root", edited_on=None)
    assert first.status_code == 200 and told(maria) == ["mia", "root"]
    assert change(maria, made["id"], "Late", edited_on=None).status_code == 409
    seen = first.json["result"]["edited_on"]
    assert change(maria, made["id"], "In time", edited_on=seen).status_code == 200
