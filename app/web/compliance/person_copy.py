"""Everything that is stored about a customer, as a ZIP with a page to read and JSON for machines.

It is read under the rights of whoever asked for it: rows that they don't see are missing, and masked values are masked
unless they gave a reason why the person needs them in full (ADR 0152).
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from flask import current_app, stream_template
from flask_babel import gettext as _
from sqlalchemy import ColumnElement, bindparam, inspect, or_, select

from app import access
from app.domain import who_has_seen
from app.domain.audit_log import audit
from app.domain.base import NotFound
from app.domain.custom_fields import mask_name
from app.domain.files import export_and_import_runs
from app.domain.files.export_and_import_runs import ExportRun, TransferPart
from app.domain.people.permissions import MASKED
from app.extensions import db
from app.models import (
    Activity,
    Assignment,
    Attachment,
    CallLog,
    Complaint,
    Consent,
    Customer,
    CustomerAccount,
    Lead,
    Message,
    Task,
    Ticket,
)
from app.ops.storage.file_store import FileStore
from app.web.core.fields.date_fields import moment_cell
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.queries.list_query import ListQuery
from app.web.core.view_registry import views_of
from app.web.core.viewer import Viewer
from app.web.transfer import exports, file_rights
from app.web.transfer.export_files import slices
from app.web.transfer.export_heartbeat import ExportStopped, Heartbeat
from app.web.transfer.run_as import acting_for

#: The kind of the export.
KIND = "person"
#: Rows that are in memory at once: strangers can send thousands of long messages.
PAGE = 200
#: Bytes of a piece of the archive.
SLICE = 16_000_000
#: Who may see who has seen the data.
_SEEN_BY = (("Audit Log", "read"), ("Customers", "reveal"))
_DAY, _MOMENT = re.compile(r"\d{4}-\d\d-\d\d"), re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d[\d:.]*(Z|[+-]\d\d:\d\d)")
#: Columns that say nothing about the person.
_LEFT_OUT = frozenset({"id", "version", "custom_values"})


@dataclass
class Section:
    """The rows of one kind."""

    #: Its key in the JSON, and its heading.
    name: str
    title: str
    #: Read as they are asked for, once.
    rows: Iterable[dict[str, Any]] = ()
    #: Column -> its label.
    labels: dict[str, str] = field(default_factory=dict)


def write_archive(run: ExportRun) -> None:
    """Write the copy, from its beginning. Raises Denied, NotFound if whoever asked may no longer have it."""
    heartbeat = Heartbeat(run)
    store: FileStore = current_app.extensions["crm_files"]
    try:
        with tempfile.TemporaryFile(dir=_folder()) as file:
            with acting_for(run.created_by_id, "/data-requests/", scope=run.payload.get("scope", ())) as viewer:
                refuse_others(viewer)
                run.rights = _rights_of(viewer)
                if run.payload.get("reason"):
                    viewer = in_full(viewer)
                rows = _write(file, _sections(run.payload["customer"], viewer), viewer, heartbeat)
            made = [store.put(BytesIO(piece)) for piece in heartbeat.over(slices(file, SLICE))]
    except ExportStopped:
        return
    _finish(run, made, rows)


def refuse_others(viewer: Viewer) -> None:
    """Raise Denied for people whose role doesn't make such copies."""
    viewer.person.refuse_unless("Data Requests", "export")


def in_full(viewer: Viewer) -> Viewer:
    """The viewer as if nothing were masked. Raises Denied for people whose role doesn't answer such requests."""
    viewer.person.refuse_unless("Data Requests", "write")
    custom = (mask_name(each.id) for each in viewer.lookups.custom.restricted)
    person = replace(viewer.person, masks=dict.fromkeys((*MASKED, *custom), "full"))
    return replace(viewer, person=person)


def sees_masks(viewer: Viewer) -> bool:
    """Whether anything of a customer is masked for the viewer."""
    custom = (mask_name(each.id) for each in viewer.lookups.custom.restricted)
    return any(viewer.person.mask(name) != "full" for name in (*MASKED, *custom))


def _rights_of(viewer: Viewer) -> dict[str, Any]:
    """The rights that a file has always, and those by which this one says who has seen the data."""
    rights, person = file_rights.rights_of(viewer), viewer.person
    more = {f"{module}.{verb}": person.level(module, verb) for module, verb in _SEEN_BY}
    return rights | {"levels": rights["levels"] | {cell: level for cell, level in more.items() if level != "none"}}


def _write(file: IO[bytes], sections: Iterable[Section], viewer: Viewer, heartbeat: Heartbeat) -> int:
    """Write both files of the archive, in one pass over the rows. Returns their number. Raises ExportStopped."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, tempfile.TemporaryFile(dir=_folder()) as page:
        with archive.open("personal-data.json", "w", force_zip64=True) as target:
            data = JsonFile(target, viewer.now)
            for text in _page(sections, data, viewer, heartbeat):
                page.write(text.encode("utf-8", "replace"))
            data.end()
        page.seek(0)
        with archive.open("personal-data.html", "w", force_zip64=True) as target:
            shutil.copyfileobj(page, target)
    return data.count


def _folder() -> Path:
    folder: Path = current_app.config["CRM"].instance_dir
    return folder


def _finish(run: ExportRun, made: list[Any], rows: int) -> None:
    now, about = datetime.now(UTC), f"data request {run.payload['request']}"
    values = {"outcome": "done", "size": sum(each.size for each in made), "rows": rows, "total": rows}
    values |= {"finished_on": now, "expires_on": now + export_and_import_runs.KEPT_FOR, "rights": run.rights}
    with access.system_transaction() as session:
        if not export_and_import_runs.advance_export(session, run, values):
            return
        for place, each in enumerate(made):
            session.add(TransferPart(export_id=run.id, role="file", place=place, digest=each.digest, size=each.size))
        audit.write(session, "export", run.created_by_id, now, about, rows=rows, customer=run.payload["customer"])
        exports.notify(session, run, {"rows": rows}, now)


# --- what is in it


def _sections(customer_id: int, viewer: Viewer) -> Iterator[Section]:
    """Each kind of data, in the order of the file."""
    session = db.session()
    customer = access.get_visible(session, Customer, customer_id)
    if customer is None:
        raise NotFound("This record doesn't exist.")
    leads = list(session.scalars(select(Lead.id).where(Lead.customer_id == customer_id)))
    tickets = list(session.scalars(select(Ticket.id).where(Ticket.customer_id == customer_id)))

    def of(model: Any) -> ColumnElement[bool]:
        parts = [_is_in(getattr(model, name), ids) for name, ids in (("lead_id", leads), ("ticket_id", tickets))]
        return or_(*parts, *([model.customer_id == customer_id] if hasattr(model, "customer_id") else []))

    yield _records(Section("customer", _("Customer")), Customer, Customer.id == customer_id, viewer)
    is_of_them = CustomerAccount.customer_id == customer_id
    yield _plain(Section("accounts", _("Accounts")), CustomerAccount, is_of_them, viewer)
    yield _records(Section("leads", _("Leads")), Lead, _is_in(Lead.id, leads), viewer)
    yield _records(Section("tickets", _("Tickets")), Ticket, _is_in(Ticket.id, tickets), viewer)
    yield _records(Section("complaints", _("Complaints")), Complaint, _is_in(Complaint.ticket_id, tickets), viewer)
    for name, title, model in (
        ("tasks", _("Tasks"), Task),
        ("calls", _("Calls"), CallLog),
        ("messages", _("Messages"), Message),
        ("files", _("Files"), Attachment),
    ):
        yield _records(Section(name, title), model, of(model), viewer)
    yield _notes(of(Activity), viewer)
    is_theirs = or_(Consent.customer_id == customer_id, _is_in(Consent.lead_id, leads))
    yield _records(Section("consents", _("Consents")), Consent, is_theirs, viewer)
    yield _plain(Section("assignments", _("Assignments")), Assignment, of(Assignment), viewer)
    yield _disclosures(customer, viewer)


def _is_in(column: Any, ids: list[int]) -> ColumnElement[bool]:
    """The condition, with the ids in the statement: SQLite takes a limited number of parameters."""
    found: ColumnElement[bool] = column.in_(bindparam(None, ids, expanding=True, literal_execute=True))
    return found


def _records(section: Section, model: Any, rule: ColumnElement[bool], viewer: Viewer) -> Section:
    """The rows as the record's own page shows them to the viewer; none for people who may not read the module."""
    view = views_of(model)[0]
    if not viewer.person.may(view.module, "read"):
        return section
    table = view.service.record_table
    names = tuple(name for name in table.declared.show if name not in _LEFT_OUT)
    section.labels = {name: str(table.by_name[name].label or name) for name in names}

    def page_after(last: int) -> list[dict[str, Any]]:
        session = db.session()
        raw = table.rows(session, ListQuery([rule, model.id > last], [model.id], PAGE), names)
        return table.serialize_rows(session, raw, names, viewer)

    section.rows = map(_without_id, _paged(page_after, lambda row: row["id"]))
    return section


def _paged(page_after: Callable[[int], list[Any]], key: Callable[[Any], int]) -> Iterator[Any]:
    """All rows, of which PAGE at once are in memory; `page_after`: those with a higher id, in order."""
    last = 0
    while rows := page_after(last):
        yield from rows
        if len(rows) < PAGE:
            return
        last = key(rows[-1])


def _objects(model: Any, *rules: ColumnElement[bool]) -> Iterator[Any]:
    def page_after(last: int) -> list[Any]:
        query = select(model).where(*rules, model.id > last).order_by(model.id).limit(PAGE)
        return list(db.session.scalars(query).unique())

    return _paged(page_after, lambda row: row.id)


def _without_id(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in _LEFT_OUT}


def _plain(section: Section, model: Any, rule: ColumnElement[bool], viewer: Viewer) -> Section:
    """The columns of rows that have no page of their own, with names of people in place of their ids."""
    columns = [name for name in inspect(model).columns.keys() if name not in _LEFT_OUT]  # noqa: SIM118
    section.rows = ({column: _value(row, column, viewer) for column in columns} for row in _objects(model, rule))
    return section


def _value(row: Any, column: str, viewer: Viewer) -> Any:
    value = getattr(row, column)
    if any(key.target_fullname == "ab_user.id" for key in inspect(type(row)).columns[column].foreign_keys):
        return viewer.lookups.person(value)
    return value


def _notes(rule: ColumnElement[bool], viewer: Viewer) -> Section:
    """Notes and comments; who may not read notes sees no such entries anyway."""
    rows = (
        {"at": row.at, "by": viewer.lookups.person(row.actor_id), "text": (row.payload or {}).get("text")}
        for row in _objects(Activity, rule, Activity.kind.in_(("note", "comment")))
    )
    return Section("notes", _("Notes"), rows)


def _disclosures(customer: Customer, viewer: Viewer) -> Section:
    """Who has seen the data, for people who may see that."""
    title = _("Who has seen the data")
    if not any(viewer.person.may(module, verb) for module, verb in _SEEN_BY):
        return Section("seen_by", title)
    with access.as_system(db.session()) as session:  # the customer is visible, and so is who has looked
        entries = who_has_seen.all_of_customer(session, customer)
    rows = (
        {"at": each.at, "by": viewer.lookups.person(each.user_id), "what": each.event, "about": each.about}
        for each in entries
    )
    return Section("seen_by", title, rows)


# --- the two files


class JsonFile:
    """The JSON, written row by row."""

    def __init__(self, target: IO[bytes], made_on: datetime) -> None:
        self._target, self.count = target, 0
        self._write(f'{{\n"made_on": {_json(made_on)},\n"language": "en"')

    def rows(self, name: str, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Write each row under this name, and hand it on; all have to be taken."""
        self._write(f",\n{_json(name)}: [")
        for place, row in enumerate(rows):
            self._write(("," if place else "") + f"\n  {_json(row)}")
            self.count += 1
            yield row
        self._write("\n]")

    def end(self) -> None:
        """Write the end."""
        self._write("\n}\n")

    def _write(self, text: str) -> None:
        self._target.write(text.encode("utf-8", "replace"))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_as_json)


def _as_json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date | datetime) else str(value)


def _page(sections: Iterable[Section], data: JsonFile, viewer: Viewer, heartbeat: Heartbeat) -> Iterator[str]:
    """A page that needs nothing else: no scripts, styles or pictures from elsewhere. Its rows are written to `data`."""

    def shown() -> Iterator[dict[str, Any]]:
        for section in sections:
            rows = heartbeat.over(data.rows(section.name, section.rows))
            yield {"title": section.title, "rows": (_pairs(section, row, viewer) for row in rows)}

    made = moment_cell(viewer.now, viewer)
    return stream_template("compliance/personal_data.html", sections=shown(), made=made)


def _pairs(section: Section, row: dict[str, Any], viewer: Viewer) -> list[tuple[str, str]]:
    """(label, text) of each value that there is."""
    made = ((section.labels.get(name) or name.replace("_", " "), _text(value, viewer)) for name, value in row.items())
    return [(label, text) for label, text in made if text]


def _text(value: Any, viewer: Viewer) -> str:
    if value is None or value in ([], {}, ""):
        return ""
    if isinstance(value, bool):
        return str(_("Yes") if value else _("No"))
    if isinstance(value, datetime):
        return format_local_date(value.astimezone(viewer.zone), "%-d %b %Y, %H:%M")
    if isinstance(value, str) and _DAY.fullmatch(value):  # as records serialize them
        return format_local_date(date.fromisoformat(value), "%-d %b %Y")
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        return _text(datetime.fromisoformat(value), viewer)
    if isinstance(value, dict):
        return str(next((value[name] for name in ("label", "full_name", "number", "name") if value.get(name)), ""))
    if isinstance(value, list):
        return ", ".join(filter(None, (_text(each, viewer) for each in value)))
    return str(value)


def _no_source(_run: ExportRun, _viewer: Viewer) -> Any:
    raise NotFound("This record doesn't exist.")


exports.KINDS[KIND] = exports.ExportKind(
    _no_source,
    is_allowed=lambda _run, viewer: viewer.person.may("Data Requests", "export"),
    title=lambda _run: _("Copy of the data"),
    about=lambda run: f"data request {run.payload['request']}",
    stem=lambda _run: "personal-data",
    payload=lambda run, _viewer: dict(run.payload),
    archive=write_archive,
    has_own_page=True,
)
