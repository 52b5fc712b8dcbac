"""Exact numbers of calls, messages and timeline entries that a person sees, as far as possible from indexes alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Select, func, select, union

from app.access.paging.entry_pages import sees_few_records
from app.access.paging.fast_paging import has_few
from app.access.paging.index_branches import alias_of
from app.access.paging.reach_branches import branches_by_parent, branches_through_others, own_branches
from app.access.person import Person
from app.access.record_rules import is_nearest_to_customer
from app.access.row_rules import closed_kinds
from app.models import Activity, CallLog, Customer, Message


def exact_count(person: Person, record: Any) -> Select[Any] | None:
    """How many rows the person sees; None if the access rule has no such form.

    The ids of all ways in which the person reaches rows are joined. To leave out one's own of those that are reached
    through others, as counts with a cap do, would read each row: hundreds of thousands all over a large table.
    """
    if record is Activity and sees_few_records(person):
        ways = [*_ways_to_entries(person)]
    elif record in (CallLog, Message) and has_few(person, record):
        ways = [*own_branches(person, record), *branches_through_others(person, record)]
    else:
        return None
    return select(func.count()).select_from(union(*ways).subquery("ways"))


def _ways_to_entries(person: Person) -> Iterator[Select[Any]]:
    """All entries of the leads and tickets; of the customers, those without a nearer record, which have to be read."""
    row, closed = alias_of(Activity)[0], closed_kinds(person)
    rules = [row.kind.not_in(closed)] if closed else []
    for parent, branches in branches_by_parent(person, Activity):
        of_parent = [is_nearest_to_customer(row)] if parent is Customer else []
        for branch in branches:
            yield branch.where(*of_parent, *rules)
