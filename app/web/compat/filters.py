"""Filters: the predecessor's formats and operators as SQL conditions. Masks and access rules apply.

Error messages name the field as the client wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from flask_babel import gettext as _
from sqlalchemy import ColumnElement, String, and_, cast, false, func, not_, or_, select, true

from app import access
from app.domain.base import RuleBroken
from app.extensions import db
from app.lib.ids import parse_id
from app.models import Assignment, CallLog, Ticket
from app.web.compat import date_ranges, text_patterns
from app.web.compat.doctypes import DocType
from app.web.compat.doctypes.note import ContentField, TitleField
from app.web.compat.responses import CompatError
from app.web.core.fields.base import Field, clean_text, limit_values
from app.web.core.fields.contact_field_types import NameField, PhoneField, SecretField
from app.web.core.fields.date_fields import DateField, DateTimeField
from app.web.core.fields.reference_fields import PersonField
from app.web.core.localization.languages import translate_text
from app.web.core.queries.record_table import COUNT_CAP
from app.web.core.viewer import Viewer
from app.web.core.views.custom_columns import CustomColumn
from app.web.records.call_fields import CallNumberField

MAX_FILTERS = 30
#: Predecessor's operator -> our operator.
_OPERATORS = {"=": "eq", ">": "gt", "<": "lt", ">=": "ge", "<=": "le", "in": "in"}
#: Operator -> the one that it negates; a missing value matches "not".
_NEGATED = {"!=": "=", "<>": "=", "not in": "in", "not like": "like"}
_KNOWN_OPERATORS = frozenset({*_OPERATORS, *_NEGATED, "like", "between", "is", "timespan"})
#: The predecessor's operators for trees and versioned documents, which don't exist here.
_TREE_OPERATORS = frozenset(
    [*(f"{no}{side} of" for no in ("", "not ") for side in ("ancestors", "descendants")), "descendants of (inclusive)"]
)
#: Fields of every document without a column of ours.
FIXED_FIELDS = ("name", "doctype", "docstatus", "idx")


class Filter(NamedTuple):
    """One condition of a list query."""

    field: str
    operator: str
    value: Any


def bare_name(name: str, doctype: str) -> str:
    """`tabCRM Lead`.`status` is status. Raises CompatError (417) for a field of another table."""
    table, _dot, column = name.rpartition(".")
    if table and table.strip("` ").removeprefix("tab") != doctype:
        raise not_permitted(name)
    return column.strip("` ")


def not_permitted(name: str) -> CompatError:
    """The error for a field that a query must not use."""
    return CompatError(417, _("Field not permitted in query: %(name)s", name=name[:60]))


def parse_filters(filters: Any, doctype: DocType, viewer: Viewer, or_filters: Any = None) -> list[Any]:
    """SQL conditions: all of the filters, and any of `or_filters`, both in any format that `split_filters` reads.

    Raises CompatError (417).
    """
    if isinstance(or_filters, str) and or_filters:
        raise CompatError(417, _("“filters” must be a list of [field, operator, value] or an object."))
    split, either = split_filters(filters, doctype.name), split_filters(or_filters, doctype.name)
    if len(split) + len(either) > MAX_FILTERS:
        raise CompatError(417, _("There are too many filters."))
    conditions = [*doctype.conditions, *(_by_index(doctype, each, condition(doctype, each, viewer)) for each in split)]
    return [*conditions, or_(*[condition(doctype, each, viewer) for each in either])] if either else conditions


def _by_index(doctype: DocType, each: Filter, rule: Any) -> Any:
    """A value of a record or its customer, looked up by index; any other condition unchanged."""
    if each.operator not in ("=", "in"):
        return rule
    return access.looked_up(db.session(), doctype.record_table.record, rule, COUNT_CAP)


def _known_operator(value: Any) -> tuple[str, Any]:
    """[operator, value] when the operator is known; any other list means "in"."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
        operator = " ".join(value[0].lower()[:30].split())
        if operator in _KNOWN_OPERATORS | _TREE_OPERATORS:
            return operator, value[1]
    return "in" if isinstance(value, list) else "=", value


def split_filters(
    filters: Any, doctype: str, split_pair: Callable[[Any], tuple[str, Any]] = _known_operator
) -> list[Filter]:
    """Read [[field, op, value]], [[DocType, field, op, value]], {field: value}, {field: [op, value]} or a name.

    `split_pair` turns the value of the object form into (operator, value). Raises CompatError (417).
    """
    if filters in (None, "", [], {}):
        return []
    if isinstance(filters, str):
        return [Filter("name", "=", filters)]
    if isinstance(filters, dict):
        return [Filter(bare_name(str(name), doctype), *split_pair(value)) for name, value in filters.items()]
    if isinstance(filters, list) and all(isinstance(each, list) and len(each) in (3, 4, 5) for each in filters):
        # The predecessor's lists send a fifth part: whether the filter is hidden.
        return [_split_list(each, doctype) for each in filters]
    raise CompatError(417, _("“filters” must be a list of [field, operator, value] or an object."))


def _split_list(parts: list[Any], doctype: str) -> Filter:
    if len(parts) > 3 and parts[0] != doctype:
        raise not_permitted(f"{parts[0]}.{parts[1]}")
    name, operator, value = parts if len(parts) == 3 else parts[1:4]
    return Filter(bare_name(str(name), doctype), " ".join(str(operator)[:30].lower().split()), value)


def condition(doctype: DocType, each: Filter, viewer: Viewer) -> ColumnElement[bool]:
    """The SQL of a filter. Raises CompatError (417)."""
    if each.operator in _NEGATED:
        positive = condition(doctype, each._replace(operator=_NEGATED[each.operator]), viewer)
        return not_(func.coalesce(positive, false()))
    if each.operator not in _KNOWN_OPERATORS:
        raise unknown_operator(each.operator)
    if each.field in ("docstatus", "idx"):
        return _constant(each)
    if each.field == "name":
        return _name_condition(doctype, each, viewer)
    if each.field == "_assign":
        return _assigned(doctype, each, viewer)
    field = doctype.record_table.by_name.get(doctype.fields.get(each.field, ""))
    if field is None or not field.columns:
        raise not_permitted(each.field)
    if field.is_hidden(viewer):
        raise CompatError(417, _("“%(name)s” is hidden from you, so you can't filter by it.", name=each.field))
    return _field_condition(field, each, viewer)


def unknown_operator(operator: str) -> CompatError:
    """The error for an operator that does not exist here."""
    return CompatError(417, _("There is no operator “%(op)s” here.", op=operator[:20]))


def _unsuitable(each: Filter) -> CompatError:
    return CompatError(417, _("“%(name)s” can't be filtered with “%(op)s”.", name=each.field[:60], op=each.operator))


def _constant(each: Filter) -> ColumnElement[bool]:
    """docstatus and idx are 0 in every document."""
    values = each.value if isinstance(each.value, list) else [each.value]
    numbers = [key for value in values if (key := parse_id(str(value)[:12])) is not None]
    if each.operator not in ("=", "in", "<", ">", "<=", ">=") or len(numbers) != len(values) or not numbers:
        raise _unsuitable(each)
    first = numbers[0]
    tests = {"=": first == 0, "in": 0 in numbers, "<": first > 0, ">": False, "<=": True, ">=": first == 0}
    return true() if tests[each.operator] else false()


def _field_condition(field: Field, each: Filter, viewer: Viewer) -> ColumnElement[bool]:
    operator, value = each.operator, each.value
    if operator == "is":
        return _is_set(field, each, viewer)
    if isinstance(field, DateTimeField):
        return _moment_condition(field, each, viewer)
    if operator == "timespan" and isinstance(field, DateField):
        first, last = date_ranges.named_span(str(value), viewer)
        if isinstance(field, CustomColumn):
            return field.with_value(field.stored >= first, field.stored <= last)
        return and_(field.columns[0] >= first, field.columns[0] <= last)
    if operator == "between":
        bounds = zip((">=", "<="), _ends(value), strict=True)
        return and_(*[_compared(field, Filter(each.field, op, end), viewer) for op, end in bounds])
    return _like(field, each, viewer) if operator == "like" else _compared(field, each, viewer)


def _like(field: Field, each: Filter, viewer: Viewer) -> ColumnElement[bool]:
    pattern = text_patterns.checked(each.value, each.field)
    found = text_patterns.field_like(field, pattern, viewer) if not isinstance(field, SecretField) else None
    if found is None:
        raise _unsuitable(each)
    return found


def _ends(value: Any) -> tuple[Any, Any]:
    ends = value if isinstance(value, list) else str(value)[:100].split(",")
    if len(ends) != 2:
        raise CompatError(417, _("“between” needs two values."))
    return ends[0], ends[1]


def _is_set(field: Field, each: Filter, viewer: Viewer) -> ColumnElement[bool]:
    word = " ".join(str(each.value)[:20].lower().split())
    if word not in ("set", "not set"):
        raise CompatError(417, _("“is” needs “set” or “not set”."))
    if "null" not in field.operators and not isinstance(field, CustomColumn):
        missing: ColumnElement[bool] = and_(*[column.is_(None) for column in field.columns])
        return missing if word == "not set" else not_(missing)
    with _refusing(each):
        return field.where("null", word == "not set", viewer)


def _compared(field: Field, each: Filter, viewer: Viewer) -> ColumnElement[bool]:
    """=, in and the comparisons, by the field's own rules where it has them."""
    op = _OPERATORS.get(each.operator)
    if op is None:
        raise _unsuitable(each)
    if op == "in":
        with _refusing(each):
            values = limit_values(
                each.value if isinstance(each.value, list) else str(each.value).split(","), each.field
            )
        if "in" not in field.operators or None in values or "" in values or _has_own_text(field):
            return or_(false(), *[_compared(field, each._replace(operator="=", value=one), viewer) for one in values])
        with _refusing(each):
            return field.where("in", values, viewer)
    if op == "eq" and _has_own_text(field):
        return _text_is(field, each, viewer)
    if op not in field.operators:
        raise _unsuitable(each)
    with _refusing(each):
        return field.where(op, each.value, viewer)


def _has_own_text(field: Field) -> bool:
    """Whether the displayed text is made of several columns, of a part of one, or stored as typed."""
    is_as_typed = isinstance(field, CallNumberField) and field.name != "other_number"
    return is_as_typed or isinstance(field, NameField | TitleField | ContentField)


def _text_is(field: Field, each: Filter, viewer: Viewer) -> ColumnElement[bool]:
    with _refusing(each):
        value = clean_text(each.value, each.field, 1000)
    if value is None:
        return and_(*[column.is_(None) for column in field.columns])
    if isinstance(field, PhoneField):
        return text_patterns.number_is(field, value)
    found: ColumnElement[bool] = text_patterns.text_of(field) == value
    return found


# --- times


def _moment_condition(field: Field, each: Filter, viewer: Viewer) -> ColumnElement[bool]:
    """A time is compared with the day, minute or second that the text names.

    "between" includes both ends completely.
    """
    column, operator = field.filter_columns()[0], each.operator
    if operator in ("timespan", "like", "between"):
        start, end = _span(each, viewer)
        return and_(column >= start, column < end)
    if operator == "in":
        values = each.value if isinstance(each.value, list) else str(each.value)[:4000].split(",")
        with _refusing(each):
            limit_values(values, each.field)
        return or_(false(), *[_moment_condition(field, Filter(each.field, "=", one), viewer) for one in values])
    if each.value in (None, ""):
        if operator != "=":
            raise _unsuitable(each)
        missing: ColumnElement[bool] = column.is_(None)
        return missing
    start, end = date_ranges.parse_span(each.value, viewer)
    if operator == "=":
        return and_(column >= start, column < end)
    last = (
        start if date_ranges.is_day(each.value) else None
    )  # up to a date means up to its midnight, as in the predecessor
    comparisons = {">": column > start, ">=": column >= start, "<": column < start}
    comparisons["<="] = column <= last if last is not None else column < end
    found: ColumnElement[bool] = comparisons[operator]
    return found


def _span(each: Filter, viewer: Viewer) -> tuple[Any, Any]:
    if each.operator == "timespan":
        return date_ranges.bounds(*date_ranges.named_span(str(each.value), viewer), viewer)
    if each.operator == "between":
        first, last = _ends(each.value)
        return date_ranges.parse_span(first, viewer)[0], date_ranges.parse_span(last, viewer)[1]
    text = str(each.value)[:40]
    if not text.endswith("%"):
        raise _unsuitable(each)
    return date_ranges.parse_span(text.rstrip("%").rstrip(), viewer)


# --- names and assignees


def _name_condition(doctype: DocType, each: Filter, viewer: Viewer) -> ColumnElement[bool]:
    """By number, or by id if that is the document's name."""
    record, operator = doctype.record_table.record, each.operator
    column = record.number if doctype.name_field is not None else record.id
    if operator == "is":
        return true() if " ".join(str(each.value)[:20].lower().split()) == "set" else false()
    if operator == "like":
        pattern = text_patterns.checked(each.value, "name")
        found = text_patterns.like(column if doctype.name_field else cast(column, String), pattern)
        return or_(found, text_patterns.like(CallLog.device_call_id, pattern)) if record is CallLog else found
    if operator in ("between", "timespan"):
        raise _unsuitable(each)
    with _refusing(each):
        values = limit_values(each.value if isinstance(each.value, list) else [each.value], "name")
        names = [clean_text(one, "name", 140) or "" for one in values]
    if operator in ("=", "in"):
        return _named(doctype, names, viewer)
    keys = names if doctype.name_field is not None else [parse_id(one) for one in names]
    if len(keys) != 1 or keys[0] is None:
        raise _unsuitable(each)
    compared = {">": column > keys[0], "<": column < keys[0], ">=": column >= keys[0], "<=": column <= keys[0]}
    found = compared[operator]
    return found


def _named(doctype: DocType, names: list[str], viewer: Viewer) -> ColumnElement[bool]:
    record = doctype.record_table.record
    if doctype.name_field is not None:
        return record.number.in_([one.upper() for one in names]) if names else false()
    ids = [key for one in names if (key := parse_id(one)) is not None]
    found: ColumnElement[bool] = record.id.in_(ids) if ids else false()
    return or_(found, _sent_as(names, viewer)) if record is CallLog and names else found


def _sent_as(names: list[str], viewer: Viewer) -> ColumnElement[bool]:
    """Calls by their sender's id, which is unique per employee: the person's own take precedence."""
    own = select(CallLog.device_call_id).where(
        CallLog.employee_id == viewer.person.id, CallLog.device_call_id.in_(names)
    )
    is_first = or_(CallLog.employee_id == viewer.person.id, CallLog.device_call_id.not_in(own))
    return and_(CallLog.device_call_id.in_(names), is_first)


#: DocType name -> our field with its assignee.
_ASSIGNEES = {"CRM Lead": "assignee", "CRM Ticket": "assignee", "CRM Task": "assignee"}


def _assigned(doctype: DocType, each: Filter, viewer: Viewer) -> ColumnElement[bool]:
    """_assign, which holds all assignees: "like" with a user's name between %, =, or is (not) set."""
    field = doctype.record_table.by_name.get(_ASSIGNEES.get(doctype.name, ""))
    if not isinstance(field, PersonField) or each.operator not in ("like", "=", "is"):
        raise _unsuitable(each)
    if each.operator == "is" or each.value in (None, "", "[]"):
        return _is_set(field, each if each.operator == "is" else Filter(each.field, "is", "not set"), viewer)
    name = text_patterns.checked(each.value, each.field).strip('%"[] ')
    with _refusing(each):
        user_id = field.parse_filter(name, viewer)
    main: ColumnElement[bool] = field.columns[0] == user_id
    if doctype.name != "CRM Ticket":
        return main
    others = select(Assignment.ticket_id).where(Assignment.user_id == user_id, Assignment.ended_on.is_(None))
    return or_(main, Ticket.id.in_(others.where(Assignment.ticket_id.is_not(None))))


@contextmanager
def _refusing(each: Filter) -> Iterator[None]:
    """Turn a value refused by one of our fields into a bad request (417) that names the client's field."""
    try:
        yield
    except CompatError:
        raise
    except RuleBroken as broken:
        why = translate_text(broken.message)
        text = _("“%(name)s” can't be filtered by this value: %(why)s", name=each.field[:60], why=why)
        raise CompatError(417, text) from broken
