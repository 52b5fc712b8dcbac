"""The form of a campaign: the message, the account, and the speed."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from markupsafe import Markup
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.base import RuleBroken
from app.domain.messaging import campaigns, channel_accounts, message_templates
from app.domain.messaging.campaigns import FIELDS, MAX_PER_MINUTE, Campaign, CampaignInput
from app.lib.digit_grouping import grouped
from app.lib.ids import parse_id
from app.models import ChannelAccount, MessageTemplate
from app.web.core.fab_access import Refusal, parse_integer
from app.web.core.fields.base import clean_text
from app.web.core.fields.plain_inputs import PLAIN_INPUT
from app.web.records.message_words import CHANNEL_WORDS, PURPOSE_WORDS

FIELD_WORDS = {
    "first_name": _l("First name"),
    "last_name": _l("Last name"),
    "full_name": _l("Full name"),
    "number": _l("Record number"),
    "client_id": _l("Client ID"),
}


def posted_values(session: Session, form: Any) -> CampaignInput:
    """The posted values. Raises RuleBroken for an invalid one."""
    template_id = parse_id(form.get("template") or "")
    template = session.get(MessageTemplate, template_id) if template_id else None
    if form.get("template") and template is None:
        raise RuleBroken(_("Please choose one of the templates."), "template")
    per_minute = parse_integer(form.get("per_minute"), campaigns.PER_MINUTE, 1, MAX_PER_MINUTE)
    return CampaignInput(
        name=clean_text(form.get("name"), "name", 140) or "",
        channel=template.channel if template is not None else (form.get("channel") or "")[:16],
        body=clean_text(form.get("body"), "body", 20_000, has_lines=True) or "",
        template_id=template_id,
        account_id=parse_id(form.get("account") or ""),
        purpose=(form.get("purpose") or "")[:16],
        subject=clean_text(form.get("subject"), "subject", 200),
        variables=_posted_variables(form),
        per_minute=per_minute,
    )


def _posted_variables(form: Any) -> dict[str, dict[str, str]]:
    """The source of each variable; fixed text is the same for everybody."""
    made = {}
    for name in [key.removeprefix("var.") for key in form if key.startswith("var.")][:50]:
        text = clean_text(form.get(f"else.{name}"), "variables", 300) or ""
        made[name] = {"from": form[f"var.{name}"][:60] or ("text" if text else ""), "text": text}
    return made


def stored_values(campaign: Campaign) -> dict[str, str]:
    """The stored values by the names of the form."""
    values = {
        "name": campaign.name,
        "channel": campaign.channel,
        "template": str(campaign.template_id or ""),
        "account": str(campaign.account_id or ""),
        "purpose": campaign.purpose,
        "subject": campaign.subject or "",
        "body": "" if campaign.template_id else campaign.body,
        "per_minute": str(campaign.per_minute),
    }
    for name, origin in campaign.variables.items():
        values |= {f"var.{name}": origin["from"], f"else.{name}": origin["text"]}
    return values


def form_of(session: Session, campaign: Campaign, typed: Any, refused: Refusal) -> dict[str, Any]:
    """The context of campaigns/form.html."""
    errors = refused.errors
    sections = [
        {"title": "", "fields": _what(session, typed, errors)},
        {"title": _("How it is sent"), "fields": _how(session, typed, errors)},
    ]
    if variables := _variable_fields(session, campaign, typed, errors):
        sections.insert(1, {"title": _("Variables"), "fields": variables})
    return {
        "title": _("Message to %(count)s people", count=grouped(campaign.total)),
        "action": f"/campaigns/{campaign.id}/edit",
        "sections": sections,
        "error": refused.sentence,
        "conflict": None,
        "cancel_url": f"/campaigns/{campaign.id}",
        "back_label": None,
        "submit_label": _("Check the recipients"),
    }


def _what(session: Session, typed: Any, errors: dict[str, list[str]]) -> list[dict[str, Any]]:
    def made(name: str, label: str, **more: Any) -> dict[str, Any]:
        return (
            PLAIN_INPUT
            | {"name": name, "label": label, "value": typed.get(name, ""), "errors": errors.get(name)}
            | more
        )

    usable = (MessageTemplate.is_active.is_(True), MessageTemplate.approval.in_(message_templates.USABLE))
    rows = session.scalars(select(MessageTemplate).where(*usable).order_by(MessageTemplate.label))
    templates = [(str(each.id), f"{each.label} ({CHANNEL_WORDS.get(each.channel, each.channel)})") for each in rows]
    channels = [(each, str(word)) for each, word in CHANNEL_WORDS.items()]
    purposes = [(each, str(word)) for each, word in PURPOSE_WORDS.items()]
    only_own = _("A template has its own channel and purpose; these are for a text of your own.")
    hint = _("Write {{first_name}} or any other name in double braces where each person's own value goes.")
    return [
        made(
            "name", _("Name"), required=True, maxlength=140, wide=True, help=_("Only you and your colleagues see it.")
        ),
        made(
            "template", _("Template"), kind="choice", options=templates, placeholder=_("No template: a text of my own")
        ),
        made("channel", _("Channel"), kind="choice", options=channels, help=only_own),
        made("purpose", _("Purpose"), kind="choice", options=purposes),
        made("subject", _("Subject"), maxlength=200, help=_("For emails only.")),
        made("body", _("Text"), kind="textarea", maxlength=20_000, help=hint),
        made("length", _("Length and variables"), kind="html", html=_below_text(), wide=True),
    ]


def _below_text() -> Markup:
    """The number of SMS parts, counted by sms_counter.js, and a button that shows the variables."""
    counted = _("{parts} SMS ({encoding}), {left} characters left")
    count = Markup(
        '<span class="sms-count" id="f-length" data-sms-for="f-body" data-sms-channel="f-channel" '
        'data-text="{}" hidden></span>'
    )
    button = Markup('<button class="btn btn-small" name="pick" value="1" formnovalidate>{}</button>')
    return (
        Markup('<p class="below-text">')
        + count.format(counted)
        + button.format(_("Show the variables"))
        + Markup("</p>")
    )


def _how(session: Session, typed: Any, errors: dict[str, list[str]]) -> list[dict[str, Any]]:
    rows = session.scalars(
        select(ChannelAccount).where(ChannelAccount.is_active.is_(True)).order_by(ChannelAccount.name)
    )
    accounts = [(str(each.id), each.name) for each in rows]
    return [
        PLAIN_INPUT
        | {
            "name": "account",
            "label": _("Account"),
            "value": typed.get("account", ""),
            "kind": "choice",
            "options": accounts,
            "placeholder": _("The first that fits"),
            "errors": errors.get("account"),
        },
        PLAIN_INPUT
        | {
            "name": "per_minute",
            "label": _("Messages per minute"),
            "value": typed.get("per_minute", campaigns.PER_MINUTE),
            "kind": "number",
            "required": True,
            "errors": errors.get("per_minute"),
            "help": _("At most %(most)s. Slower leaves room for messages that people write.", most=MAX_PER_MINUTE),
        },
    ]


def _variable_fields(
    session: Session, campaign: Campaign, typed: Any, errors: dict[str, list[str]]
) -> list[dict[str, Any]]:
    """For each variable of the text: its source, and the fallback for empty values."""
    template_id = parse_id(typed.get("template") or "")
    template = session.get(MessageTemplate, template_id) if template_id else None
    text = template.body if template is not None else typed.get("body") or ""
    options = [*_sources(campaign), ("text", _("The same text for everybody"))]
    fields = []
    for name in message_templates.variables(_Text(text)):
        guess = name if name in FIELDS else ""
        fields.append(
            PLAIN_INPUT
            | {
                "name": f"var.{name}",
                "label": f"{{{{{name}}}}}",
                "value": typed.get(f"var.{name}") or guess,
                "kind": "choice",
                "options": options,
                "required": True,
                "errors": errors.get(f"var.{name}"),
            }
        )
        fields.append(
            PLAIN_INPUT
            | {
                "name": f"else.{name}",
                "label": _("If that is empty, or the text"),
                "value": typed.get(f"else.{name}", ""),
                "maxlength": 300,
                "help": _("Without one, people who have no value are left out."),
            }
        )
    return fields


def _sources(campaign: Campaign) -> list[tuple[str, str]]:
    if campaign.kind == "numbers":
        return [(f"column:{name}", _("Column “%(name)s”", name=name)) for name in campaigns.columns_of(campaign)]
    return [(name, str(word)) for name, word in FIELD_WORDS.items()]


class _Text:
    """A text in the form that `message_templates.variables` reads."""

    def __init__(self, body: str) -> None:
        self.body = body


def accounts_named(session: Session) -> dict[int, str]:
    """Account -> its name."""
    return {row.id: row.name for row in session.execute(select(ChannelAccount.id, ChannelAccount.name))}


def first_account(session: Session, campaign: Campaign) -> ChannelAccount | None:
    """The account that will probably send the campaign."""
    fitting = channel_accounts.active(session, campaign.channel, campaign.purpose)
    wanted = next((each for each in fitting if each.id == campaign.account_id), None)
    return wanted or (fitting[0] if fitting else None)
