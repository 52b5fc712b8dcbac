"""The statements of My day, built once because they are the same for everybody; the session adds the access rules.

`own`: ids of the viewer and of those they cover for, see `values_of`; `most`: rows to show. The column `total` is the
number of all matching rows, up to the cap.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Select, and_, bindparam, case, func, select, union, union_all

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
def own_tasks(is_late: bool, people: int) -> PreparedQuery:
    """Open tasks due before `now`, or from `now` on and before `end`; the most urgent first.

    `people`: the number of ids in `own`. The first tasks of each of them and each status are a range of an index.
    """
    late = Task.due_on < bindparam("now")
    rule = late if is_late else and_(Task.due_on >= bindparam("now"), Task.due_on < bindparam("end"))
    total = capped_total(Task, _own(Task), Task.status.in_(OPEN), rule)
    ways = [
        select(_first_by(Task, Task.due_on, person, rule, Task.status == status, after=("status",)))
        for person in _each_of(people)
        for status in OPEN
    ]
    first = union_all(*ways).subquery()
    page = select(first.c.id).order_by(first.c.due_on, first.c.id).limit(bindparam("most")).subquery("page")
    query = with_records(total).join(page, page.c.id == Task.id).order_by(Task.due_on, Task.id)
    return PreparedQuery.of(query, Task, Lead, Ticket, Customer)


def _each_of(people: int) -> list[Any]:
    """A parameter for each of `own`, as named by `values_of`."""
    return [bindparam(f"own_{place}") for place in range(people)]


def values_of(own: list[int]) -> dict[str, Any]:
    """The values of the parameters for these people."""
    return {"own": own} | {f"own_{place}": key for place, key in enumerate(own)}


def _first_by(record: Any, column: Any, person: Any, *rules: Any, most: Any = None, after: tuple[str, ...] = ()) -> Any:
    """The id and this time of somebody's first rows by it, read in the order of an index.

    `after`: the columns between the person and the time in that index.
    """
    index = access.index_of(record, "assignee_id", *after, column.key)
    query = select(record.id, column).where(record.assignee_id == person, *rules).order_by(column, record.id)
    query = query.limit(bindparam("most") if most is None else most)
    return query.with_hint(record, f"FORCE INDEX ({index})", "mysql").subquery()


# --- leads and tickets


@lru_cache
def own_records(record: Any) -> PreparedQuery:
    """Leads or tickets with one of the `statuses`, newest first."""
    rules = (_own(record), record.status_id.in_(bindparam("statuses", expanding=True)))
    query = _with_customer(record, record.created_on, capped_total(record, *rules)).where(*rules)
    return PreparedQuery.of(query.order_by(record.id.desc()).limit(bindparam("most")), record, Customer)


@lru_cache
def records_due(record: Any, people: int) -> PreparedQuery:
    """Leads or tickets whose first response or resolution is due before `until`, the most urgent first.

    `people`: the number of ids in `own`. Whatever is among the first by the earlier of two times is among the first
    by one of them, so that each is read in the order of its index. Records that have ended have no due times.
    """
    until: Any = bindparam("until")
    is_open = (record.status_id.in_(bindparam("statuses", expanding=True)), record.paused_on.is_(None))

    def ways(most: Any) -> Any:
        parts = [
            select(_first_by(record, column, person, column < until, *is_open, most=most).c.id)
            for person in _each_of(people)
            for column in (record.reply_due_on, record.resolve_due_on)
        ]
        return union(*parts).subquery()

    counted = ways(COUNT_CAP + 1)
    total = select(func.count()).select_from(counted).scalar_subquery().label("total")
    first, due = ways(bindparam("most")), _due_first(record)
    query = _with_customer(record, record.reply_due_on, due, total).join(first, first.c.id == record.id)
    return PreparedQuery.of(query.order_by(due, record.id).limit(bindparam("most")), record, Customer)


def _with_customer(record: Any, *columns: Any) -> Select[Any]:
    own = (Lead.number, *PERSON) if record is Lead else (Ticket.number, Ticket.title, *_CALLER)
    query = select(*own, record.assignee_id, *columns).select_from(record)
    return query.outerjoin(Customer, Customer.id == record.customer_id)


def _due_first(record: Any) -> Any:
    """The earlier of the two due times."""
    reply, resolve = record.reply_due_on, record.resolve_due_on
    first = case((reply.is_(None), resolve), (resolve.is_(None), reply), (reply < resolve, reply), else_=resolve)
    return first.label("owed_on")
