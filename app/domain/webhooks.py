"""Webhooks: which address receives which events, as which user, and the log of deliveries."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from flask_appbuilder import Model
from flask_appbuilder.security.sqla.models import User
from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, String, insert, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.audit_log import audit
from app.domain.base import Conflict, Record, RuleBroken, Stamp, UtcDateTime, Versioned, join_texts, refuse_stale
from app.domain.notifications import notices
from app.domain.people import users
from app.domain.people.permissions import AccessVersion
from app.domain.persistence import change_events
from app.domain.persistence.bulk_statements import execute_counted
from app.lib import outbound_url
from app.lib.field_encryption import Vault

#: on: delivered at once. paused: events are queued. off: events are ignored.
STATES = ("on", "paused", "off")
#: The event of a test delivery.
TEST = "test"
#: Consecutive failed attempts that pause a webhook.
MAX_FAILURES = 20
MAX_NAME_LENGTH = 120
#: Webhooks of one installation: every change of a record checks all of them.
MAX_WEBHOOKS = 50
SECRET_BYTES = 32
SWITCHED_OFF = "The webhook was turned off."
_BIG = BigInteger().with_variant(Integer, "sqlite")


def all_events() -> tuple[str, ...]:
    """All events of webhooks, e.g. lead.created; add-ons may have added some."""
    return tuple(f"{kind}.{event}" for kind, events in change_events.EVENTS.items() for event in events)


class Webhook(Versioned, Record):
    """An external address that receives events."""

    __tablename__ = "webhook"
    name: Mapped[str] = mapped_column(String(120), nullable=False)
    url: Mapped[str] = mapped_column(String(500), nullable=False)
    #: Some of all_events().
    events: Mapped[list[str]] = mapped_column(JSON, nullable=False, default=list)
    #: One of STATES.
    state: Mapped[str] = mapped_column(String(8), nullable=False, default="on")
    #: Why the system paused it or switched it off: failures, gone or user; null = an admin did, or it is on.
    why: Mapped[str | None] = mapped_column(String(16))
    #: The secret that signs deliveries, encrypted by the vault.
    secret_sealed: Mapped[str] = mapped_column(String(200), nullable=False)
    #: The user whose visible rows and masks apply to the records sent.
    user_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id"), nullable=False)
    #: Failed attempts since the last success.
    failures: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    #: When it was last attempted, UTC, and the result: the HTTP status, or a sentence.
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
    #: Identifies the delivery, so that the receiver can ignore a second copy.
    key: Mapped[str] = mapped_column(String(36), nullable=False, unique=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhook.id", ondelete="CASCADE"), nullable=False)
    #: One of all_events(), or TEST.
    event: Mapped[str] = mapped_column(String(24), nullable=False)
    #: The record's id; null for a test.
    record_id: Mapped[int | None] = mapped_column(Integer)
    #: The number of a deleted record.
    number: Mapped[str | None] = mapped_column(String(24))
    #: When it happened, UTC.
    at: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    #: queued, sending, sent, failed, or dropped (not to be sent any more).
    state: Mapped[str] = mapped_column(String(8), nullable=False)
    tries: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    tried_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: When a queued delivery is due, UTC; null otherwise.
    next_try_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: The HTTP status and the beginning of the last response.
    code: Mapped[int | None] = mapped_column(Integer)
    answer: Mapped[str | None] = mapped_column(String(200))
    #: Why it failed, as a sentence.
    error: Mapped[str | None] = mapped_column(String(300))


@dataclass(frozen=True)
class WebhookSettings:
    """A webhook as submitted by an admin."""

    name: str
    url: str
    events: tuple[str, ...]
    user_id: int | None
    is_on: bool = True
    #: The version that the admin saw; None skips the check.
    version: int | None = None
    #: Whether the operator allows http and private addresses.
    allow_private: bool = False


@dataclass(frozen=True)
class Subscription:
    """What a transaction needs to know about a webhook to write its deliveries."""

    id: int
    user_id: int
    events: frozenset[str]

    def wants(self, kind: str) -> frozenset[str]:
        """The events of this kind of record that it receives, e.g. {created, changed}."""
        return frozenset(each.partition(".")[2] for each in self.events if each.partition(".")[0] == kind)


# --- for admins


def create(session: Session, settings: WebhookSettings, stamp: Stamp, vault: Vault) -> tuple[Webhook, str]:
    """Create a webhook. Returns it with its secret, which is shown only this once. Raises RuleBroken."""
    _refuse_invalid(session, settings)
    # The lock makes others who add a webhook wait, so that all are counted.
    session.execute(select(AccessVersion.n).where(AccessVersion.id == 1).with_for_update())
    if len(session.scalars(select(Webhook.id).limit(MAX_WEBHOOKS)).all()) >= MAX_WEBHOOKS:
        raise RuleBroken("You have reached the maximum number of webhooks. Please delete one you no longer use.")
    hook, secret = Webhook(failures=0, version=1), secrets.token_urlsafe(SECRET_BYTES)
    hook.secret_sealed = vault.seal(secret)
    _apply(hook, settings)
    hook.stamp(stamp)
    session.add(hook)
    session.flush()
    _write_audit(session, hook, "made", stamp)
    return hook, secret


def change(session: Session, hook: Webhook, settings: WebhookSettings, stamp: Stamp) -> None:
    """Apply the settings. Raises RuleBroken, Conflict."""
    refuse_stale(hook, settings.version)
    _refuse_invalid(session, settings)
    old_state = hook.state
    _apply(hook, settings)
    hook.stamp(stamp)
    if old_state != "off" and hook.state == "off":
        _drop_queued(session, hook)
    _write_audit(session, hook, "changed", stamp)


def rotate_secret(session: Session, hook: Webhook, stamp: Stamp, vault: Vault) -> str:
    """Replace the secret. Returns the new one, which is shown only this once."""
    secret = secrets.token_urlsafe(SECRET_BYTES)
    hook.secret_sealed = vault.seal(secret)
    hook.stamp(stamp)
    _write_audit(session, hook, "new secret", stamp)
    return secret


def pause(session: Session, hook: Webhook, stamp: Stamp) -> None:
    """Queue events from now on. Raises Conflict when it is not on."""
    if hook.state != "on":
        raise Conflict("This webhook isn't on. Someone else may have changed it.")
    hook.state, hook.why = "paused", None
    hook.stamp(stamp)
    _write_audit(session, hook, "paused", stamp)


def resume(session: Session, hook: Webhook, stamp: Stamp) -> None:
    """Switch it on; queued deliveries are sent within minutes. Raises Conflict when it is on already."""
    if hook.state == "on":
        raise Conflict("This webhook is already on. Someone else may have changed it.")
    hook.state, hook.why, hook.failures = "on", None, 0
    hook.stamp(stamp)
    mine = (WebhookDelivery.webhook_id == hook.id, WebhookDelivery.state == "queued")
    execute_counted(session, update(WebhookDelivery).where(*mine).values(next_try_on=stamp.now))
    _write_audit(session, hook, "resumed", stamp)


def remove(session: Session, hook: Webhook, stamp: Stamp) -> None:
    """Delete it and its log."""
    _write_audit(session, hook, "deleted", stamp)
    session.delete(hook)


def send_test(session: Session, hook: Webhook, now: datetime) -> str:
    """Write a test delivery, without a record. Returns its key."""
    row = delivery_row(hook.id, WebhookEvent(TEST), now)
    session.execute(insert(WebhookDelivery), [row])
    return str(row["key"])


def resend(session: Session, row: WebhookDelivery, now: datetime) -> str:
    """Queue a delivery again under the same key. Returns the key. Raises Conflict while it is queued or being sent."""
    ended = (WebhookDelivery.id == row.id, WebhookDelivery.state.in_(("sent", "failed", "dropped")))
    if not execute_counted(session, update(WebhookDelivery).where(*ended).values(_queued_again(now))):
        raise Conflict("This delivery is already in progress.")
    return row.key


def resend_failed(session: Session, hook: Webhook, stamp: Stamp) -> int:
    """Queue all failed deliveries again, each under its key; they are sent within minutes. Returns how many."""
    failed = (WebhookDelivery.webhook_id == hook.id, WebhookDelivery.state == "failed")
    count = execute_counted(session, update(WebhookDelivery).where(*failed).values(_queued_again(stamp.now)))
    if count:
        _write_audit(session, hook, f"{count} sent again", stamp)
    return count


def _queued_again(now: datetime) -> dict[str, Any]:
    return {"state": "queued", "tries": 0, "next_try_on": now, "error": None}


def _apply(hook: Webhook, settings: WebhookSettings) -> None:
    hook.name, hook.url, hook.user_id = settings.name.strip(), settings.url.strip(), int(settings.user_id or 0)
    hook.events = [event for event in all_events() if event in settings.events]
    if not settings.is_on:
        hook.state, hook.why = "off", None
    elif hook.state in (None, "off"):
        hook.state, hook.why, hook.failures = "on", None, 0


def _refuse_invalid(session: Session, settings: WebhookSettings) -> None:
    """Raise RuleBroken with a sentence for each invalid field."""
    errors: dict[str, list[str]] = {}
    name = settings.name.strip()
    if not name or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        errors["name"] = ["Please enter a name of at most 120 characters."]
    try:
        outbound_url.parse_url(settings.url.strip(), settings.allow_private)
    except outbound_url.BadAddress as bad:
        errors["url"] = [str(bad)]
    if not settings.events:
        errors["events"] = ["Please choose at least one event."]
    elif set(settings.events) - set(all_events()):
        errors["events"] = ["There is no such event. Please choose one from the list."]
    user = select(User.id).where(User.id == (settings.user_id or 0), User.active.is_(True))
    if session.execute(user).first() is None:
        errors["user"] = ["Please choose an active user: the webhook sends records as this user sees them."]
    if errors:
        raise RuleBroken(join_texts(each for sentences in errors.values() for each in sentences), errors=errors)


def _drop_queued(session: Session, hook: Webhook) -> None:
    mine = (WebhookDelivery.webhook_id == hook.id, WebhookDelivery.state == "queued")
    execute_counted(
        session, update(WebhookDelivery).where(*mine).values(state="dropped", error=SWITCHED_OFF, next_try_on=None)
    )


def _write_audit(session: Session, hook: Webhook, what: str, stamp: Stamp) -> None:
    payload: dict[str, Any] = {"what": what, "name": hook.name, "state": hook.state, "events": hook.events}
    payload["user"] = hook.user_id
    audit.write(session, "webhook change", stamp.by, stamp.now, f"webhook {hook.id}", **payload)


# --- for the system


def subscriptions(session: Session) -> tuple[Subscription, ...]:
    """The webhooks that are on or paused; one statement."""
    query = select(Webhook.id, Webhook.user_id, Webhook.events).where(Webhook.state.in_(("on", "paused")))
    return tuple(Subscription(key, user, frozenset(events)) for key, user, events in session.execute(query))


class WebhookEvent(NamedTuple):
    """What is reported: the name of the event, and of which record; a test has none."""

    name: str
    record_id: int | None = None
    number: str | None = None


def delivery_row(hook_id: int, event: WebhookEvent, now: datetime) -> dict[str, Any]:
    """The columns of a delivery that is due now."""
    return {
        "key": str(uuid.uuid4()),
        "webhook_id": hook_id,
        "event": event.name,
        "record_id": event.record_id,
        "number": event.number,
        "at": now,
        "state": "queued",
        "tries": 0,
        "next_try_on": now,
    }


class Stop(NamedTuple):
    """How and why a webhook is stopped."""

    #: paused or off.
    state: str
    #: failures, gone or user.
    why: str


def disable(session: Session, hook_id: int, stop: Stop, now: datetime) -> None:
    """Pause it or switch it off, and notify the admins once."""
    hook = session.scalars(select(Webhook).where(Webhook.id == hook_id).with_for_update()).first()
    if hook is None or hook.state != "on":
        return
    hook.state, hook.why = stop
    hook.stamp(Stamp(None, now))
    if stop.state == "off":
        _drop_queued(session, hook)
    admins = users.active_admins(session)
    key = f"webhook:{hook.id}:{now.isoformat()}"
    notices.notify(
        session,
        notices.NoticeEvent("webhook", key, admins, {"name": hook.name, "webhook": hook.id, "why": stop.why}),
        now,
    )
