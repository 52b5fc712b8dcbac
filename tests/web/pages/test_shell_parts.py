"""Dialogs and texts that pages load by script: complete, in each language, the same for everybody, cached by hash."""

from __future__ import annotations

import re
from typing import Any

import pytest

from app.web.pages.offline_posts import PATHS
from tests.app_fixtures import Crm, UserClient


def url_of(client: UserClient, path: str = "/tasks/") -> str:
    found = re.findall(r'src="(/static/parts/[^"]+)" defer', client.screen(path).text)
    assert len(found) == 1
    return str(found[0])


def test_a_page_names_a_script_that_has_what_other_scripts_look_for(crm: Crm) -> None:
    page = crm.client("ana").screen("/leads/").text
    script = crm.client("ana").screen(url_of(crm.client("ana"), "/leads/")).text
    for key in ("palette", "outbox", "confirm", "alert"):
        assert f'id=\\"{key}\\"' in script and f'id="{key}"' not in page
    assert "data-theme-choice" in script and "data-looks" in page
    assert PATHS.replace("\\", "\\\\") in script and "The CRM could not be reached" in script
    # It runs before those that look for its parts.
    assert page.index("/static/parts/") < page.index("/js/shell.js")


def test_it_is_the_same_for_everybody_and_says_nothing_of_anybody(crm: Crm) -> None:
    names = ("ana", "cleo", "root")
    assert len({url_of(crm.client(name)) for name in names}) == 1
    url = url_of(crm.client("root"))
    answers = [crm.client(name).screen(url) for name in (*names, None)]
    assert len({each.data for each in answers}) == 1
    for each in answers:
        assert each.status_code == 200 and each.mimetype == "text/javascript"
        assert "immutable" in each.headers["Cache-Control"] and "X-Crm-Person" not in each.headers
        assert "csrf_token" not in each.text and "Set-Cookie" not in each.headers


def test_each_language_has_its_own(crm: Crm) -> None:
    client = crm.client("ana")
    english = client.screen(url_of(client)).text
    client.screen("/lang/hi")
    url = url_of(client)
    assert "/hi.js?" in url
    hindi = client.screen(url).text
    assert "Waiting to be sent" in english and "Waiting to be sent" not in hindi
    assert '"palette' in hindi.replace("\\", "")


@pytest.mark.parametrize("version", ["", "?v=", "?v=0123456789ab"])
def test_that_of_another_version_is_used_but_not_kept(crm: Crm, version: str) -> None:
    answer: Any = crm.client("ana").screen(f"/static/parts/en.js{version}")
    assert answer.status_code == 203 and "immutable" not in answer.headers["Cache-Control"]
    assert "insertAdjacentHTML" in answer.text


@pytest.mark.parametrize("language", ["xx", "en.en", "..", "%00", "a" * 300])
def test_no_other_language_is_known(crm: Crm, language: str) -> None:
    answer = crm.client(None).screen(f"/static/parts/{language}.js?v=1")
    assert answer.status_code == 404
    assert "immutable" not in answer.headers.get("Cache-Control", "")


def test_who_is_not_signed_in_has_the_dialogs_in_the_page(crm: Crm) -> None:
    page = crm.client(None).screen("/login/").text
    assert 'id="confirm"' in page and "data-unreached" in page and "/static/parts/" not in page


def test_the_icons_of_a_page_are_answered_under_their_short_address(crm: Crm) -> None:
    page = crm.client("ana").screen("/tasks/").text
    (url,) = set(re.findall(r'<use href="([^#"]+)#', page))
    answer = crm.client(None).screen(url)
    assert url.startswith("/static/i.svg?v=") and answer.status_code == 200 and answer.mimetype == "image/svg+xml"
    assert "immutable" in answer.headers["Cache-Control"] and 'id="plus"' in answer.text
