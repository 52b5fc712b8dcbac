"""The boards that a person sees, which of them is their home, and who may arrange them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from app import access
from app.domain.people import users
from app.extensions import db
from app.models import Board, BoardHome, Role
from app.web.core.viewer import Viewer
from app.web.core.views.preference_cache import PersonCache
from app.web.dashboards.filters import Filters

BASE = "/dashboard/boards/"


@dataclass(frozen=True)
class BoardTab:
    """A board in the tabs."""

    id: int
    label: str
    #: The person's role that has it as its home; None = none.
    home_of: int | None


def sees_others(person: access.Person) -> bool:
    """Whether the person sees other people's figures."""
    return person.level("Dashboard", "read") in ("team", "all")


def may_arrange(viewer: Viewer) -> bool:
    """Whether the person may create boards: they see other people's figures, and don't view the CRM as somebody
    else.
    """
    person = viewer.person
    return not person.read_only and (sees_others(person) or person.may("Settings", "write"))


def may_share(viewer: Viewer) -> bool:
    """Whether the person may share boards: those who manage people or settings."""
    return may_arrange(viewer) and (viewer.person.is_manager or viewer.person.may("Settings", "write"))


def may_change(board: Any, viewer: Viewer) -> bool:
    """Whether the person may change this board: its owner, and for shared ones writers of the settings."""
    if not may_arrange(viewer):
        return False
    is_own = board.owner_id == viewer.person.id
    return bool(is_own or (board.audience != "me" and viewer.person.may("Settings", "write")))


def boards_of(viewer: Viewer) -> list[BoardTab]:
    """The boards in the person's tabs, by name: their own, and those shared with them. Cached like saved views."""
    return _cache.of(viewer)


def _load(viewer: Viewer) -> list[BoardTab]:
    mine = select(Role.id).where(Role.name.in_(sorted(viewer.person.roles)))
    home = select(func.min(BoardHome.role_id)).where(BoardHome.board_id == Board.id, BoardHome.role_id.in_(mine))
    query = select(Board.id, Board.label, home.scalar_subquery()).order_by(Board.label, Board.id)
    return [BoardTab(*row) for row in db.session.execute(query)]


_cache = PersonCache(_load)


def home_of(viewer: Viewer) -> int | None:
    """The board that is the home of one of their roles; with several roles, that of the first one."""
    homes = [(each.home_of, each.id) for each in boards_of(viewer) if each.home_of is not None]
    return min(homes)[1] if homes else None


def tabs(shown: int | None, filters: Filters, viewer: Viewer) -> list[dict[str, Any]]:
    """The tabs of boards; `shown`: the open one."""
    return [
        {"label": each.label, "url": filters.address(f"{BASE}{each.id}"), "active": each.id == shown, "is_board": True}
        for each in boards_of(viewer)
    ]


def offered_audiences(viewer: Viewer) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """([(role id, name)], [(user id of a manager, name)]) with which the person may share a board.

    Writers of the settings: all roles and teams; others: the roles that somebody in their team has, and their own
    teams.
    """
    if not may_share(viewer):
        return [], []
    people, own_team = viewer.lookups.people, viewer.person.team_ids
    sees_all = viewer.person.may("Settings", "write")
    with access.as_system(db.session()) as session:
        roles = session.execute(select(Role.id, Role.name).where(Role.name != "Public").order_by(Role.name)).all()
        held = None if sees_all else frozenset().union(*users.roles_held(session, own_team).values())
    teams = sorted((str(people[key]["full_name"]), key) for key in viewer.lookups.managers & people.keys())
    return (
        [(key, str(name)) for key, name in roles if held is None or key in held],
        [(key, name) for name, key in teams if sees_all or key in own_team],
    )
