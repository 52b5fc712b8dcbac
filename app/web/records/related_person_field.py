"""The person of a task's, request's or message's customer, lead or ticket, as a link."""

from __future__ import annotations

from typing import Any

from app.extensions import db
from app.models import Customer, Lead, Ticket
from app.notice_links import record_cards
from app.web.core.fields.base import Field
from app.web.core.fields.date_fields import DateTimeField, moment_cell
from app.web.core.fields.lookups import Lookups
from app.web.core.viewer import Viewer

#: Column of a row -> the record that it names, root of its pages.
_RECORDS: dict[str, tuple[Any, str]] = {
    "customer_id": (Customer, "/customers/"),
    "lead_id": (Lead, "/leads/"),
    "ticket_id": (Ticket, "/tickets/"),
}


class RelatedPersonField(Field):
    """The customer, lead or ticket of a row, shown as the name of its person: pairs of columns (id, number).

    Loads the names once for a page of rows; a record that the viewer does not see is a dash.
    """

    kind = "record"

    def __init__(self, name: str, label: Any, model: Any) -> None:
        self._names = tuple(each for each in _RECORDS if hasattr(model, each))
        pairs = ((getattr(model, each), _RECORDS[each][0].number) for each in self._names)
        super().__init__(name, label, tuple(column for pair in pairs for column in pair), section="none")
        self.schema = {"type": "object", "nullable": True}

    def prepare(self, rows: list[tuple[Any, ...]], viewer: Viewer) -> None:
        """Load the names that these rows show."""
        shown = [first for values in rows if (first := self._first(values)) is not None]
        found = record_cards(db.session(), [_Ids(column, key) for column, key, _number in shown])
        viewer.objects.update({(RelatedPersonField, key): card for key, card in found.items()})  # type: ignore[misc]

    def _first(self, values: tuple[Any, ...]) -> tuple[str, int, str] | None:
        """(column, id, number) of the first of its records that the viewer sees."""
        pairs = zip(self._names, values[::2], values[1::2], strict=True)
        return next(((name, key, number) for name, key, number in pairs if number), None)

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The number of the record."""
        first = self._first(values)
        return first[2] if first is not None else None

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """A link under the person's name; the number is in its tooltip."""
        first = self._first(values)
        if first is None:
            return {"kind": "missing"}
        column, key, number = first
        card: Any = viewer.objects.get((RelatedPersonField, (column, key)))  # type: ignore[arg-type]
        return {
            "kind": "record",
            "url": f"{_RECORDS[column][1]}{number}",
            "number": card.name if card and card.name else number,
            "label": "",
            "title": number,
        }


class _Ids:
    """A row in the form that `record_cards` reads."""

    def __init__(self, column: str, key: int) -> None:
        self.customer_id = self.lead_id = self.ticket_id = None
        setattr(self, column, key)


class OpenDueField(DateTimeField):
    """A due time that is colored while its record is open: columns (due time, status).

    `open_in`: (lookups, status) -> whether the record is open. `only_open`: whether pages leave the time of a closed
    record out, because it is what comes next; the value stays stored, for when the record is opened again.
    """

    def __init__(self, name: str, columns: tuple[Any, Any], open_in: Any, *, only_open: bool = False) -> None:
        super().__init__(name, columns=columns, due=True)
        self.open_in, self.only_open = open_in, only_open
        self._plain = DateTimeField(name, None, columns[:1])

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The due time."""
        return values[0]

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Colored as late or soon only while it is open."""
        is_open = bool(self.open_in(viewer.lookups, values[1]))
        return {"kind": "missing"} if self.only_open and not is_open else moment_cell(values[0], viewer, due=is_open)

    def where(self, op: str, raw: Any, viewer: Viewer) -> Any:
        """Filter by the due time."""
        return self._plain.where(op, raw, viewer)

    def order(self) -> Any:
        """Sort by the due time."""
        return self.columns[0]


def is_open_lead(lookups: Lookups, status_id: Any) -> bool:
    """Whether a lead of this status is still worked on."""
    return lookups.meanings["lead_status"].get(status_id) not in Lead.ended_in
