"""Recordings of calls: played by people with the permission, each time audited."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, BinaryIO

from flask import Response, current_app, flash, redirect, request
from flask_babel import gettext as _
from sqlalchemy import select
from werkzeug.wsgi import FileWrapper

from app import access
from app.domain.audit_log.audit import AuditEntry
from app.domain.base import NotFound
from app.domain.telephony import recordings
from app.extensions import db
from app.inbound.recording_fetch import KINDS
from app.models import CallRecording
from app.ops.storage.file_store import FileStore
from app.web.core.fab_access import current_viewer
from app.web.core.request_transaction import request_transaction
from app.web.core.viewer import Viewer
from app.web.pages.refusals import previous_page
from app.web.pages.routes import page_route

RECORDING_VERBS = {"recording": "recordings", "recording_again": "recordings"}
#: A player requests a recording in parts: of a person's requests within so many seconds, only the first is audited.
ONE_HEARING_SECONDS = 600


class RecordingRoutes:
    """/calls/recording/<id>"""

    @page_route("/recording/<int:key>", methods=["GET"])
    def recording(self, key: int) -> Any:
        """The audio, whole or in parts."""
        row, viewer = _find(key), current_viewer()
        store: FileStore = current_app.extensions["crm_files"]
        try:
            content = store.open(row.digest or "")
        except FileNotFoundError as missing:
            raise NotFound(_("This recording isn't here yet, or no longer exists.")) from missing
        with ExitStack() as on_failure:
            on_failure.callback(content.close)
            _note_hearing(row, viewer)
            answer = _answer(content, row)
            on_failure.pop_all()  # the response closes it
        return answer

    @page_route("/recording/<int:key>/again", methods=["POST"])
    def recording_again(self, key: int) -> Any:
        """Retry fetching a recording that failed."""
        recordings.fetch_again(db.session(), _find(key), current_viewer().stamp)
        db.session.commit()
        flash(_("The recording is being fetched again."), "success")
        return redirect(previous_page())


def _find(key: int) -> CallRecording:
    """The recording, if the viewer may hear it. Raises NotFound."""
    row: CallRecording | None = access.get_visible(db.session(), CallRecording, key)
    if row is None:
        raise NotFound(_("This recording doesn't exist, or you don't have access to it."))
    return row


def _note_hearing(row: CallRecording, viewer: Viewer) -> None:
    with request_transaction() as session:
        if request.range and not _begins(request.range) and _was_noted(session, row, viewer):
            return
        recordings.write_audit(session, row, viewer.stamp, request.remote_addr)


def _begins(byte_range: Any) -> bool:
    """Whether a range begins at the first byte."""
    return any(begin == 0 for begin, _end in byte_range.ranges)


def _was_noted(session: Any, row: CallRecording, viewer: Viewer) -> bool:
    """Whether the newest audit entry of the viewer is a recent playback of this recording."""
    mine = select(AuditEntry).where(AuditEntry.user_id == viewer.person.id).order_by(AuditEntry.id.desc()).limit(1)
    last = session.scalars(mine).first()
    is_same = last is not None and (last.event, last.about) == ("recording", f"recording {row.id}")
    return is_same and (viewer.now - last.at).total_seconds() < ONE_HEARING_SECONDS


def _answer(content: BinaryIO, row: CallRecording) -> Response:
    """The file for a player on our own pages: never stored by a browser or proxy, and never anything but audio."""
    response = Response(FileWrapper(content, 65_536), direct_passthrough=True)
    response.mimetype = row.mime_type if row.mime_type in KINDS else "application/octet-stream"
    response.content_length = row.size or 0
    response.headers["Cache-Control"] = "private, no-store"
    response.headers["Content-Disposition"] = "inline; filename=recording"
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response.call_on_close(content.close)
    response.make_conditional(request.environ, accept_ranges=True, complete_length=row.size)
    return response


def entry_keys(listed: str | None, viewer: Viewer) -> dict[str, Any]:
    """The keys of a call's timeline entry for its recordings, from a value of `recordings.listed`."""
    if not listed or not viewer.person.may("Call Logs", "recordings"):
        return {}
    states = recordings.parse_list(listed)
    waits = any(state in ("queued", "sending") for _key, state in states)
    return {
        "audio": [f"/calls/recording/{key}" for key, state in states if state == "sent"],
        "audio_note": _("The recording is on its way.") if waits else "",
        "audio_failed": [f"/calls/recording/{key}/again" for key, state in states if state == "failed"],
    }
