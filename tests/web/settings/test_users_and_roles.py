"""Users, roles and rights: who may change them, and that no door ends in a 500."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flask_migrate
import pytest
from flask import Flask, current_app
from flask_appbuilder.security.sqla.models import PermissionView
from flask_wtf.csrf import generate_csrf
from sqlalchemy import select

import config
from app import access, create_app
from app.domain import audit, permissions
from app.extensions import db
from app.models import AuditEntry, FieldMask, Group, ModulePermission, Role, User
from app.web.security import security_manager

PASSWORD = "Correct-Horse-42"

#: name -> roles. Sid may turn the settings, and is no admin.
PEOPLE = {
    "root": ["Admin"],
    "ana": ["Sales User"],
    "ben": ["Sales User"],
    "mia": ["Sales Manager"],
    "sid": ["Settings desk"],
    "cora": ["Compliance"],
    "cleo": ["Support User"],
}


@dataclass
class Desk:
    """The application with one browser a person."""

    app: Flask
    clients: dict[str, Any]

    def get(self, name: str, url: str, /) -> Any:
        return self._client(name).get(url)

    def post(self, name: str, url: str, /, **sent: Any) -> Any:
        client = self._client(name)
        return client.post(url, data={"csrf_token": client.get("/token").text, **sent})

    def _client(self, name: str) -> Any:
        if name not in self.clients:
            self.clients[name] = self.app.test_client()
            self.clients[name].get(f"/as/{name}")
        return self.clients[name]

    def rows(self, query: Any) -> list[Any]:
        with self.app.app_context(), access.as_system(db.session()) as session:
            return list(session.scalars(query))

    def ids(self, model: Any, column: Any) -> dict[str, int]:
        with self.app.app_context():
            return {key: pk for pk, key in db.session.execute(select(model.id, column))}

    def user(self, name: str) -> int:
        return self.ids(User, User.username)[name]

    def role(self, name: str) -> int:
        return self.ids(Role, Role.name)[name]

    def cells(self, role: str) -> dict[tuple[str, str], str]:
        rows = self.rows(select(ModulePermission).where(ModulePermission.role_id == self.role(role)))
        return {(row.module, row.verb): row.level for row in rows}

    def pairs(self, role: str) -> set[str]:
        with self.app.app_context():
            found = db.session.get(Role, self.role(role))
            return {str(pair) for pair in found.permissions if pair.view_menu.name in permissions.VERBS_OF}

    def noted(self, event: str) -> list[Any]:
        return self.rows(select(AuditEntry).where(AuditEntry.event == event).order_by(AuditEntry.id))


def make_app(folder: Path) -> Flask:
    """The application on a SQLite file."""
    settings = config.load({"CRM_INSTANCE_DIR": str(folder), "CRM_SCHEDULER": "off"})
    app = create_app(settings, TESTING=True)
    with app.app_context():
        flask_migrate.upgrade()
    security_manager.sync_permissions(app)
    app.add_url_rule("/as/<name>", view_func=_sign_in)
    app.add_url_rule("/token", "token", generate_csrf)
    return app


def _sign_in(name: str) -> str:
    user = db.session.scalars(select(User).where(User.username == name)).one()
    current_app.appbuilder.sm.sign_in_browser(user)
    return "ok"


def fill() -> None:
    """The people; Sid's role may turn the settings and see his own leads."""
    levels = {("Settings", verb): "all" for verb in ("read", "create", "write", "delete")} | {("Leads", "read"): "own"}
    desk_role = Role(name="Settings desk")
    db.session.add(desk_role)
    db.session.flush()
    for (module, verb), level in levels.items():
        db.session.add(ModulePermission(role_id=desk_role.id, module=module, verb=verb, level=level))
    roles = {role.name: role for role in db.session.scalars(select(Role))}
    for name, held in PEOPLE.items():
        db.session.add(
            User(
                first_name=name.title(),
                last_name="Shah",
                username=name,
                email=f"{name}@example.in",
                active=True,
                password="-",
                available=True,
                roles=[roles[each] for each in held],
            )
        )
    db.session.flush()
    mia = db.session.scalars(select(User).where(User.username == "mia")).one()
    db.session.scalars(select(User).where(User.username == "ana")).one().manager_id = mia.id
    db.session.commit()
    db.session.remove()


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> tuple[Flask, Path]:
    """The application and a copy of its filled database."""
    folder = tmp_path_factory.mktemp("team")
    app = make_app(folder)
    with app.app_context():
        fill()
        db.engine.dispose()
    shutil.copy(folder / "crm.sqlite3", folder / "filled.sqlite3")
    return app, folder


@pytest.fixture
def desk(house: tuple[Flask, Path]) -> Iterator[Desk]:
    """The application on a fresh copy of the database."""
    app, folder = house
    with app.app_context():
        db.session.remove()
        db.engine.dispose()
    for old in folder.glob("crm.sqlite3*"):
        old.unlink()
    shutil.copy(folder / "filled.sqlite3", folder / "crm.sqlite3")
    access.clear_cache()
    yield Desk(app, {})


def save_matrix(desk: Desk, who: str, role: str, **chosen: str) -> Any:
    """Open the role's matrix and save it with these cells."""
    page = desk.get(who, f"/roles/matrix/{desk.role(role)}").text
    action = page.split('action="/roles/matrix/', 1)[1].split('"', 1)[0]
    return desk.post(who, f"/roles/matrix/{action}", **{key.replace("__", " "): value for key, value in chosen.items()})


# --- the matrix


def test_saving_the_matrix_changes_the_cell_the_pair_and_the_audit(desk: Desk) -> None:
    answer = save_matrix(desk, "root", "Sales User", level_Leads_delete="team", level_Leads_read="none")
    assert answer.status_code == 302
    cells, pairs = desk.cells("Sales User"), desk.pairs("Sales User")
    assert cells["Leads", "delete"] == "team" and ("Leads", "read") not in cells
    assert "can delete on Leads" in pairs and "can read on Leads" not in pairs
    last = [entry.payload for entry in desk.noted("permission change")][-2:]
    assert {(each["verb"], each["old"], each["new"]) for each in last} == {
        ("delete", "none", "team"),
        ("read", "own", "none"),
    }


def test_a_mask_is_saved_and_noted(desk: Desk) -> None:
    save_matrix(desk, "root", "Sales User", mask_pan="hidden", mask_mobile="last4")
    masks = desk.rows(select(FieldMask).where(FieldMask.role_id == desk.role("Sales User")))
    assert {row.field: row.level for row in masks}["mobile"] == "last4"
    assert "pan" not in {row.field for row in masks}
    assert {entry.payload.get("field") for entry in desk.noted("permission change")} >= {"pan", "mobile"}


def test_the_chain_of_the_audit_stays_whole(desk: Desk) -> None:
    save_matrix(desk, "root", "Sales User", level_Leads_delete="team", level_Leads_export="own", mask_pan="hidden")
    save_matrix(desk, "sid", "Sales User", level_Leads_delete="none")
    with desk.app.app_context(), access.as_system(db.session()) as session:
        assert audit.first_invalid_entry(session) is None


def test_who_saves_an_old_matrix_is_told_and_keeps_what_he_chose(desk: Desk) -> None:
    role = desk.role("Sales User")
    page = desk.get("root", f"/roles/matrix/{role}").text
    action = "/roles/matrix/" + page.split('action="/roles/matrix/', 1)[1].split('"', 1)[0]
    save_matrix(desk, "root", "Sales User", level_Leads_export="own")
    before = desk.cells("Sales User")
    answer = desk.post("root", action, level_Leads_delete="all")
    assert (
        answer.status_code == 409 and "Someone else changed this role" in answer.text and "Leads: Delete" in answer.text
    )
    assert 'level-all" name="level_Leads_delete"' in answer.text
    assert desk.cells("Sales User") == before


@pytest.mark.parametrize("role", ["Admin", "Public"])
def test_the_built_in_roles_are_fixed(desk: Desk, role: str) -> None:
    before = desk.cells(role)
    answer = desk.post("root", f"/roles/matrix/{desk.role(role)}", level_Leads_read="own")
    assert answer.status_code == 403 and "is built in and can" in answer.text
    assert desk.cells(role) == before


@pytest.mark.parametrize(
    "chosen", [{"level_Leads_read": "everything"}, {"level_Dashboard_reveal": "own"}, {"mask_pan": "open"}]
)
def test_nonsense_in_the_matrix_is_refused(desk: Desk, chosen: dict[str, str]) -> None:
    before = desk.cells("Sales User")
    assert save_matrix(desk, "root", "Sales User", **chosen).status_code == 422
    assert desk.cells("Sales User") == before


def test_the_matrix_leaves_out_what_means_nothing(desk: Desk) -> None:
    page = desk.get("root", f"/roles/matrix/{desk.role('Sales User')}").text
    assert 'name="level_Leads_reveal"' in page and 'name="level_Dashboard_reveal"' not in page


@pytest.mark.parametrize("who, status", [("root", 302), ("sid", 302), ("ana", 403), ("mia", 403), ("nobody", 302)])
def test_who_opens_the_matrix(desk: Desk, who: str, status: int) -> None:
    answer = desk.app.test_client().get("/roles/matrix/") if who == "nobody" else desk.get(who, "/roles/matrix/")
    assert answer.status_code == status
    assert ("login" in answer.location) is (who == "nobody") if status == 302 else True


def test_ana_saves_no_matrix(desk: Desk) -> None:
    before = desk.cells("Sales User")
    assert desk.post("ana", f"/roles/matrix/{desk.role('Sales User')}", level_Leads_read="all").status_code == 403
    assert desk.cells("Sales User") == before


@pytest.mark.parametrize("role", ["999999", "99999999999999999999", "abc"])
def test_a_role_that_is_not_there(desk: Desk, role: str) -> None:
    assert desk.get("root", f"/roles/matrix/{role}").status_code == 404
    assert desk.post("root", f"/roles/matrix/{role}").status_code == 404


# --- nobody gives more than he has


@pytest.mark.parametrize("role", ["Settings desk", "Sales User"])
@pytest.mark.parametrize("chosen", [{"level_Leads_read": "all"}, {"level_Leads_export": "own"}, {"mask_pan": "full"}])
def test_sid_gives_no_more_than_he_has(desk: Desk, role: str, chosen: dict[str, str]) -> None:
    before = desk.cells(role)
    answer = save_matrix(desk, "sid", role, **chosen)
    assert answer.status_code == 403 and "more than you have" in answer.text
    assert desk.cells(role) == before
    assert not desk.rows(
        select(FieldMask).where(
            FieldMask.role_id == desk.role(role), FieldMask.level == "full", FieldMask.field == "pan"
        )
    )


def test_sid_may_take_away(desk: Desk) -> None:
    assert save_matrix(desk, "sid", "Sales User", level_Leads_bulk="none").status_code == 302
    assert ("Leads", "bulk") not in desk.cells("Sales User")


def edit_user(desk: Desk, who: str, name: str, **more: Any) -> Any:
    """Save FAB's form of the user with his own values and these."""
    user = desk.rows(select(User).where(User.username == name))[0]
    sent = {
        "first_name": user.first_name,
        "last_name": user.last_name,
        "username": name,
        "email": user.email,
        "active": "y",
        "available": "y",
        "roles": desk.role(PEOPLE[name][0]) if name in PEOPLE else "",
    }
    return desk.post(who, f"/users/edit/{user.id}", **{**sent, **more})


def roles_of(desk: Desk, name: str) -> list[str]:
    with desk.app.app_context():
        return [role.name for role in db.session.get(User, desk.user(name)).roles]


@pytest.mark.parametrize("name", ["sid", "ana"])
@pytest.mark.parametrize("role", ["Admin", "Sales Manager"])
def test_sid_hands_out_no_role_above_his_own(desk: Desk, name: str, role: str) -> None:
    before = roles_of(desk, name)
    answer = edit_user(desk, "sid", name, roles=[desk.role(before[0]), desk.role(role)])
    assert answer.status_code == 403 and "more than you have" in answer.text
    assert roles_of(desk, name) == before


def test_sid_cannot_go_through_a_group(desk: Desk) -> None:
    answer = desk.post(
        "sid",
        "/groups/add",
        name="Back door",
        label="",
        description="",
        users=desk.user("sid"),
        roles=desk.role("Admin"),
    )
    assert answer.status_code == 403
    assert desk.rows(select(Group)) == []


def test_sid_cannot_add_a_pair_that_he_lacks(desk: Desk) -> None:
    role = desk.role("Settings desk")
    with desk.app.app_context():
        found = db.session.get(Role, role)
        keys = [pair.id for pair in found.permissions]
        more = db.session.scalars(select(PermissionView)).all()
        extra = next(pair.id for pair in more if str(pair) == "can export on Customers")
    answer = desk.post("sid", f"/roles/edit/{role}", name="Settings desk", permissions=[*keys, extra])
    assert answer.status_code == 403
    assert "can export on Customers" not in desk.pairs("Settings desk")
    assert ("Customers", "export") not in desk.cells("Settings desk")


def test_an_admins_account_is_not_sids_to_change(desk: Desk) -> None:
    answer = edit_user(desk, "sid", "root", email="sid+root@example.in")
    assert answer.status_code == 403
    assert desk.rows(select(User.email).where(User.username == "root")) == ["root@example.in"]


def test_ana_reaches_no_administration(desk: Desk) -> None:
    for url in ("/users/list/", "/roles/list/", "/groups/list/", f"/users/edit/{desk.user('ana')}", "/users/add"):
        assert desk.get("ana", url).status_code == 403, url
    assert edit_user(desk, "ana", "ana", roles=desk.role("Admin")).status_code == 403
    assert roles_of(desk, "ana") == ["Sales User"]


# --- FAB's role screen and the matrix agree


def pair_ids(desk: Desk, role: str, *, without: str = "", plus: str = "") -> list[int]:
    with desk.app.app_context():
        kept = [pair.id for pair in db.session.get(Role, desk.role(role)).permissions if str(pair) != without]
        more = [pair.id for pair in db.session.scalars(select(PermissionView)) if str(pair) == plus]
        return [*kept, *more]


def test_a_pair_taken_away_on_fabs_screen_empties_the_cell(desk: Desk) -> None:
    keys = pair_ids(desk, "Sales User", without="can write on Leads", plus="can export on Leads")
    url = f"/roles/edit/{desk.role('Sales User')}"
    assert desk.post("root", url, name="Sales User", permissions=keys).status_code == 302
    cells = desk.cells("Sales User")
    assert ("Leads", "write") not in cells and cells["Leads", "export"] == "own"
    assert cells["Leads", "read"] == "own"
    assert {e.payload["verb"] for e in desk.noted("permission change")[-2:]} == {"write", "export"}


def test_a_new_role_made_on_fabs_screen_has_its_cells(desk: Desk) -> None:
    keys = pair_ids(desk, "Sales User")
    assert desk.post("root", "/roles/add", name="Interns", permissions=keys).status_code == 302
    assert set(desk.cells("Interns").values()) == {"own"}
    assert desk.pairs("Interns") == desk.pairs("Sales User")


def test_a_copied_role_has_the_same_levels_and_masks(desk: Desk) -> None:
    role = desk.role("Sales Manager")
    assert desk.post("root", "/roles/action_post", action="copyrole", rowid=role).status_code == 302
    assert desk.cells("Sales Manager copy") == desk.cells("Sales Manager")
    masks = desk.rows(select(FieldMask.level).where(FieldMask.role_id == desk.role("Sales Manager copy")))
    assert sorted(masks) == sorted(desk.rows(select(FieldMask.level).where(FieldMask.role_id == role)))
    again = desk.post("root", "/roles/action_post", action="copyrole", rowid=role)
    assert again.status_code == 302 and "already" in desk.get("root", "/roles/list/").text


@pytest.mark.parametrize("role", ["Admin", "Public", "Sales User"])
def test_roles_that_the_product_calls_by_name_stay(desk: Desk, role: str) -> None:
    pk = desk.role(role)
    before = desk.pairs(role)
    assert desk.post("root", f"/roles/edit/{pk}", name="Other", permissions=pair_ids(desk, role)).status_code == 422
    assert desk.post("root", f"/roles/delete/{pk}").status_code == 302
    assert desk.role(role) == pk and desk.pairs(role) == before


def test_a_deleted_role_takes_its_cells_along(desk: Desk) -> None:
    desk.post("root", "/roles/add", name="Interns", permissions=pair_ids(desk, "Sales User"))
    pk = desk.role("Interns")
    assert desk.rows(select(ModulePermission).where(ModulePermission.role_id == pk))
    desk.post("root", f"/roles/delete/{pk}")
    assert "Interns" not in desk.ids(Role, Role.name)
    assert not desk.rows(select(ModulePermission).where(ModulePermission.role_id == pk))
    assert desk.noted("role change")[-1].payload["what"] == "deleted"


def test_a_role_that_somebody_has_is_not_deleted(desk: Desk) -> None:
    desk.post("root", f"/roles/delete/{desk.role('Settings desk')}")
    assert "Settings desk" in desk.ids(Role, Role.name)
    assert "This role is still in use" in desk.get("root", "/roles/list/").text


# --- what can this person do


@pytest.mark.parametrize(
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
def test_who_sees_what_a_person_can_do(desk: Desk, who: str, whom: str, status: int) -> None:
    assert desk.get(who, f"/users/can/{desk.user(whom)}").status_code == status


def test_the_page_names_level_role_and_reach(desk: Desk) -> None:
    page = desk.get("mia", f"/users/can/{desk.user('mia')}").text
    assert "Sales Manager" in page and "level-team" in page and "2 people" in page
    assert desk.get("mia", "/users/can/").location.endswith(f"/users/can/{desk.user('mia')}")
    other = desk.get("mia", f"/users/can/{desk.user('mia')}?who={desk.user('ana')}")
    assert other.location.endswith(f"/users/can/{desk.user('ana')}")


# --- users


def test_the_list_of_users_in_our_terms(desk: Desk) -> None:
    page = desk.get("root", "/users/list/").text
    assert "Ana Shah" in page and "Mia Shah" in page and f'href="/users/can/{desk.user("ana")}"' in page
    assert "password" not in page.lower().replace("password_", "")


def test_the_trades_columns_are_saved(desk: Desk) -> None:
    answer = edit_user(
        desk,
        "root",
        "ben",
        mobile="098200 12345",
        manager_id=desk.user("mia"),
        away_until="2030-01-02T10:00",
        leave_from="2030-02-01T00:00",
        leave_to="2030-02-05T00:00",
        delegate_id=desk.user("ana"),
        time_zone="Asia/Dubai",
        locale="en",
        reminder_minutes="5, 60",
    )
    assert answer.status_code == 302
    ben = desk.rows(select(User).where(User.username == "ben"))[0]
    assert ben.mobile_e164 == "+919820012345" and ben.mobile == "098200 12345"
    assert ben.manager_id == desk.user("mia") and ben.delegate_id == desk.user("ana")
    assert ben.away_until.isoformat() == "2030-01-02T04:30:00+00:00"
    assert (ben.time_zone, ben.locale, ben.reminder_minutes) == ("Asia/Dubai", "en", [60, 5])
    assert 'value="60, 5"' in desk.get("root", f"/users/edit/{ben.id}").text
    assert desk.get("root", f"/users/show/{ben.id}").status_code == 200


@pytest.mark.parametrize(
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
def test_a_bad_user_is_refused_and_nothing_is_stored(desk: Desk, field: str, typed: str, sentence: str) -> None:
    value = desk.user(typed) if typed in PEOPLE and field.endswith("_id") else typed
    before = vars(desk.rows(select(User).where(User.username == "mia"))[0]).copy()
    answer = edit_user(desk, "root", "mia", last_name="Changed", **{field: value})
    assert answer.status_code == 422 and sentence in answer.text
    assert 'value="Changed"' in answer.text
    after = vars(desk.rows(select(User).where(User.username == "mia"))[0])
    assert {k: v for k, v in before.items() if k != "_sa_instance_state"} == {
        k: v for k, v in after.items() if k != "_sa_instance_state"
    }


def test_a_new_user(desk: Desk) -> None:
    sent = {
        "first_name": "Neha",
        "last_name": "Rao",
        "username": "neha",
        "email": "neha@example.in",
        "active": "y",
        "available": "y",
        "roles": desk.role("Sales User"),
        "password": PASSWORD,
        "conf_password": PASSWORD,
    }
    assert desk.post("root", "/users/add", **sent, mobile="bad").status_code == 422
    assert "neha" not in desk.ids(User, User.username)
    assert desk.post("root", "/users/add", **sent, mobile="9820012345").status_code == 302
    neha = desk.rows(select(User).where(User.username == "neha"))[0]
    assert neha.mobile_e164 == "+919820012345" and neha.password.startswith("scrypt")
    assert desk.noted("user change")[-1].about == "user neha"


def test_nobody_deletes_himself_or_by_get(desk: Desk) -> None:
    root = desk.user("root")
    desk.post("root", f"/users/delete/{root}")
    assert desk.get("root", f"/users/delete/{desk.user('ben')}").status_code == 405
    assert {"root", "ben"} <= set(desk.ids(User, User.username))


@pytest.mark.parametrize("more", [{"active": ""}, {"roles": "*"}])
def test_the_last_admin_stays(desk: Desk, more: dict[str, Any]) -> None:
    sent = {"roles": desk.role("Sales User")} if "roles" in more else {"active": []}
    answer = edit_user(desk, "root", "root", last_name="Kept", **sent)
    assert answer.status_code == 422 and "last active administrator" in answer.text and 'value="Kept"' in answer.text
    assert roles_of(desk, "root") == ["Admin"]
    assert desk.rows(select(User.active).where(User.username == "root")) == [True]


def test_a_user_with_records_is_not_deleted(desk: Desk) -> None:
    desk.post("root", f"/users/delete/{desk.user('mia')}")
    assert "mia" in desk.ids(User, User.username)
    assert "deactivate" in desk.get("root", "/users/list/").text


def test_a_post_without_token_changes_nothing(desk: Desk) -> None:
    client = desk.app.test_client()
    client.get("/as/root")
    assert client.post(f"/users/delete/{desk.user('ben')}").status_code == 400
    assert client.post(f"/roles/matrix/{desk.role('Sales User')}", data={}).status_code == 400
    assert "ben" in desk.ids(User, User.username)


def test_ones_own_page(desk: Desk) -> None:
    page = desk.get("ana", "/users/userinfo/")
    assert page.status_code == 200 and "ana@example.in" in page.text
    assert "/login" in desk.app.test_client().get("/users/userinfo/").location


# --- no address ends in a 500

LISTS = [
    "/users/list/",
    "/roles/list/",
    "/groups/list/",
    "/permissions/list/",
    "/viewmenus/list/",
    "/permissionviews/list/",
]
ODD = [
    "page_{v}=abc",
    "page_{v}=-1",
    "page_{v}=99999999999999999999",
    "psize_{v}=-5",
    "psize_{v}=1000000000",
    "_oc_{v}=nothing&_od_{v}=asc",
    "_oc_{v}=roles&_od_{v}=asc",
    "_oc_{v}=password&_od_{v}=asc",
    "_oc_page_x=abc",
    "xpage_{v}=abc",
    "_flt_9_name=x",
    "_flt_0_nothing=x",
    "_flt_0_active=maybe",
    "_flt_0_roles=abc",
    "_flt_0_roles=999999",
    "_flt_0_username=%00",
    "_flt_0_password=a",
    "_flt_2_username=%25",
    "_flt_0_permission=x",
]
VIEWS = dict(zip(LISTS, ["Users", "Roles", "Groups", "Permissions", "ViewMenus", "PermissionViews"], strict=True))


@pytest.mark.parametrize("url", LISTS)
def test_odd_addresses_of_lists(desk: Desk, url: str) -> None:
    for odd in ODD:
        answer = desk.get("root", f"{url}?{odd.format(v=VIEWS[url])}")
        assert answer.status_code == 200, odd


@pytest.mark.parametrize("base", ["/users", "/roles", "/groups"])
def test_odd_keys_and_actions(desk: Desk, base: str) -> None:
    for key in ("abc", "0", "-1", "999999", "99999999999999999999", "1e3"):
        assert desk.get("root", f"{base}/show/{key}").status_code == 404
        assert desk.get("root", f"{base}/edit/{key}").status_code == 404
        assert desk.post("root", f"{base}/delete/{key}").status_code == 404
        assert desk.post("root", f"{base}/action/nothing/{key}").status_code == 404
    assert desk.post("root", f"{base}/action_post", action="nothing", rowid="1").status_code == 404
    assert desk.post("root", f"{base}/action_post").status_code == 404


def test_actions_refuse_the_wrong_people_and_missing_rows(desk: Desk) -> None:
    assert desk.post("root", "/roles/action_post", action="copyrole", rowid="999999").status_code == 404
    assert desk.post("root", "/roles/action_post", action="copyrole").status_code == 302
    assert desk.post("ana", "/roles/action_post", action="copyrole", rowid="1").status_code == 403
    assert desk.post("sid", f"/users/action/resetpasswords/{desk.user('ana')}").status_code == 403
    to = desk.post("root", f"/users/action/abilities/{desk.user('ana')}")
    assert to.location.endswith(f"/users/can/{desk.user('ana')}")


def test_one_persons_search_is_not_anothers(desk: Desk) -> None:
    assert "Ana Shah" in desk.get("root", "/users/list/?_flt_2_username=ana").text
    page = desk.get("sid", "/users/list/").text
    assert "Ben Shah" in page and "Clear all" not in page


def test_search_and_order(desk: Desk) -> None:
    page = desk.get("root", f"/users/list/?_flt_0_roles={desk.role('Sales User')}&_oc_Users=email&_od_Users=desc").text
    assert "Ana Shah" in page and "Cleo Shah" not in page and page.index("Ben Shah") < page.index("Ana Shah")


def test_every_page_of_the_administration_opens(desk: Desk, sees: Callable[[str], None]) -> None:
    for url in (
        *LISTS,
        "/users/add",
        "/roles/add",
        "/groups/add",
        f"/roles/show/{desk.role('Sales User')}",
        f"/roles/edit/{desk.role('Sales User')}",
        f"/users/edit/{desk.user('ana')}",
    ):
        sees(url)


@pytest.fixture
def sees(desk: Desk) -> Callable[[str], None]:
    """Open a page as root and look for what the content policy forbids."""

    def look(url: str) -> None:
        answer = desk.get("root", url)
        assert answer.status_code == 200, url
        for forbidden in (" style=", "onclick=", "<script>", "javascript:"):
            assert forbidden not in answer.text, (url, forbidden)

    return look
