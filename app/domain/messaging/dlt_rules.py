"""Rules for SMS in India: a text as registered on DLT, with links only to allowed hosts."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import business_settings
from app.domain.base import RuleBroken, translatable
from app.domain.messaging import message_templates
from app.domain.messaging.message_templates import MessageTemplate
from app.lib import dlt

#: A link, with or without its scheme; its host is the first group.
_LINK = re.compile(r"(?:https?://|www\.|\b(?=[a-z0-9-]+\.[a-z]{2,}/))([^\s/?#:]+)", re.IGNORECASE)
#: Prefix of numbers to which DLT applies.
INDIA = "+91"


def refuse_foreign_links(session: Session, text: str) -> None:
    """Raise RuleBroken for a link to a host that isn't allowed; an empty list allows any."""
    hosts = links_in(text)
    allowed = allowed_hosts(business_settings.value_of(session, "sms_link_hosts")) if hosts else ()
    for host in hosts if allowed else ():
        if not any(host == each or host.endswith(f".{each}") for each in allowed):
            sentence = "Links to %(host)s aren't on the white list for SMS, so operators would drop this message."
            raise RuleBroken(translatable(sentence, host=host), "body")


def links_in(text: str) -> tuple[str, ...]:
    """The hosts of the links in a text, in lower case."""
    return tuple(found.lower().removeprefix("www.").rstrip(".,;)") for found in _LINK.findall(text))


def allowed_hosts(text: str) -> tuple[str, ...]:
    """The hosts in the setting."""
    return tuple(each.strip().lower().removeprefix("www.") for each in text.split(",") if each.strip())


def needs_registration(account: Any, number: str) -> bool:
    """Whether this account's SMS to this number must match a registered template."""
    return bool(account.settings.get("dlt_entity_id")) and number.startswith(INDIA)


class SmsText(NamedTuple):
    """An SMS that is to be sent, and the template that was chosen for it."""

    number: str
    text: str
    template: MessageTemplate | None


def registered(session: Session, account: Any, sms: SmsText) -> MessageTemplate | None:
    """The registered template that the text matches, if one is needed; else the given one. Raises RuleBroken."""
    text, template = sms.text, sms.template
    if not needs_registration(account, sms.number):
        return template
    if template is not None:
        if not template.provider_id:
            sentence = (
                "This template has no DLT template ID, so no operator would deliver it. Please choose another one."
            )
            raise RuleBroken(sentence, "template")
        if not follows(text, template):
            sentence = "This text doesn't follow its DLT template: each variable takes at most %(most)s characters."
            raise RuleBroken(translatable(sentence, most=dlt.MAX_VARIABLE), "variables")
        return template
    found = next((each for each in _templates(session, account) if follows(text, each)), None)
    if found is None:
        raise RuleBroken("This text follows none of the templates registered for SMS (DLT). Please choose one.", "body")
    return found


def _templates(session: Session, account: Any) -> list[MessageTemplate]:
    usable = (MessageTemplate.is_active.is_(True), MessageTemplate.approval.in_(message_templates.USABLE))
    mine = (MessageTemplate.channel == "sms", MessageTemplate.provider_id.is_not(None))
    rows = session.scalars(select(MessageTemplate).where(*usable, *mine).order_by(MessageTemplate.id))
    return [each for each in rows if each.account_id in (None, account.id)]


def follows(text: str, template: MessageTemplate) -> bool:
    """Whether operators would accept the text for this template."""
    return dlt.matches(text, message_templates.as_registered(template))
