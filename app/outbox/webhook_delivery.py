"""Webhook deliveries. A receiver gets each at least once; repetitions have the same key."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from flask import current_app
from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from app import access
from app.channels.webhook import WebhookClient, WebhookResponse, signature
from app.domain import webhooks
from app.domain.persistence.bulk_statements import execute_counted
from app.extensions import db
from app.lib.field_encryption import Vault
from app.models import User, Webhook, WebhookDelivery
from app.outbox import delivery_engine
from app.outbox.delivery_engine import DeliveryKind, DeliveryResult, NotSent, NotToBeSent

#: Characters of a response that are stored.
MAX_ANSWER = 200
GONE = 410
NOT_SEEN = "The record was deleted, or the webhook's user can't see it."
NOT_ACTIVE = "The webhook's user is no longer active."
BROKEN_OFF = "Sending was interrupted. It may have arrived and will be resent."

#: (session of a person, kind, id, now) -> the record as REST shows it to this person; None if they can't see it.
Serializer = Callable[[Session, str, int, datetime], dict[str, Any] | None]


@dataclass(frozen=True)
class WebhookSender:
    """What this process needs to send webhooks."""

    client: WebhookClient
    serialize: Serializer
    #: Seconds before the second, third … attempt; there is one attempt more than there are waits.
    waits: tuple[int, ...]


@dataclass(frozen=True)
class WebhookResult(DeliveryResult):
    """The result of one attempt, and its consequence for the webhook."""

    response: WebhookResponse | None = None
    #: The new (state, why) of its webhook; None = unchanged.
    stop: webhooks.Stop | None = None


class _UserInactive(NotSent):
    """The webhook's user is inactive: the delivery waits, and the webhook is paused."""

    def __init__(self) -> None:
        super().__init__(WebhookResult("queued", NOT_ACTIVE, was_attempted=False, stop=webhooks.Stop("paused", "user")))


def send(key: str) -> None:
    """Send one webhook delivery that is due. The function's path is stored in queues."""
    delivery_engine.deliver(WEBHOOKS, key)


def _sender() -> WebhookSender:
    sender: WebhookSender = current_app.extensions["crm_webhook_sender"]
    return sender


def _waits(row: WebhookDelivery) -> Sequence[int]:
    """The waits of the webhook; a test is sent only once, because somebody waits for it."""
    return () if row.event == webhooks.TEST else _sender().waits


# --- what is sent


@dataclass(frozen=True)
class _Request:
    url: str
    headers: dict[str, str]
    body: bytes


def _prepare(row: WebhookDelivery) -> _Request:
    """The request to its webhook. Raises NotToBeSent, _UserInactive."""
    with Session(db.engine, expire_on_commit=False) as session, access.as_system(session):
        hook = session.scalars(select(Webhook).where(Webhook.id == row.webhook_id)).one()
    vault: Vault = current_app.extensions["vault"]
    body = orjson.dumps(_payload(row, hook), default=str)
    return _Request(hook.url, headers_of(row, vault.open(hook.secret_sealed), body, datetime.now(UTC)), body)


def headers_of(row: WebhookDelivery, secret: str, body: bytes, now: datetime) -> dict[str, str]:
    """The request's headers; the signature covers the timestamp and the body."""
    timestamp = str(int(now.timestamp()))
    return {
        "Content-Type": "application/json",
        "User-Agent": "EshinCRM-Webhook/1",
        "X-CRM-Event": row.event,
        "X-CRM-Delivery": row.key,
        "X-CRM-Timestamp": timestamp,
        "X-CRM-Signature": signature(secret, timestamp, body),
    }


def _payload(row: WebhookDelivery, hook: Webhook) -> dict[str, Any]:
    """The event, and the record as it is now. Raises NotToBeSent, _UserInactive."""
    payload = {"id": row.key, "event": row.event, "at": row.at.isoformat()}
    if row.event == webhooks.TEST or row.record_id is None:
        return payload | {"record": None}
    kind, _dot, event = row.event.partition(".")
    with Session(db.engine, expire_on_commit=False) as session:
        _act_as_user(session, hook)
        if event == "deleted":
            return payload | {"record": {"id": row.record_id, "number": row.number}}
        record = _sender().serialize(session, kind, row.record_id, datetime.now(UTC))
    if record is None:
        raise NotToBeSent(NOT_SEEN)
    return payload | {"record": record}


def _act_as_user(session: Session, hook: Webhook) -> None:
    """Let the session act for the webhook's user. Raises _UserInactive."""
    with access.as_system(session):
        query = select(User.active, access.version_query()).where(User.id == hook.user_id)
        is_active, version = session.execute(query).one()
        if not is_active:
            raise _UserInactive
    access.act_as(session, access.person(session, hook.user_id, version or 0))


def _transmit(row: WebhookDelivery, request: _Request) -> WebhookResult:
    response = _sender().client.post(request.url, request.headers, request.body)
    if 200 <= response.code < 300:
        return WebhookResult("sent", response=response)
    if response.code == GONE:
        error = "The receiver answered 410 Gone."
        return WebhookResult("failed", error, response=response, stop=webhooks.Stop("off", "gone"))
    error = f"The receiver refused the delivery ({response.code})."
    if 300 <= response.code < 400:
        error = f"The receiver answered with a redirect ({response.code}), which is not followed."
    state = delivery_engine.retry(WEBHOOKS, row, error).state
    wait = response.retry_after if state == "queued" else 0.0  # otherwise the last attempt wouldn't count
    return WebhookResult(state, error, wait=wait, response=response)


# --- what is stored


def _columns(row: WebhookDelivery, result: DeliveryResult, now: datetime) -> dict[str, Any]:
    """The HTTP status and the beginning of the response."""
    response = result.response if isinstance(result, WebhookResult) else None
    text = response.text[:MAX_ANSWER].replace("\x00", "�") if response else ""
    return {"code": response.code if response else None, "answer": text or None}


def _on_settled(session: Session, row: WebhookDelivery, result: DeliveryResult, now: datetime) -> None:
    """Store the result in the webhook too, and stop it if the result says so."""
    if result.was_attempted:
        _count(session, row, result, now)
    if isinstance(result, WebhookResult) and result.stop:
        webhooks.disable(session, row.webhook_id, result.stop, now)


def _count(session: Session, row: WebhookDelivery, result: DeliveryResult, now: datetime) -> None:
    """Count consecutive failures; too many pause the webhook."""
    code = _columns(row, result, now)["code"]
    failures: Any = 0 if result.state == "sent" else Webhook.failures + 1
    values = {"tried_on": now, "result": f"HTTP {code}" if code else result.error, "failures": failures}
    execute_counted(session, update(Webhook).where(Webhook.id == row.webhook_id).values(values))
    failed = session.scalar(select(Webhook.failures).where(Webhook.id == row.webhook_id))
    if (failed or 0) >= webhooks.MAX_FAILURES:
        webhooks.disable(session, row.webhook_id, webhooks.Stop("paused", "failures"), now)


_is_on = WebhookDelivery.webhook_id.in_(select(Webhook.id).where(Webhook.state == "on"))

WEBHOOKS = DeliveryKind(
    label="webhook delivery",
    log=logging.getLogger("crm.webhooks"),
    model=WebhookDelivery,
    key=WebhookDelivery.key,
    began_on=WebhookDelivery.tried_on,
    queue="default",  # a receiver that does not respond must not hold up email
    send=send,
    waits=_waits,
    prepare=_prepare,
    transmit=_transmit,
    interrupted=DeliveryResult("queued", BROKEN_OFF),
    columns=_columns,
    on_settled=_on_settled,
    claimable=(or_(_is_on, WebhookDelivery.event == webhooks.TEST),),
    target_column=WebhookDelivery.webhook_id,
    sweepable=(or_(_is_on, WebhookDelivery.event == webhooks.TEST),),  # a test may also go to a paused one
)
