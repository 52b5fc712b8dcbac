"""The users and teams, the holidays, and customers who never were leads."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from flask_appbuilder.security.sqla.models import assoc_user_group, assoc_user_role
from sqlalchemy import select

from app import models
from app.demo.builder import ZONE, DemoBuilder, Row, labels, role_id, stamps
from app.demo.sample_text import FIXED_HOLIDAYS, HOLIDAYS_2026
from app.domain.base import Stamp

#: Team, role, first name, last name. The first of each team is its manager.
PEOPLE = (
    ("Sales West", "Sales Manager", "Asha", "Deshmukh"),
    ("Sales West", "Sales User", "Rohan", "Parikh"),
    ("Sales West", "Sales User", "Neha", "Solanki"),
    ("Sales West", "Sales User", "Manoj", "Thakkar"),
    ("Sales North", "Sales Manager", "Vikram", "Bhatia"),
    ("Sales North", "Sales User", "Priya", "Khanna"),
    ("Sales North", "Sales User", "Arjun", "Malhotra"),
    ("Sales North", "Sales User", "Sunita", "Rawat"),
    ("Support", "Support Manager", "Leena", "Fernandes"),
    ("Support", "Support User", "Kiran", "Gokhale"),
    ("Support", "Support User", "Dev", "Barot"),
    ("Support", "Support User", "Farah", "Sheikh"),
    ("Compliance", "Compliance", "Meera", "Iyer"),
)
#: Whose people have no telephone of their own in the CRM: they call nobody.
_WITHOUT_MOBILE = "Compliance"


def username(first: str, last: str) -> str:
    """The username of a demo user."""
    return f"{first}.{last}".lower()


def make_people(builder: DemoBuilder, password_for: Callable[[str], str]) -> None:
    """Make the users of PEOPLE, with their teams, roles and managers."""
    joined = builder.now - timedelta(days=200)
    leader: dict[str, int] = {}
    for team, role, first, last in PEOPLE:
        name = username(first, last)
        mobile, e164 = (None, None) if team == _WITHOUT_MOBILE else builder.mobile()
        user = builder.add(
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
            builder.add(models.Group, name=team, label=team, description=f"The team of {first} {last}")
            leader[team] = user["id"]
        builder.add(assoc_user_role, user_id=user["id"], role_id=role_id(builder, role))
        builder.add(assoc_user_group, user_id=user["id"], group_id=builder.rows_of(models.Group)[-1]["id"])
        builder.staff.setdefault(role, []).append(user["id"])
        builder.manager_of[user["id"]] = leader[team]
    _plan_leave(builder)


def _plan_leave(builder: DemoBuilder) -> None:
    """Plan a sales user's leave from the day after tomorrow, with a colleague as the substitute."""
    absent, substitute = builder.rows_of(models.User)[2], builder.rows_of(models.User)[1]
    starts = datetime.combine(builder.now.astimezone(ZONE).date() + timedelta(days=2), time(0), ZONE).astimezone(UTC)
    absent |= {"leave_from": starts, "leave_to": starts + timedelta(days=5), "delegate_id": substitute["id"]}


def new_customer(builder: DemoBuilder, person: Row, stamp: Stamp, text: str = "Customer created") -> Row:
    """Make a customer with this source and these contact fields, and the first entry of the timeline."""
    owner, at = stamp.by, stamp.now
    kyc = builder.rng.choices(("Verified", "Pending", "Re-KYC due", "Rejected"), (70, 18, 9, 3))[0]
    customer = builder.add(
        models.Customer,
        number=builder.number("CUST", at),
        version=1,
        owner_id=owner,
        kyc_status=kyc,
        status="Inactive" if builder.chance(0.06) else "Active",
        referral_code=None,
        referred_by=None,
        rekyc_on=builder.now.date() + timedelta(days=builder.rng.randint(5, 700)) if kyc == "Verified" else None,
        no_calls=builder.chance(0.05),
        no_whatsapp=builder.chance(0.04),
        no_sms=builder.chance(0.05),
        no_email=builder.chance(0.05),
        **person,
        **stamps(owner, at),
    )
    builder.add_activity("system", at, owner, {"customer_id": customer["id"]}, text=text)
    return customer


def number_customers(builder: DemoBuilder) -> None:
    """Number all customers in order of time, also where their numbers are quoted: they were made by how they came."""
    customers = sorted(builder.rows_of(models.Customer), key=lambda row: row["created_on"])
    numbers = sorted(row["number"] for row in customers)
    changed = {row["number"]: number for row, number in zip(customers, numbers, strict=True)}
    for row in customers:
        row["number"] = changed[row["number"]]
    for entry in builder.rows_of(models.Activity):
        if entry["payload"].get("what") == "converted":
            words, _space, number = entry["payload"]["text"].rpartition(" ")
            entry["payload"]["text"] = f"{words} {changed[number]}"


def make_direct_customers(builder: DemoBuilder) -> None:
    """Make the customers who never were leads, about two thirds."""
    kinds = list(labels(builder, models.AccountType).values())
    owners = builder.staff["Sales User"] + builder.staff["Support User"]
    for n in range(max(1, builder.count("customers") - round(builder.size * 0.14))):
        at = builder.office_time(builder.now - timedelta(days=180), builder.now - timedelta(days=2))
        owner = builder.choose(owners)
        source = builder.rng.choices(("Direct", "Ticket", "Other"), (60, 30, 10))[0]
        customer = new_customer(builder, {"source": source} | builder.contact(), Stamp(owner, at))
        if builder.chance(0.8):
            kind = builder.choose(kinds) if kinds else None
            account = {"client_id": f"ESH{10_000 + n}", "account_type_id": kind, "lead_id": None}
            add_account(builder, customer, owner, **account, opened_on=at, activated_on=at)


def add_account(builder: DemoBuilder, customer: Row, by: int | None, **columns: Any) -> None:
    """Make a brokerage account of a customer. The first account's client id becomes the referral code."""
    stamped = stamps(by, columns["opened_on"])
    builder.add(models.CustomerAccount, customer_id=customer["id"], **columns, **stamped)
    customer["referral_code"] = customer["referral_code"] or columns["client_id"]


def make_holidays(builder: DemoBuilder) -> None:
    """Make this year's holidays, unless they are on the list."""
    year = builder.now.astimezone(ZONE).year
    known = set(builder.session.scalars(select(models.Holiday.day)))
    for month, day, label in (*FIXED_HOLIDAYS, *(HOLIDAYS_2026 if year == 2026 else ())):
        if date(year, month, day) not in known:
            builder.add(models.Holiday, day=date(year, month, day), label=label, starts=None, ends=None)
