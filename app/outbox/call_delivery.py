"""Calls to be dialed.

Each is dialed at most once and within a minute; if the result is unknown, its person decides.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime

from flask import current_app
from sqlalchemy.orm import Session

from app import access
from app.channels.base import ChannelError, DeliveryUnknown
from app.channels.provider import OutgoingCall, Provider, ProviderRefusal, StatusUnavailable
from app.domain.base import RuleBroken
from app.domain.persistence.transaction_state import pop_committed
from app.domain.telephony import call_requests
from app.domain.telephony.call_requests import NewCallRequest
from app.extensions import db
from app.models import CallLog, CallRequest, ChannelAccount
from app.outbox import account_health, delivery_engine, provider_clients
from app.outbox.delivery_engine import DeliveryKind, DeliveryResult, NotSent
from app.outbox.provider_clients import NoProvider, impersonal

#: Seconds before the second, third … attempt of a call that was surely not dialed; it expires within a minute.
WAITS = (2, 5, 10)
EXPIRED = "It took longer than a minute to reach the phone provider, so nobody was called. Please call again."
NOT_KNOWN = "Unknown whether your phone rings: dialing was interrupted."
OFF = "The phone account was turned off. Please ask an admin."
GONE = "The phone account no longer exists."
NO_CALLS = "This account can't make calls. Please ask an admin to check its settings."

log = logging.getLogger("crm.calls")


@dataclass(frozen=True)
class CallDeliveryResult(DeliveryResult):
    """The result of one attempt, as reported by the provider."""

    provider_id: str | None = None


@dataclass(frozen=True)
class _Ready:
    account_id: int
    provider: Provider
    call: OutgoingCall


def send(request_id: int) -> None:
    """Dial one call that is due. The function's path is stored in queues."""
    row = delivery_engine.claim(CALLS, request_id, datetime.now(UTC))
    if row is not None:
        delivery_engine.settle(CALLS, row, delivery_engine.attempt(CALLS, row), datetime.now(UTC))


def _prepare(row: CallRequest) -> _Ready:
    """The call with its client.

    Raises NotSent: it is too late, the customer has opted out, or the account can't be used.
    """
    now = datetime.now(UTC)
    if now >= row.expires_on:
        raise _not_dialed(EXPIRED)
    with Session(db.engine, expire_on_commit=False) as session, access.as_system(session):
        call = session.get_one(CallLog, row.call_id)
        account = session.get(ChannelAccount, call.account_id) if call.account_id else None
        if account is None or not account.is_active:
            raise _not_dialed(GONE if account is None else OFF)
        wanted = NewCallRequest(call.other_e164 or "", {name: getattr(call, name) for name in _RECORDS})
        try:
            call_requests.refuse_unwanted(session, wanted, row.purpose, now, current_app.config["CRM"].time_zone)
            return _Ready(account.id, provider_clients.provider_of(account), _outgoing(row, call, account))
        except RuleBroken as refused:
            raise _not_dialed(str(refused.message)) from refused
        except NoProvider as error:
            raise _not_dialed(str(error)) from error


_RECORDS = ("lead_id", "ticket_id", "customer_id")


def _not_dialed(reason: str) -> NotSent:
    return NotSent(DeliveryResult("failed", reason, was_attempted=False))


def _outgoing(row: CallRequest, call: CallLog, account: ChannelAccount) -> OutgoingCall:
    return OutgoingCall(
        key=f"c{call.id}",
        person=row.person_number,
        customer=call.other_e164 or "",
        caller_id=row.caller_id or "",
        status_url=provider_clients.hook_url(account, "voice"),
        is_recorded=account.settings.get("record_outgoing") == "yes",
    )


def _transmit(row: CallRequest, prepared: _Ready) -> DeliveryResult:
    result = _dial(row, prepared)
    account_health.record_result(prepared.account_id, None if result.state == "sent" else result.error or "")
    return result


def _dial(row: CallRequest, prepared: _Ready) -> DeliveryResult:
    try:
        accepted = prepared.provider.call(prepared.call)
    except StatusUnavailable:
        return DeliveryResult("failed", NO_CALLS)
    except DeliveryUnknown as error:
        return DeliveryResult("unknown", impersonal(error))
    except ChannelError as error:
        state = "failed" if error.permanent else delivery_engine.retry(CALLS, row, "").state
        retry_after = error.retry_after if isinstance(error, ProviderRefusal) and state == "queued" else 0.0
        return DeliveryResult(state, impersonal(error), wait=retry_after)
    return CallDeliveryResult("sent", provider_id=accepted.provider_id or None)


def _on_settled(session: Session, row: CallRequest, result: DeliveryResult, now: datetime) -> None:
    """Update the call log, the person's line and their card."""
    request = session.get_one(CallRequest, row.id)
    if result.state == "sent":
        call_requests.note_dialed(session, request, getattr(result, "provider_id", None), now)
    elif result.state in ("failed", "dropped"):
        call_requests.note_failed(session, request, now)
    elif result.state == "unknown":
        call_requests.note_unknown(session, request, now)


CALLS = DeliveryKind(
    label="call",
    log=log,
    model=CallRequest,
    key=CallRequest.id,
    began_on=CallRequest.began_on,
    due_on=CallRequest.due_on,
    queue="short",
    is_urgent=True,
    send=send,
    waits=lambda _row: WAITS,
    prepare=_prepare,
    transmit=_transmit,
    interrupted=DeliveryResult("unknown", NOT_KNOWN),
    on_settled=_on_settled,
)


# --- after the commit


def enqueue_committed(session: Session) -> None:
    """Session hook, after a commit: queue its calls."""
    for key in pop_committed(session, "call_requests"):
        delivery_engine.enqueue(CALLS, key)
