"""How a record is created, changed and deleted; called by its Screen and its Resource."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any, ClassVar

from flask_babel import gettext as _
from sqlalchemy import inspect
from sqlalchemy.orm import RelationshipDirection, Session

from app import access
from app.domain import business_settings, timeline
from app.domain.audit_log import audit
from app.domain.base import RuleBroken, Stamp, refuse_stale, translatable
from app.domain.people.permissions import mask_of
from app.domain.persistence import history_rows, record_locks
from app.extensions import db
from app.file_store_and_vault import vault
from app.web.core.fields.relation_fields import is_secret
from app.web.core.queries.record_table import RecordTable
from app.web.core.view_registry import views_of
from app.web.core.viewer import Viewer


class RecordService:
    """Creates, changes and deletes the rows of one model; never commits.

    The base class works for any model: it sets the columns, stamps and flushes, and writes the timeline. Records with
    rules of their own override `create` and `change`, which call the domain.
    """

    record: Any
    module = ""
    #: Field objects for fields that can't be derived from the model's columns.
    fields: tuple[Any, ...] = ()
    label_columns: ClassVar[dict[str, Any]] = {}
    #: (session, ids, viewer) → {id: extra REST keys}; one statement for a whole page.
    load_children: Any = None
    #: The Resource that declares the columns of the record.
    resource: Any = None

    @classmethod
    def of(cls, model: Any) -> RecordService:
        """The service of a model that has none of its own."""
        made = RecordService()
        made.record = model
        return made

    @property
    def is_generic(self) -> bool:
        """Whether the record is created by setting its columns."""
        return type(self).create is RecordService.create

    @property
    def record_table(self) -> RecordTable:
        """The columns of the record as its Resource declares them."""
        table: RecordTable = self.resource.record_table
        return table

    def create(self, session: Session, values: dict[str, Any], viewer: Viewer) -> Any:
        """Create a record from the parsed values."""
        return self.insert(session, self.build(values, viewer), viewer)

    def build(self, values: dict[str, Any], viewer: Viewer) -> Any:
        """The new row, not yet in the session."""
        row = self.record()
        self._set(row, values, viewer)
        if hasattr(row, "owner_id") and row.owner_id is None:
            row.owner_id = viewer.person.id
        self._refuse_foreign_people(values, row, viewer)
        if hasattr(row, "stamp"):
            row.stamp(Stamp(viewer.person.id, viewer.now))
        return row

    @staticmethod
    def _set(row: Any, values: dict[str, Any], viewer: Viewer) -> None:
        """Set the columns and relations. Raises Denied for a related row whose foreign key the person may not write."""
        relations = inspect(type(row)).relationships
        for name, value in values.items():
            if name in relations and relations[name].direction is RelationshipDirection.ONETOMANY:
                _refuse_unwritable({*getattr(row, name)} ^ {*value}, viewer)
            setattr(row, name, value)

    def _refuse_foreign_people(self, values: dict[str, Any], row: Any, viewer: Viewer) -> None:
        """Raise Denied if the record is given to somebody else without the right to assign."""
        for name in ("owner_id", "assignee_id"):
            before = inspect(row).attrs[name].history.deleted if name in values else ()
            changed = name in values and values[name] not in (None, *viewer.person.own_ids, *before)
            if changed:
                refuse_recipient(values[name], self.module, viewer, name.removesuffix("_id"))

    def insert(self, session: Session, row: Any, viewer: Viewer) -> Any:
        """Insert the row and write its first timeline entry."""
        session.add(row)
        session.flush()
        timeline.write(session, row, "system", Stamp(viewer.person.id, viewer.now), event="created")
        return row

    def change(self, session: Session, row: Any, values: dict[str, Any], viewer: Viewer) -> None:
        """Change a record that was loaded under the access rules; the timeline records old and new values."""
        self._set(row, values, viewer)
        self._refuse_foreign_people(values, row, viewer)
        changes = _changes(row)
        if changes and hasattr(row, "stamp"):
            row.stamp(Stamp(viewer.person.id, viewer.now))
        if self.is_generic:
            shown = _shown_by_all_views(self.record)
            changes = [change for change in changes if change[0] in shown and not is_secret(change[0])]
        if changes:
            timeline.write(session, row, "field_change", Stamp(viewer.person.id, viewer.now), changes=changes)

    def remove(self, session: Session, row: Any, viewer: Viewer) -> None:
        """Delete it, with an audit entry; a generic record's timeline goes too, because a new row may get its id.

        Raises NotFound if somebody else has deleted it meanwhile.
        """
        record_locks.refuse_gone(session, row)
        about = f"{self.record.__tablename__} {getattr(row, 'number', row.id)}"
        with access.as_system(session):  # an audit entry is chained to the last one, which the person may not see
            audit.write(session, "deletion", viewer.person.id, viewer.now, about=about)
            if self.is_generic:
                timeline.forget(session, row)
        session.delete(row)

    def save(
        self,
        session: Session,
        row: Any,
        values: dict[str, Any],
        version: Any,
        viewer: Viewer,
        before_flush: Callable[[], None] | None = None,
    ) -> None:
        """Change the row after checking the version. Raises Conflict for another version."""
        if hasattr(row, "version"):
            refuse_stale(row, version)
        with history_rows.written_together(session):  # the row is flushed at its end
            self.change(session, row, values, viewer)
            if before_flush is not None:
                before_flush()

    def find(self, session: Session, key: Any) -> Any:
        """The row for an id, if the person sees it, else None."""
        return access.get_visible(session, self.record, key)

    @staticmethod
    def vault() -> Any:
        """The vault for PAN and Aadhaar."""
        return vault()

    @staticmethod
    def setting(session: Session, key: str) -> Any:
        """The value of a business setting."""
        return business_settings.value_of(session, key)


def _refuse_unwritable(related: set[Any], viewer: Viewer) -> None:
    session = db.session()
    with session.no_autoflush:
        if not all(access.reaches_row(session, viewer.person, each, "write") for each in related):
            raise access.Denied(_("You can see a chosen record but not edit it. Ask its assignee or your manager."))


def pop_assignment(values: dict[str, Any]) -> None:
    """Turn assign_to into assignee_id."""
    chosen = values.pop("assign_to", None)
    if chosen is not None:
        values["assignee_id"] = chosen


def may_receive(chosen: int, module: str, viewer: Viewer) -> bool:
    """Whether the person may assign records of this module to this user; to themselves they always may."""
    reach = viewer.person.reach(module, "assign")
    return chosen in viewer.person.own_ids or reach is None or chosen in reach


def refuse_recipient(chosen: int | None, module: str, viewer: Viewer, field: str = "assignee") -> None:
    """The rule for assigning a record to somebody, as assignee or owner, on every path.

    Raises RuleBroken for an inactive person, Denied for somebody else without the right to assign or outside its reach.
    """
    if chosen is None:
        return
    if chosen not in viewer.lookups.active:
        name = (viewer.lookups.person(chosen) or {}).get("full_name", str(chosen))
        values = {
            "name": name,
            "why": translatable("deactivated"),
            "advice": translatable("Please choose someone else."),
        }
        raise RuleBroken(translatable("%(name)s is %(why)s and can't take new work now. %(advice)s", **values), field)
    if not may_receive(chosen, module, viewer):
        viewer.person.refuse_unless(module, "assign")
        raise access.Denied("You can only assign work within your own team. Send a request instead.")


def refuse_foreign_assignee(values: dict[str, Any], module: str, viewer: Viewer) -> None:
    """Raise Denied or RuleBroken if the person may not assign the record to this colleague, or to a role."""
    if values.get("assign_to_role"):
        viewer.person.refuse_unless(module, "assign")
    refuse_recipient(values.get("assignee_id"), module, viewer)


def refuse_new_owner(values: dict[str, Any], row: Any, module: str, viewer: Viewer) -> None:
    """Raise Denied or RuleBroken if the person may not give the record to its new owner, be it themselves."""
    chosen = values.get("owner_id")
    if chosen not in (None, row.owner_id):
        viewer.person.refuse_unless(module, "assign")
        refuse_recipient(chosen, module, viewer, "owner")


def _changes(row: Any) -> list[list[Any]]:
    """[column, old, new] for the changed plain columns of a row; masked ones by name only."""
    state: Any = inspect(row)
    made = []
    for name, attribute in state.attrs.items():
        if name not in state.mapper.columns or not attribute.history.has_changes():
            continue
        old, new = (next(iter(part), None) for part in (attribute.history.deleted, attribute.history.added))
        made.append([name, None, None] if mask_of(name) else [name, _plain(old), _plain(new)])
    return made


def _shown_by_all_views(model: Any) -> set[str]:
    """The columns that every view of the model shows, because the timeline appears on all of its pages."""
    shown = [
        {view.record_table.by_name[name].key for name in view.record_table.declared.show} for view in views_of(model)
    ]
    return set.intersection(*shown) if shown else set(inspect(model).columns.keys())


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return value.isoformat() if isinstance(value, date | datetime) else str(value)
