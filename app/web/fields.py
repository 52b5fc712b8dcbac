"""Kinds of fields: what each selects, says on the wire, shows in a cell, takes from a person, filters by."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from flask_babel import lazy_gettext as _
from sqlalchemy import ColumnElement, and_, false, func, not_, or_

from app.access import Person
from app.domain.base import RuleBroken
from app.lib import phone
from app.lib.identity import is_masked
from app.web.directory import Directory


@dataclass
class Glass:
    """Through whose eyes a row is read or a value taken: person, cards, zone, now."""

    who: Person
    cards: Directory
    zone: ZoneInfo
    now: datetime


@dataclass(eq=False)
class Field:
    """One column of the table of columns; subclasses know a kind.

    `columns`: ORM attributes to select; with two, the second is the customer's and wins where the first is null.
    `key`: the name by which the domain takes the value. Flags say where the field appears.
    """

    name: str
    label: Any
    columns: tuple[Any, ...] = ()
    key: str = ""
    listed: bool = False
    add: bool = False
    edit: bool = False
    filter: bool = False
    sort: bool = False
    mask: bool = False
    required: bool = False
    most: int = 255
    section: str = "main"
    help: Any = None
    ops: tuple[str, ...] = ("eq", "neq", "null")
    #: For OpenAPI.
    schema: dict[str, Any] = field(default_factory=lambda: {"type": "string", "nullable": True})
    kind = "text"

    def __post_init__(self) -> None:
        self.key = self.key or self.name

    def is_hidden(self, glass: Glass) -> bool:
        """Whether a mask keeps the person from searching, filtering and sorting by it."""
        return self.mask and glass.who.mask(self.name) != "full"

    # reading
    def is_plain(self, glass: Glass) -> bool:
        """Whether JSON says the one column's value as it is."""
        return type(self) in _PLAIN and len(self.columns) == 1 and not self.mask

    def value(self, values: tuple[Any, ...], glass: Glass) -> Any:
        """The row's value, the customer's before the record's own, masked for the person."""
        found = values[0]
        if found is None and len(values) > 1:
            found = next((other for other in values[1:] if other is not None), None)
        return glass.who.shown(self.name, found) if self.mask else found

    def wire(self, values: tuple[Any, ...], glass: Glass) -> Any:
        """As JSON says it."""
        return self.value(values, glass)

    def cell(self, values: tuple[Any, ...], glass: Glass) -> dict[str, Any]:
        """As the cell macro shows it."""
        shown = self.value(values, glass)
        return {"kind": "missing"} if shown in (None, "") else {"kind": "text", "text": str(shown)}

    # taking
    def take(self, raw: Any, glass: Glass) -> Any:
        """The domain's value of what a person or machine sent. Raises RuleBroken with a sentence."""
        return clean_text(raw, self.name, self.most)

    def put(self, values: dict[str, Any], raw: Any, glass: Glass) -> None:
        """Write the taken value into the domain's values; a mask sent back leaves the value as it is."""
        if self.mask and isinstance(raw, str) and is_masked(raw):
            return
        values[self.key] = self.take(raw, glass)

    # asking
    def where(self, op: str, raw: Any, glass: Glass) -> ColumnElement[bool]:
        """The SQL for a filter. Raises RuleBroken for an operator or value that makes no sense."""
        if op not in self.ops:
            raise RuleBroken(_("“%(name)s” cannot be filtered by “%(op)s”.", name=self.name, op=op), self.name)
        if op == "null":
            missing = and_(*[column.is_(None) for column in self.columns])
            return missing if str(raw).lower() not in ("false", "0", "no") else not_(missing)
        if op == "in":
            parts = raw if isinstance(raw, list) else str(raw).split(",")
            return self._any("in", [self.asked(part, glass) for part in parts[:200]])
        value = self.asked(raw, glass)
        if value is None and op not in ("eq", "neq"):
            raise RuleBroken(_("“%(name)s” cannot be compared with nothing.", name=self.name), self.name)
        return self._any(op, value)

    def asked(self, raw: Any, glass: Glass) -> Any:
        """The comparable value of a filter's text."""
        return clean_text(raw, self.name, 255)

    def _any(self, op: str, value: Any) -> ColumnElement[bool]:
        if op in ("neq", "nct"):
            return not_(func.coalesce(self._any("eq" if op == "neq" else "ct", value), false()))
        return or_(*[_compare(column, op, value) for column in self.asked_columns()])

    def asked_columns(self) -> tuple[Any, ...]:
        """Where a filter looks."""
        return self.columns

    def order(self) -> Any:
        """The SQL to sort by."""
        return self.columns[0] if len(self.columns) == 1 else func.coalesce(*reversed(self.columns))

    # forms
    def input(self, raw: Any, errors: list[str], glass: Glass) -> dict[str, Any]:
        """What the form macro needs; `raw` is the value as typed or as stored."""
        return {
            "name": self.name, "label": self.label, "kind": self.kind, "value": "" if raw is None else raw,
            "errors": errors, "required": self.required, "help": self.help, "options": None, "lookup_url": None,
            "selected": [], "multiple": False, "maxlength": self.most, "placeholder": None, "readonly": False,
            "autocomplete": "off",
        }  # fmt: skip

    def typed(self, values: tuple[Any, ...], glass: Glass) -> Any:
        """The stored value as the form shows it for editing."""
        return self.value(values, glass)


def _compare(column: Any, op: str, value: Any) -> ColumnElement[bool]:
    if op == "eq":
        return column == value if value is not None else column.is_(None)
    if op == "in":
        return column.in_(value) if value else false()
    if op in ("ct", "sw", "ew"):
        return {"ct": column.contains, "sw": column.startswith, "ew": column.endswith}[op](value, autoescape=True)
    return {"gt": column > value, "lt": column < value, "ge": column >= value, "le": column <= value}[op]


def clean_text(raw: Any, name: str, most: int) -> str | None:
    """A text without NUL or broken signs, or None. Raises RuleBroken for what is no text or too long."""
    if raw is None:
        return None
    if isinstance(raw, bool) or not isinstance(raw, str | int | float):
        raise RuleBroken(_("“%(name)s” must be a text.", name=name), name)
    text = str(raw)
    if "\x00" in text or any("\ud800" <= sign <= "\udfff" for sign in text):
        raise RuleBroken(_("“%(name)s” has a sign that cannot be stored. Please remove it.", name=name), name)
    if len(text) > most:
        raise RuleBroken(_("“%(name)s” is too long: at most %(most)s signs.", name=name, most=most), name)
    return text.strip() or None


class Text(Field):
    """A short text."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.ops = ("eq", "neq", "ct", "nct", "sw", "ew", "null", "in")


class Long(Text):
    """A text of several lines."""

    kind = "textarea"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.most = 20_000


class Name(Text):
    """First and last name as one cell that opens the record: selects pairs of (first, last)."""

    def value(self, values: tuple[Any, ...], glass: Glass) -> Any:
        """First and last name, the customer's where the record has none."""
        for first, last in zip(values[::2], values[1::2], strict=True):
            if first or last:
                return " ".join(part for part in (first, last) if part)
        return None

    def cell(self, values: tuple[Any, ...], glass: Glass) -> dict[str, Any]:
        """Name with initials."""
        shown = self.value(values, glass)
        return {"kind": "missing"} if not shown else {"kind": "name", "text": shown, "initials": initials(shown)}


class Phone(Field):
    """A telephone number: selects (typed, e164[, customer's typed, customer's e164])."""

    kind = "phone"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.ops, self.most, self.mask = ("eq", "null", "sw"), 40, True

    def value(self, values: tuple[Any, ...], glass: Glass) -> Any:
        """E.164 where it is known, else as typed; masked."""
        for typed, e164 in zip(values[::2], values[1::2], strict=True):
            if typed or e164:
                return glass.who.shown(self.name, e164 or typed)
        return None

    def cell(self, values: tuple[Any, ...], glass: Glass) -> dict[str, Any]:
        """Formatted, with a link to call unless masked."""
        shown = self.value(values, glass)
        if not shown:
            return {"kind": "missing"}
        if glass.who.mask(self.name) != "full":
            return {"kind": "text", "text": shown}
        return {"kind": "phone", "text": phone.shown(shown), "tel": shown}

    def asked(self, raw: Any, glass: Glass) -> Any:
        """Any spelling of the number, normalised."""
        text = clean_text(raw, self.name, 40) or ""
        return phone.normal(text) or text

    def asked_columns(self) -> tuple[Any, ...]:
        """The normalised ones."""
        return self.columns[1::2]

    def typed(self, values: tuple[Any, ...], glass: Glass) -> Any:
        """Formatted for people."""
        shown = self.value(values, glass)
        return phone.shown(shown) if shown and glass.who.mask(self.name) == "full" else shown


class Email(Field):
    """An e-mail address."""

    kind = "email"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.ops, self.most, self.mask = ("eq", "sw", "null"), 254, True

    def asked(self, raw: Any, glass: Glass) -> Any:
        """Lower case, as stored."""
        return (clean_text(raw, self.name, 254) or "").lower()

    def cell(self, values: tuple[Any, ...], glass: Glass) -> dict[str, Any]:
        """A link unless masked."""
        shown = self.value(values, glass)
        kind = "email" if glass.who.mask(self.name) == "full" else "text"
        return {"kind": kind, "text": shown} if shown else {"kind": "missing"}


class Secret(Field):
    """PAN or Aadhaar: selects the sealed and the blind value(s); opened only for those who may see it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.ops, self.most, self.mask = ("eq",), 20, True

    def value(self, values: tuple[Any, ...], glass: Glass) -> Any:
        """Opened and masked."""
        sealed = next((value for value in values[::2] if value), None)
        level = glass.who.mask(self.name)
        if sealed is None:
            return None
        return glass.who.shown(self.name, "······" if level == "hidden" else vault().open(sealed))

    def where(self, op: str, raw: Any, glass: Glass) -> ColumnElement[bool]:
        """Exact match through the blind index."""
        if op != "eq":
            raise RuleBroken(_("“%(name)s” can only be searched whole.", name=self.name), self.name)
        blind = vault().blind(clean_text(raw, self.name, 20) or "", self.name)
        return or_(*[column == blind for column in self.columns[1::2]])


def vault() -> Any:
    """The vault of this application."""
    from flask import current_app

    return current_app.extensions["vault"]


class Choice(Field):
    """One word of a fixed list."""

    kind = "choice"

    def __init__(
        self, *args: Any, options: tuple[str, ...], colors: dict[str, str] | None = None, **flags: Any
    ) -> None:
        super().__init__(*args, **flags)
        self.options, self.colors = options, colors or {}
        self.ops, self.schema = ("eq", "neq", "in", "null"), {"type": "string", "nullable": True}

    def take(self, raw: Any, glass: Glass) -> Any:
        """One of the options, any case."""
        text = clean_text(raw, self.name, 60)
        if text is None:
            return None
        for option in self.options:
            if option.casefold() == text.casefold():
                return option
        listed = ", ".join(self.options)
        raise RuleBroken(_("“%(name)s” must be one of: %(options)s.", name=self.name, options=listed), self.name)

    asked = take

    def cell(self, values: tuple[Any, ...], glass: Glass) -> dict[str, Any]:
        """A word with a dot where the option has a colour."""
        shown = self.value(values, glass)
        if shown is None:
            return {"kind": "missing"}
        return {"kind": "choice", "label": shown, "color": self.colors.get(shown, "")}

    def input(self, raw: Any, errors: list[str], glass: Glass) -> dict[str, Any]:
        """A select."""
        options = [(option, option) for option in self.options]
        return super().input(raw, errors, glass) | {"options": options}


class Master(Field):
    """A row of a pick-list, by id or label; answered as a card."""

    kind = "master"

    def __init__(self, *args: Any, master: str, status: bool = False, **flags: Any) -> None:
        super().__init__(*args, **flags)
        self.master, self.status = master, status
        self.ops = ("eq", "neq", "in", "null")
        self.schema = {"$ref": "#/components/schemas/StatusCard" if status else "#/components/schemas/Card"}

    def wire(self, values: tuple[Any, ...], glass: Glass) -> Any:
        """The card."""
        return glass.cards.card(self.master, values[0])

    def cell(self, values: tuple[Any, ...], glass: Glass) -> dict[str, Any]:
        """Dot and word for a status, else the label."""
        card = self.wire(values, glass)
        if card is None:
            return {"kind": "missing"}
        if self.status:
            return {"kind": "status", "label": card["label"], "color": card.get("color", "gray")}
        return {"kind": "text", "text": card["label"]}

    def take(self, raw: Any, glass: Glass) -> Any:
        """The row's id."""
        if raw is None or raw == "":
            return None
        found = glass.cards.find(self.master, raw)
        if found is None:
            raise RuleBroken(_("There is no “%(value)s” in this list.", value=str(raw)[:60]), self.name)
        return found

    asked = take

    def input(self, raw: Any, errors: list[str], glass: Glass) -> dict[str, Any]:
        """A select of what is on offer."""
        cards = glass.cards.cards[self.master]
        options = [(key, cards[key]["label"]) for key in glass.cards.offered[self.master]]
        if isinstance(raw, int) and raw in cards and raw not in dict(options):
            options.append((raw, cards[raw]["label"]))
        return super().input(raw, errors, glass) | {"options": options}

    def typed(self, values: tuple[Any, ...], glass: Glass) -> Any:
        """The id."""
        return values[0]


class Someone(Field):
    """A colleague, by id or user name; answered as a public card."""

    kind = "person"

    def __init__(self, *args: Any, **flags: Any) -> None:
        super().__init__(*args, **flags)
        self.ops = ("eq", "neq", "in", "null")
        self.schema = {"$ref": "#/components/schemas/UserCard"}

    def wire(self, values: tuple[Any, ...], glass: Glass) -> Any:
        """The public card."""
        return glass.cards.person(values[0])

    def cell(self, values: tuple[Any, ...], glass: Glass) -> dict[str, Any]:
        """Avatar and name."""
        card = glass.cards.person(values[0])
        return {"kind": "person", **person_card(card)} if card else {"kind": "missing"}

    def take(self, raw: Any, glass: Glass) -> Any:
        """The user's id."""
        if raw is None or raw == "":
            return None
        if raw == "@me":
            return glass.who.id
        found = glass.cards.find_person(raw)
        if found is None:
            raise RuleBroken(_("There is no colleague “%(value)s”.", value=str(raw)[:60]), self.name)
        return found

    asked = take

    def input(self, raw: Any, errors: list[str], glass: Glass) -> dict[str, Any]:
        """A type-ahead over colleagues."""
        card = glass.cards.person(raw) if isinstance(raw, int) else None
        chosen = [(raw, card["full_name"])] if card else []
        return super().input(raw, errors, glass) | {"lookup_url": "/people/lookup", "selected": chosen}

    def typed(self, values: tuple[Any, ...], glass: Glass) -> Any:
        """The id."""
        return values[0]


class Reference(Field):
    """Another record: selects (id, number[, more]); answered as {id, number, label}."""

    kind = "record"

    def __init__(self, *args: Any, record: Any, url: str, **flags: Any) -> None:
        super().__init__(*args, **flags)
        self.record, self.url = record, url
        self.ops = ("eq", "in", "null")
        self.schema = {"$ref": "#/components/schemas/RecordCard"}

    def wire(self, values: tuple[Any, ...], glass: Glass) -> Any:
        """A card, or only what may be known."""
        if values[0] is None or values[1] is None:
            return None
        label = " ".join(str(part) for part in values[2:] if part) or values[1]
        return {"id": values[0], "number": values[1], "label": label}

    def cell(self, values: tuple[Any, ...], glass: Glass) -> dict[str, Any]:
        """A link."""
        card = self.wire(values, glass)
        if card is None:
            return {"kind": "missing"}
        # People know a record by its name; the number is one click away.
        return {"kind": "record", "url": f"{self.url}{card['number']}", "number": card["label"], "label": ""}

    def take(self, raw: Any, glass: Glass) -> Any:
        """The id of a record that the person sees; every other one does not exist for him."""
        raw = raw.get("id", raw.get("number")) if isinstance(raw, dict) else raw
        if raw is None or raw == "":
            return None
        found = find_record(self.record, raw)
        if found is None:
            raise RuleBroken(_("There is no such record: %(value)s.", value=str(raw)[:60]), self.name)
        return found

    def asked(self, raw: Any, glass: Glass) -> Any:
        """An id or number; nothing found filters to nothing."""
        return find_record(self.record, raw) or -1

    def asked_columns(self) -> tuple[Any, ...]:
        """The foreign key."""
        return self.columns[:1]

    def input(self, raw: Any, errors: list[str], glass: Glass) -> dict[str, Any]:
        """A type-ahead over visible records."""
        chosen = [(raw["id"], raw["label"])] if isinstance(raw, dict) else []
        value = raw["id"] if isinstance(raw, dict) else raw
        return super().input(value, errors, glass) | {"lookup_url": f"{self.url}lookup", "selected": chosen}

    def typed(self, values: tuple[Any, ...], glass: Glass) -> Any:
        """The card."""
        return self.wire(values, glass)


def find_record(record: Any, raw: Any) -> int | None:
    """The id of a visible record by id or number."""
    from sqlalchemy import select

    from app.extensions import db

    text = str(raw).strip()
    if isinstance(raw, bool) or len(text) > 40 or not text.isascii():
        return None
    if text.isdigit():
        rule = record.id == int(text) if len(text) < 10 else false()
    else:
        rule = record.number == text.upper() if hasattr(record, "number") else false()
    found = db.session.execute(select(record.id).where(rule)).scalar()
    return int(found) if found is not None else None


class Number(Field):
    """A whole number."""

    kind = "number"

    def __init__(self, *args: Any, least: int = 0, largest: int = 2**31 - 1, **flags: Any) -> None:
        super().__init__(*args, **flags)
        self.least, self.largest = least, largest
        self.ops, self.schema = (
            ("eq", "neq", "gt", "lt", "ge", "le", "in", "null"),
            {"type": "integer", "nullable": True},
        )

    def take(self, raw: Any, glass: Glass) -> Any:
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

    asked = take

    def cell(self, values: tuple[Any, ...], glass: Glass) -> dict[str, Any]:
        """The number."""
        return {"kind": "number", "text": str(values[0])} if values[0] is not None else {"kind": "missing"}


class Duration(Number):
    """Seconds."""

    def cell(self, values: tuple[Any, ...], glass: Glass) -> dict[str, Any]:
        """As 1 h 2 m 3 s."""
        return {"kind": "duration", "text": span(values[0])} if values[0] else {"kind": "missing"}


class Flag(Field):
    """Yes or no."""

    kind = "flag"

    def __init__(self, *args: Any, **flags: Any) -> None:
        super().__init__(*args, **flags)
        self.ops, self.schema = ("eq", "neq"), {"type": "boolean"}

    def value(self, values: tuple[Any, ...], glass: Glass) -> Any:
        """True or False."""
        return bool(values[0])

    def take(self, raw: Any, glass: Glass) -> Any:
        """True or False from JSON or a form."""
        if isinstance(raw, bool):
            return raw
        words = {"1": True, "true": True, "on": True, "y": True, "yes": True, "0": False, "false": False, "": False,
                 "off": False, "no": False, "none": False}  # fmt: skip
        text = str(raw).lower()
        if text not in words:
            raise RuleBroken(_("“%(name)s” must be yes or no.", name=self.name), self.name)
        return words[text]

    asked = take

    def cell(self, values: tuple[Any, ...], glass: Glass) -> dict[str, Any]:
        """A tick or a dash."""
        return {"kind": "flag", "text": str(self.label), "on": True} if values[0] else {"kind": "missing"}


class Day(Field):
    """A date."""

    kind = "date"

    def __init__(self, *args: Any, **flags: Any) -> None:
        super().__init__(*args, **flags)
        self.ops = ("eq", "gt", "lt", "ge", "le", "null")
        self.schema = {"type": "string", "format": "date", "nullable": True}

    def wire(self, values: tuple[Any, ...], glass: Glass) -> Any:
        """ISO date."""
        return values[0].isoformat() if values[0] else None

    def take(self, raw: Any, glass: Glass) -> Any:
        """A date of this or a neighbouring century."""
        if raw is None or raw == "":
            return None
        try:
            day = date.fromisoformat(str(raw)[:10])
        except ValueError:
            day = None
        if day is None or not 1900 <= day.year <= 2199:
            raise RuleBroken(_("“%(name)s” must be a date such as 2026-11-30.", name=self.name), self.name)
        return day

    asked = take

    def cell(self, values: tuple[Any, ...], glass: Glass) -> dict[str, Any]:
        """As 30 Nov 2026."""
        if values[0] is None:
            return {"kind": "missing"}
        return {"kind": "date", "text": f"{values[0]:%-d %b %Y}", "iso": values[0].isoformat()}


class When(Field):
    """A moment: UTC inside, ISO 8601 with zone on the wire, the person's zone on the screen."""

    kind = "moment"

    def __init__(self, *args: Any, due: bool = False, **flags: Any) -> None:
        super().__init__(*args, **flags)
        #: A time by which something is owed is coloured when it is near or past.
        self.due = due
        self.ops = ("eq", "gt", "lt", "ge", "le", "null")
        self.schema = {"type": "string", "format": "date-time", "nullable": True}

    def wire(self, values: tuple[Any, ...], glass: Glass) -> Any:
        """ISO 8601 in UTC."""
        return values[0].isoformat() if values[0] else None

    def take(self, raw: Any, glass: Glass) -> Any:
        """A moment; without a zone it is taken in the person's."""
        if raw is None or raw == "":
            return None
        try:
            moment = raw if isinstance(raw, datetime) else datetime.fromisoformat(str(raw).strip()[:40])
            moment = moment if moment.tzinfo else moment.replace(tzinfo=glass.zone)
            moment = moment.astimezone(UTC)
        except (ValueError, OverflowError):
            moment = None
        if moment is None or not 1900 <= moment.year <= 2199:
            text = _("“%(name)s” must be a date and time such as 2026-11-30T17:30+05:30.", name=self.name)
            raise RuleBroken(text, self.name)
        return moment

    asked = take

    def cell(self, values: tuple[Any, ...], glass: Glass) -> dict[str, Any]:
        """Relative, the exact moment in the tooltip."""
        return moment_cell(values[0], glass, self.due)

    def typed(self, values: tuple[Any, ...], glass: Glass) -> Any:
        """For datetime-local, in the person's zone."""
        return values[0].astimezone(glass.zone).strftime("%Y-%m-%dT%H:%M") if values[0] else None


def moment_cell(moment: datetime | None, glass: Glass, due: bool = False) -> dict[str, Any]:
    """A moment for the cell macro: {iso, text, title, tone}."""
    if moment is None:
        return {"kind": "missing"}
    local = moment.astimezone(glass.zone)
    tone = ""
    if due:
        left = (moment - glass.now).total_seconds()
        tone = "late" if left < 0 else "soon" if left < 7200 else ""
    return {"kind": "moment", "iso": moment.isoformat(), "text": relative(moment, glass), "tone": tone,
            "title": f"{local:%a %-d %b %Y, %H:%M}"}  # fmt: skip


def relative(moment: datetime, glass: Glass) -> str:
    """How long ago or ahead, in words."""
    seconds = (glass.now - moment).total_seconds()
    ahead, size = seconds < 0, abs(seconds)
    if size < 60:
        return str(_("now"))
    for most, unit, word in ((3600, 60, "min"), (86_400, 3600, "h"), (7 * 86_400, 86_400, "d")):
        if size < most:
            count = int(size // unit)
            return str(
                _("in %(n)s %(unit)s", n=count, unit=word) if ahead else _("%(n)s %(unit)s ago", n=count, unit=word)
            )
    local = moment.astimezone(glass.zone)
    return f"{local:%-d %b}" if local.year == glass.now.astimezone(glass.zone).year else f"{local:%-d %b %Y}"


def span(seconds: int | None) -> str:
    """Seconds as 1h 2m 3s."""
    hours, rest = divmod(int(seconds or 0), 3600)
    minutes, secs = divmod(rest, 60)
    parts = [(hours, "h"), (minutes, "m"), (secs, "s")]
    return " ".join(f"{n}{unit}" for n, unit in parts if n) or "0s"


def initials(name: str) -> str:
    """Two letters for an avatar."""
    words = [word for word in name.split() if word]
    return "".join(word[0] for word in (words[:1] + words[-1:] if len(words) > 1 else words))[:2].upper()


def person_card(card: dict[str, Any]) -> dict[str, Any]:
    """A user's card with initials, for avatars."""
    return {"full_name": card["full_name"], "username": card["username"], "initials": initials(card["full_name"])}


#: Kinds that add nothing to the value of one unmasked column.
_PLAIN = (Text, Long, Choice, Number, Duration)
