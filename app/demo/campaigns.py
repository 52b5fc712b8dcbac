"""One finished campaign, with its results and the consents behind it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from app import models
from app.demo.builder import DemoBuilder, Row, stamps
from app.demo.conversations import ACCOUNT

#: Number of recipients for 400 leads.
PEOPLE = 60
NAME, TEXT = (
    "Diwali greetings",
    "Happy Diwali, {{first_name}}! Our branches are closed on Friday and open again on Monday.",
)
#: The final states of the messages, in turn.
_ENDS = ("read", "delivered", "delivered", "read", "delivered", "sent", "delivered", "read", "failed", "delivered")
_REFUSED = "The number can't receive this message: it is switched off, out of reach or doesn't exist."


def make_campaign(builder: DemoBuilder) -> None:
    """Make the campaign of a manager, unless there is no account."""
    account = next((each for each in builder.rows_of(models.ChannelAccount) if each["name"] == ACCOUNT), None)
    if account is None:
        return
    began = builder.now - timedelta(days=6, hours=5)
    alone = builder.left_alone_on  # nothing happens to a lead after work on it ended
    leads = [row for row in builder.rows_of(models.Lead) if row["created_on"] < began and row["id"] not in alone]
    chosen = leads[: max(4, round(PEOPLE * min(1.0, builder.size / 400)))]
    author = next(each["id"] for each in builder.rows_of(models.User) if each["manager_id"] is None)
    ended = began + timedelta(seconds=2 * len(chosen))
    campaign = builder.add(
        models.Campaign,
        name=NAME,
        state="done",
        channel="sms",
        purpose="promotional",
        account_id=account["id"],
        body=TEXT,
        variables={"first_name": {"from": "first_name", "text": "friend"}},
        per_minute=30,
        kind="leads",
        source=[each["id"] for each in chosen],
        total=len(chosen),
        filled=len(chosen),
        started_on=began,
        ended_on=ended,
        sender_id=author,
        **(stamps(author, began - timedelta(minutes=9)) | {"changed_on": ended}),
    )
    customers = {row["id"]: row for row in builder.rows_of(models.Customer)}
    seen: set[str] = set()
    for n, lead in enumerate(chosen):
        chosen_lead = _Recipient(lead, customers.get(lead["customer_id"]) or lead, n)
        _add_recipient(builder, campaign, chosen_lead, seen)


@dataclass(frozen=True)
class _Recipient:
    """A lead that the campaign has chosen."""

    lead: Row
    #: Whose name and number are used: the lead's customer, or the lead itself.
    owner: Row
    #: The place in the list, from 0.
    place: int

    @property
    def number(self) -> Any:
        return self.owner["mobile_e164"]

    @property
    def person(self) -> str:
        customer = self.lead["customer_id"]
        return f"customer {customer}" if customer else f"lead {self.lead['id']}"


def _add_recipient(builder: DemoBuilder, campaign: Row, recipient: _Recipient, seen: set[str]) -> None:
    lead, at = recipient.lead, campaign["started_on"] + timedelta(seconds=2 * recipient.place)
    own = {"campaign_id": campaign["id"], "lead_id": lead["id"], "customer_id": lead["customer_id"], **stamps(None, at)}
    code, reason = _left_out(recipient, seen)
    if code:
        builder.add(models.CampaignRecipient, state="left_out", code=code, reason=reason, **own)
        return
    seen |= {recipient.number, recipient.person}
    if recipient.place % 23 == 11:
        _add_consent(builder, lead, recipient.number, at)
    address, person = recipient.number, recipient.person
    made = builder.add(models.CampaignRecipient, address=address, person=person, state="addressed", **own)
    message = _message(builder, campaign, recipient)
    message["cause"] = f"campaign:{campaign['id']}:{made['id']}"
    made["message_id"] = message["id"]


def _left_out(recipient: _Recipient, seen: set[str]) -> tuple[str | None, str | None]:
    if not recipient.number:
        return "no_address", "There is no phone number."
    if recipient.number in seen or recipient.person in seen:
        return "duplicate", "This person or number is in the list already."
    if recipient.owner.get("no_sms") or recipient.place % 17 == 5:
        wanted = "This customer doesn't want promotional messages on this channel. Only service messages are allowed."
        return "opted_out", wanted
    return None, None


def _message(builder: DemoBuilder, campaign: Row, recipient: _Recipient) -> Row:
    lead, owner, n = recipient.lead, recipient.owner, recipient.place
    at = campaign["started_on"] + timedelta(seconds=2 * n + 1)
    state = _ENDS[n % len(_ENDS)]
    name = owner["first_name"] or "friend"
    message = builder.add(
        models.Message,
        channel="sms",
        direction="out",
        peer=owner["mobile_e164"],
        body=TEXT.replace("{{first_name}}", name),
        state=state,
        reason=_REFUSED if state == "failed" else None,
        purpose="promotional",
        native={},
        tries=1,
        happened_on=None if state == "failed" else at,
        delivered_on=at + timedelta(seconds=9) if state in ("delivered", "read") else None,
        read_on=at + timedelta(minutes=6 + n % 50) if state == "read" else None,
        account_id=campaign["account_id"],
        lead_id=lead["id"],
        customer_id=lead["customer_id"],
        variables={"first_name": name},
        **stamps(campaign["sender_id"], at),
    )
    record_ids = {key: lead["id"] if key == "lead_id" else lead["customer_id"] for key in ("lead_id", "customer_id")}
    payload = {"channel": "sms", "direction": "out", "state": state, "message": message["id"]}
    builder.add_activity("message", at, campaign["sender_id"], {k: v for k, v in record_ids.items() if v}, **payload)
    return message


def _add_consent(builder: DemoBuilder, lead: Row, number: str, at: Any) -> None:
    builder.add(
        models.Consent,
        channel="sms",
        address=number,
        purpose="promotional",
        action="given",
        happened_on=at - timedelta(days=40),
        how="form",
        words="I agree to receive offers and market news of Eshin Broking by SMS.",
        language="en",
        evidence=f"Account opening form, page 3 ({lead['number']})",
        lead_id=lead["id"],
        customer_id=lead["customer_id"],
        **stamps(lead["assignee_id"] or lead["owner_id"], at - timedelta(days=40)),
    )
