"""Deleting notes: by whom the role matrix lets, with an undo for whoever did it, and over REST."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from app import access
from app.domain import bulk_undo
from app.domain.bulk_undo import BulkChange
from app.models import Activity, AuditEntry, LegalHold, NoteText
from app.web.records import notes
from tests.app_fixtures import Crm


def noted(crm: Crm, who: str = "ana", text: str = "Wants the form by Monday.") -> tuple[Any, Activity]:
    """(a lead, a note of this person on it)."""
    lead = crm.make.lead("ana", task={})
    answer = crm.client(who).rest("POST", "activity/", {"lead": lead.number, "text": text})
    assert answer.status_code == 201, answer.text
    return lead, crm.session.get_one(Activity, answer.get_json()["id"])


def texts(crm: Crm) -> list[str]:
    query = select(Activity.payload["text"].as_string()).where(Activity.kind == "note")
    return sorted(crm.rows(query))


def deleted(crm: Crm, lead: Any, note: Activity) -> str:
    """The key of the undo that the message offers after Ana has deleted her note."""
    ana = crm.client("ana")
    assert ana.form(f"/notes/{note.id}/delete").headers["Location"].endswith(f"/leads/show/{lead.id}")
    page = ana.screen(f"/leads/{lead.number}").text
    assert "Note deleted." in page and texts(crm) == []
    found = re.search(r'action="/notes/undo".*?name="change" value="(\d+)"', page, re.DOTALL)
    assert found, page
    return found[1]


def undo(crm: Crm, who: str, change: str) -> str:
    """What is said to the button of the message."""
    return said(crm, who, "/notes/undo", {"change": change})


def said(crm: Crm, who: str, path: str, form: dict[str, Any]) -> str:
    """The answer to a form: a page, or what stands on the next one."""
    client = crm.client(who)
    answer = client.form(path, form, headers={"Referer": "http://localhost/tasks/"})
    return unescape((client.screen("/tasks/") if answer.status_code == 302 else answer).text)


def test_an_author_deletes_their_note_and_undoes_it(crm: Crm) -> None:
    lead, note = noted(crm)
    key, payload = note.id, dict(note.payload)
    page = crm.client("ana").screen(f"/leads/{lead.number}").text
    assert f'action="/notes/{key}/delete"' in page
    change = deleted(crm, lead, note)
    assert crm.count(NoteText) == 0
    assert crm.rows(select(AuditEntry.about).where(AuditEntry.event == "deletion")) == [f"activity {key}"]
    assert "The note is back." in undo(crm, "ana", change)
    about = AuditEntry.about == f"activity {key}"
    undone = select(AuditEntry.payload["undone"].as_string()).where(about).order_by(AuditEntry.id.desc())
    assert crm.rows(undone)[0] == f"activity {key}"
    assert [each.rows for each in crm.rows(select(BulkChange))] == [[]]
    back = crm.session.get_one(Activity, key, populate_existing=True)
    assert (back.payload, back.lead_id, back.actor_id) == (payload, lead.id, crm.people["ana"].id)
    assert crm.rows(select(NoteText.body)) == [payload["text"]]
    assert "This was undone already." in undo(crm, "ana", change)
    assert len(texts(crm)) == 1


def test_only_who_has_deleted_a_note_undoes_it_and_not_for_ever(crm: Crm) -> None:
    change = deleted(crm, *noted(crm))
    assert "There is nothing to undo here." in undo(crm, "mia", change)
    assert "There is nothing to undo here." in undo(crm, "ana", "x")
    crm.session.rollback()
    crm.session.execute(update(BulkChange.__table__).values(at=datetime.now(UTC) - timedelta(minutes=31)))
    crm.session.commit()
    assert "It is too late to undo this." in undo(crm, "ana", change)
    assert texts(crm) == []


def test_a_note_and_a_list_undo_nothing_of_each_other(crm: Crm) -> None:
    lead, note = noted(crm)
    change = deleted(crm, lead, note)
    assert crm.client("mia").form("/leads/undo", {"change": change}).status_code in (302, 404)
    crm.session.rollback()
    crm.session.execute(update(BulkChange.__table__).values(module="leads"))
    crm.session.commit()
    assert "There is nothing to undo here." in undo(crm, "ana", change)
    assert texts(crm) == []


@pytest.mark.parametrize("who, may", [("ana", True), ("mia", True), ("root", True), ("ben", False), ("cleo", False)])
@pytest.mark.parametrize("is_rest", [True, False])
def test_who_deletes_a_note(crm: Crm, who: str, may: bool, is_rest: bool) -> None:
    """The author, their manager and admins; not a colleague who doesn't see it."""
    lead, note = noted(crm)
    client, path = crm.client(who), f"/notes/{note.id}/delete"
    assert may == (path in client.screen(f"/leads/{lead.number}").text)
    status = client.rest("DELETE", f"activity/{note.id}").status_code if is_rest else client.form(path).status_code
    assert status in ((200, 302) if may else (403, 404))
    assert texts(crm) == ([] if may else ["Wants the form by Monday."])


@pytest.mark.parametrize("is_rest", [True, False])
def test_what_one_may_not_delete_stays_with_a_sentence(crm: Crm, is_rest: bool) -> None:
    lead, note = noted(crm, "mia", "Please call today.")
    line = crm.rows(select(Activity).where(Activity.kind == "system"))[0]
    assert f"/notes/{note.id}/delete" not in crm.client("ana").screen(f"/leads/{lead.number}").text
    assert "Ask its author or your manager" in refused(crm, "ana", note.id, is_rest)
    assert "Only notes can be deleted" in refused(crm, "root", line.id, is_rest)
    crm.session.add(LegalHold(lead_id=lead.id, reason="SCORES 2026/77", placed_on=note.at))
    crm.session.commit()
    assert "legal hold" in refused(crm, "mia", note.id, is_rest)
    assert texts(crm) == ["Please call today."] and crm.count(BulkChange) == 0


def refused(crm: Crm, who: str, key: int, is_rest: bool) -> str:
    """What is said when this person deletes the entry."""
    if not is_rest:
        return said(crm, who, f"/notes/{key}/delete", {})
    answer = crm.client(who).rest("DELETE", f"activity/{key}")
    assert answer.status_code in (403, 422)
    return str(answer.get_json()["message"])


def test_a_note_comes_back_although_its_number_is_taken(crm: Crm) -> None:
    """SQLite gives the number of a deleted last entry to the next one."""
    lead, note = noted(crm)
    change = deleted(crm, lead, note)
    crm.client("ana").rest("POST", "activity/", {"lead": lead.number, "text": "Another one."})
    undo(crm, "ana", change)
    assert texts(crm) == ["Another one.", "Wants the form by Monday."]


def test_a_note_of_a_record_that_is_gone_does_not_come_back(crm: Crm) -> None:
    lead, note = noted(crm)
    change = deleted(crm, lead, note)
    assert crm.client("root").rest("DELETE", f"lead/{lead.id}").status_code == 200
    assert "was merged or deleted meanwhile" in undo(crm, "ana", change)
    assert texts(crm) == []


def test_a_note_of_a_record_that_was_merged_says_why_it_does_not_come_back(crm: Crm) -> None:
    kept, (lead, note) = crm.make.lead("ana"), noted(crm)
    change = deleted(crm, lead, note)
    crm.session.rollback()
    assert crm.client("root").rest("POST", f"lead/{kept.id}/merge", {"with": [lead.id]}).status_code == 200
    assert "was merged or deleted meanwhile" in undo(crm, "ana", change)
    assert texts(crm) == []


def test_the_text_of_a_deleted_note_goes_when_it_can_no_longer_be_undone(crm: Crm) -> None:
    deleted(crm, *noted(crm))
    crm.session.rollback()
    now = datetime.now(UTC)
    for later, left in ((29, 1), (31, 0)):
        with access.as_system(crm.session):
            bulk_undo.forget_old(crm.session, now + timedelta(minutes=later))
        crm.session.commit()
        assert crm.count(BulkChange) == left


@pytest.mark.parametrize("door", ["page", "REST", "predecessor's API"])
def test_of_two_who_delete_a_note_at_once_one_has_deleted_it(
    maria: Crm, monkeypatch: pytest.MonkeyPatch, door: str
) -> None:
    """A second deletion would be in the audit, too, and could be undone: the note would come back twice."""
    _lead, note = noted(maria)
    key, client, may_delete = note.id, maria.client("ana"), notes.may_delete

    def overtaken(line: Any, viewer: Any) -> bool:
        with maria.engine.begin() as other:
            other.execute(delete(NoteText.__table__))
            other.execute(delete(Activity.__table__).where(Activity.__table__.c.id == key))
        return may_delete(line, viewer)

    monkeypatch.setattr(notes, "may_delete", overtaken)
    maria.session.rollback()
    if door == "page":
        status = client.form(f"/notes/{key}/delete").status_code
    else:
        path = f"activity/{key}" if door == "REST" else f"/api/resource/FCRM Note/{key}"
        status = client.rest("DELETE", path).status_code
    assert (status, maria.count(BulkChange), maria.count(AuditEntry, AuditEntry.event == "deletion")) == (404, 0, 0)
