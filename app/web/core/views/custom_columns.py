"""Custom fields as columns of the views of leads, customers, tickets and tasks.

They are read from the record's own row, all from one column. Filters and sorting use the indexed table of values (see
app/domain/custom_values.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date
from typing import Any

from flask_babel import get_locale
from flask_babel import lazy_gettext as _
from flask_babel.speaklater import LazyString
from sqlalchemy import ColumnElement, and_, not_

from app.domain import custom_sql
from app.domain.base import RuleBroken
from app.domain.custom_fields import FieldDefinition, mask_name
from app.domain.custom_values import HasCustomFields, RetiredChoice, SelectedChoice
from app.lib import number_parsing
from app.lib.masking import is_masked
from app.lib.web_links import link_of
from app.ops.statements.sqlalchemy_internals import annotate
from app.web.core import request_custom_fields
from app.web.core.fields.base import ChoiceField, Field, TextField, clean_text, validated
from app.web.core.fields.date_fields import DateField
from app.web.core.fields.filter_operators import NEGATED, compare, wants_empty
from app.web.core.fields.scalar_fields import DecimalField
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.queries.record_pages import SORTED_BY
from app.web.core.viewer import Viewer

MAX_TEXT, MAX_LINK = 255, 500


class CustomColumn(Field):
    """Mixin for the columns of custom fields; a kind combines it with the field type of its values."""

    shares_column = True
    definition: FieldDefinition
    record: Any

    def bind(self, definition: FieldDefinition, record: Any) -> CustomColumn:
        """Make it the column of this field of this record."""
        self.definition, self.record, self.columns = definition, record, (record.custom,)
        self.add = self.edit = self.filter = self.sort = True
        self.required, self.mask = definition.is_required, definition.is_restricted
        self.operators = tuple(dict.fromkeys((*self.operators, "not_null")))
        return self

    @property
    def mask_name(self) -> str:
        """The mask of the custom field."""
        return mask_name(self.definition.id)

    @property
    def stored(self) -> Any:
        """The column of the table of values for this kind."""
        return custom_sql.value_column(self.definition.kind)

    # reading
    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The value of the record, masked for the person."""
        found = (values[0] or {}).get(self.name)
        if found is None:
            return None
        return viewer.person.mask_value(self.mask_name, found) if self.is_hidden(viewer) else self.read(found)

    def read(self, kept: Any) -> Any:
        """The Python value of the stored one."""
        return kept

    def keep(self, value: Any) -> Any:
        """The value in the record's stored form."""
        return value

    def parse_into(self, values: dict[str, Any], raw: Any, viewer: Viewer, mode: str = "add") -> None:
        """Parse the input; a masked value that is sent back changes nothing. Raises RuleBroken."""
        if self.mask and isinstance(raw, str) and is_masked(raw):
            return
        value = validated(self, self.parse_for(mode, raw, viewer))
        if value is None and self.required and mode == "edit":
            raise RuleBroken(_("“%(name)s” needs a value; it can't be emptied.", name=str(self.label)), self.name)
        values.setdefault("custom", {})[self.name] = None if value is None else self.keep(value)

    # filtering
    def where(self, op: str, raw: Any, viewer: Viewer) -> ColumnElement[bool]:
        """Filter by the table of values."""
        if op in ("eq", "neq") and raw in (None, ""):
            op, raw = ("null" if op == "eq" else "not_null"), "1"
        return super().where(op, raw, viewer)

    def _emptiness(self, op: str, raw: Any) -> ColumnElement[bool]:
        wanted = wants_empty(op, raw)
        if wanted is None:
            raise RuleBroken(_("“%(name)s” must be yes or no.", name=self.name), self.name)
        present = self.with_value()
        return not_(present) if wanted else present

    def _any(self, op: str, value: Any) -> ColumnElement[bool]:
        if op in NEGATED:
            return not_(self._any(NEGATED[op], value))
        return self.with_value(compare(self.stored, op, value))

    def with_value(self, *rules: Any) -> ColumnElement[bool]:
        """SQL: whether the record has a value that matches these conditions on `stored`."""
        return custom_sql.has_value(self.record, self.definition.id, *rules)

    def order(self) -> Any:
        """The value in the table; the annotation tells lists that its index has this order."""
        found = custom_sql.value_lookup(self.record, self.definition.id, self.definition.kind)
        return annotate(found, {SORTED_BY: self})

    def present(self) -> ColumnElement[bool]:
        """Whether the record has a value."""
        return self.with_value()

    @property
    def join_rule(self) -> ColumnElement[bool]:
        """The ON condition that joins the record with the row of its value."""
        return and_(*custom_sql.join_rules(self.record, self.definition.id))

    @property
    def sql(self) -> Any:
        """The value as an expression on the record's own row, for reports."""
        return custom_sql.custom_value(self.columns[0], self.name, self.definition.kind)


class CustomText(CustomColumn, TextField):
    """A text of one line."""


class CustomNumber(CustomColumn, DecimalField):
    """A number with up to four decimal places."""

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """int or float; 12,34,567.50 and १२ are accepted too. Raises RuleBroken."""
        if raw is None or raw == "":
            return None
        try:
            return number_parsing.read(raw)
        except ValueError:
            text = _("“%(name)s” must be a number such as 1234.50, with at most 4 decimal places.", name=self.name)
            raise RuleBroken(text, self.name) from None

    parse_filter = parse

    def form_input(self, raw: Any, errors: list[str], viewer: Viewer) -> dict[str, Any]:
        """A text input: number inputs of browsers don't accept ₹, commas or Devanagari digits."""
        return super().form_input(raw, errors, viewer) | {"kind": "text", "inputmode": "decimal"}

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """A JSON number."""
        return self.value(values, viewer)

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Show the number."""
        shown = self.value(values, viewer)
        return {"kind": "number", "text": str(shown)} if shown is not None else {"kind": "missing"}


class CustomDate(CustomColumn, DateField):
    """A custom field that holds a date."""

    def read(self, kept: Any) -> Any:
        """The stored text as a date."""
        return date.fromisoformat(kept)

    def keep(self, value: Any) -> Any:
        """The date in ISO 8601, as it is stored."""
        return value.isoformat()

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Show as 30 Nov 2026."""
        shown = self.value(values, viewer)
        if not isinstance(shown, date):
            return _text_cell(shown)
        return {"kind": "date", "text": format_local_date(shown, "%-d %b %Y"), "iso": shown.isoformat()}


class CustomChoice(CustomColumn, ChoiceField):
    """One of the choices that an admin has entered."""

    def bind(self, definition: FieldDefinition, record: Any) -> CustomColumn:
        """Bind it, with the choices that are offered."""
        super().bind(definition, record)
        self.options = tuple(value for value, _label, _labels, is_offered in definition.choices if is_offered)
        self.words = {value: _lazy(label, labels) for value, label, labels, _offered in definition.choices}
        self.operators = ("eq", "neq", "in", "not_in", "null", "not_null")
        return self

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """A choice by its value or its label in any language. Raises RuleBroken."""
        typed = clean_text(raw, self.name, MAX_TEXT)
        if typed is None:
            return None
        for value, label, labels, is_offered in self.definition.choices:
            if typed.casefold() in {each.casefold() for each in (value, label, *labels.values())}:
                return SelectedChoice(value) if is_offered else RetiredChoice(value)
        listed = ", ".join(str(self.words[value]) for value in self.options)
        raise RuleBroken(_("“%(name)s” must be one of: %(options)s.", name=self.name, options=listed), self.name)

    def parse_filter(self, raw: Any, viewer: Viewer) -> Any:
        """The value of a choice, also of one that isn't offered any more."""
        found = self.parse(raw, viewer)
        return None if found is None else str(found)

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Show the label."""
        shown = self.value(values, viewer)
        return _text_cell(None if shown is None else str(self.words.get(shown, shown)))

    def form_input(self, raw: Any, errors: list[str], viewer: Viewer) -> dict[str, Any]:
        """A select; the record's choice is included even if it isn't offered any more."""
        made = Field.form_input(self, raw, errors, viewer)
        if self.is_hidden(viewer) and isinstance(raw, str) and is_masked(raw):
            return made | {"kind": "text"}
        values = [*self.options, *([raw] if raw in self.words and raw not in self.options else [])]
        return made | {"options": [(value, str(self.words[value])) for value in values]}


class CustomLink(CustomColumn, TextField):
    """The address of a page."""

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """An http or https address; www.example.com gets https in front. Raises RuleBroken."""
        typed = clean_text(raw, self.name, MAX_LINK)
        if typed is None:
            return None
        try:
            return link_of(typed)
        except ValueError:
            text = _("“%(name)s” must be a web address such as https://example.com/page.", name=self.name)
            raise RuleBroken(text, self.name) from None

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Show a link, unless it is masked."""
        shown = self.value(values, viewer)
        if shown is None or self.is_hidden(viewer):
            return _text_cell(shown)
        return {"kind": "web", "url": shown, "text": shown.partition("://")[2].rstrip("/")}


def _text_cell(shown: Any) -> dict[str, Any]:
    return {"kind": "missing"} if shown in (None, "") else {"kind": "text", "text": str(shown)}


def _lazy(label: str, labels: Any) -> Any:
    """The label in the reader's language."""
    return LazyString(lambda: labels.get(_language()) or label) if labels else label


def _language() -> str:
    locale = get_locale()
    return locale.language if locale is not None else "en"


_TYPES: dict[str, Callable[..., Any]] = {
    "text": CustomText,
    "number": CustomNumber,
    "date": CustomDate,
    "choice": CustomChoice,
    "link": CustomLink,
}


def column_of(definition: FieldDefinition, record: Any) -> CustomColumn:
    """The column of a custom field of this record."""
    made = _TYPES[definition.kind](definition.name, _lazy(definition.label, definition.labels), help=definition.help)
    made.max_length = MAX_LINK if definition.kind == "link" else MAX_TEXT
    bound: CustomColumn = made.bind(definition, record)
    return bound


def label_of(definition: FieldDefinition) -> str:
    """The label of a field in the language of the request."""
    return definition.label_in(_language())


def in_words(definition: FieldDefinition, kept: Any, viewer: Viewer) -> str | None:
    """A value in the form for a timeline, masked for the person; None if there is none."""
    if kept is None:
        return None
    if definition.is_restricted and viewer.person.mask(mask_name(definition.id)) != "full":
        return str(viewer.person.mask_value(mask_name(definition.id), kept))
    if definition.kind == "date":
        return format_local_date(date.fromisoformat(kept), "%-d %b %Y")
    words = {value: labels.get(_language()) or label for value, label, labels, _offered in definition.choices}
    return str(words.get(kept, kept)) if definition.kind == "choice" else str(kept)


def with_custom_fields(view: Any, table: Any) -> Any:
    """The view's table with the custom fields of its record as of this request; the table itself without any."""
    if not issubclass(table.record, HasCustomFields):
        return table
    catalog = request_custom_fields.current()
    definitions = catalog.of(table.name)
    if not definitions:
        return table
    made = catalog.tables.get(view)
    if made is None:
        columns = [column_of(each, table.record) for each in definitions]
        declared = _declared(table.declared, tuple(each.name for each in columns))
        made = catalog.tables[view] = table.extended(columns, declared)
    return made


def _declared(base: Any, names: tuple[str, ...]) -> Any:
    """Over REST lists contain them too; on pages only if somebody chooses them."""
    is_page = hasattr(base.view, "list_template")
    parts = {part: (*getattr(base, part), *names) for part in ("show", "add", "edit", "search", "order")}
    return replace(base, list=base.list if is_page else (*base.list, *names), custom=names, **parts)


def refuse_missing(fields: Iterable[Field], values: dict[str, Any]) -> None:
    """Raise RuleBroken, naming all of them, for a new record without values of required custom fields."""
    given = values.get("custom") or {}
    missing = [each for each in fields if each.shares_column and each.required and given.get(each.name) is None]
    if missing:
        errors = {each.name: [str(_("Please fill this in."))] for each in missing}
        listed = ", ".join(str(each.label) for each in missing)
        raise RuleBroken(_("Please fill in: %(names)s.", names=listed), errors=errors)


def quick_names(table: Any) -> list[str]:
    """The custom fields in the quick form of a new record."""
    named = [table.by_name[name] for name in table.declared.custom]
    return [each.name for each in named if each.definition.is_quick or each.required]
