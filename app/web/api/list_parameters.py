"""The parameters of a GET: the `q` object (Rison or JSON), and the same keys as plain query parameters.

    ?q=(page_size:50,filters:!((col:status,opr:eq,value:New)))
    ?page_size=50&filter.status=New&filter.created_on.ge=2026-11-01

Every parameter changes the result or is refused with its name; the two ways can be mixed but not contradict each other.
"""

from __future__ import annotations

import functools
from collections.abc import Set
from typing import Any

import orjson
import prison
from flask import request
from flask_babel import gettext as _

from app.domain.base import RuleBroken
from app.web.core.fab_access import parse_integer, parse_json_integer
from app.web.core.fields.filter_operators import OPERATOR_LABELS
from app.web.core.queries.record_table import ALIASES, MAX_FILTERS, MAX_PAGE, MAX_PAGE_SIZE, RecordTable

LIST_KEYS = frozenset(
    (
        "page",
        "page_size",
        "order_column",
        "order_direction",
        "filters",
        "columns",
        "select_columns",
        "keys",
        "cursor",
        "count",
    )
)
#: Keys for reading one record.
RECORD_KEYS = frozenset(("columns", "select_columns", "keys"))
#: Most characters of q.
MAX_LENGTH = 8000
#: Prefix of plain filter parameters: filter.<column> or filter.<column>.<operator>.
PREFIX = "filter."
_NUMBERS = ("page", "page_size", "cursor")
_LISTS = ("columns", "select_columns", "keys")


def read_parameters(known: Set[str] = LIST_KEYS, table: RecordTable | None = None) -> dict[str, Any]:
    """All parameters of the request as one object, in the form of q.

    Raises RuleBroken for parameters that are unknown, wrong, repeated or given in both ways; `table` defines the
    columns for filters.
    """
    if not request.query_string:
        return {}
    parameters = dict(_rison(known))
    filters = [*_list_of(parameters.get("filters"))]
    for name in request.args:
        if name == "q":
            continue
        if name.startswith(PREFIX) and table is not None and "filters" in known:
            filters += _flat_filters(name, request.args.getlist(name), table)
            continue
        if name not in known - {"filters"}:
            raise RuleBroken(_("There is no parameter “%(name)s” here.", name=name[:60]), name[:60])
        _refuse_twice(name, is_also_in_q=parameters.get(name) is not None)
        parameters[name] = _flat_value(name, request.args[name])
    return parameters | ({"filters": filters} if filters or "filters" in parameters else {})


def _rison(known: Set[str]) -> dict[str, Any]:
    if "q" not in request.args:
        return {}
    _refuse_twice("q")
    raw = request.args["q"]
    parsed = _parsed(raw) if raw else {}
    if not isinstance(parsed, dict):
        raise RuleBroken(_("“q” must be a valid Rison or JSON object."), "q")
    unknown = set(parsed) - known
    if unknown:
        raise RuleBroken(_("“q” has unknown keys: %(names)s.", names=", ".join(sorted(map(str, unknown)))[:200]), "q")
    return parsed


@functools.lru_cache(maxsize=2000)
def _parsed(raw: str) -> Any:
    """The parsed value, cached: callers must not change it."""
    if len(raw) > MAX_LENGTH:
        return None
    try:
        return prison.loads(raw)
    except (prison.decoder.ParserException, ValueError, IndexError, RecursionError, KeyError, TypeError):
        pass
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def _refuse_twice(name: str, is_also_in_q: bool = False) -> None:
    if is_also_in_q or len(request.args.getlist(name)) > 1:
        raise RuleBroken(_("“%(name)s” is given more than once.", name=name), name)


def _flat_value(name: str, raw: str) -> Any:
    if name in _NUMBERS:
        return parse_integer(raw, 0, 0, 2**31 - 1)
    if name in _LISTS:
        return [part.strip() for part in raw.split(",") if part.strip()]
    return raw


def _flat_filters(name: str, given: list[str], table: RecordTable) -> list[dict[str, Any]]:
    """The filters of one parameter: several values of `in` are one filter; of other operators, one each."""
    column, operator = _column_and_operator(name.removeprefix(PREFIX), table)
    values: list[Any] = [given] if operator in ("in", "not_in") and len(given) > 1 else list(given)
    return [{"col": column, "opr": operator, "value": value} for value in values]


def _column_and_operator(text: str, table: RecordTable) -> tuple[str, str]:
    """("status", "eq") of "status", ("due_on", "ge") of "due_on.ge"; a column's own name can have a dot."""
    column, _dot, operator = text.rpartition(".")
    is_operator = operator in OPERATOR_LABELS or operator in ALIASES or operator in _custom(table, column)
    return (column, operator) if text not in table.by_name and column and is_operator else (text, "eq")


def _custom(table: RecordTable, column: str) -> Set[str]:
    found = table.by_name.get(column)
    return set(found.custom_filters or ()) if found is not None else set()


def _list_of(filters: Any) -> list[Any]:
    if filters is None:
        return []
    if not isinstance(filters, list):
        raise _malformed()
    return filters


def _malformed() -> RuleBroken:
    return RuleBroken(_("“filters” must be a list of {col, opr, value}."), "filters")


def triples(filters: Any) -> list[tuple[str, str, Any]]:
    """(column, operator, value) of the filters. Raises RuleBroken."""
    given = _list_of(filters)
    if len(given) > MAX_FILTERS:
        raise RuleBroken(_("A list takes at most %(most)s filters.", most=MAX_FILTERS), "filters")
    if not all(isinstance(each, dict) and set(each) == {"col", "opr", "value"} for each in given):
        raise _malformed()
    return [(str(each["col"]), str(each["opr"]), each["value"]) for each in given]


def page_of(parameters: dict[str, Any], page_size: int) -> tuple[int, int]:
    """(page, size). Raises RuleBroken."""
    size = parse_json_integer(parameters.get("page_size"), page_size, 1, MAX_PAGE_SIZE)
    return parse_json_integer(parameters.get("page"), 0, 0, MAX_PAGE), size
