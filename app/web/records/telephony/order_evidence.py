"""The evidence of an order by telephone: its recordings, and files and messages of its record that are linked to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import flash, redirect, render_template, request
from flask_babel import gettext as _
from sqlalchemy import or_, select

from app import access
from app.domain.base import NotFound, RuleBroken
from app.domain.telephony import order_evidence, recordings
from app.extensions import db
from app.lib.ids import parse_id
from app.models import Attachment, CallLog, CallRecording, Message, OrderEvidence
from app.web.core.fab_access import NOT_REFUSED, REFUSABLE, Refusal, current_viewer, refusal
from app.web.core.fields.date_fields import moment_cell
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.viewer import Viewer
from app.web.pages.routes import page_route
from app.web.records.message_words import CHANNEL_WORDS

#: Who may link evidence is decided by `call_to_prove`.
EVIDENCE_VERBS = dict.fromkeys(("evidence", "add_evidence", "remove_evidence"), "read")
#: Files and messages that are offered, the newest of each.
MAX_OFFERED = 50
_LINKS = ("lead_id", "ticket_id", "customer_id")
#: Characters of a message that its name shows.
_SHOWN = 60


class OrderEvidenceRoutes:
    """/calls/evidence/<id>"""

    row_for: Any

    @page_route("/evidence/<pk>", methods=["GET"])
    def evidence(self, pk: str) -> Any:
        """What proves the order, and the form that links more."""
        return _page(self.row_for(pk, "read"))

    @page_route("/evidence/<pk>", methods=["POST"])
    def add_evidence(self, pk: str) -> Any:
        """Link a file or message of the call's record, or show what is wrong with the choice."""
        viewer = current_viewer()
        call = call_to_prove(self.row_for, pk, viewer)
        try:
            order_evidence.link(db.session(), call, _chosen(request.form.get("proof", "")), viewer.stamp)
            db.session.commit()
        except REFUSABLE as broken:
            db.session.rollback()
            refused = refusal(broken)
            return _page(self.row_for(pk, "read"), refused), refused.status
        flash(_("Linked as evidence."), "success")
        return redirect(f"/calls/evidence/{call.id}")

    @page_route("/evidence/<pk>/remove/<int:key>", methods=["POST"])
    def remove_evidence(self, pk: str, key: int) -> Any:
        """Remove the link; the file or message itself stays."""
        viewer = current_viewer()
        call = call_to_prove(self.row_for, pk, viewer)
        order_evidence.unlink(db.session(), linked(call, key), viewer.stamp)
        db.session.commit()
        flash(_("The link is removed; the file or message stays."), "success")
        return redirect(f"/calls/evidence/{call.id}")


def may_prove_all(viewer: Viewer) -> bool:
    """Whether the person may listen to all recordings: they are told of orders without evidence, and may link some."""
    return viewer.person.level("Call Logs", "recordings") == "all"


def call_to_prove(row_for: Callable[[Any, str], CallLog], pk: Any, viewer: Viewer) -> CallLog:
    """The call whose evidence the person may change: one that they may edit, or any that they see if they listen to
    all recordings. Raises NotFound, Denied.
    """
    return row_for(pk, "read" if may_prove_all(viewer) else "write")


def linked(call: CallLog, key: int) -> OrderEvidence:
    """The link of this id, of this call. Raises NotFound."""
    row: OrderEvidence | None = access.get_visible(db.session(), OrderEvidence, key)
    if row is None or row.call_id != call.id:
        raise NotFound("This record doesn't exist.")
    return row


def _page(call: CallLog, refused: Refusal = NOT_REFUSED) -> str:
    viewer, session = current_viewer(), db.session()
    query = select(CallRecording).where(CallRecording.call_id == call.id).order_by(CallRecording.id)
    may_write = viewer.person.may("Call Logs", "write") or may_prove_all(viewer)
    options = _offered(call, viewer) if may_write and call.is_order else []
    return render_template(
        "calls/evidence.html",
        call={"url": f"/calls/show/{call.id}", "is_order": call.is_order, "at": moment_cell(call.started_on, viewer)},
        action=f"/calls/evidence/{call.id}",
        recordings=[_recording_row(row, viewer) for row in session.scalars(query)],
        evidence=[_row(each, viewer) for each in order_evidence.of_call(session, call.id)],
        field=_field(options, refused) if options else None,
        error="" if refused.errors else refused.sentence,
        may_write=may_write,
    )


def _recording_row(row: CallRecording, viewer: Viewer) -> dict[str, Any]:
    return {
        "url": f"/calls/recording/{row.id}" if row.state == "sent" else None,
        "at": moment_cell(row.created_on, viewer),
        "waits": row.state in recordings.STATES[:2],
    }


def _row(row: OrderEvidence, viewer: Viewer) -> dict[str, Any]:
    """{name, url, at, remove}; without a name for people who may not see the file or message itself."""
    model, key = (Attachment, row.attachment_id) if row.attachment_id is not None else (Message, row.message_id)
    proof = access.get_visible(db.session(), model, key or 0)
    name = _name(proof, viewer) if proof is not None else _("A file or message that you can't see")
    url = None
    if isinstance(proof, Attachment):
        url = f"/files/{proof.id}"
    elif isinstance(proof, Message):
        url = f"/messages/show/{proof.id}"
    return {"id": row.id, "name": name, "url": url, "at": moment_cell(row.created_on, viewer)}


def _name(proof: Any, viewer: Viewer) -> str:
    day = format_local_date(proof.created_on.astimezone(viewer.zone), "%-d %b %Y")
    if isinstance(proof, Attachment):
        return f"{proof.name} · {day}"
    text = " ".join((proof.subject or proof.body or "").split())[:_SHOWN]
    return f"{CHANNEL_WORDS.get(proof.channel, proof.channel)} · {day} · {text}"


def _offered(call: CallLog, viewer: Viewer) -> list[tuple[str, str]]:
    """(file:12 or message:7, name) of the newest files and messages of the call's record that the viewer sees."""
    found: list[tuple[str, str]] = []
    for kind, model in _KINDS.items():
        ours = [getattr(model, name) == getattr(call, name) for name in _LINKS if getattr(call, name) is not None]
        if not ours:
            continue
        query = select(model).where(or_(*ours)).order_by(model.id.desc()).limit(MAX_OFFERED)
        if model is Attachment:
            query = query.where(Attachment.deleted_on.is_(None))
        found += [(f"{kind}:{row.id}", _name(row, viewer)) for row in db.session.scalars(query).unique()]
    return found


_KINDS: dict[str, Any] = {"file": Attachment, "message": Message}


def _chosen(text: str) -> Any:
    """The file or message of a choice, such as file:12. Raises RuleBroken if the viewer doesn't see it."""
    kind, _colon, key = text.partition(":")
    return chosen(kind, parse_id(key))


def chosen(kind: str, key: int | None) -> Any:
    """The file or message of this id. Raises RuleBroken if the viewer doesn't see it."""
    model = _KINDS.get(kind)
    proof = access.get_visible(db.session(), model, key) if model and key is not None else None
    if proof is None or getattr(proof, "deleted_on", None) is not None:
        raise RuleBroken(_("Please choose a file or message from the list."), "proof")
    return proof


def _field(options: list[tuple[str, str]], refused: Refusal) -> dict[str, Any]:
    return {
        "name": "proof",
        "label": _("File or message"),
        "kind": "choice",
        "required": True,
        "options": options,
        "value": request.form.get("proof", ""),
        "errors": refused.errors.get("proof", []),
    }
