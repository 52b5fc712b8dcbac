"""Exact numbers of calls and messages that a person sees, read from indexes alone."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, func, select, union

from app.access.paging.fast_paging import has_few
from app.access.paging.reach_branches import branches_through_others, own_branches
from app.access.person import Person
from app.models import CallLog, Message


def exact_count(person: Person, record: Any) -> Select[Any] | None:
    """How many rows the person sees; None if the access rule has no such form.

    The ids of all ways in which the person reaches rows are joined. To leave out one's own of those that are reached
    through others, as counts with a cap do, would read each row: hundreds of thousands all over a large table.
    """
    if record not in (CallLog, Message) or not has_few(person, record):
        return None
    ways = [*own_branches(person, record), *branches_through_others(person, record)]
    return select(func.count()).select_from(union(*ways).subquery("ways"))
