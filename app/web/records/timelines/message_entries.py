"""Messages on a timeline: the whole text, its files, and their current state."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import select

from app.access.compiled_statements import listed
from app.domain.messaging.messages import DEAD
from app.extensions import db
from app.models import Message, MessageFile
from app.web.core.fields.date_fields import moment_cell
from app.web.core.fields.reference_fields import person_card
from app.web.core.localization.languages import translate_text
from app.web.core.queries.prepared_queries import PreparedQuery
from app.web.core.viewer import Viewer
from app.web.records import conversation_list, message_files, message_words

#: Characters of a text that are shown at once, and after a click; the conversation has all of it.
MAX_TEXT, MAX_REST = 1200, 20_000
#: Characters of a quoted message.
MAX_QUOTE = 120
_COLUMNS = (
    *(Message.id, Message.channel, Message.direction, Message.subject, Message.body, Message.state, Message.reason),
    *(Message.conversation_id, Message.media, Message.native, Message.reactions, Message.reply_to_id),
    *(Message.created_by_id, Message.created_on, Message.happened_on),
    *(Message.lead_id, Message.ticket_id, Message.customer_id),
)
#: The columns of a file and its message for `files_of`.
_FILE_COLUMNS = (
    *(MessageFile.id, MessageFile.place, MessageFile.state, MessageFile.error, MessageFile.size, MessageFile.preview),
    *(MessageFile.message_id, Message.media, Message.direction, Message.channel, Message.conversation_id),
    *(Message.created_by_id, Message.created_on, Message.happened_on),
)


def entries_of(keys: Iterable[Any], viewer: Viewer, parent: tuple[str, int] | None = None) -> dict[int, dict[str, Any]]:
    """Message id -> the keys that replace those of its timeline entry, for messages that the viewer sees.

    `parent`: the record that they belong to, see `PreparedQuery.by_id`.
    """
    wanted = sorted({key for key in keys if isinstance(key, int)})
    if not wanted:
        return {}
    rows = _messages().by_id(db.session(), Message, wanted, parent)
    return dict(zip((row.id for row in rows), _lines(rows, viewer), strict=True))


def newest_messages(rules: list[Any], order: Any, limit: int) -> list[Any]:
    """Messages that match these conditions and that the viewer sees, for `entries`; one statement."""
    return list(db.session.execute(select(*_COLUMNS).where(*rules).order_by(order).limit(limit)))


@lru_cache
def _messages() -> PreparedQuery:
    return PreparedQuery.of(select(*_COLUMNS), Message)


@lru_cache
def _texts() -> PreparedQuery:
    return PreparedQuery.of(select(Message.id, Message.body), Message)


def entries(rows: list[Any], viewer: Viewer) -> list[dict[str, Any]]:
    """The entries of messages, replacing their timeline entries."""
    made = []
    for row, line in zip(rows, _lines(rows, viewer), strict=True):
        card = viewer.lookups.person(row.created_by_id) if row.direction == "out" else None
        own = {"id": row.id, "kind": "message", "actor": person_card(card) if card else None}
        made.append(own | {"at": moment_cell(row.happened_on or row.created_on, viewer)} | line)
    return made


def _lines(rows: list[Any], viewer: Viewer) -> list[dict[str, Any]]:
    """An entry for each message; one more statement for quoted messages, and one for files."""
    quotes = _quotes({row.reply_to_id for row in rows} - {None})
    files = message_files.views_of(db.session(), rows)
    return [_line(row, quotes.get(row.reply_to_id), files.get(row.id, []), viewer) for row in rows]


def _quotes(keys: set[int]) -> dict[int, str]:
    """Id -> beginning of the text of quoted messages that the viewer sees."""
    if not keys:
        return {}
    rows = _texts().where(db.session(), [Message.id.in_(listed(sorted(keys)))])
    return {key: " ".join((body or "").split())[:MAX_QUOTE] for key, body in rows}


def _line(row: Any, quote: str | None, files: list[dict[str, Any]], viewer: Viewer) -> dict[str, Any]:
    text = message_files.text_beside(row).strip()
    shown, rest = _cut(text)
    reacted = " ".join((row.reactions or {}).values())
    sign = conversation_list.sign_of(row)
    is_bad = row.state in DEAD and row.direction == "out"
    return {
        "headline": _headline(row),
        "is_sentence": row.direction == "in",
        "icon": message_words.CHANNEL_ICONS.get(row.channel, "send"),
        "tone": sign["tone"] if sign and is_bad else "",
        "subject": row.subject,
        "body": "\n".join(part for part in (f"↩ {quote}" if quote else "", shown, reacted) if part),
        "rest": rest,
        "reason": translate_text(row.reason or "") if is_bad else None,
        "files": files,
        "open_url": f"/inbox/{row.conversation_id}#message-{row.id}" if row.conversation_id else None,
        "actions": [*actions(row, viewer), *_mail_actions(row, viewer)],
    }


def _cut(text: str) -> tuple[str, str]:
    """(text shown at once, the rest), cut between words if possible."""
    if len(text) <= MAX_TEXT + 200:  # no click for a line or two
        return text, ""
    at = max(text.rfind("\n", MAX_TEXT - 200, MAX_TEXT), text.rfind(" ", MAX_TEXT - 200, MAX_TEXT))
    place = at if at > 0 else MAX_TEXT
    rest = text[place:MAX_REST].lstrip("\n")
    return text[:place], rest + (" …" if len(text) > MAX_REST else "")


def actions(message: Any, viewer: Viewer) -> list[dict[str, Any]]:
    """Cancel a waiting outgoing message; resend one that failed; say what became of one that may be lost."""
    base = f"/inbox/message/{message.id}"
    if message.direction != "out" or not viewer.person.may("Messages", "write"):
        return []
    if message.state == "queued":
        return [{"url": f"{base}/cancel", "label": _("Cancel"), "icon": "x", "method": "post"}]
    if message.state not in DEAD:
        return []
    made: dict[str, Any] = {"url": f"{base}/again", "label": _("Send again"), "icon": "send", "method": "post"}
    if message.state != "unknown":
        return [made]
    return [
        {"url": f"{base}/arrived", "label": _("It arrived"), "icon": "check", "method": "post"},
        {"url": f"{base}/give_up", "label": _("It did not arrive"), "icon": "x", "method": "post"},
        made | {"confirm": _("It may have arrived. Send it a second time?")},
    ]


def _mail_actions(row: Any, viewer: Viewer) -> list[dict[str, Any]]:
    """Actions of an email: read it with its formatting, and reply from the record."""
    if row.channel != "email" or row.state == "noted":
        return []
    made = [{"url": f"/mail/{row.id}", "label": _("Open email"), "icon": "mail"}]
    if viewer.person.may("Messages", "create") and row.direction == "in":
        url = f"/mail/compose?message={row.id}&how=reply"
        made.append({"url": url, "label": _("Reply"), "icon": "arrow-back-up", "opens": True})
    return made


def _headline(row: Any) -> str:
    channel = message_words.channel_label(row.channel)
    if row.direction == "in" and (row.native or {}).get("automatic"):
        return _("%(channel)s received: an automatic reply", channel=channel)
    if row.direction == "in":
        return _("%(channel)s received", channel=channel)
    if row.state == "noted":
        return _("noted a sent message (%(channel)s)", channel=channel)
    by = channel.lower() if row.channel == "email" else channel
    return _("wrote by %(channel)s · %(state)s", channel=by, state=message_words.state_label(row.state))


# --- files


def newest_files(rules: list[Any], order: Any, limit: int) -> list[Any]:
    """Files of messages that match these conditions and that the viewer sees, for `files_of`; one statement."""
    query = select(*_FILE_COLUMNS).join(Message, Message.id == MessageFile.message_id).where(*rules)
    return list(db.session.execute(query.order_by(order, MessageFile.place).limit(limit)))


def files_of(rows: list[Any], viewer: Viewer) -> list[dict[str, Any]]:
    """The contents of the files tab for these rows, see `newest_files`."""
    return [_file(row, viewer) for row in rows if row.place < len(row.media or ())]


def _file(row: Any, viewer: Viewer) -> dict[str, Any]:
    shown = message_files.view(SimpleNamespace(id=row.message_id), row.place, row.media[row.place], row)
    card = viewer.lookups.person(row.created_by_id) if row.direction == "out" else None
    channel = message_words.channel_label(row.channel)
    return shown | {
        "id": row.id,
        "size": row.size,
        "who": card["full_name"] if card else _("Customer") if row.direction == "in" else _("The system"),
        "source": channel,
        "source_url": f"/inbox/{row.conversation_id}#message-{row.message_id}" if row.conversation_id else None,
        "at": moment_cell(row.happened_on or row.created_on, viewer),
    }
