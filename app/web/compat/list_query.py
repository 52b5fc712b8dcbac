"""List queries: the predecessor's fields, filters, order and page as a ListQuery. Masks and access rules apply."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from flask_babel import gettext as _
from sqlalchemy import and_, not_, or_

from app.domain.base import RuleBroken
from app.lib.ids import parse_id
from app.models import CallLog
from app.web.compat.arguments import Arguments
from app.web.compat.doctypes import DocType
from app.web.compat.responses import CompatError
from app.web.core.date_fields import DateTimeField
from app.web.core.fields import Viewer, clean_text, few
from app.web.core.languages import translate_text
from app.web.core.record_table import MAX_PAGE, ListQuery

#: Documents in one response, also for limit 0, which asks for all of them.
MAX_PAGE_SIZE = 1000
DEFAULT_PAGE_SIZE = 20
MAX_FILTERS = 30
#: Predecessor's operator -> our operator.
_OPERATORS = {"=": "eq", "!=": "neq", ">": "gt", "<": "lt", ">=": "ge", "<=": "le", "in": "in"}
_KNOWN_OPERATORS = frozenset({*_OPERATORS, "like", "between", "is"})
_ORDER_PATTERN = re.compile(r"^\s*(?:`?tab[\w ]+`?\.)?`?(\w+)`?\s*(asc|desc)?\s*$", re.IGNORECASE)
#: Fields of every document that no column of ours holds.
FIXED_FIELDS = ("name", "doctype", "docstatus", "idx")


class Filter(NamedTuple):
    """One condition of a list query."""

    field: str
    operator: str
    value: Any


@dataclass(frozen=True)
class ListRequest:
    """One list request."""

    list_query: ListQuery
    #: The predecessor's fields, in the order of the request.
    fields: tuple[str, ...]


def parse_list_request(arguments: Arguments, doctype: DocType, viewer: Viewer) -> ListRequest:
    """Read fields, filters, order_by, limit_start and limit_page_length. Raises CompatError (417)."""
    size, start = page_bounds(arguments)
    order, is_newest_first = _parse_order(arguments.raw("order_by"), doctype, viewer)
    conditions = parse_filters(arguments.json_value("filters"), doctype, viewer)
    list_query = ListQuery(conditions, order, size, newest=is_newest_first, start=start)
    return ListRequest(list_query, requested_fields(arguments.json_value("fields", ["name"]), doctype))


def page_bounds(arguments: Arguments) -> tuple[int, int]:
    """(page size, offset) from limit_page_length or limit, and limit_start or start. Raises CompatError (417)."""
    limit = arguments.integer("limit", DEFAULT_PAGE_SIZE, 0, MAX_PAGE_SIZE)
    size = arguments.integer("limit_page_length", limit, 0, MAX_PAGE_SIZE) or MAX_PAGE_SIZE
    return size, arguments.integer("limit_start", arguments.integer("start", 0, 0, MAX_PAGE), 0, MAX_PAGE)


# --- fields


def field_names(requested: Any) -> list[str]:
    """The requested names, without table name and backticks. Raises CompatError (417) unless they are a list."""
    names = [requested] if isinstance(requested, str) else requested
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CompatError(417, _("“fields” must be a list of names."))
    return [bare_name(name) for name in names]


def bare_name(name: str) -> str:
    """`tabCRM Lead`.`status` is status."""
    return name.rpartition(".")[2].strip("` ")


def requested_fields(requested: Any, doctype: DocType) -> tuple[str, ...]:
    """The requested fields; "*" means all. Raises CompatError (417) for an unknown one."""
    names = field_names(requested)
    if "*" in names:
        return ("name", *doctype.fields)
    for name in names:
        if name not in doctype.fields and name not in FIXED_FIELDS and name not in doctype.ignored_fields:
            raise CompatError(417, _("Field not permitted in query: %(name)s", name=name[:60]))
    return tuple(dict.fromkeys(names))


# --- filters


def parse_filters(filters: Any, doctype: DocType, viewer: Viewer) -> list[Any]:
    """SQL conditions of the filters, in any form that `split_filters` reads. Raises CompatError (417)."""
    split = split_filters(filters)
    if len(split) > MAX_FILTERS:
        raise CompatError(417, _("There are too many filters."))
    return [*doctype.conditions, *(condition for each in split for condition in _conditions(doctype, each, viewer))]


def _known_operator(value: Any) -> tuple[str, Any]:
    """[operator, value] when the operator is known; any other list means "in"."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
        operator = value[0].lower()
        if operator in _KNOWN_OPERATORS:
            return operator, value[1]
    return "in" if isinstance(value, list) else "=", value


def split_filters(filters: Any, split_pair: Callable[[Any], tuple[str, Any]] = _known_operator) -> list[Filter]:
    """Read [[field, op, value]], [[DocType, field, op, value]], {field: value}, {field: [op, value]} or a name.

    `split_pair` turns the value of the object form into (operator, value). Raises CompatError (417).
    """
    if filters in (None, "", [], {}):
        return []
    if isinstance(filters, str):
        return [Filter("name", "=", filters)]
    if isinstance(filters, dict):
        return [Filter(str(name), *split_pair(value)) for name, value in filters.items()]
    if isinstance(filters, list) and all(isinstance(each, list) and len(each) in (3, 4, 5) for each in filters):
        # The predecessor's lists send a fifth part: whether the filter is hidden.
        return [_split_list(each if len(each) == 3 else each[1:4]) for each in filters]
    raise CompatError(417, _("“filters” must be a list of [field, operator, value] or an object."))


def _split_list(parts: list[Any]) -> Filter:
    return Filter(str(parts[0]), str(parts[1]).strip().lower(), parts[2])


def _conditions(doctype: DocType, each: Filter, viewer: Viewer) -> list[Any]:
    name, operator, value = bare_name(each.field), each.operator, each.value
    if name == "name":
        return [_name_condition(doctype, operator, value, viewer)]
    field = doctype.fields.get(name)
    if field is None:
        raise CompatError(417, _("Field not permitted in query: %(name)s", name=name[:60]))
    if operator == "=" and _is_date(value) and isinstance(doctype.record_table.by_name[field], DateTimeField):
        operator, value = "between", [value, value]
    return [_condition(doctype, Filter(field, *part), viewer) for part in _our_operators(operator, value)]


def _our_operators(operator: str, value: Any) -> list[tuple[str, Any]]:
    """[(our operator, value)] for one of the predecessor's operators."""
    if operator == "between":
        ends = value if isinstance(value, list) else str(value).split(",")
        if len(ends) != 2:
            raise CompatError(417, _("“between” needs two values."))
        return [("ge", ends[0]), ("le", _end_of_day(ends[1]))]
    if operator == "is":
        return [("null", str(value).strip().lower() != "set")]
    if operator == "like":
        return [_like_operator(str(value))]
    if operator not in _OPERATORS:
        raise unknown_operator(operator)
    return [(_OPERATORS[operator], value)]


def unknown_operator(operator: str) -> CompatError:
    """The error for an operator that does not exist here."""
    return CompatError(417, _("There is no operator “%(op)s” here.", op=operator[:20]))


def _end_of_day(value: Any) -> Any:
    """A date as an upper bound includes that whole day."""
    return f"{value} 23:59:59" if _is_date(value) else value


def _is_date(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value.strip()) is not None


def _like_operator(pattern: str) -> tuple[str, str]:
    text = pattern.strip("%")
    if "%" in text or "_" in text.replace("\\_", ""):
        raise CompatError(417, _("“like” only takes % at the start and the end."))
    operators = {(True, True): "ct", (False, True): "sw", (True, False): "ew", (False, False): "eq"}
    return operators[pattern.startswith("%"), pattern.endswith("%")], text.replace("\\_", "_")


def _condition(doctype: DocType, each: Filter, viewer: Viewer) -> Any:
    """The SQL of a filter by our field and operator."""
    with _as_compat_errors():
        return doctype.record_table.filter_clause(each.field, each.operator, each.value, viewer)


def _name_condition(doctype: DocType, operator: str, value: Any, viewer: Viewer) -> Any:
    """By number, or by id where the id is the document's name."""
    if doctype.name_field is not None:
        return _condition(doctype, Filter(doctype.name_field, *_our_operators(operator, value)[0]), viewer)
    with _as_compat_errors():
        names = [clean_text(each, "name", 140) or "" for each in few(_as_list(value), "name")]
    if operator not in ("=", "in", "!="):
        raise unknown_operator(operator)
    ids = [key for each in names if (key := parse_id(each)) is not None]
    condition = doctype.record_table.record.id.in_(ids)
    # The telephone apps name calls by device_call_id, which is unique only per employee.
    device_ids = [each for each in names if parse_id(each) is None] if doctype.record_table.record is CallLog else []
    if device_ids:
        own = and_(CallLog.device_call_id.in_(device_ids), CallLog.employee_id == viewer.person.id)
        condition = or_(condition, own) if ids else own
    return not_(condition) if operator == "!=" else condition


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@contextmanager
def _as_compat_errors() -> Iterator[None]:
    """A value that one of our fields refuses is a bad request (417), as old clients expect."""
    try:
        yield
    except RuleBroken as broken:
        raise CompatError(417, translate_text(broken.message)) from broken


# --- order


def _parse_order(order_by: Any, doctype: DocType, viewer: Viewer) -> tuple[list[Any], bool]:
    """(ORDER BY, is it newest first?); only the first of several orders counts, and newest first is the default."""
    if order_by in (None, ""):
        return [doctype.record_table.record.id.desc()], True
    found = _ORDER_PATTERN.match(str(order_by)[:200].split(",")[0])
    name = found[1] if found else ""
    field = "id" if name in ("name", "creation", "idx") else doctype.fields.get(name)
    if found is None or field is None:
        raise CompatError(417, _("A list can't be sorted by “%(name)s”.", name=str(order_by)[:60]))
    direction = (found[2] or "asc").lower()
    with _as_compat_errors():
        return doctype.record_table.order_by(field, direction, viewer), field == "id" and direction == "desc"
