"""The session finds every table of a statement, wherever it stands, to add the access rules of its rows."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import delete, exists, func, select, union, update
from sqlalchemy.orm import aliased

from app.access.session_filter import _tables_in
from app.models import Assignment, CallLog, Customer, Lead, Task, Ticket

_given: Any = Assignment.__table__.alias("given")
_leads = select(Lead.id, Lead.owner_id).subquery()
_newest = select(Ticket.id).order_by(Ticket.id.desc()).limit(3).cte("newest")
_number: Any = select(func.count(CallLog.id)).where(CallLog.lead_id == Lead.id).scalar_subquery()


@pytest.mark.parametrize(
    "statement, tables",
    [
        (select(func.count()), set()),
        (select(Lead), {"leads"}),
        (select(Lead.id + 1), {"leads"}),
        (select(aliased(Lead)), {"leads"}),
        (select(Task).join(Lead, Lead.id == Task.lead_id), {"task", "leads"}),
        (select(func.count()).select_from(Task).where(Task.lead_id.in_([1, 2])), {"task"}),
        (select(Task.id).where(Task.lead_id.in_(select(_given.c.lead_id))), {"task", "assignment"}),
        (select(Lead.id).where(exists().where(_given.c.lead_id == Lead.id).correlate(Lead)), {"leads", "assignment"}),
        (
            select(_leads.c.id, _leads.c.owner_id).join(Customer, Customer.owner_id == _leads.c.owner_id),
            {"leads", "customer"},
        ),
        (select(Lead.id, _number.label("calls")), {"leads", "call_log"}),
        (select(Lead.id).order_by(_number), {"leads", "call_log"}),
        (select(Task.id).where(Task.ticket_id.in_(select(_newest.c.id))), {"task", "ticket"}),
        (union(select(Lead.id), select(Ticket.id).where(Ticket.customer_id == 1)), {"leads", "ticket"}),
        (update(Lead).where(Lead.id.in_(select(Task.lead_id))).values(owner_id=1), {"leads", "task"}),
        (update(Lead).values(owner_id=select(func.max(Ticket.owner_id)).scalar_subquery()), {"leads", "ticket"}),
        (delete(Task).where(Task.lead_id.in_(select(Lead.id))), {"task", "leads"}),
    ],
)
def test_every_table_of_a_statement_is_found(statement: Any, tables: set[str]) -> None:
    assert _tables_in(statement) == tables
