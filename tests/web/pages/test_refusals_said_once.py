"""A refused form says what is wrong beside the input, and at most once more in its summary."""

from __future__ import annotations

from html import unescape

import pytest

from tests.app_fixtures import Crm

BOARD = {"audience": "me", "card": "leads", "size": "3"}
PERSON = {"first_name": "Neha", "last_name": "Rao", "email": "neha@example.in", "active": "y"}


@pytest.mark.parametrize(
    "who, path, form, sentence, most",
    [
        ("root", "/users/add", PERSON | {"username": "ana", "roles": "1"}, "already exists", 2),
        ("root", "/dashboard/boards/new", BOARD | {"label": " "}, "Please give the board a name.", 1),
        ("root", "/dashboard/boards/new", BOARD | {"label": "x" * 81}, "at most 80", 1),
        ("ana", "/leads/add", {"first_name": "Neha", "email": "no address"}, "This isn't a valid email address.", 2),
        ("ana", "/leads/quick", {"first_name": "Neha", "email": "no address"}, "This isn't a valid email address.", 1),
    ],
)
def test_what_is_wrong_is_not_said_twice(
    crm: Crm, who: str, path: str, form: dict[str, str], sentence: str, most: int
) -> None:
    answer = crm.client(who).form(path, form)
    assert answer.status_code in (409, 422), answer.text
    text = unescape(answer.text)
    found = [line for line in text.replace("<", "\n<").splitlines() if sentence in line and "value=" not in line]
    assert 1 <= len(found) <= most, found
