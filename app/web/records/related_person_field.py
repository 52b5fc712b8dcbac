"""The person of a task's or request's lead or ticket, as a link."""

from __future__ import annotations

from typing import Any

from app.extensions import db
from app.models import Lead, Ticket
from app.notice_links import record_cards
from app.web.core.fields.base import Field
from app.web.core.fields.date_fields import DateTimeField, moment_cell
from app.web.core.fields.lookups import Lookups
from app.web.core.viewer import Viewer


class RelatedPersonField(Field):
    """The lead or ticket of a row, shown as the name of its person: columns (lead id, number, ticket id, number).

    Loads the names once for a page of rows; a record that the viewer does not see is a dash.
    """

    kind = "record"

    def __init__(self, name: str, label: Any, model: Any) -> None:
        columns = (model.lead_id, Lead.number, model.ticket_id, Ticket.number)
        super().__init__(name, label, columns, section="none")
        self.schema = {"type": "object", "nullable": True}

    def prepare(self, rows: list[tuple[Any, ...]], viewer: Viewer) -> None:
        """Load the names that these rows show."""
        found = record_cards(db.session(), [_Ids(values) for values in rows])
        viewer.objects.update({(RelatedPersonField, key): card for key, card in found.items()})  # type: ignore[misc]

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The number of the record."""
        return values[1] or values[3]

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """A link under the person's name; the number is in its tooltip."""
        number = self.value(values, viewer)
        if number is None:
            return {"kind": "missing"}
        key = ("lead_id", values[0]) if values[1] else ("ticket_id", values[2])
        card: Any = viewer.objects.get((RelatedPersonField, key))  # type: ignore[arg-type]
        root = "/leads/" if values[1] else "/tickets/"
        return {
            "kind": "record",
            "url": f"{root}{number}",
            "number": card.name if card and card.name else number,
            "label": "",
            "title": number,
        }


class _Ids:
    """A row in the form that `record_cards` reads."""

    customer_id = None

    def __init__(self, values: tuple[Any, ...]) -> None:
        self.lead_id, _number, self.ticket_id, _other = values


class OpenDueField(DateTimeField):
    """A due time that is colored while its record is open: columns (due time, status).

    `open_in`: (lookups, status) -> whether the record is open.
    """

    def __init__(self, name: str, columns: tuple[Any, Any], open_in: Any, **flags: Any) -> None:
        super().__init__(name, columns=columns, due=True, **flags)
        self.open_in = open_in
        self._plain = DateTimeField(name, None, columns[:1])

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The due time."""
        return values[0]

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Colored as late or soon only while it is open."""
        return moment_cell(values[0], viewer, due=bool(self.open_in(viewer.lookups, values[1])))

    def where(self, op: str, raw: Any, viewer: Viewer) -> Any:
        """Filter by the due time."""
        return self._plain.where(op, raw, viewer)

    def order(self) -> Any:
        """Sort by the due time."""
        return self.columns[0]


def is_open_lead(lookups: Lookups, status_id: Any) -> bool:
    """Whether a lead of this status is still worked on."""
    return lookups.meanings["lead_status"].get(status_id) not in Lead.ended_in
