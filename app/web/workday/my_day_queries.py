"""The statements of My day, built once because they are the same for everybody; the session adds the access rules.

`own`: ids of the viewer and of those they cover for; `most`: rows to show. The column `total` is the number of all
matching rows, up to the cap.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Select, and_, bindparam, case, func, or_, select
from sqlalchemy.sql.selectable import NamedFromClause

from app import access
from app.domain.tasks import OPEN, Task
from app.extensions import db
from app.models import Customer, Lead, Ticket
from app.web.core.queries.prepared_queries import PreparedQuery
from app.web.core.queries.record_table import COUNT_CAP

#: The person of a record: the customer's data take precedence over the lead's own.
PERSON = (
    func.coalesce(Customer.first_name, Lead.first_name).label("first"),
    func.coalesce(Customer.last_name, Lead.last_name).label("last"),
    func.coalesce(Customer.mobile_e164, Customer.mobile, Lead.mobile_e164, Lead.mobile).label("phone"),
    Customer.no_calls.label("no_calls"),
)
_CUSTOMER = (
    Customer.first_name.label("first"),
    Customer.last_name.label("last"),
    func.coalesce(Customer.mobile_e164, Customer.mobile).label("phone"),
    Customer.no_calls.label("no_calls"),
)
#: The customer of a ticket, else whoever it came from.
_CALLER = (
    func.coalesce(Customer.first_name, Ticket.first_name).label("first"),
    case((Customer.id.is_(None), Ticket.last_name), else_=Customer.last_name).label("last"),
    *_CUSTOMER[2:],
)


def rows_of(query: PreparedQuery, **values: Any) -> list[Any]:
    """The rows of a statement of this module.

    Times differ with each request; all other values make another statement.
    """
    moments = {name: value for name, value in values.items() if isinstance(value, datetime)}
    fixed = {name: value for name, value in values.items() if name not in moments}
    return query.ask(db.session(), fixed, moments)


#: Name of a statement of `compiled_rows` -> the type of its rows.
_rows: dict[str, Any] = {}


def compiled_rows(name: str, fixed: tuple[Any, ...], make: Callable[[], Any], *more: Any) -> list[Any]:
    """The rows of a statement that contains this person's rights, compiled for them.

    `name` and `fixed` identify it; `more`: its records besides those of PERSON and tasks.
    """
    if name not in _rows:
        _rows[name] = namedtuple("Row", make().selected_columns.keys())
    tables = frozenset(each.__tablename__ for each in (Task, Lead, Ticket, Customer, *more))
    question = access.CachedStatement((name, *fixed), make, tables)
    return [_rows[name](*values) for values in access.answer(db.session(), question, {})]


def capped_total(record: Any, *rules: Any) -> Any:
    """The number of matching rows, up to the cap, as a column of the same statement."""
    capped = select(record.id).where(*rules).limit(COUNT_CAP + 1).subquery()
    return select(func.count()).select_from(capped).scalar_subquery().label("total")


def _own(record: Any) -> Any:
    return record.assignee_id.in_(bindparam("own", expanding=True))


# --- tasks


def with_records(total: Any) -> Select[Any]:
    """Tasks with their lead or ticket and its person."""
    columns = (
        Task.id,
        Task.title,
        Task.due_on,
        Task.version,
        Task.assignee_id,
        Task.lead_id,
        Task.ticket_id,
        Lead.number.label("lead"),
        Ticket.number.label("ticket"),
        *PERSON,
        total,
    )
    query = select(*columns).select_from(Task).outerjoin(Lead, Lead.id == Task.lead_id)
    query = query.outerjoin(Ticket, Ticket.id == Task.ticket_id)
    query = query.outerjoin(Customer, Customer.id == func.coalesce(Lead.customer_id, Ticket.customer_id))
    return query


@lru_cache
def own_tasks(is_late: bool) -> PreparedQuery:
    """Open tasks due before `now`, or from `now` on and before `end`; the most urgent first."""
    late = Task.due_on < bindparam("now")
    rule = late if is_late else and_(Task.due_on >= bindparam("now"), Task.due_on < bindparam("end"))
    rules = (_own(Task), Task.status.in_(OPEN), rule)
    query = with_records(capped_total(Task, *rules)).where(*rules).order_by(Task.due_on, Task.id)
    return PreparedQuery.of(query.limit(bindparam("most")), Task, Lead, Ticket, Customer)


# --- leads and tickets


@lru_cache
def own_records(record: Any) -> PreparedQuery:
    """Leads or tickets with one of the `statuses`, newest first."""
    rules = (_own(record), record.status_id.in_(bindparam("statuses", expanding=True)))
    query = _with_customer(record, record.created_on, capped_total(record, *rules)).where(*rules)
    return PreparedQuery.of(query.order_by(record.id.desc()).limit(bindparam("most")), record, Customer)


@lru_cache
def records_due(record: Any) -> PreparedQuery:
    """Leads or tickets whose first response or resolution is due before `until`, the most urgent first.

    Their rows are read once: all of them are sorted anyway, so that counting them costs little more.
    """
    until: Any = bindparam("until")
    due = _due_first(record)
    is_near = or_(record.reply_due_on < until, record.resolve_due_on < until)
    rules = (_own(record), record.status_id.in_(bindparam("statuses", expanding=True)), record.paused_on.is_(None))
    page = select(record.id, due, func.count().over().label("total")).where(*rules, is_near)
    few: NamedFromClause = page.order_by(due, record.id).limit(bindparam("most")).subquery("owed")
    query = _with_customer(record, record.reply_due_on, few.c.owed_on, few.c.total)
    query = query.join(few, few.c.id == record.id).order_by(few.c.owed_on, record.id)
    return PreparedQuery.of(query, record, Customer)


def _with_customer(record: Any, *columns: Any) -> Select[Any]:
    own = (Lead.number, *PERSON) if record is Lead else (Ticket.number, Ticket.title, *_CALLER)
    query = select(*own, record.assignee_id, *columns).select_from(record)
    return query.outerjoin(Customer, Customer.id == record.customer_id)


def _due_first(record: Any) -> Any:
    """The earlier of the two due times."""
    reply, resolve = record.reply_due_on, record.resolve_due_on
    first = case((reply.is_(None), resolve), (resolve.is_(None), reply), (reply < resolve, reply), else_=resolve)
    return first.label("owed_on")
