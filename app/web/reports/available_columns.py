"""The columns for reports of one record, its own and those of related records, and how each may be used.

A column that is masked for the person is never grouped, sorted, filtered or aggregated, and is left out of lists of
rows. Related records are joined under the access rules of the session: a row beyond the person's reach is empty.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import String, func, inspect

from app import access
from app.domain.base import NotFound, RuleBroken
from app.web.core.fields.base import ChoiceField, Field, NumberField, TextField
from app.web.core.fields.contact_field_types import EmailField, NameField, PhoneField, SecretField
from app.web.core.fields.date_fields import DateField, DateTimeField, NaiveDateTimeField
from app.web.core.fields.reference_fields import PersonField, PicklistField, RecordField
from app.web.core.fields.scalar_fields import BooleanField, DecimalField, DurationField
from app.web.core.queries.record_columns import tables_in
from app.web.core.view_registry import kind_of, registered, screen_of_kind
from app.web.core.viewer import Viewer
from app.web.core.views.custom_columns import CustomColumn
from app.web.records.related_person_field import OpenDueField
from app.web.transfer import exports

#: Fields that can be grouped by; others would give as many groups as rows.
_GROUPED = (PicklistField, PersonField, ChoiceField, BooleanField, DateField, DateTimeField, RecordField)
_NUMBERS = (NumberField, DurationField, DecimalField)
_DATES = (DateField, DateTimeField)
#: Fields that show the customer's value if the record has none; for a related record, only its own value is used.
_WITH_CUSTOMERS = (NameField, PhoneField, EmailField, SecretField, TextField)
#: Fields of several columns whose value is the first one.
_FIRST_COUNTS = (PersonField, OpenDueField)
#: Numbers without meaning for aggregation.
_NO_NUMBERS = ("version", "id")


@dataclass(frozen=True, eq=False)
class ReportColumn:
    """One column of a report."""

    #: "status", or "customer.city" for one of a related record.
    name: str
    label: str
    field: Field
    is_related: bool = False

    @property
    def is_date(self) -> bool:
        """Whether it is grouped by days, weeks, months or quarters."""
        return isinstance(self.field, _DATES)

    @property
    def has_zone(self) -> bool:
        """Whether it is a time, whose day depends on the reader's zone."""
        return isinstance(self.field, DateTimeField) and not isinstance(self.field, NaiveDateTimeField)

    @property
    def is_number(self) -> bool:
        """Whether it can be summed."""
        return isinstance(self.field, _NUMBERS) and len(self.field.columns) == 1 and self.field.name not in _NO_NUMBERS

    @property
    def is_group(self) -> bool:
        """Whether rows can be grouped by it."""
        each = self.field
        if isinstance(each, RecordField):
            return not self.is_related and len(each.columns) > 1
        if isinstance(each, _GROUPED):
            return len(each.columns) == 1 or isinstance(each, _FIRST_COUNTS)
        return isinstance(each, TextField) and not each.has_lines and len(each.columns) == 1 and _is_column(each)

    @property
    def value(self) -> Any:
        """The SQL to group by, compare and aggregate; an empty text counts as none."""
        each = self.field
        if isinstance(each, CustomColumn):
            return func.nullif(each.sql, "", type_=each.sql.type) if isinstance(each.sql.type, String) else each.sql
        column = each.columns[1] if isinstance(each, RecordField) else each.columns[0]
        return func.nullif(column, "", type_=column.type) if _is_text(column) else column

    @property
    def is_countable_in_list(self) -> bool:
        """Whether a filter of the list finds exactly the rows of one of its groups."""
        return (
            not self.is_related
            and self.field.filter
            and not self.field.custom_filters
            and (type(self.field).where in _PLAIN_FILTERS or isinstance(self.field, CustomColumn))
        )


#: Filters that compare only the grouped column.
_PLAIN_FILTERS = (Field.where, DateTimeField.where, RecordField.where, OpenDueField.where)


def _is_text(column: Any) -> bool:
    return isinstance(getattr(column, "type", None), String)


def _is_column(each: Field) -> bool:
    return hasattr(each.columns[0], "class_")


@dataclass
class AvailableColumns:
    """The columns for reports of one kind of record, for one viewer."""

    screen: Any
    viewer: Viewer
    columns: dict[str, ReportColumn]
    #: (model, on) of the related records whose columns can be shown.
    joins: list[tuple[Any, Any]]
    #: Names of columns that are hidden from the viewer, with their labels.
    hidden: dict[str, str] = field(default_factory=dict)

    @property
    def record(self) -> Any:
        """The model of the records."""
        return self.screen.service.record

    def column(self, name: str, use: str) -> ReportColumn:
        """The column with this name for a use that reveals something about its values. Raises RuleBroken."""
        found = self.columns.get(name)
        if found is None:
            text = _(
                "The column “%(name)s” doesn't exist any more. Please edit the report and remove it.", name=name[:60]
            )
            raise RuleBroken(text, use)
        if name in self.hidden:
            text = _("“%(name)s” is hidden from you, so a report can't use it.", name=found.label)
            raise RuleBroken(text, use)
        return found

    def joined(self, query: Any, parts: Iterable[Any]) -> Any:
        """The query with the joins that these expressions need."""
        clauses = [part.__clause_element__() if hasattr(part, "__clause_element__") else part for part in parts]
        wanted = tables_in(clauses, access.outer_nodes)
        for model, on in self.joins:
            if model.__tablename__ in wanted:
                query = query.outerjoin(model, on)
        return query


def available_columns(kind: str, viewer: Viewer, verb: str = "read") -> AvailableColumns:
    """The columns of this kind of record. Raises NotFound, and Denied for people who may not read it.

    `verb`: "export" hides related records that the person may read, but not export to the same extent.
    """
    screen = screen_of_kind(kind)
    if screen is None:
        raise NotFound(_("There are no records “%(kind)s” to report on.", kind=kind[:30]))
    viewer.person.refuse_unless(screen.module, "read")
    table = screen.record_table
    own = [ReportColumn(name, _label(table.by_name[name]), table.by_name[name]) for name in exports.offered(screen)]
    columns = {each.name: each for each in own}
    joins, closed = list(table.joins), set[str]()
    for relation, target, on in _relations(screen, viewer):
        known = next((each for model, each in joins if model is target.service.record), None)
        if known is None:
            joins.append((target.service.record, on))
        some = {each.name: each for each in _of_related(relation, target)}
        columns |= some
        if viewer.person.level(target.module, verb) != viewer.person.level(target.module, "read"):
            closed |= some.keys()
    hidden = {name: each.label for name, each in columns.items() if name in closed or each.field.is_hidden(viewer)}
    return AvailableColumns(screen, viewer, columns, joins, hidden)


def kinds(viewer: Viewer) -> dict[str, Any]:
    """Kind of record -> its screen, for kinds that the person may read."""
    found = {kind_of(screen): screen for screen in registered("screens").values()}
    return {kind: screen for kind, screen in found.items() if viewer.person.may(screen.module, "read")}


def _label(each: Field) -> str:
    return str(each.label or each.name)


def _relations(screen: Any, viewer: Viewer) -> Iterable[tuple[str, Any, Any]]:
    """(name, screen, on) of the records that a row refers to by one foreign key, and that the person may read."""
    record = screen.service.record
    by_table: dict[str, list[str]] = {}
    for key, column in inspect(record).columns.items():
        for each in column.foreign_keys:
            by_table.setdefault(each.column.table.name, []).append(key)
    for target in registered("screens").values():
        model = target.service.record
        keys = by_table.get(model.__tablename__, [])
        if model is not record and len(keys) == 1 and viewer.person.may(target.module, "read"):
            yield keys[0].removesuffix("_id"), target, model.id == getattr(record, keys[0])


def _of_related(relation: str, target: Any) -> Iterable[ReportColumn]:
    model, named = target.service.record, target.record_table.by_name
    for name in exports.offered(target):
        each = _own_part(named[name], model)
        if each is not None:
            yield ReportColumn(f"{relation}.{name}", f"{target.record_name}: {_label(each)}", each, is_related=True)


def _own_part(each: Field, model: Any) -> Field | None:
    """The field with only the model's own columns; None if it makes no sense without the others."""
    own = tuple(column for column in each.columns if getattr(column, "class_", None) is model)
    if len(own) == len(each.columns):
        return each
    if not own or type(each) not in _WITH_CUSTOMERS:
        return None
    made = copy.copy(each)
    made.columns = own
    return made
