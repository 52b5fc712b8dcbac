"""Parts of the reply form besides the text: files, the quoted message, and limits of the account."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.channels.provider import Abilities
from app.domain.messaging import message_reactions
from app.domain.messaging.consents import OPT_OUTS
from app.lib.ids import parse_id
from app.models import Customer, Lead, Message, Ticket
from app.ops.storage.file_store import MAX_BYTES
from app.web.core.viewer import Viewer
from app.web.records import message_files
from app.web.records.attachments.message_uploads import MAX_FILES, Upload

#: Characters of a quoted message that are shown.
MAX_QUOTE = 120


def file_part(ability: Abilities, url: str, files: Iterable[Upload], viewer: Viewer) -> dict[str, Any] | None:
    """The context of the files part of inbox/_message_form.html; None if no files can be sent."""
    kept = [each.as_field(viewer) for each in files]
    if not ability.files and not kept:
        return None
    return {
        "kept": kept,
        "url": url,
        "accept": ",".join(sorted(ability.files)),
        "most": MAX_FILES,
        "most_bytes": MAX_BYTES,
        "too_large": _("“{}” is larger than %(most)s MB. Please make it smaller, or send a link to it.", most=25),
        "too_many": _("Please send at most %(most)s files at once.", most=MAX_FILES),
        "broken": _("“{}” could not be uploaded. Please check your connection and choose it again."),
    }


def reply_part(session: Session, conversation: Any, given: Any, ability: Abilities) -> dict[str, Any] | None:
    """The message being replied to, as the form quotes it; None if there is none, or it is of another conversation."""
    key = parse_id(given)
    if key is None or not ability.replies:
        return None
    query = select(Message).where(Message.id == key, Message.conversation_id == conversation.id)
    row = session.scalars(query).first()
    return None if row is None else {"id": row.id, "text": quote_of(row), "who": author_of(row)}


def quote_of(message: Any) -> str:
    """The beginning of a message on one line."""
    text = " ".join(message_files.text_beside(message).split())[:MAX_QUOTE]
    names = [str(each.get("name") or "") for each in message.media or ()]
    return text or ", ".join(each for each in names if each)[:MAX_QUOTE] or _("File")


def author_of(message: Any) -> str:
    """The author of a message, as named in a quotation."""
    return _("Customer") if message.direction == "in" else _("We")


def limits_sentence(ability: Abilities, channel: str) -> str:
    """A sentence about missing abilities of the account."""
    if channel != "whatsapp" or (ability.replies and ability.reactions):
        return ""
    if not ability.replies and not ability.reactions:
        return _("This account can't send reactions, or show the customer which message you answer.")
    return _("This account can't send reactions.")


def reactions_of(message: Any, url: str, viewer: Viewer) -> dict[str, Any]:
    """The emoji menu of a message."""
    mine = (message.reactions or {}).get(str(viewer.person.id))
    return {"url": url, "choices": [{"emoji": each, "mine": each == mine} for each in message_reactions.CHOICES]}


def opt_out_warning(session: Session, channel: str, of: Any) -> str | None:
    """A sentence if the customer of a record or conversation wants no messages on the channel, and is seen here."""
    links = [
        select(record.customer_id).where(record.id == getattr(of, name))
        for record, name in ((Lead, "lead_id"), (Ticket, "ticket_id"))
        if getattr(of, name, None) is not None
    ]
    known = of.id if isinstance(of, Customer) else getattr(of, "customer_id", None)
    if known is not None:
        links = [select(Customer.id).where(Customer.id == known)]
    flag = getattr(Customer, OPT_OUTS[channel])
    queries = [select(Customer.id).where(Customer.id.in_(link), flag.is_(True)).limit(1) for link in links]
    if not any(session.execute(query).first() for query in queries):
        return None
    return _("This customer wants no messages on this channel. Write only about their own matters.")
