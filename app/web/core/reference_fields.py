"""Fields that point to a row: of a pick-list, a colleague, another record."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy import false, select

from app.domain.base import RuleBroken
from app.extensions import db
from app.web.core.fields import Field, Glass
from app.web.core.personal_fields import initials


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
    text = str(raw).strip()
    if isinstance(raw, bool) or len(text) > 40 or not text.isascii():
        return None
    if text.isdigit():
        rule = record.id == int(text) if len(text) < 10 else false()
    else:
        rule = record.number == text.upper() if hasattr(record, "number") else false()
    found = db.session.execute(select(record.id).where(rule)).scalar()
    return int(found) if found is not None else None


def person_card(card: dict[str, Any]) -> dict[str, Any]:
    """A user's card with initials, for avatars."""
    return {"full_name": card["full_name"], "username": card["username"], "initials": initials(card["full_name"])}
