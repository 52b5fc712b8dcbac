"""Conversations on the console provider: with leads, and with unknown numbers."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any

from app import models
from app.channels import console_provider
from app.demo.builder import DemoBuilder, Row, stamps
from app.demo.sample_text import CONVERSATIONS, FIRST, STRANGERS
from app.lib.sample_files import SAMPLES
from app.lib.token_hash import hash_token

#: Number of the most recently changed leads that have a conversation.
THREADS = 28
ACCOUNT = "Demo desk"
#: Number of calls that have a recording, and its most seconds.
RECORDED, MAX_SECONDS = 12, 45


def make_conversations(builder: DemoBuilder) -> None:
    """Make an account of the console provider and its conversations; nothing without a vault, which seals its token."""
    if builder.vault is None:
        return
    account = _account(builder)
    wanted = max(2, round(THREADS * min(1.0, builder.size / 400)))
    customers = {row["id"]: row for row in builder.rows_of(models.Customer)}
    for n, lead in enumerate(_newest_leads(builder, wanted)):
        person = customers.get(lead["customer_id"]) or lead
        channel, turns = CONVERSATIONS[n % len(CONVERSATIONS)]
        began = _last_said_on(builder, n)
        record_ids = {"lead_id": lead["id"], "customer_id": lead["customer_id"], "ticket_id": None}
        talk = _conversation(builder, account, {"channel": channel, "peer": person["mobile_e164"]}, began)
        talk |= {**record_ids, "claimed_by_id": lead["assignee_id"], "claimed_on": began}
        _say(builder, talk, turns, lead["assignee_id"])
    _record_calls(builder, account)
    for n, (channel, text) in enumerate(STRANGERS):
        began = builder.now - timedelta(minutes=9 + n * 47)
        talk = _conversation(builder, account, {"channel": channel, "peer": builder.mobile()[1]}, began)
        talk["peer_name"] = builder.choose(FIRST)[0] if n % 2 else None
        _say(builder, talk, (("in", text),), None)


def _last_said_on(builder: DemoBuilder, n: int) -> datetime:
    """When the last message of the conversation with this place in the inbox was sent, UTC."""
    return builder.now - timedelta(minutes=14 + n * n * 7)


def _newest_leads(builder: DemoBuilder, wanted: int) -> list[Row]:
    """The leads that changed last, by place in the inbox; known at least an hour before the last message."""
    leads = [row for row in builder.rows_of(models.Lead) if row["id"] not in builder.left_alone_on]
    found: list[Row] = []
    for row in sorted(leads, key=lambda row: (row["changed_on"], row["id"]), reverse=True):
        if len(found) < wanted and row["created_on"] < _last_said_on(builder, len(found)) - timedelta(hours=1):
            found.append(row)
    return found


def _record_calls(builder: DemoBuilder, account: Row) -> None:
    """Give some of the newest calls the account and an invented recording, which the queue fetches."""
    calls = [
        row for row in builder.rows_of(models.CallLog) if row["direction"] == "Outgoing" and row["duration_seconds"]
    ]
    for call in sorted(calls, key=lambda row: row["started_on"])[-RECORDED:]:
        call |= {"medium": "console", "account_id": account["id"], "provider_id": f"demo-{call['id']}"}
        call |= {"from_number": "+911600123456", "device_call_id": None, "native": {}}
        address = console_provider.tone_address(min(call["duration_seconds"], MAX_SECONDS))
        builder.add(
            models.CallRecording,
            call_id=call["id"],
            address=address,
            address_hash=hashlib.sha256(address.encode()).hexdigest(),
            state="queued",
            tries=0,
            due_on=builder.now - timedelta(minutes=2),
            **stamps(None, call["started_on"]),
        )


def _account(builder: DemoBuilder) -> Row:
    assert builder.vault is not None  # noqa: S101  # checked by the caller
    token = "".join(builder.rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=43))
    return builder.add(
        models.ChannelAccount,
        name=ACCOUNT,
        kind="console",
        channels=["whatsapp", "sms", "email", "voice"],
        is_active=True,
        settings={},
        token_hash=hash_token(token),
        token_sealed=builder.vault.seal(token),
        caller_ids=[
            {"number": "+911600123456", "purpose": "service"},
            {"number": "+911401234567", "purpose": "promotional"},
        ],
        version=1,
        last_success_on=builder.now,
        **stamps(None, builder.now - timedelta(days=30)),
    )


def _conversation(builder: DemoBuilder, account: Row, address: Row, began: datetime) -> Row:
    return builder.add(
        models.Conversation,
        **address,
        account_id=account["id"],
        state="open",
        unread=0,
        last_message_id=None,
        last_message_on=began,
        last_inbound_on=None,
        **stamps(None, began),
    )


def _say(builder: DemoBuilder, talk: Row, turns: Any, by: int | None) -> None:
    """Add the messages of a conversation; the last one at the time of its last change."""
    ended = talk["last_message_on"]
    at = ended - timedelta(minutes=11 * (len(turns) - 1))
    for n, (direction, text, *files) in enumerate(turns):
        is_last = n == len(turns) - 1
        message = _message(builder, talk, (direction, text), at)
        _attach(builder, message, files, at)
        message |= stamps(by if direction == "out" else None, at)
        message["state"] = "delivered" if direction == "in" or is_last else "read"
        payload = {name: message[name] for name in ("channel", "direction", "state")} | {"message": message["id"]}
        record_ids = {name: talk[name] for name in ("lead_id", "customer_id") if talk.get(name)}
        if record_ids:
            builder.add_activity("message", at, message["created_by_id"], record_ids, **payload)
        talk |= {"last_message_id": message["id"], "last_message_on": at, "changed_on": at}
        if direction == "in":
            talk |= {"last_inbound_on": at, "unread": talk["unread"] + 1}
        else:
            talk["unread"] = 0
        at += timedelta(minutes=11)


def _attach(builder: DemoBuilder, message: Row, names: list[str], at: datetime) -> None:
    """Attach invented files, which the queue fetches."""
    for place, name in enumerate(names):
        address, kind = console_provider.SAMPLE_MARK + name, SAMPLES[name][0]
        message["media"] = [*(message.get("media") or ()), {"address": address, "mime_type": kind, "name": name}]
        builder.add(
            models.MessageFile,
            message_id=message["id"],
            place=place,
            state="queued",
            tries=0,
            next_try_on=builder.now - timedelta(minutes=2),
        )


def _message(builder: DemoBuilder, talk: Row, turn: tuple[str, str], at: datetime) -> Row:
    direction, text = turn
    return builder.add(
        models.Message,
        channel=talk["channel"],
        direction=direction,
        peer=talk["peer"],
        body=text,
        native={},
        tries=1 if direction == "out" else 0,
        happened_on=at,
        purpose="service",
        account_id=talk["account_id"],
        conversation_id=talk["id"],
        lead_id=talk.get("lead_id"),
        customer_id=talk.get("customer_id"),
    )
