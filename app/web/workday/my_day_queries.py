"""The statements of My day: one finds the ids of all its rows, then one for each kind of record reads what they show.

Most sections of most people are empty, and whether a row is one's own needs no other table. So the first statement is
short, and what rows show is looked up for few ids. Rows of the registers of compliance are few; it reads them whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from typing import Any

from sqlalchemy import Select, and_, bindparam, case, func, literal, select, true, union, union_all

from app import access
from app.domain.tasks import ACTIVE, OPEN, Task
from app.extensions import db
from app.models import AssignmentRequest, Customer, Lead, Ticket
from app.web.core.queries.prepared_queries import PreparedQuery
from app.web.workday import assignment_requests
from app.web.workday import compliance_day_queries as compliance

#: Rows of a section that are counted. More than that are nobody's work of a day: the list behind a section counts on.
MAX_COUNTED = 100
#: The person of a record: the customer's data take precedence over the lead's own.
_PERSON = (
    func.coalesce(Customer.first_name, Lead.first_name).label("first"),
    func.coalesce(Customer.last_name, Lead.last_name).label("last"),
    func.coalesce(Customer.mobile_e164, Customer.mobile, Lead.mobile_e164, Lead.mobile).label("phone"),
    Customer.no_calls.label("no_calls"),
)
#: The customer of a ticket, else whoever it came from; of an erased one, whoever complained.
_CALLER = (
    func.coalesce(Customer.first_name, Ticket.first_name).label("first"),
    func.coalesce(case((Customer.first_name.is_(None), Ticket.last_name)), Customer.last_name).label("last"),
    func.coalesce(Customer.mobile_e164, Customer.mobile).label("phone"),
    Customer.no_calls.label("no_calls"),
)


@dataclass(frozen=True)
class DayQuestion:
    """What a page of My day asks for; with the rights of its reader, it determines the statement of the ids."""

    #: Ids of the viewer and of those they cover for.
    own: tuple[int, ...]
    #: Rows of a section.
    limit: int
    #: Ids of the statuses by section; a section that the person may not read is missing.
    statuses: tuple[tuple[str, tuple[int, ...]], ...]
    #: The sections of the registers of compliance that the person may see.
    registers: tuple[str, ...] = ()


@dataclass(frozen=True)
class DayRows:
    """The rows of all sections, in their order, and the number of all rows of each: above MAX_COUNTED, if more."""

    rows: dict[str, list[Any]]
    totals: dict[str, int]


def load(person: access.Person, asked: DayQuestion, times: dict[str, datetime]) -> DayRows:
    """The rows of all sections.

    `times`: `now`; `soon`, until when tasks are due soon; `end`, until when they are shown; `until`, before which SLA
    clocks are due; those of the registers, if any are asked for (compliance_day_queries).
    """
    ids, rows, totals = _found_ids(person, asked, times)
    for kind in _KINDS:
        names = [name for name in kind.order if name in ids]
        wanted = sorted({key for name in names for key in ids[name]})
        read = {row.id: row for row in kind.query().of_ids(db.session(), kind.record, wanted)} if wanted else {}
        for name in names:
            found = sorted((read[key] for key in ids[name] if key in read), key=kind.order[name])
            rows[name] = found[: asked.limit]
    return DayRows(rows, totals)


# --- the ids

#: The sections, by the number that the statement gives them.
_NAMES = (
    *("overdue", "soon", "later", "new-leads", "new-tickets", "sla-leads", "sla-tickets", "requests", "nobody"),
    *("breaches", "complaints", "data-requests", "orders"),
)


def _found_ids(
    person: access.Person, asked: DayQuestion, times: dict[str, datetime]
) -> tuple[dict[str, list[int]], dict[str, list[Any]], dict[str, int]]:
    """(section -> ids of its rows, register -> its rows, section -> number of all); those without rows are missing."""
    question = access.CachedStatement(("my day", asked), partial(_statement, person, asked), _guarded(person, asked))
    ids: dict[str, list[int]] = {}
    rows: dict[str, list[Any]] = {}
    totals: dict[str, int] = {}
    for part, key, total, *shown in access.answer(db.session(), question, times):
        name = _NAMES[part]
        totals[name] = total
        if name in asked.registers:
            rows.setdefault(name, []).append(compliance.RegisterRow(key, *shown))
        else:
            ids.setdefault(name, []).append(key)
    return ids, rows, totals


def _guarded(person: access.Person, asked: DayQuestion) -> frozenset[str]:
    """The tables whose rules the session adds: not those of which the person sees all own rows anyway.

    Whatever is found is read under all rules: a mistake here could only count rows that nobody is shown.
    """
    own = [record for record in (Task, Lead, Ticket) if not access.sees_own(person, record)]
    named = frozenset(each.__tablename__ for each in (AssignmentRequest, *own))
    return named | compliance.tables_of(asked.registers)


def _statement(person: access.Person, asked: DayQuestion) -> Any:
    """SELECT (number of the section, id, number of all rows of the section); with registers, what their rows show."""
    branches = list(_branches(person, asked))
    if asked.registers:
        branches = [each.add_columns(*compliance.no_columns()) for each in branches]
    for name in asked.registers:
        page, counted = compliance.first_and_all(name, asked.limit, MAX_COUNTED + 1)
        branches.append(_branch(name, page, counted).add_columns(*compliance.columns_of(page)))
    return union_all(*branches)


def _branches(person: access.Person, asked: DayQuestion) -> Iterator[Any]:
    now: Any = bindparam("now")
    soon: Any = bindparam("soon")
    end: Any = bindparam("end")
    yield _branch("overdue", *_own_tasks(asked, Task.due_on < now, by_status=True))
    yield _branch("soon", *_own_tasks(asked, and_(Task.due_on >= now, Task.due_on < soon)))
    yield _branch("later", *_own_tasks(asked, and_(Task.due_on >= soon, Task.due_on < end)))
    for name, statuses in asked.statuses:
        record = Lead if name.endswith("leads") else Ticket
        make = _due_records if name.startswith("sla") else _new_records
        yield _branch(name, *make(record, asked, statuses))
    if person.may("Requests", "write"):
        yield _branch("requests", *_waiting(person, asked))
    if person.is_manager and person.may("Tasks", "read"):
        yield _branch("nobody", *_exhausted(person, asked))


def _branch(name: str, page: Any, counted: Any) -> Select[Any]:
    """`page`: a subquery of the ids; `counted`: one of all rows up to the cap."""
    total = select(func.count()).select_from(counted).scalar_subquery()
    return select(literal(_NAMES.index(name)).label("part"), page.c.id, total.label("total"))


def _first_and_all(record: Any, rules: Sequence[Any], limit: int, *order: Any) -> tuple[Any, Any]:
    return select(record.id).where(*rules).order_by(*order).limit(limit).subquery(), _counted(record, *rules)


def _counted(record: Any, *rules: Any) -> Any:
    return select(record.id).where(*rules).limit(MAX_COUNTED + 1).subquery()


def _own_tasks(asked: DayQuestion, due: Any, *, by_status: bool = False) -> tuple[Any, Any]:
    """Open tasks by this rule of their due time; the first ones of each person are a range of an index.

    `by_status`: those of each status are, because most tasks with such due times are done.
    """
    first = partial(_first_by, Task, Task.due_on, most=asked.limit)
    if by_status:
        ways = [first(person, due, Task.status == status, after=("status",)) for person in asked.own for status in OPEN]
    else:
        ways = [first(person, due, Task.status.in_(OPEN)) for person in asked.own]
    page = ways[0]
    if len(ways) > 1:
        found = union_all(*map(select, ways)).subquery()
        page = select(found.c.id).order_by(found.c.due_on, found.c.id).limit(asked.limit).subquery()
    return page, _counted(Task, Task.assignee_id.in_(asked.own), Task.status.in_(OPEN), due)


def _first_by(record: Any, column: Any, person: int, *rules: Any, most: int, after: tuple[str, ...] = ()) -> Any:
    """The id and this time of somebody's first rows by it, read in the order of an index.

    `after`: the columns between the person and the time in that index.
    """
    index = access.index_of(record, "assignee_id", *after, column.key)
    query = select(record.id, column).where(record.assignee_id == person, *rules).order_by(column, record.id)
    return query.limit(most).with_hint(record, f"FORCE INDEX ({index})", "mysql").subquery()


def _new_records(record: Any, asked: DayQuestion, statuses: tuple[int, ...]) -> tuple[Any, Any]:
    rules = (record.assignee_id.in_(asked.own), record.status_id.in_(statuses))
    return _first_and_all(record, rules, asked.limit, record.id.desc())


def _due_records(record: Any, asked: DayQuestion, statuses: tuple[int, ...]) -> tuple[Any, Any]:
    """Leads or tickets whose first response or resolution is due before `until`.

    Whatever is among the first by the earlier of two times is among the first by one of them, so that each is read in
    the order of its index. Records that have ended have no due times.
    """
    until: Any = bindparam("until")
    is_open = (record.status_id.in_(statuses), record.paused_on.is_(None))

    def ways(most: int) -> Any:
        parts = [
            select(_first_by(record, column, person, column < until, *is_open, most=most).c.id)
            for person in asked.own
            for column in (record.reply_due_on, record.resolve_due_on)
        ]
        return union(*parts).subquery()

    return ways(asked.limit), ways(MAX_COUNTED + 1)


def _waiting(person: access.Person, asked: DayQuestion) -> tuple[Any, Any]:
    rule = assignment_requests.waiting_condition(person)
    return _first_and_all(AssignmentRequest, (rule,), asked.limit, AssignmentRequest.id)


def _exhausted(person: access.Person, asked: DayQuestion) -> tuple[Any, Any]:
    reach = person.reach("Tasks")
    # "= 1": the database uses no index for IS TRUE.
    rules = [Task.exhausted == true(), Task.status.in_(ACTIVE), Task.assignee_id.not_in(asked.own)]
    if reach is not None:
        rules.append(Task.assignee_id.in_(sorted(reach)))
    return _first_and_all(Task, rules, asked.limit, Task.due_on, Task.id)


# --- what rows show


@lru_cache
def _tasks() -> PreparedQuery:
    """Tasks with their lead or ticket and its person."""
    own = (Task.id, Task.title, Task.due_on, Task.assignee_id, Task.lead_id, Task.ticket_id)
    query = select(*own, Lead.number.label("lead"), Ticket.number.label("ticket"), *_PERSON).select_from(Task)
    query = _with_parents(query, Task)
    return PreparedQuery.of(query, Task, Lead, Ticket, Customer)


@lru_cache
def _requests() -> PreparedQuery:
    names = ("id", "number", "reason", "created_on", "requested_user_id", "created_by_id")
    columns = [getattr(AssignmentRequest, name) for name in names]
    query = select(*columns, Lead.number.label("lead"), Ticket.number.label("ticket"), *_PERSON)
    query = _with_parents(query.select_from(AssignmentRequest), AssignmentRequest)
    return PreparedQuery.of(query, AssignmentRequest, Lead, Ticket, Customer)


def _with_parents(query: Any, row: Any) -> Any:
    query = query.outerjoin(Lead, Lead.id == row.lead_id).outerjoin(Ticket, Ticket.id == row.ticket_id)
    return query.outerjoin(Customer, Customer.id == func.coalesce(Lead.customer_id, Ticket.customer_id))


@lru_cache
def _records(record: Any) -> PreparedQuery:
    """Leads or tickets with their person."""
    own = (Lead.number, *_PERSON) if record is Lead else (Ticket.number, Ticket.title, *_CALLER)
    more = (record.assignee_id, record.created_on, record.reply_due_on, _due_first(record))
    query = select(record.id, *own, *more).select_from(record)
    return PreparedQuery.of(query.outerjoin(Customer, Customer.id == record.customer_id), record, Customer)


def _due_first(record: Any) -> Any:
    """The earlier of the two due times."""
    reply, resolve = record.reply_due_on, record.resolve_due_on
    first = case((reply.is_(None), resolve), (resolve.is_(None), reply), (reply < resolve, reply), else_=resolve)
    return first.label("owed_on")


def _by_due(row: Any) -> Any:
    return row.due_on, row.id


def _by_owed(row: Any) -> Any:
    return row.owed_on, row.id


def _newest(row: Any) -> Any:
    return -row.id


def _oldest(row: Any) -> Any:
    return row.id


@dataclass(frozen=True)
class _Kind:
    """A record whose rows are read by one statement for all its sections."""

    record: Any
    query: Callable[[], PreparedQuery]
    #: Section -> key of the order of its rows.
    order: dict[str, Callable[[Any], Any]]


_KINDS = (
    _Kind(Task, _tasks, dict.fromkeys(("overdue", "soon", "later", "nobody"), _by_due)),
    _Kind(Lead, partial(_records, Lead), {"new-leads": _newest, "sla-leads": _by_owed}),
    _Kind(Ticket, partial(_records, Ticket), {"new-tickets": _newest, "sla-tickets": _by_owed}),
    _Kind(AssignmentRequest, _requests, {"requests": _oldest}),
)
