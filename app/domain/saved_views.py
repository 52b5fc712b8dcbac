"""Saved views of lists: their owners, who sees them, and which of them a person has pinned or made their default."""

from __future__ import annotations

from typing import Any

from flask_appbuilder import Model
from sqlalchemy import JSON, ForeignKey, Index, Integer, String, UniqueConstraint, delete, func, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.base import NotFound, Record, RuleBroken, Stamp, hold_name, translatable
from app.domain.people.permissions import AccessVersion
from app.domain.persistence import record_locks

#: Characters of a view's name and of its address; views of one person.
MAX_LABEL, MAX_QUERY, MAX_VIEWS = 80, 2000, 100
#: Who sees a view: only its owner, their team (all who report to them), the people of one role, or everybody.
AUDIENCES = ("me", "team", "role", "all")


class SavedView(Record):
    """A list with its filters, columns, order and layout, saved under a name."""

    __tablename__ = "saved_view"
    __table_args__ = (Index("ix_saved_view_owner", "owner_id", "module"),)
    owner_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False)
    #: The list: its path without slashes, such as "leads".
    module: Mapped[str] = mapped_column(String(32), nullable=False)
    label: Mapped[str] = mapped_column(String(MAX_LABEL), nullable=False)
    #: The query string of the list's URL.
    query: Mapped[str] = mapped_column(String(MAX_QUERY), nullable=False, default="")
    #: One of AUDIENCES. If the role is deleted, only the owner sees the view.
    audience: Mapped[str] = mapped_column(String(8), nullable=False, default="me")
    role_id: Mapped[int | None] = mapped_column(ForeignKey("ab_role.id", ondelete="SET NULL"), index=True)


class ViewPin(Model):  # type: ignore[misc]
    """A view that a person has pinned to their sidebar."""

    __tablename__ = "view_pin"
    __table_args__ = (UniqueConstraint("user_id", "view_id", name="uq_view_pin"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False)
    view_id: Mapped[int] = mapped_column(ForeignKey("saved_view.id", ondelete="CASCADE"), nullable=False, index=True)


class ListChoice(Model):  # type: ignore[misc]
    """A person's choices for one list: the view that it opens with, and its columns."""

    __tablename__ = "list_choice"
    __table_args__ = (UniqueConstraint("user_id", "module", name="uq_list_choice"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False)
    #: The list, as in SavedView.
    module: Mapped[str] = mapped_column(String(32), nullable=False)
    view_id: Mapped[int | None] = mapped_column(ForeignKey("saved_view.id", ondelete="SET NULL"), index=True)
    #: As in a URL: names separated by commas, each with its width in pixels if that was changed; "" = the list's own
    #: columns.
    columns: Mapped[str] = mapped_column(String(1000), nullable=False, default="")


class ListSetup(Model):  # type: ignore[misc]
    """An admin's choices for one list, for everybody; null = the list's own."""

    __tablename__ = "list_setup"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    module: Mapped[str] = mapped_column(String(32), nullable=False, unique=True)
    #: Names of the columns above the list.
    quick_filters: Mapped[list[str] | None] = mapped_column(JSON)
    #: Names of the fields in the quick form for a new record.
    create_fields: Mapped[list[str] | None] = mapped_column(JSON)


# --- views


def save(session: Session, view: SavedView | None, values: dict[str, Any], stamp: Stamp) -> SavedView:
    """Create a view of the person, or change one of theirs. `values`: module, label, query, audience, role_id.

    Raises RuleBroken for an empty, long or taken name, an unknown audience, and one view too many.
    """
    owner = int(stamp.by or 0)
    hold_name(session, f"views of {owner}")
    label = " ".join(str(values.get("label") or "").split())
    _refuse_label(session, owner, values["module"], label, view)
    audience = values.get("audience", "me")
    if audience not in AUDIENCES or (audience == "role" and not values.get("role_id")):
        raise RuleBroken("Please choose who sees this view.", "audience")
    query = str(values.get("query") or "").lstrip("?")
    if len(query) > MAX_QUERY:
        raise RuleBroken("This view has too many filters to be saved. Please remove some.", "query")
    if view is None:
        _refuse_many(session, owner)
        view = SavedView(owner_id=owner, module=values["module"])
        session.add(view)
    view.label, view.query, view.audience = label, query, audience
    view.role_id = values.get("role_id") if audience == "role" else None
    view.stamp(stamp)
    session.flush()
    touch(session)
    return view


def _refuse_label(session: Session, owner: int, module: str, label: str, view: SavedView | None) -> None:
    if not label:
        raise RuleBroken("Please give the view a name.", "label")
    if len(label) > MAX_LABEL:
        raise RuleBroken(translatable("The name has at most %(most)s characters.", most=MAX_LABEL), "label")
    same = (SavedView.owner_id == owner, SavedView.module == module, SavedView.label == label)
    taken = session.execute(select(SavedView.id).where(*same, SavedView.id != (view.id if view else 0))).first()
    if taken:
        raise RuleBroken(
            translatable("You have a view called “%(name)s” here already. Please choose another name.", name=label),
            "label",
        )


def _refuse_many(session: Session, owner: int) -> None:
    count = session.scalar(select(func.count(SavedView.id)).where(SavedView.owner_id == owner)) or 0
    if count >= MAX_VIEWS:
        raise RuleBroken(translatable("You have %(most)s views already. Please delete some first.", most=MAX_VIEWS))


def remove(session: Session, view: SavedView) -> None:
    """Delete a view with all its pins; lists that opened with it open without one."""
    record_locks.refuse_gone(session, view)
    chosen = update(ListChoice).where(ListChoice.view_id == view.id).values(view_id=None)
    session.execute(chosen, execution_options={"synchronize_session": False})
    pins = delete(ViewPin).where(ViewPin.view_id == view.id)
    session.execute(pins, execution_options={"synchronize_session": False})
    session.delete(view)
    session.flush()
    touch(session)


def pin(session: Session, user_id: int, view: SavedView, pinned: bool) -> None:
    """Pin a view to the person's sidebar, or unpin it. Idempotent."""
    found = session.scalars(select(ViewPin).where(ViewPin.user_id == user_id, ViewPin.view_id == view.id)).first()
    if pinned and found is None:
        session.add(ViewPin(user_id=user_id, view_id=view.id))
    elif found is not None and not pinned:
        session.delete(found)
    session.flush()
    touch(session)


# --- a person's choices for a list


def choose(session: Session, user_id: int, module: str, **values: Any) -> None:
    """Store the person's choice for a list: `view_id` (None = no view) or `columns`."""
    row = session.scalars(select(ListChoice).where(ListChoice.user_id == user_id, ListChoice.module == module)).first()
    if row is None:
        row = ListChoice(user_id=user_id, module=module, columns="")
        session.add(row)
    for name, value in values.items():
        setattr(row, name, value)
    session.flush()
    touch(session)


def refuse_foreign(view: SavedView | None, user_id: int) -> SavedView:
    """The view, if it is this person's. Raises NotFound for None, RuleBroken for somebody else's."""
    if view is None:
        raise NotFound("This view doesn't exist, or it is no longer shared with you.")
    if view.owner_id != user_id:
        raise RuleBroken("Only the owner can change this view. Save it under a name of your own instead.")
    return view


def touch(session: Session) -> None:
    """Make every process read views and choices again; people and picklists stay cached."""
    step = update(AccessVersion).where(AccessVersion.id == 1).values(lists=AccessVersion.lists + 1)
    session.execute(step, execution_options={"synchronize_session": False})
