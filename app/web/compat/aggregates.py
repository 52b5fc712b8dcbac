"""Lists with aggregates: `group_by`, `distinct`, and fields such as "count(name) as total"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import func

from app.extensions import db
from app.web.compat.doctypes import DocType
from app.web.compat.documents import document_value
from app.web.compat.filters import bare_name, not_permitted, parse_filters
from app.web.compat.list_options import ListOptions
from app.web.compat.list_query import field_names, order_parts, unsortable
from app.web.compat.responses import CompatError
from app.web.core.fields.base import Field, NumberField
from app.web.core.fields.date_fields import DateField, DateTimeField
from app.web.core.fields.scalar_fields import DecimalField
from app.web.core.queries.list_query import ListQuery
from app.web.core.viewer import Viewer
from app.web.core.views.custom_columns import CustomColumn

_AGGREGATE = re.compile(
    r"(count|sum|avg|min|max)\( ?(distinct )?(\*|[\w`. ]{1,140})\)(?: as [`'\"]?(\w{1,60})[`'\"]?)?", re.IGNORECASE
)
_FUNCTIONS: dict[str, Any] = {"sum": func.sum, "avg": func.avg, "min": func.min, "max": func.max}


@dataclass(frozen=True)
class AggregateColumn:
    """One column of a list with aggregates."""

    #: Its key in the result.
    name: str
    #: The field whose values the column contains; None for a number.
    field: Field | None
    sql: tuple[Any, ...]
    is_group: bool


def is_aggregated(options: ListOptions) -> bool:
    """Whether the request is for groups rather than for documents."""
    if options.group_by or _has_function(options.fields):
        return True
    return options.distinct and not _names_documents(options.fields)


def _has_function(fields: Any) -> bool:
    names = fields if isinstance(fields, list) else [fields]
    return any(isinstance(each, dict) or (isinstance(each, str) and "(" in each) for each in names)


def _names_documents(fields: Any) -> bool:
    names = fields if isinstance(fields, list) else [fields]
    return any(str(each).strip("` ").endswith(("name`", ".name", "*")) or each == "name" for each in names)


def list_groups(options: ListOptions, doctype: DocType, viewer: Viewer) -> list[dict[str, Any]]:
    """The groups, one statement. Raises CompatError (417)."""
    columns = _columns(options, doctype, viewer)
    grouped = [sql for each in columns if each.is_group for sql in each.sql]
    order = _order(options.order_by, columns, doctype) or [*grouped]
    conditions = parse_filters(options.filters, doctype, viewer, options.or_filters)
    selected = [sql for each in columns for sql in each.sql]
    query = doctype.record_table.ids(ListQuery(conditions, [*selected, *order], 1))
    query = query.with_only_columns(*(sql.label(f"c{n}") for n, sql in enumerate(selected)), maintain_column_froms=True)
    query = query.group_by(*grouped).order_by(*order).limit(options.fetched).offset(options.start)
    rows = db.session.execute(query, execution_options={"guarded_tables": doctype.tables})
    return [_document(columns, tuple(row), viewer) for row in rows]


def _columns(options: ListOptions, doctype: DocType, viewer: Viewer) -> list[AggregateColumn]:
    groups = field_names(options.group_by or [], doctype.name)
    names = options.fields if isinstance(options.fields, list) else [options.fields]
    if not all(isinstance(each, str | dict) for each in names):
        raise CompatError(417, _("“fields” must be a list of names."))
    columns = [_column(each, doctype, viewer) for each in names]
    plain = [each.name for each in columns if each.is_group]
    if options.group_by and not set(plain) <= set(groups):
        text = _("“%(name)s” must be in “group_by”, or in a function.", name=next(n for n in plain if n not in groups))
        raise CompatError(417, text)
    # A field that is grouped by but not shown still forms groups.
    hidden = [_column(each, doctype, viewer) for each in groups if each not in plain]
    return columns + [AggregateColumn("", each.field, each.sql, True) for each in hidden]


def _column(requested: str | dict[str, Any], doctype: DocType, viewer: Viewer) -> AggregateColumn:
    text = _from_object(requested) if isinstance(requested, dict) else requested
    found = _AGGREGATE.fullmatch(" ".join(text[:300].split()))
    if found is None:
        name = bare_name(text, doctype.name)
        field = _field(name, doctype, viewer)
        return AggregateColumn(name, field, _sql(field), True)
    function, distinct, name = found[1].lower(), bool(found[2]), bare_name(found[3], doctype.name)
    key = found[4] or f"{function}({name})"
    if function == "count":
        return AggregateColumn(key, None, (_count(name, distinct, doctype, viewer),), False)
    field = _field(name, doctype, viewer)
    numbers = (NumberField, DecimalField)
    allowed = (*numbers, DateField, DateTimeField) if function in ("min", "max") else numbers
    if not isinstance(field, allowed) or distinct:
        raise CompatError(417, _("“%(name)s” can't be used in “%(function)s”.", name=name[:60], function=function))
    shown = None if isinstance(field, numbers) else field
    return AggregateColumn(key, shown, (_FUNCTIONS[function](_sql(field)[0]),), False)


def _sql(field: Field) -> tuple[Any, ...]:
    """The values of a field; those of a custom one are in the record's JSON."""
    return (field.sql,) if isinstance(field, CustomColumn) else field.columns


def _shown(field: Field, values: tuple[Any, ...], viewer: Viewer) -> Any:
    if isinstance(field, CustomColumn):
        values = ({field.name: None if values[0] is None else field.keep(values[0])},)
    return document_value(field, values, viewer)


def _from_object(requested: dict[str, Any]) -> str:
    """{"COUNT": "name", "as": "total"} is count(name) as total."""
    functions = [(str(key), value) for key, value in requested.items() if key != "as"]
    if len(functions) != 1:
        raise CompatError(417, _("“fields” must be a list of names."))
    alias = f" as {requested['as']}" if requested.get("as") else ""
    return f"{functions[0][0]}({functions[0][1]}){alias}"


def _count(name: str, distinct: bool, doctype: DocType, viewer: Viewer) -> Any:
    record = doctype.record_table.record
    column = record.id if name in ("*", "name") else _sql(_field(name, doctype, viewer))[0]
    return func.count(column.distinct()) if distinct else func.count(column)


def _field(name: str, doctype: DocType, viewer: Viewer) -> Field:
    """A field that may be grouped by. Raises CompatError (417) if it is masked for the person."""
    found = doctype.name_field if name == "name" else doctype.fields.get(name)
    field = doctype.record_table.by_name.get(found or "")
    if field is None or not field.columns:
        raise not_permitted(name)
    if field.is_hidden(viewer):
        raise CompatError(417, _("“%(name)s” is hidden from you, so you can't filter by it.", name=name))
    return field


def _order(order_by: str, columns: list[AggregateColumn], doctype: DocType) -> list[Any]:
    known = {each.name: each for each in columns}
    order: list[Any] = []
    for name, direction in order_parts(order_by.replace("(", " ").replace(")", " "), doctype.name) if order_by else []:
        column = known.get(name) or known.get(re.sub(r"^(\w+) +([\w*]+)$", r"\1(\2)", name))
        if column is None:
            raise unsortable(name)
        order += [sql.desc() if direction == "desc" else sql.asc() for sql in column.sql]
    return order


def _document(columns: list[AggregateColumn], row: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
    document: dict[str, Any] = {}
    start = 0
    for each in columns:
        values, start = row[start : start + len(each.sql)], start + len(each.sql)
        if each.name:
            document[each.name] = _shown(each.field, values, viewer) if each.field else _number(values[0])
    return document


def _number(value: Any) -> Any:
    """A sum in a form that JSON can represent."""
    if isinstance(value, Decimal):
        return int(value) if value == int(value) else float(value)
    return value
