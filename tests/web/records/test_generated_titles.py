"""Titles that the CRM makes are shown in the reader's language; forms, files and REST have them as they are stored."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest
from flask_babel import force_locale
from sqlalchemy import select

from app.generated_titles import shown_title
from app.models import Notification, Task
from app.notice_texts import text_of
from tests.app_fixtures import Crm

HINDI = "टिकट संभालें: KYC अपडेट"


@pytest.fixture
def hindi(crm: Crm) -> Any:
    """The ticket of a subject, and the browser of its assignee, in Hindi."""
    ticket = crm.make.ticket("cleo")
    cleo = crm.client("cleo")
    assert cleo.form("/me/language", {"locale": "hi"}).status_code == 302
    return ticket, cleo


@pytest.mark.parametrize(
    "stored, shown",
    [
        ("Handle ticket: KYC update", HINDI),
        ("Handle ticket: Cannot sign in", "टिकट संभालें: Cannot sign in"),
        ("KYC update, Re-KYC", None),
        ("KYC update, and a question", "KYC update, and a question"),
        ("Send the form", "Send the form"),
        ("Follow up: Ravi Kumar", None),
        ("Follow up: Interested", None),
        ("New", "New"),
        ("100% sure", "100% sure"),
        ("Follow up: 100% (sure)", None),
        ("", ""),
    ],
)
def test_only_what_the_crm_has_named_is_translated(crm: Crm, stored: str, shown: str | None) -> None:
    with crm.app.test_request_context():
        assert shown_title(stored) == stored
        with force_locale("hi"):
            found = shown_title(stored)
    assert found == shown if shown is not None else found not in ("", stored), found


@pytest.mark.parametrize(
    "path",
    ["/", "/tasks/", "/tasks/?layout=board", "/tickets/{number}", "/tickets/{number}?tab=tasks", "/tasks/show/1"],
)
def test_pages_say_it_in_the_language_of_the_reader(crm: Crm, hindi: Any, path: str) -> None:
    ticket, cleo = hindi
    page = unescape(cleo.screen(path.format(number=ticket.number)).text)
    assert (HINDI in page, "Handle ticket" in page) == (True, False)


def test_the_list_of_tickets_names_their_subjects_in_the_language_of_the_reader(crm: Crm, hindi: Any) -> None:
    page = unescape(hindi[1].screen("/tickets/").text)
    rows = page.partition("<tbody>")[2].partition("</tbody>")[0]
    assert "KYC अपडेट" in rows and "KYC update" not in rows


def test_what_is_stored_stays_english(crm: Crm, hindi: Any) -> None:
    _ticket, cleo = hindi
    assert crm.rows(select(Task.title)) == ["Handle ticket: KYC update"]
    assert cleo.rest("GET", "task/1").get_json()["result"]["title"] == "Handle ticket: KYC update"
    assert 'value="Handle ticket: KYC update"' in unescape(cleo.screen("/tasks/edit/1").text)


def test_notices_say_it_in_the_language_of_their_reader(crm: Crm) -> None:
    payload = {"title": "Handle ticket: KYC update", "due": "2026-11-23T04:30:00+00:00", "minutes": 5}
    with crm.app.test_request_context(), force_locale("hi"):
        assert HINDI in text_of(Notification(kind="task_due", payload=payload))
