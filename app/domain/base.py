"""What every record has: key, UTC stamps, version, numbers; and how a broken rule is told."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import DateTime, ForeignKey, Integer, Sequence, String, UniqueConstraint, func, select, update
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, declared_attr, mapped_column
from sqlalchemy.types import TypeDecorator

#: Microseconds are kept on MariaDB too, so that "older than" never ties.
_MOMENT = DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


class TranslatableText(str):
    """English with values woven in; who answers in another language looks `msgid` up and weaves them in again."""

    msgid: str
    #: What stands for the names in the msgid; a value may be a Sentence itself.
    values: dict[str, object]

    def __new__(cls, msgid: str, values: dict[str, object] | None = None) -> TranslatableText:
        """The English text, which remembers what it was made of."""
        told = super().__new__(cls, msgid % values if values else msgid)
        told.msgid, told.values = msgid, values or {}
        return told


def translatable(msgid: str, **values: object) -> TranslatableText:
    """A sentence whose values stand as %(name)s in the msgid, as gettext writes them."""
    return TranslatableText(msgid, values)


def join_texts(sentences: Iterable[str]) -> TranslatableText:
    """Several sentences as one, each of which is still translated by itself."""
    told = {
        str(n): each if isinstance(each, TranslatableText) else TranslatableText(str(each))
        for n, each in enumerate(sentences)
    }
    return TranslatableText(" ".join(f"%({n})s" for n in told), dict(told))


class RuleBroken(Exception):
    """A rule of the trade refuses; the message is a whole sentence for the person.

    A sentence without values is its own msgid; one with values is made by `say`, so that it can be translated where
    the refusal becomes an answer. `errors` maps a field's name to its sentences; `field` is shorthand for one.
    """

    def __init__(self, message: str, field: str | None = None, errors: dict[str, list[str]] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.errors = errors if errors is not None else ({field: [message]} if field else {})


class Conflict(RuleBroken):
    """Somebody else was faster: the record changed, or was decided, since the person looked (409)."""


class NotFound(RuleBroken):
    """The record does not exist for this person (404)."""


class AlreadyExists(RuleBroken):
    """What must be nobody else's (a mobile, a client id) is another record's already."""


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, stored as naive UTC, aware UTC in Python."""

    impl = _MOMENT
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Aware in any zone -> naive UTC; naive values are taken as UTC."""
        if value is None or value.tzinfo is None:
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Naive UTC -> aware UTC."""
        return value if value is None else value.replace(tzinfo=UTC)


class Record(Model):  # type: ignore[misc]
    """A row that people or jobs make; authors are null for "the system"."""

    __abstract__ = True

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    #: When the row was made, UTC.
    created_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    #: When the row was last changed, UTC.
    changed_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)

    @declared_attr
    def created_by_id(cls) -> Mapped[int | None]:
        """Who made it; null = the system."""
        return mapped_column(ForeignKey("ab_user.id"))

    @declared_attr
    def changed_by_id(cls) -> Mapped[int | None]:
        """Who changed it last; null = the system."""
        return mapped_column(ForeignKey("ab_user.id"))

    def stamp(self, by: int | None, now: datetime) -> None:
        """Set the stamps for a change by user id `by` (None = the system) at `now`."""
        if self.created_on is None:
            self.created_on, self.created_by_id = now, by
        self.changed_on, self.changed_by_id = now, by


class Versioned:
    """A record that people edit: a stale save is refused, never lost."""

    #: Counts the saves; the UPDATE names the old one, so a stale save changes no row.
    version: Mapped[int] = mapped_column(Integer, nullable=False, default=1)

    @declared_attr.directive
    def __mapper_args__(cls) -> dict[str, Any]:
        return {"version_id_col": cls.version}


class NumberSeries(Model):  # type: ignore[misc]
    """The last number given per kind and year; the row's lock is the race-free allotment."""

    __tablename__ = "number_series"
    __table_args__ = (UniqueConstraint("kind", "year"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    #: LEAD, CUST, TICKET or CAR.
    kind: Mapped[str] = mapped_column(String(16), nullable=False)
    year: Mapped[int] = mapped_column(Integer, nullable=False)
    last: Mapped[int] = mapped_column(Integer, nullable=False, default=0)


NUMBER_PREFIXES = {"LEAD": "CRM-LEAD", "CUST": "CRM-CUST", "TICKET": "CRM-TICKET", "CAR": "CAR"}


def kind_of_number(number: str) -> str | None:
    """LEAD, CUST, TICKET or CAR for a record's number in upper or lower case; None for any other text."""
    text = number.upper()
    return next((kind for kind, prefix in NUMBER_PREFIXES.items() if text.startswith(f"{prefix}-")), None)


def next_number(session: Session, kind: str, year: int) -> str:
    """Allot the next people-facing number, e.g. CRM-LEAD-2026-00001, inside the caller's transaction."""
    row = (NumberSeries.kind == kind, NumberSeries.year == year)
    if session.get_bind().dialect.name == "sqlite":
        step = update(NumberSeries).where(*row).values(last=NumberSeries.last + 1).returning(NumberSeries.last)
        last = session.execute(step).scalar()
    else:
        # LAST_INSERT_ID(expr) hands the new value back without a second statement.
        bump = update(NumberSeries).where(*row).values(last=func.last_insert_id(NumberSeries.last + 1))
        done = session.execute(bump, execution_options={"synchronize_session": False})
        last = done.lastrowid if done.rowcount else None  # type: ignore[attr-defined]
    if last is None:
        _open_series(session, kind, year)
        return next_number(session, kind, year)
    return f"{NUMBER_PREFIXES[kind]}-{year}-{last:05d}"


def _open_series(session: Session, kind: str, year: int) -> None:
    """First record of a year: make the row; somebody else may have been faster."""
    if session.get_bind().dialect.name != "sqlite":
        # A refused INSERT would keep a shared lock, and all who come at once would end in a deadlock over the UPDATE.
        row = mysql.insert(NumberSeries).values(kind=kind, year=year, last=0)
        session.execute(row.on_duplicate_key_update(last=NumberSeries.last))
        return
    try:
        with session.begin_nested():
            session.add(NumberSeries(kind=kind, year=year, last=0))
    except IntegrityError:
        session.execute(select(NumberSeries.id).where(NumberSeries.kind == kind, NumberSeries.year == year))


def remove_sequence_defaults() -> None:
    """FAB's Sequence defaults make MariaDB ask for objects that Alembic never made."""
    for table in Model.metadata.tables.values():
        for column in table.columns:
            if isinstance(column.default, Sequence):
                column.default = None


def refuse_stale(record: Any, version: int | None) -> None:
    """Raise Conflict when the person saw another version than the one loaded."""
    if version is not None and record.version != version:
        raise Conflict("Someone else changed this record. Your changes are still here: review theirs, then save again.")
