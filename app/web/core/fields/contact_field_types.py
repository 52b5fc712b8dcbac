"""Contact fields: name, phone number, email address, PAN and Aadhaar, with masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy import ColumnElement, func, or_

from app.domain.base import RuleBroken
from app.file_store_and_vault import vault
from app.lib import phone
from app.web.core.fields.base import Field, TextField, clean_text
from app.web.core.viewer import Viewer


class NameField(TextField):
    """First and last name as one cell that opens the record: selects pairs of (first, last).

    `avatar`: two columns that identify the person's picture; `avatar_url` makes its URL from their values.
    """

    def __init__(self, *args: Any, avatar: tuple[Any, ...] = (), avatar_url: Any = None, **flags: Any) -> None:
        super().__init__(*args, **flags)
        self.avatar, self.avatar_url, self.columns = avatar, avatar_url, (*self.columns, *avatar)

    @property
    def names(self) -> tuple[Any, ...]:
        """The columns that hold names."""
        return self.columns[: len(self.columns) - len(self.avatar)]

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """First and last name; the customer's if the record has none."""
        named = values[: len(values) - len(self.avatar)]
        for first, last in zip(named[::2], named[1::2], strict=True):
            if first or last:
                return f"{first} {last}" if first and last else first or last
        return None

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """The name with initials or, if there is one, the picture."""
        shown = self.value(values, viewer)
        if not shown:
            return {"kind": "missing"}
        url = self.avatar_url(*values[-len(self.avatar) :]) if self.avatar else None
        return {"kind": "name", "text": shown, "initials": initials(shown)} | ({"picture": url} if url else {})

    def filter_columns(self) -> tuple[Any, ...]:
        """The columns that filters compare: the names."""
        return self.names

    def empty_columns(self) -> tuple[Any, ...]:
        """The columns that are null if it is empty: the names."""
        return self.names

    def order(self) -> Any:
        """Sort by the last name, else by the first."""
        return func.coalesce(*reversed(self.names))


def _number(values: tuple[Any, ...]) -> Any:
    """The first number of pairs (typed, E.164): E.164 if known, else as typed."""
    for place in range(0, len(values), 2):
        found = values[place + 1] or values[place]
        if found:
            return found
    return None


class PhoneField(Field):
    """A phone number: selects (typed, e164[, customer's typed, customer's e164]).

    `others`: normalized columns of the person's other number, which also finds a caller, unless it is masked.
    """

    kind = "phone"

    def __init__(self, *args: Any, others: tuple[Any, ...] = (), **flags: Any) -> None:
        super().__init__(*args, **flags)
        self.others = others

    def __post_init__(self) -> None:
        super().__post_init__()
        self.operators, self.max_length, self.mask = ("eq", "null", "sw"), 40, True

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """E.164 if known, else as typed; masked."""
        return viewer.person.mask_value(self.name, _number(values))

    def joint_converter(self, viewer: Viewer) -> Callable[[tuple[Any, ...]], Any] | None:
        """The same, of people who see whole numbers."""
        kind = type(self)
        is_usual = kind.serialize is Field.serialize and kind.value is PhoneField.value
        return _number if is_usual and viewer.person.mask(self.name) == "full" else None

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Formatted, with a link to call unless masked."""
        shown = self.value(values, viewer)
        if not shown:
            return {"kind": "missing"}
        if viewer.person.mask(self.name) != "full":
            return {"kind": "text", "text": shown}
        return {"kind": "phone", "text": phone.display(shown), "tel": shown}

    def parse_filter(self, raw: Any, viewer: Viewer) -> Any:
        """Any spelling of the number, normalized."""
        text = clean_text(raw, self.name, 40) or ""
        return phone.normalize(text) or text

    def where(self, op: str, raw: Any, viewer: Viewer) -> ColumnElement[bool]:
        """Filter by the number; "is" also matches other numbers of the person."""
        rule = super().where(op, raw, viewer)
        value = self.parse_filter(raw, viewer) if op == "eq" else None
        if not value or not self.others or viewer.person.mask("alternative_mobile") != "full":
            return rule
        return or_(rule, *[column == value for column in self.others])

    def filter_columns(self) -> tuple[Any, ...]:
        """The columns that filters compare: the normalized columns."""
        return self.columns[1::2]

    def searched_columns(self) -> tuple[Any, ...]:
        """The normalized columns that a search looks in; each has an index for its last digits."""
        return self.filter_columns()

    def form_value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The number, formatted for reading."""
        shown = self.value(values, viewer)
        return phone.display(shown) if shown and viewer.person.mask(self.name) == "full" else shown


class EmailField(Field):
    """A field of email addresses."""

    kind = "email"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.operators, self.max_length, self.mask = ("eq", "sw", "null"), 254, True

    def parse_filter(self, raw: Any, viewer: Viewer) -> Any:
        """Lower case, as stored."""
        return (clean_text(raw, self.name, 254) or "").lower()

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Show a link unless masked."""
        shown = self.value(values, viewer)
        kind = "email" if viewer.person.mask(self.name) == "full" else "text"
        return {"kind": kind, "text": shown} if shown else {"kind": "missing"}


class SecretField(Field):
    """PAN or Aadhaar: selects the encrypted value(s) and blind index(es); decrypted only for people who may see it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.operators, self.max_length, self.mask = ("eq",), 20, True

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The value, decrypted and masked."""
        sealed = values[0] or next((value for value in values[2::2] if value), None)
        if sealed is None:
            return None
        level = viewer.person.mask(self.name)
        return viewer.person.mask_value(self.name, "······" if level == "hidden" else vault().open(sealed))

    def where(self, op: str, raw: Any, viewer: Viewer) -> ColumnElement[bool]:
        """Exact match through the blind index."""
        if op != "eq":
            raise RuleBroken(_("“%(name)s” can only be searched by its full value.", name=self.name), self.name)
        blinds = vault().blinds(clean_text(raw, self.name, 20) or "", self.name)
        return or_(*[column == blind for column in self.columns[1::2] for blind in blinds])


def initials(name: str) -> str:
    """Two letters for an avatar."""
    words = name.split()
    return "".join([word[0] for word in words[:1] + words[1:][-1:]])[:2].upper()
