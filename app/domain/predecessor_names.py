"""The names of records in the predecessor, and its people who are not matched with users yet.

A row of the predecessor is imported only once: its name is unique here, even if an import is repeated or killed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from flask_appbuilder import Model
from sqlalchemy import BigInteger, Index, Integer, String, UniqueConstraint, delete, func, select
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain import address_hashes
from app.lib.batches import batched

_BIG = BigInteger().with_variant(Integer, "sqlite")
_EXACT = String(140).with_variant(mysql.VARCHAR(140, collation="utf8mb4_bin"), "mysql", "mariadb")
#: Tables whose records people search by their former name. For others only a fingerprint is stored, because names of
#: calls contain phone numbers.
NAMED = ("leads", "ticket", "customer", "task", "ab_user")
#: The most records returned for one former name.
_MOST = 500


class PredecessorName(Model):  # type: ignore[misc]
    """A row of the predecessor, and the record that it became."""

    __tablename__ = "former_name"
    __table_args__ = (
        UniqueConstraint("doctype", "name", name="uq_former_name"),
        Index("ix_former_name_record", "kind", "record_id"),
        Index("ix_former_name_name", "name"),
    )
    id: Mapped[int] = mapped_column(_BIG, primary_key=True)
    #: Its DocType there, such as CRM Lead.
    doctype: Mapped[str] = mapped_column(String(60), nullable=False)
    #: Its name there, or a fingerprint of it, see NAMED; of an erased call, a keyed hash of that.
    name: Mapped[str] = mapped_column(_EXACT, nullable=False)
    #: The table and id of the record here; null if it became no record of its own.
    kind: Mapped[str | None] = mapped_column(String(24))
    record_id: Mapped[int | None] = mapped_column(_BIG)


class PredecessorPerson(Model):  # type: ignore[misc]
    """A column of a record that waits for a user: nobody here has its email address yet."""

    __tablename__ = "former_person"
    __table_args__ = (
        Index("ix_former_person_email", "email", "id"),
        Index("ix_former_person_record", "kind", "record_id"),
    )
    id: Mapped[int] = mapped_column(_BIG, primary_key=True)
    #: The address, lower case.
    email: Mapped[str] = mapped_column(String(140), nullable=False)
    #: Table, id and column.
    kind: Mapped[str] = mapped_column(String(24), nullable=False)
    record_id: Mapped[int] = mapped_column(_BIG, nullable=False)
    column_name: Mapped[str] = mapped_column(String(24), nullable=False)


def stored_form(kind: str, name: str) -> str:
    """The name in its stored form: unchanged, or as a fingerprint."""
    return name[:140] if kind in NAMED else hashlib.sha256(name.encode()).hexdigest()[:40]


def find_moved(session: Session, doctype: str, names: Iterable[str]) -> dict[str, int | None]:
    """{name: record id} of those names (as stored) that were imported already; of erased calls, by a keyed hash."""
    wanted, found = address_hashes.ids_known_as(session, sorted(set(names))), dict[str, int | None]()
    query = select(PredecessorName.name, PredecessorName.record_id).where(PredecessorName.doctype == doctype)
    for some in batched(list(wanted)):
        found.update((wanted[name], key) for name, key in session.execute(query.where(PredecessorName.name.in_(some))))
    return found


def ids_of(session: Session, kind: str, typed: str) -> list[int]:
    """The ids of records of this table with this former name, ignoring case."""
    is_called = PredecessorName.name.in_({typed, typed.upper()})
    query = select(PredecessorName.record_id).where(
        is_called, PredecessorName.kind == kind, PredecessorName.record_id.is_not(None)
    )
    return [int(key) for key in session.scalars(query.limit(_MOST)) if key is not None]


# --- people


def waiting(session: Session) -> list[tuple[str, int]]:
    """(address, number of places) of people who aren't users yet, the most frequent first."""
    count = func.count(PredecessorPerson.id)
    query = (
        select(PredecessorPerson.email, count)
        .group_by(PredecessorPerson.email)
        .order_by(count.desc(), PredecessorPerson.email)
    )
    return [(email, int(number)) for email, number in session.execute(query)]


def is_waiting(session: Session, email: str) -> bool:
    """Whether the address occurs in an imported record and belongs to no user yet."""
    return (
        session.execute(select(PredecessorPerson.id).where(PredecessorPerson.email == email).limit(1)).first()
        is not None
    )


def assign_user(session: Session, email: str, user_id: int, limit: int = 1000) -> int:
    """Set the user where the address waits, in up to `limit` places. Returns how many were processed.

    A column that somebody has filled in meanwhile stays unchanged.
    """
    query = (
        select(PredecessorPerson).where(PredecessorPerson.email == email).order_by(PredecessorPerson.id).limit(limit)
    )
    rows = session.scalars(query).all()
    places: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        places.setdefault((row.kind, row.column_name), []).append(row.record_id)
    for (kind, column), ids in places.items():
        table = Model.metadata.tables[kind]
        is_empty = table.c[column].is_(None)
        session.execute(table.update().where(table.c.id.in_(ids), is_empty).values({column: user_id}))
    gone = delete(PredecessorPerson).where(PredecessorPerson.id.in_([row.id for row in rows]))
    session.execute(gone, execution_options={"synchronize_session": False})
    return len(rows)


def remember_user(session: Session, email: str, user_id: int) -> None:
    """Remember which user has this address, for later imports."""
    row = session.scalars(
        select(PredecessorName).where(PredecessorName.doctype == "User", PredecessorName.name == email)
    ).first()
    if row is None:
        row = PredecessorName(doctype="User", name=email, kind="ab_user")
        session.add(row)
    row.record_id = user_id
