"""The list of conversations beside the inbox: folders, rows, and the names of the peers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from flask_babel import gettext as _
from flask_babel import ngettext
from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from app import access
from app.domain.base import RuleBroken
from app.domain.messaging.conversations import ERASED_PEER
from app.domain.messaging.messages import CHANNELS
from app.lib import phone
from app.lib.digit_grouping import GroupedInt
from app.lib.ids import parse_id
from app.models import Conversation, Customer, Lead, Message, Ticket
from app.web.core.fields.contact_field_types import initials
from app.web.core.fields.date_fields import moment_cell
from app.web.core.fields.reference_fields import person_card
from app.web.core.viewer import Viewer
from app.web.records.message_words import CHANNEL_ICONS, SIGNS, channel_label, state_label

PAGE = 40
#: The highest count of a folder.
MAX_COUNTED = 100
#: Characters of the newest message that a row shows.
MAX_SNIPPET = 90


# --- folders


def _folders(viewer: Viewer) -> dict[str, tuple[str, ColumnElement[bool]]]:
    """Name -> (label, condition). Access rules apply in addition."""
    is_open = Conversation.state == "open"
    return {
        "mine": (_("Mine"), and_(is_open, Conversation.claimed_by_id == viewer.person.id)),
        "unassigned": (_("Unassigned"), and_(is_open, Conversation.claimed_by_id.is_(None))),
        "team": (_("Team"), and_(is_open, Conversation.claimed_by_id != viewer.person.id)),
        "closed": (_("Closed"), Conversation.state == "closed"),
    }


_EMPTY = {
    "mine": lambda: _("Nobody waits for an answer from you."),
    "unassigned": lambda: _("Every conversation has somebody who answers it."),
    "team": lambda: _("Your colleagues have no open conversations that you may see."),
    "closed": lambda: _("No conversation has been closed yet."),
}


def inbox(session: Session, args: Any, viewer: Viewer, here: Any = None) -> dict[str, Any]:
    """The context of inbox/_list.html. `here` is the conversation that is open."""
    folders = _folders(viewer)
    folder = args.get("folder") or (_folder_of(here, viewer) if here is not None else "mine")
    channel, before = args.get("channel") or "", args.get("before") or ""
    if folder not in folders:
        raise RuleBroken(_("There is no such folder. Choose Mine, Unassigned, Team or Closed."))
    if channel and channel not in CHANNELS:
        raise RuleBroken(_("There is no such channel. Choose WhatsApp, SMS or Email."))
    conditions = [folders[folder][1]] + ([Conversation.channel == channel] if channel else [])
    rows = _rows(session, conditions, before)
    chosen = {"folder": folder} | ({"channel": channel} if channel else {})
    url = f"/inbox/?{urlencode(chosen)}"
    counts = {
        name: _unread(session, rule) for name, (_label, rule) in folders.items() if name in ("mine", "unassigned")
    }
    return {
        "url": url,
        "list_url": f"/inbox/list?{urlencode(chosen | ({'here': here.id} if here is not None else {}))}",
        "folder": folder,
        "channel": channel,
        "channels": [(each, channel_label(each)) for each in CHANNELS],
        "folders": [
            {
                "label": label,
                "url": f"/inbox/?{urlencode(chosen | {'folder': name})}",
                "active": name == folder,
                "count": counts.get(name),
            }
            for name, (label, _rule) in folders.items()
        ],
        "rows": [
            _row(each, name, viewer)
            | {"url": f"/inbox/{each[0].id}?{urlencode(chosen)}", "active": here is not None and here.id == each[0].id}
            for each, name in _named(session, rows[:PAGE], viewer)
        ],
        "older_url": f"{url}&{urlencode({'before': _place(rows[PAGE - 1][0])})}" if len(rows) > PAGE else None,
        "empty": _EMPTY[folder](),
    }


def _folder_of(conversation: Any, viewer: Viewer) -> str:
    if conversation.state == "closed":
        return "closed"
    if conversation.claimed_by_id is None:
        return "unassigned"
    return "mine" if conversation.claimed_by_id == viewer.person.id else "team"


def _unread(session: Session, rule: Any) -> str | int | None:
    """How many of a folder's conversations have unread messages, up to MAX_COUNTED."""
    some = select(Conversation.id).where(rule, Conversation.unread > 0).limit(MAX_COUNTED).subquery()
    count = session.execute(select(func.count()).select_from(some)).scalar() or 0
    return f"{MAX_COUNTED - 1}+" if count == MAX_COUNTED else count


def own_unread(person: access.Person) -> Any:
    """SELECT of the person's own conversations with unread messages, for the badge of the sidebar."""
    mine = (Conversation.state == "open", Conversation.claimed_by_id == person.id)
    return select(Conversation.id).where(*mine, Conversation.unread > 0)


def _rows(session: Session, conditions: list[Any], before: str) -> list[Any]:
    """(conversation, its newest message) of a page and one more, newest first."""
    if before:
        at, key = _parse_place(before)
        later = Conversation.last_message_on < at
        conditions = [*conditions, or_(later, and_(Conversation.last_message_on == at, Conversation.id < key))]
    query = (
        select(Conversation, Message)
        .join(Message, Message.id == Conversation.last_message_id, isouter=True)
        .where(*conditions, Conversation.last_message_on.is_not(None))
        .order_by(Conversation.last_message_on.desc(), Conversation.id.desc())
    )
    return list(session.execute(query.limit(PAGE + 1)).all())


def _place(conversation: Any) -> str:
    return f"{conversation.last_message_on.isoformat()},{conversation.id}"


def _parse_place(text: str) -> tuple[datetime, int]:
    moment, _comma, key = text.rpartition(",")
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        at = None
    number = parse_id(key)
    if at is None or at.tzinfo is None or number is None:
        raise RuleBroken(_("This address is not complete. Please open the inbox again."))
    return at, number


# --- names


def _named(session: Session, rows: Iterable[Any], viewer: Viewer) -> list[tuple[Any, str]]:
    """Each row with the name of its peer."""
    rows = list(rows)
    names = names_of(session, [row[0] for row in rows], viewer)
    return [(row, names[row[0].id]) for row in rows]


def names_of(session: Session, conversations: list[Any], viewer: Viewer) -> dict[int, str]:
    """Conversation id -> name: the customer's or lead's, else the peer's own, else the number or address."""
    known: dict[tuple[str, int], str] = {}
    for model, column in ((Customer, "customer_id"), (Lead, "lead_id")):
        keys = {getattr(each, column) for each in conversations} - {None}
        if keys:
            query = select(model.id, model.first_name, model.last_name).where(model.id.in_(sorted(keys)))
            for key, first, last in session.execute(query):
                known[column, key] = " ".join(part for part in (first, last) if part)
    return {each.id: _name(each, known, viewer) for each in conversations}


def _name(conversation: Any, known: dict[tuple[str, int], str], viewer: Viewer) -> str:
    for column in ("customer_id", "lead_id"):
        if name := known.get((column, getattr(conversation, column) or 0)):
            return name
    return own_name(conversation, viewer) or shown_peer(conversation.channel, conversation.peer, viewer)


def own_name(conversation: Any, viewer: Viewer) -> str:
    """The name that the peer gives themselves; "" if it could reveal a masked number or address."""
    return shown_name(conversation.peer_name, viewer)


def shown_name(name: str | None, viewer: Viewer) -> str:
    """A self-chosen name; "" if it could reveal a masked number or address."""
    has_number = viewer.person.mask("mobile") != "full" and any(sign.isdigit() for sign in name or "")
    has_address = viewer.person.mask("email") != "full" and "@" in (name or "")
    return "" if has_number or has_address else name or ""


def shown_peer(channel: str, peer: str, viewer: Viewer) -> str:
    """The number or address as the viewer may see it; of an erased party, that it was erased."""
    if peer.startswith(ERASED_PEER):
        return _("Erased")
    if channel == "email":
        return str(viewer.person.mask_value("email", peer))
    shown = str(viewer.person.mask_value("mobile", peer))
    return phone.display(shown) if viewer.person.mask("mobile") == "full" else shown


def records_of(session: Session, conversation: Any) -> list[dict[str, Any]]:
    """Links to the lead, ticket and customer of a conversation that the viewer sees."""
    found = []
    for column, model, icon, base, title in (
        ("ticket_id", Ticket, "lifebuoy", "/tickets", _("Ticket")),
        ("lead_id", Lead, "target-arrow", "/leads", _("Lead")),
        ("customer_id", Customer, "user", "/customers", _("Customer")),
    ):
        key = getattr(conversation, column)
        number = session.execute(select(model.number).where(model.id == key)).scalar() if key else None
        if number:
            found.append({"url": f"{base}/show/{key}", "label": number, "title": f"{title} {number}", "icon": icon})
    return found


# --- rows


def _row(row: Any, name: str, viewer: Viewer) -> dict[str, Any]:
    conversation, message = row
    card = viewer.lookups.person(conversation.claimed_by_id)
    unread = conversation.unread
    return {
        "id": conversation.id,
        "name": name,
        "initials": initials(name) if any(sign.isalpha() for sign in name) else "#",
        "icon": CHANNEL_ICONS.get(conversation.channel, "message"),
        "channel_label": channel_label(conversation.channel),
        "at": moment_cell(conversation.last_message_on, viewer),
        "snippet": _snippet(message),
        "sign": sign_of(message),
        "unread": unread,
        "unread_title": ngettext("%(num)s unread message", "%(num)s unread messages", GroupedInt(unread)),
        "claimed": person_card(card) if card else None,
    }


def _snippet(message: Any) -> str:
    if message is None:
        return _("You can't see the newest message.")
    text = " ".join((message.body or "").split())[:MAX_SNIPPET]
    return text or (_("File") if message.media else "–")


def sign_of(message: Any) -> dict[str, str] | None:
    """Icon, tone and label of an outgoing message's state."""
    if message is None or message.direction != "out":
        return None
    icon, tone = SIGNS.get(message.state, ("circle", "gray"))
    return {"icon": icon, "tone": tone, "label": state_label(message.state)}
