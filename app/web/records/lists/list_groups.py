"""The groups of a list: one for each status, or for each colleague in the person's reach."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flask_babel import gettext as _

from app.domain.base import RuleBroken
from app.lib.digit_grouping import grouped
from app.web.core.fields.reference_fields import person_card
from app.web.core.localization.default_labels import shown_label
from app.web.core.viewer import Viewer

#: The most people as groups, the current person first.
MAX_PEOPLE = 60
#: A value that isn't an id: the group of rows without one.
NOBODY = 0


@dataclass
class ListGroup:
    """One group: its value, its label, and its number of rows."""

    value: Any
    label: str
    color: str = "gray"
    person: dict[str, Any] | None = None
    count: int = 0
    is_capped: bool = False
    ids: list[int] = field(default_factory=list)
    rows: list[Any] = field(default_factory=list)

    @property
    def count_text(self) -> str:
        """The number of rows as text: “1,000+” if there are at least so many."""
        return grouped(self.count) + ("+" if self.is_capped else "")


def total_text(groups: list[ListGroup]) -> str:
    """The number of records in all groups: “1,234+” if counting stopped in one of them."""
    total = sum(group.count for group in groups)
    return grouped(total) + ("+" if any(group.is_capped for group in groups) else "")


def columns_of(screen: Any) -> dict[str, Any]:
    """The columns by which the list can be grouped, with their labels."""
    named = screen.record_table.by_name
    names = [name for name in ("status", "assignee") if name in named and len(named[name].columns)]
    return {name: named[name].label for name in names if name != "status" or has_statuses(screen)}


def has_statuses(screen: Any) -> bool:
    """Whether the rows have one of few statuses: from a picklist, or fixed ones."""
    status = screen.record_table.by_name.get("status")
    return bool(screen.status_picklist) or (status is not None and status.kind == "choice" and bool(status.options))


def groups_of(screen: Any, name: str, viewer: Viewer) -> list[ListGroup]:
    """The groups by this column, including empty ones. Raises RuleBroken for a column that can't be grouped by."""
    if name not in columns_of(screen):
        raise RuleBroken(_("This list can't be grouped by “%(name)s”.", name=name[:60]), "group")
    if name == "status":
        return _statuses(screen, viewer)
    return _people(screen, viewer)


def _statuses(screen: Any, viewer: Viewer) -> list[ListGroup]:
    if screen.status_picklist:
        cards, offered = viewer.lookups.cards[screen.status_picklist], viewer.lookups.offered[screen.status_picklist]
        return [ListGroup(key, shown_label(cards[key]["label"]), cards[key].get("color") or "gray") for key in offered]
    status = screen.record_table.by_name["status"]
    words, colors = status.words, status.colors
    return [
        ListGroup(each, str(words.get(each) or shown_label(each)), colors.get(each, "gray")) for each in status.options
    ]


def people_left_out(screen: Any, name: str, viewer: Viewer) -> int:
    """How many colleagues a list grouped by people leaves out."""
    return max(0, len(_within(screen, viewer)) - MAX_PEOPLE) if name != "status" else 0


def _within(screen: Any, viewer: Viewer) -> list[int]:
    """The active colleagues in the person's reach, the person first."""
    reach, people = viewer.person.reach(screen.module), viewer.lookups.people
    within = [key for key in people if (reach is None or key in reach) and key in viewer.lookups.active]
    return sorted(within, key=lambda key: (key != viewer.person.id, people[key]["full_name"].casefold()))


def _people(screen: Any, viewer: Viewer) -> list[ListGroup]:
    """The colleagues in the person's reach, and nobody."""
    people, within = viewer.lookups.people, _within(screen, viewer)
    made = [ListGroup(key, people[key]["full_name"], person=person_card(people[key])) for key in within[:MAX_PEOPLE]]
    return [*made, ListGroup(NOBODY, _("No one"))]
