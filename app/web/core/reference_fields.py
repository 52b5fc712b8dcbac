"""Fields that reference a master row, a colleague or another record."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy import false, select

from app.domain.base import RuleBroken
from app.extensions import db
from app.lib.ids import parse_id
from app.web.core.fields import Field, Viewer
from app.web.core.personal_fields import initials
from app.web.core.registry import screen_of


class MasterField(Field):
    """A row of a master, by id or label; serialized as a card."""

    kind = "master"

    def __init__(self, *args: Any, master: str, status: bool = False, **flags: Any) -> None:
        super().__init__(*args, **flags)
        self.master, self.status = master, status
        self.operators = ("eq", "neq", "in", "null")
        self.schema = {"$ref": "#/components/schemas/StatusCard" if status else "#/components/schemas/Card"}

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The card."""
        return viewer.lookups.card(self.master, values[0])

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """A status with its colour, else the label."""
        card = self.serialize(values, viewer)
        if card is None:
            return {"kind": "missing"}
        if self.status:
            return {"kind": "status", "label": card["label"], "color": card.get("color", "gray")}
        return {"kind": "text", "text": card["label"]}

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """The row's id."""
        if raw is None or raw == "":
            return None
        found = viewer.lookups.find(self.master, raw)
        if found is None:
            raise RuleBroken(_("There is no “%(value)s” in this list.", value=str(raw)[:60]), self.name)
        return found

    parse_filter = parse

    def form_input(self, raw: Any, errors: list[str], viewer: Viewer) -> dict[str, Any]:
        """A select of the active rows."""
        cards = viewer.lookups.cards[self.master]
        options = [(key, cards[key]["label"]) for key in viewer.lookups.offered[self.master]]
        if isinstance(raw, int) and raw in cards and raw not in dict(options):
            options.append((raw, cards[raw]["label"]))
        return super().form_input(raw, errors, viewer) | {"options": options}

    def form_value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The id."""
        return values[0]


class PersonField(Field):
    """A colleague, by id or user name; serialized as a public card."""

    kind = "person"

    def __init__(self, *args: Any, **flags: Any) -> None:
        super().__init__(*args, **flags)
        self.operators = ("eq", "neq", "in", "null")
        self.schema = {"$ref": "#/components/schemas/UserCard"}

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The public card."""
        return viewer.lookups.person(values[0])

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Avatar and name."""
        card = viewer.lookups.person(values[0])
        return {"kind": "person", **person_card(card)} if card else {"kind": "missing"}

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """The user's id."""
        if raw is None or raw == "":
            return None
        if raw == "@me":
            return viewer.person.id
        found = viewer.lookups.find_person(raw)
        if found is None:
            raise RuleBroken(_("There is no colleague “%(value)s”.", value=str(raw)[:60]), self.name)
        return found

    parse_filter = parse

    def form_input(self, raw: Any, errors: list[str], viewer: Viewer) -> dict[str, Any]:
        """A type-ahead over colleagues."""
        card = viewer.lookups.person(raw) if isinstance(raw, int) else None
        chosen = [(raw, card["full_name"])] if card else []
        return super().form_input(raw, errors, viewer) | {"lookup_url": "/people/lookup", "selected": chosen}

    def form_value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The id."""
        return values[0]


class RecordField(Field):
    """Another record: selects (id, number[, more]); serialized as {id, number, label}."""

    kind = "record"

    def __init__(self, *args: Any, record: Any, **flags: Any) -> None:
        super().__init__(*args, **flags)
        self.record = record
        self.operators = ("eq", "in", "null")
        self.schema = {"$ref": "#/components/schemas/RecordCard"}

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The card; None if the record is not visible."""
        if values[0] is None or values[1] is None:
            return None
        label = " ".join(str(part) for part in values[2:] if part) or values[1]
        return {"id": values[0], "number": values[1], "label": label}

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """A link."""
        card = self.serialize(values, viewer)
        if card is None:
            return {"kind": "missing"}
        # People know a record by its name; the number is one click away.
        return {"kind": "record", "url": f"{self.url}{card['number']}", "number": card["label"], "label": ""}

    @property
    def url(self) -> str:
        """The URL of the screen of these records."""
        screen = screen_of(self.record)
        return f"{screen.route_base}/" if screen is not None else "/"

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """The id of a record that the person sees. Raises RuleBroken for any other."""
        raw = raw.get("id", raw.get("number")) if isinstance(raw, dict) else raw
        if raw is None or raw == "":
            return None
        found = find_record(self.record, raw)
        if found is None:
            raise RuleBroken(_("There is no such record: %(value)s.", value=str(raw)[:60]), self.name)
        return found

    def parse_filter(self, raw: Any, viewer: Viewer) -> Any:
        """The id for an id or number; -1, which matches nothing, if there is none."""
        return find_record(self.record, raw) or -1

    def filter_columns(self) -> tuple[Any, ...]:
        """The foreign key."""
        return self.columns[:1]

    def form_input(self, raw: Any, errors: list[str], viewer: Viewer) -> dict[str, Any]:
        """A type-ahead over visible records."""
        chosen = [(raw["id"], raw["label"])] if isinstance(raw, dict) else []
        value = raw["id"] if isinstance(raw, dict) else raw
        return super().form_input(value, errors, viewer) | {"lookup_url": f"{self.url}lookup", "selected": chosen}

    def form_value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The card."""
        return self.serialize(values, viewer)


def find_record(record: Any, raw: Any) -> int | None:
    """The id of a visible record by id or number."""
    text = str(raw).strip()
    if isinstance(raw, bool) or len(text) > 40 or not text.isascii():
        return None
    key = parse_id(text)
    if key is not None:
        rule = record.id == key
    else:
        rule = record.number == text.upper() if hasattr(record, "number") else false()
    found = db.session.execute(select(record.id).where(rule)).scalar()
    return int(found) if found is not None else None


def person_card(card: dict[str, Any]) -> dict[str, Any]:
    """A user's card with initials, for avatars."""
    return {"full_name": card["full_name"], "username": card["username"], "initials": initials(card["full_name"])}
