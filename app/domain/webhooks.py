"""Webhooks: who outside is told of which events, in whose eyes, and what became of each telling."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask_appbuilder import Model
from flask_appbuilder.security.sqla.models import User
from sqlalchemy import JSON, BigInteger, Delete, ForeignKey, Index, Integer, String, delete, insert, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain import audit, change_events, notices, team
from app.domain.base import Conflict, Record, RuleBroken, UtcDateTime, Versioned, join_texts, refuse_stale
from app.lib import outbound_url
from app.lib.vault import Vault

#: on: told at once. paused: events are noted and wait. off: nothing is noted.
STATES = ("on", "paused", "off")
#: What a webhook can hear of, e.g. lead.created.
EVENTS = tuple(f"{kind}.{event}" for kind, events in change_events.EVENTS.items() for event in events)
#: A telling that somebody asked for, to see whether it arrives.
TEST = "test"
#: So many failed tries in a row pause a webhook.
MAX_FAILURES = 20
MAX_NAME_LENGTH = 120
#: Webhooks of one installation: every change of a record looks at all of them.
MAX_WEBHOOKS = 50
#: How long the log of the deliveries is kept; what waited for longer is forgotten too.
KEPT_FOR = timedelta(days=30)
SECRET_BYTES = 32
SWITCHED_OFF = "The webhook was turned off."
_BIG = BigInteger().with_variant(Integer, "sqlite")


class Webhook(Versioned, Record):
    """An address outside that is told of events."""

    __tablename__ = "webhook"
    name: Mapped[str] = mapped_column(String(120), nullable=False)
    url: Mapped[str] = mapped_column(String(500), nullable=False)
    #: Some of EVENTS.
    events: Mapped[list[str]] = mapped_column(JSON, nullable=False, default=list)
    #: One of STATES.
    state: Mapped[str] = mapped_column(String(8), nullable=False, default="on")
    #: Why the machine paused it or switched it off: failures, gone or user; null = a person did, or it is on.
    why: Mapped[str | None] = mapped_column(String(16))
    #: What signs the tellings, sealed by the vault.
    secret_sealed: Mapped[str] = mapped_column(String(200), nullable=False)
    #: In whose eyes the records are told: his rows, his masks.
    user_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id"), nullable=False)
    #: Failed tries since the last one that arrived.
    failures: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    #: When it was tried last, UTC, and what came of it: the HTTP status, or a sentence.
    tried_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    result: Mapped[str | None] = mapped_column(String(300))


class WebhookDelivery(Model):  # type: ignore[misc]
    """One event for one webhook."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        Index("ix_webhook_delivery_log", "webhook_id", "id"),
        Index("ix_webhook_delivery_due", "state", "next_try_on"),
        Index("ix_webhook_delivery_at", "at"),
    )
    id: Mapped[int] = mapped_column(_BIG, primary_key=True)
    #: Names the telling for ever, so that the receiver knows a second copy.
    key: Mapped[str] = mapped_column(String(36), nullable=False, unique=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhook.id", ondelete="CASCADE"), nullable=False)
    #: One of EVENTS, or TEST.
    event: Mapped[str] = mapped_column(String(24), nullable=False)
    #: The record's id; null for a test.
    record_id: Mapped[int | None] = mapped_column(Integer)
    #: The number of a record that is gone.
    number: Mapped[str | None] = mapped_column(String(24))
    #: When it happened, UTC.
    at: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    #: queued, sending, sent, failed, or dropped (it need not or must not be sent any more).
    state: Mapped[str] = mapped_column(String(8), nullable=False)
    tries: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    tried_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: When a queued one is to be sent, UTC; null otherwise.
    next_try_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: The HTTP status and the beginning of the last answer.
    code: Mapped[int | None] = mapped_column(Integer)
    answer: Mapped[str | None] = mapped_column(String(200))
    #: Why it did not arrive, as a sentence.
    error: Mapped[str | None] = mapped_column(String(300))


@dataclass(frozen=True)
class WebhookSettings:
    """What an admin wants of a webhook."""

    name: str
    url: str
    events: tuple[str, ...]
    user_id: int | None
    is_on: bool = True


@dataclass(frozen=True)
class Subscription:
    """As much of a webhook as the writing of records needs."""

    id: int
    user_id: int
    events: frozenset[str]

    def wants(self, kind: str) -> frozenset[str]:
        """The events of this kind of record that it hears of."""
        return frozenset(each.partition(".")[2] for each in self.events if each.partition(".")[0] == kind)


# --- by a person


def make(
    session: Session, wanted: WebhookSettings, by: int, now: datetime, vault: Vault, private: bool
) -> tuple[Webhook, str]:
    """A new webhook and its secret, which is told this once. Raises RuleBroken.

    `private`: the operator allows http and addresses of his own network.
    """
    _refuse_wrong(session, wanted, private)
    if len(session.scalars(select(Webhook.id).limit(MAX_WEBHOOKS)).all()) >= MAX_WEBHOOKS:
        raise RuleBroken("You have reached the maximum number of webhooks. Please delete one you no longer use.")
    hook, secret = Webhook(failures=0, version=1), secrets.token_urlsafe(SECRET_BYTES)
    hook.secret_sealed = vault.seal(secret)
    _take(hook, wanted)
    hook.stamp(by, now)
    session.add(hook)
    session.flush()
    _write_audit(session, hook, "made", by, now)
    return hook, secret


def change(
    session: Session, hook: Webhook, wanted: WebhookSettings, version: int | None, by: int, now: datetime, private: bool
) -> None:
    """Make it as wanted. Raises RuleBroken, Conflict."""
    refuse_stale(hook, version)
    _refuse_wrong(session, wanted, private)
    was = hook.state
    _take(hook, wanted)
    hook.stamp(by, now)
    if was != "off" and hook.state == "off":
        _drop_waiting(session, hook)
    _write_audit(session, hook, "changed", by, now)


def rotate(session: Session, hook: Webhook, by: int, now: datetime, vault: Vault) -> str:
    """Give it a new secret, which is told this once; the old one signs nothing any more."""
    secret = secrets.token_urlsafe(SECRET_BYTES)
    hook.secret_sealed = vault.seal(secret)
    hook.stamp(by, now)
    _write_audit(session, hook, "new secret", by, now)
    return secret


def pause(session: Session, hook: Webhook, by: int, now: datetime) -> None:
    """From now on events are noted and wait. Raises Conflict when it is not on."""
    if hook.state != "on":
        raise Conflict("This webhook isn't on. Someone else may have changed it.")
    hook.state, hook.why = "paused", None
    hook.stamp(by, now)
    _write_audit(session, hook, "paused", by, now)


def resume(session: Session, hook: Webhook, by: int, now: datetime) -> None:
    """Switch it on; what waited goes out within minutes. Raises Conflict when it is on already."""
    if hook.state == "on":
        raise Conflict("This webhook is already on. Someone else may have changed it.")
    hook.state, hook.why, hook.failures = "on", None, 0
    hook.stamp(by, now)
    mine = (WebhookDelivery.webhook_id == hook.id, WebhookDelivery.state == "queued")
    _set(session, update(WebhookDelivery).where(*mine).values(next_try_on=now))
    _write_audit(session, hook, "resumed", by, now)


def remove(session: Session, hook: Webhook, by: int, now: datetime) -> None:
    """Delete it and its log."""
    _write_audit(session, hook, "deleted", by, now)
    session.delete(hook)


def send_test(session: Session, hook: Webhook, now: datetime) -> str:
    """Write down a telling of nothing, to see whether it arrives. Answers its key."""
    row = delivery_row(hook.id, TEST, None, now)
    session.execute(insert(WebhookDelivery), [row])
    return str(row["key"])


def resend(session: Session, row: WebhookDelivery, now: datetime) -> str:
    """Have one sent again, under the key it has. Raises Conflict while it is under way."""
    ended = (WebhookDelivery.id == row.id, WebhookDelivery.state.in_(("sent", "failed", "dropped")))
    if not _set(session, update(WebhookDelivery).where(*ended).values(_fresh(now))):
        raise Conflict("This delivery is already in progress.")
    return row.key


def resend_failed(session: Session, hook: Webhook, by: int, now: datetime) -> int:
    """Have all that failed sent again, each under its key; they go out within minutes. Answers how many."""
    failed = (WebhookDelivery.webhook_id == hook.id, WebhookDelivery.state == "failed")
    count = _set(session, update(WebhookDelivery).where(*failed).values(_fresh(now)))
    if count:
        _write_audit(session, hook, f"{count} sent again", by, now)
    return count


def _fresh(now: datetime) -> dict[str, Any]:
    return {"state": "queued", "tries": 0, "next_try_on": now, "error": None}


def _take(hook: Webhook, wanted: WebhookSettings) -> None:
    hook.name, hook.url, hook.user_id = wanted.name.strip(), wanted.url.strip(), int(wanted.user_id or 0)
    hook.events = [event for event in EVENTS if event in wanted.events]
    if not wanted.is_on:
        hook.state, hook.why = "off", None
    elif hook.state in (None, "off"):
        hook.state, hook.why, hook.failures = "on", None, 0


def _refuse_wrong(session: Session, wanted: WebhookSettings, private: bool) -> None:
    """Raise RuleBroken with a sentence for each field that cannot stay so."""
    errors: dict[str, list[str]] = {}
    name = wanted.name.strip()
    if not name or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        errors["name"] = ["Please enter a name of at most 120 characters."]
    try:
        outbound_url.parse_url(wanted.url.strip(), private)
    except outbound_url.BadAddress as bad:
        errors["url"] = [str(bad)]
    if not wanted.events:
        errors["events"] = ["Please choose at least one event."]
    elif set(wanted.events) - set(EVENTS):
        errors["events"] = ["There is no such event. Please choose one from the list."]
    user = select(User.id).where(User.id == (wanted.user_id or 0), User.active.is_(True))
    if session.execute(user).first() is None:
        errors["user"] = ["Please choose an active user: the webhook sends records as this user sees them."]
    if errors:
        raise RuleBroken(join_texts(each for sentences in errors.values() for each in sentences), errors=errors)


def _drop_waiting(session: Session, hook: Webhook) -> None:
    mine = (WebhookDelivery.webhook_id == hook.id, WebhookDelivery.state == "queued")
    _set(session, update(WebhookDelivery).where(*mine).values(state="dropped", error=SWITCHED_OFF, next_try_on=None))


def _write_audit(session: Session, hook: Webhook, what: str, by: int, now: datetime) -> None:
    says: dict[str, Any] = {"what": what, "name": hook.name, "state": hook.state, "events": hook.events}
    says["user"] = hook.user_id
    audit.write(session, "webhook change", by, now, f"webhook {hook.id}", **says)


def _set(session: Session, step: Any) -> int:
    return int(session.execute(step, execution_options={"synchronize_session": False}).rowcount)  # type: ignore[attr-defined]


# --- by the machine


def subscriptions(session: Session) -> tuple[Subscription, ...]:
    """Those whose events are noted; one statement."""
    query = select(Webhook.id, Webhook.user_id, Webhook.events).where(Webhook.state.in_(("on", "paused")))
    return tuple(Subscription(key, user, frozenset(events)) for key, user, events in session.execute(query))


def delivery_row(
    hook_id: int, event: str, record_id: int | None, now: datetime, number: str | None = None
) -> dict[str, Any]:
    """The columns of a telling that is due now."""
    return {
        "key": str(uuid.uuid4()),
        "webhook_id": hook_id,
        "event": event,
        "record_id": record_id,
        "number": number,
        "at": now,
        "state": "queued",
        "tries": 0,
        "next_try_on": now,
    }


def disable(session: Session, hook_id: int, state: str, why: str, now: datetime) -> None:
    """Pause it or switch it off, and tell the admins, once. `why`: failures, gone or user."""
    hook = session.scalars(select(Webhook).where(Webhook.id == hook_id).with_for_update()).first()
    if hook is None or hook.state != "on":
        return
    hook.state, hook.why = state, why
    hook.stamp(None, now)
    if state == "off":
        _drop_waiting(session, hook)
    admins = team.active_admins(session)
    key = f"webhook:{hook.id}:{now.isoformat()}"
    notices.notify(session, admins, "webhook", key, None, None, now, name=hook.name, webhook=hook.id, why=why)


def cleanup_statement(now: datetime) -> Delete:
    """What deletes the deliveries that are older than KEPT."""
    return delete(WebhookDelivery).where(WebhookDelivery.at < now - KEPT_FOR)
