"""One conversation in the inbox: the peer, the messages by day; its form is in `reply_form`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from flask_babel import format_date
from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.channels.provider import Abilities
from app.domain.base import NotFound, RuleBroken
from app.domain.messaging import conversations
from app.domain.messaging.messages import DEAD
from app.extensions import db
from app.lib.ids import parse_id
from app.models import CallLog, ChannelAccount, Conversation, Message
from app.web.core.fields.reference_fields import person_card
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.localization.languages import translate_text
from app.web.core.viewer import Viewer
from app.web.messaging import mail_composer, mail_display, reply_form
from app.web.messaging.reply_form_parts import author_of, opt_out_warning, quote_of, reactions_of
from app.web.records import conversation_list, dial_targets, message_files, message_words
from app.web.records.timelines import message_entries

#: Messages that a page shows at first; older ones are loaded on request.
PAGE = 60


def thread(session: Session, conversation: Any, viewer: Viewer, **more: Any) -> dict[str, Any]:
    """The context of inbox/_thread.html. `more`: typed, files and error of a refused form, reply_to, before (id)."""
    typed, before = more.get("typed") or {}, more.get("before")
    name = conversation_list.names_of(session, [conversation], viewer)[conversation.id]
    card = viewer.lookups.person(conversation.claimed_by_id)
    is_mine = conversation.claimed_by_id == viewer.person.id
    return {
        "id": conversation.id,
        "url": f"/inbox/{conversation.id}",
        "name": name,
        "icon": message_words.CHANNEL_ICONS.get(conversation.channel, "message"),
        "channel_label": message_words.channel_label(conversation.channel),
        "peer": conversation_list.shown_peer(conversation.channel, conversation.peer, viewer),
        "account": account_name(session, conversation.account_id),
        "records": conversation_list.records_of(session, conversation),
        "call_url": dial_targets.url_of("conversation", conversation.id, viewer)
        if conversation.channel != "email"
        else None,
        "claimed": person_card(card) if card else None,
        "actions": _actions(conversation, is_mine, viewer),
        "more": _more(conversation, is_mine, viewer),
        "hand": _hand_over_form(conversation, viewer) if more.get("is_handed") else None,
        "composer": reply_form.form_of(session, conversation, viewer, more | {"typed": typed}),
        "why_silent": _why_silent(viewer),
        "mail": mail_composer.of_conversation(session, conversation, viewer),
    } | messages_part(session, conversation, viewer, before)


def account_name(session: Session, account_id: int) -> str:
    """The name of an account; everybody who sees one of its conversations may know it."""
    with access.as_system(session):
        return session.execute(select(ChannelAccount.name).where(ChannelAccount.id == account_id)).scalar() or ""


# --- actions


def _may_write(viewer: Viewer) -> bool:
    return viewer.person.may("Messages", "write")


def _post(conversation: Any, verb: str, label: str, icon: str, **more: Any) -> dict[str, Any]:
    return {"url": f"/inbox/{conversation.id}/{verb}", "label": label, "icon": icon, "method": "post"} | more


def _actions(conversation: Any, is_mine: bool, viewer: Viewer) -> list[dict[str, Any]]:
    if not _may_write(viewer):
        return []
    if conversation.state == "closed":
        return [_post(conversation, "reopen", _("Reopen"), "repeat")]
    if conversation.claimed_by_id is None:
        return [_post(conversation, "claim", _("Take it"), "user-check", is_main=True)]
    return [_post(conversation, "close", _("Close"), "circle-check")] if is_mine else []


def _more(conversation: Any, is_mine: bool, viewer: Viewer) -> list[dict[str, Any]]:
    if not _may_write(viewer):
        return []
    made = []
    if conversation.state == "open":
        made.append({"url": f"/inbox/{conversation.id}?hand=1#hand", "label": _("Hand over"), "icon": "user-share"})
        if conversation.claimed_by_id is not None:
            made.append(_post(conversation, "release", _("Give back to all"), "users"))
        if not is_mine:
            made.append(_post(conversation, "close", _("Close"), "circle-check"))
    has_record = any(getattr(conversation, name) for name in conversations.RECORDS)
    if not has_record and viewer.person.may("Leads", "create"):
        made.append({"url": f"/inbox/{conversation.id}?make=lead#make", "label": _("New lead"), "icon": "target-arrow"})
    if not conversation.ticket_id and viewer.person.may("Tickets", "create"):
        made.append({"url": f"/inbox/{conversation.id}?make=ticket#make", "label": _("New ticket"), "icon": "lifebuoy"})
    return made


def _hand_over_form(conversation: Any, viewer: Viewer) -> dict[str, Any]:
    people = viewer.lookups.people
    offered = [(key, people[key]["full_name"]) for key in viewer.lookups.active if key != conversation.claimed_by_id]
    return {"url": f"/inbox/{conversation.id}/hand", "people": sorted(offered, key=lambda each: each[1].casefold())}


def _why_silent(viewer: Viewer) -> str:
    if viewer.person.may("Messages", "create"):
        return ""
    return _("Your role doesn't let you send messages. Ask your manager if you need it.")


# --- messages


def messages_part(session: Session, conversation: Any, viewer: Viewer, before: Any = None) -> dict[str, Any]:
    """The messages part of the context; the newest page, or the one before a message."""
    query = select(Message).where(Message.conversation_id == conversation.id)
    if before:
        if (place := parse_id(before)) is None:
            raise RuleBroken(_("This address is not complete. Please open the inbox again."))
        query = query.where(Message.id < place)
    rows = list(session.scalars(query.order_by(Message.id.desc()).limit(PAGE + 1)))
    shown = rows[:PAGE][::-1]
    page = _page_of(session, conversation, shown, viewer)
    base = f"/inbox/{conversation.id}"
    return {
        "days": _days([_bubble(each, page, viewer) for each in shown], viewer),
        "messages_url": f"{base}/messages",
        "older_url": f"{base}?before={shown[0].id}" if len(rows) > PAGE else None,
    }


@dataclass(frozen=True)
class _Page:
    """Data for the bubbles of a page besides their messages."""

    #: Id -> {id, text, who} of the messages that these reply to.
    replies: dict[int, dict[str, Any]]
    #: Id of a message -> its files.
    files: dict[int, list[dict[str, Any]]]
    #: The viewer's abilities through the conversation's account.
    ability: Abilities


def _page_of(session: Session, conversation: Any, rows: list[Any], viewer: Viewer) -> _Page:
    ability = Abilities(replies=False)
    if viewer.person.may("Messages", "create"):
        ability = reply_form.ability_of_account(session, conversation.account_id, conversation.channel)
    return _Page(_replies(session, rows), message_files.views_of(session, rows), ability)


def _replies(session: Session, rows: list[Any]) -> dict[int, dict[str, Any]]:
    """Id -> {id, text, who} of the messages that these reply to."""
    keys = {each.reply_to_id for each in rows} - {None}
    if not keys:
        return {}
    columns = (Message.id, Message.body, Message.media, Message.direction)
    found = session.execute(select(*columns).where(Message.id.in_(sorted(keys))))
    return {row.id: {"id": row.id, "text": quote_of(row), "who": author_of(row)} for row in found}


def _days(bubbles: list[dict[str, Any]], viewer: Viewer) -> list[dict[str, Any]]:
    days: list[dict[str, Any]] = []
    for each in bubbles:
        title = _day(each["day"], viewer.today)
        if not days or days[-1]["title"] != title:
            days.append({"title": title, "items": []})
        days[-1]["items"].append(each)
    return days


def _day(day: date, today: date) -> str:
    if day == today:
        return _("Today")
    return _("Yesterday") if day == today - timedelta(days=1) else format_date(day, "EEEE, d MMMM y")


def _bubble(message: Any, page: _Page, viewer: Viewer) -> dict[str, Any]:
    at: datetime = (message.happened_on or message.created_on).astimezone(viewer.zone)
    sign = conversation_list.sign_of(message)
    card = viewer.lookups.person(message.created_by_id) if message.direction == "out" else None
    return {
        "id": message.id,
        "day": at.date(),
        "direction": message.direction,
        "who": card["full_name"] if card and message.created_by_id != viewer.person.id else None,
        "text": message_files.text_beside(message),
        "subject": message.subject,
        "iso": at.isoformat(),
        "time": f"{at:%H:%M}",
        "title": format_local_date(at, "%a %-d %b %Y, %H:%M"),
        "state": sign,
        "tone": sign["tone"] if sign else "gray",
        "reason": translate_text(message.reason or "") if message.state in DEAD else None,
        "warning": _("Anybody could have written this: the sender's address was not verified.")
        if (message.native or {}).get("unverified")
        else None,
        "reply": page.replies.get(message.reply_to_id),
        "files": page.files.get(message.id, []),
        "reactions": _reactions(message, viewer),
        "tools": _tools(message, page.ability, viewer),
        "is_template": message.template_id is not None,
        "actions": message_entries.actions(message, viewer) + mail_display.actions(message, viewer),
    }


def _tools(message: Any, ability: Abilities, viewer: Viewer) -> dict[str, Any]:
    """The actions on an incoming message: reply, react."""
    base, has_arrived = f"/inbox/{message.conversation_id}", bool(message.provider_id)
    react = reactions_of(message, f"/inbox/message/{message.id}/react", viewer) if ability.reactions else None
    return {
        "reply_url": f"{base}?reply={message.id}#write" if ability.replies and has_arrived else None,
        "react": react if has_arrived else None,
    }


def _reactions(message: Any, viewer: Viewer) -> list[dict[str, str]]:
    made = []
    for who, emoji in (message.reactions or {}).items():
        card = viewer.lookups.person(int(who)) if who.isdigit() else None
        made.append({"emoji": emoji, "who": card["full_name"] if card else _("Customer")})
    return made


def find(session: Session, pk: Any) -> Any:
    """The conversation of this id that the viewer sees. Raises NotFound."""
    row = access.get_visible(session, Conversation, parse_id(pk))
    if row is None:
        raise NotFound(_("This conversation doesn't exist, or you don't have access to it."))
    return row


# --- a new conversation


def empty_thread(kind: str, row: Any, channel: str, viewer: Viewer, **more: Any) -> dict[str, Any]:
    """The context of inbox/_thread.html before the first message to the person of a record."""
    typed, session = more.get("typed") or {}, db.session()
    window = reply_form.not_written_yet() if channel in conversations.WINDOWED else None
    hidden = [reply_form.form_key(typed), ("kind", kind), ("record", row.id), ("channel", channel)]
    is_call = isinstance(row, CallLog)
    number = conversation_list.shown_peer(channel, row.other_e164 or "", viewer) if is_call else row.number
    name = getattr(row, "name", "") or number
    return {
        "id": None,
        "url": f"/inbox/to/{kind}/{row.id}?channel={channel}",
        "name": name,
        "icon": message_words.CHANNEL_ICONS[channel],
        "channel_label": message_words.channel_label(channel),
        "peer": number,
        "records": [],
        "actions": [],
        "days": [],
        "messages_url": "",
        "composer": {
            "url": "/inbox/start",
            "hidden": hidden,
            "is_free": True,
            "window": window,
            "opted_out": opt_out_warning(session, channel, row),
            "files": reply_form.new_files(session, channel, more.get("files") or (), viewer),
        }
        | reply_form.content(session, (channel, None), {**more, "typed": typed}, "" if is_call else f"{kind}:{row.id}"),
    }
