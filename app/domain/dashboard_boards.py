"""Boards: dashboards that people arrange for themselves, a role or a team; and the home board of a role."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import JSON, ForeignKey, Index, String, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.base import NotFound, Record, RuleBroken, Stamp, Versioned, hold_name, refuse_stale, translatable
from app.domain.persistence import bulk_statements
from app.domain.saved_views import touch

#: The most characters of a name, cards of a board, and boards of one person.
MAX_LABEL, MAX_CARDS, MAX_BOARDS = 80, 40, 50
#: Who sees a board: only its owner, the people of one role, or a manager and everybody who reports to them.
AUDIENCES = ("me", "role", "team")
#: Widths of a card, in twelfths: S, M, L, and the full width.
SIZES = (3, 6, 8, 12)
#: [(name of a widget, one of SIZES)], in order.
Layout = Sequence[tuple[str, int]]


class Board(Versioned, Record):
    """A board: widgets in order, each with a size."""

    __tablename__ = "board"
    __table_args__ = (Index("ix_board_owner", "owner_id"),)
    owner_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False)
    label: Mapped[str] = mapped_column(String(MAX_LABEL), nullable=False)
    #: One of AUDIENCES. If the role or manager is deleted, only the owner sees the board.
    audience: Mapped[str] = mapped_column(String(8), nullable=False, default="me")
    role_id: Mapped[int | None] = mapped_column(ForeignKey("ab_role.id", ondelete="SET NULL"), index=True)
    manager_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id", ondelete="SET NULL"), index=True)
    #: The dashboards page that it was copied from, and can be reset to; "" = none.
    origin: Mapped[str] = mapped_column(String(32), nullable=False, default="")
    #: [[name of a widget, size]], checked by `checked`.
    layout: Mapped[list[list[Any]]] = mapped_column(JSON, nullable=False)

    def __str__(self) -> str:
        return self.label


class BoardHome(Model):  # type: ignore[misc]
    """The board that dashboards open with for the people of a role; at most one per role."""

    __tablename__ = "board_home"
    role_id: Mapped[int] = mapped_column(
        ForeignKey("ab_role.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    board_id: Mapped[int] = mapped_column(ForeignKey("board.id", ondelete="CASCADE"), nullable=False, index=True)


def validate_layout(layout: Layout, known: Any) -> list[list[Any]]:
    """The layout to store. Raises RuleBroken for an unknown or repeated widget, a wrong size, or too many.

    `known`: the names of all widgets.
    """
    names = [name for name, _size in layout]
    if not names:
        raise RuleBroken("A board needs at least one card. Please add one.", "cards")
    if len(names) > MAX_CARDS:
        raise RuleBroken(
            translatable("A board has at most %(most)s cards. Please remove some.", most=MAX_CARDS), "cards"
        )
    for name, size in layout:
        if name not in known:
            raise RuleBroken(translatable("There is no card “%(name)s”.", name=str(name)[:60]), "cards")
        if size not in SIZES:
            raise RuleBroken("Please choose S, M, L or the full width for each card.", "cards")
    if len(set(names)) < len(names):
        raise RuleBroken("A card can be on a board only once.", "cards")
    return [[name, size] for name, size in layout]


def save(session: Session, board: Board | None, values: dict[str, Any], stamp: Stamp) -> Board:
    """Create or change a board of the person.

    `values`: label, audience, role_id, manager_id, is_home, layout (as `validate_layout` returns it), origin, version
    (of a board that is changed). Raises RuleBroken for an empty, long or taken name, an unknown audience or one board
    too many; Conflict if somebody else has changed the board.
    """
    owner = int(stamp.by or 0) if board is None else board.owner_id
    hold_name(session, f"boards of {owner}")
    label = " ".join(str(values.get("label") or "").split())
    audience = values.get("audience")
    _refuse_label(session, owner, label, board)
    needed = {"me": True, "role": values.get("role_id"), "team": values.get("manager_id")}
    if not needed.get(str(audience)):
        raise RuleBroken("Please choose who sees this board.", "audience")
    if values.get("is_home") and audience != "role":
        raise RuleBroken("Only a board that is given to a role can be its home.", "is_home")
    if board is None:
        _refuse_many(session, owner)
        board = Board(owner_id=owner, origin=values.get("origin") or "")
        session.add(board)
    else:
        refuse_stale(board, values.get("version"))
    board.label, board.audience, board.layout = label, str(audience), values["layout"]
    board.role_id = values.get("role_id") if audience == "role" else None
    board.manager_id = values.get("manager_id") if audience == "team" else None
    board.stamp(stamp)
    session.flush()
    _set_home(session, board, bool(values.get("is_home")))
    touch(session)
    return board


def _refuse_label(session: Session, owner: int, label: str, board: Board | None) -> None:
    if not label:
        raise RuleBroken("Please give the board a name.", "label")
    if len(label) > MAX_LABEL:
        raise RuleBroken(translatable("The name has at most %(most)s characters.", most=MAX_LABEL), "label")
    others = select(Board.id).where(Board.owner_id == owner, Board.label == label)
    if session.execute(others.where(Board.id != (board.id if board else 0))).first():
        raise RuleBroken(
            translatable("There is a board called “%(name)s” already. Please choose another name.", name=label), "label"
        )


def _refuse_many(session: Session, owner: int) -> None:
    count = session.scalar(select(func.count(Board.id)).where(Board.owner_id == owner)) or 0
    if count >= MAX_BOARDS:
        raise RuleBroken(translatable("You have %(most)s boards already. Please delete some first.", most=MAX_BOARDS))


def _set_home(session: Session, board: Board, is_home: bool) -> None:
    """Make the board its role's home, replacing any other; or no role's home."""
    others = delete(BoardHome).where(BoardHome.board_id == board.id)
    if is_home:
        others = others.where(BoardHome.role_id != board.role_id)
    session.execute(others, execution_options={"synchronize_session": False})
    if is_home:
        row = bulk_statements.upsert(session, BoardHome, ["role_id"], lambda new: {"board_id": new.board_id})
        session.execute(row, {"role_id": board.role_id, "board_id": board.id})


def remove(session: Session, board: Board) -> None:
    """Delete a board. If it was a role's home, dashboards open as they did before."""
    session.execute(
        delete(BoardHome).where(BoardHome.board_id == board.id), execution_options={"synchronize_session": False}
    )
    session.delete(board)
    session.flush()
    touch(session)


def refuse_missing(board: Board | None) -> Board:
    """The board. Raises NotFound for None."""
    if board is None:
        raise NotFound("This board doesn't exist, or it is no longer shared with you.")
    return board
