"""Ids that are never reused, codes compared exactly, and text in one Unicode form.

- SQLite: every table becomes AUTOINCREMENT, by `migrations/env.py` after each step (app/ops/database/sqlite_ids.py).
  Here the ids that are still remembered - by Idempotency-Keys and by timelines of deleted records - count as used.
- MariaDB: numbers and client ids get a binary collation; referral codes are stored in capitals on both databases.
- Text that people typed is composed (NFC), and control characters in it become spaces. Client ids that are not A-Z and
  0-9 are listed in the log, for only a person can say what is right.
"""

import logging
import re
import unicodedata

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

log = logging.getLogger("alembic.runtime.migration")

#: table -> (column, length, nullable) of codes.
CODES = {
    "leads": (("number", 24, False), ("client_id", 40, True), ("referral", 40, True)),
    "ticket": (("number", 24, False),),
    "customer": (("number", 24, False), ("referral_code", 40, True), ("referred_by", 40, True)),
    "customer_account": (("client_id", 40, False),),
    "assignment_request": (("number", 24, False),),
}
#: table -> columns with one line; columns with several.
TEXTS = {
    "ab_user": (("first_name", "last_name"), ()),
    "account_type": (("label",), ()),
    "api_key": (("name",), ()),
    "assignment_request": ((), ("reason", "decision_note")),
    "call_log": ((), ("outcome",)),
    "customer": (("first_name", "last_name", "email", "mobile", "alternative_mobile"), ("address",)),
    "holiday": (("label",), ()),
    "lead_source": (("label",), ()),
    "lead_status": (("label",), ()),
    "leads": (
        ("first_name", "last_name", "email", "mobile", "alternative_mobile", "pod_id"),
        ("address", "description", "rejection_reason"),
    ),
    "message": (("peer", "subject"), ("body",)),
    "message_template": (("label",), ("body",)),
    "support_page": (("label",), ("description",)),
    "task": (("title",), ("description",)),
    "ticket": (("title",), ("description", "resolution")),
    "ticket_status": (("label",), ()),
    "ticket_subject": (("label",), ("description",)),
    "webhook": (("name",), ()),
}
#: Tables whose rows Idempotency-Keys and timelines remember by id.
REMEMBERED = (
    "leads",
    "ticket",
    "customer",
    "task",
    "call_log",
    "activity",
    "message",
    "assignment_request",
)


def upgrade() -> None:
    bind = op.get_bind()
    _capitals(bind)
    if bind.dialect.name == "sqlite":
        _skip_remembered_ids(bind)
    else:
        _compare_exactly()
    for name, (single, several) in TEXTS.items():
        _normalise(bind, name, single, several)
    _list_client_ids(bind)


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        return  # ids stay unused
    for table, columns in CODES.items():
        for name, length, nullable in columns:
            op.alter_column(table, name, type_=sa.String(length), existing_nullable=nullable)


def _capitals(bind: sa.Connection) -> None:
    for table, columns in CODES.items():
        for name, _length, nullable in columns:
            if nullable:
                code = sa.column(name)
                op.execute(sa.table(table, code).update().where(code.is_not(None)).values({name: sa.func.upper(code)}))


def _compare_exactly() -> None:
    for table, columns in CODES.items():
        for name, length, nullable in columns:
            exact = mysql.VARCHAR(length, collation="utf8mb4_bin")
            op.alter_column(table, name, type_=exact, existing_type=sa.String(length), existing_nullable=nullable)


def _skip_remembered_ids(bind: sa.Connection) -> None:
    """Count ids as used that a kept answer or a timeline still names, although their rows are gone."""
    from app.ops.database.sqlite_ids import never_reuse

    top = bind.exec_driver_sql(
        "SELECT max(coalesce((SELECT max(record_id) FROM kept_answer), 0),"
        " coalesce((SELECT max(record_id) FROM activity), 0))"
    ).scalar()
    never_reuse(bind, dict.fromkeys(REMEMBERED, int(top or 0)))


def _normalise(bind: sa.Connection, name: str, single: tuple[str, ...], several: tuple[str, ...]) -> None:
    names = (*single, *several)
    table = sa.table(name, sa.column("id"), *(sa.column(each) for each in names))
    suspect = sa.or_(*[_is_suspect(bind, table.c[each], each in single) for each in names])
    changed, last = 0, 0
    while rows := bind.execute(
        sa.select(table).where(table.c.id > last, suspect).order_by(table.c.id).limit(500)
    ).all():
        last = rows[-1].id
        for row in rows:
            values = {each: _stored(getattr(row, each), each in several) for each in names}
            differing = {each: value for each, value in values.items() if value != getattr(row, each)}
            if differing:
                changed += _update(bind, table, row.id, differing)
    if changed:
        log.warning("%s: text of %s rows normalised (composed Unicode, no control characters)", name, changed)


def _update(bind: sa.Connection, table: sa.TableClause, key: int, values: dict[str, str]) -> int:
    try:
        with bind.begin_nested():
            bind.execute(table.update().where(table.c.id == key).values(values))
    except sa.exc.IntegrityError:
        log.warning("%s %s: %s would equal another row and stays as it is", table.name, key, ", ".join(values))
        return 0
    return 1


def _is_suspect(bind: sa.Connection, column: sa.ColumnElement[str], is_single: bool) -> sa.ColumnElement[bool]:
    """Whether it has letters beyond ASCII, or a control character (in one line also a line break)."""
    if bind.dialect.name == "sqlite":
        unusual = sa.func.length(sa.cast(column, sa.LargeBinary)) != sa.func.length(column)
        control = column.op("GLOB")("*[" + "".join(map(chr, range(1, 32))) + "]*" if is_single else "*[\r\t]*")
    else:
        unusual = sa.func.length(column) != sa.func.char_length(column)
        control = column.op("REGEXP")("[[:cntrl:]]" if is_single else "[\r\t]")
    return sa.or_(unusual, control)


def _stored(value: str | None, has_lines: bool) -> str | None:
    if value is None:
        return None
    text = unicodedata.normalize("NFC", value.replace("\r\n", "\n"))
    kept = "\n" if has_lines else ""
    return "".join(" " if unicodedata.category(char) == "Cc" and char not in kept else char for char in text)


def _list_client_ids(bind: sa.Connection) -> None:
    for name in ("leads", "customer_account"):
        table = sa.table(name, sa.column("id"), sa.column("client_id"))
        rows = bind.execute(sa.select(table).where(table.c.client_id.is_not(None)))
        wrong = [f"{row.id} ({row.client_id!r})" for row in rows if not re.fullmatch("[A-Z0-9]+", row.client_id)]
        if wrong:
            log.warning("%s with client ids that are not A-Z and 0-9; please correct: %s", name, ", ".join(wrong[:200]))
