"""Messages to customers.

Each is sent at most once; if its fate is unknown, the provider is asked, or a person decides.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask, current_app
from sqlalchemy import Engine, or_, select, update
from sqlalchemy.orm import Session

from app import access
from app.channels.base import ChannelError, DeliveryUnknown
from app.channels.provider import Media, OutgoingMessage, Provider, ProviderRefusal, StatusUnavailable, Template
from app.domain.base import Stamp
from app.domain.inbound import provider_events
from app.domain.messaging import campaigns, consents, mail_sending, message_templates, messages, permitted_hours
from app.domain.persistence.bulk_statements import execute_counted
from app.domain.persistence.transaction_state import pop_committed, transaction_state
from app.extensions import db
from app.models import ChannelAccount, Message, MessageTemplate
from app.ops.queues import queue
from app.ops.redis.rate_counter import RateCounter
from app.outbox import (
    account_health,
    account_rate_limits,
    delivery_engine,
    outgoing_mail_parts,
    provider_clients,
    provider_files,
)
from app.outbox.delivery_engine import DeliveryKind, DeliveryResult, NotSent
from app.outbox.provider_clients import NoProvider, impersonal

#: Seconds before the second, third … attempt; there is one attempt more than there are waits.
WAITS = (5, 30, 120, 600, 1800, 7200, 14_400)
#: The longest wait that a provider can ask for, in seconds.
MAX_RETRY_AFTER = 3600.0
#: Seconds before a provider is asked (again) what became of a message.
ASK_WAITS = (20, 60, 300, 900, 3600, 14_400)
#: How long a message that the provider doesn't know may still be on its way.
SETTLED_AFTER = timedelta(seconds=60)
#: The queue of questions to providers; slow answers must not hold up sending.
ASK_QUEUE = "default"
#: A message that is due within this time is waited for; later ones are left to the sweep.
SOON = timedelta(minutes=2)
#: A message of a paused campaign is checked again after this many seconds; resuming it is faster.
PAUSED_SECONDS = 300.0
#: Messages of one commit that are queued at once; the sweep queues the others.
MAX_AT_ONCE = 500
ACCOUNT_GONE = "The account by which this message was to be sent no longer exists."
NEVER_RECEIVED = "The provider never received this message."
PAUSED = "The campaign is paused."
NOT_YET_PERMITTED = "Waits for the permitted hours."
NOT_KNOWN = "Unknown whether it arrived: sending was interrupted."
CANNOT_ASK = "Unknown whether it arrived, and the provider can't say. Please decide whether to send it again."
#: The provider's state -> ours: whatever it has accepted is sent.
_STATES = {"delivered": "delivered", "read": "read", "failed": "failed"}

log = logging.getLogger("crm.messages")


@dataclass(frozen=True)
class MessageResult(DeliveryResult):
    """The result of one attempt, as reported by the provider."""

    provider_id: str | None = None
    code: str | None = None
    #: Why the recipient must get no more promotional messages: opted_out, do_not_disturb, or "".
    unwanted: str = ""


def send(message_id: int) -> None:
    """Send one message that is due, or postpone it if its account is at its limit.

    The function's path is stored in queues.
    """
    _send(message_id, account_rate_limits.accounts_of([message_id]).get(message_id))


def send_several(*message_ids: int) -> None:
    """Send messages that have waited. The function's path is stored in queues."""
    accounts = account_rate_limits.accounts_of(message_ids)
    delivery_engine.send_in_turn(MESSAGES, message_ids, lambda each: _send(each, accounts.get(each)))


def _send(message_id: int, found: Any) -> None:
    if found is None or not found.is_active:
        return  # the sweep queues it when the account is active again
    if wait := _wait_until_due(found.due_on, datetime.now(UTC)):
        queue.enqueue_in(wait, MESSAGES.queue, send, message_id)
        return
    if wait := account_rate_limits.wait_for_turn(found, datetime.now(UTC)):
        _put_off(message_id, wait)
        return
    row = delivery_engine.claim(MESSAGES, message_id, datetime.now(UTC))
    if row is None:
        return
    result = delivery_engine.attempt(MESSAGES, row)
    delivery_engine.settle(MESSAGES, row, result, datetime.now(UTC))
    if result.was_attempted:
        # In a transaction of its own: otherwise all messages of an account would wait for its row, or for each other.
        account_health.record_result(found.id, None if result.state in messages.SENT else result.error or "")


def _wait_until_due(due_on: datetime | None, now: datetime) -> float:
    """Seconds until a message that was queued to be sent soon is due; 0 = it is, or the sweep finds it in time."""
    wait = (due_on - now if due_on else timedelta()) - delivery_engine.EARLY
    return wait.total_seconds() if timedelta() < wait <= SOON else 0.0


def _put_off(message_id: int, wait: float) -> None:
    due_on = datetime.now(UTC) + timedelta(seconds=wait)
    step = update(Message).where(Message.id == message_id, Message.state == "queued").values(due_on=due_on)
    with access.system_transaction() as session:
        if not execute_counted(session, step):
            return
    queue.enqueue_in(wait, MESSAGES.queue, send, message_id)


# --- what is sent


@dataclass(frozen=True)
class ReadyMessage:
    """A message with the client that sends it."""

    provider: Provider
    message: OutgoingMessage


def _prepare(row: Message) -> ReadyMessage:
    """The message with its client.

    Raises NotSent: the customer has opted out, it isn't a permitted hour, or the account can't be used.
    """
    now = datetime.now(UTC)
    with Session(db.engine, expire_on_commit=False) as session, access.as_system(session):
        _refuse_for_campaign(session, row)
        if reason := consents.refusal(session, row, now) or mail_sending.copy_refusal(session, row, now):
            raise NotSent(MessageResult("failed", str(reason), was_attempted=False, code="not wanted"))
        if until := permitted_hours.postponed_until(session, row, now, current_app.config["CRM"].time_zone):
            wait = (until - now).total_seconds()
            raise NotSent(DeliveryResult("queued", NOT_YET_PERMITTED, was_attempted=False, wait=wait))
        try:
            return ready(session, row)
        except NoProvider as error:
            raise NotSent(DeliveryResult("failed", str(error), was_attempted=False)) from error


def _refuse_for_campaign(session: Session, row: Message) -> None:
    """Raise NotSent for a message whose campaign was stopped or paused after it was put into the outbox."""
    state = campaigns.state_of(session, row)
    if state == "stopped":
        raise NotSent(DeliveryResult("canceled", was_attempted=False))
    if state == "paused":
        raise NotSent(DeliveryResult("queued", PAUSED, was_attempted=False, wait=PAUSED_SECONDS))


def ready(session: Session, row: Message) -> ReadyMessage:
    """The message in the form for its provider. Raises NoProvider."""
    account = session.get(ChannelAccount, row.account_id) if row.account_id else None
    if account is None:
        raise NoProvider(ACCOUNT_GONE)
    template = session.get(MessageTemplate, row.template_id) if row.template_id else None
    answered = session.get(Message, row.reply_to_id) if row.reply_to_id else None
    message = OutgoingMessage(
        key=f"m{row.id}",
        channel=row.channel,
        to=row.peer,
        text=provider_files.text_of(row),
        subject=row.subject or "",
        template=_template(template, row) if template else None,
        media=tuple(Media(**each) for each in row.media or ()),
        purpose=row.purpose,
        in_reply_to=(answered.provider_id or "") if answered else "",
        status_url=provider_clients.hook_url(account, row.channel),
    )
    complete = outgoing_mail_parts.complete if row.channel == "email" else provider_files.complete
    return ReadyMessage(provider_clients.provider_of(account), complete(session, row, account, message))


def _template(template: MessageTemplate, row: Message) -> Template:
    values = row.variables or {}
    names = message_templates.variables(template)
    given = tuple(values.get(name, "") for name in names)
    return Template(template.name or template.label, template.language, given, template.provider_id or "")


def _transmit(row: Message, prepared: ReadyMessage) -> DeliveryResult:
    try:
        accepted = prepared.provider.send(prepared.message)
    except DeliveryUnknown as error:
        return DeliveryResult("unknown", impersonal(error))
    except ChannelError as error:
        return _refused(row, error)
    state = _STATES.get(accepted.state, "sent")
    return MessageResult(state, provider_id=accepted.provider_id or None)


def _refused(row: Message, error: ChannelError) -> MessageResult:
    """The result of a refusal: permanent, or until the next attempt."""
    code = error.code[:40] if isinstance(error, ProviderRefusal) else ""
    # Spread out, a little later than the provider says.
    retry_after = min(error.retry_after, MAX_RETRY_AFTER) if isinstance(error, ProviderRefusal) else 0.0
    wait = retry_after * random.uniform(1, 1 + queue.JITTER)  # noqa: S311  # no secret
    state = "failed" if error.permanent else delivery_engine.retry(MESSAGES, row, "").state
    return MessageResult(
        state,
        impersonal(error),
        wait=wait if state == "queued" else 0.0,
        code=code or None,
        unwanted=error.unwanted if isinstance(error, ProviderRefusal) else "",
    )


# --- storing results


def _columns(row: Message, result: DeliveryResult, now: datetime) -> dict[str, Any]:
    values: dict[str, Any] = {"changed_on": now}
    if result.state in messages.SENT:
        values |= {"ask_on": None, "happened_on": row.happened_on or now}
    if result.state == "unknown":
        values["ask_on"] = now + timedelta(seconds=queue.add_jitter(ASK_WAITS[0]))
    if isinstance(result, MessageResult):
        values |= {"code": result.code} | ({"provider_id": result.provider_id} if result.provider_id else {})
    return values


def _on_settled(session: Session, row: Message, result: DeliveryResult, now: datetime) -> None:
    """Record the first response and who wants no more messages, and notify. `row` is as it was claimed."""
    if result.state in messages.SENT:
        messages.note_first_reply(session, row, now)
    if isinstance(result, MessageResult) and result.unwanted:
        unwanted = provider_events.Unwanted(result.unwanted, result.error or "")
        provider_events.note_unwanted(session, row, unwanted, Stamp(None, now))
    messages.mark_changed(session, row)


_is_on = Message.account_id.in_(select(ChannelAccount.id).where(ChannelAccount.is_active.is_(True)))

MESSAGES = DeliveryKind(
    label="message",
    log=log,
    model=Message,
    key=Message.id,
    began_on=Message.began_on,
    due_on=Message.due_on,
    why=Message.reason,
    queue="short",
    send=send,
    waits=lambda _row: WAITS,
    prepare=_prepare,
    transmit=_transmit,
    interrupted=DeliveryResult("unknown", NOT_KNOWN),
    columns=_columns,
    on_settled=_on_settled,
    target_column=Message.account_id,
    send_several=send_several,
    sweepable=(_is_on,),
)


# --- asking the provider


def find_unknown(session: Session, now: datetime, limit: int) -> list[int]:
    """The messages with an unknown outcome for which the provider has to be asked now."""
    is_due = or_(Message.ask_on.is_(None), Message.ask_on <= now)
    waits = (Message.state == "unknown", Message.asks <= len(ASK_WAITS), Message.account_id.is_not(None), is_due)
    left = min(limit, delivery_engine.room(ASK_QUEUE))
    return list(session.scalars(select(Message.id).where(*waits).order_by(Message.id).limit(left))) if left else []


def enqueue_question(message_id: int) -> str:
    """Ask the provider soon."""
    return "queued" if queue.enqueue(ASK_QUEUE, ask, message_id) else delivery_engine.SKIPPED


def ask(message_id: int) -> None:
    """Ask the provider what became of a message. The function's path is stored in queues."""
    now = datetime.now(UTC)
    is_due = or_(Message.ask_on.is_(None), Message.ask_on <= now + delivery_engine.EARLY)
    mine = (Message.id == message_id, Message.state == "unknown", Message.asks <= len(ASK_WAITS), is_due)
    values = {"asks": Message.asks + 1, "ask_on": now + timedelta(minutes=5)}
    with access.system_transaction() as session:
        if not execute_counted(session, update(Message).where(*mine).values(values)):
            return
        row = session.get_one(Message, message_id)
        try:
            prepared: ReadyMessage | str = ready(session, row)
        except NoProvider as error:
            prepared = str(error)
    decision = prepared if isinstance(prepared, str) else _answer(row, prepared)
    with access.system_transaction() as session:
        _settle_answer(session, message_id, decision, datetime.now(UTC))


@dataclass(frozen=True)
class _Found:
    state: str
    provider_id: str
    reason: str


def _answer(row: Message, prepared: ReadyMessage) -> _Found | float | str | None:
    """The provider's answer.

    None = it doesn't know the message, seconds = ask again later, a sentence = it can't tell.
    """
    since = (row.began_on or row.created_on) - timedelta(seconds=5)
    try:
        found = prepared.provider.find(prepared.message, row.provider_id or "", since)
    except StatusUnavailable:
        return CANNOT_ASK
    except ChannelError:
        return queue.add_jitter(ASK_WAITS[min(row.asks, len(ASK_WAITS) - 1)])
    except Exception:
        log.exception("the fate of message %s could not be asked", row.id)
        return queue.add_jitter(ASK_WAITS[min(row.asks, len(ASK_WAITS) - 1)])
    if found is None:
        age = datetime.now(UTC) - (row.began_on or row.created_on)
        return None if age >= SETTLED_AFTER else (SETTLED_AFTER - age).total_seconds()
    return _Found(_STATES.get(found.state, "sent"), found.provider_id, impersonal(found.reason))


def _settle_answer(session: Session, message_id: int, answer: _Found | float | str | None, now: datetime) -> None:
    row = session.scalars(select(Message).where(Message.id == message_id).with_for_update()).one()
    if row.state != "unknown":
        return  # a callback or a person was faster
    if isinstance(answer, _Found) and _is_anothers(session, row, answer.provider_id):
        answer = CANNOT_ASK  # the same text to the same person: the provider can't tell them apart
    if isinstance(answer, str):
        row.asks, row.ask_on, row.reason = len(ASK_WAITS) + 1, None, answer
    elif isinstance(answer, float):
        row.ask_on = now + timedelta(seconds=answer)
        if row.asks > len(ASK_WAITS):
            row.reason, row.ask_on = CANNOT_ASK, None
        else:
            queue.enqueue_in(answer, ASK_QUEUE, ask, message_id)
    elif answer is None:
        _send_again(session, row, now)
    else:
        row.provider_id = row.provider_id or answer.provider_id or None
        if messages.advance(session, row, answer.state, now):
            row.reason = answer.reason or None
    messages.mark_changed(session, row)


def _is_anothers(session: Session, row: Message, provider_id: str) -> bool:
    mine = (Message.account_id == row.account_id, Message.provider_id == provider_id, Message.id != row.id)
    return bool(provider_id) and session.execute(select(Message.id).where(*mine)).first() is not None


def _send_again(session: Session, row: Message, now: datetime) -> None:
    """Send it again, if there is an attempt left, because the provider doesn't know it."""
    if row.tries > len(WAITS):
        if messages.advance(session, row, "failed", now):
            row.reason = NEVER_RECEIVED
        return
    row.due_on, row.ask_on, row.asks, row.provider_id = now, None, 0, None
    messages.advance(session, row, "queued", now)
    transaction_state(session).messages.append(row.id)


# --- after the commit


#: The database whose messages this process sends.
_engine: Engine | None = None


def install(app: Flask, counter: RateCounter) -> None:
    """Send the committed messages of the app's database, as fast as this counter allows each account."""
    global _engine
    account_rate_limits.install(app, counter)
    account_health.forget()
    with app.app_context():
        _engine = db.engine


def enqueue_committed(session: Session) -> None:
    """Session hook, after a commit: queue its messages."""
    committed = pop_committed(session, "messages")
    if committed and session.get_bind() is _engine:
        for key in committed[:MAX_AT_ONCE]:
            delivery_engine.enqueue(MESSAGES, key)
