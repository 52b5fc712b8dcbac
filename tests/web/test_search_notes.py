"""Search in notes and comments: on both databases, by whom sees them on a timeline, newest first."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import delete, select, update

from app import jobs
from app.access.search import note_lookups
from app.domain import searchable_note_backfill
from app.domain.merging import record_merge
from app.models import Activity, Lead, NoteText, NoteTextState, SupportPage
from tests.app_fixtures import Crm
from tests.cases import each_case
from tests.domain.test_record_merge import context, wish
from tests.factories import NOW

TEXTS = (
    "Wants the ledger of March by Friday",
    "खाता खोलने के लिए दस्तावेज़ माँगा",
    "Asked for KYC-2 again, it is at the branch",
    "O'Brien called about the ledger",
    "નમસ્તે, ફોર્મ મળી ગયું",
)


def note(crm: Crm, who: str, record: Any, text: str) -> int:
    """The id of a note that this person writes on a page."""
    path = {"leads": "leads", "ticket": "tickets", "customer": "customers", "task": "tasks"}[record.__tablename__]
    answer = crm.client(who).form(f"/{path}/note/{record.id}", {"body": text})
    assert answer.status_code in (200, 302), answer.text[:300]
    crm.session.rollback()
    return int(crm.session.scalars(select(Activity.id).order_by(Activity.id.desc())).first() or 0)


def rows(crm: Crm, who: str, text: str, path: str = "/search") -> list[dict[str, Any]]:
    """The notes that the search page or the palette lists."""
    groups = crm.client(who).screen(f"{path}?q={quote(text)}", headers={"Accept": "application/json"}).json["groups"]
    return next((group["rows"] for group in groups if group["title"] == "Notes"), [])


def hits(crm: Crm, who: str, text: str) -> list[int]:
    """The ids of these; both must agree."""
    found, offered = rows(crm, who, text), rows(crm, who, text, "/search/hits")
    assert [row["url"] for row in found] == [row["url"] for row in offered]
    crm.session.rollback()
    return [int(row["url"].split("/")[2]) for row in found]


def texts(crm: Crm) -> dict[int, str]:
    crm.session.rollback()
    stored = crm.session.execute(select(NoteText.__table__))
    return {row.id: row.body for row in stored}


# --- words


def test_words_are_found_in_any_order_by_who_sees_the_record(crm_on_both: Crm) -> None:
    crm = crm_on_both
    lead = crm.make.lead("ana", first_name="Asha", last_name="Shah")
    ledger, account, kyc, brien, form = [note(crm, "ana", lead, text) for text in TEXTS]
    hers = note(crm, "ben", crm.make.lead("ben"), "The ledger is private")
    expected = {
        "ledger": [brien, ledger],
        "LEDG": [brien, ledger],
        "march ledger": [ledger],
        "ledger of march": [ledger],
        "the ledger": [brien, ledger],
        "खाता": [account],
        "दस्तावेज़ खाता": [account],
        "દસ": [],
        "ફોર્મ": [form],
        "KYC-2": [kyc],
        "brien": [brien],
        "by friday": [ledger],
        "le": [brien, ledger],
        "nowhere": [],
        "ledger nowhere": [],
        "%": [],
        '"ledger': [],
        "+-*": [],
    }
    assert {text: hits(crm, "ana", text) for text in expected} == expected
    assert hits(crm, "ben", "ledger") == [hers] and hits(crm, "cleo", "ledger") == []
    assert hits(crm, "root", "ledger") == [hers, brien, ledger]


def test_a_hit_shows_the_words_around_the_record_the_author_and_the_time(crm: Crm) -> None:
    lead = crm.make.lead("ana", first_name="Asha", last_name="Shah")
    key = note(crm, "ana", lead, "x " * 80 + "wants the <b>ledger</b> of March" + " y" * 80)
    (found,) = rows(crm, "ana", "ledger")
    assert found["url"] == f"/notes/{key}/place"
    assert "wants the <b>ledger</b> of March" in found["title"]
    assert found["title"].startswith("… ") and found["title"].endswith(" …") and len(found["title"]) < 110
    shown = [cell.get("text") for cell in found["cells"]]
    assert shown[1:3] == [lead.number, "Asha Shah"] and len(shown) == 5
    (offered,) = rows(crm, "ana", "ledger", "/search/hits")
    assert offered["hint"].startswith(f"{lead.number} · Asha Shah · ")
    assert "<b>ledger" not in crm.client("ana").screen("/search?q=ledger").text


def test_a_word_of_every_note_finds_the_newest_and_those_of_ones_own_records(crm_on_both: Crm) -> None:
    crm = crm_on_both
    own = [note(crm, "ana", crm.make.lead("ana"), f"Ledger {n}") for n in range(3)]
    theirs = crm.make.lead("ben")
    session, body = crm.session, "Ledger of others"
    for n in range(30):
        session.add(Activity(kind="note", at=NOW, lead_id=theirs.id, payload={"text": f"{body} {n}"}))
    session.commit()
    assert hits(crm, "ana", "ledger") == own[::-1]
    assert len(hits(crm, "root", "ledger")) == 8
    assert hits(crm, "cleo", "ledger") == []


@pytest.mark.parametrize("recent", [0, 1])
def test_own_notes_are_found_however_many_others_are_newer(
    crm_on_both: Crm, monkeypatch: pytest.MonkeyPatch, recent: int
) -> None:
    crm = crm_on_both
    monkeypatch.setattr(note_lookups, "RECENT", recent)
    own = note(crm, "ana", crm.make.lead("ana"), "Ledger of mine")
    ticket = note(crm, "cleo", crm.make.ticket("cleo"), "Ledger of a ticket")
    theirs = crm.make.lead("ben")
    crm.session.add_all(
        [Activity(kind="note", at=NOW, lead_id=theirs.id, payload={"text": "Ledger"}) for _n in range(9)]
    )
    crm.session.commit()
    assert (hits(crm, "ana", "ledger"), hits(crm, "cleo", "ledger")) == ([own], [ticket])


def test_a_number_in_a_note_is_found_as_the_timeline_shows_it(crm_on_both: Crm) -> None:
    crm = crm_on_both
    key = note(crm, "ana", crm.make.lead("ana"), "Prefers 9820055555, from Monday on 022-40001234")
    note(crm, "ana", crm.make.lead("ana"), "Has no number")
    assert [hits(crm, "ana", each) for each in ("9820055555", "9820055", "40001234", "9820055556")] == [
        [key],
        [key],
        [key],
        [],
    ]
    crm.make.mask("Sales User", mobile="last4", alternative_mobile="hidden")
    (found,) = rows(crm, "ana", "9820055555")
    assert found["title"] in crm.client("ana").screen(f"/notes/{key}/place", follow_redirects=True).text
    assert hits(crm, "ben", "9820055555") == []


# --- who finds them


def test_without_the_right_to_read_notes_nobody_finds_them(crm: Crm) -> None:
    lead = crm.make.lead("ana")
    key = note(crm, "ana", lead, "Confidential ledger")
    for verb in ("delete", "write", "create", "read"):
        crm.make.cell("Sales User", "Notes", verb, "none")
    assert hits(crm, "ana", "ledger") == []
    answer = crm.client("ana").screen(f"/notes/{key}/place")
    assert answer.status_code in (302, 403, 404) and str(lead.number) not in str(answer.headers.get("Location"))


def test_a_note_is_found_as_long_as_its_record_is_seen(crm_on_both: Crm) -> None:
    crm = crm_on_both
    lead = crm.make.lead("ana")
    key = note(crm, "ana", lead, "A peculiar ledger")
    assert (hits(crm, "ana", "peculiar"), hits(crm, "ben", "peculiar")) == ([key], [])
    assert crm.client("ben").screen(f"/notes/{key}/place").status_code == 404
    row = crm.session.get_one(type(lead), lead.id)
    row.assignee_id = row.owner_id = crm.people["ben"].id
    crm.session.commit()
    assert (hits(crm, "ana", "peculiar"), hits(crm, "ben", "peculiar")) == ([], [key])


def test_other_entries_of_a_timeline_are_no_notes(crm: Crm) -> None:
    lead = crm.make.lead("ana")
    crm.session.add(Activity(kind="system", at=NOW, lead_id=lead.id, payload={"text": "A peculiar event"}))
    crm.session.commit()
    assert hits(crm, "root", "peculiar") == [] and texts(crm) == {}


# --- the copy of the texts


def test_the_words_follow_the_note(crm_on_both: Crm) -> None:
    crm = crm_on_both
    lead = crm.make.lead("ana")
    key = note(crm, "ana", lead, "A first text")
    assert crm.client("ana").form(f"/notes/{key}", {"text": "A second text"}).status_code in (200, 302)
    assert (hits(crm, "ana", "second"), hits(crm, "ana", "first")) == ([key], [])
    crm.session.execute(delete(Activity).where(Activity.id == key))
    crm.session.commit()
    assert hits(crm, "ana", "second") == [] and texts(crm) == {}


def test_the_words_go_with_the_record_and_stay_with_a_merged_one(crm_on_both: Crm) -> None:
    crm = crm_on_both
    kept, lost = (crm.make.lead("ana") for _n in range(2))
    key, gone = note(crm, "ana", lost, "A peculiar wish"), crm.make.lead("ana")
    note(crm, "ana", gone, "A peculiar end")
    session = crm.session
    record_merge.merge(session, wish(session.get_one(Lead, kept.id), session.get_one(Lead, lost.id)), context())
    session.commit()
    session.delete(session.get_one(Lead, gone.id))
    session.commit()
    assert hits(crm, "ana", "peculiar") == [key] and texts(crm) == {key: "A peculiar wish"}
    assert f"/leads/{kept.number}?" in crm.client("ana").screen(f"/notes/{key}/place").headers["Location"]


def test_a_note_written_over_rest_or_with_the_outcome_of_a_call_is_found(crm: Crm) -> None:
    lead = crm.make.lead("ana")
    answer = crm.client("ana").rest("POST", "activity/", {"lead": lead.number, "text": "A peculiar wish"})
    assert answer.status_code == 201
    call = crm.make.call("ana", lead_id=lead.id)
    crm.client("ana").form(f"/calls/outcome/{call.id}", {"outcome": "Done", "note": "A peculiar call"})
    assert sorted(texts(crm).values()) == ["A peculiar call", "A peculiar wish"]


def test_a_note_whose_text_stays_is_copied_once(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    key = note(crm, "ana", crm.make.lead("ana"), "A first text")
    crm.session.execute(update(NoteText.__table__).values(body="as it was"))
    crm.session.commit()
    row = crm.session.get_one(Activity, key)
    row.payload = {**row.payload, "files": [[1, "a.pdf"]]}
    crm.session.commit()
    assert texts(crm) == {key: "as it was"}
    row.payload = {**row.payload, "text": "A second text"}
    crm.session.commit()
    assert texts(crm) == {key: "A second text"}


def test_notes_of_an_earlier_version_are_copied_by_the_job(crm_on_both: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    crm = crm_on_both
    monkeypatch.setattr(searchable_note_backfill, "STEP", 2)
    lead = crm.make.lead("ana")
    keys = [note(crm, "ana", lead, f"Peculiar {n}") for n in range(5)]
    crm.session.execute(delete(NoteText.__table__))
    crm.session.commit()
    at = NOW + searchable_note_backfill.SETTLED * 2
    crm.session.execute(update(Activity).where(Activity.id != keys[4]).values(at=NOW))
    crm.session.execute(update(Activity).where(Activity.id == keys[4]).values(at=at))
    crm.session.commit()
    jobs.run_now(crm.app, "copy earlier notes for the search", at)
    assert sorted(texts(crm)) == keys[:4]
    done = crm.session.scalar(select(NoteTextState.filled_until))
    assert keys[3] <= (done or 0) < keys[4]
    jobs.run_now(crm.app, "copy earlier notes for the search", at + searchable_note_backfill.SETTLED * 2)
    assert sorted(texts(crm)) == keys


# --- where a hit leads


@each_case("newer, is_first", [(3, True), (40, False)])
def test_a_hit_leads_to_the_entry_on_the_timeline(crm: Crm, newer: int, is_first: bool) -> None:
    lead = crm.make.lead("ana")
    key = note(crm, "ana", lead, "A peculiar wish")
    crm.session.add_all(
        [Activity(kind="note", at=NOW, lead_id=lead.id, payload={"text": f"Later {n}"}) for n in range(newer)]
    )
    crm.session.commit()
    place = crm.client("ana").screen(f"/notes/{key}/place")
    assert place.status_code == 302
    page, _sign, fragment = place.headers["Location"].partition("#")
    assert fragment == f"entry-{key}" and ("before=" not in page) == is_first
    html = crm.client("ana").screen(page).text
    assert f'id="entry-{key}"' in html and len(re.findall('id="entry-', html)) >= 4


def test_a_note_of_a_customer_or_of_a_task_has_a_place(crm: Crm) -> None:
    customer, lead = crm.make.customer("ana"), crm.make.lead("ana")
    task = crm.make.task(lead)
    found = {
        note(crm, "ana", customer, "Peculiar one"): f"/customers/{customer.number}?tab=notes#",
        note(crm, "root", task, "Peculiar two"): f"/leads/{lead.number}?tab=notes#",
    }
    for key, url in found.items():
        location = crm.client("root").screen(f"/notes/{key}/place").headers["Location"]
        assert location == f"{url}entry-{key}"


@each_case("key", ["0", "99999", "x", "9" * 30])
def test_a_note_that_there_is_not_has_no_place(crm: Crm, key: str) -> None:
    assert crm.client("ana").screen(f"/notes/{key}/place").status_code == 404


def test_support_pages_are_found_on_the_search_page_too(crm: Crm) -> None:
    page = {"label": "Margin rules", "url": "https://example.in/margin", "description": "How much"}
    crm.session.add_all([SupportPage(**page), SupportPage(**page | {"label": "Margin of old", "is_active": False})])
    crm.session.commit()
    for path in ("/search", "/search/hits"):
        groups = crm.client("ana").screen(f"{path}?q=marg", headers={"Accept": "application/json"}).json["groups"]
        assert [row["url"] for group in groups for row in group["rows"]] == ["https://example.in/margin"]
    assert 'href="https://example.in/margin"' in crm.client("ana").screen("/search?q=marg").text
