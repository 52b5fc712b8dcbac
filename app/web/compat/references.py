"""Fields that only the predecessor's documents have: what a row is about, a note's title, a notice's kind and state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, and_, false, not_, or_

from app.domain.base import RuleBroken
from app.models import Customer, Lead, Ticket
from app.web.core.fields import Field, Viewer, few
from app.web.core.reference_fields import find_record


@dataclass(frozen=True)
class ReferenceTarget:
    """A kind of record that another row can be about."""

    doctype: str
    record: Any
    #: The column of the other row.
    column: str
    #: What our desks call it.
    field: str
    #: How its numbers begin.
    prefix: str


LEAD = ReferenceTarget("CRM Lead", Lead, "lead_id", "lead", "CRM-LEAD-")
TICKET = ReferenceTarget("CRM Ticket", Ticket, "ticket_id", "ticket", "CRM-TICKET-")
CUSTOMER = ReferenceTarget("CRM Customer", Customer, "customer_id", "customer", "CRM-CUST-")
REFERENCE_TARGETS = {each.doctype: each for each in (LEAD, TICKET, CUSTOMER)}


def target_of_number(number: str) -> ReferenceTarget | None:
    """What kind of record has this number."""
    return next((each for each in REFERENCE_TARGETS.values() if number.upper().startswith(each.prefix)), None)


class _ReferenceField(Field):
    """Selects the numbers of the records that a row may be about, nearest first; null where they are not seen."""

    def __init__(self, name: str, row: Any, places: tuple[ReferenceTarget, ...], **flags: Any) -> None:
        super().__init__(name, name, tuple(place.record.number for place in places), filter=True, **flags)
        self.row, self.places, self.operators = row, places, ("eq", "neq", "in", "null")

    def where(self, op: str, raw: Any, viewer: Viewer) -> ColumnElement[bool]:
        """By the column of the row itself, which has an index."""
        if op == "null":
            none = and_(*[getattr(self.row, place.column).is_(None) for place in self.places])
            return not_(none) if raw is False else none
        if op not in self.operators:
            raise RuleBroken(_("“%(name)s” can't be filtered with “%(op)s”.", name=self.name, op=op), self.name)
        values = few(raw if isinstance(raw, list) else [raw], self.name)
        found = or_(false(), *[self._equals(str(each)) for each in values])
        return not_(found) if op == "neq" else found

    def _equals(self, text: str) -> ColumnElement[bool]:
        raise NotImplementedError


class ReferenceDocTypeField(_ReferenceField):
    """reference_doctype."""

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """CRM Lead, CRM Ticket, CRM Customer or null."""
        pairs = zip(self.places, values, strict=True)
        return next((place.doctype for place, number in pairs if number is not None), None)

    def _equals(self, text: str) -> ColumnElement[bool]:
        found = [place for place in self.places if place.doctype == text]
        return getattr(self.row, found[0].column).is_not(None) if found else false()


class ReferenceNameField(_ReferenceField):
    """reference_docname."""

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The number."""
        return next((number for number in values if number is not None), None)

    def _equals(self, text: str) -> ColumnElement[bool]:
        place = target_of_number(text)
        key = find_record(place.record, text) if place in self.places and place is not None else None
        return getattr(self.row, place.column) == key if key is not None and place is not None else false()


# --- notes


def split_note(payload: dict[str, Any] | None) -> tuple[str, str]:
    """The predecessor's notes had a title: the first line, where more lines follow."""
    text = str((payload or {}).get("text") or "")
    head, _sep, rest = text.partition("\n")
    return head[:140], rest.strip() or text


def join_note(title: str, text: str) -> str:
    """One text of both."""
    return text if not title or text.startswith(title) else f"{title}\n{text}".strip()


class NoteTitleField(Field):
    """The first line of a note."""

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """Up to 140 signs."""
        return split_note(values[0])[0]


class NoteContentField(Field):
    """A note without its title."""

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """Plain text."""
        return split_note(values[0])[1]


# --- notices

#: Our kind of notice -> what the predecessor called it; others are called by our own word.
NOTIFICATION_TYPES = {
    "task_due": "Due Date Reminder",
    "task_overdue": "Overdue Task",
    "task_assigned": "Task Assignment",
    "assigned": "Lead Assignment",
    "exhausted": "Task Reassignment Limit",
    "request": "Assignment Request",
    "request_approved": "Assignment Request Approved",
    "request_rejected": "Assignment Request Rejected",
    "comment": "New Message",
    "mention": "Mention",
}


class NotificationTypeField(Field):
    """notification_type: filtered by the old word or by ours."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.operators = ("eq", "neq", "in")

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The old word where there was one."""
        return NOTIFICATION_TYPES.get(values[0], values[0])

    def parse_filter(self, raw: Any, viewer: Viewer) -> Any:
        """Our kind."""
        return next((kind for kind, word in NOTIFICATION_TYPES.items() if word == str(raw)), str(raw))


class NotificationStatusField(Field):
    """status: Sent or Read."""

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """By the stamp."""
        return "Sent" if values[0] is None else "Read"

    def where(self, op: str, raw: Any, viewer: Viewer) -> ColumnElement[bool]:
        """Pending and Sent are unread."""
        words = {str(each) for each in (raw if isinstance(raw, list) else [raw])}
        unread: ColumnElement[bool] = self.columns[0].is_(None)
        fits = or_(
            false(),
            *[unread if word in ("Pending", "Sent") else not_(unread) if word == "Read" else false() for word in words],
        )
        return not_(fits) if op == "neq" else fits
