"""How many bytes of files one person and everybody may attach, counted in rows, so that the database decides.

Every night `recount` counts again, because deleting a record also deletes its files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import BigInteger, Integer, case, select, text, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.base import RuleBroken, Stamp, translatable
from app.lib.digit_grouping import grouped

#: The row for the whole installation; other rows have the id of a user.
INSTALLATION = 0
_MB = 1_000_000


class FileUsage(Model):  # type: ignore[misc]
    """The bytes of files that one person, or everybody together, has attached."""

    __tablename__ = "file_usage"
    #: Id of a user; INSTALLATION = everybody.
    user_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    #: Includes files in the trash.
    bytes: Mapped[int] = mapped_column(BigInteger, nullable=False)


@dataclass(frozen=True)
class Quotas:
    """The most bytes for one person and for the installation."""

    person: int
    installation: int


@dataclass(frozen=True)
class UploadStamp(Stamp):
    """Who attaches a file and when, and the quotas that apply."""

    quotas: Quotas


_FIRST = "INSERT INTO file_usage (user_id, bytes) VALUES (:key, 0) ON DUPLICATE KEY UPDATE bytes = bytes"
_FIRST_ON_SQLITE = "INSERT OR IGNORE INTO file_usage (user_id, bytes) VALUES (:key, 0)"
#: The bare table: uploads count, whatever rows the person may see.
_usage = FileUsage.__table__


def reserve(session: Session, user: int | None, size: int, quotas: Quotas) -> None:
    """Add bytes to the usage of a person and the installation. Raises RuleBroken if one of them has no room.

    The rows stay locked until the end of the transaction: always in this order, and after all other locks.
    """
    if user is not None and not _add(session, user, size, quotas.person):
        sentence = "You have attached files of %(most)s MB, which is all that one person may. Please delete some first."
        raise RuleBroken(translatable(sentence, most=grouped(quotas.person // _MB)), "files")
    if not _add(session, INSTALLATION, size, quotas.installation):
        sentence = "There is no room for more files: your company has used its %(most)s MB. Please tell your admin."
        raise RuleBroken(translatable(sentence, most=grouped(quotas.installation // _MB)), "files")


def _add(session: Session, key: int, size: int, maximum: int) -> bool:
    room = update(_usage).where(_usage.c.user_id == key, _usage.c.bytes + size <= maximum)
    step = room.values(bytes=_usage.c.bytes + size)
    if _changes(session, step):
        return True
    if session.execute(select(_usage.c.user_id).where(_usage.c.user_id == key)).first():
        return _changes(session, step)  # another process may have created it meanwhile
    # Another process may insert it first. No IGNORE on MariaDB: its shared lock of a duplicate ends in deadlocks.
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    session.execute(text(_FIRST_ON_SQLITE if is_sqlite else _FIRST), {"key": key})
    return _changes(session, step)


def _changes(session: Session, step: Any) -> bool:
    return bool(session.execute(step).rowcount)  # type: ignore[attr-defined]


def give_back(session: Session, user: int | None, size: int) -> None:
    """Subtract the bytes of permanently deleted files."""
    for key in (user, INSTALLATION):
        if key is not None:
            step = update(_usage).where(_usage.c.user_id == key)
            left = case((_usage.c.bytes > size, _usage.c.bytes - size), else_=0)
            session.execute(step.values(bytes=left))


def recount(session: Session) -> int:
    """Count all files anew. Returns how many rows there are."""
    sums = text(
        "UPDATE file_usage SET bytes = (SELECT COALESCE(SUM(size), 0) FROM attachment"
        " WHERE file_usage.user_id = 0 OR attachment.created_by_id = file_usage.user_id)"
    )
    return int(session.execute(sums).rowcount)  # type: ignore[attr-defined]


def usage(session: Session) -> dict[int, int]:
    """User id, or INSTALLATION -> bytes."""
    return {key: size for key, size in session.execute(select(_usage.c.user_id, _usage.c.bytes))}  # noqa: C416
