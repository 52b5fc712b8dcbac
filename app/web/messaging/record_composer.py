"""Writing to the person of a record: the recipient, sending, and the form on a record's page."""

from __future__ import annotations

from typing import Any

from flask import Response, flash, redirect, render_template, request
from flask_babel import gettext as _
from sqlalchemy import false, or_
from sqlalchemy.exc import IntegrityError

from app import access
from app.domain.base import RuleBroken
from app.domain.messaging import conversations, message_sending, messages
from app.domain.messaging.message_sending import OutgoingRequest
from app.extensions import db
from app.lib.ids import parse_id
from app.models import CallLog, Conversation
from app.web.core.fab_access import REFUSABLE, current_viewer, refusal
from app.web.core.fields.base import clean_text
from app.web.core.urls import record_references
from app.web.core.urls.local_links import local_path
from app.web.core.viewer import Viewer
from app.web.messaging import conversation_page, reply_form, ticket_status_with_reply
from app.web.pages.routes import page_route
from app.web.records import message_words
from app.web.records.attachments import message_uploads
from app.web.records.messages import peer_of_record, seen_by

#: Kind of record in a URL -> model.
RECORDS: dict[str, Any] = {**record_references.RECORDS, "call": CallLog}
PAGES = {**record_references.PAGES, "call": "/calls/show/"}


class WriteRoutes:
    """/inbox/write/<kind of record>/<id>?channel="""

    @page_route("/write/<kind>/<pk>")
    def write(self, kind: str, pk: str) -> Any:
        """The form to write to the person of a record, for its page; without scripts a page of its own."""
        row, channel = record(kind, pk), _channel()
        if not request.headers.get("HX-Request"):
            return redirect(f"/inbox/to/{kind}/{row.id}?channel={channel}")
        return _form(kind, row, channel, {})

    @page_route("/write/<kind>/<pk>", methods=["POST"])
    def write_now(self, kind: str, pk: str) -> Any:
        """Send it, and return to the record's page; on an error the form keeps the input."""
        row, viewer, session = record(kind, pk), current_viewer(), db.session()
        channel = _channel()
        peer = peer_of(row, channel)
        found = conversation_with(kind, row, channel, viewer)
        files = message_uploads.posted_files(viewer, channel, _ability(found, channel))
        try:
            message = send(_target(kind, row, (channel, peer), found), files, viewer)
            if kind == "ticket" and (status_typed := request.form.get("status")):
                ticket_status_with_reply.set_status(row.id, status_typed, message.body or "", viewer)
            if found is not None and found.claimed_by_id is None and viewer.person.may("Messages", "write"):
                conversations.claim(session, found, viewer.stamp)
            session.commit()
        except REFUSABLE as broken:
            session.rollback()
            if not was_sent(broken):
                status, sentence, _errors = refusal(broken)
                more = {"typed": request.form, "files": files.kept, "error": sentence}
                return _form(kind, record(kind, pk), channel, more), status
        label = message_words.channel_label(channel)
        flash(_("The message is on its way by %(channel)s.", channel=label), "success")
        target = local_path(request.form.get("back")) or f"{PAGES[kind]}{row.id}"
        if request.headers.get("HX-Request"):
            return Response(status=204, headers={"HX-Redirect": target})
        return redirect(target)


VERBS = {"write": "create", "write_now": "create"}


def _channel() -> str:
    """The channel in the URL. Emails have a form of their own."""
    channel = request.args.get("channel") or "whatsapp"
    if channel not in messages.CHANNELS or channel == "email":
        raise RuleBroken(_("There is no such channel. Choose WhatsApp, SMS or Email."), "channel")
    return channel


def _ability(found: Any, channel: str) -> Any:
    if found is None:
        return reply_form.ability_of_channel(db.session(), channel)
    return reply_form.ability_of_account(db.session(), found.account_id, channel)


def _target(kind: str, row: Any, to: tuple[str, str], found: Any) -> dict[str, Any]:
    """Channel, peer, account and records of an OutgoingRequest; `found`: the conversation to continue."""
    made: dict[str, Any] = {"channel": to[0], "peer": to[1], "records": records_of(kind, row)}
    return made if found is None else made | {"account_id": found.account_id}


def _form(kind: str, row: Any, channel: str, more: dict[str, Any]) -> str:
    """The form on the record's page."""
    session, viewer = db.session(), current_viewer()
    found = conversation_with(kind, row, channel, viewer)
    if found is None:
        made = conversation_page.empty_thread(kind, row, channel, viewer, **more)["composer"]
        peer = ""
    else:
        made = reply_form.form_of(session, found, viewer, {"typed": {}} | more)
        peer = f"/inbox/{found.id}"
    back = local_path(request.values.get("back")) or f"{PAGES[kind]}{row.id}"
    hidden = [each for each in made["hidden"] if each[0] == "key"]
    url = f"/inbox/write/{kind}/{row.id}?channel={channel}"
    if kind == "ticket":
        made["statuses"] = ticket_status_with_reply.offered(session, row.id, viewer)
        made["status"] = (more.get("typed") or {}).get("status", "")
    made |= {"url": url, "swaps": True, "place": f"-{channel}", "hidden": [*hidden, ("back", back)], "thread_url": peer}
    return render_template("inbox/_message_form.html", thread={"composer": made})


# --- recipient, and sending


def send(target: dict[str, Any], files: message_uploads.UploadedFiles, viewer: Viewer) -> Any:
    """Put the form's message into the outbox. `target`: channel, peer, account, records of an OutgoingRequest.

    Raises RuleBroken; IntegrityError for a form that was sent before.
    """
    files.refuse_problem()
    message = reply_form.message_from(db.session(), request.form, message_sending.MAX_LENGTH[target["channel"]])
    message |= {
        "media": tuple(each.as_media() for each in files.kept),
        "reply_to_id": parse_id(request.form.get("reply_to")),
    }
    key = clean_text(request.form.get("key"), "key", 64)
    cause = f"form:{viewer.person.id}:{key}" if key else None
    with access.as_system(db.session()):  # an opt-out counts whoever may see the customer
        outgoing = OutgoingRequest(
            **target, **message, purpose="service", cause=cause, sees=seen_by(db.session(), viewer)
        )
        return message_sending.send_all(db.session(), outgoing, viewer.stamp)


def was_sent(broken: BaseException) -> bool:
    """Whether the same form was sent before: a double click, or a reloaded page."""
    return isinstance(broken, IntegrityError) and "cause" in str(broken.orig)


def record(kind: str, pk: str) -> Any:
    """The record of this kind that the viewer sees. Raises NotFound."""
    return record_references.named_record(kind, pk, RECORDS)


def of_record(kind: str, row: Any) -> Any:
    """The condition for conversations of a record or its customer."""
    held = [(getattr(Conversation, name), key) for name, key in records_of(kind, row).items() if key is not None]
    return or_(*(column == key for column, key in held)) if held else false()


def records_of(kind: str, row: Any) -> dict[str, int | None]:
    """lead_id, ticket_id and customer_id of messages to the person of a record."""
    if kind == "call":
        return {name: getattr(row, name) for name in conversations.RECORDS}
    return record_references.links_of(kind, row)


def peer_of(row: Any, channel: str) -> str:
    """The number or address of a record's person, even if the viewer sees it masked. Raises RuleBroken."""
    if channel not in messages.CHANNELS:
        raise RuleBroken(_("There is no such channel. Choose WhatsApp, SMS or Email."), "channel")
    is_call = isinstance(row, CallLog)
    peer = (row.other_e164 if channel != "email" else "") if is_call else peer_of_record(db.session(), channel, row)
    if not peer:
        what = _("email address") if channel == "email" else _("mobile number")
        raise RuleBroken(_("This record has no %(what)s to write to. Please add one first.", what=what), "peer")
    return peer


def conversation_with(kind: str, row: Any, channel: str, viewer: Viewer) -> Any:
    """The viewer's latest conversation with the person of a record; None before the first message."""
    mine = [Conversation.channel == channel, Conversation.peer == peer_of(row, channel)]
    if viewer.person.mask("email" if channel == "email" else "mobile") != "full":
        mine.append(of_record(kind, row))  # others would confirm a guessed number
    return db.session.query(Conversation).filter(*mine).order_by(Conversation.last_message_on.desc()).first()
