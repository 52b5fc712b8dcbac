"""The permission matrix: who may change it, its effect, and its consistency with FAB's permissions."""

from __future__ import annotations

import inspect
import re

import pytest
from flask_appbuilder.security.sqla.models import PermissionView
from sqlalchemy import select

from app import access
from app.domain.audit_log import audit_chain
from app.domain.people import permissions
from app.extensions import db
from app.models import (
    FieldMask,
    Group,
    ModulePermission,
    Role,
    User,
)
from tests.cases import each_case
from tests.web.settings_app import (
    Site,
    edit_user,
    roles_of,
    save_matrix,
)

# --- the page


def test_saving_the_matrix_changes_cell_and_permission_and_is_audited(site: Site) -> None:
    response = save_matrix(site, "root", "Sales User", level_Leads_delete="team", level_Leads_read="none")
    assert response.status_code == 302
    cells, pairs = site.cells("Sales User"), site.permissions("Sales User")
    assert cells["Leads", "delete"] == "team" and ("Leads", "read") not in cells
    assert "can delete on Leads" in pairs and "can read on Leads" not in pairs
    last = [entry.payload for entry in site.audited("permission change")][-2:]
    assert {(each["verb"], each["old"], each["new"]) for each in last} == {
        ("delete", "none", "team"),
        ("read", "own", "none"),
    }


def test_one_save_stores_cells_and_the_demand_of_two_factors(site: Site) -> None:
    assert site.get("root", f"/roles/matrix/{site.role('Sales User')}").text.count('name="needed"') == 1
    save_matrix(site, "root", "Sales User", level_Leads_delete="team", two_factor="1", needed="1")
    assert site.cells("Sales User")["Leads", "delete"] == "team"
    assert site.rows(select(Role.needs_two_factor).where(Role.name == "Sales User")) == [True]
    save_matrix(site, "root", "Sales User", two_factor="1")
    assert site.rows(select(Role.needs_two_factor).where(Role.name == "Sales User")) == [False]


def test_a_page_from_before_the_demand_does_not_take_it_back(site: Site) -> None:
    page = site.get("root", f"/roles/matrix/{site.role('Sales User')}").text
    action = page.split('action="/roles/matrix/', 1)[1].split('"', 1)[0]
    save_matrix(site, "root", "Sales User", two_factor="1", needed="1")
    refused = site.post("root", f"/roles/matrix/{action}", two_factor="1", level_Leads_delete="team")
    assert refused.status_code == 409 and "Someone else changed this role" in refused.text
    assert site.rows(select(Role.needs_two_factor).where(Role.name == "Sales User")) == [True]


def test_a_saved_mask_is_audited(site: Site) -> None:
    save_matrix(site, "root", "Sales User", mask_pan="hidden", mask_mobile="last4")
    masks = site.rows(select(FieldMask).where(FieldMask.role_id == site.role("Sales User")))
    assert {row.field: row.level for row in masks}["mobile"] == "last4"
    assert "pan" not in {row.field for row in masks}
    assert {entry.payload.get("field") for entry in site.audited("permission change")} >= {"pan", "mobile"}


def test_the_audit_chain_stays_intact(site: Site) -> None:
    save_matrix(site, "root", "Sales User", level_Leads_delete="team", level_Leads_assign="own", mask_pan="hidden")
    save_matrix(site, "sid", "Sales User", level_Leads_delete="none")
    with site.app.app_context(), access.as_system(db.session()) as session:
        assert audit_chain.verify(session).faults == []


def test_an_outdated_matrix_is_a_conflict_and_keeps_the_choices(site: Site) -> None:
    role = site.role("Sales User")
    page = site.get("root", f"/roles/matrix/{role}").text
    action = "/roles/matrix/" + page.split('action="/roles/matrix/', 1)[1].split('"', 1)[0]
    save_matrix(site, "root", "Sales User", level_Leads_assign="own")
    before = site.cells("Sales User")
    response = site.post("root", action, level_Leads_delete="all")
    assert (
        response.status_code == 409
        and "Someone else changed this role" in response.text
        and "Leads: Delete" in response.text
    )
    assert 'level-all" name="level_Leads_delete"' in response.text
    assert site.cells("Sales User") == before


@pytest.mark.parametrize("role", ["Admin", "Public"])
def test_built_in_roles_cannot_be_changed(site: Site, role: str) -> None:
    before = site.cells(role)
    response = site.post("root", f"/roles/matrix/{site.role(role)}", level_Leads_read="own")
    assert response.status_code == 403 and "is built in and can" in response.text
    assert site.cells(role) == before


@each_case(
    "chosen",
    [
        {"level_Leads_read": "everything"},
        {"level_Notes_import": "own"},
        {"level_Settings_read": "team"},
        {"mask_pan": "open"},
    ],
)
def test_invalid_levels_are_refused(site: Site, chosen: dict[str, str]) -> None:
    before = site.cells("Sales User")
    assert save_matrix(site, "root", "Sales User", **chosen).status_code == 422
    assert site.cells("Sales User") == before


def test_the_matrix_offers_exactly_the_cells_that_code_asks_for(site: Site) -> None:
    page = site.get("root", f"/roles/matrix/{site.role('Sales User')}").text
    offered = set(re.findall(r'name="level_([^"]+)"', page))
    assert offered == {f"{module}_{verb}" for module, verbs in permissions.VERBS_OF.items() for verb in verbs}


#: Cells that code asks for outside the endpoints of FAB: who asks.
ASKED_ELSEWHERE = {
    ("Notes", "delete"): "the predecessor's API deletes notes",
    ("Tasks", "assign"): "record_service.refuse_foreign_assignee",
    ("Customers", "assign"): "the owner of a customer",
    ("Complaints", "assign"): "the officer of a complaint",
    ("Audit Log", "read"): "settings.audit",
    ("Sign-ins", "read"): "security.sessions",
    ("Sign-ins", "delete"): "security.sessions",
    **{(module, verb): "web.transfer" for module in permissions.VERBS_OF for verb in ("export", "import")},
}


def test_every_cell_is_asked_for_by_some_code(site: Site) -> None:
    asked = set(ASKED_ELSEWHERE)
    for view in site.app.appbuilder.baseviews:  # type: ignore[attr-defined]
        for name, method in inspect.getmembers(type(view), lambda each: hasattr(each, "_permission_name")):
            needed = (view.method_permission_name or {}).get(method._permission_name, method._permission_name)
            if name not in (getattr(view, "exclude_route_methods", None) or ()):
                asked.add((view.class_permission_name, needed))
    offered = {(module, verb) for module, verbs in permissions.VERBS_OF.items() for verb in verbs}
    assert offered - asked == set()


def test_the_name_of_a_role_gives_nothing(site: Site) -> None:
    with site.app.app_context():
        db.session.scalars(select(Role).where(Role.name == "Compliance")).one().name = "Readers"
        db.session.flush()
        db.session.scalars(select(Role).where(Role.name == "Settings desk")).one().name = "Compliance"
        db.session.commit()
    access.clear_cache()
    assert site.get("cora", "/audit/").status_code == 200
    assert site.get("sid", "/audit/").status_code == 403


@pytest.mark.parametrize("module", ["Audit Log", "Sign-ins"])
def test_nobody_gives_sight_of_the_audit_or_of_sign_ins_that_they_lack(site: Site, module: str) -> None:
    for role in ("Settings desk", "Sales User"):
        response = save_matrix(site, "sid", role, **{f"level_{module}_read".replace(" ", "__"): "all"})
        assert response.status_code == 403 and "more than you have" in response.text
        assert (module, "read") not in site.cells(role)
    assert edit_user(site, "sid", "sid", roles=site.role("Compliance")).status_code == 403


def test_the_right_to_see_and_end_the_sign_ins_of_others_is_a_cell(site: Site) -> None:
    page = f"/sessions/?user={site.user('ana')}"
    assert site.get("cora", page).status_code == 404
    save_matrix(site, "root", "Compliance", **{"level_Sign-ins_read": "all"})
    assert site.get("cora", page).status_code == 200
    assert site.post("cora", f"/sessions/end-others?user={site.user('ana')}").status_code == 404
    save_matrix(site, "root", "Compliance", **{"level_Sign-ins_delete": "all"})
    assert site.post("cora", f"/sessions/end-others?user={site.user('ana')}").status_code == 302


@each_case("who, status", [("root", 302), ("sid", 302), ("ana", 403), ("mia", 403), ("nobody", 302)])
def test_who_may_open_the_matrix(site: Site, who: str, status: int) -> None:
    response = site.app.test_client().get("/roles/matrix/") if who == "nobody" else site.get(who, "/roles/matrix/")
    assert response.status_code == status
    assert ("login" in response.location) is (who == "nobody") if status == 302 else True


def test_a_sales_user_cannot_save_the_matrix(site: Site) -> None:
    before = site.cells("Sales User")
    assert site.post("ana", f"/roles/matrix/{site.role('Sales User')}", level_Leads_read="all").status_code == 403
    assert site.cells("Sales User") == before


@pytest.mark.parametrize("role", ["999999", "99999999999999999999", "abc"])
def test_an_unknown_role_is_404(site: Site, role: str) -> None:
    assert site.get("root", f"/roles/matrix/{role}").status_code == 404
    assert site.post("root", f"/roles/matrix/{role}").status_code == 404


# --- nobody grants more than they hold


@pytest.mark.parametrize("role", ["Settings desk", "Sales User"])
@each_case("chosen", [{"level_Leads_read": "all"}, {"level_Leads_assign": "own"}, {"mask_pan": "full"}])
def test_nobody_grants_more_than_they_hold(site: Site, role: str, chosen: dict[str, str]) -> None:
    before = site.cells(role)
    response = save_matrix(site, "sid", role, **chosen)
    assert response.status_code == 403 and "more than you have" in response.text
    assert site.cells(role) == before
    assert not site.rows(
        select(FieldMask).where(
            FieldMask.role_id == site.role(role), FieldMask.level == "full", FieldMask.field == "pan"
        )
    )


def test_levels_can_be_lowered(site: Site) -> None:
    assert save_matrix(site, "sid", "Sales User", level_Leads_bulk="none").status_code == 302
    assert ("Leads", "bulk") not in site.cells("Sales User")


@pytest.mark.parametrize("name", ["sid", "ana"])
@each_case("role", ["Admin", "Sales Manager"])
def test_nobody_assigns_a_role_above_their_own(site: Site, name: str, role: str) -> None:
    before = roles_of(site, name)
    response = edit_user(site, "sid", name, roles=[site.role(before[0]), site.role(role)])
    assert response.status_code == 403 and "more than you have" in response.text
    assert roles_of(site, name) == before


def test_a_group_cannot_be_used_to_gain_a_role(site: Site) -> None:
    response = site.post(
        "sid",
        "/groups/add",
        name="Back door",
        label="",
        description="",
        users=site.user("sid"),
        roles=site.role("Admin"),
    )
    assert response.status_code == 403
    assert site.rows(select(Group)) == []


def test_nobody_adds_a_permission_they_lack(site: Site) -> None:
    role = site.role("Settings desk")
    with site.app.app_context():
        found = db.session.get(Role, role)
        keys = [pair.id for pair in found.permissions]
        more = db.session.scalars(select(PermissionView)).all()
        extra = next(pair.id for pair in more if str(pair) == "can assign on Customers")
    response = site.post("sid", f"/roles/edit/{role}", name="Settings desk", permissions=[*keys, extra])
    assert response.status_code == 403
    assert "can assign on Customers" not in site.permissions("Settings desk")
    assert ("Customers", "assign") not in site.cells("Settings desk")


def test_only_admins_change_the_account_of_an_admin(site: Site) -> None:
    response = edit_user(site, "sid", "root", email="sid+root@example.in")
    assert response.status_code == 403
    assert site.rows(select(User.email).where(User.username == "root")) == ["root@example.in"]


def test_a_sales_user_cannot_open_the_administration(site: Site) -> None:
    for url in ("/users/list/", "/roles/list/", "/groups/list/", f"/users/edit/{site.user('ana')}", "/users/add"):
        assert site.get("ana", url).status_code == 403, url
    assert edit_user(site, "ana", "ana", roles=site.role("Admin")).status_code == 403
    assert roles_of(site, "ana") == ["Sales User"]


# --- FAB's screen of roles


def pair_ids(site: Site, role: str, *, without: str = "", plus: str = "") -> list[int]:
    with site.app.app_context():
        kept = [pair.id for pair in db.session.get(Role, site.role(role)).permissions if str(pair) != without]
        more = [pair.id for pair in db.session.scalars(select(PermissionView)) if str(pair) == plus]
        return [*kept, *more]


def test_a_permission_removed_on_fabs_screen_empties_the_cell(site: Site) -> None:
    keys = pair_ids(site, "Sales User", without="can write on Leads", plus="can assign on Leads")
    url = f"/roles/edit/{site.role('Sales User')}"
    assert site.post("root", url, name="Sales User", permissions=keys).status_code == 302
    cells = site.cells("Sales User")
    assert ("Leads", "write") not in cells and cells["Leads", "assign"] == "own"
    assert cells["Leads", "read"] == "own"
    assert {e.payload["verb"] for e in site.audited("permission change")[-2:]} == {"write", "assign"}


def test_a_role_added_on_fabs_screen_gets_its_cells(site: Site) -> None:
    keys = pair_ids(site, "Sales User")
    added = site.post("root", "/roles/add", name="Interns", permissions=keys)
    assert added.status_code == 302 and added.location.startswith("/roles/matrix/")
    assert set(site.cells("Interns").values()) == {"own"}
    assert site.permissions("Interns") == site.permissions("Sales User")


def test_a_copied_role_has_the_same_levels_and_masks(site: Site) -> None:
    role = site.role("Sales Manager")
    assert site.post("root", "/roles/action_post", action="copyrole", rowid=role).status_code == 302
    assert site.cells("Sales Manager copy") == site.cells("Sales Manager")
    masks = site.rows(select(FieldMask.level).where(FieldMask.role_id == site.role("Sales Manager copy")))
    assert sorted(masks) == sorted(site.rows(select(FieldMask.level).where(FieldMask.role_id == role)))
    again = site.post("root", "/roles/action_post", action="copyrole", rowid=role)
    assert again.status_code == 302 and "already" in site.get("root", "/roles/list/").text


@pytest.mark.parametrize("role", ["Admin", "Public", "Sales User"])
def test_roles_that_rules_refer_to_keep_their_name(site: Site, role: str) -> None:
    pk = site.role(role)
    before = site.permissions(role)
    assert site.post("root", f"/roles/edit/{pk}", name="Other", permissions=pair_ids(site, role)).status_code == 422
    assert site.post("root", f"/roles/delete/{pk}").status_code == 302
    assert site.role(role) == pk and site.permissions(role) == before


def test_deleting_a_role_deletes_its_cells(site: Site) -> None:
    site.post("root", "/roles/add", name="Interns", permissions=pair_ids(site, "Sales User"))
    pk = site.role("Interns")
    assert site.rows(select(ModulePermission).where(ModulePermission.role_id == pk))
    site.post("root", f"/roles/delete/{pk}")
    assert "Interns" not in site.ids(Role, Role.name)
    assert not site.rows(select(ModulePermission).where(ModulePermission.role_id == pk))
    assert site.audited("role change")[-1].payload["what"] == "deleted"


def test_a_role_in_use_is_not_deleted(site: Site) -> None:
    site.post("root", f"/roles/delete/{site.role('Settings desk')}")
    assert "Settings desk" in site.ids(Role, Role.name)
    assert "This role is still in use" in site.get("root", "/roles/list/").text
