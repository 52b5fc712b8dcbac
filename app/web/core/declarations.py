"""What a Screen or Resource declares in Flask-AppBuilder's vocabulary, with the defaults filled in.

The names are FAB's: `list_columns`, `show_columns`, `show_fieldsets`, `add_columns`, `edit_columns`, `search_columns`,
`order_columns`, `label_columns`, `description_columns`, `validators_columns`, `formatters_columns`,
`add_form_extra_fields` and so on. `column_compiler` turns them into a RecordTable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from flask_appbuilder.models.sqla.interface import SQLAInterface
from sqlalchemy import inspect

#: Columns that the CRM fills in; forms offer them only if a view names them.
STAMPS = ("created_on", "changed_on", "created_by", "changed_by", "created_by_id", "changed_by_id", "version")
#: The default number of columns in a list.
DEFAULT_LIST_COLUMNS = 6


@dataclass(frozen=True)
class Declaration:
    """The columns of one Screen or Resource, by purpose."""

    view: Any
    model: Any
    interface: SQLAInterface
    list: tuple[str, ...]
    show: tuple[str, ...]
    add: tuple[str, ...]
    edit: tuple[str, ...]
    search: tuple[str, ...]
    order: tuple[str, ...]
    #: Columns that the record page reads besides those of its fieldsets.
    read: tuple[str, ...] = ()
    labels: dict[str, Any] = field(default_factory=dict)
    #: Whether rows are created by setting columns, so that a column that needs a value is a required field.
    is_generic: bool = True
    descriptions: dict[str, Any] = field(default_factory=dict)
    #: The custom fields among them.
    custom: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every declared column, in the order of the record page first."""
        parts = (self.show, self.list, self.add, self.edit, self.search, self.order, self.read)
        return tuple(dict.fromkeys(name for part in parts for name in part))

    def label(self, name: str) -> Any:
        """The declared label of a column, else its name in words."""
        return self.labels.get(name) or pretty(name)


def read_declaration(view: type) -> Declaration:
    """The declaration of a Screen or Resource class. Raises TypeError for one without a usable datamodel."""
    interface = getattr(view, "datamodel", None)
    if not isinstance(interface, SQLAInterface):
        raise TypeError(f"{view.__name__} needs a datamodel: datamodel = SQLAInterface(YourModel)")
    model = interface.obj
    keys = [column.key for column in inspect(model).primary_key]
    if keys != ["id"]:
        raise TypeError(f"{model.__name__} needs one integer primary key named id; it has {', '.join(keys)}")
    own = [
        name
        for name in interface.get_user_columns_list()
        # Rows that refer to this one are included only if a view names them: there can be any number, and choosing them
        # writes their foreign keys.
        if name not in ("id", *STAMPS) and not interface.is_relation_one_to_many(name)
    ]
    show = _named(view, "show", default=[*own, *_stamps(model)])
    return Declaration(
        view,
        model,
        interface,
        list=_listed(view, own, show),
        show=show,
        add=_named(view, "add", default=own, exclude=STAMPS),
        edit=_named(view, "edit", default=own, exclude=STAMPS),
        search=_searched(view, show),
        order=_ordered(view, show),
        read=_read(view, model),
        labels=_merged(view, "label_columns"),
        is_generic=getattr(getattr(view, "service", None), "is_generic", True),
        descriptions=_merged(view, "description_columns"),
    )


def _stamps(model: Any) -> list[str]:
    columns = inspect(model).columns
    return [name for name in ("version", "created_on", "changed_on") if name in columns]


def _read(view: Any, model: Any) -> tuple[str, ...]:
    """With fieldsets, `show_columns` and the version are read too: buttons and the check for stale saves need them."""
    if not getattr(view, "show_fieldsets", None):
        return ()
    version = ["version"] if "version" in inspect(model).columns else []
    return (*(getattr(view, "show_columns", None) or ()), *version)


def _named(view: Any, which: str, default: Iterable[str], exclude: Iterable[str] = ()) -> tuple[str, ...]:
    """The columns for one purpose: fieldsets, else `<which>_columns`, else the default without excluded ones."""
    fieldsets = getattr(view, f"{which}_fieldsets", None)
    if fieldsets:
        return _in_fieldsets(fieldsets)
    declared = getattr(view, f"{which}_columns", None)
    if declared is not None:
        return tuple(declared)
    left_out = {*(getattr(view, f"{which}_exclude_columns", None) or ()), *exclude}
    return tuple(name for name in default if name not in left_out)


def _in_fieldsets(fieldsets: Iterable[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for _title, options in fieldsets for name in options["fields"]))


def _listed(view: Any, own: list[str], show: tuple[str, ...]) -> tuple[str, ...]:
    """A list's columns; over REST all columns of one record."""
    declared = getattr(view, "list_columns", None)
    if declared is not None:
        return tuple(declared)
    if not hasattr(view, "list_template"):
        left_out = getattr(view, "list_exclude_columns", None) or ()
        return tuple(name for name in show if name not in left_out)
    return tuple(own[:DEFAULT_LIST_COLUMNS])


def _searched(view: Any, show: tuple[str, ...]) -> tuple[str, ...]:
    """Columns to filter by; by default all that are shown."""
    declared = getattr(view, "search_columns", None)
    left_out = getattr(view, "search_exclude_columns", None) or ()
    names = declared if declared is not None else [name for name in show if name != "version"]
    return tuple(name for name in names if name not in left_out)


def _ordered(view: Any, show: tuple[str, ...]) -> tuple[str, ...]:
    """Columns to sort by; by default all plain columns of the table that are shown."""
    declared = getattr(view, "order_columns", None)
    if declared is not None:
        return tuple(declared)
    columns = inspect(view.datamodel.obj).columns
    return tuple(name for name in show if name in columns and name != "version")


def _merged(view: Any, name: str) -> dict[str, Any]:
    """A dictionary attribute, merged over the one of the record's service."""
    shared = getattr(getattr(view, "service", None), name, None) or {}
    return {**shared, **(getattr(view, name, None) or {})}


def pretty(name: str) -> str:
    """A column's or class's name in words: "contact_group" and "ContactGroup" → "Contact group"."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[_.]+", " ", name).split()
    return " ".join(words).lower().capitalize()
