"""Files of records on pages: listed, attached, opened, versions, deleted and restored; under the record's rules."""

from __future__ import annotations

from typing import Any

from flask import Response, flash, make_response, redirect, render_template, request
from flask_appbuilder import BaseView
from flask_babel import gettext as _
from werkzeug.datastructures import FileStorage

from app import access
from app.domain.audit_log import audit
from app.domain.base import NotFound, RuleBroken
from app.domain.files import attachments
from app.extensions import db
from app.models import Attachment
from app.web.core.fab_access import (
    REFUSABLE,
    ModulePermissions,
    current_viewer,
    json_answer,
    parse_integer,
    refusal,
    wants_json,
)
from app.web.core.viewer import Viewer
from app.web.pages.routes import page_route
from app.web.records import message_files
from app.web.records.attachments import message_uploads, record_files
from app.web.records.attachments.record_files import PDF, FileOwner


class FilesView(ModulePermissions, BaseView):
    """/files/of/<kind>/<id> and /files/<id>"""

    route_base = "/files"
    default_view = "index"
    module = "Notes"
    VERBS = {
        **dict.fromkeys(("index", "file", "preview", "view", "place"), "read"),
        **dict.fromkeys(("upload", "version", "join"), "create"),
        **dict.fromkeys(("delete", "restore"), "delete"),
    }

    @page_route("/of/<kind>/<pk>", methods=["GET"])
    def index(self, kind: str, pk: str) -> Any:
        """The files of a record: a page, or the part of one."""
        viewer = current_viewer()
        return _listed(record_files.place_of(kind, pk, viewer), viewer)

    @page_route("/of/<kind>/<pk>", methods=["POST"])
    def upload(self, kind: str, pk: str) -> Any:
        """Attach the files of a form, each by itself: failures are reported, the others are stored."""
        viewer = current_viewer()
        place = record_files.place_of(kind, pk, viewer)
        return _taken(place, viewer, None)

    @page_route("/<int:pk>/version", methods=["POST"])
    def version(self, pk: int) -> Any:
        """Attach a new version of a file."""
        viewer = current_viewer()
        row = record_files.find(pk, viewer)
        return _taken(record_files.place_of_file(row, viewer), viewer, row)

    @page_route("/<int:pk>/join/<int:other>", methods=["POST"])
    def join(self, pk: int, other: int) -> Any:
        """Make a file the newest version of another one of the same record."""
        viewer = current_viewer()
        row, into = record_files.find(pk, viewer), record_files.find(other, viewer)
        place = record_files.place_of_file(row, viewer)
        attachments.append_versions(db.session(), row, into, place.about, viewer.stamp)
        db.session.commit()
        return _done(place, viewer, _("“%(name)s” is now a version of one file.", name=row.name), None)

    @page_route("/<int:pk>", methods=["GET"])
    def file(self, pk: int) -> Any:
        """The content, always as a download, never executed."""
        row = openable(pk)
        return message_files.attachment_response(message_files.open_digest(row.digest), _as_media(row))

    @page_route("/<int:pk>/place", methods=["GET"])
    def place(self, pk: int) -> Any:
        """Redirect to the files of the first of its records that the viewer sees."""
        viewer = current_viewer()
        return redirect(record_files.place_of_file(record_files.find(pk, viewer), viewer).url)

    @page_route("/<int:pk>/preview", methods=["GET"])
    def preview(self, pk: int) -> Any:
        """The preview of a picture: made by us from its pixels, so it is safe to show."""
        return preview_of(openable(pk))

    @page_route("/<int:pk>/view", methods=["GET"])
    def view(self, pk: int) -> Any:
        """A PDF in a frame of our own pages: the browser's viewer runs nothing of it on our site."""
        row = openable(pk)
        if row.mime_type != PDF:
            raise NotFound(_("This file has no preview."))
        response = message_files.attachment_response(message_files.open_digest(row.digest), _as_media(row))
        if request.headers.get("Sec-Fetch-Dest", "iframe") in ("iframe", "frame", "object", "embed"):
            response.mimetype = PDF
            saved = response.headers["Content-Disposition"]
            response.headers["Content-Disposition"] = saved.replace("attachment;", "inline;", 1)
            response.headers["X-Frame-Options"] = "SAMEORIGIN"
            response.headers["Content-Security-Policy"] = (
                "default-src 'none'; object-src 'self'; plugin-types application/pdf; style-src 'unsafe-inline'; "
                "script-src 'none'; frame-ancestors 'self'"
            )
        return response

    @page_route("/<int:pk>/delete", methods=["POST"])
    def delete(self, pk: int) -> Any:
        """Move a file with its versions to the trash."""
        viewer = current_viewer()
        row = record_files.find(pk, viewer)
        place = remove(row, viewer)
        return _done(place, viewer, _("“%(name)s” was deleted.", name=row.name), row.id)

    @page_route("/<int:pk>/restore", methods=["POST"])
    def restore(self, pk: int) -> Any:
        """Restore a file from the trash."""
        viewer = current_viewer()
        row = record_files.find(pk, viewer)
        record_files.refuse_unreached(row, viewer)
        place = record_files.place_of_file(row, viewer)
        attachments.restore(db.session(), row, place.about, viewer.stamp)
        db.session.commit()
        return _done(place, viewer, _("“%(name)s” is there again.", name=row.name), None)


def remove(row: Attachment, viewer: Viewer) -> FileOwner:
    """Move a file to the trash and commit, with an audit entry. Raises Denied."""
    record_files.refuse_unreached(row, viewer)
    place, session = record_files.place_of_file(row, viewer), db.session()
    if attachments.put_in_trash(session, row, place.about, viewer.stamp):
        with access.as_system(session):
            audit.write(session, "deletion", viewer.person.id, viewer.now, about=f"file {row.id}", name=row.name[:80])
    session.commit()
    return place


def openable(pk: int) -> Attachment:
    """The file, if it may be opened; one in the trash only by people who may restore it. Raises NotFound, Denied."""
    viewer = current_viewer()
    row = record_files.find(pk, viewer)
    if row.deleted_on is not None and not access.reaches_row(db.session(), viewer.person, row, "delete"):
        raise NotFound(_("This file was deleted."))
    if row.scan == "infected":
        text = _("The virus scanner found %(threat)s in this file, so it can't be opened.", threat=row.threat)
        raise access.Denied(text)
    return row


def preview_of(row: Attachment) -> Response:
    """The preview of a file. Raises NotFound, FilesUnavailable."""
    if not row.preview:
        raise NotFound(_("This file has no preview."))
    return message_files.preview_response(row.preview)


def _as_media(row: Attachment) -> dict[str, Any]:
    return {"name": row.name, "mime_type": row.mime_type}


def _taken(owner: FileOwner, viewer: Viewer, replaces: Attachment | None) -> Any:
    """The response to uploaded files: JSON for a script, else the list with the results."""
    sent = [each for each in request.files.getlist("files") if each.filename]
    if wants_json() and len(sent) == 1:
        return _answered(owner, sent[0], viewer, replaces)
    if not sent:
        raise RuleBroken(_("Please choose a file."), "files")
    attach_sent(owner, viewer, replaces)
    return redirect(owner.url)


def attach_sent(owner: FileOwner, viewer: Viewer, replaces: Attachment | None = None) -> None:
    """Attach the files of this request's form, each in a transaction of its own; the results are flashed."""
    sent = [each for each in request.files.getlist("files") if each.filename]
    most = 1 if replaces is not None else message_uploads.MAX_FILES
    if len(sent) > most:
        flash(_("Only the first %(most)s files were taken: please send at most so many at once.", most=most), "warning")
    for each in sent[:most]:
        try:
            row, is_new = record_files.attach(owner, each, viewer, replaces)
            text = _("“%(name)s” was attached.") if is_new else _("“%(name)s” is already here, with the same content.")
            flash(text % {"name": row.name}, "success" if is_new else "info")
        except REFUSABLE as broken:
            db.session.rollback()
            flash(refusal(broken).sentence, "danger")


def _answered(owner: FileOwner, sent: FileStorage, viewer: Viewer, replaces: Attachment | None) -> Any:
    try:
        row, is_new = record_files.attach(owner, sent, viewer, replaces)
    except REFUSABLE as broken:
        db.session.rollback()
        status, sentence, errors = refusal(broken)
        return json_answer(status, {"message": sentence, "errors": errors})
    shown = record_files.version_json(row, viewer)
    return json_answer(201 if is_new else 200, {name: shown[name] for name in ("id", "name", "size", "icon", "url")})


def _listed(owner: FileOwner, viewer: Viewer, **more: Any) -> Any:
    before = parse_integer(request.args.get("before"), 0, 1, 2**31 - 1) if request.args.get("before") else None
    files = record_files.page_of(db.session(), owner, before, viewer) | more
    template = "files/_files.html" if request.headers.get("HX-Request") else "files/page.html"
    return make_response(render_template(template, files=files))


def _done(owner: FileOwner, viewer: Viewer, text: str, undo: int | None) -> Any:
    """The list again, with what was done and, for a deleted file, the undo."""
    if request.headers.get("HX-Request"):
        return _listed(owner, viewer, said=text, undo_url=f"/files/{undo}/restore" if undo else None)
    flash(text, "success")
    return redirect(owner.url)
