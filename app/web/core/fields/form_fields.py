"""WTForms support: the extra fields that a view declares as documented by FAB."""

from __future__ import annotations

from typing import Any

from werkzeug.datastructures import MultiDict
from wtforms import Form

from app.domain.base import RuleBroken, join_texts
from app.web.core.fields.base import Field
from app.web.core.localization.languages import FORM_TEXTS
from app.web.core.viewer import Viewer


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
