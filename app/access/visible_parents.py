"""The rules for rows of one record that the person sees, without checking that record again.

Most rules end in "or of a lead, ticket or customer that the person sees". If a statement reads the rows of one record
only, and that record has just been read under its own rule, this part is true. Leaving it out gives the same rows, and
MariaDB takes longer to plan the whole rule than to read them.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, false, true

from app.access.person import Person
from app.access.row_rules import RULES, closed_kinds, has_added_timelines, visible
from app.models import Activity, CallLog, Lead, Message, MessageFile, Task, Ticket

#: Record -> module of its rows.
_MODULES = {Task: "Tasks", CallLog: "Call Logs", Message: "Messages", MessageFile: "Messages"}
#: Kind of a record -> the record, its module; an entry of a customer is seen only with the nearest of its records.
_PARENTS = {"lead": (Lead, "Leads"), "ticket": (Ticket, "Tickets")}
#: The product's own rules; an add-on may have replaced one of them.
_OWN = {record: RULES[record] for record in (*_MODULES, Activity, Lead, Ticket)}


def visible_under_parent(person: Person, record: Any, parent: str | None) -> ColumnElement[bool]:
    """`visible` for a statement whose rows of this record all belong to one lead or ticket that the person sees.

    `parent`: the kind of that record; for None, or any other kind, the whole rule is returned.
    """
    if parent not in _PARENTS or not _is_settled(person, record, *_PARENTS[parent]):
        return visible(person, record)
    if record in _MODULES:
        return true() if person.may(_MODULES[record], "read") else false()
    closed = closed_kinds(person)
    return Activity.kind.not_in(closed) if closed else true()


def _is_settled(person: Person, record: Any, parent: Any, module: str) -> bool:
    """Whether everyone who sees the parent sees its rows of this record, if they may read these at all."""
    if record not in (*_MODULES, Activity) or not person.may(module, "read"):
        return False
    if record is Activity and has_added_timelines():
        return False
    return all(RULES.get(each) is _OWN[each] for each in (record, parent))
