"""List queries: the predecessor's fields, filters, order and page as a ListQuery. Masks and access rules apply."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _

from app.domain.base import RuleBroken
from app.web.compat import text_patterns
from app.web.compat.doctypes import DocType
from app.web.compat.filters import FIXED_FIELDS, bare_name, not_permitted, parse_filters
from app.web.compat.list_options import ListOptions
from app.web.compat.responses import CompatError
from app.web.core.fields.base import ChoiceField, NumberField
from app.web.core.fields.date_fields import DateField, DateTimeField
from app.web.core.queries.list_query import ListQuery
from app.web.core.viewer import Viewer
from app.web.core.views.custom_columns import CustomColumn

_ORDER_PATTERN = re.compile(r"([\w` .]{1,140}?)(?:\s(asc|desc))?", re.IGNORECASE)
#: Fields that are the same in all documents; the predecessor's lists include them in every order.
_CONSTANT_FIELDS = ("idx", "docstatus")
MAX_ORDERS = 5


@dataclass(frozen=True)
class ListRequest:
    """A parsed list request."""

    list_query: ListQuery
    #: The predecessor's fields, in the order of the request.
    fields: tuple[str, ...]


def parse_list_request(options: ListOptions, doctype: DocType, viewer: Viewer) -> ListRequest:
    """Check the options of a list of documents. Raises CompatError (417)."""
    order, is_newest_first = parse_order(options.order_by, doctype, viewer)
    conditions = parse_filters(options.filters, doctype, viewer, options.or_filters)
    list_query = ListQuery(conditions, order, options.fetched, newest=is_newest_first, start=options.start)
    return ListRequest(list_query, requested_fields(options.fields, doctype))


# --- fields


def field_names(requested: Any, doctype: str) -> list[str]:
    """The requested names, without table name and backticks. Raises CompatError (417) unless they are a list."""
    names = [requested] if isinstance(requested, str) else requested
    if isinstance(requested, str) and "," in requested:
        names = requested.split(",")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CompatError(417, _("“fields” must be a list of names."))
    return [bare_name(name, doctype) for name in names]


def requested_fields(requested: Any, doctype: DocType) -> tuple[str, ...]:
    """The requested fields; "*" means all. Raises CompatError (417) for an unknown one."""
    names = field_names(requested, doctype.name)
    if "*" in names:
        return ("name", *doctype.fields)
    for name in names:
        if name not in doctype.fields and name not in FIXED_FIELDS and name not in doctype.ignored_fields:
            raise not_permitted(name)
    return tuple(dict.fromkeys(names))


# --- order


def order_parts(order_by: str, doctype: str) -> list[tuple[str, str]]:
    """[(field, asc or desc)] of every part that affects the order. Raises CompatError (417)."""
    parts = []
    for text in order_by.split(",") if order_by.strip() else []:
        found = _ORDER_PATTERN.fullmatch(text.strip())
        if found is None:
            raise unsortable(text)
        parts.append((bare_name(found[1], doctype), (found[2] or "asc").lower()))
    if len(parts) > MAX_ORDERS:
        raise CompatError(417, _("A list can be sorted by at most %(most)s fields.", most=MAX_ORDERS))
    return [(name, direction) for name, direction in parts if name not in _CONSTANT_FIELDS]


def unsortable(name: str) -> CompatError:
    """The error for a field that a list cannot be sorted by."""
    return CompatError(417, _("A list can't be sorted by “%(name)s”.", name=name.strip()[:60]))


def parse_order(order_by: str, doctype: DocType, viewer: Viewer) -> tuple[list[Any], bool]:
    """(ORDER BY, is it newest first?); newest first is the default. Raises CompatError (417)."""
    key = doctype.record_table.record.id
    parts = order_parts(order_by, doctype.name)
    if not parts or [(_is_key(name), direction) for name, direction in parts] == [(True, "desc")]:
        return [key.desc()], True
    order: list[Any] = []
    for name, direction in parts:
        order += (
            [key.desc() if direction == "desc" else key.asc()]
            if _is_key(name)
            else [*_sorted_by(name, direction, doctype, viewer)]
        )
    last = key.desc() if parts[-1][1] == "desc" else key.asc()
    return [*order, last] if not any(_is_key(name) for name, _direction in parts) else order, False


def _is_key(name: str) -> bool:
    return name in ("name", "creation")


def _sorted_by(name: str, direction: str, doctype: DocType, viewer: Viewer) -> list[Any]:
    """The ORDER BY of one field, without the id that orders equal values."""
    field = doctype.record_table.by_name.get(doctype.fields.get(name, ""))
    if field is None or not field.columns or field.is_hidden(viewer):
        raise unsortable(name)
    column = field.order() if isinstance(field, CustomColumn) else text_patterns.text_of(field)
    if column is None and isinstance(field, ChoiceField | DateField | DateTimeField | NumberField):
        column = field.order()
    if column is not None:
        return [column.desc() if direction == "desc" else column.asc()]
    try:
        return doctype.record_table.order_by(field.name, direction, viewer)[:-1]
    except RuleBroken as broken:
        raise unsortable(name) from broken
