"""Compiles a view's declaration into the fields of its RecordTable.

A column's type, nullability, length, foreign key and enum determine the field, and thereby the widget, the filter
operators and the REST schema. Anything else is declared as a field object in the service's (or view's) `fields`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

from flask_appbuilder.security.sqla.models import User
from sqlalchemy import Boolean, Date, DateTime, Enum, Float, Integer, LargeBinary, Numeric, String, Text, Time, inspect
from sqlalchemy.types import TypeDecorator, TypeEngine

from app.domain.base import UtcDateTime
from app.domain.people import permissions
from app.domain.picklists import PicklistEntry
from app.web.core.declarations import STAMPS, Declaration, read_declaration
from app.web.core.fields.attribute_fields import AttributeField, DottedField
from app.web.core.fields.base import (
    ChoiceField,
    Field,
    LongTextField,
    NumberField,
    TextField,
)
from app.web.core.fields.date_fields import DateField, DateTimeField, NaiveDateTimeField, TimeField
from app.web.core.fields.form_fields import FormField
from app.web.core.fields.reference_fields import PersonField, PicklistField, RecordField
from app.web.core.fields.relation_fields import KeyField, ManyRelationField, RelatedRows, RelationField
from app.web.core.fields.scalar_fields import BooleanField, DecimalField, EnumField
from app.web.core.queries.record_table import RecordTable


def compile_table(view: type) -> RecordTable:
    """The RecordTable of a Screen or Resource class.

    Raises TypeError with one sentence that names the view, the attribute and the column for anything that can't be
    shown.
    """
    declared = read_declaration(view)
    fields = [_flagged(_field(declared, name), declared) for name in declared.names]
    many = getattr(getattr(view, "service", None), "load_children", None)
    table = RecordTable(declared.model, fields, joins=_joins(declared.model, fields), many=many)
    table.declared = declared
    service = getattr(view, "service", None)
    if service is None or service.is_generic:
        table.plain_texts = [each for each in fields if isinstance(each, TextField) and each.filter]
        table.readable = [each for each in table.fields if each.name in (*declared.show, *declared.list)]
        table.shown = tuple(each.name for each in table.readable if each.name in declared.show)
    table.base_order = getattr(view, "base_order", None)
    table.linked_hits = getattr(view, "linked_hits", None)
    base_filters = getattr(view, "base_filters", None)
    table.base_filters = (declared.interface, base_filters) if base_filters else None
    return table


def _flagged(field: Field, declared: Declaration) -> Field:
    """A copy of the field with this view's label, help and purposes."""
    made = copy.copy(field)
    name = made.name
    made.label = declared.labels.get(name) or made.label or declared.label(name)
    made.help = declared.descriptions.get(name) or made.help
    made.add, made.edit = name in declared.add, name in declared.edit
    made.required = made.required and (declared.is_generic or _special(declared, name) is not None)
    made.mask = made.mask or _is_masked(made)
    _refuse_unmasked(made, declared)
    made.filter = name in declared.search and bool(made.operators)
    made.sort = name in declared.order
    made.validators = tuple((getattr(declared.view, "validators_columns", None) or {}).get(name, ()))
    made.formatter = (getattr(declared.view, "formatters_columns", None) or {}).get(name)
    made.related_filters = _related_filters(declared.view, name)
    custom = (getattr(declared.view, "search_filters", None) or {}).get(name, ())
    made.operators = _with_not_null(made.operators)
    made.custom_filters = {each.arg_name: each(name, declared.interface) for each in custom}
    made.operators = (*made.operators, *(op for op in made.custom_filters if op not in made.operators))
    return made


def _with_not_null(operators: tuple[str, ...]) -> tuple[str, ...]:
    """The operators, with "not null" for fields that can be null."""
    both = (op for each in operators for op in (("null", "not_null") if each == "null" else (each,)))
    return tuple(dict.fromkeys(both))


def _is_masked(field: Field) -> bool:
    """Whether a mask of the roles applies by name; never to a relation, which shows the label of another row."""
    return permissions.mask_of(field.name) is not None and not isinstance(field, RelatedRows)


def _refuse_unmasked(field: Field, declared: Declaration) -> None:
    """Raise TypeError for a field that roles mask, but that would show its value in full all the same."""
    if field.mask and not field.honors_mask:
        raise TypeError(
            f"{declared.view.__name__} shows “{field.name}”, which roles mask (permissions.MASKED), but a "
            f"{type(field).__name__} can't be masked: take the name out of MASKED, or declare a field that can be."
        )


def _related_filters(view: Any, name: str) -> dict[str, Any]:
    """Which rows of the related model a form or REST body may refer to: {"add": [...], "edit": [...]}."""
    attributes = {
        "add": ("add_form_query_rel_fields", "add_query_rel_fields"),
        "edit": ("edit_form_query_rel_fields", "edit_query_rel_fields"),
    }
    found = {}
    for which, names in attributes.items():
        for attribute in names:
            filters = (getattr(view, attribute, None) or {}).get(name)
            if filters:
                found[which] = filters
    return found


def _field(declared: Declaration, name: str) -> Field:
    for extra in ("add_form_extra_fields", "edit_form_extra_fields"):
        form_field = (getattr(declared.view, extra, None) or {}).get(name)
        if form_field is not None:
            shown = _model_field(declared, name)
            if shown is not None:
                shown.mask = shown.mask or _is_masked(shown)
            return FormField(name, form_field, shown)
    special = _special(declared, name)
    found = _bound(special, declared) if special is not None else _model_field(declared, name)
    if found is None:
        raise TypeError(
            f"{declared.view.__name__} names “{name}”, which {declared.model.__name__} does not have. "
            f"It has: {', '.join(sorted(_known(declared.model)))}."
        )
    return found


def _special(declared: Declaration, name: str) -> Field | None:
    for owner in (declared.view, getattr(declared.view, "service", None)):
        for each in getattr(owner, "fields", None) or ():
            if each.name == name:
                return each
    return None


def _bound(special: Field, declared: Declaration) -> Field:
    """A declared field; one without columns gets the model column of the same name with its length and choices."""
    column = inspect(declared.model).columns.get(special.name)
    if special.columns or column is None:
        return special
    made = copy.copy(special)
    made.columns = (getattr(declared.model, special.name),)
    made.required = made.required or (declared.is_generic and is_required(column))
    if isinstance(made, ChoiceField) and not made.options:
        made.options = column.info.get("choices", ())
    length = getattr(column.type, "length", None)
    if length and made.max_length == Field.max_length:
        made.max_length = length
    return made


def _known(model: Any) -> set[str]:
    mapper = inspect(model)
    return {*mapper.columns.keys(), *mapper.relationships.keys()}


def _model_field(declared: Declaration, name: str) -> Field | None:
    """The field derived from the model for this name, or None."""
    mapper = inspect(declared.model)
    if name in mapper.relationships:
        return _relation(declared, name)
    if name in mapper.columns:
        column = mapper.columns[name]
        if column.foreign_keys and declared.is_generic:
            target = _target(declared.model, column)
            flags = {"required": is_required(column), "model": declared.model, "target": target}
            return KeyField(name, declared.label(name), (getattr(declared.model, name),), **flags)
        if column.foreign_keys and not declared.labels.get(name):
            return _number(name, declared.label(name), getattr(declared.model, name), column)
        return field_of_column(name, declared.label(name), getattr(declared.model, name), column)
    if f"{name}_id" in mapper.columns and mapper.columns[f"{name}_id"].foreign_keys:
        return _foreign_key(declared, name, f"{name}_id")
    if "." in name:
        relation, _dot, column = name.partition(".")
        known = relation in mapper.relationships and hasattr(mapper.relationships[relation].mapper.class_, column)
        return DottedField(name, declared.label(name), declared.model) if known else None
    if hasattr(declared.model, name):
        return AttributeField(name, declared.label(name), declared.model)
    return None


def _relation(declared: Declaration, name: str) -> Field:
    mapper = inspect(declared.model)
    relation = mapper.relationships[name]
    if relation.uselist:
        return ManyRelationField(name, declared.label(name), declared.model)
    locals_ = list(relation.local_columns)
    key = next((key for key, column in mapper.columns.items() if column in locals_ and column.foreign_keys), None)
    if key is None:  # the other side of a one-to-one relation
        return AttributeField(name, declared.label(name), declared.model)
    return _foreign_key(declared, name, key)


def _foreign_key(declared: Declaration, name: str, key: str) -> Field:
    """A field for a foreign key: a colleague, a row of a picklist, a record with a label, or any other row."""
    model, label = declared.model, declared.label(name)
    column, attribute = inspect(model).columns[key], getattr(model, key)
    required = is_required(column)
    target = _target(model, column)
    if target is User:
        return PersonField(name, label, (attribute,), key=key, required=required)
    if issubclass(target, PicklistEntry):
        has_color = "color" in inspect(target).columns
        return PicklistField(
            name, label, (attribute,), key=key, required=required, picklist=target.__tablename__, status=has_color
        )
    shown = getattr(target, "__label_columns__", None)
    if shown and _foreign_keys_to(model, target) == 1 and target is not model:
        columns = (attribute, *(getattr(target, each) for each in shown))
        return RecordField(name, label, columns, key=key, required=required, record=target)
    return RelationField(name, label, (attribute,), key=key, required=required, model=model, target=target)


def _target(model: Any, column: Any) -> Any:
    table = next(iter(column.foreign_keys)).column.table
    return next(mapper.class_ for mapper in model.registry.mappers if mapper.local_table is table)


def _foreign_keys_to(model: Any, target: Any) -> int:
    return sum(
        each.column.table is inspect(target).local_table
        for column in inspect(model).columns
        for each in column.foreign_keys
    )


def is_required(column: Any) -> bool:
    """Whether a row needs a value that neither the database nor the model fills in."""
    return not column.nullable and column.default is None and column.server_default is None


def _number(name: str, label: Any, attribute: Any, column: Any) -> Field:
    return NumberField(name, label, (attribute,), required=is_required(column))


def field_of_column(name: str, label: Any, attribute: Any, column: Any) -> Field:
    """The field for a plain column, by its type. Raises TypeError for a type that no field shows."""
    required = is_required(column) and name not in STAMPS
    shared: dict[str, Any] = {"required": required, "mask": permissions.mask_of(name) is not None}
    kind = _plain_type(column.type)
    choices = column.info.get("choices")
    if choices:
        return ChoiceField(name, label, (attribute,), options=choices, colors=column.info.get("colors"), **shared)
    if isinstance(kind, Enum):
        if kind.enum_class is None:
            return ChoiceField(name, label, (attribute,), options=tuple(kind.enums), **shared)
        return EnumField(name, label, (attribute,), enum=kind.enum_class, **shared)
    for types, make in _BY_TYPE:
        if isinstance(kind, types):
            return make(_PlainColumn(name, label, attribute, getattr(column.type, "length", None), shared))
    raise TypeError(f"no field shows a column of type {column.type!r} ({column.table.name}.{column.name})")


def _plain_type(kind: TypeEngine[Any]) -> Any:
    """The type that a TypeDecorator wraps; UtcDateTime stays, because it has its own field."""
    return kind.impl if isinstance(kind, TypeDecorator) and not isinstance(kind, UtcDateTime) else kind


class _PlainColumn(NamedTuple):
    """A column by whose type a field is chosen."""

    name: str
    label: Any
    attribute: Any
    length: int | None
    #: Keywords that nearly all fields take.
    shared: dict[str, Any]

    def as_field(self, kind: Any, **more: Any) -> Field:
        """A field of this class for it."""
        made: Field = kind(self.name, self.label, (self.attribute,), **self.shared, **more)
        return made


def _boolean(column: _PlainColumn) -> Field:
    return BooleanField(column.name, column.label, (column.attribute,))


def _integer(column: _PlainColumn) -> Field:
    return column.as_field(NumberField, least=0 if column.name == "version" else -(2**31))


def _text(column: _PlainColumn) -> Field:
    return column.as_field(TextField, **({"max_length": column.length} if column.length else {}))


def _refuse_binary(column: _PlainColumn) -> Field:
    raise TypeError(f"“{column.name}” holds bytes; show a property of the model instead ({column.attribute})")


#: (SQLAlchemy types, how to create the field); the first match is used.
_BY_TYPE: tuple[tuple[Any, Callable[[_PlainColumn], Field]], ...] = (
    (Boolean, _boolean),
    (UtcDateTime, lambda column: column.as_field(DateTimeField)),
    (DateTime, lambda column: column.as_field(NaiveDateTimeField)),
    (Date, lambda column: column.as_field(DateField)),
    (Time, lambda column: column.as_field(TimeField)),
    (Integer, _integer),
    ((Numeric, Float), lambda column: column.as_field(DecimalField)),
    (Text, lambda column: column.as_field(LongTextField)),
    (LargeBinary, _refuse_binary),
    (String, _text),
)


def _joins(model: Any, fields: list[Field]) -> tuple[tuple[Any, Any], ...]:
    """Outer joins for the columns of other tables: (model, on), by the only foreign key between them."""
    others = dict.fromkeys(
        column.class_
        for each in fields
        for column in each.columns
        if hasattr(column, "class_") and column.class_ is not model
    )
    return tuple((other, _on(model, other)) for other in others)


def _on(model: Any, other: Any) -> Any:
    mapper = inspect(model)
    keys = [
        key
        for key, column in mapper.columns.items()
        if any(each.column.table is inspect(other).local_table for each in column.foreign_keys)
    ]
    if len(keys) != 1:
        raise TypeError(f"{model.__name__} shows columns of {other.__name__}, but has {len(keys)} foreign keys to it")
    return other.id == getattr(model, keys[0])
