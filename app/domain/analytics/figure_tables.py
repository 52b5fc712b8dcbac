"""Tables of figures: what each person has done, and who refers whom. A few grouped statements each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import case, distinct, func, or_, select, true
from sqlalchemy.orm import Session

from app.domain.analytics import call_rollup_counts, record_person_counts
from app.domain.analytics.figure_counts import when
from app.domain.analytics.figures import FIGURES, CountScope
from app.domain.assignment import Assignment
from app.domain.customers import Customer, CustomerAccount
from app.domain.leads import Lead
from app.domain.tasks import Task
from app.domain.telephony.calls import CallLog
from app.domain.tickets import Ticket

#: Most rows of a table of referrals.
MAX_REFERRALS = 50
#: User id -> column -> value.
ByPerson = dict[int, dict[str, int]]


def by_person(session: Session, scope: CountScope, records: Iterable[Any]) -> ByPerson:
    """What each person has done in the period with records of these kinds; one or two statements per kind."""
    found: ByPerson = {}
    for record in records:
        for query, names in _QUERIES[record](scope):
            for key, *values in _rows_of(session, query, names, scope):
                if key is not None and (scope.people is None or key in scope.people):
                    mine = found.setdefault(int(key), {})
                    mine |= {name: int(each or 0) for name, each in zip(names, values, strict=True)}
    return found


def _rows_of(session: Session, query: Any, names: tuple[str, ...], scope: CountScope) -> Iterable[Any]:
    if call_rollup_counts.can_count(scope, names):
        return call_rollup_counts.by_person(session, names, scope)
    summed = record_person_counts.by_person(session, names, scope)
    return session.execute(query) if summed is None else summed


_Named = tuple[Any, tuple[str, ...]]


def _leads(scope: CountScope) -> list[_Named]:
    given: Any = Assignment.__table__.alias("given")
    parts = {name: FIGURES[name].rule(scope) for name in ("leads_contacted", "leads_converted")}  # type: ignore[misc]
    counts = [func.count(distinct(Lead.id)), *[func.count(distinct(case((part, Lead.id)))) for part in parts.values()]]
    taken = select(given.c.user_id, *counts).select_from(Lead).join(given, given.c.lead_id == Lead.id)
    rules = [scope.period.contains(given.c.started_on)]
    if scope.people is not None:
        rules.append(given.c.user_id.in_(sorted(scope.people)))
    names = ("leads_taken", "leads_taken_contacted", "leads_taken_converted")
    replies = _grouped(Lead, Lead.assignee_id, scope, ("lead_reply_seconds", "leads_contacted"))
    return [(taken.where(*rules).group_by(given.c.user_id), names), replies]


def _grouped(record: Any, column: Any, scope: CountScope, names: tuple[str, ...]) -> _Named:
    """These figures of the record by a column with user ids, in one statement."""
    parts = [func.sum(when(FIGURES[name].condition(scope), FIGURES[name].value)) for name in names]
    ranges = {FIGURES[name].at: FIGURES[name].when(scope) for name in names}
    people = true() if scope.people is None else column.in_(sorted(scope.people))
    query = select(column, *parts).select_from(record).where(or_(*ranges.values()), people).group_by(column)
    return query, names


def _tickets(scope: CountScope) -> list[_Named]:
    names = ("tickets", "tickets_ended", "tickets_answered", "ticket_reply_seconds")
    return [_grouped(Ticket, Ticket.assignee_id, scope, names)]


def _tasks(scope: CountScope) -> list[_Named]:
    # Two statements: MariaDB reads all tasks to find those that were done in the period or are overdue now.
    done = _grouped(Task, Task.assignee_id, scope, ("tasks_done", "tasks_done_late"))
    return [done, _grouped(Task, Task.assignee_id, scope, ("tasks_overdue",))]


def _calls(scope: CountScope) -> list[_Named]:
    return [_grouped(CallLog, CallLog.employee_id, scope, ("calls", "talk_seconds"))]


_QUERIES: dict[Any, Any] = {Lead: _leads, Ticket: _tickets, Task: _tasks, CallLog: _calls}


# --- referrals


def referrals(session: Session, scope: CountScope) -> list[dict[str, Any]]:
    """[{code, leads, converted, customer_id, number, name, is_account}], the most first; each lead counts once.

    A code is the client ID of an account, or else the referral code of a customer; of several with the same code, the
    oldest. customer_id is None if the person sees nobody with this code.
    """
    count = func.count()
    converted = func.sum(when(FIGURES["leads_converted"].rule(scope)))  # type: ignore[misc]
    query = select(Lead.referral, count, converted).where(FIGURES["leads_referred"].rows(scope))
    found = session.execute(query.group_by(Lead.referral).order_by(count.desc(), Lead.referral).limit(MAX_REFERRALS))
    rows = [{"code": code, "leads": int(n), "converted": int(won or 0)} for code, n, won in found]
    owners = _owners(session, [row["code"] for row in rows])
    return [row | owners.get(row["code"], _NOBODY) for row in rows]


_NOBODY = {"customer_id": None, "number": None, "name": None, "is_account": False}


def _owners(session: Session, codes: list[str]) -> dict[str, dict[str, Any]]:
    """Code -> its customer, as far as the person sees them."""
    if not codes:
        return {}
    shown = (Customer.id, Customer.number, Customer.first_name, Customer.last_name)
    by_account = select(CustomerAccount.client_id, *shown).join(Customer, Customer.id == CustomerAccount.customer_id)
    owners = {
        row[0]: _owner(row, True) for row in session.execute(by_account.where(CustomerAccount.client_id.in_(codes)))
    }
    rest = [code for code in codes if code not in owners]
    if rest:
        by_code = select(Customer.referral_code, *shown).where(Customer.referral_code.in_(rest)).order_by(Customer.id)
        for row in session.execute(by_code):
            owners.setdefault(str(row[0]), _owner(row, False))
    return owners


def _owner(row: Any, is_account: bool) -> dict[str, Any]:
    _code, key, number, first, last = row
    name = " ".join(part for part in (first, last) if part)
    return {"customer_id": key, "number": number, "name": name or number, "is_account": is_account}
