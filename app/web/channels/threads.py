"""One conversation as the inbox shows it: who, what was said day by day, and the form to answer."""

from __future__ import annotations

import uuid
from datetime import date, datetime, timedelta
from typing import Any

from flask_babel import format_date
from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.domain import conversations, message_templates
from app.domain.base import NotFound, RuleBroken
from app.domain.messages import DEAD
from app.domain.outgoing import MAX_LENGTH
from app.lib.ids import parse_id
from app.models import ChannelAccount, Conversation, Message, MessageTemplate
from app.ops.file_store import PREFIX
from app.web.core.fields import Viewer, clean_text
from app.web.core.reference_fields import person_card
from app.web.records import conversation_list

#: Messages that a page shows; older ones are asked for.
PAGE = 60


def thread(session: Session, conversation: Any, viewer: Viewer, **more: Any) -> dict[str, Any]:
    """The context of inbox/_thread.html. `more`: typed and error of a refused form, before (id), is_handed."""
    typed, before = more.get("typed") or {}, more.get("before")
    name = conversation_list.names_of(session, [conversation], viewer)[conversation.id]
    card = viewer.lookups.person(conversation.claimed_by_id)
    is_mine = conversation.claimed_by_id == viewer.person.id
    return {
        "id": conversation.id,
        "url": f"/inbox/{conversation.id}",
        "name": name,
        "icon": conversation_list.ICONS.get(conversation.channel, "message"),
        "channel_label": conversation_list.channel_label(conversation.channel),
        "peer": conversation_list.shown_peer(conversation.channel, conversation.peer, viewer),
        "account": account_name(session, conversation.account_id),
        "records": conversation_list.records_of(session, conversation),
        "claimed": person_card(card) if card else None,
        "actions": _actions(conversation, is_mine, viewer),
        "more": _more(conversation, is_mine, viewer),
        "hand": _hand(conversation, viewer) if more.get("is_handed") else None,
        "composer": composer(session, conversation, viewer, typed, more.get("error") or ""),
        "why_silent": _why_silent(viewer),
    } | messages_part(session, conversation, viewer, before)


def account_name(session: Session, account_id: int) -> str:
    """The name of an account, which whoever sees one of its conversations may know."""
    with access.as_system(session):
        return session.execute(select(ChannelAccount.name).where(ChannelAccount.id == account_id)).scalar() or ""


# --- what may be done


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


def _hand(conversation: Any, viewer: Viewer) -> dict[str, Any]:
    people = viewer.lookups.people
    offered = [(key, people[key]["full_name"]) for key in viewer.lookups.active if key != conversation.claimed_by_id]
    return {"url": f"/inbox/{conversation.id}/hand", "people": sorted(offered, key=lambda each: each[1].casefold())}


def _why_silent(viewer: Viewer) -> str:
    if viewer.person.may("Messages", "create"):
        return ""
    return _("Your role doesn't let you send messages. Ask your manager if you need it.")


# --- what was said


def messages_part(session: Session, conversation: Any, viewer: Viewer, before: Any = None) -> dict[str, Any]:
    """The part of the context about the messages; the newest page, or that before a message."""
    query = select(Message).where(Message.conversation_id == conversation.id)
    if before:
        if (place := parse_id(before)) is None:
            raise RuleBroken(_("This address is not complete. Please open the inbox again."))
        query = query.where(Message.id < place)
    rows = list(session.scalars(query.order_by(Message.id.desc()).limit(PAGE + 1)))
    shown = rows[:PAGE][::-1]
    replies = _replies(session, shown)
    base = f"/inbox/{conversation.id}"
    return {
        "days": _days([_bubble(each, replies, viewer) for each in shown], viewer),
        "messages_url": f"{base}/messages",
        "older_url": f"{base}?before={shown[0].id}" if len(rows) > PAGE else None,
    }


def _replies(session: Session, rows: list[Any]) -> dict[int, str]:
    """Id -> beginning of the text of the messages that these answer."""
    keys = {each.reply_to_id for each in rows} - {None}
    if not keys:
        return {}
    found = session.execute(select(Message.id, Message.body).where(Message.id.in_(sorted(keys))))
    return {key: " ".join((body or "").split())[:120] for key, body in found}


def _days(bubbles: list[dict[str, Any]], viewer: Viewer) -> list[dict[str, Any]]:
    days: list[dict[str, Any]] = []
    for each in bubbles:
        title = _day(each["day"], viewer.now.astimezone(viewer.zone).date())
        if not days or days[-1]["title"] != title:
            days.append({"title": title, "items": []})
        days[-1]["items"].append(each)
    return days


def _day(day: date, today: date) -> str:
    if day == today:
        return _("Today")
    return _("Yesterday") if day == today - timedelta(days=1) else format_date(day, "EEEE, d MMMM y")


def _bubble(message: Any, replies: dict[int, str], viewer: Viewer) -> dict[str, Any]:
    at: datetime = (message.happened_on or message.created_on).astimezone(viewer.zone)
    sign = conversation_list.sign_of(message)
    card = viewer.lookups.person(message.created_by_id) if message.direction == "out" else None
    return {
        "id": message.id,
        "day": at.date(),
        "direction": message.direction,
        "who": card["full_name"] if card and message.created_by_id != viewer.person.id else None,
        "text": message.body,
        "subject": message.subject,
        "iso": at.isoformat(),
        "time": f"{at:%H:%M}",
        "title": f"{at:%a %-d %b %Y, %H:%M}",
        "state": sign,
        "tone": sign["tone"] if sign else "gray",
        "reason": message.reason if message.state in DEAD else None,
        "warning": _("Anybody could have written this: the sender's address was not verified.")
        if (message.native or {}).get("unverified")
        else None,
        "reply": {"id": message.reply_to_id, "text": replies[message.reply_to_id]}
        if message.reply_to_id in replies
        else None,
        "files": [_file(message, n, each) for n, each in enumerate(message.media or [])],
        "reactions": _reactions(message, viewer),
        "is_template": message.template_id is not None,
        "actions": _message_actions(message, viewer),
    }


_FILE_ICONS = {"image": "photo", "audio": "microphone", "video": "player-play"}


def _file(message: Any, place: int, file: dict[str, str]) -> dict[str, Any]:
    """A file of a message; a link where we have it, which REST serves under the rules of the message."""
    kind = str(file.get("mime_type") or "").partition("/")[0]
    label = file.get("caption") or file.get("name") or file.get("mime_type") or _("File")
    is_ours = str(file.get("address") or "").startswith(PREFIX)
    url = f"/api/v1/message/{message.id}/file/{place}" if is_ours else None
    return {"url": url, "label": label, "icon": _FILE_ICONS.get(kind, "file")}


def _reactions(message: Any, viewer: Viewer) -> list[dict[str, str]]:
    made = []
    for who, emoji in (message.reactions or {}).items():
        card = viewer.lookups.person(int(who)) if who.isdigit() else None
        made.append({"emoji": emoji, "who": card["full_name"] if card else _("Customer")})
    return made


def _message_actions(message: Any, viewer: Viewer) -> list[dict[str, Any]]:
    base = f"/inbox/message/{message.id}"
    if message.direction != "out" or not _may_write(viewer):
        return []
    if message.state == "queued":
        return [{"url": f"{base}/cancel", "label": _("Cancel"), "icon": "x", "method": "post"}]
    if message.state not in DEAD:
        return []
    made: dict[str, Any] = {"url": f"{base}/again", "label": _("Send again"), "icon": "send", "method": "post"}
    if message.state == "unknown":
        made["confirm"] = _("It may have arrived. Send it a second time?")
    return [made]


# --- the form to answer


def composer(
    session: Session, conversation: Any, viewer: Viewer, typed: dict[str, str], error: str
) -> dict[str, Any] | None:
    """The context of inbox/_write.html; None for who may not send."""
    if not viewer.person.may("Messages", "create"):
        return None
    channel = conversation.channel
    is_free = conversation.last_inbound_on is None or conversations.is_window_open(conversation, viewer.now)
    return {
        "url": f"/inbox/{conversation.id}/send",
        "hidden": [_form_key(typed)],
        "is_free": is_free,
        "window": _window(conversation, viewer),
    } | _content(session, channel, conversation.account_id, typed, error)


def _form_key(typed: dict[str, str]) -> tuple[str, str]:
    """The hidden field by which a form that is sent twice sends one message."""
    return "key", typed.get("key") or uuid.uuid4().hex


def _content(
    session: Session, channel: str, account_id: int | None, typed: dict[str, str], error: str
) -> dict[str, Any]:
    """The part of a form about what is said: as it was typed, with the template that was chosen."""
    templates = templates_of(session, channel, account_id)
    chosen = next((each for each in templates if str(each["id"]) == typed.get("template")), None)
    return {
        "templates": templates,
        "template": chosen["id"] if chosen else None,
        "values": [(name, typed.get(f"var.{name}", "")) for name in chosen["names"]] if chosen else [],
        "preview": chosen["body"] if chosen else "",
        "body": typed.get("body", ""),
        "subject": typed.get("subject", ""),
        "has_subject": channel == "email",
        "is_sms": channel == "sms",
        "max": MAX_LENGTH[channel],
        "placeholder": _("Write a message"),
        "error": error,
    }


def _window(conversation: Any, viewer: Viewer) -> dict[str, str] | None:
    ends = conversations.window_ends(conversation)
    if ends is None:
        return None
    over = _("More than 24 hours have passed since the customer last wrote. WhatsApp only allows a template now.")
    if conversation.last_inbound_on is None:
        return _not_written_yet()
    if ends <= viewer.now:
        return {"text": over, "ends": "", "over": over}
    minutes = int((ends - viewer.now).total_seconds() // 60)
    left = f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
    return {"text": _("%(time)s left to answer freely", time=left), "ends": ends.isoformat(), "over": over}


def _not_written_yet() -> dict[str, str]:
    text = _("The customer hasn't written to us yet. WhatsApp may refuse anything but a template.")
    return {"text": text, "ends": "", "over": text}


def templates_of(session: Session, channel: str, account_id: int | None) -> list[dict[str, Any]]:
    """The templates that may be sent on a channel by an account, by label."""
    usable = (MessageTemplate.is_active.is_(True), MessageTemplate.approval.in_(message_templates.USABLE))
    query = select(MessageTemplate).where(MessageTemplate.channel == channel, *usable).order_by(MessageTemplate.label)
    return [
        {"id": each.id, "label": each.label, "body": each.body, "names": message_templates.variables(each)}
        for each in session.scalars(query)
        if each.account_id in (None, account_id)
    ]


def find(session: Session, pk: Any) -> Any:
    """The conversation of this id that the viewer sees. Raises NotFound."""
    row = access.get_visible(session, Conversation, parse_id(pk))
    if row is None:
        raise NotFound(_("This conversation doesn't exist, or you don't have access to it."))
    return row


def said_in(session: Session, form: Any, most: int) -> dict[str, Any]:
    """What the form of a message says: body, subject, template, variables of an Outgoing. Raises RuleBroken."""
    subject = clean_text(form.get("subject"), "subject", 200) or None
    chosen = form.get("template") or ""
    if not chosen:
        return {"body": clean_text(form.get("body"), "body", most, has_lines=True) or "", "subject": subject}
    template = session.get(MessageTemplate, parse_id(chosen)) if parse_id(chosen) else None
    if template is None:
        raise RuleBroken(_("Please choose one of the templates."), "template")
    given = {name.removeprefix("var."): value for name, value in form.items() if name.startswith("var.")}
    variables = {name: clean_text(value, "variables", 300) or "" for name, value in given.items()}
    return {"template": template, "variables": variables, "subject": subject}


# --- a conversation that has not begun


def empty_thread(session: Session, kind: str, row: Any, channel: str, viewer: Viewer, **more: Any) -> dict[str, Any]:
    """The context of inbox/_thread.html before the first message to the person of a record."""
    typed = more.get("typed") or {}
    window = _not_written_yet() if channel in conversations.WINDOWED else None
    hidden = [_form_key(typed), ("kind", kind), ("record", row.id), ("channel", channel)]
    name = getattr(row, "name", "") or row.number
    return {
        "id": None,
        "url": f"/inbox/to/{kind}/{row.id}?channel={channel}",
        "name": name,
        "icon": conversation_list.ICONS[channel],
        "channel_label": conversation_list.channel_label(channel),
        "peer": row.number,
        "records": [],
        "actions": [],
        "days": [],
        "messages_url": "",
        "composer": {
            "url": "/inbox/start",
            "hidden": hidden,
            "is_free": True,
            "window": window,
        }
        | _content(session, channel, None, typed, more.get("error") or ""),
    }
