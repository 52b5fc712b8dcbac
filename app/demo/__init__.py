"""Demo data: an invented broking house with people, leads, customers, tickets and a month of history.

Everything is made up and comes out the same for the same `now`: addresses lie in domains that nobody owns, PANs
have the right shape only. The rows are written in bulk, and agree with what the domain would have written.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access, models
from app.demo.activity import make_calls, make_messages, make_notices, make_tasks
from app.demo.assignments import make_requests
from app.demo.builder import OfficeBuilder
from app.demo.leads import make_leads
from app.demo.people import make_direct_customers, make_holidays, make_people, username
from app.demo.sample_text import PEOPLE
from app.demo.tickets import make_tickets
from app.domain.base import RuleBroken
from app.lib.vault import Vault

#: After the people, in the order in which they need each other.
STEPS = (
    make_direct_customers,
    make_leads,
    make_tickets,
    make_tasks,
    make_calls,
    make_messages,
    make_requests,
    make_notices,
    make_holidays,
)


def load(
    session: Session,
    now: datetime,
    leads: int = 400,
    vault: Vault | None = None,
    password_for: Callable[[str], str] | None = None,
) -> dict[str, int]:
    """Write the demo data into the caller's transaction; answers how many rows of each table were made.

    `password_for` gives the password *hash* of a user name; without it nobody of the demo can sign in.
    Without a vault no PAN is kept. Raises RuleBroken when the demo data is there, or masters are missing.
    """
    with access.as_system(session):
        _refuse_twice(session)
        house = OfficeBuilder(session, now.astimezone(UTC), leads, vault)
        make_people(house, password_for or (lambda name: "!"))
        for step in STEPS:
            step(house)
        counts = house.write()
        access.bump_version(session)
    return counts


def _refuse_twice(session: Session) -> None:
    names = [username(first, last) for _, _, first, last in PEOPLE]
    if session.execute(select(models.User.id).where(models.User.username.in_(names)).limit(1)).first():
        raise RuleBroken("The demo data is there already. Load it into an empty database to get it anew.")
