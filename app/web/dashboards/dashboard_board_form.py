"""The form for arranging a board: its input, and which readers see which card."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from flask import request
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict

from app import access
from app.access.person import ADMIN, Person
from app.access.rights_cache import highest_levels
from app.domain import dashboard_boards
from app.domain.base import RuleBroken
from app.domain.people import teams, users
from app.domain.people.permissions import MASK_RANK
from app.extensions import db
from app.lib.ids import parse_id
from app.models import Board, FieldMask, ModulePermission, Role
from app.web.core.viewer import Viewer
from app.web.dashboards import widget_data
from app.web.dashboards.dashboard_board_list import offered_audiences
from app.web.dashboards.widget_kinds import (
    Breakdown,
    HeatMap,
    MeanWidget,
    NumberWidget,
    PeopleBars,
    PeopleTable,
    RateWidget,
    ReferralTable,
    StepsWidget,
    TrendWidget,
)
from app.web.dashboards.widgets import CATALOG, PAGES

#: Labels of the kinds of widgets.
KINDS: dict[Any, Any] = {
    **dict.fromkeys((NumberWidget, RateWidget, MeanWidget), _l("Figure")),
    **dict.fromkeys((StepsWidget, Breakdown, PeopleBars), _l("Bars")),
    **dict.fromkeys((PeopleTable, ReferralTable), _l("Table")),
    TrendWidget: _l("Line chart"),
    HeatMap: _l("Heat map"),
}
#: Size -> its short and full name.
SIZE_LABELS = {3: ("S", _l("Small")), 6: ("M", _l("Medium-sized")), 8: ("L", _l("Large")), 12: ("↔", _l("Full width"))}
Cards = list[tuple[str, int]]


@dataclass(frozen=True)
class BoardInput:
    """A board in the form, saved or not."""

    label: str = ""
    #: me, role-ID or team-ID.
    audience: str = "me"
    is_home: bool = False
    #: The page that it was copied from.
    origin: str = ""
    version: int | None = None
    cards: Cards = field(default_factory=list)
    #: The position of the card that was just moved, and the button that gets the focus.
    focus: tuple[int, str] = (-1, "")


def of_page(name: str, viewer: Viewer) -> BoardInput:
    """A draft with the cards of a standard page; empty for an unknown one."""
    page = next((each for each in PAGES if each.name == name), None)
    if page is None:
        return BoardInput()
    return BoardInput(origin=page.name, cards=_cards_of(page.widgets, viewer))


def _cards_of(names: Iterable[str], viewer: Viewer) -> Cards:
    visible = widget_data.visible_widgets(CATALOG, names, viewer)
    return [(name, min(size for size in dashboard_boards.SIZES if size >= each.size)) for name, each in visible.items()]


def of_board(board: Board, is_home: bool) -> BoardInput:
    """A stored board."""
    given = {"role": board.role_id, "team": board.manager_id}.get(board.audience)
    audience = f"{board.audience}-{given}" if given else "me"
    cards = [(name, size) for name, size in board.layout]
    return BoardInput(board.label, audience, is_home, board.origin, board.version, cards)


def of_form(form: MultiDict[str, str]) -> BoardInput:
    """The posted form. Raises RuleBroken for cards without a size."""
    names, sizes = form.getlist("card"), form.getlist("size")
    if len(names) != len(sizes) or len(names) > 2 * dashboard_boards.MAX_CARDS:
        raise RuleBroken(_("The cards of this board did not arrive whole. Please open it again."), "cards")
    cards = [
        (name, int(size) if size.isascii() and size.isdigit() and len(size) < 4 else 0)
        for name, size in zip(names, sizes, strict=True)
    ]
    return BoardInput(
        form.get("label", ""),
        form.get("audience", "me"),
        bool(form.get("home")),
        form.get("origin", "")[:32],
        parse_id(form.get("version", "")),
        cards,
    )


def apply_button(draft: BoardInput, what: str, viewer: Viewer) -> BoardInput:
    """The draft after a button that saves nothing: up:2, down:2, remove:2, add, reset or look. Raises RuleBroken."""
    verb, _colon, number = what.partition(":")
    cards, place = list(draft.cards), parse_id(number) or 0
    if verb == "add":
        return _with_card(draft, request.form.get("add", ""), viewer)
    if verb == "reset":
        return replace(draft, cards=of_page(draft.origin, viewer).cards)
    if verb in ("up", "down", "remove") and place < len(cards):
        if verb == "remove":
            del cards[place]
            return replace(draft, cards=cards, focus=(min(place, len(cards) - 1), "remove"))
        other = min(max(place + (-1 if verb == "up" else 1), 0), len(cards) - 1)
        cards.insert(other, cards.pop(place))
        return replace(draft, cards=cards, focus=(other, verb))
    return draft


def _with_card(draft: BoardInput, name: str, viewer: Viewer) -> BoardInput:
    if not name:
        raise RuleBroken(_("Please choose a card to add."), "add")
    if name in dict(draft.cards):
        raise RuleBroken(_("This card is on the board already."), "add")
    added = _cards_of([name], viewer) if name in CATALOG else []
    if not added:
        raise RuleBroken(_("There is no such card for you."), "add")
    return replace(draft, cards=[*draft.cards, *added], focus=(len(draft.cards), "up"))


def values_of(draft: BoardInput, viewer: Viewer) -> dict[str, Any]:
    """The values for `dashboard_boards.save`. Raises RuleBroken, and Denied for an audience beyond the person."""
    kind, _dash, number = draft.audience.partition("-")
    key = parse_id(number)
    if kind in ("role", "team"):
        roles, led_teams = offered_audiences(viewer)
        if key not in dict(roles if kind == "role" else led_teams):
            raise access.Denied(_("You can give boards only to your own team and its roles."))
    return {
        "label": draft.label,
        "audience": kind,
        "role_id": key if kind == "role" else None,
        "manager_id": key if kind == "team" else None,
        "is_home": draft.is_home,
        "origin": draft.origin if any(page.name == draft.origin for page in PAGES) else "",
        "version": draft.version,
        "layout": dashboard_boards.validate_layout(draft.cards, CATALOG),
    }


def offered_cards(draft: BoardInput, viewer: Viewer) -> list[tuple[str, list[tuple[str, str]]]]:
    """[(page, [(name, label)])] of the cards that can be added; each under the first page that contains it."""
    taken, found = set(dict(draft.cards)), []
    for page in PAGES:
        names = [name for name in widget_data.visible_widgets(CATALOG, page.widgets, viewer) if name not in taken]
        taken |= set(names)
        if names:
            found.append((str(page.label), [(name, f"{CATALOG[name].label} ({kind_of(name)})") for name in names]))
    return found


def kind_of(name: str) -> str:
    """The label of a widget's kind."""
    return str(KINDS[type(CATALOG[name])])


# --- cards hidden from readers


def hidden_cards(draft: BoardInput, viewer: Viewer) -> dict[str, list[str]]:
    """Card -> the roles of readers who don't see it, because they don't see what it counts."""
    kind, _dash, number = draft.audience.partition("-")
    key, names = parse_id(number), [name for name, _size in draft.cards if name in CATALOG]
    if kind not in ("role", "team") or key is None:
        return {}
    found: dict[str, list[str]] = {}
    with access.as_system(db.session()) as session:
        holders = {frozenset({key})} if kind == "role" else _role_sets(session, key)
        readers = [(words, replace(viewer, person=person)) for words, person in _readers(session, holders)]
    for words, reader in readers:
        seen = widget_data.visible_widgets(CATALOG, names, reader)
        for name in names:
            if name not in seen:
                found.setdefault(name, []).append(words)
    return found


def _role_sets(session: Session, manager: int) -> set[frozenset[int]]:
    return set(users.roles_held(session, teams.reporting_tree(session, manager)).values())


def _readers(session: Session, holders: set[frozenset[int]]) -> list[tuple[str, Person]]:
    """(the roles as text, a person with these roles), for each set of roles among the readers."""
    keys = frozenset().union(*holders)
    names = {role.id: role.name for role in session.scalars(select(Role).where(Role.id.in_(keys)))}
    cells = session.scalars(select(ModulePermission).where(ModulePermission.role_id.in_(keys))).all()
    masks = session.scalars(select(FieldMask).where(FieldMask.role_id.in_(keys))).all()
    found = []
    for roles in holders:
        held = frozenset(names[key] for key in roles if key in names)
        open_masks: dict[str, str] = {}
        for mask in masks:
            if mask.role_id in roles and MASK_RANK[mask.level] > MASK_RANK[open_masks.get(mask.field, "hidden")]:
                open_masks[mask.field] = mask.level
        levels = highest_levels(cell for cell in cells if cell.role_id in roles)
        nobody: frozenset[int] = frozenset()
        found.append(
            (", ".join(sorted(held)), Person(0, "", "", held, levels, open_masks, nobody, nobody, frozenset()))
        )
    return sorted((each for each in found if ADMIN not in each[1].roles), key=lambda each: each[0])
