"""Cells that name an entry of a picklist, in any spelling; for unknown names, the nearest entry is suggested."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _

from app.domain.base import RuleBroken
from app.lib.label_matching import nearest_label, same_labels
from app.lib.masking import is_masked
from app.web.core.fields.base import ChoiceField, Field
from app.web.core.fields.reference_fields import PicklistField
from app.web.core.localization.default_labels import shown_label
from app.web.core.viewer import Viewer
from app.web.core.views.custom_columns import CustomChoice
from app.web.records.ticket_fields import SubjectsField


@dataclass(frozen=True)
class PicklistEntry:
    """An entry of a picklist."""

    #: The value for the field.
    value: Any
    #: Its label in the person's language, and all texts that mean it.
    label: str
    texts: tuple[str, ...]
    is_offered: bool = True


def read_choice(each: Field, cell: Any, viewer: Viewer) -> Any:
    """The cell converted for the field; cells of other fields unchanged. Raises RuleBroken with the nearest entry."""
    if not isinstance(each, PicklistField | ChoiceField | SubjectsField) or not isinstance(cell, str):
        return cell
    if not cell.strip() or (each.mask and is_masked(cell)):
        return cell
    try:
        each.parse(cell, viewer)
    except RuleBroken as refused:
        entries = list(_entries(each, viewer))
        if isinstance(each, ChoiceField):
            return _meant(entries, cell, each.name, refused, names_all=True)
        if not isinstance(each, SubjectsField):
            return _meant(entries, cell, each.name, refused)
        return [_meant(entries, part.strip(), each.name, refused) for part in cell.split(",") if part.strip()]
    return cell


def _meant(entries: list[PicklistEntry], typed: str, name: str, refused: RuleBroken, names_all: bool = False) -> Any:
    """The value of the only entry that the text means. Raises RuleBroken; `refused` if that `names_all` entries."""
    found = [entry for entry in entries if same_labels(typed, entry.texts)]
    if len(found) > 1:
        found = [entry for entry in found if entry.is_offered] or found
    if len(found) == 1:
        return found[0].value
    if found:
        listed = ", ".join(f"“{entry.label}”" for entry in found)
        text = _("“%(value)s” can mean %(options)s. Please write it as one of them.", value=typed[:60], options=listed)
        raise RuleBroken(text, name)
    nearest = None if names_all else _nearest(typed, (entry for entry in entries if entry.is_offered))
    if nearest is None:
        raise refused
    text = _("There is no “%(value)s” in this list. Did you mean “%(nearest)s”?", value=typed[:60], nearest=nearest)
    raise RuleBroken(text, name)


def _nearest(typed: str, entries: Iterable[PicklistEntry]) -> str | None:
    by_text = {text: entry.label for entry in entries for text in entry.texts}
    found = nearest_label(typed, by_text)
    return None if found is None else by_text[found]


def _entries(each: Field, viewer: Viewer) -> Iterator[PicklistEntry]:
    """The entries of a picklist or of a fixed list of options."""
    if isinstance(each, PicklistField | SubjectsField):
        picklist = each.picklist if isinstance(each, PicklistField) else "ticket_subject"
        offered = set(viewer.lookups.offered[picklist])
        for key, card in viewer.lookups.cards[picklist].items():
            label = shown_label(card["label"])
            yield PicklistEntry(key, label, (card["label"], label), key in offered)
    elif isinstance(each, CustomChoice):
        for value, label, labels, is_offered in each.definition.choices:
            yield PicklistEntry(value, str(each.words[value]), (value, label, *labels.values()), is_offered)
    elif isinstance(each, ChoiceField):
        for option in each.options:
            label = str(each.words.get(option) or shown_label(option))
            yield PicklistEntry(option, label, (option, label))
