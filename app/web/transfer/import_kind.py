"""What the kinds of imports share: the fields of a row, how it finds its record, and how it is undone.

A row goes through the same functions as a form: the fields of the record's REST resource, and its service.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, ClassVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.domain.base import RuleBroken, join_texts, translatable
from app.domain.customers import CONTACT_FIELDS, SECRET_FIELDS
from app.file_store_and_vault import vault
from app.lib import phone
from app.lib.batches import batched
from app.lib.masking import is_masked
from app.models import CustomerAccount
from app.web.core import request_custom_fields
from app.web.core.fields.base import Field
from app.web.core.view_registry import registered
from app.web.core.viewer import Viewer
from app.web.core.views import custom_columns
from app.web.transfer import import_choices

#: Fields that a column can't fill.
_NEVER = ("task", "close_tasks", "assign_to_role")


@dataclass(frozen=True)
class MatchedRecord:
    """A record that a row matches."""

    ids: tuple[int, ...]
    #: The field that matched.
    by: str


class ImportKind:
    """A kind of import; the base class is for a record with a REST resource."""

    name = ""
    module = ""
    label: Any = ""
    #: Fields besides those of the resource's form for a new record.
    more: ClassVar[tuple[str, ...]] = ()
    #: Fields by which a row can match an existing record.
    keys: ClassVar[tuple[str, ...]] = ()
    #: The field with the assignee; "" = whoever imports.
    assignee = ""
    #: The module whose permission "import" it needs, if not its own.
    right = ""
    _known: tuple[Any, dict[str, Field]] | None = None

    @property
    def resource(self) -> Any:
        """The REST resource of the records."""
        return next(each for each in registered("resources").values() if each.resource_name == self.name)

    @property
    def service(self) -> Any:
        """The service of the record."""
        return self.resource.service

    @property
    def model(self) -> Any:
        """The model of the records."""
        return self.service.record

    def refuse_others(self, viewer: Viewer) -> None:
        """Raise Denied if the person may not import these records."""
        viewer.person.refuse_unless(self.right or self.module, "import")
        viewer.person.refuse_unless(self.module, "create")

    def fields(self) -> dict[str, Field]:
        """The fields that a column can fill, by name."""
        named = self.resource.record_table.by_name
        names = [name for name in self.resource.record_table.declared.add if name not in _NEVER]
        return {name: named[name] for name in dict.fromkeys([*names, *self.more]) if name in named} | self.extra()

    @property
    def known(self) -> dict[str, Field]:
        """Like `fields`, cached for a set of custom fields."""
        catalog = request_custom_fields.current()
        if self._known is None or self._known[0] is not catalog:
            self._known = (catalog, self.fields())
        return self._known[1]

    def extra(self) -> dict[str, Field]:
        """Additional columns that are not in any form."""
        return {}

    # --- one row

    def parse(self, raw: dict[str, Any], mode: str, viewer: Viewer) -> dict[str, Any]:
        """The values of a row for the service. Raises RuleBroken with all errors."""
        values, errors = self.read(raw, mode, viewer)
        if errors:
            raise RuleBroken(join_texts(text for list_ in errors.values() for text in list_), errors=errors)
        if mode == "add":
            custom_columns.refuse_missing(self.known.values(), values)
        return values

    def read(self, raw: dict[str, Any], mode: str, viewer: Viewer) -> tuple[dict[str, Any], dict[str, list[str]]]:
        """The values of a row for the service, and field → errors of those that have none."""
        fields, values = self.known, dict[str, Any]()
        errors: dict[str, list[str]] = {}
        for name, given in raw.items():
            each = fields[name]
            if mode == "edit" and not self.is_edited(each):
                continue
            try:
                each.parse_into(values, import_choices.read_choice(each, given, viewer), viewer, mode)
            except RuleBroken as broken:
                errors[name] = [broken.message]
        return values, errors

    def is_edited(self, each: Field) -> bool:
        """Whether an update sets this field."""
        return each.edit

    def create(self, session: Session, values: dict[str, Any], viewer: Viewer) -> Any:
        """Create a record."""
        return self.service.create(session, values, viewer)

    def update(self, session: Session, row: Any, values: dict[str, Any], viewer: Viewer) -> None:
        """Change a record."""
        self.service.save(session, row, values, None, viewer)

    # --- existing records

    def find(self, session: Session, rows: dict[int, dict[str, Any]], keys: Iterable[str]) -> dict[int, MatchedRecord]:
        """Those of these rows (line → raw values) that match records visible to the person, by the first key."""
        found: dict[int, MatchedRecord] = {}
        for key in keys:
            wanted = {line: text for line, raw in rows.items() if line not in found and (text := self.text(key, raw))}
            if not wanted:
                continue
            with access.as_system(session):  # by the index; then limited to visible records
                there = self.look_up(session, key, sorted(set(wanted.values())))
            seen = self.seen(session, {each for ids in there.values() for each in ids})
            for line, text in wanted.items():
                if ids := there.get(text, set()) & seen:
                    found[line] = MatchedRecord(tuple(sorted(ids)), key)
        return found

    def seen(self, session: Session, ids: set[int]) -> set[int]:
        """Those of these records that the person sees."""
        return set(session.scalars(select(self.model.id).where(self.model.id.in_(ids)))) if ids else set()

    def numbers(self, session: Session, ids: set[int]) -> dict[int, str]:
        """Id → number of these records, if the person sees them; empty for records without numbers."""
        model = self.model
        if not hasattr(model, "number"):
            return {}
        return dict(session.execute(select(model.id, model.number).where(model.id.in_(ids))).all())

    def create_many(self, session: Session, many: list[dict[str, Any]], viewer: Viewer) -> list[Any] | None:
        """Create many records together; None if that isn't faster. Raises for the first that can't be created."""
        return None

    def text(self, key: str, raw: dict[str, Any]) -> str | None:
        """The text that identifies a row by this key, in the form that the database compares."""
        given = str(raw.get(key) or "").strip()
        if not given or is_masked(given):
            return None
        if key == "mobile":
            return phone.normalize(given)
        return "".join(given.upper().split()).replace("-", "") if key in SECRET_FIELDS else given.upper()

    def look_up(self, session: Session, key: str, texts: list[str]) -> dict[str, set[int]]:
        """Text → ids of the records that have it."""
        raise NotImplementedError

    # --- undoing

    def before(self, row: Any, values: dict[str, Any]) -> dict[str, Any]:
        """What these values replace, as JSON; PAN and Aadhaar sealed."""
        holder = getattr(row, "customer", None) or row
        made = {}
        for name in values:
            if name in SECRET_FIELDS:
                made[name] = getattr(holder, f"{name}_sealed")
            elif name == "custom":
                made[name] = {each: (row.custom or {}).get(each) for each in values[name]}
            elif hasattr(type(row), name):
                made[name] = as_json(getattr(holder if name in CONTACT_FIELDS else row, name))
        return made

    def values_before(self, kept: dict[str, Any]) -> dict[str, Any]:
        """The values that undo an update."""
        return {
            name: vault().open(value) if name in SECRET_FIELDS and value else from_json(value)
            for name, value in kept.items()
        }

    def is_unchanged(self, row: Any, values: dict[str, Any], viewer: Viewer) -> bool:
        """Whether the record has these values already; never, if one is masked: the result would confirm a guess."""
        if any(viewer.person.mask(name) != "full" for name in values):
            return False
        if any(self.known[name].is_hidden(viewer) for name in values.get("custom") or ()):
            return False
        kept = self.before(row, values)
        for name, value in values.items():
            if name in SECRET_FIELDS or name not in kept:
                return False
            stored = kept[name]
            if name in ("mobile", "alternative_mobile"):
                if phone.normalize(stored) != phone.normalize(value):
                    return False
            elif as_json(value) != stored:
                return False
        return True


def as_json(value: Any) -> Any:
    """A value for a JSON column; times and dates remain distinguishable."""
    if isinstance(value, datetime):
        return {"moment": value.isoformat()}
    return {"day": value.isoformat()} if isinstance(value, date) else value


def from_json(value: Any) -> Any:
    """The value stored by `as_json`."""
    if isinstance(value, dict) and "moment" in value:
        return datetime.fromisoformat(value["moment"])
    return date.fromisoformat(value["day"]) if isinstance(value, dict) and "day" in value else value


def by_column(session: Session, column: Any, texts: list[str], key: Any) -> dict[str, set[int]]:
    """Value of this column → ids."""
    found: dict[str, set[int]] = {}
    for part in batched(texts):
        for text, row_id in session.execute(select(column, key).where(column.in_(part))):
            found.setdefault(text, set()).add(row_id)
    return found


def by_secret(session: Session, record: Any, key: str, texts: list[str]) -> dict[str, set[int]]:
    """PAN or Aadhaar → ids, by the blind index."""
    blinds = {blind: text for text in texts for blind in vault().blinds(text, key)}
    there = by_column(session, getattr(record, f"{key}_blind"), list(blinds), record.id)
    found: dict[str, set[int]] = {}
    for blind, ids in there.items():
        found.setdefault(blinds[blind], set()).update(ids)
    return found


def by_client_id(session: Session, texts: list[str]) -> dict[str, set[int]]:
    """Client id → ids of the customers with this account."""
    query = select(CustomerAccount.client_id, CustomerAccount.customer_id)
    found: dict[str, set[int]] = {}
    for code, key in session.execute(query.where(CustomerAccount.client_id.in_(texts))):
        found.setdefault(code, set()).add(key)
    return found


def refuse_masked_keys(keys: Iterable[str], viewer: Viewer) -> None:
    """Raise Denied for a key that the person sees masked: whether a row matches would confirm a guess."""
    for key in keys:
        if viewer.person.mask(key) != "full":
            raise access.Denied(
                translatable("You see this field masked (%(name)s), so rows can't be matched by it.", name=key)
            )
