"""Requests from providers at our hooks: stored as they arrived, processed by the queue, and retried each minute."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from flask import current_app
from sqlalchemy.orm import Session

from app import access
from app.channels.provider import Event, Inbound, NotUnderstood, Provider
from app.domain.inbound import inbound_queue, provider_events
from app.domain.inbound.provider_events import MessageUnknown
from app.domain.persistence.session_context import session_context
from app.domain.persistence.transaction_state import pop_committed, transaction_state
from app.file_store_and_vault import vault
from app.lib.field_encryption import VaultError
from app.models import ChannelAccount, InboundEvent
from app.ops.queues import queue
from app.outbox import account_health, delivery_engine, provider_clients
from app.outbox.delivery_engine import SKIPPED
from app.outbox.provider_clients import NoProvider, impersonal

#: Headers that are not stored: they say nothing about what happened.
_DROPPED = frozenset(("cookie", "authorization", "x-forwarded-for", "x-real-ip", "forwarded"))
QUEUE = "short"
#: Like engine.MAX_QUEUED, for providers' reports: they are quick, and after an outage many wait at once.
MAX_QUEUED = 2000
A_FAULT = "Internal error; see the server log."

log = logging.getLogger("crm.hooks")


# --- storing


def store(session: Session, account: ChannelAccount, request: Inbound, now: datetime) -> int | None:
    """Store a verified request until it is processed. Returns its id, or None if it is stored already."""
    sealed = inbound_queue.SealedRequest(digest_of(request), _sealed(request))
    event_id = inbound_queue.store(session, account.id, sealed, now)
    if event_id is not None:
        transaction_state(session).inbound_events.append(event_id)
    return event_id


def digest_of(request: Inbound) -> str:
    """A digest, equal for a request and its replay: it covers the content, not signatures and times of sending."""
    content = [request.method, sorted(request.query.items()), request.body.hex()]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _sealed(request: Inbound) -> str:
    kept = {name: value for name, value in request.headers.items() if name.lower() not in _DROPPED}
    stored = asdict(request) | {"headers": kept, "body": base64.b64encode(request.body).decode()}
    return vault().seal(json.dumps(stored))


def _opened(event: InboundEvent) -> Inbound:
    stored = json.loads(vault().open(event.request_sealed))
    return Inbound(**stored | {"body": base64.b64decode(stored["body"])})


# --- processing


def work_off(event_id: int) -> None:
    """Process a stored request, once. The function's path is stored in queues."""
    now = datetime.now(UTC)
    with access.system_transaction() as session:
        session_context(session).zone = ZoneInfo(current_app.config["CRM"].time_zone)  # of the office hours
        event = inbound_queue.lock(session, event_id, now + delivery_engine.EARLY)
        if event is None:
            return
        wait, account_id = _do(session, event, now), event.account_id
    account_health.record_result(account_id, None)
    if wait is not None:
        queue.enqueue_in(wait, QUEUE, work_off, event_id)


def _do(session: Session, event: InboundEvent, now: datetime) -> float | None:
    """Process the request and store the result. Returns the seconds until the next attempt."""
    account = session.get_one(ChannelAccount, event.account_id)
    try:
        events, problem = _read(provider_clients.provider_of(account), _opened(event))
    except (NoProvider, VaultError) as error:
        inbound_queue.fail(event, str(error))
        return None
    except Exception:
        log.exception("event %s could not be read", event.id)
        inbound_queue.fail(event, A_FAULT)
        return None
    taken, late, fault = _take_all(session, account, events, now)
    if fault or late:
        wait = inbound_queue.wait(event, A_FAULT if fault else late, now)
        if wait is not None or fault:
            return wait
        log.warning("event %s is about messages that are not ours", event.id)
    if problem:
        inbound_queue.fail(event, problem)
    else:
        inbound_queue.finish(event, _summary(taken, late), now)
    return None


def _read(provider: Provider, request: Inbound) -> tuple[list[Event], str]:
    """The readable events, and what is wrong with the rest."""
    try:
        return provider.parse(request), ""
    except NotUnderstood as error:
        return list(error.events), impersonal(error) or "The content can't be read."


def _take_all(
    session: Session, account: ChannelAccount, events: list[Event], now: datetime
) -> tuple[Counter[str], str, bool]:
    """Process each event separately: a failing one doesn't hold up the others."""
    taken: Counter[str] = Counter()
    late, fault = "", False
    for each in events:
        try:
            with session.begin_nested():
                taken[provider_events.process(session, account, each, now)] += 1
        except MessageUnknown as error:
            late = str(error)
        except Exception:
            log.exception("a %s of account %s could not be stored", type(each).__name__, account.id)
            fault = True
    return taken, late, fault


def _summary(taken: Counter[str], late: str) -> str:
    parts = [f"{count} {name}" for name, count in sorted(taken.items())]
    return ", ".join(parts + ([f"ignored: {late}"] if late else [])) or "nothing to do"


# --- each minute


def find_due(session: Session, now: datetime, limit: int) -> list[int]:
    """The requests that are in no queue any more."""
    left = min(limit, delivery_engine.room(QUEUE, MAX_QUEUED))
    return inbound_queue.due(session, now - delivery_engine.STUCK_AFTER, left) if left else []


def enqueue(event_id: int) -> str:
    """Queue a request again."""
    return "queued" if enqueue_event(event_id) else SKIPPED


def enqueue_event(event_id: int | str) -> bool:
    """Process a request soon. Returns False if no queue accepts it."""
    return queue.enqueue(QUEUE, work_off, event_id)


# --- after the commit


def enqueue_committed(session: Session) -> None:
    """Session hook, after a commit: queue the requests that were stored."""
    for key in pop_committed(session, "inbound_events"):
        enqueue(key)


def answer_of(provider: Provider, request: Inbound) -> tuple[int, str, str]:
    """The response that the provider expects: status, content type, body; an empty 200 if it can't be created."""
    try:
        return provider.answer(request)
    except Exception:
        log.exception("the answer to a hook could not be made")
        return 200, "text/plain", ""
