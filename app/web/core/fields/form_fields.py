"""WTForms support: the extra fields and validators that a view declares as documented by FAB."""

from __future__ import annotations

from copy import copy
from types import SimpleNamespace
from typing import Any

from flask_babel import gettext
from marshmallow import ValidationError as SchemaError
from marshmallow.validate import Validator
from werkzeug.datastructures import MultiDict
from wtforms import Form
from wtforms.validators import StopValidation, ValidationError

from app.domain.base import RuleBroken, gettext_noop, join_texts
from app.web.core.fields.base import Field
from app.web.core.localization.languages import FORM_TEXTS
from app.web.core.viewer import Viewer

#: Messages of marshmallow's validators, which fill in values themselves.
_SCHEMA_TEXTS = (
    gettext_noop("Shorter than minimum length {min}."),
    gettext_noop("Longer than maximum length {max}."),
    gettext_noop("Length must be between {min} and {max}."),
    gettext_noop("Length must be {equal}."),
    gettext_noop("Must be greater than {min}."),
    gettext_noop("Must be greater than or equal to {min}."),
    gettext_noop("Must be less than {max}."),
    gettext_noop("Must be less than or equal to {max}."),
    gettext_noop("Must be greater than or equal to {min} and less than or equal to {max}."),
    gettext_noop("Must be equal to {other}."),
    gettext_noop("Must be one of: {choices}."),
    gettext_noop("String does not match expected pattern."),
    gettext_noop("Not a valid URL."),
    gettext_noop("Not a valid email address."),
    gettext_noop("Invalid input."),
)
#: The attributes with these messages.
_SCHEMA_ATTRIBUTES = ("error", "message_min", "message_max", "message_all", "message_equal")


class _TranslatedForm(Form):
    """A form that speaks the language of the response."""

    class Meta:
        """Read by WTForms."""

        def get_translations(self, form: Any) -> Any:
            """The catalog of this application."""
            return FORM_TEXTS


class FormField(Field):
    """A WTForms field of `add_form_extra_fields` or `edit_form_extra_fields`; shown as the model's own column."""

    kind = "html"

    def __init__(self, name: str, unbound: Any, shown: Field | None) -> None:
        super().__init__(name, unbound.args[0] if unbound.args else unbound.kwargs.get("label"))
        self.unbound, self.shown = unbound, shown
        if shown is not None:
            self.columns, self.operators, self.schema = shown.columns, shown.operators, shown.schema
            self.required, self.mask = shown.required, shown.mask

    def _bound(self, raw: Any, is_typed: bool) -> Any:
        form_class = type("ExtraForm", (_TranslatedForm,), {self.name: self.unbound})
        if not is_typed:
            return _with_key(form_class(data={self.name: raw})[self.name])
        parts = raw if isinstance(raw, list) else [] if raw is None else [raw]
        form = form_class(MultiDict([(self.name, str(part)) for part in parts]))
        _with_key(form[self.name])
        form.validate()
        return form[self.name]

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """The input as the WTForms field parses it. Raises RuleBroken with the field's messages."""
        bound = self._bound(raw, is_typed=True)
        if bound.errors:
            raise RuleBroken(join_texts(map(str, bound.errors)), self.name)
        return bound.data

    def prepare(self, rows: list[tuple[Any, ...]], viewer: Viewer) -> None:
        """Load what the model's own column needs."""
        if hasattr(self.shown, "prepare"):
            self.shown.prepare(rows, viewer)  # type: ignore[union-attr]

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The value of the model's own column."""
        return self.shown.value(values, viewer) if self.shown is not None else None

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """Serialize as the model's own column."""
        return self.shown.serialize(values, viewer) if self.shown is not None else None

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Show as the model's own column."""
        return self.shown.cell(values, viewer) if self.shown is not None else {"kind": "missing"}

    def where(self, op: str, raw: Any, viewer: Viewer) -> Any:
        """Filter as the model's own column."""
        assert self.shown is not None  # noqa: S101  (a field without columns is never filtered)
        return self.shown.where(op, raw, viewer)

    def form_input(self, raw: Any, errors: list[str], viewer: Viewer) -> dict[str, Any]:
        """The control that the WTForms field renders."""
        is_typed = isinstance(raw, str | list)
        bound = self._bound(raw, is_typed)
        look = "form-select" if hasattr(bound, "iter_choices") else "form-control"
        control = bound(id=f"f-{self.name}", class_=look)
        made = super().form_input(None, errors, viewer)
        return made | {
            "html": control,
            "required": self.required or bool(bound.flags.required),
            "help": bound.description or self.help,
        }


def _with_key(bound: Any) -> Any:
    """The bound field; a FAB QuerySelectField without a `get_pk_func` identifies rows by id."""
    if getattr(bound, "get_pk_func", True) is None:
        bound.get_pk_func = lambda row: row.id
    return bound


def run_validators(field: Field, value: Any) -> None:
    """Run a view's validators on a parsed value: WTForms' `(form, field)` or marshmallow's `(value)`.

    Raises RuleBroken with the validator's own message.
    """
    stub = SimpleNamespace(
        data=value,
        raw_data=[value],
        label=SimpleNamespace(text=str(field.label)),
        name=field.name,
        errors=[],
        gettext=FORM_TEXTS.gettext,
        ngettext=FORM_TEXTS.ngettext,
        flags=SimpleNamespace(),
    )
    for validator in field.validators:
        try:
            if _takes_form(validator):
                validator(SimpleNamespace(_id=None), stub)
            elif _translated(validator)(value) is False:
                raise RuleBroken(gettext("This value isn't accepted."), field.name)
        except (ValidationError, StopValidation) as refused:
            if refused.args and refused.args[0]:
                raise RuleBroken(str(refused.args[0]), field.name) from None
        except SchemaError as refused:
            raise RuleBroken(join_texts(map(str, refused.messages)), field.name) from None


def _translated(validator: Any) -> Any:
    """A marshmallow validator with its messages in the language of this response; any other unchanged."""
    if not isinstance(validator, Validator):
        return validator
    made = copy(validator)
    for name in _SCHEMA_ATTRIBUTES:
        text = getattr(made, name, None)
        if text in _SCHEMA_TEXTS:
            setattr(made, name, gettext(text))
    return made


def _takes_form(validator: Any) -> bool:
    """Whether the validator is one of WTForms, called with the form and the field."""
    called = validator if hasattr(validator, "__code__") else type(validator).__call__
    code = getattr(called, "__code__", None)
    count = code.co_argcount if code is not None else 1
    return count - (0 if called is validator else 1) == 2
