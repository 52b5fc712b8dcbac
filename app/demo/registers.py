"""Requests about personal data, one of them late, two data breaches, and to whom complaints are escalated."""

from __future__ import annotations

from datetime import date, timedelta

from app import models
from app.demo.builder import ZONE, DemoBuilder, Row, stamps
from app.domain.complaints.clocks import PEOPLE
from app.domain.people.users import active_admins

#: (kind, what they ask, days since it was received, answered after so many days or None).
REQUESTS = (
    ("access", "Wants to know what is stored about them, by email.", 20, None),
    ("correction", "The address is an old one.", 12, 3),
    ("erasure", "Closed the account and wants the number deleted.", 95, None),
    ("grievance", "Was called although they had opted out.", 40, 10),
    ("nomination", "Names their daughter.", 80, None),
)
#: (what, which data, days since it was noticed, number of people, whether it is closed).
BREACHES = (
    ("List of customers sent to a wrong address", "Names, mobile numbers", 30, 42, True),
    ("Laptop of a sales user lost", "Names, mobile numbers, notes of leads", 0, 12, False),
)


def make_registers(builder: DemoBuilder) -> None:
    """Make the requests of some customers, and the breaches."""
    customers = builder.rows_of(models.Customer)
    for n, (kind, details, ago, answered_after) in enumerate(REQUESTS):
        customer, received = customers[n * 7 % len(customers)], builder.now - timedelta(days=ago)
        day = received.astimezone(ZONE).date()
        builder.add(
            models.DataRequest,
            person=f"{customer['first_name']} {customer['last_name']}",
            customer_id=customer["id"],
            kind=kind,
            details=details,
            received_on=day,
            due_on=day + timedelta(days=90),
            **_answer(day, answered_after),
            version=1,
            **stamps(None, received),
        )
    for what, data, ago, people, is_closed in BREACHES:
        noticed = builder.now - timedelta(days=ago, hours=2)
        told = noticed + timedelta(hours=4)
        builder.add(
            models.DataBreach,
            title=what,
            data_kinds=data,
            noticed_on=noticed,
            people_count=people,
            cert_in_due_on=noticed + timedelta(hours=6),
            board_due_on=noticed + timedelta(hours=72),
            **dict.fromkeys(("cert_in_told_on", "board_told_on", "people_told_on"), told if is_closed else None),
            state="closed" if is_closed else "open",
            version=1,
            **stamps(None, noticed),
        )


def fill_escalation(builder: DemoBuilder) -> None:
    """Name the people to whom complaints are escalated: an admin stands for the chief executive."""
    people = {
        "care": builder.staff["Support User"][0],
        "head": builder.staff["Support Manager"][0],
        "compliance": builder.staff["Compliance"][0],
    }
    if admins := active_admins(builder.session):
        people["chief"] = admins[0]
    builder.add(models.BusinessSetting, key=PEOPLE, value=people, changed_on=builder.now)


def _answer(received: date, after: int | None) -> Row:
    if after is None:
        return {"state": "open"}
    how = {"identity_how": "Called back on the known number", "identity_checked_on": received}
    return how | {"state": "answered", "answered_on": received + timedelta(days=after), "answer": "Done, and told so."}
