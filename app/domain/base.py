"""What all records share: primary key, UTC stamps, version and number; and the exceptions of broken rules."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask_appbuilder import Model
from sqlalchemy import DateTime, ForeignKey, Integer, Sequence, String, UniqueConstraint
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, Session, declared_attr, mapped_column
from sqlalchemy.types import TypeDecorator

#: Table -> the column by which other rows refer to its rows.
RECORD_COLUMNS = {"leads": "lead_id", "ticket": "ticket_id", "customer": "customer_id", "task": "task_id"}
#: MariaDB stores microseconds too, so that "older than" never ties.
_UTC_DATETIME = DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


class TranslatableText(str):
    """A text with its msgid and values, so that it can be translated later. As a str it is English."""

    msgid: str
    #: Value by placeholder name of the msgid; a value may be a TranslatableText itself.
    values: dict[str, object]

    def __new__(cls, msgid: str, values: dict[str, object] | None = None) -> TranslatableText:
        """The English text with the values filled in."""
        text = super().__new__(cls, msgid % values if values else msgid)
        text.msgid, text.values = msgid, values or {}
        return text


def translatable(msgid: str, **values: object) -> TranslatableText:
    """A text with placeholders such as %(name)s in the msgid, as in gettext."""
    return TranslatableText(msgid, values)


def gettext_noop(text: str) -> str:
    """Return the text unchanged; marks it as a msgid, so that `gettext(text)` can translate it where it is shown."""
    return text


def join_texts(texts: Iterable[str]) -> TranslatableText:
    """Join texts with spaces; each is translated on its own."""
    parts = {
        str(n): each if isinstance(each, TranslatableText) else TranslatableText(str(each))
        for n, each in enumerate(texts)
    }
    return TranslatableText(" ".join(f"%({n})s" for n in parts), dict(parts))


class RuleBroken(Exception):
    """A business rule refuses the request; the message is a whole sentence for the user.

    A message without values is its own msgid; one with values comes from `translatable`, so that the response can
    translate it. `errors` maps a field name to its messages; `field` is shorthand for a single one.
    """

    def __init__(self, message: str, field: str | None = None, errors: dict[str, list[str]] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.errors = errors if errors is not None else ({field: [message]} if field else {})


class Conflict(RuleBroken):
    """Somebody else changed or decided the record in the meantime (409)."""


class NotFound(RuleBroken):
    """The record does not exist, or the user may not see it (404)."""


class Gone(RuleBroken):
    """What the user once had is no longer there, such as a file that has expired (410)."""

    http_status = 410


class AlreadyExists(RuleBroken):
    """A value that must be unique (a mobile number, a client id) belongs to another record."""


@dataclass(frozen=True)
class Stamp:
    """The author of a change, and its time (UTC)."""

    #: User id; None = the system.
    by: int | None
    #: UTC.
    now: datetime


class UtcDateTime(TypeDecorator[datetime]):
    """A datetime that is stored as naive UTC and loaded as aware UTC."""

    impl = _UTC_DATETIME
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Aware in any zone -> naive UTC; a naive value counts as UTC."""
        return _without_zone(value)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Naive UTC -> aware UTC."""
        return value if value is None else value.replace(tzinfo=UTC)

    def bind_processor(self, dialect: Any) -> Any:
        """The conversion of a value to be stored: in one call where the driver takes datetimes."""
        is_driver_enough = self.impl_instance.dialect_impl(dialect).bind_processor(dialect) is None
        return _without_zone if is_driver_enough else super().bind_processor(dialect)

    def result_processor(self, dialect: Any, coltype: Any) -> Any:
        """The conversion of a loaded value: in one call where the driver gives datetimes."""
        is_driver_enough = self.impl_instance.dialect_impl(dialect).result_processor(dialect, coltype) is None
        return _in_utc if is_driver_enough else super().result_processor(dialect, coltype)


def _without_zone(value: datetime | None) -> datetime | None:
    if value is None or value.tzinfo is None:
        return value
    return (value if value.tzinfo is UTC else value.astimezone(UTC)).replace(tzinfo=None)


def _in_utc(value: datetime | None) -> datetime | None:
    return value if value is None else value.replace(tzinfo=UTC)


class Code(TypeDecorator[str]):
    """A record's number or a client id: in capitals, compared by code point on both databases.

    MariaDB's usual collation treats É as E and a as A, so that one code would match another.
    """

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        """VARCHAR; on MariaDB with a binary collation."""
        impl: Any = self.impl
        exact = mysql.VARCHAR(impl.length, collation="utf8mb4_bin")
        return dialect.type_descriptor(impl if dialect.name == "sqlite" else exact)

    @property
    def python_type(self) -> type[str]:
        """The type of the values: str."""
        return str

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """The value in capitals, both for storing and comparing."""
        return value.upper() if isinstance(value, str) else value


class Record(Model):  # type: ignore[misc]
    """A row that a user or a job creates; a null author is the system."""

    __abstract__ = True

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    #: When the row was created, UTC.
    created_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    #: When the row was last changed, UTC.
    changed_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)

    @declared_attr
    def created_by_id(cls) -> Mapped[int | None]:
        """The user who created the row; null = the system."""
        return mapped_column(ForeignKey("ab_user.id"))

    @declared_attr
    def changed_by_id(cls) -> Mapped[int | None]:
        """The user who changed the row last; null = the system."""
        return mapped_column(ForeignKey("ab_user.id"))

    def stamp(self, stamp: Stamp) -> None:
        """Set who changed the record and when, and who created it if it is new."""
        if self.created_on is None:
            self.created_on, self.created_by_id = stamp.now, stamp.by
        self.changed_on, self.changed_by_id = stamp.now, stamp.by


class Versioned:
    """A record that users edit: saving a stale version is refused and overwrites nothing."""

    #: The number of saves; every UPDATE compares it, so a stale save changes no row.
    version: Mapped[int] = mapped_column(Integer, nullable=False, default=1)

    @declared_attr.directive
    def __mapper_args__(cls) -> dict[str, Any]:
        return {"version_id_col": cls.version}


class NumberSeries(Model):  # type: ignore[misc]
    """The last number issued per kind and year; the row lock serialises concurrent requests."""

    __tablename__ = "number_series"
    __table_args__ = (UniqueConstraint("kind", "year"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    #: LEAD, CUST, TICKET, COMPLAINT or CAR.
    kind: Mapped[str] = mapped_column(String(16), nullable=False)
    year: Mapped[int] = mapped_column(Integer, nullable=False)
    last: Mapped[int] = mapped_column(Integer, nullable=False, default=0)


#: Kind -> prefix of its numbers.
NUMBER_PREFIXES = {
    "LEAD": "CRM-LEAD",
    "CUST": "CRM-CUST",
    "TICKET": "CRM-TICKET",
    "COMPLAINT": "CRM-COMPLAINT",
    "CAR": "CAR",
}


def kind_of_number(number: str) -> str | None:
    """LEAD, CUST, TICKET, COMPLAINT or CAR for a record's number in upper or lower case; None for any other text."""
    text = number.upper()
    return next((kind for kind, prefix in NUMBER_PREFIXES.items() if text.startswith(f"{prefix}-")), None)


#: Rows of `number_series` that are only locked; their `year` is the slot.
_HELD, _SLOTS = "HELD", 512


def hold_name(session: Session, name: str) -> None:
    """Lock this name until the transaction ends; other transactions that lock it wait, and then see its changes.

    For values that must be unique across rows or tables, where a unique key isn't possible. SQLite has one writer
    anyway.
    """
    if session.get_bind().dialect.name == "sqlite":
        return
    slot = zlib.crc32(name.encode()) % _SLOTS  # names that share a slot only wait for each other
    row = mysql.insert(NumberSeries).values(kind=_HELD, year=slot, last=0)
    session.execute(row.on_duplicate_key_update(last=NumberSeries.last + 1))


def never_reuse_ids() -> None:
    """SQLite: create tables with AUTOINCREMENT, so that no row gets the id of a deleted one, as on MariaDB."""
    for table in Model.metadata.tables.values():
        keys = list(table.primary_key.columns)
        if len(keys) == 1 and isinstance(keys[0].type, Integer):
            table.dialect_options["sqlite"]["autoincrement"] = True


def remove_sequence_defaults() -> None:
    """Remove FAB's Sequence defaults: MariaDB would use sequences that Alembic never created."""
    for table in Model.metadata.tables.values():
        for column in table.columns:
            if isinstance(column.default, Sequence):
                column.default = None


def refuse_stale(record: Any, version: int | None) -> None:
    """Raise Conflict if the user edited another version than the one loaded; None skips the check."""
    if version is not None and record.version != version:
        raise Conflict("Someone else changed this record. Your changes are still here: review theirs, then save again.")
