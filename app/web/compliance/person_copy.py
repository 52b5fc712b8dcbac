"""Everything that is stored about a customer, as a ZIP with a page to read and JSON for machines.

It is read under the rights of whoever asked for it: rows that they don't see are missing, and masked values are masked
unless they gave a reason why the person needs them in full (ADR 0152).
"""

from __future__ import annotations

import json
import re
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from io import BytesIO
from typing import Any

from flask import current_app, render_template
from flask_babel import gettext as _
from sqlalchemy import ColumnElement, inspect, or_, select
from sqlalchemy.orm import Session

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
#: Rows of one kind, and about how many characters of them; the file says when there are more. Read in pages: strangers
#: can send thousands of long messages.
MAX_ROWS, MAX_TEXT, PAGE = 5000, 20_000_000, 200
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
    rows: list[dict[str, Any]] = field(default_factory=list)
    #: Whether there are more rows.
    is_cut: bool = False
    #: Column -> its label.
    labels: dict[str, str] = field(default_factory=dict)


def write_archive(run: ExportRun) -> None:
    """Write the copy, from its beginning. Raises Denied, NotFound if whoever asked may no longer have it."""
    heartbeat = Heartbeat(run)
    try:
        with acting_for(run.created_by_id, "/data-requests/", scope=run.payload.get("scope", ())) as viewer:
            refuse_others(viewer)
            run.rights = _rights_of(viewer)
            if run.payload.get("reason"):
                viewer = in_full(viewer)
            sections = list(heartbeat.over(_sections(run.payload["customer"], viewer)))
            page, data = _page(sections, viewer), _json(sections, viewer)
        made = _store({"personal-data.html": page, "personal-data.json": data}, heartbeat)
    except ExportStopped:
        return
    _finish(run, made, sum(len(section.rows) for section in sections))


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


def _store(files: dict[str, str], heartbeat: Heartbeat) -> list[Any]:
    store: FileStore = current_app.extensions["crm_files"]
    with tempfile.TemporaryFile(dir=current_app.config["CRM"].instance_dir) as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in files.items():
                archive.writestr(name, text)
        return [store.put(BytesIO(piece)) for piece in heartbeat.over(slices(file, SLICE))]


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
    leads = list(session.scalars(select(Lead.id).where(Lead.customer_id == customer_id).limit(MAX_ROWS)))
    tickets = list(session.scalars(select(Ticket.id).where(Ticket.customer_id == customer_id).limit(MAX_ROWS)))

    def of(model: Any) -> ColumnElement[bool]:
        parts = [getattr(model, name).in_(ids) for name, ids in (("lead_id", leads), ("ticket_id", tickets))]
        return or_(*parts, *([model.customer_id == customer_id] if hasattr(model, "customer_id") else []))

    yield _records(Section("customer", _("Customer")), Customer, Customer.id == customer_id, viewer)
    is_of_them = CustomerAccount.customer_id == customer_id
    yield _plain(Section("accounts", _("Accounts")), CustomerAccount, is_of_them, viewer)
    yield _records(Section("leads", _("Leads")), Lead, Lead.id.in_(leads), viewer)
    yield _records(Section("tickets", _("Tickets")), Ticket, Ticket.id.in_(tickets), viewer)
    yield _records(Section("complaints", _("Complaints")), Complaint, Complaint.ticket_id.in_(tickets), viewer)
    for name, title, model in (
        ("tasks", _("Tasks"), Task),
        ("calls", _("Calls"), CallLog),
        ("messages", _("Messages"), Message),
        ("files", _("Files"), Attachment),
    ):
        yield _records(Section(name, title), model, of(model), viewer)
    yield _notes(of(Activity), viewer)
    is_theirs = or_(Consent.customer_id == customer_id, Consent.lead_id.in_(leads))
    yield _records(Section("consents", _("Consents")), Consent, is_theirs, viewer)
    yield _plain(Section("assignments", _("Assignments")), Assignment, of(Assignment), viewer)
    yield _disclosures(customer, viewer)


def _records(section: Section, model: Any, rule: ColumnElement[bool], viewer: Viewer) -> Section:
    """The rows as the record's own page shows them to the viewer; none for people who may not read the module."""
    view = views_of(model)[0]
    if not viewer.person.may(view.module, "read"):
        return section
    table = view.service.record_table
    names = tuple(name for name in table.declared.show if name not in _LEFT_OUT)
    section.labels = {name: str(table.by_name[name].label or name) for name in names}
    session = db.session()
    last, left = 0, MAX_TEXT
    while True:
        raw = table.rows(session, ListQuery([rule, model.id > last], [model.id], PAGE), names)
        rows = table.serialize_rows(session, raw, names, viewer)
        section.rows += [_without_id(row) for row in rows]
        if len(rows) < PAGE:
            break
        last, left = rows[-1]["id"], left - sum(map(_length, rows))
        if left < 0 or len(section.rows) >= MAX_ROWS:
            section.is_cut = _has_more(session, model, rule, last)
            break
    return section


def _has_more(session: Session, model: Any, rule: ColumnElement[bool], last: int) -> bool:
    return session.execute(select(model.id).where(rule, model.id > last).limit(1)).first() is not None


def _length(row: dict[str, Any]) -> int:
    return sum(len(value) for value in row.values() if isinstance(value, str))


def _without_id(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in _LEFT_OUT}


def _plain(section: Section, model: Any, rule: ColumnElement[bool], viewer: Viewer) -> Section:
    """The columns of rows that have no page of their own, with names of people in place of their ids."""
    found = db.session.scalars(select(model).where(rule).order_by(model.id).limit(MAX_ROWS + 1)).unique().all()
    columns = [name for name in inspect(model).columns.keys() if name not in _LEFT_OUT]  # noqa: SIM118
    section.rows = [{column: _value(row, column, viewer) for column in columns} for row in found[:MAX_ROWS]]
    section.is_cut = len(found) > MAX_ROWS
    return section


def _value(row: Any, column: str, viewer: Viewer) -> Any:
    value = getattr(row, column)
    if any(key.target_fullname == "ab_user.id" for key in inspect(type(row)).columns[column].foreign_keys):
        return viewer.lookups.person(value)
    return value


def _notes(rule: ColumnElement[bool], viewer: Viewer) -> Section:
    """Notes and comments; who may not read notes sees no such entries anyway."""
    query = select(Activity).where(rule, Activity.kind.in_(("note", "comment"))).order_by(Activity.id)
    found = db.session.scalars(query.limit(MAX_ROWS + 1)).all()
    rows = [
        {"at": row.at, "by": viewer.lookups.person(row.actor_id), "text": (row.payload or {}).get("text")}
        for row in found[:MAX_ROWS]
    ]
    return Section("notes", _("Notes"), rows, len(found) > MAX_ROWS)


def _disclosures(customer: Customer, viewer: Viewer) -> Section:
    """Who has seen the data, for people who may see that."""
    title = _("Who has seen the data")
    if not any(viewer.person.may(module, verb) for module, verb in _SEEN_BY):
        return Section("seen_by", title, [])
    with access.as_system(db.session()) as session:  # the customer is visible, and so is who has looked
        entries = who_has_seen.of_customer(session, customer)
    rows = [
        {"at": each.at, "by": viewer.lookups.person(each.user_id), "what": each.event, "about": each.about}
        for each in entries
    ]
    return Section("seen_by", title, rows, len(entries) >= who_has_seen.MAX_ENTRIES)


# --- the two files


def _json(sections: list[Section], viewer: Viewer) -> str:
    data: dict[str, Any] = {"made_on": viewer.now, "language": "en"}
    data |= {section.name: section.rows for section in sections}
    data["incomplete"] = [section.name for section in sections if section.is_cut]
    return json.dumps(data, ensure_ascii=False, indent=2, default=_as_json)


def _as_json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date | datetime) else str(value)


def _page(sections: list[Section], viewer: Viewer) -> str:
    """A page that needs nothing else: no scripts, styles or pictures from elsewhere."""
    shown = [
        {
            "title": section.title,
            "most": len(section.rows) if section.is_cut else None,
            "rows": [_pairs(section, row, viewer) for row in section.rows],
        }
        for section in sections
    ]
    made = moment_cell(viewer.now, viewer)
    return render_template("compliance/personal_data.html", sections=shown, made=made)


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
