"""The rights under which a file was made for a person, and whether they see less than that now.

A file outlives the rights under which it was made. It is stored with them, and handed out only to people who still have
them all. Wider rights do no harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from app.access.person import Person
from app.access.row_rules import MODULE_OF
from app.domain.people import permissions
from app.domain.people.permissions import MASK_RANK

Kept = Mapping[str, Any]


def rights_snapshot(person: Person, custom: Iterable[str] = ()) -> dict[str, Any]:
    """The rights under which a file is made now, as JSON.

    levels: “Leads.read” -> level, of reading and exporting records; own, team: user ids, what these levels meant;
    masks: field -> mask, of fields that aren't shown in full. `custom`: the names of the masks of custom fields that
    roles may hide.
    """
    levels = {f"{name}.{verb}": person.level(name, verb) for name, verb in _cells()}
    masks = {name: person.mask(name) for name in (*permissions.MASKED, *custom)}
    return {
        "levels": {cell: level for cell, level in levels.items() if level != "none"},
        "own": sorted(person.own_ids),
        "team": sorted(person.team_ids) if "team" in levels.values() else [],
        "masks": {name: mask for name, mask in masks.items() if mask != "full"},
    }


def sees_less_now(kept: Kept | None, person: Person, custom: Iterable[str] = ()) -> bool:
    """Whether the person sees less now than the file may contain. False for a file without a snapshot."""
    if kept is None:
        return False
    masks: Mapping[str, str] = kept["masks"]
    sees_less = any(
        MASK_RANK[person.mask(name)] < MASK_RANK[masks.get(name, "full")] for name in (*permissions.MASKED, *custom)
    )
    return sees_less or any(not _reaches(kept, cell, person) for cell in kept["levels"])


def _cells() -> list[tuple[str, str]]:
    """The cells that decide which rows and related columns a file has; Dashboard: for call summaries."""
    modules = sorted({*MODULE_OF.values()})
    return [("Dashboard", "read"), *((module, verb) for module in modules for verb in ("read", "export"))]


def _reaches(kept: Kept, cell: str, person: Person) -> bool:
    """Whether the person still reaches the records of everybody whose records they reached then."""
    module, _dot, verb = cell.rpartition(".")
    then, reach = kept["levels"][cell], person.reach(module, verb)
    if reach is None:
        return True
    if then == "all":
        return False
    return set(kept["own" if then == "own" else "team"]) <= reach
