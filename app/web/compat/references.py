"""References: the fields reference_doctype and reference_docname, which name the record that another row is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, and_, false, not_, or_

from app.domain.base import RuleBroken, kind_of_number
from app.models import Customer, Lead, Ticket
from app.web.core.fields.base import Field, limit_values
from app.web.core.fields.reference_fields import find_record
from app.web.core.viewer import Viewer


@dataclass(frozen=True)
class ReferenceTarget:
    """A kind of record that another row can be about."""

    doctype: str
    record: Any
    #: The column of the other row.
    column: str
    #: The field of the other row in our API.
    field: str
    #: The kind in the record's number, as in domain.base.NUMBER_PREFIXES.
    number_kind: str


LEAD_TARGET = ReferenceTarget("CRM Lead", Lead, "lead_id", "lead", "LEAD")
TICKET_TARGET = ReferenceTarget("CRM Ticket", Ticket, "ticket_id", "ticket", "TICKET")
CUSTOMER_TARGET = ReferenceTarget("CRM Customer", Customer, "customer_id", "customer", "CUST")
_ALL = (LEAD_TARGET, TICKET_TARGET, CUSTOMER_TARGET)
#: DocType name -> target.
REFERENCE_TARGETS = {target.doctype: target for target in _ALL}
_BY_NUMBER = {target.number_kind: target for target in _ALL}


def target_of_number(number: str) -> ReferenceTarget | None:
    """The kind of record with this number."""
    return _BY_NUMBER.get(kind_of_number(number) or "")


class _ReferenceField(Field):
    """Selects the numbers of the records that a row may be about, most specific first; null if not visible."""

    def __init__(self, name: str, row: Any, targets: tuple[ReferenceTarget, ...], **flags: Any) -> None:
        super().__init__(name, name, tuple(target.record.number for target in targets), filter=True, **flags)
        self.row, self.targets, self.operators = row, targets, ("eq", "neq", "in", "null")

    def where(self, op: str, raw: Any, viewer: Viewer) -> ColumnElement[bool]:
        """Filter by the indexed column of the row itself. Raises RuleBroken for another operator."""
        if op == "null":
            is_null = and_(*[getattr(self.row, target.column).is_(None) for target in self.targets])
            return not_(is_null) if raw is False else is_null
        if op not in self.operators:
            raise RuleBroken(_("“%(name)s” can't be filtered with “%(op)s”.", name=self.name, op=op), self.name)
        values = limit_values(raw if isinstance(raw, list) else [raw], self.name)
        matches = or_(false(), *[self._equals(str(value)) for value in values])
        return not_(matches) if op == "neq" else matches

    def _equals(self, text: str) -> ColumnElement[bool]:
        raise NotImplementedError


class ReferenceDocTypeField(_ReferenceField):
    """reference_doctype."""

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """CRM Lead, CRM Ticket, CRM Customer or null."""
        pairs = zip(self.targets, values, strict=True)
        return next((target.doctype for target, number in pairs if number is not None), None)

    def _equals(self, text: str) -> ColumnElement[bool]:
        column = next((target.column for target in self.targets if target.doctype == text), None)
        return getattr(self.row, column).is_not(None) if column else false()


class ReferenceNameField(_ReferenceField):
    """reference_docname."""

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The number, or null."""
        return next((number for number in values if number is not None), None)

    def _equals(self, text: str) -> ColumnElement[bool]:
        target = target_of_number(text)
        if target is None or target not in self.targets:
            return false()
        key = find_record(target.record, text)
        return getattr(self.row, target.column) == key if key is not None else false()
