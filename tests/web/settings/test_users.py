"""Users: effective permissions, and the users page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from app.extensions import db
from app.models import (
    User,
)
from tests.cases import each_case
from tests.web.settings_app import (
    PASSWORD,
    PEOPLE,
    Site,
    edit_user,
    roles_of,
)

# --- effective permissions


@each_case(
    "who, whom, status",
    [
        ("root", "cleo", 200),
        ("mia", "ana", 200),
        ("mia", "ben", 404),
        ("ana", "ana", 200),
        ("ana", "mia", 404),
        ("sid", "ana", 404),
    ],
)
def test_who_may_see_the_permissions_of_a_person(site: Site, who: str, whom: str, status: int) -> None:
    assert site.get(who, f"/users/can/{site.user(whom)}").status_code == status


def test_the_page_shows_level_role_and_reach(site: Site) -> None:
    page = site.get("mia", f"/users/can/{site.user('mia')}").text
    assert "Sales Manager" in page and "level-team" in page and "2 people" in page
    assert site.get("mia", "/users/can/").location.endswith(f"/users/can/{site.user('mia')}")
    other = site.get("mia", f"/users/can/{site.user('mia')}?who={site.user('ana')}")
    assert other.location.endswith(f"/users/can/{site.user('ana')}")


# --- the page


def test_the_list_shows_names_and_no_passwords(site: Site) -> None:
    page = site.get("root", "/users/list/").text
    assert "Ana Shah" in page and "Mia Shah" in page and f'href="/users/can/{site.user("ana")}"' in page
    assert "password" not in page.lower().replace("password_", "")


def test_a_users_page_writes_moments_on_the_readers_clock_and_the_language_by_name(site: Site) -> None:
    with site.app.app_context():
        ben = db.session.scalars(select(User).where(User.username == "ben")).one()
        ben.last_login, ben.locale = datetime(2026, 3, 1, 20, 0), "gu"
        ben.leave_from = datetime(2030, 2, 1, 18, 30, tzinfo=UTC)
        ben.leave_to = datetime(2030, 2, 5, 18, 30, tzinfo=UTC)
        ben.away_until = datetime(2030, 1, 2, 4, 30, tzinfo=UTC)
        db.session.commit()
    page = site.get("root", f"/users/show/{site.user('ben')}").text
    assert "2 Mar 2026, 01:30" in page and "ગુજરાતી" in page.partition("<main")[2]
    for moment in ("2 Feb 2030, 00:00", "6 Feb 2030, 00:00", "2 Jan 2030, 10:00"):
        assert moment in page, moment


def test_the_page_of_a_user_is_headed_by_their_name(site: Site) -> None:
    page = site.get("root", f"/users/show/{site.user('ben')}").text
    assert "<h1>Ben Shah</h1>" in page and "<title>Ben Shah · " in page


def test_the_fields_of_the_crm_are_saved(site: Site) -> None:
    response = edit_user(
        site,
        "root",
        "ben",
        mobile="098200 12345",
        manager_id=site.user("mia"),
        away_until="2030-01-02T10:00",
        leave_from="2030-02-01T00:00",
        leave_to="2030-02-05T00:00",
        delegate_id=site.user("ana"),
        time_zone="Asia/Dubai",
        locale="en",
        reminder_minutes="5, 60",
    )
    assert response.status_code == 302
    ben = site.rows(select(User).where(User.username == "ben"))[0]
    assert ben.mobile_e164 == "+919820012345" and ben.mobile == "098200 12345"
    assert ben.manager_id == site.user("mia") and ben.delegate_id == site.user("ana")
    assert ben.away_until.isoformat() == "2030-01-02T04:30:00+00:00"
    assert (ben.time_zone, ben.locale, ben.reminder_minutes) == ("Asia/Dubai", "en", [60, 5])
    assert 'value="60, 5"' in site.get("root", f"/users/edit/{ben.id}").text
    assert site.get("root", f"/users/show/{ben.id}").status_code == 200


@each_case(
    "field, typed, sentence",
    [
        ("mobile", "hello", "a valid phone number"),
        ("reminder_minutes", "soon", "numbers of minutes"),
        ("manager_id", "ana", "report to themselves"),
        ("manager_id", "999999", ""),
        ("time_zone", "Mars/Base", ""),
        ("locale", "xx", ""),
        ("leave_to", "2030-02-05T00:00", "end after it starts"),
        ("away_until", "soon", ""),
        ("away_until", "0001-01-01T00:00", "2000 and 2100"),
        ("delegate_id", "mia", "own delegate"),
        ("email", "no mail", ""),
        ("username", "ana", "already exists"),
        ("first_name", "   ", ""),
        ("first_name", "x" * 65, ""),
        ("manager_id", "abc", ""),
    ],
)
def test_an_invalid_user_is_refused_and_nothing_is_stored(site: Site, field: str, typed: str, sentence: str) -> None:
    value = site.user(typed) if typed in PEOPLE and field.endswith("_id") else typed
    before = vars(site.rows(select(User).where(User.username == "mia"))[0]).copy()
    response = edit_user(site, "root", "mia", last_name="Changed", **{field: value})
    assert response.status_code == 422 and sentence in response.text
    assert 'value="Changed"' in response.text
    after = vars(site.rows(select(User).where(User.username == "mia"))[0])
    assert {k: v for k, v in before.items() if k != "_sa_instance_state"} == {
        k: v for k, v in after.items() if k != "_sa_instance_state"
    }


def test_a_user_is_added(site: Site) -> None:
    sent = {
        "first_name": "Neha",
        "last_name": "Rao",
        "username": "neha",
        "email": "neha@example.in",
        "active": "y",
        "available": "y",
        "roles": site.role("Sales User"),
        "password": PASSWORD,
        "conf_password": PASSWORD,
    }
    assert site.post("root", "/users/add", **sent, mobile="bad").status_code == 422
    assert ">Public<" not in site.get("root", "/users/add").text
    assert site.post("root", "/users/add", **sent | {"roles": site.role("Public")}).status_code == 422
    assert "neha" not in site.ids(User, User.username)
    assert site.post("root", "/users/add", **sent, mobile="9820012345").status_code == 302
    neha = site.rows(select(User).where(User.username == "neha"))[0]
    assert neha.mobile_e164 == "+919820012345" and neha.password.startswith("scrypt")
    assert site.audited("user change")[-1].about == "user neha"


def test_nobody_deletes_their_own_account_or_by_get(site: Site) -> None:
    root = site.user("root")
    site.post("root", f"/users/delete/{root}")
    assert site.get("root", f"/users/delete/{site.user('ben')}").status_code == 405
    assert {"root", "ben"} <= set(site.ids(User, User.username))


@pytest.mark.parametrize("more", [{"active": ""}, {"roles": "*"}])
def test_the_last_admin_stays(site: Site, more: dict[str, Any]) -> None:
    sent: dict[str, Any] = {"roles": site.role("Sales User")} if "roles" in more else {"active": []}
    response = edit_user(site, "root", "root", last_name="Kept", **sent)
    assert response.status_code == 422 and "last active admin" in response.text and 'value="Kept"' in response.text
    assert roles_of(site, "root") == ["Admin"]
    assert site.rows(select(User.active).where(User.username == "root")) == [True]


def test_a_user_with_records_is_not_deleted(site: Site) -> None:
    site.post("root", f"/users/delete/{site.user('mia')}")
    assert "mia" in site.ids(User, User.username)
    assert "deactivate" in site.get("root", "/users/list/").text


def test_a_post_without_csrf_token_changes_nothing(site: Site) -> None:
    client = site.app.test_client()
    client.get("/as/root")
    assert client.post(f"/users/delete/{site.user('ben')}").status_code == 400
    assert client.post(f"/roles/matrix/{site.role('Sales User')}", data={}).status_code == 400
    assert "ben" in site.ids(User, User.username)


def test_the_own_profile(site: Site) -> None:
    page = site.get("ana", "/users/userinfo/")
    assert page.status_code == 200 and "ana@example.in" in page.text
    assert "/login" in site.app.test_client().get("/users/userinfo/").location
    for who in ("ana", "root"):  # admins see no second button for the same
        shown = site.get(who, "/users/userinfo/").text.partition("<main")[2]
        assert shown.count("Change password") == 1 and "Reset password" not in shown


def test_a_refused_form_names_its_fields_on_top(site: Site) -> None:
    refused = site.post("root", "/users/add", first_name="Zara", username="zara", email="z@example.in", password="x")
    top = refused.text.partition("data-error-summary")[2].partition("<form")[0]
    assert refused.status_code == 422 and "Password" in top and "at least 10 characters" in top
    assert "data-error-summary" not in site.get("root", "/users/add").text


# --- users made by commands, and the first admin


@pytest.mark.parametrize("address", ["admin@localhost", "first.last@localhost", "a@b.example"])
def test_a_user_without_last_name_and_domain_is_edited_and_deactivated(site: Site, address: str) -> None:
    with site.app.app_context():
        ben = db.session.scalars(select(User).where(User.username == "ben")).one()
        ben.last_name, ben.email = "", address
        db.session.commit()
    assert edit_user(site, "root", "ben", first_name="Benny", active=[]).status_code == 302
    assert site.rows(select(User.first_name, User.last_name).where(User.username == "ben")) == ["Benny"]
    assert site.rows(select(User.active).where(User.username == "ben")) == [False]


@each_case("address", ["@localhost", "a b@localhost", "no mail", "a@", "a@b..in", "<a>@localhost"])
def test_an_invalid_address_is_refused(site: Site, address: str) -> None:
    assert edit_user(site, "root", "ben", email=address).status_code == 422
    assert site.rows(select(User.email).where(User.username == "ben")) == ["ben@example.in"]


def test_a_name_that_looks_like_an_address_is_refused_in_its_field(site: Site) -> None:
    response = edit_user(site, "root", "ben", username="AnA@example.in")
    assert response.status_code == 422 and "looks like it" in response.text
    assert "ben" in site.ids(User, User.username)
