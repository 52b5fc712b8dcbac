"""The refusal of a duplicate value: it names the field, on both databases."""

from __future__ import annotations

import re
from typing import Any

from flask_appbuilder import Model
from flask_babel import gettext as _
from sqlalchemy import Table, UniqueConstraint
from sqlalchemy.exc import IntegrityError

from app.web.core.declarations import pretty
from app.web.core.view_registry import registered

#: SQLite: "UNIQUE constraint failed: lead_source.label"; for an index on an expression only the index.
_SQLITE = re.compile(r"(?:UNIQUE|NOT NULL) constraint failed: (?P<columns>[\w.]+(?:, [\w.]+)*)")
#: MariaDB: "Duplicate entry 'Fair' for key 'label'"; "Column 'label' cannot be null"; "… FOREIGN KEY (`status_id`) …".
_MARIADB = re.compile(r"for key '(?:\w+\.)?(?P<key>\w+)'|Column '(?P<column>\w+)'|FOREIGN KEY \(`(?P<foreign>\w+)`\)")
_TABLE = re.compile(r"^\s*(?:INSERT(?:\s+IGNORE)?\s+INTO|UPDATE)\s+[`\"]?(?P<table>\w+)", re.I)


def describe_conflict(broken: IntegrityError) -> tuple[int, str, dict[str, list[str]]]:
    """(422, sentence, errors by field) of a statement refused because of another row."""
    names, is_duplicate = _columns(broken)
    fields = [_field(_table(broken), name) for name in names]
    labels = ", ".join(label for _name, label in fields)
    if is_duplicate and fields:
        text = _("“%(name)s” is already taken by another record. Enter another value.", name=labels)
    elif fields:
        text = _("“%(name)s” refers to a record that no longer exists. Choose another one.", name=labels)
    else:
        return 422, _("Something that this record refers to was deleted meanwhile. Please check your choices."), {}
    return 422, text, {name: [text] for name, _label in fields}


def _columns(broken: IntegrityError) -> tuple[list[str], bool]:
    """The columns concerned, and whether another row has their values."""
    message = str(broken.orig)
    sqlite, mariadb = _SQLITE.search(message), _MARIADB.search(message)
    if sqlite is not None:
        names = [name.rpartition(".")[2] for name in sqlite["columns"].split(", ")]
        return _typed(_table(broken), names), message.startswith("UNIQUE")
    if mariadb is None:
        return [], False
    if mariadb["key"]:
        return _typed(_table(broken), _of_key(_table(broken), mariadb["key"])), True
    return [mariadb["column"] or mariadb["foreign"]], False


def _typed(table: Table | None, names: list[str]) -> list[str]:
    """Those columns of a composite key that a person typed: an employee's call ID, not the employee."""
    own = [name for name in names if table is not None and not table.columns[name].foreign_keys]
    return own or names


def _table(broken: IntegrityError) -> Table | None:
    found = _TABLE.match(str(broken.statement))
    return Model.metadata.tables.get(found["table"]) if found else None


def _of_key(table: Table | None, key: str) -> list[str]:
    """The columns of a unique key. MariaDB names an unnamed one after its first column, and a second one `name_2`."""
    if table is None:
        return []
    if key == "PRIMARY":
        return [column.name for column in table.primary_key.columns]
    unique: list[Any] = [each for each in table.constraints if isinstance(each, UniqueConstraint)]
    indexes: list[Any] = [each for each in table.indexes if each.unique]
    for each in (*unique, *indexes):
        if each.name == key:
            return [column.name for column in each.columns]
    first = key if key in table.columns else re.sub(r"_\d+$", "", key)
    keys = [[column.name for column in each.columns] for each in unique]
    return next((names for names in keys if names and names[0] == first), [first] if first in table.columns else [])


def _field(table: Table | None, name: str) -> tuple[str, str]:
    """The name and label of the field that shows a column; for other columns their own name in words."""
    for kind in ("screens", "resources"):
        for model, view in registered(kind).items():
            if table is not None and getattr(model, "__table__", None) is table:
                shown: Any = next((each for each in view.record_table.fields if name in (each.key, each.name)), None)
                if shown is not None:
                    return shown.name, str(shown.label)
    return name, pretty(name.removesuffix("_id"))
