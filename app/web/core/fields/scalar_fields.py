"""Fields of columns with a type of their own: decimal numbers, durations, Python enums, yes or no."""

from __future__ import annotations

import enum
from decimal import Decimal, InvalidOperation
from typing import Any

from flask_babel import lazy_gettext as _

from app.domain.base import RuleBroken
from app.lib import clock_lengths
from app.web.core.fields.base import Field, NumberField, converted
from app.web.core.localization.durations import span
from app.web.core.viewer import Viewer

_HOW_TO_TYPE = _("Minutes and seconds, such as 4:30; a number alone is seconds.")


class DecimalField(Field):
    """A number with a fraction."""

    kind = "number"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.operators, self.schema = (
            ("eq", "neq", "gt", "lt", "ge", "le", "null"),
            {"type": "number", "nullable": True},
        )

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The value as a JSON number."""
        return converted(self.value(values, viewer), float)

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """A finite decimal number. Raises RuleBroken for anything else."""
        if raw is None or raw == "":
            return None
        try:
            number = None if isinstance(raw, bool) else Decimal(str(raw)[:40])
        except InvalidOperation:
            number = None
        if number is None or not number.is_finite() or abs(number) >= Decimal(10) ** 15:
            raise RuleBroken(_("“%(name)s” must be a number.", name=self.name), self.name)
        return number

    parse_filter = parse


class DurationField(NumberField):
    """A field of durations in seconds; people see and type minutes and seconds."""

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """The seconds of 4:30, 1:04:30 or 270, within the bounds."""
        text = raw.strip() if isinstance(raw, str) else ""
        if not text or text.isdigit():
            return super().parse(raw, viewer)
        seconds = clock_lengths.seconds_of(text)
        if seconds is None:
            raise RuleBroken(_("Please enter minutes and seconds, such as 4:30, or seconds."), self.name)
        return super().parse(seconds, viewer)

    parse_filter = parse

    def form_input(self, raw: Any, errors: list[str], viewer: Viewer) -> dict[str, Any]:
        """A text input."""
        more = {"kind": "text", "maxlength": 12, "help": self.help or _HOW_TO_TYPE}
        return super().form_input(raw, errors, viewer) | more

    def form_value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The stored seconds as 4:30."""
        return converted(self.value(values, viewer), clock_lengths.text_of)

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Show as 1 h 2 m 3 s."""
        if self.is_hidden(viewer):
            return super().cell(values, viewer)
        return {"kind": "duration", "text": span(values[0])} if values[0] else {"kind": "missing"}


class EnumField(Field):
    """One member of a Python enum, by its name."""

    kind = "choice"

    def __init__(self, *args: Any, enum: type[enum.Enum], **flags: Any) -> None:
        super().__init__(*args, **flags)
        self.enum = enum
        self.operators = ("eq", "neq", "in", "null")
        self.schema = {"type": "string", "enum": [*enum.__members__, None], "nullable": True}

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The name of the member."""
        return converted(self.value(values, viewer), lambda member: member.name)

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Show the member's value in words."""
        shown = converted(self.value(values, viewer), lambda member: str(member.value))
        return {"kind": "text", "text": shown} if shown is not None else {"kind": "missing"}

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """The member of this name or value. Raises RuleBroken for any other."""
        if raw is None or raw == "":
            return None
        for name, member in self.enum.__members__.items():
            if raw in (name, member.value, member, str(member)):
                return member
        listed = ", ".join(self.enum.__members__)
        raise RuleBroken(_("“%(name)s” must be one of: %(options)s.", name=self.name, options=listed), self.name)

    parse_filter = parse

    def form_input(self, raw: Any, errors: list[str], viewer: Viewer) -> dict[str, Any]:
        """The input: a select."""
        chosen = getattr(raw, "name", raw)
        options = [(name, str(member.value)) for name, member in self.enum.__members__.items()]
        return super().form_input(chosen, errors, viewer) | {"options": options}


class BooleanField(Field):
    """A field of yes or no."""

    kind = "flag"

    def __init__(self, *args: Any, **flags: Any) -> None:
        super().__init__(*args, **flags)
        self.operators, self.schema = ("eq", "neq"), {"type": "boolean"}

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """True or False; None if it is masked."""
        return None if self.is_hidden(viewer) else bool(values[0])

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """True or False from JSON or a form."""
        if isinstance(raw, bool):
            return raw
        words = {
            "1": True,
            "true": True,
            "on": True,
            "y": True,
            "yes": True,
            "0": False,
            "false": False,
            "": False,
            "off": False,
            "n": False,
            "no": False,
            "none": False,
        }
        text = str(raw).lower()
        if text not in words:
            raise RuleBroken(_("“%(name)s” must be yes or no.", name=self.name), self.name)
        return words[text]

    parse_filter = parse

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Show a tick or a dash."""
        shown = self.value(values, viewer)
        return {"kind": "flag", "text": str(self.label), "on": True} if shown else {"kind": "missing"}
