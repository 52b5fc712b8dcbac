"""Boards: arranged by managers, assigned to roles and teams, read with each reader's own rights."""

from __future__ import annotations

import html
import re
from typing import Any

from sqlalchemy import select

from app.domain import dashboard_boards
from app.models import Board, BoardHome, Role
from app.web.dashboards import widget_data
from tests.app_fixtures import Crm
from tests.cases import each_case

CARDS = [("leads", 3), ("created_trend", 12), ("calls_by_status", 6)]


def form(cards: Any = CARDS, **fields: Any) -> dict[str, Any]:
    names, sizes = [name for name, _size in cards], [str(size) for _name, size in cards]
    return {"label": "Mornings", "audience": "me", "card": names, "size": sizes} | fields


def role_id(crm: Crm, name: str) -> int:
    return int(crm.rows(select(Role.id).where(Role.name == name))[0])


def made(crm: Crm, who: str = "mia", **fields: Any) -> Board:
    answer = crm.client(who).form("/dashboard/boards/new", form(**fields))
    assert answer.status_code == 302, re.findall(r'role="alert">.*?</p>|field-error.*?</p>', answer.text)
    found: Board = crm.rows(select(Board).order_by(Board.id.desc()))[0]
    return found


def shown(page: str) -> list[tuple[str, str]]:
    """[(widget, its class)] of a board, or [(widget, size)] of its form."""
    cards = re.findall(r'<input type="hidden" name="card" value="(\w+)">', page)
    if cards:
        return list(zip(cards, re.findall(r"arrange-card dash-w(\d+)", page), strict=True))
    return re.findall(r'class="dash-(?:number|part) dash-w(\d+)" data-widget="(\w+)"', page)


def sentences(page: str) -> str:
    return html.unescape(
        " ".join(re.findall(r'(?:role="alert"|field-error"[^>]*|toast-note"[^>]*)>(.*?)</p>', page, re.S))
    )


def test_a_board_is_arranged_without_scripts(crm: Crm) -> None:
    mia = crm.client("mia")
    page = mia.screen("/dashboard/boards/new?from=calls").text
    assert ("calls_heat_map", "12") in shown(page) and ("calls", "3") in shown(page)
    page = mia.form("/dashboard/boards/new", form(do="down:0")).text
    assert shown(page) == [("created_trend", "12"), ("leads", "3"), ("calls_by_status", "6")]
    assert 'value="Mornings"' in page and re.search(r'value="down:1"[^>]*autofocus', page)
    assert [name for name, _size in shown(mia.form("/dashboard/boards/new", form(do="remove:1")).text)] == [
        "leads",
        "calls_by_status",
    ]
    assert shown(mia.form("/dashboard/boards/new", form(do="add", add="tasks_overdue")).text)[-1] == (
        "tasks_overdue",
        "3",
    )
    assert "choose a card" in sentences(mia.form("/dashboard/boards/new", form(do="add")).text)
    assert "already" in sentences(mia.form("/dashboard/boards/new", form(do="add", add="leads")).text)
    reset = mia.form("/dashboard/boards/new", form(do="reset", origin="sla")).text
    assert shown(reset)[0] == ("lead_breach", "3") and crm.count(Board) == 0
    board = made(crm)
    assert shown(mia.screen(f"/dashboard/boards/{board.id}").text) == [
        ("3", "leads"),
        ("12", "created_trend"),
        ("6", "calls_by_status"),
    ]
    assert f"/dashboard/boards/{board.id}" in mia.screen("/dashboard/analytics?period=week").text
    assert crm.client("mia").screen(f"/dashboard/boards/{board.id}?period=week").status_code == 200


def test_who_sees_and_changes_a_board(crm: Crm) -> None:
    own = made(crm, "mia")
    team = made(crm, "mia", label="Ours", audience=f"team-{crm.people['mia'].id}")
    role = made(crm, "mia", label="Sellers", audience=f"role-{role_id(crm, 'Sales User')}")
    seen = {
        who: {
            b.label for b in (own, team, role) if crm.client(who).screen(f"/dashboard/boards/{b.id}").status_code == 200
        }
        for who in ("root", "mia", "ana", "ben", "cleo")
    }
    assert seen == {
        "root": {"Ours", "Sellers"},
        "mia": {"Mornings", "Ours", "Sellers"},
        "ana": {"Ours", "Sellers"},  # of mia's team
        "ben": {"Sellers"},
        "cleo": set(),
    }
    for who in ("ana", "ben"):
        assert crm.client(who).screen(f"/dashboard/boards/{role.id}/edit").status_code in (403, 404)
        assert crm.client(who).screen("/dashboard/boards/new").status_code == 403
        assert "/dashboard/boards/new" not in crm.client(who).screen("/dashboard/").text
    # Not to roles and teams beyond one's own.
    for audience in (f"role-{role_id(crm, 'Admin')}", f"team-{crm.people['root'].id}", "role-999", "all", "role-"):
        assert crm.client("mia").form("/dashboard/boards/new", form(label="X", audience=audience)).status_code in (
            403,
            422,
        )
    assert (
        crm.client("root").form(f"/dashboard/boards/{role.id}/edit", form(label="Sellers", version=1)).status_code
        == 302
    )
    assert crm.client("mia").form(f"/dashboard/boards/{own.id}/delete").status_code == 302
    assert {board.label for board in crm.rows(select(Board))} == {"Ours", "Sellers"}


def test_a_card_that_a_reader_may_not_see_is_left_out_and_said_before(crm: Crm) -> None:
    crm.make.cell("Sales User", "Call Logs", "read", "none")
    audience = f"role-{role_id(crm, 'Sales User')}"
    page = crm.client("mia").form("/dashboard/boards/new", form(audience=audience, do="look")).text
    card = re.search(r'value="calls_by_status">.*?</li>', page, re.S)
    assert card is not None and "Not shown to: Sales User" in card[0] and page.count("Not shown to") == 1
    board = made(crm, audience=audience)
    page = crm.client("ana").screen(f"/dashboard/boards/{board.id}").text
    assert [name for _size, name in shown(page)] == ["leads", "created_trend"]


def test_the_home_of_a_role(crm: Crm) -> None:
    seller = role_id(crm, "Sales User")
    board = made(crm, audience=f"role-{seller}", home="1")
    widget_data.forget()
    assert shown(crm.client("ana").screen("/dashboard/").text)[0] == ("3", "leads")
    login = {"username": "ana", "password": "correct horse 9"}
    assert crm.client(None).form("/login/", login).location.endswith("/dashboard/")
    assert "Mornings" not in crm.client("cleo").screen("/dashboard/").text
    # Another board takes its place; without a home, dashboards open as before.
    other = made(crm, label="Evenings", audience=f"role-{seller}", home="1")
    assert crm.rows(select(BoardHome.board_id)) == [other.id]
    for key in (other.id, board.id):
        crm.client("mia").form(f"/dashboard/boards/{key}/delete")
    assert crm.client(None).form("/login/", login).location.endswith("/")
    assert "dash-board" not in crm.client("ana").screen("/dashboard/").text
    refused = crm.client("mia").form("/dashboard/boards/new", form(home="1"))
    assert refused.status_code == 422 and "given to a role" in sentences(refused.text)


def test_two_who_arrange_the_same_board(crm: Crm) -> None:
    board = made(crm, audience=f"team-{crm.people['mia'].id}")
    path = f"/dashboard/boards/{board.id}/edit"
    mine = form(CARDS[:2], version=1, audience=f"team-{crm.people['mia'].id}")
    assert crm.client("mia").form(path, mine).status_code == 302
    late = crm.client("root").form(path, form(CARDS[1:], label="Root's", version=1, audience=mine["audience"]))
    assert late.status_code == 409 and "Someone else changed" in sentences(late.text)
    assert [name for name, _size in shown(late.text)] == ["created_trend", "calls_by_status"]
    assert "Root&#39;s" in late.text and 'name="version" value="2"' in late.text
    assert crm.fresh(board).label == "Mornings"


@each_case(
    "given, status, words",
    [
        (form(label=" "), 422, "a name"),
        (form(label="x" * 81), 422, "at most 80"),
        (form([]), 422, "at least one card"),
        (form([("leads", 3), ("leads", 6)]), 422, "only once"),
        (form([("profit", 3)]), 422, "no card"),
        (form([("leads", 7)]), 422, "S, M, L"),
        (form([("leads", "٣")]), 422, "S, M, L"),
        (form([("leads", -3)]), 422, "S, M, L"),
        (form([(name, 3) for name in [f"x{n}" for n in range(dashboard_boards.MAX_CARDS + 1)]]), 422, "at most 40"),
        (form() | {"size": ["3"]}, 422, "did not arrive whole"),
        (form(do="add", add="profit"), 422, "no such card"),
        (form(do="up:99999999999999999999"), 200, ""),
        (form(do="fly"), 200, ""),
        (form(label="a\x00"), 422, "can't be stored"),
    ],
)
def test_what_makes_no_board_is_answered_with_a_sentence(crm: Crm, given: Any, status: int, words: str) -> None:
    answer = crm.client("mia").form("/dashboard/boards/new", given)
    assert (answer.status_code, words in sentences(answer.text)) == (status, True), sentences(answer.text)
    assert crm.count(Board) == 0
