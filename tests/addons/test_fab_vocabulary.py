"""Views in Flask-AppBuilder's vocabulary run on our base classes: pages and REST, lists, forms, filters, relations."""

from __future__ import annotations

import html
from typing import Any

import pytest

from app.extensions import db
from tests.addons.contacts import Benefit

pytestmark = pytest.mark.usefixtures("groups")


@pytest.fixture(scope="module")
def groups(root: Any) -> dict[str, int]:
    """Two groups, two departments, two benefits and three contacts, made over REST or by forms."""
    ids = {}
    for name in ("Friends", "Work"):
        ids[name] = root.rest("POST", "group/", json={"name": name}).get_json()["id"]
    for name in ("Sales", "Legal"):
        assert root.form("/departmentview/add", {"name": name}).status_code == 302
    rows = (("Will", "Friends", "1 Road"), ("Anita", "Friends", "Wadala"), ("Zoya", "Friends", "2 Lane"))
    for name, group, address in rows:
        body = {"name": name, "contact_group": ids[group], "address": address}
        assert root.rest("POST", "contact/", json=body).status_code == 201
    return ids


def page(root: Any, path: str) -> str:
    answer = root.screen(path, follow_redirects=True)
    assert answer.status_code == 200, (path, answer.status_code)
    return html.unescape(answer.get_data(as_text=True))


def names(root: Any, **q: Any) -> list[str]:
    answer = root.rest("GET", "contact/", q=q)
    assert answer.status_code == 200, answer.get_json()
    return [row["name"] for row in answer.get_json()["result"]]


# --- pages


def test_the_list_is_in_the_base_order_with_labels_and_rendered_columns(root: Any) -> None:
    text = page(root, "/contactview/list/")
    assert text.index("Anita") < text.index("Will") < text.index("Zoya")
    assert "Contacts group" in text and "Friends" in text


def test_a_form_saves_what_its_fieldsets_name(root: Any, groups: dict[str, int]) -> None:
    form = page(root, "/contactview/add")
    assert "Personal info" in form and "As on the card" in form
    sent = {"name": "Bela", "contact_group": str(groups["Work"]), "birthday": "1988-04-02", "tone": "WARM"}
    assert root.form("/contactview/add", sent).status_code == 302
    found = root.rest("GET", "contact/", q={"filters": [{"col": "name", "opr": "eq", "value": "Bela"}]}).get_json()
    row = found["result"][0]
    assert (row["birthday"], row["tone"], row["contact_group"]["name"]) == ("1988-04-02", "WARM", "Work")
    shown = page(root, f"/contactview/show/{row['id']}")
    assert "Personal info" in shown and "2 Apr 1988" in shown and "warm" in shown
    assert "<b>1988</b>" in root.screen("/contactview/list/").get_data(as_text=True)


def test_a_refused_form_keeps_what_was_typed(root: Any, groups: dict[str, int]) -> None:
    answer = root.form("/contactview/add", {"name": "Typed name", "personal_phone": "1234567890123"})
    text = html.unescape(answer.get_data(as_text=True))
    assert answer.status_code == 422
    assert "Typed name" in text and "at most twelve digits" in text
    without = html.unescape(root.form("/contactview/add", {"name": "No group"}).get_data(as_text=True))
    assert "Please fill this in." in without


def test_a_hook_refuses_with_its_own_words(root: Any, groups: dict[str, int]) -> None:
    sent = {"name": "Nobody", "contact_group": str(groups["Work"])}
    answer = root.form("/contactview/add", sent)
    assert answer.status_code == 422 and "Nobody is no contact." in html.unescape(answer.get_data(as_text=True))
    assert "Nobody" not in names(root)


def test_a_taken_name_is_a_sentence(root: Any, groups: dict[str, int]) -> None:
    answer = root.form("/contactview/add", {"name": "Will", "contact_group": str(groups["Work"])})
    assert answer.status_code == 422


def employee(root: Any, number: int, **more: Any) -> int:
    """An employee of this number; returns the id."""
    body = {"full_name": f"No. {number}", "address": "Fort", "employee_number": number, "department": 1} | more
    answer = root.rest("POST", "employeeapi/", json=body)
    assert answer.status_code == 201, answer.get_json()
    return int(answer.get_json()["id"])


def test_a_taken_or_forbidden_value_in_an_edit_is_a_sentence(root: Any) -> None:
    first, second = employee(root, 71), employee(root, 72)
    try:
        for number, sentence in (("71", "is already taken by another record"), ("-5", "can't be stored")):
            edited = root.form(f"/employeeview/edit/{second}", {"full_name": "Typed", "employee_number": number})
            text = html.unescape(edited.get_data(as_text=True))
            assert edited.status_code == 422 and sentence in text and "Typed" in text, (number, edited.status_code)
            sent = root.rest("PUT", f"employeeapi/{second}", json={"employee_number": int(number)})
            assert sent.status_code == 422 and sentence in sent.get_json()["message"], sent.get_json()
        assert root.rest("GET", f"employeeapi/{second}").get_json()["result"]["employee_number"] == 72
    finally:
        for key in (first, second):
            root.rest("DELETE", f"employeeapi/{key}")


def test_a_relation_to_many_is_filtered_by_all_of_the_given_rows(root: Any) -> None:
    car, phone = (benefit(root, name) for name in ("Car", "Phone"))
    both, one = employee(root, 81, benefits=[car, phone]), employee(root, 82, benefits=[car])
    for value, found in ((car, {both, one}), ([car, phone], {both}), ([phone], {both}), ([], set()), (99, set())):
        answer = root.rest(
            "GET", "employeeapi/", q={"filters": [{"col": "benefits", "opr": "rel_m_m", "value": value}]}
        )
        assert {row["id"] for row in answer.get_json()["result"]} == found, value
    for opr in ("neq", "ct", "null", "gt"):
        answer = root.rest("GET", "employeeapi/", q={"filters": [{"col": "benefits", "opr": opr, "value": car}]})
        assert answer.status_code == 400, opr
    for key in (both, one):
        root.rest("DELETE", f"employeeapi/{key}")


def test_statements_do_not_grow_with_the_rows(root: Any) -> None:
    benefits = [benefit(root, name) for name in ("Flat", "Gym")]
    keys = [employee(root, 900 + n, benefits=benefits) for n in range(12)]

    def count(path: str) -> int:
        return int(root.rest("GET", path).headers["X-SQL-Count"])

    count("employeeapi/?q=(page_size:2)")  # fills the caches
    assert count("employeeapi/?q=(page_size:2)") == count("employeeapi/?q=(page_size:12)")
    few, all_ = (root.screen(f"/employeeview/list/?{q}").headers["X-SQL-Count"] for q in ("q=No.+901", "q=No.+9"))
    assert int(all_) <= int(few)
    for key in keys:
        root.rest("DELETE", f"employeeapi/{key}")


def benefit(root: Any, name: str) -> int:
    """A benefit of this name; returns the id."""
    with root.app.app_context():
        row = Benefit(name=name)
        db.session.add(row)
        db.session.commit()
        return int(row.id)


@pytest.mark.parametrize(
    "question, found",
    [
        ("_flt_0_name=Wi", ["Will"]),  # FAB's first filter of a text: starts with
        ("_flt_2_address=adal", ["Anita"]),  # its third: contains
        ("_flt_sw_name=Zo", ["Zoya"]),
        ("q=oya", ["Zoya"]),
        ("_flt_nsw_name=A&_flt_nsw_name=Z&_flt_nsw_name=B", ["Will"]),
    ],
)
def test_filters_of_the_address(root: Any, question: str, found: list[str]) -> None:
    text = page(root, f"/contactview/list/?{question}")
    rows = text[text.index('id="list"') :]
    assert [name for name in ("Anita", "Will", "Zoya") if f"{name}</" in rows] == found


def test_the_order_of_the_address(root: Any) -> None:
    text = page(root, "/contactview/list/?_oc_ContactView=name&_od_ContactView=desc")
    rows = text[text.index('id="list"') :]
    assert rows.index("Zoya") < rows.index("Will") < rows.index("Anita")


def test_a_group_shows_its_contacts(root: Any, groups: dict[str, int]) -> None:
    text = page(root, f"/groupview/show/{groups['Friends']}")
    assert "Will" in text and f"/contactview/add?contact_group={groups['Friends']}" in text


def test_base_filters_hold_for_lists_pages_and_changes(root: Any) -> None:
    assert "Anita" not in page(root, "/warm/list/") and "Will" in page(root, "/warm/list/")
    ids = {row["name"]: row["id"] for row in root.rest("GET", "contact/").get_json()["result"]}
    assert root.screen(f"/warm/show/{ids['Anita']}").status_code == 404
    assert root.form(f"/warm/edit/{ids['Anita']}", {"name": "Wanita"}).status_code == 404
    assert root.form(f"/warm/delete/{ids['Anita']}").status_code == 404


def test_an_action_gets_the_chosen_rows(root: Any, groups: dict[str, int]) -> None:
    body = {"name": "Starred", "contact_group": groups["Friends"]}
    key = root.rest("POST", "contact/", json=body).get_json()["id"]
    assert root.form("/contactview/action_post", {"action": "rename", "rowid": str(key)}).status_code == 302
    assert root.rest("GET", f"contact/{key}").get_json()["result"]["name"] == "Starred *"
    assert root.form(f"/contactview/action/rename/{key}").status_code == 302
    assert root.rest("DELETE", f"contact/{key}").status_code == 200


def test_extra_fields_relations_to_many_and_dotted_columns(root: Any) -> None:
    form = page(root, "/employeeview/add")
    assert "Nickname" in form and "Sales" in form
    sent = {"full_name": "Eka", "address": "3 Hill", "employee_number": "7", "salary": "10.50", "department": "1"}
    assert root.form("/employeeview/add", sent | {"nickname": "E"}).status_code == 302
    assert "Sales" in page(root, "/employeeview/list/")
    rows = root.rest("GET", "employeeapi/").get_json()["result"]
    assert rows[0]["department"] == {"name": "Sales"} and rows[0]["benefits"] == []
    edit = page(root, f"/employeeview/edit/{rows[0]['id']}")
    assert 'value="Eka"' in edit
    changed = {"full_name": "Eka R", "department": "2"}
    assert root.form(f"/employeeview/edit/{rows[0]['id']}", changed).status_code == 302
    assert "Legal" in page(root, f"/employeeview/show/{rows[0]['id']}")


def test_the_menu_and_the_matrix_know_the_add_on(root: Any) -> None:
    home = page(root, "/leads/")
    assert "List Contacts" in home and 'href="/contactview/"' in home and "Company" in home
    assert "Contact group" in page(root, "/roles/matrix/")


def test_a_delete_asks_nobody_else(root: Any, groups: dict[str, int]) -> None:
    body = {"name": "Short", "contact_group": groups["Friends"]}
    key = root.rest("POST", "contact/", json=body).get_json()["id"]
    assert root.form(f"/contactview/delete/{key}").status_code == 302
    assert root.rest("GET", f"contact/{key}").status_code == 404


def test_the_timeline_says_what_became_what(root: Any, groups: dict[str, int]) -> None:
    key = root.rest("POST", "contact/", json={"name": "Lined", "contact_group": groups["Friends"]}).get_json()["id"]
    root.rest("PUT", f"contact/{key}", json={"address": "New Street"})
    text = page(root, f"/contactview/show/{key}")
    assert "New Street" in text and "created this record" in text
    root.rest("DELETE", f"contact/{key}")


def test_the_search_page_finds_contacts(root: Any) -> None:
    assert "Anita" in page(root, "/search/?q=nit")


# --- REST


def test_rest_makes_changes_and_deletes(root: Any, groups: dict[str, int]) -> None:
    made = root.rest("POST", "contact/", json={"name": "Rest", "contact_group": groups["Friends"]})
    assert made.status_code == 201
    key = made.get_json()["id"]
    assert root.rest("PUT", f"contact/{key}", json={"address": "Elsewhere"}).status_code == 200
    assert root.rest("GET", f"contact/{key}").get_json()["result"]["address"] == "Elsewhere"
    assert root.rest("PUT", f"contact/{key}", json={"name": None}).status_code == 422
    assert root.rest("POST", "contact/", json={"name": "Lonely"}).status_code == 422
    assert root.rest("POST", "contact/", json={"nothing": 1}).status_code == 422
    assert root.rest("DELETE", f"contact/{key}").status_code == 200


@pytest.mark.parametrize(
    "col, opr, value, found",
    [
        ("name", "sw", "W", ["Will"]),
        ("name", "ct", "nit", ["Anita"]),
        ("name", "either", "Wad", ["Anita"]),
        ("name", "in", ["Will", "Zoya"], ["Will", "Zoya"]),
        ("contact_group", "rel_o_m", 1, ["Anita", "Will", "Zoya"]),
        ("contact_group", "nrel_o_m", 1, []),
    ],
)
def test_rison_filters(root: Any, col: str, opr: str, value: Any, found: list[str]) -> None:
    known = {"Anita", "Will", "Zoya"}
    got = names(root, filters=[{"col": col, "opr": opr, "value": value}])
    assert sorted(set(got) & known) == found


def test_an_unknown_operator_column_or_order_is_refused(root: Any) -> None:
    for q in (
        {"filters": [{"col": "name", "opr": "nope", "value": 1}]},
        {"filters": [{"col": "nope", "opr": "eq", "value": 1}]},
        {"order_column": "nope"},
        {"columns": ["contact_group.nope"]},
    ):
        assert root.rest("GET", "contact/", q=q).status_code == 400, q


def test_pages_order_and_columns(root: Any) -> None:
    answer = root.rest("GET", "contact/", q={"order_column": "name", "order_direction": "asc", "page_size": 1})
    body = answer.get_json()
    assert [row["name"] for row in body["result"]] == ["Anita"] and body["count"] >= 3
    assert body["label_columns"]["name"] == "Name"
    assert set(root.rest("GET", "contact/", q={"columns": ["name"]}).get_json()["result"][0]) == {"id", "name"}


def test_info_says_what_can_be_sent(root: Any, groups: dict[str, int]) -> None:
    info = root.rest("GET", "contact/_info").get_json()
    columns = {column["name"]: column for column in info["add_columns"]}
    assert columns["name"]["required"] and columns["name"]["max_length"] == 150
    assert [row["value"] for row in columns["contact_group"]["values"]] == ["Friends"]  # add_query_rel_fields
    assert {"name": "Name or address", "operator": "either"} in info["filters"]["name"]
    assert "can_post" in info["permissions"]


def test_only_offered_relations_are_taken(root: Any, groups: dict[str, int]) -> None:
    sent = {"name": "Wrong group", "contact_group": groups["Work"]}  # add_query_rel_fields: names with F only
    assert root.rest("POST", "contact/", json=sent).status_code == 422
    assert root.rest("POST", "contact/", json=sent | {"contact_group": 10**8}).status_code == 422


def test_the_description_of_the_api_has_them(root: Any) -> None:
    spec = root.rest("GET", "/api/v1/_openapi").get_json()
    assert "/api/v1/contact/{pk}" in spec["paths"] and "Contact" in spec["components"]["schemas"]


# --- access


@pytest.mark.parametrize("who", ["ana", "mia", "rhea"])
def test_nobody_sees_it_without_the_module(client: Any, who: str) -> None:
    person = client(who)
    assert person.rest("GET", "contact/").status_code == 403
    assert person.screen("/contactview/list/").status_code in (302, 403)
    assert "List Contacts" not in person.screen("/").get_data(as_text=True)


def test_a_role_that_reads_all_of_the_module_sees_the_rows(app: Any, client: Any) -> None:
    from sqlalchemy import select
    from sqlalchemy.orm import Session

    from app import access, models
    from app.extensions import db

    with app.app_context(), Session(db.engine) as session, access.as_system(session):
        role = session.scalars(select(models.Role).where(models.Role.name == "Sales Manager")).one()
        session.add(models.ModulePermission(role_id=role.id, module="Contact", verb="read", level="all"))
        session.commit()
    mia = client("mia")
    assert "Anita" in [row["name"] for row in mia.rest("GET", "contact/").get_json()["result"]]
    assert mia.rest("POST", "contact/", json={"name": "Mine"}).status_code == 403
    assert client("ana").rest("GET", "contact/").status_code == 403
