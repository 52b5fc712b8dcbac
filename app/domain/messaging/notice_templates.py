"""Notifications by SMS and WhatsApp: the account and template of each channel, and how the template is filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.domain.base import RuleBroken, translatable
from app.domain.messaging import dlt_rules, message_templates
from app.domain.messaging.channel_accounts import ChannelAccount
from app.domain.messaging.message_templates import MessageTemplate
from app.domain.notifications import notices

#: What a template of notifications can have as variables. WhatsApp's have numbers instead of names.
VARIABLES = ("text", "link", "event", "record", "notice")
NUMBERED = {"1": "text", "2": "link"}


@dataclass(frozen=True)
class NoticeWay:
    """How notifications go out on a channel."""

    #: sms or whatsapp.
    channel: str
    account: ChannelAccount
    template: MessageTemplate

    def language(self) -> str:
        """The language of the template: en for en_US."""
        return str(self.template.language).replace("-", "_").partition("_")[0]


def find(session: Session, channel: str) -> NoticeWay | None:
    """The way that an admin has set up for this channel; None = none, or its account or template is gone."""
    chosen = notices.set_up_channels(session).get(channel)
    return way_of(session, channel, chosen["account"], chosen["template"]) if chosen else None


def way_of(session: Session, channel: str, account_id: int, template_id: int) -> NoticeWay | None:
    """The way by this account and template; None if one of them is gone."""
    account, template = session.get(ChannelAccount, account_id), session.get(MessageTemplate, template_id)
    return None if account is None or template is None else NoticeWay(channel, account, template)


def refuse_unusable(way: NoticeWay) -> None:
    """Raise RuleBroken if notifications can't go out by this account and template."""
    if not way.account.is_active or way.channel not in way.account.channels:
        raise RuleBroken("This account can't send on this channel. Please choose another one.", "account")
    message_templates.refuse_unusable(way.template, way.channel, way.account.id)
    if way.template.purpose != "service" or way.account.purpose == "promotional":
        raise RuleBroken("Notifications are no promotional messages. Please choose another one.", "template")
    if message_templates.takes_file(way.template):
        raise RuleBroken("A file has to be sent with this template. Please choose another one.", "template")


def fill(session: Session, way: NoticeWay, number: str, values: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """The text for a recipient, and the values of the template's variables in their order.

    `values`: VARIABLES -> value. Raises RuleBroken if the text can't be sent by SMS: a variable of a template that is
    registered on DLT takes 30 characters, and links have to be allowed.
    """
    names = message_templates.variables(way.template)
    unknown = next((name for name in names if name not in NUMBERED and name not in VARIABLES), None)
    if unknown is not None:
        sentence = "Notifications have no value for “%(name)s”. The template can have: %(names)s."
        offered = ", ".join((*VARIABLES, *NUMBERED))
        raise RuleBroken(translatable(sentence, name=unknown, names=offered), "template")
    given = {name: values[NUMBERED.get(name, name)] for name in names}
    text = message_templates.render(way.template, given)
    if way.channel == "sms":
        dlt_rules.refuse_foreign_links(session, text)
        dlt_rules.registered(session, way.account, dlt_rules.SmsText(number, text, way.template))
    return text, tuple(given.values())


def offered(rows: Any, channel: str) -> list[Any]:
    """Those of the templates that may be used on this channel."""
    return [each for each in rows if each.channel == channel and each.approval in message_templates.USABLE]
