"""Viewing as another user: their access rules on every path, nothing written, audited, and it ends."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import g
from sqlalchemy import delete, select, update

from app import access
from app.access import Denied
from app.models import AuditEntry, Lead, Notification, Role, SignIn, User
from app.web.realtime.credentials import requesting_person
from app.web.security import view_as
from tests.app_fixtures import Crm
from tests.factories import DAY, NOW

BANNER = "You see the CRM as"


def view(crm: Crm, name: str, client: Any) -> Any:
    """Let the admin in this browser view as this user; the answer."""
    return client.form(f"/users/action/view_as/{crm.people[name].id}", {})


def noted(crm: Crm) -> list[tuple[int, str, str]]:
    """(user, about, what) of each entry of the audit about views."""
    rows = crm.rows(select(AuditEntry).where(AuditEntry.event == "view-as").order_by(AuditEntry.id))
    return [(row.user_id, row.about, row.payload["what"]) for row in rows]


def test_an_admin_sees_what_the_user_sees_and_changes_nothing(crm: Crm) -> None:
    mine = crm.make.lead("ana", first_name="Ravi", mobile="9820012345", description="kept")
    other = crm.make.lead("ben", first_name="Om")
    crm.make.mask("Sales User", mobile="last4")
    root, ana = crm.client("root"), crm.people["ana"]
    assert "/users/action/view_as/" in root.screen(f"/users/show/{ana.id}").text
    assert f"/users/can/{ana.id}/view" in root.screen(f"/users/can/{ana.id}").text
    assert view(crm, "ana", root).location == "/"

    page = root.screen("/leads/")
    assert BANNER in page.text and "Ravi" in page.text and other.number not in page.text
    assert (
        "9820012345" not in page.text.replace(" ", "") and "/settings/" not in page.text and "data-new" not in page.text
    )
    assert page.headers["Cache-Control"] == "no-store" and "X-Crm-Keep" not in page.headers
    assert root.screen(f"/leads/{other.number}").status_code == 404
    hits = root.screen("/search/hits?q=kumar").json
    assert hits == crm.client("ana").screen("/search/hits?q=kumar").json and mine.number in str(hits)
    listed = root.browser.get("/api/v1/lead/").get_json()
    assert listed["ids"] == [mine.id] and root.browser.get(f"/api/v1/lead/{other.id}").status_code == 404
    assert crm.client("ana").screen("/leads/").text.count(BANNER) == 0  # their own pages are as before
    assert "data-new" in crm.client("ana").screen("/leads/").text

    for path, form in (
        (f"/leads/edit/{mine.id}", {"description": "x"}),
        ("/leads/add", {}),
        ("/me/language", {"locale": "hi"}),
    ):
        refused = root.form(path, form)
        assert refused.status_code == 403 and "nothing can be changed" in refused.text
    put = root.browser.put(f"/api/v1/lead/{mine.id}", json={"description": "x"}, headers={"X-CSRFToken": root.token})
    assert put.status_code == 403 and crm.fresh(mine).description == "kept"
    for path in (
        "/keys/",
        "/sessions/",
        "/exports/",
        "/imports/",
        "/exports/lead/new",
        f"/leads/reveal/{mine.id}/mobile",
    ):
        assert root.screen(path).status_code in (403, 404), path
    assert view(crm, "ben", root).status_code == 403  # no view within a view
    cookie = {"Cookie": f"crm={root.cookie('crm')}"}
    with crm.app.test_request_context("/", headers=cookie):
        crm.app.preprocess_request()
        assert g.person.id == ana.id and requesting_person() is None  # no socket hears what Ana's hear

    assert end(root).location == f"/users/show/{ana.id}"
    assert other.number in root.screen("/leads/").text and BANNER not in root.screen("/leads/").text
    about = f"user {ana.id}"
    assert noted(crm) == [(crm.people["root"].id, about, "began"), (crm.people["root"].id, about, "ended")]


def test_who_is_viewed_and_by_whom(crm: Crm) -> None:
    crm.make.user("second", "Admin")
    crm.session.execute(update(User).where(User.username == "ben").values(active=False))
    crm.session.commit()
    root = crm.client("root")
    assert view(crm, "ana", crm.client("mia")).status_code in (403, 404)
    for name in ("second", "root", "ben"):
        assert view(crm, name, root).status_code == 302
        assert BANNER not in root.screen("/leads/").text
    assert [what for _by, _about, what in noted(crm)] == ["refused"] * 3


def view_report(crm: Crm, who: str, name: str) -> Any:
    """Let this person press the button of the page of a report's permissions; their browser."""
    client = crm.client(who)
    client.form(f"/users/can/{crm.people[name].id}/view", {})
    return client


def test_a_manager_sees_what_their_report_sees(crm: Crm) -> None:
    mine, other = crm.make.lead("ana", first_name="Ravi"), crm.make.lead("mia", first_name="Om")
    mia, ana = crm.client("mia"), crm.people["ana"]
    assert f"/users/can/{ana.id}/view" in mia.screen(f"/users/can/{ana.id}").text
    assert mia.form(f"/users/can/{ana.id}/view", {}).location == "/"
    page = mia.screen("/leads/").text
    assert BANNER in page and mine.number in page and other.number not in page
    assert mia.form(f"/leads/edit/{mine.id}", {"description": "x"}).status_code == 403
    assert mia.screen(f"/users/can/{ana.id}").status_code == 200
    assert end(mia).location == f"/users/can/{ana.id}"
    assert other.number in mia.screen("/leads/").text
    by, about = crm.people["mia"].id, f"user {ana.id}"
    assert noted(crm) == [(by, about, "began"), (by, about, "ended")]


def test_a_manager_views_nobody_who_sees_more_than_they_do(crm: Crm) -> None:
    """Neither other teams nor reports with wider rights, a weaker mask, or cover for somebody of another team."""
    assert BANNER not in view_report(crm, "mia", "ben").screen("/leads/").text  # of another team: like no such user
    assert BANNER not in view_report(crm, "ana", "mia").screen("/leads/").text
    assert noted(crm) == []
    crm.make.mask("Sales Manager", pan="hidden")
    assert BANNER not in view_report(crm, "mia", "ana").screen("/leads/").text
    crm.make.mask("Sales Manager", pan="full")
    crm.make.cell("Sales User", "Customers", "read", "all")
    assert BANNER not in view_report(crm, "mia", "ana").screen("/leads/").text
    crm.make.cell("Sales User", "Customers", "read", "own")
    away = {"delegate_id": crm.people["ana"].id, "leave_from": NOW - DAY, "leave_to": datetime(2999, 1, 1, tzinfo=UTC)}
    crm.session.execute(update(User).where(User.username == "ben").values(**away))
    crm.session.commit()
    assert BANNER not in view_report(crm, "mia", "ana").screen("/leads/").text
    assert [what for _by, _about, what in noted(crm)] == ["refused"] * 3


def test_a_managers_view_ends_when_the_user_no_longer_reports_to_them(crm: Crm) -> None:
    mia = view_report(crm, "mia", "ana")
    assert BANNER in mia.screen("/leads/").text
    crm.session.get_one(User, crm.people["ana"].id).manager_id = None
    crm.session.commit()
    assert BANNER not in mia.screen("/leads/").text
    assert [what for _by, _about, what in noted(crm)] == ["began", "expired"]


def own_token(client: Any) -> str:
    """The CSRF token that the pages of this browser show; the end of a view changes it."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.screen("/leads/").text)
    assert found is not None
    return str(found[1])


def end(client: Any) -> Any:
    """Press the button of the banner."""
    return client.browser.post("/view-as/end", data={"csrf_token": own_token(client)})


def ends(crm: Crm, when: datetime) -> None:
    """Move the end of the view under way."""
    crm.session.execute(update(SignIn).where(SignIn.viewed_id.is_not(None)).values(view_ends_on=when))
    crm.session.commit()


@pytest.fixture(params=["crm", "maria"])
def crm_on_both(request: pytest.FixtureRequest) -> Crm:
    """The product on SQLite, and on MariaDB."""
    made: Crm = request.getfixturevalue(request.param)
    return made


def test_requests_at_once_end_a_view_once_and_none_changes_anything(crm_on_both: Crm) -> None:
    crm = crm_on_both
    root, ana = crm.client("root"), crm.people["ana"].id
    before = root.cookie("crm")
    assert view(crm, "ana", root).location == "/"
    token = own_token(root)
    cookie = root.cookie("crm")
    ends(crm, datetime.now(UTC) - timedelta(seconds=1))

    def ask(number: int) -> int:
        browser = crm.app.test_client()
        browser.set_cookie("crm", cookie)
        if number % 2:
            return browser.get("/leads/").status_code
        return browser.post("/me/language", data={"locale": "hi", "csrf_token": token}).status_code

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(ask, range(8))) == [200] * 4 + [403] * 4
    assert crm.rows(select(User.locale).where(User.username == "root")) == [None]
    assert [what for _by, _about, what in noted(crm)] == ["began", "expired"]

    root.screen("/leads/")  # another tab goes on, so the cookie is that of no view any more
    stale = root.browser.post("/me/language", data={"locale": "hi", "csrf_token": token})
    assert stale.status_code == 400 and crm.rows(select(User.locale).where(User.username == "root")) == [None]
    root = crm.client("root")
    assert view(crm, "ana", root).location == "/"
    root.browser.set_cookie("crm", before)  # a response from before the view arrives late
    assert BANNER in root.screen("/leads/").text
    assert end(root).location == f"/users/show/{ana}"
    assert [what for _by, _about, what in noted(crm)][2:] == ["began", "ended"]


def test_a_view_ends_by_itself(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    root, ana = crm.client("root"), crm.people["ana"].id
    view(crm, "ana", root)
    until = re.compile(r"by itself at (\d\d:\d\d)")
    first = until.search(root.screen("/leads/").text)
    ends(crm, datetime.now(UTC) + timedelta(minutes=12))
    later = until.search(root.screen("/leads/").text)
    assert first and later and first[1] != later[1]  # nothing of a former view is shown
    ends(crm, datetime.now(UTC) - timedelta(seconds=1))
    overdue = root.form("/me/language", {"locale": "hi"})  # from a page that promised that nothing would change
    assert overdue.status_code == 403 and "is over" in overdue.text
    assert crm.rows(select(User.locale).where(User.username == "root")) == [None]
    assert BANNER not in root.screen("/leads/").text
    root = crm.client("root")  # with a token from before the view
    view(crm, "ana", root)
    crm.session.execute(update(User).where(User.id == ana).values(active=False))
    crm.session.commit()
    assert BANNER not in root.screen("/leads/").text
    root = crm.client("root")
    view(crm, "mia", root)
    assert BANNER in root.screen("/leads/").text
    root.form("/logout/")
    assert root.screen("/leads/").status_code == 302
    assert [what for _by, _about, what in noted(crm)] == ["began", "expired", "began", "expired", "began", "ended"]
    ended = crm.rows(select(AuditEntry).where(AuditEntry.event == "sign-out"))
    assert [row.user_id for row in ended] == [crm.people["root"].id]


def test_the_session_of_a_view_refuses_what_no_page_should_write(crm: Crm) -> None:
    lead, session = crm.make.lead("ana"), crm.session
    access.set_read_only(session, True)
    for step in (update(Lead).values(description="x"), delete(Notification)):
        with pytest.raises(Denied), access.as_system(session):
            session.execute(step)
    session.add(Role(name="Extra"))
    with pytest.raises(Denied):
        session.flush()
    session.rollback()
    access.set_read_only(session, False)
    assert crm.fresh(lead).description != "x"
    assert timedelta(minutes=5) < view_as.LASTS <= timedelta(hours=1)
