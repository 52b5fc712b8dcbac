"""Demo data: an invented stock broker with people, leads, customers, tickets and eight weeks of history.

Everything is invented, and the same for the same `now`: email addresses are in reserved domains, and PANs only have the
right format. The rows are inserted in bulk, but are those that the domain would have written.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import access, models
from app.demo.activity import make_messages, make_notices, make_support_pages, make_tasks, make_templates
from app.demo.assignments import make_requests
from app.demo.builder import DemoBuilder
from app.demo.calls import make_calls
from app.demo.campaigns import make_campaign
from app.demo.complaints import (
    make_old_complaints,
    make_old_customers,
    make_recent_complaints,
    put_back_old_tickets,
)
from app.demo.conversations import make_conversations
from app.demo.duplicates import make_duplicates
from app.demo.leads import make_leads
from app.demo.people import PEOPLE, make_direct_customers, make_holidays, make_people, number_customers, username
from app.demo.published_disclosures import publish_disclosures
from app.demo.registers import fill_escalation, make_registers
from app.demo.reports import make_reports
from app.demo.sla import count_first_replies
from app.demo.tickets import make_tickets
from app.domain import customer_keys
from app.domain.base import RuleBroken
from app.domain.merging import duplicate_scan
from app.domain.people import login_names
from app.lib.field_encryption import Vault

#: Run after `make_people`, in the order of their dependencies.
STEPS = (
    make_direct_customers,
    make_old_customers,
    make_leads,
    make_duplicates,
    number_customers,
    make_old_complaints,
    make_tickets,
    make_recent_complaints,
    make_tasks,
    make_calls,
    make_templates,
    make_support_pages,
    make_messages,
    make_conversations,
    count_first_replies,
    make_campaign,
    make_requests,
    make_notices,
    make_holidays,
    make_reports,
    put_back_old_tickets,
    make_registers,
    fill_escalation,
)


def one_of_each_role() -> dict[str, str]:
    """Role -> the username of the first demo user who has it."""
    return {role: username(first, last) for _team, role, first, last in reversed(PEOPLE)}


def load(
    session: Session,
    now: datetime,
    leads: int = 400,
    vault: Vault | None = None,
    password_for: Callable[[str], str] | None = None,
) -> dict[str, int]:
    """Write the demo data in the caller's transaction. Returns the number of rows by table.

    `password_for` returns the password *hash* for a username; without it no demo user can sign in. Without a vault no
    PAN is stored. Raises RuleBroken if the demo data is already there, or if lists or roles are missing.
    """
    with access.as_system(session):
        _refuse_if_loaded(session)
        builder = DemoBuilder(session, now.astimezone(UTC), leads, vault)
        make_people(builder, password_for or (lambda name: "!"))
        for step in STEPS:
            step(builder)
        counts = builder.write()
        counts[models.ComplaintDisclosure.__tablename__] = publish_disclosures(builder)
        customer_keys.assign_bulk(session)
        login_names.fill(session)
        # The job looks at what has changed since its last run, and these rows are older than that.
        duplicate_scan.rescan(session, "leads", [row["id"] for row in builder.rows_of(models.Lead)], builder.now)
        access.bump_version(session)
    return counts


def _refuse_if_loaded(session: Session) -> None:
    names = [username(first, last) for _, _, first, last in PEOPLE]
    if session.execute(select(models.User.id).where(models.User.username.in_(names)).limit(1)).first():
        raise RuleBroken("The demo data is there already. Load it into an empty database to get it anew.")
