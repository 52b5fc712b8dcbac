"""Leads, each moved along its status path, with the accounts and customers that result."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from app import models
from app.demo import sla
from app.demo.assignments import Change, assign, maybe_reassign
from app.demo.builder import DAYS, DemoBuilder, Row, id_of, labels, stamps
from app.demo.people import add_account, new_customer
from app.demo.sample_text import NOTES, REJECTIONS, STATUS_PATHS
from app.domain.base import RuleBroken, Stamp

#: The fields that move from a lead to its customer.
CONTACT_FIELDS = (
    "first_name",
    "last_name",
    "mobile",
    "mobile_e164",
    "alternative_mobile",
    "alternative_e164",
    "email",
    "address",
    "pan_sealed",
    "pan_blind",
)


def make_leads(builder: DemoBuilder) -> None:
    """Make leads in order of time, for every path of STATUS_PATHS. Raises RuleBroken when the statuses are missing."""
    statuses = labels(builder, models.LeadStatus)
    if not statuses:
        raise RuleBroken("The list of lead statuses is empty. Bring the database up to date first.")
    sources = list(labels(builder, models.LeadSource).values())
    kinds = list(labels(builder, models.AccountType).values())
    direct = list(builder.rows_of(models.Customer))
    # Every path at least once, the rest by their shares; then in order of time, as record numbers require.
    chosen = [path for _, path in STATUS_PATHS][: builder.size]
    shares = [share for share, _ in STATUS_PATHS]
    chosen += builder.rng.choices([path for _, path in STATUS_PATHS], shares, k=max(0, builder.size - len(chosen)))
    plans = sorted(((_created(builder, path), n, path) for n, path in enumerate(chosen)), key=lambda plan: plan[:2])
    for at, n, path in plans:
        lead = _lead(
            builder,
            at,
            n,
            {
                "status_id": id_of(statuses, "New"),
                "source_id": builder.choose(sources) if sources else None,
                "account_type_id": builder.choose(kinds) if kinds else None,
            },
        )
        if builder.chance(0.05) and len(path) < 6:
            _link_customer(lead, builder.choose(direct))
        _follow_path(builder, lead, path, statuses)
        maybe_reassign(builder, lead)


def _created(builder: DemoBuilder, path: tuple[str, ...]) -> datetime:
    days = DAYS
    if path[-1].startswith("Lead Expired"):  # it expires 60 days (account opened: 30) after the last change
        days = 95
        return builder.office_time(builder.now - timedelta(days=days), builder.now - timedelta(days=days - 15))
    if len(path) == 1 and builder.chance(0.3):
        days = 3
    latest = builder.now - timedelta(hours=max(0.1, 30 * (len(path) - 1)))
    return builder.office_time(builder.now - timedelta(days=days), latest)


def _lead(builder: DemoBuilder, at: datetime, n: int, chosen: Row) -> Row:
    assignee, decision = builder.next_in_turn("Sales User")
    by = builder.rng.choices((builder.manager_of[assignee], assignee), (55, 45))[0]
    reason = "created" if by == assignee else builder.choose(("round robin", "round robin", "direct"))
    person = builder.contact()
    lead = builder.add(
        models.Lead,
        number=builder.number("LEAD", at),
        version=1,
        status_on=at,
        category=builder.rng.choices(("Direct", "Indirect"), (80, 20))[0],
        assignee_id=assignee,
        owner_id=by,
        assigned_role="Sales User" if reason == "round robin" else None,
        **person,
        **chosen,
        **stamps(by, at),
        next_follow_up_on=None,
        customer_id=None,
        client_id=None,
        pod_id=None,
        rejection_reason=None,
        referral=f"ESH{10_000 + builder.rng.randint(0, 60)}" if builder.chance(0.2) else None,
        opened_on=None,
        activated_on=None,
        converted_on=None,
        description=builder.choose(NOTES) if builder.chance(0.3) else None,
        **sla.NO_CLOCK,
        date_of_birth=date(builder.rng.randint(1955, 2004), builder.rng.randint(1, 12), 1 + n % 28),
        called=_name(person),
    )
    record_ids = {"lead_id": lead["id"]}
    builder.add_activity("system", at, by, record_ids, text="Lead created")
    builder.add(models.StatusChange, **record_ids, from_id=None, to_id=lead["status_id"], at=at, by_id=by, seconds=None)
    assign(builder, record_ids, Change(assignee, None, reason, by, at, decision if reason == "round robin" else {}))
    return lead


def _name(person: Row) -> str:
    return f"{person['first_name']} {person['last_name']}"


def _link_customer(lead: Row, customer: Row) -> None:
    """Link the lead to a customer. Its own contact fields become empty."""
    lead |= {"customer_id": customer["id"], "called": _name(customer)}
    lead |= dict.fromkeys(CONTACT_FIELDS)


def _follow_path(builder: DemoBuilder, lead: Row, path: tuple[str, ...], statuses: dict[str, int]) -> None:
    """Move the lead along its path, with the fields that each status requires."""
    times = _status_times(builder, lead["created_on"], path)
    for label, at in zip(path[1:], times, strict=True):
        if label not in statuses:
            continue
        by = None if label.startswith("Lead Expired") else lead["assignee_id"]
        note = _set_required_fields(builder, lead, label, Stamp(by, at))
        change = {"from": lead["status_id"], "to": statuses[label]}
        seconds = int((at - lead["status_on"]).total_seconds())
        builder.add(
            models.StatusChange,
            lead_id=lead["id"],
            from_id=change["from"],
            to_id=change["to"],
            at=at,
            by_id=by,
            seconds=seconds,
        )
        record_ids = {"lead_id": lead["id"], "customer_id": lead["customer_id"]}
        builder.add_activity("status_change", at, by, record_ids, **change, note=note)
        lead |= {"status_id": change["to"], "status_on": at, "changed_on": at, "changed_by_id": by}
        lead["replied_on"] = lead["replied_on"] or at
    lead["label"] = path[-1] if path[-1] in statuses else "New"
    if len(path) == 1 and builder.now - lead["created_on"] < timedelta(days=4):
        sla.start_clock(builder, lead, models.Lead)
    elif lead["replied_on"]:
        sla.finish_clock(builder, lead, models.Lead)


def _status_times(builder: DemoBuilder, start: datetime, path: tuple[str, ...]) -> list[datetime]:
    if path[-1].startswith("Lead Expired"):
        rest = timedelta(days=31 if "Account" in path[-1] else 61)
        times = sorted(builder.office_time(start + timedelta(hours=1), start + timedelta(days=10)) for _ in path[2:])
        return [*times, datetime.combine((times[-1] + rest).date(), time(4, 30), UTC)]
    return builder.step_times(start, len(path) - 1)


def _set_required_fields(builder: DemoBuilder, lead: Row, label: str, stamp: Stamp) -> str | None:
    if label == "Sent to HO":
        lead["pod_id"] = f"POD{stamp.now:%y%m}{builder.rng.randint(1, 60):03d}"
        return str(lead["pod_id"])
    if label.startswith("Rejected"):
        lead["rejection_reason"] = builder.choose(REJECTIONS)
        return str(lead["rejection_reason"])
    if label == "Account Opened":
        _open(builder, lead, stamp)
    if label == "Account Activated":
        lead["activated_on"] = stamp.now
        account = builder.rows_of(models.CustomerAccount)[-1]
        account |= {"activated_on": stamp.now}
        if builder.chance(0.6):
            _convert(builder, lead, stamp)
    return lead["client_id"] if label in ("Account Opened", "Account Activated") else None


def _open(builder: DemoBuilder, lead: Row, stamp: Stamp) -> None:
    """Convert the lead to a customer with an account, and move its contact fields there."""
    lead |= {"client_id": f"ESH{20_000 + lead['id']}", "opened_on": stamp.now}
    if lead["customer_id"] is None:
        person = {"source": "Lead"} | {name: lead[name] for name in CONTACT_FIELDS}
        text = f"Customer created from {lead['number']}"
        customer = new_customer(builder, person, Stamp(lead["owner_id"], stamp.now), text)
        _link_customer(lead, customer)
    else:
        customer = next(row for row in builder.rows_of(models.Customer) if row["id"] == lead["customer_id"])
    account = {"client_id": lead["client_id"], "account_type_id": lead["account_type_id"], "lead_id": lead["id"]}
    add_account(builder, customer, stamp.by, **account, opened_on=stamp.now, activated_on=None)


def _convert(builder: DemoBuilder, lead: Row, stamp: Stamp) -> None:
    lead["converted_on"] = min(stamp.now + timedelta(minutes=30), builder.now)
    number = next(row["number"] for row in builder.rows_of(models.Customer) if row["id"] == lead["customer_id"])
    record_ids = {"lead_id": lead["id"], "customer_id": lead["customer_id"]}
    builder.add_activity(
        "system", lead["converted_on"], stamp.by, record_ids, text=f"Converted to {number}", what="converted"
    )
