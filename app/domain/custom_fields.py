"""Custom fields that an admin adds to leads, customers, tickets and tasks: their definitions and rules."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, Integer, String, UniqueConstraint, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.audit_log import audit
from app.domain.base import Record, RuleBroken, Stamp, UtcDateTime, Versioned, hold_name, refuse_stale, translatable

#: Table -> the name of its records in APIs.
RECORDS = {"leads": "lead", "customer": "customer", "ticket": "ticket", "task": "task"}
KINDS = ("text", "number", "date", "choice", "link")
#: Prefix of all names, so that they can't clash with fields of later versions.
PREFIX = "x_"
#: Languages into which labels can be translated, besides the one in which they are entered.
LANGUAGES = ("hi", "gu", "mr")
MAX_LABEL, MAX_HELP, MAX_NAME = 60, 200, 32
#: Fields in use per record; choices per field.
MAX_FIELDS, MAX_CHOICES = 100, 200
_NAME = re.compile(r"x_[a-z0-9][a-z0-9_]*")


class CustomField(Versioned, Record):
    """One custom field. A removed one keeps its row and its values, so that it can be restored."""

    __tablename__ = "custom_field"
    __table_args__ = (UniqueConstraint("record_table", "name", name="uq_custom_field_name"),)
    #: One of RECORDS.
    record_table: Mapped[str] = mapped_column(String(16), nullable=False)
    #: Its name in APIs; never changes, because it is the key of stored values.
    name: Mapped[str] = mapped_column(String(MAX_NAME), nullable=False)
    #: One of KINDS; never changes.
    kind: Mapped[str] = mapped_column(String(8), nullable=False)
    label: Mapped[str] = mapped_column(String(MAX_LABEL), nullable=False)
    #: Language -> label.
    labels: Mapped[dict[str, str]] = mapped_column(JSON, nullable=False, default=dict)
    help: Mapped[str | None] = mapped_column(String(MAX_HELP))
    #: [{value, label, labels, is_offered}], in order. Records store `value`.
    choices: Mapped[list[dict[str, Any]]] = mapped_column(JSON, nullable=False, default=list)
    #: Whether new records need a value.
    is_required: Mapped[bool] = mapped_column(Boolean, nullable=False, default=False)
    #: Whether the role matrix decides who sees it; otherwise everybody who sees the record does.
    is_restricted: Mapped[bool] = mapped_column(Boolean, nullable=False, default=False)
    #: Whether the quick form for new records contains it.
    is_quick: Mapped[bool] = mapped_column(Boolean, nullable=False, default=False)
    position: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    #: When it was removed, UTC; null = it is in use.
    removed_on: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @property
    def mask_name(self) -> str:
        """The name of the field in the masks of the role matrix."""
        return mask_name(self.id)


def mask_name(key: int) -> str:
    """The name of the mask of the field with this id."""
    return f"{PREFIX}{key}"


@dataclass(frozen=True)
class FieldDefinition:
    """A custom field as used by requests; shared by all of them until a field changes."""

    id: int
    table: str
    name: str
    kind: str
    label: str
    labels: Mapping[str, str] = field(default_factory=dict)
    help: str | None = None
    #: (value, label, labels, whether it is offered)
    choices: tuple[tuple[str, str, Mapping[str, str], bool], ...] = ()
    is_required: bool = False
    is_restricted: bool = False
    is_quick: bool = False
    is_removed: bool = False

    def label_in(self, language: str) -> str:
        """Its label in this language."""
        return self.labels.get(language) or self.label


def definition_of(row: Any) -> FieldDefinition:
    """The definition in a row of the table."""
    return FieldDefinition(
        id=row.id,
        table=row.record_table,
        name=row.name,
        kind=row.kind,
        label=row.label,
        labels=row.labels or {},
        help=row.help,
        choices=tuple((c["value"], c["label"], c.get("labels") or {}, c["is_offered"]) for c in row.choices or ()),
        is_required=bool(row.is_required),
        is_restricted=bool(row.is_restricted),
        is_quick=bool(row.is_quick),
        is_removed=row.removed_on is not None,
    )


def load(session: Session) -> tuple[FieldDefinition, ...]:
    """All fields in order, including removed ones. The session acts for the system."""
    query = select(CustomField.__table__).order_by(CustomField.position, CustomField.id)
    return tuple(definition_of(row) for row in session.execute(query))


# --- rules


@dataclass(frozen=True)
class FieldInput:
    """What an admin has entered for a field; texts as typed."""

    label: str
    kind: str
    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    help: str = ""
    #: As in CustomField; those without a `value` are new.
    choices: Sequence[Mapping[str, Any]] = ()
    is_required: bool = False
    is_restricted: bool = False
    is_quick: bool = False
    position: int = 0


@dataclass(frozen=True)
class ExistingNames:
    """What the record has already, besides the field that is added or changed."""

    table: str
    #: Labels of the fields of the product, in small letters.
    labels: frozenset[str]
    #: Choices of this field that records use.
    used: frozenset[str] = frozenset()


def create(session: Session, field_input: FieldInput, existing: ExistingNames, stamp: Stamp) -> CustomField:
    """Add a field. Raises RuleBroken for invalid input."""
    if existing.table not in RECORDS:
        raise RuleBroken("Please choose the record that gets the field.", "record_table")
    if field_input.kind not in KINDS:
        raise RuleBroken("Please choose what the field holds.", "kind")
    others = _others(session, existing.table, None)
    _refuse_too_many(others)
    made = CustomField(record_table=existing.table, kind=field_input.kind, version=1)
    made.name = _free_name(field_input, others)
    _apply(made, field_input, existing, others)
    made.stamp(stamp)
    session.add(made)
    session.flush()
    _note(session, made, stamp, "added")
    return made


def change(session: Session, row: CustomField, field_input: FieldInput, existing: ExistingNames, stamp: Stamp) -> None:
    """Change a field; its kind and name stay. Raises RuleBroken."""
    if field_input.kind and field_input.kind != row.kind:
        raise RuleBroken(
            "What a field holds can't be changed, for records have values of it. Please add another field, take over "
            "the values with an export and an import, and remove this one.",
            "kind",
        )
    if field_input.name and field_input.name != row.name:
        raise RuleBroken("The name for programs can't be changed: exports, reports and programs use it.", "name")
    _apply(row, field_input, existing, _others(session, row.record_table, row.id))
    row.stamp(stamp)
    session.flush()
    _note(session, row, stamp, "changed")


def remove(session: Session, row: CustomField, version: int | None, stamp: Stamp) -> None:
    """Take the field off every page. Its values stay with the records. Raises Conflict."""
    refuse_stale(row, version)
    row.removed_on = stamp.now
    row.stamp(stamp)
    _note(session, row, stamp, "removed")


def restore(session: Session, row: CustomField, version: int | None, stamp: Stamp) -> None:
    """Restore a removed field with its values. Raises RuleBroken if its label is in use by now."""
    refuse_stale(row, version)
    others = _others(session, row.record_table, row.id)
    _refuse_too_many(others)
    if any(each.label.casefold() == row.label.casefold() for each in others if each.removed_on is None):
        raise RuleBroken(
            translatable(
                "There is another field “%(label)s” now. Please rename or remove that one first.", label=row.label
            )
        )
    row.removed_on = None
    row.stamp(stamp)
    _note(session, row, stamp, "restored")


def _others(session: Session, table: str, key: int | None) -> list[CustomField]:
    """The other fields of the record, locked against being added, renamed or restored meanwhile."""
    hold_name(session, f"custom fields of {table}")
    rows = session.scalars(select(CustomField).where(CustomField.record_table == table).order_by(CustomField.id))
    return [row for row in rows if row.id != key]


def _refuse_too_many(others: Sequence[CustomField]) -> None:
    if sum(1 for each in others if each.removed_on is None) >= MAX_FIELDS:
        text = "A record can have %(most)s fields of your own. Please remove one that nobody uses first."
        raise RuleBroken(translatable(text, most=MAX_FIELDS))


def _note(session: Session, row: CustomField, stamp: Stamp, state: str) -> None:
    values: dict[str, Any] = {"state": state, "label": row.label, "kind": row.kind, "restricted": row.is_restricted}
    audit.write(session, "custom field", stamp.by, stamp.now, f"{row.record_table} {row.name}", **values)


def _apply(row: CustomField, field_input: FieldInput, existing: ExistingNames, others: Sequence[CustomField]) -> None:
    label = _cleaned(field_input.label)
    if not label:
        raise RuleBroken("Please enter what people call the field.", "label")
    _refuse_long(label, MAX_LABEL, "label")
    _refuse_taken_label(label, existing, others)
    row.label, row.labels = label, _languages(field_input.labels)
    row.help = _cleaned(field_input.help) or None
    _refuse_long(row.help or "", MAX_HELP, "help")
    if field_input.choices and row.kind != "choice":
        text = "Only a field that holds a choice can have choices. Please choose “Choice” above, or empty their names."
        raise RuleBroken(text, "choices")
    row.choices = _choices(field_input, row.choices or [], existing.used) if row.kind == "choice" else []
    row.is_required, row.is_restricted, row.is_quick = (
        field_input.is_required,
        field_input.is_restricted,
        field_input.is_quick,
    )
    row.position = field_input.position


def _cleaned(text: str) -> str:
    return " ".join(text.split())


def _refuse_long(text: str, maximum: int, name: str) -> None:
    if len(text) > maximum:
        raise RuleBroken(translatable("This is too long: at most %(most)s characters.", most=maximum), name)


def _refuse_taken_label(label: str, existing: ExistingNames, others: Sequence[CustomField]) -> None:
    if label.casefold() in existing.labels:
        text = "There is a field “%(label)s” already. Please choose another name, so that people can tell them apart."
        raise RuleBroken(translatable(text, label=label), "label")
    same = next((each for each in others if each.label.casefold() == label.casefold()), None)
    if same is not None and same.removed_on is None:
        text = "There is a field “%(label)s” already. Please choose another name, so that people can tell them apart."
        raise RuleBroken(translatable(text, label=label), "label")
    if same is not None:
        text = "A field “%(label)s” was removed. Please bring it back below, with its values, or choose another name."
        raise RuleBroken(translatable(text, label=label), "label")


def _languages(given: Mapping[str, str]) -> dict[str, str]:
    made = {language: _cleaned(given.get(language) or "") for language in LANGUAGES}
    for language, text in made.items():
        _refuse_long(text, MAX_LABEL, f"label_{language}")
    return {language: text for language, text in made.items() if text}


# --- names


def _free_name(field_input: FieldInput, others: Sequence[CustomField]) -> str:
    """The entered name, else one derived from the label. Raises RuleBroken."""
    taken = {each.name: each for each in others}
    if field_input.name.strip():
        return _checked_name(field_input.name.strip().lower(), taken)
    base = name_from(field_input.label)
    if base == PREFIX:  # a label without Latin letters, such as one in Devanagari
        base = f"{PREFIX}field"
    number = 1
    while (found := base if number == 1 else f"{base[: MAX_NAME - 4]}_{number}") in taken:
        number += 1
    return found


def name_from(label: str) -> str:
    """x_risk_profile_kyc for "Risk profile (KYC)"; x_ alone for a label without Latin letters or digits."""
    ascii_words = re.findall(r"[a-z0-9]+", label.lower())
    return (PREFIX + "_".join(ascii_words))[:MAX_NAME].rstrip("_") if ascii_words else PREFIX


def _checked_name(typed: str, taken: Mapping[str, CustomField]) -> str:
    name = typed if typed.startswith(PREFIX) else f"{PREFIX}{typed}"
    if len(name) > MAX_NAME or not _NAME.fullmatch(name):
        text = "The name for programs begins with x_ and has small Latin letters, digits and _: at most %(most)s."
        raise RuleBroken(translatable(text, most=MAX_NAME), "name")
    if name in taken:
        text = "“%(name)s” is the name of another field, in use or removed. Please choose another one."
        raise RuleBroken(translatable(text, name=name), "name")
    return name


# --- choices


def _choices(
    field_input: FieldInput, stored: Sequence[Mapping[str, Any]], used: frozenset[str]
) -> list[dict[str, Any]]:
    """The choices to store. Raises RuleBroken if there are none, for duplicates, and if one in use is dropped."""
    former = {each["value"] for each in stored}
    made = [_choice(each, former) for each in field_input.choices if _cleaned(str(each.get("label") or ""))]
    kept = {each["value"] for each in made}
    lost = sorted(used - kept)
    if lost:
        text = "Records have “%(value)s”, so it can't be deleted. Take the tick off “Offered” instead: they keep it."
        raise RuleBroken(translatable(text, value=lost[0]), "choices")
    if not any(each["is_offered"] for each in made):
        raise RuleBroken("Please enter at least one choice.", "choices")
    if len(made) > MAX_CHOICES:
        raise RuleBroken(translatable("A field can have %(most)s choices.", most=MAX_CHOICES), "choices")
    _refuse_equal(made)
    return made


def _choice(given: Mapping[str, Any], former: set[str]) -> dict[str, Any]:
    label = _cleaned(str(given["label"]))
    _refuse_long(label, MAX_LABEL, "choices")
    value = str(given.get("value") or "")
    return {
        "value": value if value in former else label,
        "label": label,
        "labels": _languages(given.get("labels") or {}),
        "is_offered": bool(given.get("is_offered", True)),
    }


def _refuse_equal(made: Sequence[Mapping[str, Any]]) -> None:
    """Raise RuleBroken if a word could mean two choices, because forms, imports and REST accept both values and
    labels.
    """
    owners: dict[str, int] = {}
    for place, each in enumerate(made):
        for word in (each["label"], each["value"], *each["labels"].values()):
            if owners.setdefault(word.casefold(), place) != place:
                text = "“%(label)s” is there twice. A choice that was renamed keeps its first name for programs."
                raise RuleBroken(translatable(text, label=word), "choices")
