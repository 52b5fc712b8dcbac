"""One finished campaign, with its results and the consents behind it."""

from __future__ import annotations

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
        owner = customers.get(lead["customer_id"]) or lead
        _recipient(builder, campaign, lead, owner, n, seen)


def _recipient(builder: DemoBuilder, campaign: Row, lead: Row, owner: Row, n: int, seen: set[str]) -> None:
    number, at = owner["mobile_e164"], campaign["started_on"] + timedelta(seconds=2 * n)
    person = f"customer {lead['customer_id']}" if lead["customer_id"] else f"lead {lead['id']}"
    own = {"campaign_id": campaign["id"], "lead_id": lead["id"], "customer_id": lead["customer_id"], **stamps(None, at)}
    code, reason = _left_out(owner, number, person, seen, n)
    if code:
        builder.add(models.CampaignRecipient, state="left_out", code=code, reason=reason, **own)
        return
    seen |= {number, person}
    if code is None and n % 23 == 11:
        _consent(builder, lead, number, at, "given")
    made = builder.add(models.CampaignRecipient, address=number, person=person, state="addressed", **own)
    message = _message(builder, campaign, lead, owner, n)
    message["cause"] = f"campaign:{campaign['id']}:{made['id']}"
    made["message_id"] = message["id"]


def _left_out(owner: Row, number: Any, person: str, seen: set[str], n: int) -> tuple[str | None, str | None]:
    if not number:
        return "no_address", "There is no phone number."
    if number in seen or person in seen:
        return "duplicate", "This person or number is in the list already."
    if owner.get("no_sms") or n % 17 == 5:
        wanted = "This customer doesn't want promotional messages on this channel. Only service messages are allowed."
        return "opted_out", wanted
    return None, None


def _message(builder: DemoBuilder, campaign: Row, lead: Row, owner: Row, n: int) -> Row:
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


def _consent(builder: DemoBuilder, lead: Row, number: str, at: Any, action: str) -> None:
    builder.add(
        models.Consent,
        channel="sms",
        address=number,
        purpose="promotional",
        action=action,
        happened_on=at - timedelta(days=40),
        how="form",
        words="I agree to receive offers and market news of Eshin Broking by SMS.",
        language="en",
        evidence=f"Account opening form, page 3 ({lead['number']})",
        lead_id=lead["id"],
        customer_id=lead["customer_id"],
        **stamps(lead["assignee_id"] or lead["owner_id"], at - timedelta(days=40)),
    )
