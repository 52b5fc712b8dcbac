"""The form of a reply in the inbox: the text or a template, files, and the 24 hours of WhatsApp."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from babel.units import format_unit
from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.channels.provider import Abilities
from app.channels.provider_registry import KINDS
from app.domain.base import RuleBroken
from app.domain.messaging import channel_accounts, conversations, message_sending, message_templates
from app.domain.messaging.message_sending import MAX_LENGTH
from app.lib.ids import parse_id
from app.models import ChannelAccount, MessageTemplate
from app.web.core.fields.base import clean_text
from app.web.core.localization.languages import ENGLISH, language_key
from app.web.core.viewer import Viewer
from app.web.messaging.reply_form_parts import file_part, limits_sentence, opt_out_warning, reply_part
from app.web.records.attachments.message_uploads import Upload


def form_of(session: Session, conversation: Any, viewer: Viewer, given: dict[str, Any]) -> dict[str, Any] | None:
    """The context of inbox/_message_form.html; None for people who may not send.

    `given`: typed, files, error, reply_to.
    """
    if not viewer.person.may("Messages", "create"):
        return None
    channel, typed = conversation.channel, given["typed"]
    is_free = conversation.last_inbound_on is None or conversations.is_window_open(conversation, viewer.now)
    ability = ability_of_account(session, conversation.account_id, channel)
    upload = f"/inbox/files?channel={channel}&conversation={conversation.id}"
    return {
        "url": f"/inbox/{conversation.id}/send",
        "hidden": [form_key(typed)],
        "is_free": is_free,
        "window": _window(conversation, viewer),
        "opted_out": opt_out_warning(session, channel, conversation),
        "files": file_part(ability, upload, given.get("files") or (), viewer) if is_free else None,
        "reply": reply_part(session, conversation, given.get("reply_to"), ability),
        "reply_off": f"/inbox/{conversation.id}#write",
        "limits": limits_sentence(ability, channel),
    } | content(session, (channel, conversation.account_id), given, f"conversation:{conversation.id}")


def form_key(typed: dict[str, str]) -> tuple[str, str]:
    """The hidden field that makes a form sent twice send only one message."""
    return "key", typed.get("key") or uuid.uuid4().hex


def content(session: Session, sender: tuple[str, int | None], given: Mapping[str, Any], about: str) -> dict[str, Any]:
    """The content part of a form: the input, with the chosen template.

    `sender`: channel and account; `given`: typed, error; `about`: what templates are filled in for, "lead:7".
    """
    (channel, account_id), typed = sender, given.get("typed") or {}
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
        "picks": {"channel": channel, "about": about},
        "error": given.get("error") or "",
    }


def _window(conversation: Any, viewer: Viewer) -> dict[str, str] | None:
    ends = conversations.window_ends(conversation)
    if ends is None:
        return None
    over = _("More than 24 hours have passed since the customer last wrote. WhatsApp only allows a template now.")
    if conversation.last_inbound_on is None:
        return not_written_yet()
    if ends <= viewer.now:
        return {"text": over, "ends": "", "over": over}
    minutes = int((ends - viewer.now).total_seconds() // 60)
    return {"text": _("%(time)s left to answer freely", time=_left(minutes)), "ends": ends.isoformat(), "over": over}


def _left(minutes: int) -> str:
    """“11 h 39 min”, in the language of the page."""
    language, _territory = language_key()
    hours, rest = divmod(minutes, 60)
    if language in ("", ENGLISH):
        return f"{hours} h {rest} min" if hours else f"{rest} min"
    units = ((hours, "duration-hour"), (rest, "duration-minute")) if hours else ((rest, "duration-minute"),)
    return " ".join(format_unit(number, unit, "short", locale=language) for number, unit in units)


def not_written_yet() -> dict[str, str]:
    """The warning of the form to a customer who has never written."""
    text = _("The customer hasn't written to us yet. WhatsApp may refuse anything but a template.")
    return {"text": text, "ends": "", "over": text}


def templates_of(session: Session, channel: str, account_id: int | None) -> list[dict[str, Any]]:
    """The templates that an account may send on a channel, by label."""
    usable = (MessageTemplate.is_active.is_(True), MessageTemplate.approval.in_(message_templates.USABLE))
    query = select(MessageTemplate).where(MessageTemplate.channel == channel, *usable).order_by(MessageTemplate.label)
    return [
        {"id": each.id, "label": each.label, "body": each.body, "names": message_templates.variables(each)}
        for each in session.scalars(query)
        if each.account_id in (None, account_id)
    ]


def new_files(session: Session, channel: str, files: Iterable[Upload], viewer: Viewer) -> dict[str, Any] | None:
    """The files part of the form, for the first account for the channel."""
    return file_part(ability_of_channel(session, channel), f"/inbox/files?channel={channel}", files, viewer)


def ability_of_account(session: Session, account_id: int | None, channel: str) -> Abilities:
    """The abilities of an account; everybody who sees one of its conversations may know them."""
    with access.as_system(session):
        query = select(ChannelAccount.kind).where(ChannelAccount.id == account_id)
        kind = KINDS.get(session.execute(query).scalar() or "")
    return kind.ability(channel) if kind is not None else Abilities()


def ability_of_channel(session: Session, channel: str) -> Abilities:
    """The abilities of the first account for the channel, for people without a conversation yet."""
    with access.as_system(session):
        fitting = channel_accounts.active(session, channel, "service")
        return message_sending.ability_of(fitting[0], channel) if fitting else Abilities()


def message_from(session: Session, form: Any, maximum: int) -> dict[str, Any]:
    """The message in a form: body, subject, template, variables of an OutgoingRequest. Raises RuleBroken."""
    subject = clean_text(form.get("subject"), "subject", 200) or None
    chosen = form.get("template") or ""
    if not chosen:
        return {"body": clean_text(form.get("body"), "body", maximum, has_lines=True) or "", "subject": subject}
    template = session.get(MessageTemplate, parse_id(chosen)) if parse_id(chosen) else None
    if template is None:
        raise RuleBroken(_("Please choose one of the templates."), "template")
    given = {name.removeprefix("var."): value for name, value in form.items() if name.startswith("var.")}
    variables = {name: clean_text(value, "variables", 300) or "" for name, value in given.items()}
    return {"template": template, "variables": variables, "subject": subject}
