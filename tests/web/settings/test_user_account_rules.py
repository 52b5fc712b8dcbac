"""Protection of accounts: every column that one person may write for another, and who may do so."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import inspect, select, update

from app import access
from app.access.user_account_rules import COLUMNS_OF_MANAGERS, KEPT_BY_THE_CRM, LABELS, OWN_COLUMNS
from app.extensions import db
from app.models import Group, Role, User
from tests.web.settings_app import PEOPLE, Site, edit_user

#: Field of the form -> (column that changes, what is typed). A name of PEOPLE becomes an id.
TYPED: dict[str, tuple[str, str]] = {
    "first_name": ("first_name", "Changed"),
    "last_name": ("last_name", "Changed"),
    "username": ("username", "changed"),
    "email": ("email", "changed@example.in"),
    "mobile": ("mobile_e164", "9820012345"),
    "telephony_number": ("telephony_number", "9820012346"),
    "manager_id": ("manager_id", "sid"),
    "available": ("available", ""),
    "away_until": ("away_until", "2090-01-02T10:00"),
    "leave_from": ("leave_from", "2090-02-01T00:00"),
    "delegate_id": ("delegate_id", "sid"),
    "time_zone": ("time_zone", "Asia/Dubai"),
    "locale": ("locale", "en"),
    "reminder_minutes": ("reminder_minutes", "30"),
    "active": ("active", ""),
}
#: Columns of the wall that no form of another person takes, and why.
NO_FIELD = {
    "takes_calls": "a choice of one's own, in My settings",
    "mobile_e164": "follows the mobile",
    "leave_to": "needs a start of the leave, so it is tried with leave_from",
    "password": "has a page of its own: see test_passwords_of_others",
    "notice_choices": "has a page of its own, about oneself only",
    "picture": "has a page of its own, about oneself only",
    "roles": "see test_roles_and_groups",
    "groups": "see test_roles_and_groups",
}
#: Fields that everybody may change of themselves, where they have a page for it.
OWN_FIELDS = set(TYPED) - set(COLUMNS_OF_MANAGERS)


@pytest.fixture
def staffed_site(site: Site) -> Site:
    """Ben reports to Sid, who may change the settings; Ana reports to Mia; Cleo is an admin through a group."""
    with site.app.app_context():
        people = {user.username: user for user in db.session.scalars(select(User))}
        people["ben"].manager_id = people["sid"].id
        admin = db.session.scalars(select(Role).where(Role.name == "Admin")).one()
        db.session.add(Group(name="Owners", label="", description="", users=[people["cleo"]], roles=[admin]))
        db.session.commit()
    return site


def column_of(site: Site, name: str, column: str) -> Any:
    return site.rows(select(getattr(User, column)).where(User.username == name))[0]


def typed(site: Site, field: str) -> dict[str, Any]:
    value = TYPED[field][1]
    if value == "" and field in ("active", "available"):
        return {field: []}
    return {field: site.user(value) if value in PEOPLE else value}


def send(site: Site, who: str, whom: str, field: str) -> tuple[int, bool]:
    """The answer's status, and whether the row has changed."""
    column, user_id = TYPED[field][0], site.user(whom)
    query = select(getattr(User, column)).where(User.id == user_id)
    before = site.rows(query)
    status = edit_user(site, who, whom, **typed(site, field)).status_code
    return status, site.rows(query) != before


def test_every_column_of_a_user_stands_in_the_wall() -> None:
    columns = {attr.key for attr in inspect(User).attrs}
    relations = {each.key for each in inspect(User).relationships} - {"roles", "groups"}
    assert columns - relations - KEPT_BY_THE_CRM == set(LABELS)
    assert set(LABELS) == set(TYPED) | set(NO_FIELD)
    assert set(OWN_COLUMNS) & set(COLUMNS_OF_MANAGERS) == set()


#: The fields, with the name by which the person is found as the last one.
FIELDS = [*(field for field in TYPED if field != "username"), "username"]


@pytest.mark.parametrize("who", ["root", "cleo"])
def test_administrators_change_everybody(staffed_site: Site, who: str) -> None:
    by = staffed_site.user(who)
    for field in FIELDS:
        count = len(staffed_site.audited("user change"))
        assert send(staffed_site, who, "ana", field) == (302, True), field
        entry = staffed_site.audited("user change")[count]
        assert (TYPED[field][0] in entry.payload, entry.about, entry.user_id) == (True, "user ana", by), field


def test_managers_change_those_who_report_to_them(staffed_site: Site) -> None:
    assert edit_user(staffed_site, "sid", "ben", manager_id=staffed_site.user("mia")).status_code == 403
    for field in FIELDS:
        if field == "manager_id":  # Sid is Ben's manager already: the form sends them as they are
            continue
        count = len(staffed_site.audited("user change"))
        sent = {"manager_id": staffed_site.user("sid"), **typed(staffed_site, field)}
        assert edit_user(staffed_site, "sid", "ben", **sent).status_code == 302, field
        assert TYPED[field][0] in staffed_site.audited("user change")[count].payload, field


@pytest.mark.parametrize("whom", ["ana", "mia", "root", "cleo"])
def test_nobody_changes_those_who_do_not_report_to_them(staffed_site: Site, whom: str) -> None:
    """All fields of Ana, a third of them of each of the others."""
    fields = FIELDS if whom == "ana" else FIELDS[("mia", "root", "cleo").index(whom) :: 3]
    count = len(staffed_site.audited("user change"))
    assert {field: send(staffed_site, "sid", whom, field) for field in fields} == dict.fromkeys(fields, (403, False))
    assert len(staffed_site.audited("user change")) == count


def test_what_people_change_of_themselves(staffed_site: Site) -> None:
    answers = {}
    for field in FIELDS:
        # Nobody is their own manager or delegate
        is_person = field in ("manager_id", "delegate_id")
        sent = {field: staffed_site.user("mia")} if is_person else typed(staffed_site, field)
        answers[field] = edit_user(staffed_site, "sid", "sid", **sent).status_code
    assert answers == {field: 302 if field in OWN_FIELDS else 403 for field in FIELDS}


def test_a_report_is_not_handed_to_an_outsider(staffed_site: Site) -> None:
    for field in ("manager_id", "delegate_id"):
        sent = {"manager_id": staffed_site.user("sid")} | {field: staffed_site.user("mia")}
        response = edit_user(staffed_site, "sid", "ben", **sent)
        assert response.status_code == 403 and "reports to you" in response.text
    assert (column_of(staffed_site, "ben", "manager_id"), column_of(staffed_site, "ben", "delegate_id")) == (
        staffed_site.user("sid"),
        None,
    )


def test_the_way_into_all_leads_is_closed(staffed_site: Site) -> None:
    """Leave for others, with oneself as their delegate, showed everything that they saw."""
    sent = {"leave_from": "2090-02-01T00:00", "delegate_id": staffed_site.user("sid")}
    assert edit_user(staffed_site, "sid", "ana", **sent).status_code == 403
    assert column_of(staffed_site, "ana", "delegate_id") is None
    # Nor in two steps: first becoming their manager.
    assert edit_user(staffed_site, "sid", "ana", manager_id=staffed_site.user("sid")).status_code == 403


def test_an_admin_through_a_group_is_protected_like_any_other(staffed_site: Site) -> None:
    with staffed_site.app.app_context():
        db.session.execute(update(User).where(User.username == "cleo").values(manager_id=staffed_site.user("sid")))
        db.session.commit()
    sent = {"manager_id": staffed_site.user("sid"), "email": "taken@example.in"}
    response = edit_user(staffed_site, "sid", "cleo", **sent)
    assert response.status_code == 403 and "admin" in response.text
    assert column_of(staffed_site, "cleo", "email") == "cleo@example.in"


def test_a_new_user_reports_to_its_maker_or_to_nobody(staffed_site: Site) -> None:
    fields = {
        "first_name": "New",
        "last_name": "Rao",
        "username": "new",
        "email": "new@example.in",
        "active": "y",
        "password": "Correct-Horse-42",
        "conf_password": "Correct-Horse-42",
        "roles": staffed_site.role("Settings desk"),
    }
    assert staffed_site.post("sid", "/users/add", **fields, manager_id=staffed_site.user("mia")).status_code == 403
    assert "new" not in staffed_site.ids(User, User.username)
    assert staffed_site.post("sid", "/users/add", **fields, manager_id=staffed_site.user("sid")).status_code == 302


@pytest.mark.parametrize("whom", ["ana", "mia"])
def test_roles_and_groups(staffed_site: Site, whom: str) -> None:
    key, desk = staffed_site.user(whom), staffed_site.role("Settings desk")
    assert edit_user(staffed_site, "sid", whom, roles=desk).status_code == 403
    assert staffed_site.post("sid", "/groups/add", name="Desk", users=key, roles=desk).status_code == 403
    assert staffed_site.rows(select(Group.name)) == ["Owners"]
    assert staffed_site.post("sid", f"/users/delete/{key}").status_code == 302
    assert whom in staffed_site.ids(User, User.username)


def test_a_group_with_outsiders_keeps_its_roles(staffed_site: Site) -> None:
    desk = staffed_site.role("Settings desk")
    assert (
        staffed_site.post("root", "/groups/add", name="Desk", users=staffed_site.user("ana"), roles=desk).status_code
        == 302
    )
    group = staffed_site.ids(Group, Group.name)["Desk"]
    for sent in (
        {"users": staffed_site.user("ana")},
        {"roles": desk},
        {"users": staffed_site.user("sid"), "roles": desk},
    ):
        assert staffed_site.post("sid", f"/groups/edit/{group}", name="Desk", **sent).status_code == 403
    with staffed_site.app.app_context():
        found = db.session.get(Group, group)
        assert [user.username for user in found.users] == ["ana"] and len(found.roles) == 1


def test_passwords_of_others(staffed_site: Site) -> None:
    before = column_of(staffed_site, "ana", "password")
    page = f"/resetpassword/form?pk={staffed_site.user('ana')}"
    sent = {"password": "Another-Horse-42", "conf_password": "Another-Horse-42"}
    assert staffed_site.post("sid", page, **sent).status_code in (302, 403)
    assert column_of(staffed_site, "ana", "password") == before


def test_the_audit_shortens_numbers_and_keeps_no_password(staffed_site: Site) -> None:
    edit_user(staffed_site, "root", "ana", mobile="9820012345")
    with staffed_site.app.app_context():
        db.session.scalars(select(User).where(User.username == "ana")).one().password = "secret-hash"
        db.session.commit()
    text = str([entry.payload for entry in staffed_site.audited("user change")])
    assert "2345" in text and "9820012345" not in text and "secret-hash" not in text
    assert "'password': {'changed': True}" in text


def test_statements_in_bulk_do_not_go_around_the_wall(staffed_site: Site) -> None:
    with staffed_site.app.test_request_context():
        session = db.session()
        with access.as_system(session):
            sid = access.load_person(session, staffed_site.user("sid"), datetime.now(UTC))
        with access.acting_as(session, sid), pytest.raises(RuntimeError, match="through the session"):
            session.execute(update(User).values(manager_id=sid.id))
    assert column_of(staffed_site, "cora", "manager_id") is None
