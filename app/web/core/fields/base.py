"""Field types: how each is selected, serialized, shown in a cell, parsed and filtered.

The base class and the plain types; the others are in `contact_field_types`, `reference_fields`, `relation_fields`,
`date_fields` and `scalar_fields`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from flask_babel import lazy_gettext as _
from sqlalchemy import ColumnElement, and_, false, func, not_, or_

from app.domain import typed_codes
from app.domain.base import RuleBroken
from app.domain.people.permissions import mask_of
from app.lib import text_normalization
from app.lib.cached_property import cached_property
from app.lib.digit_grouping import grouped
from app.lib.masking import is_masked
from app.web.core.fields.field_validators import run_validators
from app.web.core.fields.filter_operators import NEGATED, OPERATOR_LABELS, WITHOUT_VALUE, compare, is_empty, wants_empty
from app.web.core.localization.default_labels import shown_label
from app.web.core.viewer import Viewer

#: Most values of one filter.
MAX_FILTER_VALUES = 1000
#: Most characters of a long text.
MAX_LONG_TEXT = 20_000


@dataclass(eq=False)
class Field:
    """One column of a record as screens and REST show and accept it; subclasses implement one type each.

    `columns`: ORM attributes to select; with two, the second is the customer's and used if the first is null. A field
    declared without columns gets the model's column of its name, if there is one. `key`: the name under which the
    service gets the value. The flags (`add`, `edit`, `filter`, `sort`) say where a view offers the field; the compiler
    sets them from `add_columns`, `edit_columns`, `search_columns` and `order_columns`.
    """

    name: str
    label: Any = None
    columns: tuple[Any, ...] = ()
    key: str = ""
    add: bool = False
    edit: bool = False
    filter: bool = False
    sort: bool = False
    mask: bool = False
    required: bool = False
    max_length: int = 255
    section: str = "main"
    help: Any = None
    operators: tuple[str, ...] = ("eq", "neq", "null")
    #: For OpenAPI.
    schema: dict[str, Any] = field(default_factory=lambda: {"type": "string", "nullable": True})
    kind = "text"
    #: Whether the mask of a role hides the value; else no field of a masked name may be of this class.
    honors_mask = True
    #: Whether a value may have several lines.
    has_lines: ClassVar[bool] = False
    #: Whether its only column is also that of other fields.
    shares_column: ClassVar[bool] = False
    #: The model whose object the field needs besides the selected columns; None = the columns are enough.
    needs: ClassVar[Any] = None
    #: WTForms or marshmallow validators of the view, run on the parsed value.
    validators: tuple[Any, ...] = ()
    #: The view's `formatters_columns` entry: value -> what a cell shows.
    formatter: Any = None
    #: Filters on the related rows that may be chosen: {"add": [...], "edit": [...]}.
    related_filters: Any = None
    #: The view's own FAB filters: operator -> filter instance.
    custom_filters: Any = None

    def __post_init__(self) -> None:
        self.key = self.key or self.name

    @property
    def is_required(self) -> bool:
        """Whether a record needs a value. Contact fields are not required: a phone number or email is enough."""
        return self.required and self.section != "person"

    def is_hidden(self, viewer: Viewer) -> bool:
        """Whether a mask prevents the person from searching, filtering and sorting by it."""
        return self.mask and viewer.person.mask(self.mask_name) != "full"

    @property
    def mask_name(self) -> str:
        """The name of the mask that hides the value."""
        return mask_of(self.name) or self.name

    # reading
    @cached_property
    def is_plain(self) -> bool:
        """Whether `serialize` returns the value of the only column, unless a mask hides it."""
        kind = type(self)
        return len(self.columns) == 1 and kind.serialize is Field.serialize and kind.value is Field.value

    def is_passthrough(self, viewer: Viewer) -> bool:
        """Whether the value of the only column is written to JSON unchanged."""
        return self.is_plain and self.is_shown_whole(viewer)

    def converter(self, viewer: Viewer) -> Callable[[Any], Any] | None:
        """Makes JSON of the value of the only column, as `serialize` does; None if that must be asked."""
        return self.common_converter()

    def common_converter(self) -> Callable[[Any], Any] | None:
        """The converter, if it is the same for everybody."""
        return None

    def joint_converter(self, viewer: Viewer) -> Callable[[tuple[Any, ...]], Any] | None:
        """Makes JSON of the values of several columns, as `serialize` does; None if that must be asked."""
        kind = type(self)
        is_usual = kind.serialize is Field.serialize and kind.value is Field.value
        return _first_known if is_usual and self.is_shown_whole(viewer) else None

    def is_shown_whole(self, viewer: Viewer) -> bool:
        """Whether no mask hides anything of the value."""
        return not self.mask or viewer.person.mask(self.mask_name) == "full"

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The row's first value that is not null, masked for the person."""
        found = _first_known(values)
        return viewer.person.mask_value(self.mask_name, found) if self.mask else found

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The value as JSON."""
        return self.value(values, viewer)

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Arguments of the cell macro."""
        shown = self.value(values, viewer)
        return {"kind": "missing"} if shown in (None, "") else {"kind": "text", "text": str(shown)}

    def shown_cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """The cell, by the view's own formatter if it declares one."""
        if self.formatter is None or self.is_hidden(viewer):
            return self.cell(values, viewer)
        shown = self.formatter(self.value(values, viewer))
        return {"kind": "missing"} if shown in (None, "") else {"kind": "html", "html": shown}

    # parsing
    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """The domain value of form or JSON input. Raises RuleBroken."""
        return clean_text(raw, self.name, self.max_length, self.has_lines)

    def parse_for(self, mode: str, raw: Any, viewer: Viewer) -> Any:
        """The domain value of input to add or edit a record. Raises RuleBroken."""
        return self.parse(raw, viewer)

    def parse_into(self, values: dict[str, Any], raw: Any, viewer: Viewer, mode: str = "add") -> None:
        """Parse the input into `values`; a masked value that is sent back changes nothing."""
        if self.mask and isinstance(raw, str) and is_masked(raw):
            return
        values[self.key] = validated(self, self.parse_for(mode, raw, viewer))

    # filtering
    def where(self, op: str, raw: Any, viewer: Viewer) -> ColumnElement[bool]:
        """The SQL for a filter. Raises RuleBroken for an unsupported operator or invalid value."""
        if op in WITHOUT_VALUE and "null" in self.operators:
            return self._emptiness(op, raw)
        if op not in self.operators:
            raise RuleBroken(_("“%(name)s” can't be filtered with “%(op)s”.", name=self.name, op=op), self.name)
        if op in ("in", "not_in"):
            parts = limit_values(raw if isinstance(raw, list) else str(raw).split(","), self.name)
            return self._any(op, [self.parse_filter(part, viewer) for part in parts])
        value = self.parse_filter(raw, viewer)
        if value is None and op not in ("eq", "neq"):
            raise RuleBroken(_("“%(name)s” can't be compared with an empty value.", name=self.name), self.name)
        return self._any(op, value)

    def _emptiness(self, op: str, raw: Any) -> ColumnElement[bool]:
        wanted = wants_empty(op, raw)
        if wanted is None:
            raise RuleBroken(_("“%(name)s” must be yes or no.", name=self.name), self.name)
        missing = and_(*[is_empty(column) for column in self.empty_columns()])
        return missing if wanted else not_(missing)

    def parse_filter(self, raw: Any, viewer: Viewer) -> Any:
        """The value to compare with, parsed from a filter's text."""
        return clean_text(raw, self.name, 255)

    def _any(self, op: str, value: Any) -> ColumnElement[bool]:
        if op in NEGATED:
            return not_(func.coalesce(self._any(NEGATED[op], value), false()))
        return or_(*[compare(column, op, value) for column in self.filter_columns()])

    def filter_columns(self) -> tuple[Any, ...]:
        """The columns that a filter compares."""
        return self.columns

    def empty_columns(self) -> tuple[Any, ...]:
        """The columns that are all empty if the field has no value."""
        return self.columns

    def operator_label(self, op: str) -> str:
        """The label of an operator."""
        custom = (self.custom_filters or {}).get(op)
        return str(custom.name if custom is not None else OPERATOR_LABELS[op])

    def order(self) -> Any:
        """The SQL to sort by."""
        return self.columns[0] if len(self.columns) == 1 else func.coalesce(*reversed(self.columns))

    # forms
    def form_input(self, raw: Any, errors: list[str], viewer: Viewer) -> dict[str, Any]:
        """Arguments of the form macro; `raw` is the typed or stored value."""
        # Number and date inputs would drop a mask, and saving would then erase the value.
        is_text = self.mask and self.kind not in _TEXT_KINDS and isinstance(raw, str) and is_masked(raw)
        return {
            "name": self.name,
            "label": self.label,
            "kind": "text" if is_text else self.kind,
            "value": "" if raw is None else raw,
            "errors": errors,
            "required": self.is_required,
            "help": self.help,
            "options": None,
            "lookup_url": None,
            "selected": [],
            "multiple": False,
            "maxlength": self.max_length,
            "placeholder": None,
            "readonly": False,
            "autocomplete": "off",
        }

    def form_value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The stored value as the form shows it for editing."""
        return self.value(values, viewer)


def _first_known(values: tuple[Any, ...]) -> Any:
    """The first value that is not null; None if all are."""
    for value in values:
        if value is not None:
            return value
    return None


def validated(field: Field, value: Any) -> Any:
    """The value, after the view's own validators. Raises RuleBroken with their sentence."""
    if field.validators:
        run_validators(field.name, field.label, field.validators, value)
    return value


def converted(shown: Any, convert: Callable[[Any], Any]) -> Any:
    """The converted value; None and the text of a mask stay as they are."""
    return shown if shown is None or isinstance(shown, str) else convert(shown)


def limit_values(values: list[Any], name: str) -> list[Any]:
    """The values, if there are at most MAX_FILTER_VALUES. Raises RuleBroken."""
    if len(values) > MAX_FILTER_VALUES:
        raise RuleBroken(_("A filter takes at most %(most)s values.", most=MAX_FILTER_VALUES), name)
    return values


def clean_text(raw: Any, name: str, maximum: int, has_lines: bool = False) -> str | None:
    """The normalized text, or None if empty.

    Raises RuleBroken for other types, excess length, and characters that are never stored: control characters and,
    unless it `has_lines`, line breaks. The length is checked before anything else, and again after normalizing, which
    can lengthen the text.
    """
    if raw is None:
        return None
    if isinstance(raw, bool) or not isinstance(raw, str | int | float):
        raise RuleBroken(_("“%(name)s” must be text.", name=name), name)
    typed = str(raw)
    cleaned = _stored(typed, name, has_lines) if len(typed) <= (2 * maximum if has_lines else maximum) else typed
    if len(cleaned) > maximum:
        raise RuleBroken(
            _("“%(name)s” is too long: at most %(most)s characters.", name=name, most=grouped(maximum)), name
        )
    return cleaned or None


def _stored(typed: str, name: str, has_lines: bool) -> str:
    try:
        if has_lines:
            return text_normalization.lines(typed)
        return text_normalization.one_line(typed, name in typed_codes.UNCHANGED)
    except text_normalization.UnstorableText:
        sentence = _("“%(name)s” has a character that can't be stored. Please remove it.", name=name)
        raise RuleBroken(sentence, name) from None


class TextField(Field):
    """A field of short texts."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.operators = ("eq", "neq", "ct", "nct", "sw", "nsw", "ew", "new", "in", "not_in", "null")


class LongTextField(TextField):
    """A text of several lines."""

    kind = "textarea"
    has_lines = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_length == Field.max_length:
            self.max_length = MAX_LONG_TEXT


class ChoiceField(Field):
    """One of a fixed list of options."""

    kind = "choice"

    def __init__(
        self,
        *args: Any,
        options: tuple[str, ...] = (),
        colors: dict[str, str] | None = None,
        words: dict[str, Any] | None = None,
        **flags: Any,
    ) -> None:
        super().__init__(*args, **flags)
        #: Option -> its label on pages; programs and stored rows use the option.
        self.words = words or {}
        self.options, self.colors = options, colors or {}
        self.operators, self.schema = ("eq", "neq", "in", "null"), {"type": "string", "nullable": True}

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """One of the options, ignoring case."""
        text = clean_text(raw, self.name, 60)
        if text is None:
            return None
        for option in self.options:
            if option.casefold() == text.casefold():
                return option
        listed = ", ".join(self.options)
        raise RuleBroken(_("“%(name)s” must be one of: %(options)s.", name=self.name, options=listed), self.name)

    parse_filter = parse

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """The option, with a dot if it has a color."""
        shown = self.value(values, viewer)
        if shown is None:
            return {"kind": "missing"}
        return {
            "kind": "choice",
            "label": self.words.get(shown) or shown_label(shown),
            "color": self.colors.get(shown, ""),
        }

    def form_input(self, raw: Any, errors: list[str], viewer: Viewer) -> dict[str, Any]:
        """The input: a select."""
        options = [(option, self.words.get(option) or shown_label(option)) for option in self.options]
        return super().form_input(raw, errors, viewer) | {"options": options}


class NumberField(Field):
    """A field of whole numbers."""

    kind = "number"

    def __init__(self, *args: Any, least: int = 0, largest: int = 2**31 - 1, **flags: Any) -> None:
        super().__init__(*args, **flags)
        self.least, self.largest = least, largest
        self.operators, self.schema = (
            ("eq", "neq", "gt", "lt", "ge", "le", "in", "not_in", "null"),
            {"type": "integer", "nullable": True},
        )

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """A whole number within the bounds."""
        if raw is None or raw == "":
            return None
        try:
            number = int(str(raw)[:20]) if not isinstance(raw, bool | float) else None
        except ValueError:
            number = None
        if number is None or not self.least <= number <= self.largest:
            raise RuleBroken(_("“%(name)s” must be a whole number.", name=self.name), self.name)
        return number

    parse_filter = parse

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Show the number."""
        shown = self.value(values, viewer)
        return {"kind": "number", "text": str(shown)} if shown is not None else {"kind": "missing"}


#: Kinds of inputs that accept any text.
_TEXT_KINDS = ("text", "textarea", "email", "phone", "html")
