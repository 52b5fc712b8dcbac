"""The worker of campaigns: fills in recipients and creates their messages, a few in each transaction.

Each step locks the campaign, so workers take turns, and a killed step has no effect.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta

from sqlalchemy import or_, select
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from app import access
from app.access import Person
from app.domain.base import Stamp, translatable
from app.domain.messaging import campaign_recipients, campaigns
from app.domain.messaging.campaign_recipients import SenderRights
from app.domain.messaging.campaigns import Campaign
from app.domain.persistence.transaction_state import pop_committed
from app.models import Customer, Lead, User
from app.ops.database.database_errors import Cause, cause_of
from app.ops.queues import queue
from app.outbox.delivery_engine import SKIPPED

QUEUE = "default"
#: Seconds between two checks of a running campaign.
PACE = 2.0
#: Seconds that one call works at most.
MAX_SECONDS = 20.0
#: A running campaign that was not checked for this long has lost its worker.
LOST_AFTER = timedelta(seconds=30)
_GONE = translatable("Paused: the user who started it can't sign in any more.")

log = logging.getLogger("crm.campaigns")


def advance(campaign_id: int) -> None:
    """Do what is due for a campaign now. The function's path is stored in queues."""
    ends = time.monotonic() + MAX_SECONDS
    wait: float | None = 0.0
    while wait == 0.0 and time.monotonic() < ends:
        try:
            wait = _step(campaign_id, datetime.now(UTC))
        except (IntegrityError, OperationalError) as error:
            if isinstance(error, OperationalError) and cause_of(error) not in (Cause.COLLIDED, Cause.LOCKED):
                raise
            log.info("campaign %s collided, and is taken up again", campaign_id)
            wait = 1.0
    if wait is not None:
        queue.enqueue_in(wait, QUEUE, advance, campaign_id)


def _step(campaign_id: int, now: datetime) -> float | None:
    """Run one transaction.

    Returns the seconds until the next one; None = nothing more to do, or somebody else does it.
    """
    with access.system_transaction() as session:
        campaign = session.scalars(select(Campaign).where(Campaign.id == campaign_id).with_for_update()).first()
        if campaign is None:
            return None
        if not campaign.body:
            return None  # its message has not been entered yet
        if not campaigns.is_checked(campaign):
            _fill(session, campaign, now)
            return 0.0
        if campaign.state == "scheduled" and campaign.start_on and campaign.start_on <= now:
            campaigns.begin(session, campaign, now)
        if campaign.state != "running" or (campaign.next_on and campaign.next_on > now):
            return None  # another worker has just checked it, and will again
        return _send(session, campaign, now)


def _fill(session: Session, campaign: Campaign, now: datetime) -> None:
    person = _person(session, campaign.created_by_id, now)
    is_open = person is not None and person.level("Messages", "bulk") == "all"
    campaign_recipients.add_recipients(session, campaign, SenderRights(_seen_by(session, person), is_open), now)


def _send(session: Session, campaign: Campaign, now: datetime) -> float | None:
    person = _person(session, campaign.sender_id, now)
    if refusal := _refusal(person):
        campaigns.pause(session, campaign, Stamp(None, now), refusal)
        return None
    if campaign_recipients.has_ended(session, campaign):
        campaigns.finish(session, campaign, now)
        return None
    if campaign_recipients.allowance(campaign, now):
        campaign_recipients.send_some(session, campaign, _seen_by(session, person), now)
        return 0.0
    wait = max(PACE, 60 / campaign.per_minute)
    campaign.next_on = now + timedelta(seconds=wait - PACE / 2)
    return wait


def _person(session: Session, user_id: int | None, now: datetime) -> Person | None:
    """The sender with their current rights; None if they can't sign in any more."""
    user = session.get(User, user_id, populate_existing=True) if user_id else None
    return access.load_person(session, user.id, now) if user is not None and user.active else None


def _refusal(person: Person | None) -> str | None:
    if person is None:
        return _GONE
    is_allowed = person.may("Messages", "create") and person.may("Messages", "bulk")
    return (
        None
        if is_allowed
        else translatable(
            "Paused: the role of %(name)s no longer allows sending to many (Messages: create and bulk).",
            name=person.full_name,
        )
    )


def refuse_unless_allowed(person: Person) -> None:
    """Raise Denied if the person may not send to many."""
    person.refuse_unless("Messages", "create")
    person.refuse_unless("Messages", "bulk")


def _seen_by(session: Session, person: Person | None) -> campaign_recipients.Sees:
    """A function for the leads or customers that the person sees."""

    def sees(kind: str, ids: list[int]) -> set[int]:
        if person is None or not ids:
            return set()
        model = Lead if kind == "leads" else Customer
        query = select(model.id).where(model.id.in_(ids), access.visible(person, model))
        return set(session.scalars(query))

    return sees


# --- each minute, and after a commit


def find_due(session: Session, now: datetime, limit: int) -> list[int]:
    """Campaigns that are due, and those that have lost their worker."""
    is_lost = or_(Campaign.next_on.is_(None), Campaign.next_on < now - LOST_AFTER)
    running = (Campaign.state == "running") & is_lost
    scheduled = (Campaign.state == "scheduled") & (Campaign.start_on <= now)
    filling = (Campaign.state == "draft") & (Campaign.filled < Campaign.total) & (Campaign.body != "")
    query = select(Campaign.id).where(or_(running, scheduled, filling)).order_by(Campaign.id)
    return list(session.scalars(query.limit(limit)))


def enqueue_committed(session: Session) -> None:
    """Session hook, after a commit: queue its campaigns."""
    for key in pop_committed(session, "campaigns"):
        enqueue(key)


def enqueue(campaign_id: int) -> str:
    """Have a worker check a campaign soon."""
    return "queued" if queue.enqueue(QUEUE, advance, campaign_id) else SKIPPED
