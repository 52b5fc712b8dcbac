"""The builder of the demo data: collects rows, makes random choices, and inserts the rows in bulk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from flask_appbuilder.security.sqla.models import assoc_user_group, assoc_user_role
from sqlalchemy import Table, func, insert, select, update
from sqlalchemy.orm import Session

from app import models
from app.demo.sample_text import CITIES, FIRST, LAST, STREETS
from app.domain import searchable_notes
from app.domain.base import NUMBER_PREFIXES, RuleBroken
from app.domain.tickets import ticket_subjects
from app.domain.working_time import sla
from app.lib import phone
from app.lib.cached_property import cached_property
from app.lib.field_encryption import Vault

SEED = 2026
ZONE = ZoneInfo("Asia/Kolkata")
#: How many of each to make for 400 leads; scaled for other numbers of leads.
SIZES = {"leads": 400, "customers": 150, "tickets": 120, "tasks": 600, "calls": 2000, "messages": 260, "notes": 450}
#: The length of the history.
DAYS = 56
Row = dict[str, Any]
#: In the order of their foreign keys.
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
    models.Complaint.__table__,
    models.ComplaintEntry.__table__,
    models.Task.__table__,
    models.ChannelAccount.__table__,
    models.CallLog.__table__,
    models.CallRecording.__table__,
    models.MessageTemplate.__table__,
    models.SupportPage.__table__,
    models.Conversation.__table__,
    models.Message.__table__,
    models.MessageFile.__table__,
    models.Campaign.__table__,
    models.CampaignRecipient.__table__,
    models.Consent.__table__,
    models.Assignment.__table__,
    models.AssignmentRequest.__table__,
    models.StatusChange.__table__,
    models.Activity.__table__,
    models.NoteText.__table__,
    models.Notification.__table__,
    models.Holiday.__table__,
    models.Report.__table__,
    models.ReportPin.__table__,
    models.ReportSchedule.__table__,
    models.DataRequest.__table__,
    models.DataBreach.__table__,
    models.BusinessSetting.__table__,
)


@dataclass
class DemoBuilder:
    """The rows made so far, by table, and the people they belong to."""

    session: Session
    now: datetime
    #: Number of leads.
    size: int
    vault: Vault | None
    rng: Random = field(default_factory=lambda: Random(SEED))  # noqa: S311  # invented data
    rows: dict[str, list[Row]] = field(default_factory=dict)
    #: Table name -> the highest id used.
    ids: dict[str, int] = field(default_factory=dict)
    #: (kind, year) -> the last record number used.
    numbers: dict[tuple[str, int], int] = field(default_factory=dict)
    #: Role name -> user ids; user id -> id of the manager.
    staff: dict[str, list[int]] = field(default_factory=dict)
    manager_of: dict[int, int] = field(default_factory=dict)
    #: Tickets from before the history, which later steps leave alone.
    set_aside: list[Row] = field(default_factory=list)
    mobiles: set[str] = field(default_factory=set)
    #: Role name -> number of round-robin turns taken.
    turns: dict[str, int] = field(default_factory=dict)
    #: Lead id -> when work on it ended (given up, expired or junk): nobody calls or writes afterwards.
    left_alone_on: dict[int, datetime] = field(default_factory=dict)

    @cached_property
    def terms(self) -> sla.SlaTerms:
        """The SLA targets and office hours."""
        return sla.load_terms(self.session, str(ZONE))

    def count(self, what: str) -> int:
        """How many of these to make for this number of leads."""
        return max(1, round(SIZES[what] * self.size / SIZES["leads"]))

    def add(self, record: Any, **values: Any) -> Row:
        """Add a row with the next id of its table."""
        table = getattr(record, "__table__", record)
        if "id" in table.columns:
            if table.name not in self.ids:
                self.ids[table.name] = self.session.execute(select(func.max(table.c.id))).scalar() or 0
            self.ids[table.name] += 1
            values["id"] = self.ids[table.name]
        self.rows.setdefault(table.name, []).append(values)
        return values

    def rows_of(self, record: Any) -> list[Row]:
        """The rows made so far."""
        return self.rows.setdefault(getattr(record, "__table__", record).name, [])

    def number(self, kind: str, at: datetime) -> str:
        """The next record number of this kind and year."""
        key = (kind, at.year)
        if key not in self.numbers:
            series = models.NumberSeries
            query = select(series.last).where(series.kind == kind, series.year == at.year)
            self.numbers[key] = self.session.execute(query).scalar() or 0
        self.numbers[key] += 1
        return f"{NUMBER_PREFIXES[kind]}-{at.year}-{self.numbers[key]:05d}"

    def choose(self, values: Iterable[Any]) -> Any:
        """A random one of these."""
        return self.rng.choice(list(values))

    def chance(self, share: float) -> bool:
        """True with this probability."""
        return self.rng.random() < share

    def office_time(self, start: datetime, end: datetime) -> datetime:
        """A random time between the two, in office hours (Monday to Saturday, 9:30 to 18:30 in India) if possible."""
        span = max((end - start).total_seconds(), 1.0)
        for _ in range(60):
            at = start + timedelta(seconds=int(self.rng.random() * span))
            local = at.astimezone(ZONE)
            if local.weekday() < 6 and time(9, 30) <= local.time() < time(18, 30):
                return at
        return start + timedelta(seconds=int(self.rng.random() * span))

    def work_ended_on(self, lead: Row | None) -> datetime:
        """When work on the lead ended (UTC); now if it did not."""
        return self.left_alone_on.get(lead["id"], self.now) if lead else self.now

    def step_times(self, start: datetime, count: int) -> list[datetime]:
        """Times of the steps of a record, in order: the first some hours after `start`, each other days later (UTC)."""
        times: list[datetime] = []
        for n in range(count):
            before = times[-1] if times else start
            gap = self.rng.expovariate(1 / 4) if n == 0 else 20 + self.rng.expovariate(1 / 48)
            at = before + timedelta(minutes=20, hours=gap)
            times.append(self.office_time(before + (at - before) / 2, at) if at < self.now else at)
        late = [at for at in times if at >= self.now]
        start = times[-len(late) - 1] if len(late) < count else start
        return [*times[: count - len(late)], *sorted(self.office_time(start, self.now) for _ in late)]

    def mobile(self) -> tuple[str, str]:
        """An invented, unique Indian mobile number: as somebody types it, and in E.164."""
        while (digits := str(self.rng.randint(9_000_000_000, 9_999_999_999))) in self.mobiles:
            pass
        self.mobiles.add(digits)
        typed = self.choose((digits, f"{digits[:5]} {digits[5:]}", f"+91 {digits[:5]} {digits[5:]}", f"0{digits}"))
        return typed, phone.normalize(typed) or f"+91{digits}"

    def pan(self) -> tuple[str | None, str | None]:
        """An invented PAN, sealed, and its blind index."""
        if self.vault is None:
            return None, None
        letters = "".join(self.rng.choices("ABCDEFGHJKLMNPRSTUVW", k=5))
        pan = f"{letters[:3]}P{letters[3]}{self.rng.randint(0, 9999):04d}{letters[4]}"
        return self.vault.seal(pan), self.vault.blind(pan, "pan")

    def contact(self) -> Row:
        """The contact fields of an invented person; three in four have a name in Latin script."""
        script = self.rng.choices((0, 1, 2), (75, 15, 10))[0]
        first, last = self.choose(FIRST), self.choose(LAST)
        mobile, e164 = self.mobile()
        other = self.mobile() if self.chance(0.15) else (None, None)
        pan = self.pan() if self.chance(0.3) else (None, None)
        email = f"{first[0]}.{last[0]}{self.rng.randint(1, 99)}@mail.example".lower()
        return {
            "first_name": first[script],
            "last_name": last[script],
            "mobile": mobile,
            "mobile_e164": e164,
            "alternative_mobile": other[0],
            "alternative_e164": other[1],
            "email": email if self.chance(0.8) else None,
            "pan_sealed": pan[0],
            "pan_blind": pan[1],
            "address": self.address() if self.chance(0.7) else None,
        }

    def address(self) -> str:
        """An invented address."""
        return f"{self.rng.randint(1, 240)}, {self.choose(STREETS)}, {self.choose(CITIES)}"

    def add_activity(self, kind: str, at: datetime, by: int | None, record: Row, **payload: Any) -> None:
        """Add an entry to the timeline of `record`, its foreign keys by column."""
        self.add(models.Activity, kind=kind, at=at, actor_id=by, payload=payload, **record)

    def next_in_turn(self, role: str) -> tuple[int, Row]:
        """The next user of a role by round robin, and the decision as the Assignment row stores it."""
        people = self.staff[role]
        chosen = people[self.turns.get(role, 0) % len(people)]
        self.turns[role] = self.turns.get(role, 0) + 1
        return chosen, {"role": role, "candidates": people, "skipped": []}

    def write(self) -> dict[str, int]:
        """Insert all rows, and update the number series and the round robin. Returns the number of rows by table."""
        for table in TABLES:
            rows = self.rows.get(table.name, [])
            if table.name == "activity":
                _renumber_by_time(rows)
                notes = [(row["id"], row["payload"]) for row in rows if row["kind"] in searchable_notes.NOTES]
                self.rows[models.NoteText.__tablename__] = searchable_notes.rows_of(notes)
            if rows:
                names = dict.fromkeys(name for row in rows for name in row)
                self.session.execute(insert(table), [dict.fromkeys(names) | row for row in rows])
        self._update_counters()
        return {name: len(rows) for name, rows in self.rows.items() if rows}

    def _update_counters(self) -> None:
        series = models.NumberSeries
        for (kind, year), last in self.numbers.items():
            statement = update(series).where(series.kind == kind, series.year == year).values(last=last)
            if not self.session.execute(statement).rowcount:  # type: ignore[attr-defined]
                self.session.execute(insert(series).values(kind=kind, year=year, last=last))
        for role, turns in self.turns.items():
            people = self.staff[role]
            condition = models.RoundRobin.role_id == role_id(self, role)
            values = {"last_user_id": people[(turns - 1) % len(people)], "turns": turns}
            if not self.session.execute(update(models.RoundRobin).where(condition).values(values)).rowcount:  # type: ignore[attr-defined]
                self.session.execute(insert(models.RoundRobin).values(role_id=role_id(self, role), **values))


def _renumber_by_time(rows: list[Row]) -> None:
    """Assign the ids in order of time, because a record page reads the timeline by id."""
    ids = [row["id"] for row in rows]
    rows.sort(key=lambda row: row["at"])
    for row, key in zip(rows, ids, strict=True):
        row["id"] = key


def stamps(by: int | None, created: datetime, changed: datetime | None = None, changed_by: int | None = None) -> Row:
    """The columns that say who created a row and who changed it last, and when."""
    return {
        "created_on": created,
        "created_by_id": by,
        "changed_on": changed or created,
        "changed_by_id": changed_by if changed else by,
    }


def role_id(builder: DemoBuilder, name: str) -> int:
    """The id of a role. Raises RuleBroken when there is none of this name."""
    found = builder.session.execute(select(models.Role.id).where(models.Role.name == name)).scalar()
    if found is None:
        raise RuleBroken(f"There is no role named “{name}”. Bring the database up to date first.")
    return int(found)


def labels(builder: DemoBuilder, picklist: Any) -> dict[str, int]:
    """Label -> id of the active entries of a list, in their order."""
    query = select(picklist.label, picklist.id).where(picklist.is_active).order_by(picklist.position, picklist.id)
    return dict(builder.session.execute(query).all())


def id_of(found: dict[str, int], label: str) -> int:
    """The id of a label; of the first entry when somebody has renamed it."""
    return found.get(label) or next(iter(found.values()))
