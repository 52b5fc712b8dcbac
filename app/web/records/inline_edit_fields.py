"""Which values a person may edit in place, in the cells of a list and on the page of a record."""

from __future__ import annotations

from typing import Any

from app import access
from app.extensions import db
from app.web.core.fields.base import Field
from app.web.core.viewer import Viewer

#: Kinds of values with a small input; a record's page has room for larger ones.
_SIMPLE = ("text", "phone", "email", "picklist", "choice", "person", "date", "moment", "number", "flag")
_ROOMY = (*_SIMPLE, "textarea", "record", "time")


def in_list(screen: Any, each: Field, viewer: Viewer) -> bool:
    """Whether this person may edit a column in the list: simple, part of the form, and not masked for them."""
    return _is_editable(screen, each, viewer, _SIMPLE)


def on_page(screen: Any, each: Field, viewer: Viewer) -> bool:
    """The fields that can be edited in place on the page of a record in the person's reach."""
    return _is_editable(screen, each, viewer, _ROOMY)


def names_on_page(screen: Any, key: int, viewer: Viewer) -> frozenset[str]:
    """The columns that this person may change on the page of this record; none if it is out of their reach."""
    person, table = viewer.person, screen.record_table
    named: frozenset[str] | None = person.derived.get(("editable", table))
    if named is None:
        named = frozenset(each.name for each in table.fields if on_page(screen, each, viewer))
        person.derived.keep(("editable", table), named)
    if not named or not access.reaches_id(db.session(), person, screen.service.record, key, "write"):
        return frozenset()
    return named


def _is_editable(screen: Any, each: Field, viewer: Viewer, kinds: tuple[str, ...]) -> bool:
    is_offered = each.edit and each.kind in kinds and bool(each.columns) and not each.is_hidden(viewer)
    if not is_offered or "edit" in screen.exclude_route_methods or not viewer.person.may(screen.module, "write"):
        return False
    return each.name != "owner" or viewer.person.may(screen.module, "assign")
