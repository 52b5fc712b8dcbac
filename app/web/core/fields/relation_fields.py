"""Columns that are relations, properties or methods of a model: read from objects loaded once per page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_appbuilder.security.sqla.models import User
from flask_babel import lazy_gettext as _
from sqlalchemy import and_, false, inspect, or_, select
from sqlalchemy.orm import aliased, selectinload

from app.domain.base import RuleBroken
from app.domain.people.permissions import mask_of
from app.extensions import db
from app.models import CORE_TABLES
from app.web.core.fields.base import Field, limit_values
from app.web.core.view_registry import registered, screen_of
from app.web.core.viewer import Viewer

#: Rows that a picklist offers at once.
OFFERED = 20
#: Columns that name a row.
_LABELS = ("number", "name", "title", "label", "first_name", "last_name", "full_name")
#: Columns of related rows are never shown if their names contain one of these.
_SECRET = ("password", "secret", "token", "sealed", "blind", "hash")
#: Columns of a colleague that may be shown.
_USER_COLUMNS = ("id", "username", "first_name", "last_name", "full_name", "active")


def load_objects(viewer: Viewer, model: Any, ids: Iterable[Any], relations: Iterable[str] = ()) -> None:
    """Load the objects with these ids and relations into the viewer: one statement each."""
    missing = [key for key in dict.fromkeys(ids) if key is not None and _lacks(viewer, (model, key), relations)]
    if not missing:
        return
    options = [selectinload(getattr(model, name)) for name in relations]
    rows = db.session.scalars(select(model).where(model.id.in_(missing)).options(*options)).unique()
    # None for rows that the person does not see, so that they are queried only once.
    viewer.objects.update(dict.fromkeys((model, key) for key in missing) | {(model, row.id): row for row in rows})


def _lacks(viewer: Viewer, key: tuple[Any, Any], relations: Iterable[str]) -> bool:
    """Whether this object, or one of its relations, has to be loaded."""
    if key not in viewer.objects:
        return True
    return viewer.objects[key] is not None and any(name in inspect(viewer.objects[key]).unloaded for name in relations)


def found_object(viewer: Viewer, model: Any, key: Any) -> Any:
    """The object with this id that the viewer sees, else None."""
    if key is None:
        return None
    load_objects(viewer, model, [key])
    return viewer.objects.get((model, key))


def label_of(item: Any) -> str:
    """The label of a row: the model's own __str__ or __repr__, else its number, name, title or label."""
    if any("__str__" in vars(each) or "__repr__" in vars(each) for each in type(item).__mro__ if hasattr(each, "id")):
        return str(item)
    named = next((getattr(item, name) for name in ("number", "name", "title", "label") if hasattr(item, name)), None)
    return str(named) if named else f"{type(item).__name__} {item.id}"


def summary_of(item: Any) -> dict[str, Any]:
    """A related row over REST: id and label; for add-ons' models also the plain columns that their views show."""
    made = {"id": item.id, "label": label_of(item)}
    if type(item).__tablename__ in CORE_TABLES:
        return made
    shown = _shown_columns(type(item))
    plain = {
        name: getattr(item, name)
        for name, column in inspect(type(item)).columns.items()
        if name in shown and not column.foreign_keys and not is_secret(name) and not mask_of(name)
    }
    return plain | made


def is_secret(name: str) -> bool:
    """Whether a column of this name holds a secret."""
    return any(part in name.lower() for part in _SECRET)


def refuse_secret(target: Any, column: str) -> None:
    """Raise TypeError for a column of a related row that must never be shown."""
    if is_secret(column) or (target is User and column not in _USER_COLUMNS):
        raise TypeError(f"{target.__name__}.{column} is private and cannot be a column of a list, form or resource")


class RelatedRows:
    """Mixin for fields with a relation: which rows may be chosen, and their labels."""

    target: Any
    related_filters: Any
    name: str

    def offered(self, typed: str = "", mode: str = "add", limit: int = OFFERED) -> list[Any]:
        """The visible rows whose text contains the input, within the view's own filters."""
        query = self._filtered(select(self.target), mode).order_by(self.target.id)
        if typed:
            query = query.where(_any_contains(_searched_columns(self.target), typed))
        return list(db.session.scalars(query.limit(limit)).unique())

    def chosen(self, raw: Any, mode: str = "add") -> Any:
        """The row with this id that the person may choose. Raises RuleBroken."""
        query = self._filtered(select(self.target).where(self.target.id == (_key_of(raw) or 0)), mode)
        row = db.session.scalars(query).unique().first()
        if row is None:
            shown = raw.get("id") if isinstance(raw, dict) else raw
            raise RuleBroken(_("There is no such record: %(value)s.", value=str(shown).strip()[:60]), self.name)
        return row

    def visible_id(self, raw: Any, viewer: Viewer) -> int:
        """The id of a row that the person sees; -1 for anything else."""
        found = found_object(viewer, self.target, _key_of(raw))
        return found.id if found is not None else -1

    def _filtered(self, query: Any, mode: str) -> Any:
        filters = (self.related_filters or {}).get(mode)
        if not filters:
            return query
        return SQLAInterface(self.target, db.session).get_filters().add_filter_list(filters).apply_all(query)


def _key_of(raw: Any) -> int | None:
    """The id in a number, text or {"id": …}; None for anything else."""
    raw = raw.get("id") if isinstance(raw, dict) else raw
    text = str(raw).strip()
    return int(text) if not isinstance(raw, bool) and text.isascii() and text.isdigit() and len(text) < 10 else None


def _searched_columns(target: Any) -> list[Any]:
    """The text columns that look-ups of related rows search: those of their labels, never a masked one."""
    texts = [
        name
        for name, column in inspect(target).columns.items()
        if _is_text(column) and not is_secret(name) and not mask_of(name)
    ]
    labels = _USER_COLUMNS if target is User else (*getattr(target, "__label_columns__", ()), *_LABELS)
    if target is not User and target.__tablename__ not in CORE_TABLES:
        labels = (*labels, *_shown_columns(target))
    return [getattr(target, name) for name in texts if name in labels]


def _shown_columns(model: Any) -> set[str]:
    """The columns that the registered views of a model show."""
    views = (registered(kind).get(model) for kind in ("screens", "resources"))
    tables = [view.record_table.declared for view in views if view is not None]
    return {name for declared in tables for name in (*declared.show, *declared.list)}


def _is_text(column: Any) -> bool:
    try:
        return column.type.python_type is str
    except NotImplementedError:
        return False


def _any_contains(columns: list[Any], typed: str) -> Any:
    return or_(*[column.contains(typed, autoescape=True) for column in columns]) if columns else false()


class RelationField(RelatedRows, Field):
    """Another row, by its foreign key; shown by its model's label."""

    kind = "record"

    def __init__(self, *args: Any, model: Any, target: Any, **flags: Any) -> None:
        super().__init__(*args, **flags)
        self.model, self.target = model, target
        self.operators = ("eq", "neq", "in", "null")
        self.schema = {"type": "object", "nullable": True, "properties": {"id": {"type": "integer"}}}

    def prepare(self, rows: list[tuple[Any, ...]], viewer: Viewer) -> None:
        """Load the related rows of a page."""
        load_objects(viewer, self.target, [row[0] for row in rows])

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The related object."""
        return found_object(viewer, self.target, values[0])

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """Id, label and the plain columns of the related row."""
        item = self.value(values, viewer)
        return summary_of(item) if item is not None else None

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """The label, as a link if the related model has a screen."""
        item = self.value(values, viewer)
        if item is None:
            return {"kind": "missing"}
        url = record_url(self.target, item)
        return {"kind": "record", "url": url, "number": label_of(item), "label": ""}

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """The id of a visible row."""
        return self.parse_for("add", raw, viewer)

    def parse_for(self, mode: str, raw: Any, viewer: Viewer) -> Any:
        """The id of a visible row within the view's own filters."""
        if raw is None or raw == "" or raw == {}:
            return None
        return self.chosen(raw, mode).id

    def parse_filter(self, raw: Any, viewer: Viewer) -> Any:
        """The id of a row that the person sees; -1, which matches nothing, for anything else."""
        return self.visible_id(raw, viewer)

    def form_input(self, raw: Any, errors: list[str], viewer: Viewer) -> dict[str, Any]:
        """A type-ahead over the visible rows."""
        typed = getattr(raw, "id", raw)
        key = _key_of(typed)
        item = found_object(viewer, self.target, key)
        # Input that matches no row is shown again, so that it can be corrected.
        chosen = [(key, label_of(item))] if item is not None else [(typed, str(typed))] if typed else []
        made = super().form_input(typed, errors, viewer)
        return made | {"selected": chosen, "lookup_url": lookup_url(self.model, self.name)}

    def form_value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The value of the input: the id."""
        return values[0]

    def order(self) -> Any:
        """By the label of the related row, under the access rules, so that the order reveals nothing about invisible
        rows.
        """
        return related_order(self.model, self.target, self.columns[0])


def related_order(model: Any, target: Any, key: Any) -> Any:
    """The SQL to sort by a related row: by its first label column, else by its id; None within one table."""
    if target is model:
        return None
    columns = inspect(target).columns
    named = [*getattr(target, "__label_columns__", ()), *_LABELS]
    name = next((each for each in named if each in columns and not is_secret(each) and not mask_of(each)), "id")
    return select(getattr(target, name)).where(target.id == key).correlate(model).scalar_subquery()


class KeyField(RelationField):
    """A foreign key column under its own name: the bare id of a row that the person sees."""

    kind = "number"

    def __init__(self, *args: Any, **flags: Any) -> None:
        super().__init__(*args, **flags)
        self.schema = {"type": "integer", "nullable": True}

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The id; None for a row that the person does not see."""
        item = self.value(values, viewer)
        return item.id if item is not None else None

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Show the id."""
        shown = self.serialize(values, viewer)
        return {"kind": "number", "text": str(shown)} if shown is not None else {"kind": "missing"}

    def form_input(self, raw: Any, errors: list[str], viewer: Viewer) -> dict[str, Any]:
        """The input: a number."""
        return Field.form_input(self, raw, errors, viewer)


class ManyRelationField(RelatedRows, Field):
    """Rows of a to-many relation; chosen by their ids."""

    kind = "many"

    def __init__(self, name: str, label: Any, model: Any) -> None:
        super().__init__(name, label, (model.id,))
        self.model, self.relation = model, inspect(model).relationships[name]
        self.target = self.relation.mapper.class_
        self.operators = ("eq", "rel_m_m")
        self.schema = {"type": "array", "items": {"type": "object", "properties": {"id": {"type": "integer"}}}}

    def prepare(self, rows: list[tuple[Any, ...]], viewer: Viewer) -> None:
        """Load the objects of a page with their related rows."""
        load_objects(viewer, self.model, [row[0] for row in rows], [self.name])

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The related objects."""
        item = found_object(viewer, self.model, values[0])
        return list(getattr(item, self.name)) if item is not None else []

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The related rows."""
        return [summary_of(each) for each in self.value(values, viewer)]

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Show the labels of the related rows."""
        labels = [label_of(each) for each in self.value(values, viewer)]
        return {"kind": "tags", "tags": labels} if labels else {"kind": "missing"}

    def parse(self, raw: Any, viewer: Viewer) -> Any:
        """The chosen objects. Raises RuleBroken for one that the person does not see."""
        return self.parse_for("add", raw, viewer)

    def parse_for(self, mode: str, raw: Any, viewer: Viewer) -> Any:
        """The chosen objects, within the view's own filters. Raises RuleBroken for one that may not be chosen."""
        parts = raw if isinstance(raw, list) else [] if raw in (None, "") else [raw]
        return [self.chosen(part, mode) for part in limit_values(parts, self.name)]

    def where(self, op: str, raw: Any, viewer: Viewer) -> Any:
        """Rows related to the row with this id; with a list of ids, as in FAB, to all of them."""
        if op not in self.operators:
            raise RuleBroken(_("“%(name)s” can't be filtered with “%(op)s”.", name=self.name, op=op), self.name)
        parts = limit_values(raw, self.name) if isinstance(raw, list) and raw else [raw]
        load_objects(viewer, self.target, map(_key_of, parts))
        return and_(*[self._related_to(self.visible_id(part, viewer)) for part in parts])

    def _related_to(self, key: int) -> Any:
        """By an uncorrelated subquery: a correlated one would read a link table without an index once for each row."""
        one, other = aliased(self.model), aliased(self.target)
        query = select(one.id).join(getattr(one, self.name).of_type(other)).where(other.id == key)
        return self.model.id.in_(query)

    def form_input(self, raw: Any, errors: list[str], viewer: Viewer) -> dict[str, Any]:
        """A multi-select with type-ahead."""
        keys = [key for each in raw or [] if (key := _key_of(getattr(each, "id", each))) is not None]
        load_objects(viewer, self.target, keys)
        items = [row for key in keys if (row := viewer.objects[self.target, key]) is not None]
        made = super().form_input(keys, errors, viewer)
        chosen = [(each.id, label_of(each)) for each in items]
        return made | {"multiple": True, "selected": chosen, "lookup_url": lookup_url(self.model, self.name)}

    def form_value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The value of the input: the ids."""
        return [each.id for each in self.value(values, viewer)]


def record_url(model: Any, item: Any) -> str | None:
    """The URL of a row's page, if its model has a screen."""
    screen = screen_of(model)
    return screen.url_of(item) if screen is not None else None


def lookup_url(model: Any, name: str) -> str:
    """The URL of the type-ahead for a relation."""
    screen = screen_of(model)
    return f"{screen.route_base}/related/{name}" if screen is not None else ""
