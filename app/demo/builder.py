"""The invented house while it is being made: its rows, its chance, and how they are written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from functools import cached_property
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from flask_appbuilder.security.sqla.models import assoc_user_group, assoc_user_role
from sqlalchemy import Table, func, insert, select, update
from sqlalchemy.orm import Session

from app import models
from app.demo.sample_text import CITIES, FIRST, LAST, STREETS
from app.domain import sla
from app.domain.base import NUMBER_PREFIXES, RuleBroken
from app.domain.tickets import ticket_subjects
from app.lib import phone
from app.lib.vault import Vault

SEED = 2026
ZONE = ZoneInfo("Asia/Kolkata")
#: How much is made for this many leads; other numbers of leads scale all of it.
FULL = {"leads": 400, "customers": 150, "tickets": 120, "tasks": 600, "calls": 2000, "messages": 260, "notes": 450}
DAYS = 30
Row = dict[str, Any]
#: In the order in which foreign keys allow them to be written.
TABLES: tuple[Table, ...] = (
    models.User.__table__,
    assoc_user_role,
    models.Group.__table__,
    assoc_user_group,
    models.Customer.__table__,
    models.Lead.__table__,
    models.CustomerAccount.__table__,
    models.Ticket.__table__,
    ticket_subjects,
    models.Task.__table__,
    models.CallLog.__table__,
    models.Message.__table__,
    models.Assignment.__table__,
    models.AssignmentRequest.__table__,
    models.StatusChange.__table__,
    models.Activity.__table__,
    models.Notification.__table__,
    models.Holiday.__table__,
)


@dataclass
class OfficeBuilder:
    """The invented house while it is being made: rows by table, and who and what is there."""

    session: Session
    now: datetime
    size: int
    vault: Vault | None
    rng: Random = field(default_factory=lambda: Random(SEED))  # noqa: S311  # invented data
    rows: dict[str, list[Row]] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)
    numbers: dict[tuple[str, int], int] = field(default_factory=dict)
    #: Role name -> user ids; user id -> manager's id.
    staff: dict[str, list[int]] = field(default_factory=dict)
    boss: dict[int, int] = field(default_factory=dict)
    mobiles: set[str] = field(default_factory=set)
    turn: dict[str, int] = field(default_factory=dict)

    @cached_property
    def terms(self) -> sla.SlaTerms:
        """What the SLA clocks of the house go by."""
        return sla.load_terms(self.session, str(ZONE))

    def count(self, what: str) -> int:
        """How many of these for the wished number of leads."""
        return max(1, round(FULL[what] * self.size / FULL["leads"]))

    def add(self, record: Any, **values: Any) -> Row:
        """Keep a row with the next id of its table."""
        table = getattr(record, "__table__", record)
        if "id" in table.columns:
            if table.name not in self.ids:
                self.ids[table.name] = self.session.execute(select(func.max(table.c.id))).scalar() or 0
            self.ids[table.name] += 1
            values["id"] = self.ids[table.name]
        self.rows.setdefault(table.name, []).append(values)
        return values

    def of(self, record: Any) -> list[Row]:
        """The rows made so far."""
        return self.rows.setdefault(getattr(record, "__table__", record).name, [])

    def number(self, kind: str, at: datetime) -> str:
        """The next people-facing number of the series of that year."""
        key = (kind, at.year)
        if key not in self.numbers:
            series = models.NumberSeries
            query = select(series.last).where(series.kind == kind, series.year == at.year)
            self.numbers[key] = self.session.execute(query).scalar() or 0
        self.numbers[key] += 1
        return f"{NUMBER_PREFIXES[kind]}-{at.year}-{self.numbers[key]:05d}"

    def some(self, values: Iterable[Any]) -> Any:
        """Any one of them."""
        return self.rng.choice(list(values))

    def often(self, share: float) -> bool:
        """True in that share of the cases."""
        return self.rng.random() < share

    def moment(self, start: datetime, end: datetime) -> datetime:
        """A moment of office hours (Monday to Saturday, 9:30 to 18:30 in India) between the two, if there is one."""
        span = max((end - start).total_seconds(), 1.0)
        for _ in range(60):
            at = start + timedelta(seconds=int(self.rng.random() * span))
            local = at.astimezone(ZONE)
            if local.weekday() < 6 and time(9, 30) <= local.time() < time(18, 30):
                return at
        return start + timedelta(seconds=int(self.rng.random() * span))

    def mobile(self) -> tuple[str, str]:
        """An invented Indian mobile, as somebody types it, and in E.164; none comes twice."""
        while (digits := str(self.rng.randint(9_000_000_000, 9_999_999_999))) in self.mobiles:
            pass
        self.mobiles.add(digits)
        typed = self.some((digits, f"{digits[:5]} {digits[5:]}", f"+91 {digits[:5]} {digits[5:]}", f"0{digits}"))
        return typed, phone.normalize(typed) or f"+91{digits}"

    def pan(self) -> tuple[str | None, str | None]:
        """A sealed PAN of the right shape, and its blind index."""
        if self.vault is None:
            return None, None
        letters = "".join(self.rng.choices("ABCDEFGHJKLMNPRSTUVW", k=5))
        pan = f"{letters[:3]}P{letters[3]}{self.rng.randint(0, 9999):04d}{letters[4]}"
        return self.vault.seal(pan), self.vault.blind(pan, "pan")

    def contact(self) -> Row:
        """The contact fields of an invented person; three of four write in Latin script."""
        script = self.rng.choices((0, 1, 2), (75, 15, 10))[0]
        first, last = self.some(FIRST), self.some(LAST)
        mobile, e164 = self.mobile()
        other = self.mobile() if self.often(0.15) else (None, None)
        pan = self.pan() if self.often(0.3) else (None, None)
        email = f"{first[0]}.{last[0]}{self.rng.randint(1, 99)}@mail.example".lower()
        return {
            "first_name": first[script],
            "last_name": last[script],
            "mobile": mobile,
            "mobile_e164": e164,
            "alternative_mobile": other[0],
            "alternative_e164": other[1],
            "email": email if self.often(0.8) else None,
            "pan_sealed": pan[0],
            "pan_blind": pan[1],
            "address": self.address() if self.often(0.7) else None,
        }

    def address(self) -> str:
        """Somewhere in a city."""
        return f"{self.rng.randint(1, 240)}, {self.some(STREETS)}, {self.some(CITIES)}"

    def happened(self, kind: str, at: datetime, by: int | None, place: Row, **payload: Any) -> None:
        """A line of the timeline."""
        self.add(models.Activity, kind=kind, at=at, actor_id=by, payload=payload, **place)

    def in_turn(self, role: str) -> tuple[int, Row]:
        """Whose turn it is by round robin, and the decision as the Assignment row keeps it."""
        people = self.staff[role]
        chosen = people[self.turn.get(role, 0) % len(people)]
        self.turn[role] = self.turn.get(role, 0) + 1
        return chosen, {"role": role, "candidates": people, "skipped": []}

    def write(self) -> dict[str, int]:
        """Insert everything in bulk, advance the number series and the round robin."""
        for table in TABLES:
            rows = self.rows.get(table.name, [])
            if table.name == "activity":
                _in_order_of_time(rows)
            if rows:
                names = dict.fromkeys(name for row in rows for name in row)
                self.session.execute(insert(table), [dict.fromkeys(names) | row for row in rows])
        self._advance()
        return {name: len(rows) for name, rows in self.rows.items() if rows}

    def _advance(self) -> None:
        series = models.NumberSeries
        for (kind, year), last in self.numbers.items():
            step = update(series).where(series.kind == kind, series.year == year).values(last=last)
            if not self.session.execute(step).rowcount:  # type: ignore[attr-defined]
                self.session.execute(insert(series).values(kind=kind, year=year, last=last))
        for role, turns in self.turn.items():
            people = self.staff[role]
            where = models.RoundRobin.role_id == role_id(self, role)
            values = {"last_user_id": people[(turns - 1) % len(people)], "turns": turns}
            if not self.session.execute(update(models.RoundRobin).where(where).values(values)).rowcount:  # type: ignore[attr-defined]
                self.session.execute(insert(models.RoundRobin).values(role_id=role_id(self, role), **values))


def _in_order_of_time(rows: list[Row]) -> None:
    """A record page reads the timeline by id: give the ids out in order of time."""
    ids = [row["id"] for row in rows]
    rows.sort(key=lambda row: row["at"])
    for row, key in zip(rows, ids, strict=True):
        row["id"] = key


def stamps(by: int | None, made: datetime, changed: datetime | None = None, changed_by: int | None = None) -> Row:
    """Who made a row and changed it last, and when."""
    return {
        "created_on": made,
        "created_by_id": by,
        "changed_on": changed or made,
        "changed_by_id": changed_by if changed else by,
    }


def role_id(house: OfficeBuilder, name: str) -> int:
    """The id of a role. Raises RuleBroken where there is none of that name."""
    found = house.session.execute(select(models.Role.id).where(models.Role.name == name)).scalar()
    if found is None:
        raise RuleBroken(f"There is no role named “{name}”. Bring the database up to date first.")
    return int(found)


def labels(house: OfficeBuilder, master: Any) -> dict[str, int]:
    """Label -> id of the active rows of a master, in their order."""
    query = select(master.label, master.id).where(master.is_active).order_by(master.position, master.id)
    return dict(house.session.execute(query).all())


def first_of(found: dict[str, int], label: str) -> int:
    """The id of a label; of the first row where a manager has renamed it."""
    return found.get(label) or next(iter(found.values()))
