"""What an export holds: the rows of a list that the person may export, in its order, and the columns that they see."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from flask import g, request
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from app import access
from app.domain import audit, notices
from app.domain.base import NotFound, RuleBroken
from app.domain.transfers import FORMATS, ExportRun
from app.extensions import db
from app.web.core.fields import Field, Viewer
from app.web.core.record_table import ListQuery
from app.web.core.registry import screen_of_kind
from app.web.transfer.export_cells import reader_of
from app.web.transfer.export_files import Row

#: Rows that are sent at once; more of them are written in the background.
AT_ONCE = 1000
#: Rows of one export, and of one statement.
MAX_ROWS, STATEMENT = 1_000_000, 500
#: A filter's value that may name a person: digits of a number, an address.
_PERSONAL = re.compile(r"[0-9]{5}|@")


@dataclass(frozen=True)
class Wanted:
    """Which list is exported, and how."""

    screen: Any
    list_query: ListQuery
    #: The columns, in their order.
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


def screen_for(kind: str, viewer: Viewer) -> Any:
    """The screen of this kind of record. Raises NotFound, and Denied for who may not export it."""
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


def wanted(screen: Any, names: Sequence[str], format_: str, viewer: Viewer) -> Wanted:
    """The export of the list with the arguments of this request. Raises RuleBroken."""
    if format_ not in FORMATS:
        raise RuleBroken(_("Please choose CSV or XLSX."), "format")
    known = offered(screen)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise RuleBroken(_("There is no field “%(name)s” here.", name=str(unknown[0])[:60]), "columns")
    chosen = tuple(dict.fromkeys(names)) or tuple(name for name in screen.list_columns if name in known)
    return Wanted(screen, list_query(screen, viewer), chosen, format_)


def list_query(screen: Any, viewer: Viewer) -> ListQuery:
    """The list of this request's arguments, without its page, as far as the right to export reaches."""
    query: ListQuery = screen._list_query(viewer)
    record = screen.service.record
    if viewer.person.level(screen.module, "export") != viewer.person.level(screen.module, "read"):
        query.conditions.append(access.visible(viewer.person, record, "export"))
    return query


def query_string() -> str:
    """The arguments of the list in this request, without its page."""
    given = parse_qsl(request.query_string.decode(errors="replace"), keep_blank_values=True)
    return urlencode([(name, value) for name, value in given if not name.startswith(("page", "psize"))])


def ids_of(want: Wanted) -> list[int]:
    """The rows of the list in its order, at most one more than MAX_ROWS."""
    query = want.screen.record_table.ids(want.list_query).order_by(*want.list_query.order)
    return list(db.session.scalars(query.limit(MAX_ROWS + 1)))


def rows_of(want: Wanted, ids: Sequence[int], viewer: Viewer) -> Iterator[Row]:
    """The cells of these rows in this order; rows that are gone, or out of the person's sight now, are left out."""
    table = want.screen.record_table
    query, cuts = table.selection(want.names)
    readers = [(reader_of(each, viewer), cut) for each, cut in cuts]
    for start in range(0, len(ids), STATEMENT):
        part = ids[start : start + STATEMENT]
        found = {row[0]: tuple(row) for row in db.session.execute(_of_ids(want, query, part))}
        present = [found[key] for key in part if key in found]
        table.prepare(present, want.names, viewer)
        for row in present:
            yield [read(row[cut]) for read, cut in readers]
        viewer.objects.clear()


def _of_ids(want: Wanted, query: Any, ids: Sequence[int]) -> Any:
    record = want.screen.service.record
    rules = [record.id.in_(ids), *want.screen.record_table.base_conditions()]
    person = g.person
    if person.level(want.screen.module, "export") != person.level(want.screen.module, "read"):
        rules.append(access.visible(person, record, "export"))
    return query.where(*rules)


def count(want: Wanted) -> int:
    """How many rows the export has now, at most one more than are sent at once."""
    ids: Any = want.screen.record_table.ids(want.list_query)
    return len(db.session.execute(ids.limit(AT_ONCE + 1)).all())


def write_audit(viewer: Viewer, kind: str, rows: int, **what: Any) -> None:
    """Note in the audit log who exported what, by which filter, and how many rows; without what names a person."""
    shown = what | ({"query": impersonal(what["query"])} if "query" in what else {})
    with access.as_system(db.session()) as session:
        audit.write(session, "export", viewer.person.id, viewer.now, f"list of {kind}", rows=rows, **shown)


def impersonal(query: str) -> str:
    """The filters of a list, without values that may name a person: search words, numbers, addresses."""
    parts: Iterable[tuple[str, str]] = parse_qsl(query, keep_blank_values=True)
    return urlencode([(name, "…" if name == "q" or _PERSONAL.search(value) else value) for name, value in parts])[:500]


def is_still_allowed(kind: str, viewer: Viewer) -> bool:
    """Whether the person may still export these records."""
    screen = screen_of_kind(kind)
    return screen is not None and all(viewer.person.may(screen.module, verb) for verb in ("read", "export"))


def note_in(session: Session, run: ExportRun, now: datetime) -> None:
    """The same for an export that a worker has written."""
    what = {"format": run.format, "query": impersonal(run.payload["query"]), "columns": run.payload["columns"]}
    about = f"list of {run.kind}"
    audit.write(session, "export", run.created_by_id, now, about, rows=run.rows, export=run.id, **what)


def note_download(session: Session, run: ExportRun, viewer: Viewer) -> None:
    """Note that the file was downloaded."""
    about = f"list of {run.kind}" if run.kind != "all" else "everything"
    audit.write(session, "export", viewer.person.id, viewer.now, about, what="downloaded", rows=run.rows, export=run.id)


def tell(session: Session, run: ExportRun, payload: dict[str, Any], now: datetime) -> None:
    """Tell the person that the file is ready, or why there is none."""
    payload = {"export": run.id, **payload}
    event = notices.NoticeEvent("export", f"export:{run.id}", (run.created_by_id,), payload)
    notices.notify(session, event, now)
