"""The deadlines of the registers of compliance: colored while something is still to be done."""

from __future__ import annotations

from typing import Any

from app.web.core.fields.date_fields import DateField, DateTimeField, moment_cell
from app.web.core.viewer import Viewer
from app.web.records.complaint_fields import days_left


class _OwnColumn:
    """Of several columns, the first is the deadline: it is shown, filtered and sorted by."""

    columns: tuple[Any, ...]

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The deadline."""
        return values[0]

    def filter_columns(self) -> tuple[Any, ...]:
        """The deadline."""
        return self.columns[:1]

    def empty_columns(self) -> tuple[Any, ...]:
        """The deadline."""
        return self.columns[:1]

    def order(self) -> Any:
        """Sort by the deadline."""
        return self.columns[0]


class AnswerDueField(_OwnColumn, DateField):
    """The day by which a request is answered: selects (due, state)."""

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """The days left while the request is open, else the day."""
        due, state = values
        return super().cell((due,), viewer) if due is None or state != "open" else days_left(due, viewer)


class TellByField(_OwnColumn, DateTimeField):
    """The time by which an authority is told: selects (due, told on, state)."""

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Relative; colored as long as the authority is to be told."""
        due, told, state = values
        return moment_cell(due, viewer, due=told is None and state == "open")
