"""What was entered in a form whose sender was signed out is offered to be sent again, to our own pages only."""

from __future__ import annotations

import html
import re
from urllib.parse import unquote

import pytest

from app.domain.leads import Lead
from tests.app_fixtures import Crm, UserClient

OURS, THEIRS = {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
TYPED = {"first_name": "Typed", "description": 'Long "text" 😀'}


@pytest.fixture
def nobody(crm: Crm) -> UserClient:
    return crm.client(None)


def test_a_form_of_somebody_signed_out_is_kept_and_can_be_sent_again(crm: Crm, nobody: UserClient) -> None:
    kept = nobody.form("/leads/add", TYPED, headers=OURS)
    assert kept.status_code == 401 and "You were signed out" in kept.text
    assert "have permission" not in nobody.screen("/login/").text
    sent = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', kept.text))
    assert sent.keys() == TYPED.keys() | {"csrf_token"} and html.unescape(sent["description"]) == TYPED["description"]

    # Signed in again, the token of the page is of the former session: it comes back with a new one.
    stale = crm.client("ana").browser.post("/leads/add", data=TYPED | {"csrf_token": "old"}, headers=OURS)
    assert stale.status_code == 400 and "open for too long" in stale.text and "Long &#34;text&#34; 😀" in stale.text
    fresh = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', stale.text))
    saved = crm.client("ana").browser.post("/leads/add", data=TYPED | {"csrf_token": fresh["csrf_token"]}, headers=OURS)
    assert saved.status_code == 302 and crm.session.query(Lead).filter_by(first_name="Typed").count() == 1


def test_a_script_is_told_to_renew_its_token(nobody: UserClient) -> None:
    refused = nobody.form("/leads/quick", TYPED, headers=OURS | {"HX-Request": "true"})
    assert refused.status_code == 401 and refused.headers["X-Page-Expired"] == "1"
    assert unquote(refused.headers["X-Sentence"]).endswith("what you typed is still there.")


def test_forms_of_other_sites_and_passwords_are_not_offered_again(crm: Crm, nobody: UserClient) -> None:
    for headers in (THEIRS, {}):
        assert nobody.form("/leads/add", TYPED, headers=headers).status_code == 302
        foreign = crm.client("ana").browser.post("/leads/add", data=TYPED, headers=headers)
        assert foreign.status_code == 400 and "Typed" not in foreign.text
    secret = nobody.form("/users/add", {"password": "Secret-1234"}, headers=OURS)
    assert secret.status_code == 401 and "Secret-1234" not in secret.text
