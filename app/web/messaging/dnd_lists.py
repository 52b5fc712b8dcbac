"""Do-not-disturb lists: uploading a scrub file, its progress, and the wrong lines."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import Any

from flask import Response, flash, redirect, request
from flask_babel import gettext as _
from sqlalchemy import func, select

from app import access
from app.domain import business_settings
from app.domain.base import NotFound, RuleBroken, Stamp
from app.domain.messaging import dnd_uploads
from app.domain.messaging.dnd_uploads import DndUpload
from app.extensions import db
from app.lib.digit_grouping import grouped
from app.lib.iso_time import read_moment
from app.lib.spreadsheet_formulas import as_text
from app.models import DoNotDisturb
from app.web.core.fab_access import current_viewer, refusal, storage_sentence
from app.web.core.fields.date_fields import moment_cell
from app.web.core.localization.languages import translate_text
from app.web.core.request_transaction import request_transaction
from app.web.core.viewer import Viewer
from app.web.messaging import dnd_list_worker
from app.web.pages.routes import page_route
from app.web.pages.settings_page import SettingsPage

BASE = "/settings/do-not-disturb/"
#: Uploads that are listed.
MOST = 50
_CHIPS = {"reading": "blue", "done": "green", "failed": "red"}


class DndListsView(SettingsPage):
    """/settings/do-not-disturb/"""

    route_base = "/settings/do-not-disturb"
    VERBS = {"index": "read", "wrong": "read", "upload": "write"}

    @page_route("/")
    def index(self) -> Any:
        """The uploads, and how many numbers are known."""
        return self._page("", "")

    @page_route("/", methods=["POST"])
    def upload(self) -> Any:
        """Store a file; a worker reads it."""
        viewer, typed = current_viewer(), (request.form.get("checked_on") or "")[:40]
        try:
            key = _keep(typed, viewer)
        except RuleBroken as broken:
            db.session.rollback()
            status, sentence, _errors = refusal(broken)
            return self._page(sentence, typed), status
        dnd_list_worker.enqueue(key)
        flash(_("The file is being read. This page shows the progress."), "success")
        return redirect(BASE)

    @page_route("/<int:key>/wrong.csv")
    def wrong(self, key: int) -> Any:
        """The lines that were not stored, each with what is wrong."""
        row = access.get_visible(db.session(), DndUpload, key)
        lines = dnd_uploads.wrong_lines(db.session(), key) if row is not None else []
        if row is None or not lines:
            raise NotFound(_("There are no such lines. Please upload the list again."))
        content = io.StringIO()
        writer = csv.writer(content)
        writer.writerow(["line", "text", "problem"])
        writer.writerows([n, as_text(text), problem] for n, text, problem in lines)
        if row.wrong > len(lines):
            writer.writerow(["", "", f"The file has {grouped(row.wrong)} wrong lines; these are the first."])
        headers = {"Content-Disposition": f'attachment; filename="wrong-lines-{key}.csv"'}
        return Response(content.getvalue(), 200, headers, content_type="text/csv; charset=utf-8")

    def _page(self, error: str, typed: str) -> Any:
        viewer, session = current_viewer(), db.session()
        rows = session.scalars(select(DndUpload).order_by(DndUpload.id.desc()).limit(MOST)).all()
        numbers = session.scalar(select(func.count()).select_from(DoNotDisturb)) or 0
        return self.render_template(
            "campaigns/dnd_lists.html",
            uploads=[_row(each, viewer) for each in rows],
            numbers=grouped(numbers),
            days=business_settings.value_of(session, "dnd_valid_days"),
            may_write=viewer.person.may("Settings", "write"),
            is_reading=any(each.state == "reading" for each in rows),
            error=error,
            checked_on=typed or f"{viewer.now.astimezone(viewer.zone):%Y-%m-%d}",
        )


def _keep(typed: str, viewer: Viewer) -> int:
    """Store the file and add its row. Raises RuleBroken."""
    file = request.files.get("file")
    if file is None or not file.filename:
        raise RuleBroken(_("Please choose a file."), "file")
    try:
        day = read_moment(typed)
    except (ValueError, OverflowError) as wrong:
        raise RuleBroken(_("Please enter the day on which the numbers were checked."), "checked_on") from wrong
    checked_on = min(day.replace(tzinfo=UTC), viewer.now)  # the person's today may not have begun in UTC
    if day.date() > viewer.today or checked_on.year < 2000:
        raise RuleBroken(_("The day of the check can't be in the future."), "checked_on")
    stamp = Stamp(viewer.person.id, datetime.now(UTC))
    with file.stream:
        try:
            kept = dnd_list_worker.store_file(file.stream)  # type: ignore[arg-type]
        except OSError as error:
            raise RuleBroken(storage_sentence(error), "file") from error
    with request_transaction() as session:
        return dnd_uploads.add(session, dnd_uploads.KeptList(file.filename, *kept), checked_on, stamp).id


def _row(upload: DndUpload, viewer: Viewer) -> dict[str, Any]:
    words = {"reading": _("Being read"), "done": _("Done"), "failed": _("Failed")}
    author = viewer.lookups.person(upload.created_by_id) or {}
    return {
        "id": upload.id,
        "name": upload.name,
        "chip": {"kind": "status", "label": words[upload.state], "color": _CHIPS[upload.state]},
        "percent": min(100, upload.position * 100 // upload.size) if upload.size else 100,
        "is_reading": upload.state == "reading",
        "lines": grouped(upload.lines),
        "stored": grouped(upload.stored),
        "wrong": grouped(upload.wrong) if upload.wrong else "",
        "error": translate_text(upload.error or ""),
        "by": author.get("full_name", ""),
        "at": moment_cell(upload.created_on, viewer),
    }
