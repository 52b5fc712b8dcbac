"""Who works in the house, when it rests, and the customers who never were leads."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

from flask_appbuilder.security.sqla.models import assoc_user_group, assoc_user_role
from sqlalchemy import select

from app import models
from app.demo.builder import ZONE, OfficeBuilder, Row, labels, role_id, stamps
from app.demo.sample_text import FIXED_HOLIDAYS, HOLIDAYS_2026, PEOPLE


def username(first: str, last: str) -> str:
    """As everybody of the demo signs in."""
    return f"{first}.{last}".lower()


def make_people(house: OfficeBuilder, password_for: Callable[[str], str]) -> None:
    """Those of PEOPLE, with their teams, roles and managers."""
    joined = house.now - timedelta(days=200)
    leader: dict[str, int] = {}
    for team, role, first, last in PEOPLE:
        name = username(first, last)
        mobile, e164 = house.mobile()
        user = house.add(
            models.User,
            first_name=first,
            last_name=last,
            username=name,
            email=f"{name}@eshin.example",
            active=True,
            password=password_for(name),
            login_count=0,
            fail_login_count=0,
            available=True,
            created_on=joined,
            changed_on=joined,
            created_by_fk=None,
            changed_by_fk=None,
            mobile=mobile,
            mobile_e164=e164,
            manager_id=leader.get(team),
            time_zone=str(ZONE),
            locale="en",
        )
        if team not in leader:
            house.add(models.Group, name=team, label=team, description=f"The team of {first} {last}")
            leader[team] = user["id"]
        house.add(assoc_user_role, user_id=user["id"], role_id=role_id(house, role))
        house.add(assoc_user_group, user_id=user["id"], group_id=house.of(models.Group)[-1]["id"])
        house.staff.setdefault(role, []).append(user["id"])
        house.boss[user["id"]] = leader[team]
    _leave(house)


def _leave(house: OfficeBuilder) -> None:
    """One sales user goes on leave the day after tomorrow; a colleague stands in."""
    away, stand_in = house.of(models.User)[2], house.of(models.User)[1]
    starts = datetime.combine(house.now.astimezone(ZONE).date() + timedelta(days=2), time(0), ZONE).astimezone(UTC)
    away |= {"leave_from": starts, "leave_to": starts + timedelta(days=5), "delegate_id": stand_in["id"]}


def new_customer(house: OfficeBuilder, person: Row, source: str, owner: int, at: datetime, text: str) -> Row:
    """A customer with this contact, and the first line of his timeline."""
    kyc = house.rng.choices(("Verified", "Pending", "Re-KYC due", "Rejected"), (70, 18, 9, 3))[0]
    customer = house.add(
        models.Customer,
        number=house.number("CUST", at),
        version=1,
        source=source,
        owner_id=owner,
        kyc_status=kyc,
        status="Inactive" if house.often(0.06) else "Active",
        referral_code=None,
        referred_by=None,
        rekyc_on=house.now.date() + timedelta(days=house.rng.randint(5, 700)) if kyc == "Verified" else None,
        no_calls=house.often(0.05),
        no_whatsapp=house.often(0.04),
        no_sms=house.often(0.05),
        no_email=house.often(0.05),
        **person,
        **stamps(owner, at),
    )
    house.happened("system", at, owner, {"customer_id": customer["id"]}, text=text)
    return customer


def make_direct_customers(house: OfficeBuilder) -> None:
    """Those who never were leads: about two of three."""
    kinds = list(labels(house, models.AccountType).values())
    owners = house.staff["Sales User"] + house.staff["Support User"]
    for n in range(max(1, house.count("customers") - round(house.size * 0.14))):
        at = house.moment(house.now - timedelta(days=180), house.now - timedelta(days=2))
        owner = house.some(owners)
        source = house.rng.choices(("Direct", "Ticket", "Other"), (60, 30, 10))[0]
        customer = new_customer(house, house.contact(), source, owner, at, "Customer created")
        if house.often(0.8):
            add_account(house, customer, f"ESH{10_000 + n}", None, house.some(kinds) if kinds else None, owner, at, at)


def add_account(
    house: OfficeBuilder,
    customer: Row,
    client_id: str,
    lead: int | None,
    kind: int | None,
    by: int | None,
    opened: datetime,
    activated: datetime | None,
) -> None:
    """A brokerage account of the customer; the first is his referral code."""
    house.add(
        models.CustomerAccount,
        customer_id=customer["id"],
        client_id=client_id,
        account_type_id=kind,
        lead_id=lead,
        opened_on=opened,
        activated_on=activated,
        **stamps(by, opened),
    )
    customer["referral_code"] = customer["referral_code"] or client_id


def make_holidays(house: OfficeBuilder) -> None:
    """The year's, where they are not on the list."""
    year = house.now.astimezone(ZONE).year
    known = set(house.session.scalars(select(models.Holiday.day)))
    for month, day, label in (*FIXED_HOLIDAYS, *(HOLIDAYS_2026 if year == 2026 else ())):
        if date(year, month, day) not in known:
            house.add(models.Holiday, day=date(year, month, day), label=label, starts=None, ends=None)
