"""WhatsApp through the predecessor's API: sending, support pages, a record's messages, and the status."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select

from app import access
from app.domain import support_pages
from app.domain.base import NotFound, RuleBroken
from app.domain.messaging import (
    channel_accounts,
    conversations,
    message_files,
    message_reactions,
    message_sending,
    messages,
)
from app.domain.messaging.message_sending import OutgoingRequest
from app.extensions import db
from app.models import Message, MessageTemplate, SupportPage
from app.web.compat import client, files
from app.web.compat.arguments import Arguments
from app.web.compat.doctypes import CUSTOMER, LEAD, TICKET
from app.web.compat.notes import write_note
from app.web.compat.timestamps import local_timestamp
from app.web.core.fab_access import current_viewer
from app.web.core.fields import contact_guesses
from app.web.records.messages import peer_of, seen_by

#: Messages of a record in one response.
MOST = 100
_STATES = {"unknown": "Pending", "queued": "Pending", "sending": "Pending", "noted": "Sent", "canceled": "Failed"}


def is_enabled(_arguments: Arguments) -> bool:
    """Whether an account for WhatsApp is connected."""
    with access.as_system(db.session()):
        return bool(channel_accounts.active(db.session(), "whatsapp"))


def status(arguments: Arguments) -> dict[str, Any]:
    """The status, in the format of the predecessor's local service; there is no QR code to scan any more."""
    state = "connected" if is_enabled(arguments) else "disconnected"
    return {"status": state, "service": "crm", "timestamp": _time(current_viewer().now), "success": True}


def list_messages(arguments: Arguments) -> list[dict[str, Any]]:
    """reference_doctype, reference_name -> the record's WhatsApp messages, oldest first, the newest 100."""
    row, column = _record(arguments)
    viewer = current_viewer()
    viewer.person.refuse_unless("Messages", "read")
    mine = (getattr(Message, column) == row.id, Message.channel == "whatsapp")
    rows = db.session.scalars(select(Message).where(*mine).order_by(Message.id.desc()).limit(MOST)).all()
    return [_document(each, arguments) for each in reversed(rows)]


def _document(row: Message, arguments: Arguments) -> dict[str, Any]:
    number = current_viewer().person.mask_value("mobile", row.peer)
    return {
        "name": str(row.id),
        "type": "Outgoing" if row.direction == "out" else "Incoming",
        "to": number if row.direction == "out" else None,
        "from": number if row.direction == "in" else None,
        "content_type": _content_type(row),
        "attach": f"/inbox/message/{row.id}/file/0" if row.media and message_files.digest_of(row.media[0]) else None,
        "reaction": next(iter((row.reactions or {}).values()), None),
        "message_type": "Template" if row.template_id else "Manual",
        "message": row.body,
        "message_id": row.provider_id,
        "status": _STATES.get(row.state, row.state.capitalize()),
        "is_reply": row.reply_to_id is not None,
        "reply_to_message_id": str(row.reply_to_id) if row.reply_to_id else None,
        "creation": _time(row.happened_on or row.created_on),
        "reference_doctype": arguments.text("reference_doctype", ""),
        "reference_name": arguments.text("reference_name", ""),
    }


def _content_type(row: Message) -> str:
    """text, image, video, audio or document."""
    if not row.media:
        return "text"
    kind = str(row.media[0].get("mime_type") or "").partition("/")[0]
    return kind if kind in ("image", "video", "audio") else "document"


def create_message(arguments: Arguments) -> str:
    """reference_doctype, reference_name, message, to, reply_to -> the name of the message, which is sent."""
    row, column = _record(arguments)
    reply_to = arguments.integer("reply_to", 0, 0, 2**31 - 1) or None
    attached = arguments.text("attach", "")
    media = (files.uploaded(attached).as_media(),) if attached else ()
    body = arguments.text("message", "") if media else arguments.text("message")
    return str(_send(row, column, arguments, body=body, media=media, reply_to_id=reply_to).id)


def react(arguments: Arguments) -> str:
    """emoji, reply_to_name -> the name of the message that we react to; "" withdraws the reaction."""
    viewer, key = current_viewer(), arguments.integer("reply_to_name", 0, 0, 2**31 - 1)
    viewer.person.refuse_unless("Messages", "create")
    row = access.get_visible(db.session(), Message, key) if key else None
    if row is None:
        raise NotFound(_("This message doesn't exist, or you don't have access to it."))
    with access.as_system(db.session()) as session:
        message_reactions.react(session, row, arguments.text("emoji", "").strip(), viewer.stamp)
    return str(row.id)


def send_template(arguments: Arguments) -> str:
    """reference_doctype, reference_name, template, to -> the name of the message; `variables` by name."""
    row, column = _record(arguments)
    name = arguments.text("template")
    ways = MessageTemplate.label == name, MessageTemplate.name == name
    found = next((hit for way in ways if (hit := db.session.scalars(select(MessageTemplate).where(way)).first())), None)
    if found is None:
        raise RuleBroken(_("There is no template “%(name)s”.", name=name[:60]), "template")
    variables = {str(key): str(value) for key, value in arguments.json_object("variables").items()}
    return str(_send(row, column, arguments, template=found, variables=variables).id)


def send_local_message(arguments: Arguments) -> dict[str, Any]:
    """phone, message -> {success, messageId, timestamp}, in the format of the predecessor's local service."""
    message = _send(None, "", arguments, body=arguments.text("message"))
    return {"success": True, "messageId": str(message.id), "timestamp": _time(current_viewer().now)}


def send_support_pages(arguments: Arguments) -> dict[str, Any]:
    """customer_mobile, support_pages, doctype and docname (or ticket_name, lead_name) -> {success, message_id}."""
    pages = _pages(arguments)
    row, column = _record(arguments) if _names_record(arguments) else (None, "")
    message = _send(row, column, arguments, body=support_pages.text_of(pages), purpose="service")
    text = str(_("%(count)s support pages queued.", count=len(pages)))
    return {"success": True, "message": text, "message_id": str(message.id)}


def _pages(arguments: Arguments) -> list[SupportPage]:
    names = arguments.record_names("support_pages", "support_page")
    rows = db.session.scalars(select(SupportPage).where(SupportPage.is_active.is_(True))).all()
    known = {key: each for each in rows for key in (str(each.id), each.label)}
    if missing := [name for name in names if name not in known]:
        raise RuleBroken(_("There is no support page “%(name)s”.", name=missing[0][:60]), "support_pages")
    return [known[name] for name in names]


def log_support_activity(arguments: Arguments) -> dict[str, Any]:
    """doctype, docname, support_pages, status, error -> {success}; adds a note, as the predecessor did."""
    row, _column = _record(arguments)
    error, count = arguments.text("error", ""), len(arguments.record_names("support_pages"))
    text = _("📱 WhatsApp Support: Sent %(count)s support page(s)", count=count)
    if error or arguments.text("status", "success").lower() in ("failed", "error"):
        text = _("📱 WhatsApp Support: Failed to send: %(error)s", error=error[:200])
    write_note(row, str(text), current_viewer())
    return {"success": True}


# --- shared


def _time(moment: datetime) -> str | None:
    return local_timestamp(moment, current_viewer())


def _names_record(arguments: Arguments) -> bool:
    names = ("reference_name", "reference_docname", "docname", "ticket_name", "ticket_id", "lead_name")
    return any(name in arguments for name in names)


def _record(arguments: Arguments) -> tuple[Any, str]:
    """The lead, ticket or customer named in the request, and its column. Raises as `client.get_record` does."""
    doctype = next((LEAD for name in ("lead_name",) if name in arguments), TICKET)
    if "reference_doctype" in arguments or "doctype" in arguments:
        named = arguments.first_text("reference_doctype", "doctype")
        doctype = client.record_doctype(named, LEAD.name, TICKET.name, CUSTOMER.name)
    names = ("reference_name", "reference_docname", "docname", "ticket_name", "ticket_id", "lead_name")
    row = client.get_record(doctype, arguments.first_text(*names), "read")
    return row, {LEAD.name: "lead_id", TICKET.name: "ticket_id"}.get(doctype.name, "customer_id")


def _send(row: Any, column: str, arguments: Arguments, **content: Any) -> Message:
    """Send by WhatsApp to the given number, else to the record's."""
    viewer = current_viewer()
    viewer.person.refuse_unless("Messages", "create")
    numbers = ("to", "phone", "customer_mobile", "mobile_no")
    given = next((arguments.text(name) for name in numbers if name in arguments), "")
    records = dict.fromkeys(conversations.RECORDS) | ({column: row.id} if row is not None else {})
    peer = given if messages.clean_peer("whatsapp", given) else ""
    if peer:
        contact_guesses.refuse("whatsapp", "to", viewer)
    with access.as_system(db.session()) as session:
        peer = peer or (peer_of(session, "whatsapp", records) if row is not None else given)
        outgoing = OutgoingRequest("whatsapp", peer, records=records, sees=seen_by(session, viewer), **content)
        return message_sending.send_all(session, outgoing, viewer.stamp)
