"""Fields that reference a picklist row, a colleague or another record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask_babel import lazy_gettext as _
from sqlalchemy import false, or_, select

from app import access
from app.domain.base import RuleBroken
from app.extensions import db
from app.lib import phone
from app.lib.ids import parse_id
from app.models import Customer, CustomerAccount
from app.web.core.fields.base import Field
from app.web.core.fields.contact_field_types import initials
from app.web.core.flask_internals import app_context
from app.web.core.localization.default_labels import shown_label
from app.web.core.urls.merged_redirects import merged_numbers
from app.web.core.view_registry import screen_of
from app.web.core.viewer import Viewer


class PicklistField(Field):
    """A row of a picklist, by id or label; serialized as a card."""

    kind = "picklist"
    honors_mask = False

    def __init__(self, *args: Any, picklist: str, status: bool = False, **flags: Any) -> None:
        super().__init__(*args, **flags)
        self.picklist, self.status = picklist, status
        self.operators = ("eq", "neq", "in", "null")
        self.schema = {"$ref": "#/components/schemas/StatusCard" if status else "#/components/schemas/Card"}

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The card of the row: {id, label, color}."""
        return viewer.lookups.card(self.picklist, values[0])

    def converter(self, viewer: Viewer) -> Callable[[Any], Any] | None:
        """The same, of the id."""
        is_usual = type(self).serialize is PicklistField.serialize and len(self.columns) == 1
        return viewer.lookups.cards[self.picklist].get if is_usual else None

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Show a status with its color, else the label."""
        card = self.serialize(values, viewer)
        if card is None:
            return {"kind": "missing"}
        if self.status:
            return {"kind": "status", "label": shown_label(card["label"]), "color": card.get("color", "gray")}
        return {"kind": "text", "text": shown_label(card["label"])}

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """The id of the row. Raises RuleBroken."""
        if raw is None or raw == "":
            return None
        found = viewer.lookups.find(self.picklist, raw)
        if found is None:
            raise RuleBroken(_("There is no “%(value)s” in this list.", value=str(raw)[:60]), self.name)
        return found

    parse_filter = parse

    def form_input(self, raw: Any, errors: list[str], viewer: Viewer) -> dict[str, Any]:
        """A select of the active rows."""
        cards = viewer.lookups.cards[self.picklist]
        options = [(key, shown_label(cards[key]["label"])) for key in viewer.lookups.offered[self.picklist]]
        if isinstance(raw, int) and raw in cards and raw not in dict(options):
            options.append((raw, shown_label(cards[raw]["label"])))
        return super().form_input(raw, errors, viewer) | {"options": options}

    def form_value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The value of the input: the id."""
        return values[0]


#: Columns of those who get a record.
_RECIPIENTS = ("assignee", "owner")


class PersonField(Field):
    """A colleague, by id or user name; serialized as a public card."""

    kind = "person"
    honors_mask = False

    def __init__(self, *args: Any, receives: str = "", **flags: Any) -> None:
        """`receives`: the table of the records that the chosen colleague gets, for an input without a column."""
        super().__init__(*args, **flags)
        self.receives = receives or (self.columns[0].class_.__tablename__ if self._is_recipient() else "")
        self.operators = ("eq", "neq", "in", "null")
        self.schema = {"$ref": "#/components/schemas/UserCard"}

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The public card of the user."""
        return viewer.lookups.person(values[0])

    def converter(self, viewer: Viewer) -> Callable[[Any], Any] | None:
        """The same, of the id."""
        is_usual = type(self).serialize is PersonField.serialize and len(self.columns) == 1
        return viewer.lookups.people.get if is_usual else None

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Show the avatar and the name."""
        card = viewer.lookups.person(values[0])
        return {"kind": "person", **person_card(card)} if card else {"kind": "missing"}

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """The id of the user. Raises RuleBroken."""
        if raw is None or raw == "":
            return None
        if raw == "@me":
            return viewer.person.id
        found = viewer.lookups.find_person(raw)
        return found if found is not None else self._found_by_name(raw, viewer)

    def _found_by_name(self, raw: Any, viewer: Viewer) -> int:
        """The id of the one active colleague of this full name. Raises RuleBroken."""
        name = " ".join(str(raw).split()).casefold()
        people = viewer.lookups.people
        found = [key for key in viewer.lookups.active if people[key]["full_name"].casefold() == name]
        if len(found) > 1:
            text = _("Several colleagues are called “%(value)s”. Please choose one from the list.", value=str(raw)[:60])
            raise RuleBroken(text, self.name)
        if not found:
            raise RuleBroken(_("There is no colleague “%(value)s”.", value=str(raw)[:60]), self.name)
        return found[0]

    parse_filter = parse

    def form_input(self, raw: Any, errors: list[str], viewer: Viewer) -> dict[str, Any]:
        """A type-ahead over colleagues."""
        card = viewer.lookups.person(raw) if isinstance(raw, int) else None
        # Input that matches nobody is shown again, so that it can be corrected.
        chosen = [(raw, card["full_name"] if card else str(raw))] if raw else []
        return super().form_input(raw, errors, viewer) | {"lookup_url": self._lookup_url(), "selected": chosen}

    def _lookup_url(self) -> str:
        """Of an assignee or owner, the lookup begins with those to whom the viewer may assign such records."""
        return f"/people/lookup?first={self.receives}" if self.receives else "/people/lookup"

    def _is_recipient(self) -> bool:
        return self.name in _RECIPIENTS and bool(self.columns)

    def form_value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The value of the input: the id."""
        return values[0]


class RecordField(Field):
    """Another record: selects (id, number[, more]); serialized as {id, number, label}."""

    kind = "record"
    honors_mask = False

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
        """Show a link to the record."""
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
        return found if found is not None else self._found_by_text(str(raw).strip(), viewer)

    def _found_by_text(self, text: str, viewer: Viewer) -> int:
        """The id of the only visible record with this phone number or client id. Raises RuleBroken."""
        ways = _identifiers(self.record, text, viewer)
        found = list(db.session.scalars(select(self.record.id).where(or_(*ways)).limit(2))) if ways else []
        if len(found) > 1:
            several = _("Several records match “%(value)s”. Please choose one from the list.", value=text[:60])
            raise RuleBroken(several, self.name)
        if not found:
            raise RuleBroken(self._why_not(text), self.name)
        return int(found[0])

    def _why_not(self, text: str) -> str:
        """The sentence for a text that matches no record visible to the person."""
        for gone in merged_numbers(self.record, [text]):
            kept = gone["merged_into"]["number"]
            return _("%(number)s was merged into %(kept)s. Please enter that one.", number=gone["number"], kept=kept)
        return _("There is no such record: %(value)s.", value=text[:60])

    def parse_filter(self, raw: Any, viewer: Viewer) -> Any:
        """The id for an id or number; -1, which matches nothing, if there is none."""
        return find_record(self.record, raw) or -1

    def where(self, op: str, raw: Any, viewer: Viewer) -> Any:
        """By the foreign key; "empty" by what the person sees, so that records beyond their reach stay secret."""
        if op != "null":
            return super().where(op, raw, viewer)
        missing = self.columns[1].is_(None)
        return missing if str(raw).lower() not in ("false", "0", "no") else ~missing

    def filter_columns(self) -> tuple[Any, ...]:
        """The columns that filters compare: the foreign key."""
        return self.columns[:1]

    def form_input(self, raw: Any, errors: list[str], viewer: Viewer) -> dict[str, Any]:
        """A type-ahead over visible records."""
        value = raw["id"] if isinstance(raw, dict) else raw
        chosen = [(value, raw["label"] if isinstance(raw, dict) else self._label(value))] if value else []
        return super().form_input(value, errors, viewer) | {"lookup_url": f"{self.url}lookup", "selected": chosen}

    def _label(self, value: Any) -> str:
        """The label of a chosen id; other input is kept as typed."""
        key = parse_id(value)
        columns = [each for each in self.columns[1:] if each.class_ is self.record]
        row = db.session.execute(select(*columns).where(self.record.id == key)).first() if key and columns else None
        card = self.serialize((key, *row), viewer=None) if row is not None else None  # type: ignore[arg-type]
        return str(card["label"]) if card else str(value)

    def form_value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The value of the input: the card."""
        return self.serialize(values, viewer)


def _identifiers(record: Any, text: str, viewer: Viewer) -> list[Any]:
    """Conditions by which a text identifies a record: its phone number, unless masked, or its client id."""
    e164, rules = phone.normalize(text), []
    if e164:
        numbers = {"mobile": "mobile_e164", "alternative_mobile": "alternative_e164"}
        rules = [
            getattr(record, column) == e164
            for name, column in numbers.items()
            if hasattr(record, column) and viewer.person.mask(name) == "full"
        ]
    if record is Customer:
        client = select(CustomerAccount.customer_id).where(CustomerAccount.client_id == text.upper()[:40])
        rules.append(Customer.id.in_(client))
    return rules


def find_record(record: Any, raw: Any) -> int | None:
    """The id of a visible record by id or number."""
    text = str(raw).strip()
    if isinstance(raw, bool) or len(text) > 40 or not text.isascii():
        return None
    key = parse_id(text)
    if key is not None:
        return key if access.sees_id(db.session(), record, key) else None
    rule = record.number == text.upper() if hasattr(record, "number") else false()
    found = db.session.execute(select(record.id).where(rule)).scalar()
    return int(found) if found is not None else None


def person_card(card: dict[str, Any]) -> dict[str, Any]:
    """A user's card with initials and, if they have one, the URL of their picture, for avatars."""
    names = {"full_name": card["full_name"], "username": card["username"], "initials": initials(card["full_name"])}
    picture = picture_of(card.get("id"))
    return names | {"picture": picture} if picture else names


def picture_of(user: int | None) -> str | None:
    """The URL of a user's picture, which changes with it; None if they have none."""
    context = app_context()  # without proxies: a page shows many people
    viewer = None if context is None else context.g.get("viewer")
    digest = viewer.lookups.pictures.get(user) if viewer is not None else None
    return picture_url(user, digest)


def picture_url(user: int | None, digest: str | None) -> str | None:
    """The URL of a user's picture with this digest."""
    return f"/pictures/user/{user}/{digest}" if digest else None
