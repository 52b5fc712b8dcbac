"""The contents of an export: the rows of a list that the person may export, in order, and the columns that they see.

Other background exports, such as reports, register their kind in KINDS.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode

from flask import request
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app import access
from app.domain.audit_log import audit
from app.domain.base import NotFound, RuleBroken
from app.domain.files.export_and_import_runs import FORMATS, ExportRun
from app.domain.notifications import notices
from app.extensions import db
from app.lib.batches import batched
from app.lib.ids import parse_id
from app.web.core.fields.base import Field
from app.web.core.queries.list_query import ListQuery
from app.web.core.view_registry import screen_of_kind
from app.web.core.viewer import Viewer
from app.web.transfer.export_cells import reader_of
from app.web.transfer.export_files import Row

#: Rows that are sent at once; larger exports are written in the background.
AT_ONCE = 1000
#: Rows of one export.
MAX_ROWS = 1_000_000
#: Selected rows of one export; so few that they are always sent at once.
MAX_SELECTED = 500
#: A filter value that may identify a person: digits of a number, an address.
_PERSONAL = re.compile(r"[0-9]{5}|@")


class ExportSource(Protocol):
    """What a worker writes into the file of an export, under the person's current rights."""

    @property
    def heading(self) -> list[str]:
        """The names of the columns."""

    def whole(self) -> list[Row] | None:
        """All rows, if they have no ids; None = they are read by `ids` and `rows`."""

    def ids(self) -> list[int]:
        """The rows in order, at most one more than MAX_ROWS."""

    def rows(self, ids: Sequence[int], viewer: Viewer) -> Iterable[Row]:
        """The cells of these rows in this order; deleted rows, and those no longer visible, are left out."""


@dataclass(frozen=True)
class ExportKind:
    """A kind of background export."""

    #: Raises RuleBroken, Denied, NotFound if the person may not have it any more.
    source: Callable[[ExportRun, Viewer], ExportSource]
    #: Whether the person may still have the finished file.
    is_allowed: Callable[[ExportRun, Viewer], bool]
    #: Its name on pages.
    title: Callable[[ExportRun], str]
    #: Its name in the audit log, and the beginning of its file name.
    about: Callable[[ExportRun], str]
    stem: Callable[[ExportRun], str]
    #: The request when the export is repeated.
    payload: Callable[[ExportRun, Viewer], dict[str, Any]]
    #: Writes the whole file at once, instead of `source`.
    archive: Callable[[ExportRun], None] | None = None
    #: Whether pages of its own show the export and its file, instead of those of all exports.
    has_own_page: bool = False


@dataclass(frozen=True)
class ExportQuery:
    """The list to export, its columns and format."""

    screen: Any
    list_query: ListQuery
    #: The columns, in order.
    names: tuple[str, ...]
    format: str

    @property
    def fields(self) -> list[Field]:
        """The fields of the columns."""
        return [self.screen.record_table.by_name[name] for name in self.names]

    @property
    def heading(self) -> list[str]:
        """The labels of the columns."""
        return [str(each.label or each.name) for each in self.fields]

    def whole(self) -> None:
        """None: a list has rows with ids."""
        return None

    def ids(self) -> list[int]:
        """The rows of the list in order, at most one more than MAX_ROWS."""
        query = self.screen.record_table.ids(self.list_query).order_by(*self.list_query.order)
        return list(db.session.scalars(query.limit(MAX_ROWS + 1)))

    def rows(self, ids: Sequence[int], viewer: Viewer) -> Iterator[Row]:
        """The cells of these rows in this order; deleted rows, and those no longer visible, are left out."""
        table = self.screen.record_table
        query, cuts = table.selection(self.names)
        readers = [(reader_of(each, viewer), cut) for each, cut in cuts]
        query = query.where(*table.base_conditions(), *export_reach(self.screen, viewer))
        for part in batched(ids):
            selected = query.where(self.screen.service.record.id.in_(part))
            found = {row[0]: tuple(row) for row in db.session.execute(selected)}
            present = [found[key] for key in part if key in found]
            table.prepare(present, self.names, viewer)
            for row in present:
                yield [read(row[cut]) for read, cut in readers]
            viewer.objects.clear()


def screen_for(kind: str, viewer: Viewer) -> Any:
    """The screen of this kind of record. Raises NotFound, and Denied for people who may not export it."""
    screen = screen_of_kind(kind)
    if screen is None:
        raise NotFound(_("There is no such list."))
    viewer.person.refuse_unless(screen.module, "export")
    viewer.person.refuse_unless(screen.module, "read")
    return screen


def offered(screen: Any) -> list[str]:
    """The columns that can be exported: those of the list, then those of the record page."""
    declared, named = screen.record_table.declared, screen.record_table.by_name
    both = dict.fromkeys([*screen.list_columns, *declared.show])
    return [name for name in both if name in named and named[name].columns and name != "version"]


def parse_request(screen: Any, names: Sequence[str], format_: str, viewer: Viewer) -> ExportQuery:
    """The export of the list with the arguments of this request. Raises RuleBroken."""
    if format_ not in FORMATS:
        raise RuleBroken(_("Please choose CSV or XLSX."), "format")
    known = offered(screen)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise RuleBroken(_("There is no field “%(name)s” here.", name=str(unknown[0])[:60]), "columns")
    chosen = tuple(dict.fromkeys(names)) or tuple(name for name in screen.list_columns if name in known)
    return ExportQuery(screen, list_query(screen, viewer), chosen, format_)


def list_query(screen: Any, viewer: Viewer) -> ListQuery:
    """The list with this request's arguments, without paging, limited to the export permission."""
    query: ListQuery = screen._list_query(viewer)
    query.conditions.extend(export_reach(screen, viewer))
    return query


def selected_ids(given: Sequence[str]) -> list[int]:
    """The ids of the rows that were selected in a list. Raises RuleBroken for too many, and for none."""
    if len(given) > MAX_SELECTED:
        raise RuleBroken(_("Please select at most %(most)s rows at once.", most=MAX_SELECTED), "rowid")
    keys = list(dict.fromkeys(key for key in map(parse_id, given) if key is not None))
    if not keys:
        raise RuleBroken(_("Please select at least one row."), "rowid")
    return keys


def only_selected(export_query: ExportQuery, ids: Sequence[int], viewer: Viewer) -> ExportQuery:
    """The export of just these rows, in the order of the list; its filters don't apply: rows may have changed since."""
    screen = export_query.screen
    conditions = [*screen.record_table.base_conditions(), screen.service.record.id.in_(ids)]
    conditions += export_reach(screen, viewer)
    return replace(export_query, list_query=replace(export_query.list_query, conditions=conditions))


def export_reach(screen: Any, viewer: Viewer) -> list[Any]:
    """The condition for rows that the person may export, if these are fewer than those that they see."""
    person = viewer.person
    if person.level(screen.module, "export") == person.level(screen.module, "read"):
        return []
    return [access.visible(person, screen.service.record, "export")]


def query_string() -> str:
    """The arguments of the list in this request, without paging."""
    given = parse_qsl(request.query_string.decode(errors="replace"), keep_blank_values=True)
    return urlencode([(name, value) for name, value in given if not name.startswith(("page", "psize"))])


def count(export_query: ExportQuery) -> int:
    """The current number of rows, at most one more than are sent at once."""
    ids: Any = export_query.screen.record_table.ids(export_query.list_query)
    return len(db.session.execute(ids.limit(AT_ONCE + 1)).all())


def write_audit(viewer: Viewer, kind: str, rows: int, **what: Any) -> None:
    """Record in the audit who exported what, by which filter, and how many rows; without personal values."""
    shown = what | ({"query": without_personal_values(what["query"])} if "query" in what else {})
    with access.as_system(db.session()) as session:
        audit.write(session, "export", viewer.person.id, viewer.now, f"list of {kind}", rows=rows, **shown)


def without_personal_values(query: str) -> str:
    """The filters of a list, without values that may identify a person: search words, numbers, addresses."""
    parts: Iterable[tuple[str, str]] = parse_qsl(query, keep_blank_values=True)
    return urlencode([(name, "…" if name == "q" or _PERSONAL.search(value) else value) for name, value in parts])[:500]


def audit_export(session: Session, run: ExportRun, now: datetime) -> None:
    """Audit an export that a worker has written."""
    what = {
        "format": run.format,
        "query": without_personal_values(run.payload["query"]),
        "columns": run.payload["columns"],
    }
    about = kind_of(run).about(run)
    audit.write(session, "export", run.created_by_id, now, about, rows=run.rows, export=run.id, **what)


def note_download(session: Session, run: ExportRun, viewer: Viewer) -> None:
    """Record that the file was downloaded."""
    about = "everything" if run.kind == "all" else kind_of(run).about(run)
    audit.write(session, "export", viewer.person.id, viewer.now, about, what="downloaded", rows=run.rows, export=run.id)


def notify(session: Session, run: ExportRun, payload: dict[str, Any], now: datetime) -> None:
    """Notify the person that the file is ready, or why there is none."""
    payload = {"export": run.id, **payload}
    if kind_of(run).has_own_page:
        payload["page"] = run.payload["page"]
    event = notices.NoticeEvent("export", f"export:{run.id}", (run.created_by_id,), payload)
    notices.notify(session, event, now)


# --- kinds of exports


def _list_of(run: ExportRun, viewer: Viewer) -> ExportQuery:
    return parse_request(screen_for(run.kind, viewer), run.payload["columns"], run.format, viewer)


def _may_export_list(run: ExportRun, viewer: Viewer) -> bool:
    screen = screen_of_kind(run.kind)
    return screen is not None and all(viewer.person.may(screen.module, verb) for verb in ("read", "export"))


def _title_of_list(run: ExportRun) -> str:
    screen = screen_of_kind(run.kind)
    return str(screen.list_title) if screen is not None else _("Everything")


_LISTS = ExportKind(
    _list_of,
    _may_export_list,
    _title_of_list,
    about=lambda run: f"list of {run.kind}",
    stem=lambda run: str(run.kind),
    payload=lambda run, _viewer: dict(run.payload),
)
#: Exports besides lists: the kind of the run -> its ExportKind.
KINDS: dict[str, ExportKind] = {}


def elsewhere() -> list[str]:
    """The kinds of exports that have pages of their own."""
    return [name for name, kind in KINDS.items() if kind.has_own_page]


def kind_of(run: ExportRun) -> ExportKind:
    """The kind of an export."""
    return KINDS.get(run.kind, _LISTS)
