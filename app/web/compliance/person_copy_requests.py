"""Having the copy of a person's data made for a request, and its one download."""

from __future__ import annotations

from typing import Any

from flask import Response, request
from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.domain import data_requests, who_has_seen
from app.domain.base import Conflict, Gone, RuleBroken
from app.domain.data_requests import DataRequest
from app.domain.files import export_and_import_runs
from app.domain.files.export_and_import_runs import OPEN_EXPORTS, ExportRun, NewExport
from app.extensions import db
from app.models import Customer
from app.ops.redis.rate_counter import Rate
from app.web.compliance import person_copy
from app.web.core.fields.date_fields import moment_cell
from app.web.core.localization.languages import translate_text
from app.web.core.request_transaction import request_transaction
from app.web.core.viewer import Viewer
from app.web.records import reveals
from app.web.transfer import export_requests, export_worker, file_rights

URL = "/data-requests"
#: Copies with values in full that one person may have made.
FULL_RATES = (Rate(5, 3600), Rate(20, 86_400))


def start(row: DataRequest, viewer: Viewer, reason: str = "") -> None:
    """Queue the copy. Raises RuleBroken, Conflict while one is being made, Denied, TooManyRequests.

    `reason`: why it has masked values in full; empty for one that holds what the viewer sees.
    """
    data_requests.refuse_copy(row)
    if reason:
        viewer.person.refuse_unless(data_requests.MODULE, "write")
        reveals.count(viewer, "full copy", FULL_RATES)
    if not access.sees_id(db.session(), Customer, row.customer_id or 0):
        raise RuleBroken(_("You don't have access to this customer, so you can't make the copy."))
    payload: dict[str, Any] = {"request": row.id, "customer": row.customer_id, "columns": [], "query": ""}
    payload["page"] = f"{URL}/copy/{row.id}"
    payload["scope"] = sorted(viewer.person.scope or ())
    payload |= {"reason": reason} if reason else {}
    with request_transaction() as session:
        held = session.get(DataRequest, row.id, with_for_update=True, populate_existing=True)
        run = _run_of(held) if held is not None else None
        if held is None or (run is not None and run.outcome in OPEN_EXPORTS):
            raise Conflict("The copy is being made already.")
        key = export_and_import_runs.new_export(session, NewExport(person_copy.KIND, "zip", payload), viewer.stamp).id
        data_requests.note_copy(session, held, key, viewer.stamp, reason)
    export_worker.enqueue(key)


def _run_of(row: DataRequest) -> ExportRun | None:
    """The export of the copy, which may belong to a colleague."""
    if row.copy_id is None:
        return None
    with access.as_system(db.session()) as session:
        found: ExportRun | None = session.get(ExportRun, row.copy_id, populate_existing=True)
        return found


def _is_of_customer(run: ExportRun | None, row: DataRequest) -> bool:
    """Whether the copy holds the data of the customer whom the request names now."""
    return run is None or run.payload["customer"] == row.customer_id


def download(row: DataRequest, viewer: Viewer) -> Response:
    """The file. Raises RuleBroken, Gone if it was taken or has expired, Denied for people who see less than it has."""
    run = _run_of(row)
    if run is None or run.outcome in OPEN_EXPORTS:
        raise RuleBroken(_("The copy isn't made yet."))
    if run.outcome != "done" or (run.expires_on is not None and run.expires_on <= viewer.now):
        raise RuleBroken(_("This copy has expired. Please have another one made."))
    if not _is_of_customer(run, row):
        raise RuleBroken(
            _("The customer of the request was changed after this copy was made. Please have another one made.")
        )
    data_requests.refuse_copy(row)
    file_rights.refuse_fewer(run.rights, viewer)
    if run.payload.get("reason"):
        _refuse_full(run, viewer)
    db.session.commit()  # on SQLite, the transaction of a POST would keep out the one that reads the file
    try:
        pieces = export_worker.stream(run.id)
    except Gone:
        raise RuleBroken(_("This copy has expired. Please have another one made.")) from None
    with request_transaction() as session:
        if not data_requests.take_copy(session, row, viewer.stamp):
            raise RuleBroken(_("This copy was downloaded already. Please have another one made."))
        if run.payload.get("reason"):
            _note_full(session, run, viewer)
    headers = export_requests.file_headers("personal-data", "zip", viewer) | {"Content-Length": str(run.size)}
    return Response(pieces, 200, headers, content_type="application/zip")


def _refuse_full(run: ExportRun, viewer: Viewer) -> None:
    """Raise Denied unless the viewer gave the reason for the values in full, and still answers such requests."""
    viewer.person.refuse_unless(data_requests.MODULE, "write")
    if run.created_by_id != viewer.person.id:
        raise access.Denied(_("Only the person who asked for the values in full can download this copy."))


def _note_full(session: Session, run: ExportRun, viewer: Viewer) -> None:
    """Write who sees the customer's values in full, where “Who has seen this data” finds it."""
    with access.as_system(session):
        number = session.execute(select(Customer.number).where(Customer.id == run.payload["customer"])).scalar()
        reason = run.payload["reason"]
        seen = who_has_seen.Reveal(f"customer {number}", who_has_seen.FULL_COPY, reason, request.remote_addr)
        who_has_seen.write_reveal(session, seen, viewer.stamp)


def context(row: DataRequest, viewer: Viewer) -> dict[str, Any]:
    """What the page of the copy shows."""
    run = _run_of(row)
    is_open = run is not None and run.outcome in OPEN_EXPORTS
    is_over = run is not None and run.expires_on is not None and run.expires_on <= viewer.now
    is_ready = run is not None and run.outcome == "done" and not is_over and row.copy_taken_on is None
    fits = _is_of_customer(run, row) and not _hinders(row)
    return {
        "person": row.person,
        "url": f"{URL}/show/{row.id}",
        "action": f"{URL}/copy/{row.id}",
        "edit_url": f"{URL}/edit/{row.id}#f-{'identity_how' if row.customer_id else 'customer'}",
        "state": _state(run, is_over, row.copy_taken_on is not None) if fits or not is_ready else _kept_back(),
        "is_open": is_open,
        "is_ready": is_ready and fits,
        "hinders": _hinders(row),
        "is_full": bool(run is not None and is_ready and run.payload.get("reason")),
        "may_be_full": _may_be_full(viewer),
        "most_reason": reveals.MOST_REASON,
        "expires": moment_cell(run.expires_on, viewer) if run is not None and is_ready and fits else None,
        "taken": moment_cell(row.copy_taken_on, viewer) if row.copy_taken_on is not None else None,
    }


def _may_be_full(viewer: Viewer) -> bool:
    return viewer.person.may(data_requests.MODULE, "write") and person_copy.sees_masks(viewer)


def _state(run: ExportRun | None, is_over: bool, is_taken: bool) -> str:
    if run is None:
        return str(_("No copy was made yet."))
    if run.outcome in OPEN_EXPORTS:
        return str(_("The copy is being made. This page shows when it is ready; you will be notified, too."))
    if run.outcome == "failed":
        return translate_text(run.error or "") or str(_("The copy couldn't be made."))
    if is_taken:
        return str(_("The copy was downloaded."))
    if is_over or run.outcome != "done":
        return str(_("The copy has expired."))
    return str(_("The copy is ready. It can be downloaded once."))


def _kept_back() -> str:
    return str(_("The copy is made, but can't be handed out as the request is now."))


def _hinders(row: DataRequest) -> str:
    """Why no copy can be made, as a sentence; "" if one can."""
    try:
        data_requests.refuse_copy(row)
    except RuleBroken as broken:
        return translate_text(broken.message)
    return ""
