"""The data of the resilience tests: a MariaDB with ana and seven salespeople, and many tasks created at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from app import access, create_app
from app.models import Assignment, Lead, LeadStatus, OfficeRange, Task
from tests.app_fixtures import FIELD_KEY, SECRET_KEY, Crm, settings_for, settle

#: Sellers besides ana and ben.
MORE = ("carl", "dora", "egon", "fay", "gita", "hari")
HOUR = timedelta(hours=1)


@dataclass
class Scenario:
    """One database with its people, on the real clock; the office never closes."""

    url: str
    folder: Path
    crm: Crm

    @property
    def settings(self) -> dict[str, str]:
        """What a process needs in its environment to serve this database."""
        return {"CRM_DATABASE_URL": self.url, "CRM_SECRET_KEY": SECRET_KEY, "CRM_FIELD_KEY": FIELD_KEY}

    @property
    def name(self) -> str:
        """The database's name."""
        return str(self.crm.engine.url.database)

    @property
    def ana(self) -> int:
        """Her id."""
        return self.crm.people["ana"].id

    @property
    def sellers(self) -> list[int]:
        """Ids of the seven who take what ana leaves: ben and six more."""
        return [self.crm.people[name].id for name in ("ben", *MORE)]

    def cookie(self, name: str | None) -> str:
        """The header of somebody's signed-in browser; None = a stranger's."""
        key = str(self.crm.app.config["SESSION_COOKIE_NAME"])
        return f"{key}={self.crm.client(name).cookie(key)}"

    def add_leads(self, count: int, due: timedelta, owners: list[int] | None = None) -> list[int]:
        """So many leads with one task each, due at now + `due`, of ana or of these in turn; answers the tasks' ids."""
        now, people, held = datetime.now(UTC), owners or [self.ana], self.crm.session
        status = held.scalars(select(LeadStatus.id).where(LeadStatus.meaning == "working")).first()
        first = self.crm.count(Lead)
        rows = [_lead(first + n, people[n % len(people)], status, now) for n in range(count)]
        held.execute(insert(Lead.__table__), rows)
        query = select(Lead.id, Lead.assignee_id).where(Lead.number >= rows[0]["number"], Lead.number.like("PROOF-%"))
        leads = [(lead, int(user or 0)) for lead, user in held.execute(query.order_by(Lead.id))]
        held.execute(insert(Assignment.__table__), [_stretch(lead, user, now) for lead, user in leads])
        held.execute(insert(Task.__table__), [_task(lead, user, now, now + due) for lead, user in leads])
        held.commit()
        return self.rows(select(Task.id).where(Task.lead_id.in_([lead for lead, _ in leads])).order_by(Task.id))

    def rows(self, query: Any) -> list[Any]:
        """What a query finds now, twins included; rows of one column as values."""
        with Session(self.crm.engine) as session, access.as_system(session):
            found = session.execute(query).all()
        return [row[0] if len(row) == 1 else tuple(row) for row in found]

    def close(self) -> None:
        """Give the connections back."""
        self.crm.close()


def _lead(n: int, user: int, status: int | None, now: datetime) -> dict[str, object]:
    return {
        "number": f"PROOF-{n:06d}",
        "first_name": "Ravi",
        "status_id": status,
        "status_on": now,
        "version": 1,
        "category": "Direct",
        "assignee_id": user,
        "owner_id": user,
        "created_on": now,
        "changed_on": now,
    }


def _stretch(lead: int, user: int, now: datetime) -> dict[str, object]:
    return {
        "lead_id": lead,
        "user_id": user,
        "started_on": now,
        "reason": "created",
        "by_id": user,
        "decision": {},
        "open_key": f"leads:{lead}:{user}",
    }


def _task(lead: int, user: int, now: datetime, due_on: datetime) -> dict[str, object]:
    return {
        "title": "Call back",
        "status": "Todo",
        "priority": "Medium",
        "due_on": due_on,
        "assignee_id": user,
        "owner_id": user,
        "lead_id": lead,
        "exhausted": False,
        "tried": [],
        "remind_on": due_on - HOUR,
        "version": 1,
        "created_on": now,
        "changed_on": now,
    }


@contextmanager
def settled(url: str, folder: Path, empty: bool = True) -> Iterator[Scenario]:
    """The scenario on a database that is empty or a copy of the settled one."""
    access.clear_cache()
    app = create_app(settings_for(folder / "instance", CRM_DATABASE_URL=url), TESTING=True)
    if empty:
        settle(app)
    scenario = Scenario(url, folder, Crm(app))
    scenario.crm.session.execute(delete(OfficeRange))
    for name in MORE:
        scenario.crm.make.user(name, "Sales User", "mia")
    yield scenario
    scenario.close()
