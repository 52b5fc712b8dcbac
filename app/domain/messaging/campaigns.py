"""Campaigns: one message to a chosen list of people, each addressed at most once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, Integer, String, Text, UniqueConstraint, delete, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.audit_log import audit
from app.domain.base import Conflict, Record, RuleBroken, Stamp, UtcDateTime, translatable
from app.domain.messaging import channel_accounts, message_templates
from app.domain.messaging.message_templates import MessageTemplate
from app.domain.messaging.messages import CHANNELS, PURPOSES, Message, is_of_campaign
from app.domain.persistence.transaction_state import transaction_state
from app.lib.digit_grouping import grouped

#: draft → scheduled → running ⇄ paused → done or stopped.
STATES = ("draft", "scheduled", "running", "paused", "stopped", "done")
#: Final states.
ENDED = ("stopped", "done")
#: States of a recipient: not yet addressed; excluded for a reason; a message exists; stopped before there was one.
RECIPIENT_STATES = ("waiting", "left_out", "addressed", "canceled")
#: Why a recipient is excluded.
REASONS = ("no_address", "not_yours", "opted_out", "dnd", "no_consent", "duplicate", "no_value", "refused")
#: Recipients of one campaign.
MAX_RECIPIENTS = 5000
#: Messages per minute: the maximum, and the default.
MAX_PER_MINUTE, PER_MINUTE = 600, 60
#: How far ahead a campaign may be scheduled.
MAX_AHEAD = timedelta(days=60)
#: Kinds of sources: ids of records, or rows of a file.
KINDS = ("leads", "customers", "numbers")
#: Sources of a variable, besides fixed text and the columns of a file. None of them is ever masked.
FIELDS = ("first_name", "last_name", "full_name", "number", "client_id")


class Campaign(Record):
    """One message and its recipients."""

    __tablename__ = "campaign"
    __table_args__ = (Index("ix_campaign_state", "state", "start_on"), Index("ix_campaign_author", "created_by_id"))
    name: Mapped[str] = mapped_column(String(140), nullable=False)
    #: One of STATES.
    state: Mapped[str] = mapped_column(String(12), nullable=False, default="draft")
    #: whatsapp, sms or email; promotional or service.
    channel: Mapped[str] = mapped_column(String(16), nullable=False)
    purpose: Mapped[str] = mapped_column(String(16), nullable=False)
    #: The account that sends it; null = the first suitable one.
    account_id: Mapped[int | None] = mapped_column(ForeignKey("channel_account.id", ondelete="SET NULL"))
    template_id: Mapped[int | None] = mapped_column(ForeignKey("message_template.id", ondelete="SET NULL"))
    subject: Mapped[str | None] = mapped_column(String(200))
    #: The text with its {{variables}}; for a template, as it was when the campaign was saved.
    body: Mapped[str] = mapped_column(Text, nullable=False)
    #: Variable -> {"from": a field, "column:<name>" or "text", "text": the fixed text, or the fallback for an empty
    #: value}.
    variables: Mapped[dict[str, dict[str, str]]] = mapped_column(JSON, nullable=False, default=dict)
    per_minute: Mapped[int] = mapped_column(Integer, nullable=False)
    #: One of KINDS; and the ids, or [number, {column: value}] of each row, in order.
    kind: Mapped[str] = mapped_column(String(12), nullable=False)
    source: Mapped[list[Any]] = mapped_column(JSON, nullable=False, deferred=True)
    #: The number of items, and how many of them have been turned into recipients.
    total: Mapped[int] = mapped_column(Integer, nullable=False)
    filled: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    #: When it is to start, when it did and when it ended, UTC.
    start_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    started_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Whose rights apply while it runs: whoever started it.
    sender_id: Mapped[int | None] = mapped_column(ForeignKey("ab_user.id"))
    #: Until when its rate is used up, UTC; no worker needs to look again before that.
    paced_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    next_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Why it is paused, as a sentence.
    reason: Mapped[str | None] = mapped_column(String(300))


class CampaignRecipient(Record):
    """One person of a campaign. The database allows each address and each person once per campaign."""

    __tablename__ = "campaign_recipient"
    __table_args__ = (
        UniqueConstraint("campaign_id", "address", name="uq_campaign_address"),
        UniqueConstraint("campaign_id", "person", name="uq_campaign_person"),
        Index("ix_campaign_recipient_state", "campaign_id", "state", "id"),
        Index("ix_campaign_recipient_message", "message_id"),
    )
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaign.id", ondelete="CASCADE"), nullable=False)
    #: A number in E.164 or an email address; null if the recipient is excluded because of it.
    address: Mapped[str | None] = mapped_column(String(254))
    #: Who it is, such as "customer 12" or "lead 7"; null as above, and for a number without a record.
    person: Mapped[str | None] = mapped_column(String(24))
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("leads.id", ondelete="SET NULL"))
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customer.id", ondelete="SET NULL"))
    #: One of RECIPIENT_STATES; and one of REASONS with its sentence.
    state: Mapped[str] = mapped_column(String(12), nullable=False)
    code: Mapped[str | None] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(String(300))
    #: The variables by name, as read from the record.
    variables: Mapped[dict[str, str] | None] = mapped_column(JSON)
    message_id: Mapped[int | None] = mapped_column(ForeignKey("message.id", ondelete="SET NULL"))


@dataclass(frozen=True)
class CampaignInput:
    """What a person enters for a campaign."""

    name: str
    channel: str
    body: str = ""
    template_id: int | None = None
    account_id: int | None = None
    purpose: str = "promotional"
    subject: str | None = None
    variables: dict[str, dict[str, str]] = field(default_factory=dict)
    per_minute: int = PER_MINUTE


@dataclass(frozen=True)
class RecipientSource:
    """Where the recipients come from: ids of leads or customers that the person sees, or rows of a file."""

    kind: str
    items: Sequence[Any]


# --- drafts


def create(session: Session, name: str, source: RecipientSource, stamp: Stamp) -> Campaign:
    """Add a draft with its recipients; `change` sets what it says. Raises RuleBroken."""
    items = list(dict.fromkeys(source.items)) if source.kind != "numbers" else list(source.items)
    _refuse_source(source.kind, items)
    campaign = Campaign(kind=source.kind, source=items, total=len(items), filled=0, state="draft")
    campaign.name, campaign.channel, campaign.purpose = name[:140] or "Campaign", "sms", "promotional"
    campaign.body, campaign.variables, campaign.per_minute = "", {}, PER_MINUTE
    campaign.stamp(stamp)
    session.add(campaign)
    session.flush()
    _audit(session, campaign, stamp, "created", recipients=campaign.total)
    return campaign


def change(session: Session, campaign: Campaign, plan: CampaignInput, stamp: Stamp) -> None:
    """Set what a draft sends; `campaign_recipients.add_recipients` then checks its recipients. Raises RuleBroken."""
    lock(session, campaign)
    if campaign.state != "draft":
        raise Conflict("This campaign has been started. Only a draft can be edited.")
    _plan(session, campaign, plan)
    campaign.filled = 0
    campaign.stamp(stamp)
    session.execute(delete(CampaignRecipient).where(CampaignRecipient.campaign_id == campaign.id))
    session.flush()
    transaction_state(session).campaigns.append(campaign.id)


def remove(session: Session, campaign: Campaign, stamp: Stamp) -> None:
    """Delete a draft. Raises Conflict once it was started: what was sent stays on record."""
    lock(session, campaign)
    if campaign.state != "draft":
        raise Conflict("This campaign has been started, so it stays on record. Stop it instead.")
    _audit(session, campaign, stamp, "deleted")
    session.execute(delete(CampaignRecipient).where(CampaignRecipient.campaign_id == campaign.id))
    session.delete(campaign)
    session.flush()


def _refuse_source(kind: str, items: list[Any]) -> None:
    if kind not in KINDS:
        raise RuleBroken("Please choose leads, customers or a file of numbers.", "kind")
    if not items:
        raise RuleBroken("Nobody is chosen yet. Please select leads or customers, or upload a file.", "kind")
    if len(items) > MAX_RECIPIENTS:
        text = "A campaign goes to at most %(most)s people; these are more. Please narrow the list down."
        raise RuleBroken(translatable(text, most=grouped(MAX_RECIPIENTS)), "kind")


def _plan(session: Session, campaign: Campaign, plan: CampaignInput) -> None:
    name = " ".join(plan.name.split())
    if not name or len(name) > 140:
        raise RuleBroken("Please give the campaign a name of at most 140 characters.", "name")
    if plan.channel not in CHANNELS:
        raise RuleBroken("Please choose WhatsApp, SMS or email.", "channel")
    if not 1 <= plan.per_minute <= MAX_PER_MINUTE:
        text = "Please enter from 1 to %(most)s messages per minute."
        raise RuleBroken(translatable(text, most=MAX_PER_MINUTE), "per_minute")
    template = session.get(MessageTemplate, plan.template_id) if plan.template_id else None
    body = _text(plan, template)
    purpose = template.purpose if template else plan.purpose
    if purpose not in PURPOSES:
        raise RuleBroken("Please say whether the message is promotional or a service message.", "purpose")
    _refuse_account(session, plan, template, purpose)
    campaign.name, campaign.channel, campaign.purpose, campaign.body = name, plan.channel, purpose, body
    campaign.account_id, campaign.template_id = plan.account_id, template.id if template else None
    campaign.subject = (plan.subject or "").strip()[:200] or None
    campaign.variables = _variables(campaign, plan.variables)
    campaign.per_minute = plan.per_minute


def _text(plan: CampaignInput, template: MessageTemplate | None) -> str:
    if template is not None:
        if template.channel != plan.channel or template.approval not in message_templates.USABLE:
            raise RuleBroken("This template can't be used on this channel. Please choose another one.", "template")
        return template.body
    if plan.channel == "whatsapp":
        text = "A WhatsApp campaign needs an approved template: most people haven't written within the last 24 hours."
        raise RuleBroken(text, "template")
    if not plan.body.strip():
        raise RuleBroken("Please enter a text or choose a template.", "body")
    return plan.body.strip()


def _refuse_account(session: Session, plan: CampaignInput, template: MessageTemplate | None, purpose: str) -> None:
    fitting = {each.id for each in channel_accounts.active(session, plan.channel, purpose)}
    if not fitting:
        text = "Nothing can be sent on this channel yet. An admin has to add an account in Settings, Channels."
        raise RuleBroken(text, "channel")
    if plan.account_id is not None and plan.account_id not in fitting:
        raise RuleBroken("This account can't send on this channel. Please choose another one.", "account")
    if template is not None and template.account_id is not None and plan.account_id not in (None, template.account_id):
        raise RuleBroken("This template belongs to another account. Please choose that account.", "account")


def _variables(campaign: Campaign, given: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """The source of each variable of the text. Raises RuleBroken for one without a source, or an unknown one."""
    made, columns = {}, columns_of(campaign)
    for name in message_templates.variables(campaign):
        origin = given[name] if name in given else _guessed(campaign, name)
        place, text = str(origin.get("from") or ""), str(origin.get("text") or "").strip()[:300]
        is_known = place in FIELDS or place == "text" or place.removeprefix("column:") in columns
        if not is_known or (place == "text" and not text):
            raise RuleBroken(translatable("Please say what “%(name)s” is filled with.", name=name), f"var.{name}")
        made[name] = {"from": place, "text": text}
    return made


def _guessed(campaign: Campaign, name: str) -> dict[str, str]:
    """The source of a variable about which the form said nothing: the field of its name, as the form proposes."""
    return {"from": name} if campaign.kind != "numbers" and name in FIELDS else {}


def columns_of(campaign: Campaign) -> tuple[str, ...]:
    """The columns of the file besides the number; none for records."""
    return tuple(campaign.source[0][1]) if campaign.kind == "numbers" and campaign.source else ()


# --- starting, pausing, stopping


def lock(session: Session, campaign: Campaign) -> Campaign:
    """Lock the campaign until the end of the transaction, so that one worker at a time continues it."""
    session.refresh(campaign, with_for_update=True)
    return campaign


def is_checked(campaign: Campaign) -> bool:
    """Whether the campaign has a text and all its recipients have been filled in."""
    return bool(campaign.body) and campaign.filled >= campaign.total


def start(session: Session, campaign: Campaign, start_on: datetime | None, stamp: Stamp) -> None:
    """Start a draft, now or at a time. Raises Conflict, RuleBroken."""
    lock(session, campaign)
    if campaign.state not in ("draft", "scheduled"):
        raise Conflict("This campaign has already been started.")
    if not campaign.body:
        raise RuleBroken("Please enter first what is to be sent.", "body")
    if not is_checked(campaign):
        raise Conflict("The recipients are still being checked. Please wait a moment.")
    if start_on is not None and not stamp.now < start_on <= stamp.now + MAX_AHEAD:
        raise RuleBroken("Please choose a time within the next 60 days.", "start_on")
    campaign.start_on, campaign.sender_id = start_on, stamp.by
    campaign.state = "scheduled" if start_on else "running"
    if not start_on:
        _begin(campaign, stamp.now)
        transaction_state(session).campaigns.append(campaign.id)
    campaign.stamp(stamp)
    _audit(session, campaign, stamp, "scheduled" if start_on else "started", recipients=campaign.total)


def begin(session: Session, campaign: Campaign, now: datetime) -> None:
    """Start a scheduled campaign whose time has come; it is locked."""
    campaign.state = "running"
    _begin(campaign, now)
    _audit(session, campaign, Stamp(None, now), "started")


def _begin(campaign: Campaign, now: datetime) -> None:
    campaign.started_on = campaign.started_on or now
    campaign.paced_on, campaign.next_on, campaign.reason = now, None, None


def unschedule(session: Session, campaign: Campaign, stamp: Stamp) -> None:
    """Make a scheduled campaign a draft again. Raises Conflict."""
    _move(session, campaign, "draft", stamp)
    campaign.start_on = None


def pause(session: Session, campaign: Campaign, stamp: Stamp, reason: str | None = None) -> None:
    """Send nothing more until it is resumed. Raises Conflict if it isn't running."""
    _move(session, campaign, "paused", stamp)
    campaign.reason = reason


def resume(session: Session, campaign: Campaign, stamp: Stamp) -> None:
    """Continue; from now on the rights of this person apply. Raises Conflict if it isn't paused."""
    _move(session, campaign, "running", stamp)
    campaign.sender_id = stamp.by
    _begin(campaign, stamp.now)
    transaction_state(session).campaigns.append(campaign.id)
    _change_queued(session, campaign, {"due_on": stamp.now})


def stop(session: Session, campaign: Campaign, stamp: Stamp) -> None:
    """End it permanently: messages not sent yet are canceled. Raises Conflict if it has ended, or is a draft."""
    _move(session, campaign, "stopped", stamp)
    campaign.ended_on = stamp.now
    waiting = (CampaignRecipient.campaign_id == campaign.id, CampaignRecipient.state == "waiting")
    step = update(CampaignRecipient).where(*waiting).values(state="canceled", changed_on=stamp.now)
    session.execute(step, execution_options=_UNSYNCHRONIZED)
    values = {"state": "canceled", "due_on": None, "changed_on": stamp.now, "changed_by_id": stamp.by}
    _change_queued(session, campaign, values)


def finish(session: Session, campaign: Campaign, now: datetime) -> None:
    """Mark a locked campaign as finished: every recipient was addressed or left out."""
    campaign.state, campaign.ended_on = "done", now
    _audit(session, campaign, Stamp(None, now), "done")


_UNSYNCHRONIZED: Any = {"synchronize_session": False}


def _change_queued(session: Session, campaign: Campaign, values: dict[str, Any]) -> None:
    """Change its queued messages. They are selected first: MariaDB would read all messages for an IN."""
    query = select(Message.id).join(CampaignRecipient, CampaignRecipient.message_id == Message.id)
    mine = (CampaignRecipient.campaign_id == campaign.id, CampaignRecipient.state == "addressed")
    ids = list(session.scalars(query.where(*mine, Message.state == "queued")))
    if ids:
        step = update(Message).where(Message.id.in_(ids), Message.state == "queued").values(values)
        session.execute(step, execution_options=_UNSYNCHRONIZED)
        transaction_state(session).messages.extend(ids if values.get("due_on") else [])


#: State -> the states from which a campaign gets it by hand.
_MOVES = {
    "draft": ("scheduled",),
    "paused": ("running",),
    "running": ("paused",),
    "stopped": ("scheduled", "running", "paused"),
}
_LATE = {
    "draft": "This campaign isn't scheduled any more. Please reload the page.",
    "paused": "This campaign isn't running, so it can't be paused. Please reload the page.",
    "running": "This campaign isn't paused. Please reload the page.",
    "stopped": "This campaign has already ended, or was never started. Please reload the page.",
}


def _move(session: Session, campaign: Campaign, state: str, stamp: Stamp) -> None:
    lock(session, campaign)
    if campaign.state not in _MOVES[state]:
        raise Conflict(_LATE[state])
    campaign.state = state
    campaign.stamp(stamp)
    _audit(session, campaign, stamp, state)


def _audit(session: Session, campaign: Campaign, stamp: Stamp, what: str, **more: Any) -> None:
    payload = {"what": what, "channel": campaign.channel, "purpose": campaign.purpose, **more}
    audit.write(session, "campaign", stamp.by, stamp.now, f"campaign {campaign.id}", **payload)


# --- the campaign of a message


def of_message(message: Any) -> int | None:
    """The id of the campaign that sent a message; None if none did."""
    return int(message.cause.split(":")[1]) if is_of_campaign(message) else None


def state_of(session: Session, message: Any) -> str | None:
    """The state of the campaign that sent a message; None if none did."""
    key = of_message(message)
    return session.scalars(select(Campaign.state).where(Campaign.id == key)).first() if key is not None else None
