"""What a list call asks for, in our terms: fields, filters, order, a page; masks and the law apply as everywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import and_, not_, or_

from app.domain.base import RuleBroken
from app.models import CallLog
from app.web.compat.arguments import Arguments
from app.web.compat.doctypes import DocType
from app.web.compat.responses import CompatError
from app.web.core.date_fields import DateTimeField
from app.web.core.fields import Viewer, clean_text, few
from app.web.core.languages import said
from app.web.core.record_table import DEEPEST, ListQuery

#: Documents of one call, whatever it asks for; 0 asks for as many as there are.
MAX_PAGE_SIZE = 1000
DEFAULT_PAGE_SIZE = 20
MAX_FILTERS = 30
_OPS = {"=": "eq", "!=": "neq", ">": "gt", "<": "lt", ">=": "ge", "<=": "le", "in": "in"}
_ORDER = re.compile(r"^\s*(?:`?tab[\w ]+`?\.)?`?(\w+)`?\s*(asc|desc)?\s*$", re.IGNORECASE)
#: Answered of every document, though no column of ours is called so.
FIXED_FIELDS = ("name", "doctype", "docstatus", "idx")


@dataclass(frozen=True)
class ListRequest:
    """One list call."""

    list_query: ListQuery
    #: Theirs, in the order in which they were asked for.
    fields: tuple[str, ...]


def parse_list_request(arguments: Arguments, doctype: DocType, viewer: Viewer) -> ListRequest:
    """Read fields, filters, order_by, limit_start, limit_page_length. Raises Refused (417)."""
    size = (
        arguments.integer(
            "limit_page_length", arguments.integer("limit", DEFAULT_PAGE_SIZE, 0, MAX_PAGE_SIZE), 0, MAX_PAGE_SIZE
        )
        or MAX_PAGE_SIZE
    )
    start = arguments.integer("limit_start", arguments.integer("start", 0, 0, DEEPEST), 0, DEEPEST)
    order, newest = _order(arguments.raw("order_by"), doctype, viewer)
    made = ListQuery(
        parse_filters(arguments.json_value("filters"), doctype, viewer), order, size, newest=newest, start=start
    )
    return ListRequest(made, requested_fields(arguments.json_value("fields", ["name"]), doctype))


def requested_fields(wanted: Any, doctype: DocType) -> tuple[str, ...]:
    """The names asked for; "*" are all. Raises Refused (417) for one that never was."""
    names = [wanted] if isinstance(wanted, str) else wanted
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CompatError(417, _("“fields” must be a list of names."))
    bare = [name.rpartition(".")[2].strip("` ") for name in names]
    if "*" in bare:
        return ("name", *doctype.fields)
    for name in bare:
        if name not in doctype.fields and name not in FIXED_FIELDS and name not in doctype.ignored_fields:
            raise CompatError(417, _("Field not permitted in query: %(name)s", name=name[:60]))
    return tuple(dict.fromkeys(bare))


def parse_filters(filters: Any, doctype: DocType, viewer: Viewer) -> list[Any]:
    """Filters as SQL: [[field, op, value]], [[DocType, field, op, value]], {field: value} or {field: [op, value]}."""
    triples = _triples(filters)
    if len(triples) > MAX_FILTERS:
        raise CompatError(417, _("There are too many filters."))
    return [*doctype.conditions, *(rule for triple in triples for rule in _rules_of(doctype, *triple, viewer))]


def _triples(filters: Any) -> list[tuple[str, str, Any]]:
    if filters in (None, "", [], {}):
        return []
    if isinstance(filters, str):
        return [("name", "=", filters)]
    if isinstance(filters, dict):
        return [_of_pair(name, value) for name, value in filters.items()]
    if isinstance(filters, list) and all(isinstance(each, list) and len(each) in (3, 4, 5) for each in filters):
        # A fifth part, which the old lists sent, says whether it is hidden.
        return [_of_list(each if len(each) == 3 else each[1:4]) for each in filters]
    raise CompatError(417, _("“filters” must be a list of [field, operator, value] or an object."))


def _of_pair(name: Any, value: Any) -> tuple[str, str, Any]:
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and value[0].lower() in _KNOWN:
        return str(name), value[0].lower(), value[1]
    return str(name), "in" if isinstance(value, list) else "=", value


def _of_list(parts: list[Any]) -> tuple[str, str, Any]:
    return str(parts[0]), str(parts[1]).strip().lower(), parts[2]


_KNOWN = frozenset({*_OPS, "like", "between", "is"})


def _rules_of(doctype: DocType, name: str, op: str, value: Any, viewer: Viewer) -> list[Any]:
    name = name.rpartition(".")[2].strip("` ")
    if name == "name":
        return [_by_name(doctype, op, value, viewer)]
    ours = doctype.fields.get(name)
    if ours is None:
        raise CompatError(417, _("Field not permitted in query: %(name)s", name=name[:60]))
    if op == "=" and _is_day(value) and isinstance(doctype.record_table.by_name[ours], DateTimeField):
        op, value = "between", [value, value]
    return [_rule(doctype, ours, *part, viewer) for part in _parts(op, value)]


def _parts(op: str, value: Any) -> list[tuple[str, Any]]:
    """Our operators for theirs."""
    if op == "between":
        ends = value if isinstance(value, list) else str(value).split(",")
        if len(ends) != 2:
            raise CompatError(417, _("“between” needs two values."))
        return [("ge", ends[0]), ("le", _end_of_day(ends[1]))]
    if op == "is":
        return [("null", str(value).strip().lower() != "set")]
    if op == "like":
        return [_like(str(value))]
    if op not in _OPS:
        raise CompatError(417, _("There is no operator “%(op)s” here.", op=op[:20]))
    return [(_OPS[op], value)]


def _end_of_day(value: Any) -> Any:
    """ "Until the 30th" means until its last second."""
    return f"{value} 23:59:59" if _is_day(value) else value


def _is_day(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value.strip()) is not None


def _like(pattern: str) -> tuple[str, str]:
    bare = pattern.strip("%")
    if "%" in bare or "_" in bare.replace("\\_", ""):
        raise CompatError(417, _("“like” only takes % at the start and the end."))
    return {(True, True): "ct", (False, True): "sw", (True, False): "ew", (False, False): "eq"}[
        pattern.startswith("%"), pattern.endswith("%")
    ], bare.replace("\\_", "_")


def _rule(doctype: DocType, ours: str, op: str, value: Any, viewer: Viewer) -> Any:
    with _in_their_words():
        return doctype.record_table.filter_clause(ours, op, value, viewer)


def _by_name(doctype: DocType, op: str, value: Any, viewer: Viewer) -> Any:
    """By number, or by id where a document is named so."""
    if doctype.name_field is not None:
        return _rule(doctype, doctype.name_field, *_parts(op, value)[0], viewer)
    with _in_their_words():
        values = [clean_text(each, "name", 140) or "" for each in few(_several(value), "name")]
    if op not in ("=", "in", "!="):
        raise CompatError(417, _("There is no operator “%(op)s” here.", op=op[:20]))
    ids = [int(each) for each in values if _is_id(each)]
    named = doctype.record_table.record.id.in_(ids)
    # Telephones name their calls by their own ids, which are unique to one employee only.
    theirs = [each for each in values if not _is_id(each)] if doctype.record_table.record is CallLog else []
    if theirs:
        own = and_(CallLog.device_call_id.in_(theirs), CallLog.employee_id == viewer.person.id)
        named = or_(named, own) if ids else own
    return not_(named) if op == "!=" else named


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@contextmanager
def _in_their_words() -> Iterator[None]:
    """What our fields refuse of a question is a fault of the call to the old clients."""
    try:
        yield
    except RuleBroken as broken:
        raise CompatError(417, said(broken.message)) from broken


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def _order(raw: Any, doctype: DocType, viewer: Viewer) -> tuple[list[Any], bool]:
    """The first of the orders asked for; newest first by itself."""
    if raw in (None, ""):
        return [doctype.record_table.record.id.desc()], True
    found = _ORDER.match(str(raw)[:200].split(",")[0])
    name = found[1] if found else ""
    ours = "id" if name in ("name", "creation", "idx") else doctype.fields.get(name)
    if found is None or ours is None:
        raise CompatError(417, _("A list can't be sorted by “%(name)s”.", name=str(raw)[:60]))
    direction = (found[2] or "asc").lower()
    with _in_their_words():
        return doctype.record_table.order_by(ours, direction, viewer), ours == "id" and direction == "desc"
