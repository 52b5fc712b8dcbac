"""Who got a record, who got it later, and who asked for it."""

from __future__ import annotations

from datetime import datetime, timedelta

from app import models
from app.demo.builder import OfficeBuilder, Row, stamps
from app.demo.sample_text import WISHES


def give(
    house: OfficeBuilder, place: Row, to: int, old: int | None, reason: str, by: int | None, at: datetime, decision: Row
) -> None:
    """The record goes to somebody: an open stretch, and a line of its timeline."""
    ((kind, key),) = place.items()
    house.add(
        models.Assignment,
        **place,
        user_id=to,
        started_on=at,
        ended_on=None,
        reason=reason,
        by_id=by,
        decision=decision,
        role=decision.get("role"),
        stead_of_id=None,
        open_key=f"{'leads' if kind == 'lead_id' else 'ticket'}:{key}:{to}",
    )
    house.happened("assignment", at, by, place, to=to, old=old, reason=reason)


def hand_on(house: OfficeBuilder, record: Row) -> None:
    """Now and then somebody else got the record after a while."""
    is_lead = "pod_id" in record
    if not house.often(0.15) or house.now - record["created_on"] < timedelta(days=2):
        return
    old = record["assignee_id"]
    colleagues = house.staff["Sales User" if is_lead else "Support User"]
    new = house.some(user for user in colleagues if user != old)
    at = house.moment(record["created_on"] + timedelta(hours=2), house.now)
    reason, by = house.some((("overdue", None), ("direct", house.boss[old]), ("bulk", house.boss[old])))
    own = {"lead_id" if is_lead else "ticket_id": record["id"]}
    house.of(models.Assignment)[-1] |= {"ended_on": at, "open_key": None}
    give(house, own, new, old, reason, by, at, {})
    record["assignee_id"] = new
    record["changed_on"] = max(record["changed_on"], at)


def make_requests(house: OfficeBuilder) -> None:
    """A few wait for a decision, two were decided."""
    leads = [row for row in house.of(models.Lead) if house.now - row["created_on"] > timedelta(days=1)]
    for n, lead in enumerate(house.rng.sample(leads, k=min(6, len(leads)))):
        by = lead["assignee_id"]
        wanted = house.some(user for user in house.staff["Sales User"] if user != by)
        at = house.now - timedelta(minutes=90 * (6 - n))
        status = {0: "Approved", 1: "Rejected"}.get(n, "Pending")
        decided = status != "Pending"
        reason = house.some(WISHES)
        house.add(
            models.AssignmentRequest,
            number=house.number("CAR", at),
            lead_id=lead["id"],
            ticket_id=None,
            status=status,
            requested_user_id=wanted,
            reason=reason,
            decided_by_id=house.boss[wanted] if decided else None,
            pending_key=None if decided else f"leads:{lead['id']}:{wanted}",
            decided_on=at + timedelta(minutes=40) if decided else None,
            decision_note="Please finish the documents first." if status == "Rejected" else None,
            **stamps(by, at),
        )
        house.happened("assignment", at, by, {"lead_id": lead["id"]}, what="requested", to=wanted, text=reason)
        if status == "Approved":
            _approve(house, lead, wanted, at + timedelta(minutes=40))


def _approve(house: OfficeBuilder, lead: Row, to: int, at: datetime) -> None:
    old = lead["assignee_id"]
    stretch = [row for row in house.of(models.Assignment) if row.get("lead_id") == lead["id"]][-1]
    stretch |= {"ended_on": at, "open_key": None}
    give(house, {"lead_id": lead["id"]}, to, old, "request", house.boss[to], at, {})
    lead |= {"assignee_id": to, "changed_on": at, "changed_by_id": house.boss[to]}
