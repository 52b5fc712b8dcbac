"""Sign-in names: user names and email addresses share one namespace, compared as people read them.

Each name has its keys in `login_name`, whose unique column decides: of two people whose names look alike, only the
first gets one, even if two transactions run at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from flask_appbuilder import Model
from flask_appbuilder.security.sqla.models import User
from sqlalchemy import ForeignKey, Integer, String, delete, insert, inspect, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.base import AlreadyExists
from app.domain.persistence.row_effects import Rows
from app.lib.lookalikes import name_keys

#: The columns of a user by which they sign in.
COLUMNS = ("username", "email")


class LoginName(Model):  # type: ignore[misc]
    """One key of a user's name or address."""

    __tablename__ = "login_name"
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    #: See `lookalikes.name_keys`.
    key: Mapped[str] = mapped_column(String(64), nullable=False, unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False, index=True)


def keys_of(user: Any) -> dict[str, str]:
    """Key -> column, for both names of a user; a key of both counts as the user name's."""
    return {key: name for name in reversed(COLUMNS) for key in sorted(name_keys(getattr(user, name) or ""))}


def refuse_taken_names(session: Session, users: Rows) -> None:
    """Effect before a flush: raise AlreadyExists, with the field, for a name of somebody else.

    MariaDB's own comparison of user names would refuse some of them without saying which field is meant.
    """
    for user in _renamed(users):
        keys, table = keys_of(user), LoginName.__table__
        query = select(table.c.key).where(table.c.key.in_(keys))
        query = query if user.id is None else query.where(table.c.user_id != user.id)
        found = session.connection().scalars(query).first()  # not through the access rules
        if found is not None:
            raise _taken(keys[found])


def _renamed(users: Rows) -> Iterator[Any]:
    """The new users, and those whose names have changed."""
    yield from users.new
    for user in users.changed:
        if any(inspect(user).attrs[name].history.has_changes() for name in COLUMNS):
            yield user


def reserve_names(session: Session, users: Rows) -> None:
    """Effect after a flush: reserve the names of new and renamed users. Raises AlreadyExists."""
    for user in _renamed(users):
        keys, table = keys_of(user), LoginName.__table__
        connection = session.connection()
        connection.execute(delete(table).where(table.c.user_id == user.id, table.c.key.not_in(keys)))
        held = set(connection.scalars(select(table.c.key).where(table.c.user_id == user.id)))
        missing = [{"key": key, "user_id": user.id} for key in keys if key not in held]
        try:
            if missing:
                connection.execute(insert(table), missing)
        except IntegrityError as error:  # another transaction was faster
            raise _taken("username") from error


def fill(session: Session) -> None:
    """Reserve the names of users inserted in bulk; the first of several users with the same name gets it."""
    table, connection = LoginName.__table__, session.connection()
    held = {key for (key,) in connection.execute(select(table.c.key))}
    without = select(User.id, User.username, User.email).where(~User.id.in_(select(table.c.user_id)))
    for user in connection.execute(without.order_by(User.id)):
        new = [key for key in keys_of(user) if key not in held]
        held.update(new)
        if new:
            connection.execute(insert(table), [{"key": key, "user_id": user.id} for key in new])


def _taken(column: str) -> AlreadyExists:
    text = (
        "Somebody else signs in with this username, or one that looks like it. Choose another."
        if column == "username"
        else "Somebody else signs in with this email address, or one that looks like it. Choose another."
    )
    return AlreadyExists(text, column)


def holder_of(session: Session, name: str) -> int | None:
    """The id of the user with this name, or one that looks like it; None if there is none."""
    table = LoginName.__table__
    query = select(table.c.user_id).where(table.c.key.in_(name_keys(name))).order_by(table.c.id)
    return session.connection().scalars(query).first()


def clashes(users: Iterable[tuple[int, str, str]]) -> Iterator[tuple[str, int, int]]:
    """(name, its user's id, the holder's id) of names that an earlier user has already.

    `users`: (id, user name, email address), in order of precedence. An earlier user name takes precedence over a later
    address, and vice versa.
    """
    held: dict[str, int] = {}
    for user_id, username, email in users:
        for name in dict.fromkeys((username or "", email or "")):
            keys = name_keys(name)
            holder = next((held[key] for key in sorted(keys) if held.get(key, user_id) != user_id), None)
            if holder is not None:
                yield name, user_id, holder
            else:
                held |= dict.fromkeys(keys, user_id)


def stored_clashes(session: Session) -> list[tuple[str, int, int]]:
    """`clashes` among the stored users, older ones first."""
    return list(clashes(session.execute(select(User.id, User.username, User.email).order_by(User.id))))
