"""Messages on a timeline: what was said, and what has become of it since."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select

from app.extensions import db
from app.models import Message
from app.web.core.fields import Viewer
from app.web.records import conversation_list, message_files

#: Characters of a text that a timeline shows; the conversation has all of it.
MAX_TEXT = 1200
#: Of a message that is answered, so many.
MAX_QUOTE = 120
_COLUMNS = (Message.id, Message.channel, Message.direction, Message.subject, Message.body, Message.state)


def of(keys: Iterable[Any], viewer: Viewer) -> dict[int, dict[str, Any]]:
    """Message id -> what replaces the keys of its timeline entry; those that the viewer sees. One statement."""
    wanted = sorted({key for key in keys if isinstance(key, int)})
    if not wanted:
        return {}
    more = (Message.reason, Message.conversation_id, Message.media, Message.native)
    query = select(*_COLUMNS, *more).where(Message.id.in_(wanted))
    rows = list(db.session.execute(query.add_columns(Message.reactions, Message.reply_to_id)))
    quotes = _quotes({row.reply_to_id for row in rows} - {None})
    return {row.id: _line(row, quotes.get(row.reply_to_id), viewer) for row in rows}


def _quotes(keys: set[int]) -> dict[int, str]:
    """Id -> beginning of the text of messages that others answer, of those that the viewer sees."""
    if not keys:
        return {}
    query = select(Message.id, Message.body).where(Message.id.in_(sorted(keys)))
    return {key: " ".join((body or "").split())[:MAX_QUOTE] for key, body in db.session.execute(query)}


def _line(row: Any, quote: str | None, viewer: Viewer) -> dict[str, Any]:
    text = message_files.text_beside(row).strip()
    shown = text[:MAX_TEXT] + ("…" if len(text) > MAX_TEXT else "")
    reacted = " ".join((row.reactions or {}).values())
    body = "\n".join(part for part in (f"↩ {quote}" if quote else "", row.subject, shown, reacted) if part)
    sign = conversation_list.sign_of(row)
    is_bad = row.state in ("failed", "unknown") and row.direction == "out"
    return {
        "headline": _headline(row),
        "is_sentence": row.direction == "in",
        "icon": conversation_list.ICONS.get(row.channel, "send"),
        "tone": sign["tone"] if sign and is_bad else "",
        "body": f"{body}\n\n{row.reason}" if is_bad and row.reason else body,
        "files": _files(row),
        "open_url": f"/inbox/{row.conversation_id}#message-{row.id}" if row.conversation_id else None,
        "actions": _actions(row, viewer),
    }


def _files(row: Any) -> list[dict[str, str]]:
    """Links to those that are here; one that is not is named, and its conversation says why."""
    shown = [message_files.view(row, place, each, None) for place, each in enumerate(row.media or ())]
    talk = f"/inbox/{row.conversation_id}#message-{row.id}"
    return [{"label": each["label"], "url": each["url"] or talk} for each in shown]


def _actions(row: Any, viewer: Viewer) -> list[dict[str, Any]]:
    """An email can be read as it was formatted, and answered from the record."""
    if row.channel != "email" or row.state == "noted":
        return []
    made = [{"url": f"/mail/{row.id}", "label": _("Open email"), "icon": "mail"}]
    if viewer.person.may("Messages", "create") and row.direction == "in":
        url = f"/mail/compose?message={row.id}&how=reply"
        made.append({"url": url, "label": _("Reply"), "icon": "arrow-back-up", "opens": True})
    return made


def _headline(row: Any) -> str:
    channel = conversation_list.channel_label(row.channel)
    if row.direction == "in" and (row.native or {}).get("automatic"):
        return _("%(channel)s received: an automatic answer", channel=channel)
    if row.direction == "in":
        return _("%(channel)s received", channel=channel)
    if row.state == "noted":
        return _("noted a sent message (%(channel)s)", channel=channel)
    return _("wrote by %(channel)s · %(state)s", channel=channel, state=conversation_list.state_label(row.state))
