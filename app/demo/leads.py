"""Leads, each walked through the statuses of its path; the accounts and customers that came of them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from app import models
from app.demo import sla
from app.demo.assignments import give, hand_on
from app.demo.builder import DAYS, OfficeBuilder, Row, first_of, labels, stamps
from app.demo.people import add_account, new_customer
from app.demo.sample_text import NOTES, PATHS, REJECTIONS
from app.domain.base import RuleBroken


def make_leads(house: OfficeBuilder) -> None:
    """Every path of PATHS at least once. Raises RuleBroken when the statuses are missing."""
    statuses = labels(house, models.LeadStatus)
    if not statuses:
        raise RuleBroken("The list of lead statuses is empty. Bring the database up to date first.")
    sources = list(labels(house, models.LeadSource).values())
    kinds = list(labels(house, models.AccountType).values())
    direct = list(house.of(models.Customer))
    # Every path at least once, the rest by their shares; then in order of time, as the numbers demand.
    chosen = [path for _, path in PATHS][: house.size]
    shares = [share for share, _ in PATHS]
    chosen += house.rng.choices([path for _, path in PATHS], shares, k=max(0, house.size - len(chosen)))
    plans = sorted(((_created(house, path), n, path) for n, path in enumerate(chosen)), key=lambda plan: plan[:2])
    for at, n, path in plans:
        lead = _lead(
            house,
            at,
            n,
            statuses,
            {
                "source_id": house.some(sources) if sources else None,
                "account_type_id": house.some(kinds) if kinds else None,
            },
        )
        if house.often(0.05) and len(path) < 6:
            _known_person(lead, house.some(direct))
        _walk(house, lead, path, statuses)
        hand_on(house, lead)


def _created(house: OfficeBuilder, path: tuple[str, ...]) -> datetime:
    days = DAYS
    if path[-1].startswith("Lead Expired"):  # it lay untouched for 60 (opened: 30) days first
        days = 95
        return house.moment(house.now - timedelta(days=days), house.now - timedelta(days=days - 15))
    latest = house.now - timedelta(hours=max(0.1, 30 * (len(path) - 1)))
    return house.moment(house.now - timedelta(days=days), latest)


def _lead(house: OfficeBuilder, at: datetime, n: int, statuses: dict[str, int], rest: Row) -> Row:
    assignee, decision = house.in_turn("Sales User")
    by = house.rng.choices((house.boss[assignee], assignee), (55, 45))[0]
    reason = "created" if by == assignee else house.some(("round robin", "round robin", "direct"))
    person = house.contact()
    lead = house.add(
        models.Lead,
        number=house.number("LEAD", at),
        version=1,
        status_id=first_of(statuses, "New"),
        status_on=at,
        category=house.rng.choices(("Direct", "Indirect"), (80, 20))[0],
        assignee_id=assignee,
        owner_id=by,
        assigned_role="Sales User" if reason == "round robin" else None,
        **person,
        **rest,
        **stamps(by, at),
        next_follow_up_on=None,
        customer_id=None,
        client_id=None,
        pod_id=None,
        rejection_reason=None,
        referral=f"ESH{10_000 + house.rng.randint(0, 60)}" if house.often(0.2) else None,
        opened_on=None,
        activated_on=None,
        converted_on=None,
        description=house.some(NOTES) if house.often(0.3) else None,
        **sla.UNTOUCHED,
        date_of_birth=date(house.rng.randint(1955, 2004), house.rng.randint(1, 12), 1 + n % 28),
        called=_name(person),
    )
    place = {"lead_id": lead["id"]}
    house.happened("system", at, by, place, text="Lead created")
    house.add(models.StatusChange, **place, from_id=None, to_id=lead["status_id"], at=at, by_id=by, seconds=None)
    give(house, place, assignee, None, reason, by, at, decision if reason == "round robin" else {})
    return lead


def _name(person: Row) -> str:
    return f"{person['first_name']} {person['last_name']}"


def _known_person(lead: Row, customer: Row) -> None:
    """The mobile was a known customer's: linked, and the lead's own contact is empty."""
    lead |= {"customer_id": customer["id"], "called": _name(customer)}
    for name in (
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
    ):
        lead[name] = None


def _walk(house: OfficeBuilder, lead: Row, path: tuple[str, ...], statuses: dict[str, int]) -> None:
    """Move the lead through the labels of its path, with what each gate demands."""
    marks = _marks(house, lead["created_on"], path)
    for label, at in zip(path[1:], marks, strict=True):
        if label not in statuses:
            continue
        by = None if label.startswith("Lead Expired") else lead["assignee_id"]
        note = _gate(house, lead, label, by, at)
        change = {"from": lead["status_id"], "to": statuses[label]}
        seconds = int((at - lead["status_on"]).total_seconds())
        house.add(
            models.StatusChange,
            lead_id=lead["id"],
            from_id=change["from"],
            to_id=change["to"],
            at=at,
            by_id=by,
            seconds=seconds,
        )
        place = {"lead_id": lead["id"], "customer_id": lead["customer_id"]}
        house.happened("status_change", at, by, place, **change, note=note)
        lead |= {"status_id": change["to"], "status_on": at, "changed_on": at, "changed_by_id": by}
        lead["replied_on"] = lead["replied_on"] or at
    lead["label"] = path[-1] if path[-1] in statuses else "New"
    if len(path) == 1 and house.now - lead["created_on"] < timedelta(hours=20):
        sla.owe(house, lead, models.Lead)


def _marks(house: OfficeBuilder, start: datetime, path: tuple[str, ...]) -> list[datetime]:
    if path[-1].startswith("Lead Expired"):
        rest = timedelta(days=31 if "Account" in path[-1] else 61)
        marks = sorted(house.moment(start + timedelta(hours=1), start + timedelta(days=10)) for _ in path[2:])
        return [*marks, datetime.combine((marks[-1] + rest).date(), time(4, 30), UTC)]
    return sorted(house.moment(start + timedelta(minutes=20), house.now) for _ in path[1:])


def _gate(house: OfficeBuilder, lead: Row, label: str, by: int | None, at: datetime) -> str | None:
    if label == "Sent to HO":
        lead["pod_id"] = f"POD{at:%y%m}{house.rng.randint(1, 60):03d}"
        return str(lead["pod_id"])
    if label.startswith("Rejected"):
        lead["rejection_reason"] = house.some(REJECTIONS)
        return str(lead["rejection_reason"])
    if label == "Account Opened":
        _open(house, lead, by, at)
    if label == "Account Activated":
        lead["activated_on"] = at
        account = house.of(models.CustomerAccount)[-1]
        account |= {"activated_on": at}
        if house.often(0.6):
            _convert(house, lead, by, at)
    return lead["client_id"] if label in ("Account Opened", "Account Activated") else None


def _open(house: OfficeBuilder, lead: Row, by: int | None, at: datetime) -> None:
    """The lead becomes a customer with an account; its contact fields move over."""
    lead |= {"client_id": f"ESH{20_000 + lead['id']}", "opened_on": at}
    names = (
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
    if lead["customer_id"] is None:
        person = {name: lead[name] for name in names}
        text = f"Customer created from {lead['number']}"
        customer = new_customer(house, person, "Lead", lead["owner_id"], at, text)
        _known_person(lead, customer)
    else:
        customer = next(row for row in house.of(models.Customer) if row["id"] == lead["customer_id"])
    add_account(house, customer, lead["client_id"], lead["id"], lead["account_type_id"], by, at, None)


def _convert(house: OfficeBuilder, lead: Row, by: int | None, at: datetime) -> None:
    lead["converted_on"] = min(at + timedelta(minutes=30), house.now)
    number = next(row["number"] for row in house.of(models.Customer) if row["id"] == lead["customer_id"])
    place = {"lead_id": lead["id"], "customer_id": lead["customer_id"]}
    house.happened("system", lead["converted_on"], by, place, text=f"Converted to {number}", what="converted")
