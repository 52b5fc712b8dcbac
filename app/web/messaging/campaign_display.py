"""What the pages of campaigns show: counts by state, recipients with their reasons, and previews."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, NamedTuple

from flask import current_app
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access
from app.domain.base import RuleBroken
from app.domain.messaging import campaign_recipients, campaigns, permitted_hours
from app.domain.messaging.campaign_recipients import SHOWN_STATE
from app.domain.messaging.campaigns import Campaign, CampaignRecipient
from app.lib import phone
from app.lib.digit_grouping import GroupedInt, grouped
from app.lib.sms_parts import count_parts
from app.models import Customer, Lead, Message
from app.web.core.fields.date_fields import moment_cell
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.localization.languages import translate_text
from app.web.core.viewer import Viewer
from app.web.messaging.campaign_form import accounts_named, first_account
from app.web.records.message_words import CHANNEL_WORDS, PURPOSE_WORDS, STATE_WORDS
from app.web.records.messages import COLORS

#: Recipients of one page.
PAGE = 50
CAMPAIGN_WORDS = {
    "draft": (_l("Draft"), "gray"),
    "scheduled": (_l("Scheduled"), "violet"),
    "running": (_l("Running"), "blue"),
    "paused": (_l("Paused"), "amber"),
    "stopped": (_l("Stopped"), "red"),
    "done": (_l("Done"), "green"),
}
#: State of a recipient -> (word, color), in display order.
RECIPIENT_WORDS: dict[str, tuple[Any, str]] = {
    "waiting": (_l("Not sent yet"), "gray"),
    **{name: (STATE_WORDS[name], COLORS[name]) for name in ("queued", "sending", "sent", "delivered", "read")},
    "failed": (STATE_WORDS["failed"], "red"),
    "unknown": (STATE_WORDS["unknown"], "orange"),
    "left_out": (_l("Left out"), "slate"),
    "canceled": (STATE_WORDS["canceled"], "gray"),
}
REASON_WORDS = {
    "no_address": _l("No number or address"),
    "not_yours": _l("Not a lead or customer that you can see"),
    "opted_out": _l("Opted out"),
    "dnd": _l("On the do-not-disturb list"),
    "no_consent": _l("No consent on record"),
    "duplicate": _l("In the list already"),
    "no_value": _l("No value for a variable"),
    "refused": _l("Refused at the time of sending"),
}


def chip(state: str) -> dict[str, Any]:
    """The state of a campaign."""
    word, color = CAMPAIGN_WORDS[state]
    return {"kind": "status", "label": str(word), "color": color}


def campaign_row(campaign: Campaign, viewer: Viewer) -> dict[str, Any]:
    """A campaign in the list."""
    author = viewer.lookups.person(campaign.created_by_id) or {}
    return {
        "id": campaign.id,
        "name": campaign.name,
        "chip": chip(campaign.state),
        "channel": str(CHANNEL_WORDS.get(campaign.channel, campaign.channel)),
        "total": grouped(campaign.total),
        "author": author.get("full_name", ""),
        "at": moment_cell(campaign.started_on or campaign.start_on or campaign.created_on, viewer),
    }


class RecipientPage(NamedTuple):
    """Which recipients are listed."""

    #: Those in this state; "" = all.
    state: str
    #: From 0.
    number: int


def campaign_context(session: Session, campaign: Campaign, viewer: Viewer, page: RecipientPage) -> dict[str, Any]:
    """The context of campaigns/campaign.html."""
    return {
        **progress(session, campaign, viewer),
        "recipients": _recipients(session, campaign, viewer, page),
        "state_filter": page.state,
        "filters": [(name, str(word)) for name, (word, _color) in RECIPIENT_WORDS.items()],
        "page": page.number,
    }


def progress(session: Session, campaign: Campaign, viewer: Viewer) -> dict[str, Any]:
    """The part that updates itself: the context of campaigns/_live.html."""
    found = campaign_recipients.counts(session, campaign)
    by_state: dict[str, int] = {}
    reasons: dict[str, int] = {}
    for name, code, count in found:
        by_state[name] = by_state.get(name, 0) + count
        if name == "left_out":
            reasons[code or "refused"] = reasons.get(code or "refused", 0) + count
    is_draft, is_filling = campaign.state == "draft", bool(campaign.body) and not _is_filled(campaign)
    has_queued = bool({"queued", "sending"} & set(by_state))
    return {
        "campaign": campaign_row(campaign, viewer) | _about(session, campaign, viewer),
        "state": campaign.state,
        "is_planned": bool(campaign.body),
        "is_checked": campaigns.is_checked(campaign),
        "is_live": campaign.state in ("running", "scheduled") or has_queued or is_filling,
        "filled": grouped(campaign.filled),
        "able": by_state.get("waiting", 0),
        "able_text": ngettext(
            "%(num)s person gets it", "%(num)s people get it", GroupedInt(by_state.get("waiting", 0))
        ),
        "tiles": [] if is_draft else _tiles(by_state),
        "reasons": [(str(word), GroupedInt(reasons[name])) for name, word in REASON_WORDS.items() if name in reasons],
        "left_out": GroupedInt(by_state.get("left_out", 0)),
        "previews": _previews(session, campaign, viewer) if is_draft and campaign.body else [],
        "reason": translate_text(campaign.reason or ""),
        "hours": _hours(session, campaign, viewer) if is_draft or has_queued or campaign.state == "running" else "",
        "may_send": viewer.person.may("Messages", "bulk") and viewer.person.may("Messages", "create"),
    }


def _hours(session: Session, campaign: Campaign, viewer: Viewer) -> str:
    """A sentence while messages wait for the permitted hours, else ""."""
    if not campaign.body:
        return ""
    like = SimpleNamespace(purpose=campaign.purpose, created_by_id=None, cause=None)
    until = permitted_hours.postponed_until(session, like, viewer.now, current_app.config["CRM"].time_zone)  # type: ignore[arg-type]
    if until is None:
        return ""
    at = format_local_date(until.astimezone(viewer.zone), "%-d %b, %H:%M")
    return _("Outside the hours that are set in the business settings: messages wait until %(at)s.", at=at)


def _is_filled(campaign: Campaign) -> bool:
    return campaign.filled >= campaign.total


def _tiles(by_state: dict[str, int]) -> list[dict[str, Any]]:
    return [
        {"name": name, "label": str(word), "color": color, "count": by_state.get(name, 0)}
        for name, (word, color) in RECIPIENT_WORDS.items()
        if by_state.get(name) or name in ("waiting", "delivered", "failed")
    ]


def _about(session: Session, campaign: Campaign, viewer: Viewer) -> dict[str, Any]:
    with access.as_system(session):
        account = first_account(session, campaign)
        names = accounts_named(session)
    return {
        "purpose": str(PURPOSE_WORDS[campaign.purpose]),
        "account": names.get(campaign.account_id or 0) or (account.name if account else ""),
        "per_minute": campaign.per_minute,
        "body": campaign.body,
        "start_on": moment_cell(campaign.start_on, viewer),
        "started_on": moment_cell(campaign.started_on, viewer),
        "ended_on": moment_cell(campaign.ended_on, viewer),
        "sender": (viewer.lookups.person(campaign.sender_id) or {}).get("full_name", ""),
    }


def _previews(session: Session, campaign: Campaign, viewer: Viewer) -> list[dict[str, Any]]:
    """The message as the first three real recipients will get it."""
    rows = campaign_recipients.sample_recipients(session, campaign)
    names = _names(session, rows)
    made = []
    for row in rows:
        try:
            text = campaign_recipients.text_of(campaign, row.variables or {})
        except RuleBroken as broken:
            text = translate_text(broken.message)
        parts = count_parts(text) if campaign.channel == "sms" else None
        made.append(
            {
                **_who(row, names, viewer),
                "text": text,
                "parts": ngettext("%(num)s SMS", "%(num)s SMS", parts.parts) if parts else "",
                "encoding": parts.encoding if parts else "",
            }
        )
    return made


def _recipients(session: Session, campaign: Campaign, viewer: Viewer, page: RecipientPage) -> dict[str, Any]:
    query = (
        select(CampaignRecipient, SHOWN_STATE, Message.reason)
        .outerjoin(Message, Message.id == CampaignRecipient.message_id)
        .where(CampaignRecipient.campaign_id == campaign.id)
        .order_by(CampaignRecipient.id)
    )
    if page.state:
        query = query.where(page.state == SHOWN_STATE)
    with access.as_system(session):  # the campaign is visible, and so are its recipients and their states
        found = session.execute(query.limit(PAGE + 1).offset(page.number * PAGE)).all()
    names = _names(session, [row for row, _state, _reason in found])
    rows = []
    for row, now, reason in found[:PAGE]:
        word, color = RECIPIENT_WORDS.get(now, (now, "gray"))
        rows.append(
            {
                **_who(row, names, viewer),
                "state": {"kind": "status", "label": str(word), "color": color},
                "reason": translate_text(row.reason or reason or ""),
                "message_url": f"/messages/show/{row.message_id}" if row.message_id else "",
            }
        )
    return {"rows": rows, "has_more": len(found) > PAGE}


def _names(session: Session, rows: Iterable[CampaignRecipient]) -> dict[tuple[str, int], tuple[str, str]]:
    """("lead" or "customer", id) -> (name, URL) of those records that the viewer sees."""
    made = {}
    for kind, model, name, base in (
        ("lead", Lead, "lead_id", "/leads/show/"),
        ("customer", Customer, "customer_id", "/customers/show/"),
    ):
        ids = {getattr(row, name) for row in rows if getattr(row, name)}
        query = select(model.id, model.number, model.first_name, model.last_name).where(model.id.in_(ids))
        for each in session.execute(query) if ids else ():
            full = f"{each.first_name or ''} {each.last_name or ''}".strip()
            made[(kind, each.id)] = (full or each.number, f"{base}{each.id}")
    return made


def _who(row: CampaignRecipient, names: dict[tuple[str, int], tuple[str, str]], viewer: Viewer) -> dict[str, Any]:
    lead, customer = names.get(("lead", row.lead_id or 0)), names.get(("customer", row.customer_id or 0))
    name = (customer or lead or ("", ""))[0]
    url = (lead or customer or ("", ""))[1]
    is_mail = "@" in (row.address or "")
    peer = viewer.person.mask_value("email" if is_mail else "mobile", row.address)
    is_full = peer == row.address and not is_mail
    return {"name": name, "url": url, "peer": (phone.display(peer) if is_full else peer) or ""}
