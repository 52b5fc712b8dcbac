"""Read-only columns: properties or methods of a model, or columns of a related row."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup
from sqlalchemy import inspect, select

from app.domain.people.permissions import mask_of
from app.web.core.fields.base import Field
from app.web.core.fields.relation_fields import found_object, load_objects, refuse_secret
from app.web.core.viewer import Viewer


class AttributeField(Field):
    """A property or method of the model, read only."""

    def __init__(self, name: str, label: Any, model: Any) -> None:
        super().__init__(name, label, (model.id,))
        self.model, self.operators = model, ()
        self.schema = {}

    def prepare(self, rows: list[tuple[Any, ...]], viewer: Viewer) -> None:
        """Load the objects of a page."""
        load_objects(viewer, self.model, [row[0] for row in rows])

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The property's value or the method's result."""
        item = found_object(viewer, self.model, values[0])
        found = getattr(item, self.name, None) if item is not None else None
        found = found() if callable(found) else found
        return viewer.person.mask_value(self.mask_name, found) if self.mask else found

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """Numbers, texts and flags unchanged, everything else as text."""
        found = self.value(values, viewer)
        return found if found is None or isinstance(found, bool | int | float | str) else str(found)

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Show as text; markup from the model is rendered."""
        found = self.value(values, viewer)
        if found is None or found == "":
            return {"kind": "missing"}
        return {"kind": "html", "html": found} if isinstance(found, Markup) else {"kind": "text", "text": str(found)}


class DottedField(AttributeField):
    """A column of a related row, named `relation.column`, read only."""

    def __init__(self, name: str, label: Any, model: Any) -> None:
        super().__init__(name, label, model)
        relation, _dot, column = name.partition(".")
        self.relation, self.column = relation, column
        self.target = inspect(model).relationships[relation].mapper.class_
        refuse_secret(self.target, column)
        self.mask = mask_of(column) is not None
        if self._expression() is not None:
            self.operators = ("eq", "neq", "ct", "nct", "sw", "ew", "in", "null")

    def prepare(self, rows: list[tuple[Any, ...]], viewer: Viewer) -> None:
        """Load the objects of a page with their related rows."""
        load_objects(viewer, self.model, [row[0] for row in rows], [self.relation])

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The column of the related row, masked for the person; a list for several rows."""
        item = found_object(viewer, self.model, values[0])
        related = getattr(item, self.relation, None) if item is not None else None
        if isinstance(related, list):
            return ", ".join(str(self._shown(each, viewer)) for each in related)
        return self._shown(related, viewer) if related is not None else None

    def _shown(self, related: Any, viewer: Viewer) -> Any:
        found = getattr(related, self.column)
        found = found() if callable(found) else found
        return viewer.person.mask_value(self.mask_name, found) if self.mask else found

    @property
    def mask_name(self) -> str:
        """The mask of the related column."""
        return mask_of(self.column) or self.column

    def _expression(self) -> Any:
        """The related column as one SQL expression; None for a relation to many or a property."""
        relation = inspect(self.model).relationships[self.relation]
        column = inspect(self.target).columns.get(self.column)
        if relation.uselist or column is None:
            return None
        related = select(getattr(self.target, self.column)).where(relation.primaryjoin)
        return related.correlate(self.model).scalar_subquery()

    def where(self, op: str, raw: Any, viewer: Viewer) -> Any:
        """Filter by the related column."""
        return super().where(op, raw, viewer)

    def filter_columns(self) -> tuple[Any, ...]:
        """The columns that filters compare: the related column."""
        return (self._expression(),)

    def empty_columns(self) -> tuple[Any, ...]:
        """The columns that are null if it is empty: the related column."""
        return self.filter_columns()

    def order(self) -> Any:
        """Sort by the related column."""
        return self._expression()
