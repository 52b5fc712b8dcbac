"""Reports by email: when each is due, its readers, and the state of every delivery.

A slot of a schedule is claimed by its rows: UNIQUE (schedule, slot, reader) ensures that each reader gets it once,
whatever process is killed, and however many look for due reports.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask_appbuilder import Model
from flask_appbuilder.security.sqla.models import User
from sqlalchemy import JSON, ForeignKey, Index, Integer, String, UniqueConstraint, func, or_, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.domain.base import Record, RuleBroken, Stamp, UtcDateTime, hold_name, translatable
from app.domain.notifications import notices
from app.domain.persistence import bulk_statements
from app.domain.persistence.bulk_statements import InsertPlan, execute_counted
from app.domain.persistence.file_references import STORED_FILE
from app.domain.reports import Report

RHYTHMS = ("daily", "weekly", "monthly")
FORMATS = ("xlsx", "csv", "pdf")
#: making: a worker writes the file. queued, sending, sent, failed, unknown, dropped: as in the delivery engine.
STATES = ("waiting", "making", "queued", "sending", "sent", "failed", "unknown", "dropped")
#: Readers of one schedule; schedules of one report.
MAX_READERS, MAX_SCHEDULES = 50, 10
#: A schedule is paused after this many consecutive failures.
MAX_FAILURES = 5
#: Attempts to make a file, and the time after which a worker is considered dead.
MAX_TRIES, LOST_AFTER = 3, timedelta(minutes=5)
#: How long a finished file can wait for unavailable file storage before the run fails.
STORAGE_WAIT = timedelta(hours=1)
#: Prefix of manually requested slots, and how many are allowed within which time.
MANUAL_PREFIX = "by hand "
MAX_BY_HAND, BY_HAND_WITHIN = 3, timedelta(hours=1)
#: The error of a run that was made twice because its worker was killed, and of one that has failed for good.
GIVEN_UP = "The report could not be made: its process ended several times. Please tell your admin."


class ReportSchedule(Record):
    """A report that is sent repeatedly."""

    __tablename__ = "report_schedule"
    __table_args__ = (Index("ix_report_schedule_due", "paused_on", "next_on"),)
    report_id: Mapped[int] = mapped_column(ForeignKey("report.id", ondelete="CASCADE"), nullable=False, index=True)
    #: One of RHYTHMS.
    rhythm: Mapped[str] = mapped_column(String(8), nullable=False)
    #: In the office's time zone, such as 09:30.
    at: Mapped[str] = mapped_column(String(5), nullable=False)
    #: 0 = Monday, for weekly; 1 to 31 for monthly, limited to the length of the month; else 0.
    day: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    #: One of FORMATS.
    format: Mapped[str] = mapped_column(String(8), nullable=False)
    #: User ids.
    readers: Mapped[list[int]] = mapped_column(JSON, nullable=False, default=list)
    #: When it is due next, UTC.
    next_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    #: Since when it is paused, UTC; null = it runs.
    paused_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Why, as a sentence; null if somebody has paused it.
    paused_why: Mapped[str | None] = mapped_column(String(300))
    #: Failed reports since the last success.
    failures: Mapped[int] = mapped_column(Integer, nullable=False, default=0)


class ReportRun(Model):  # type: ignore[misc]
    """One report for one reader: made under their rights, then sent. The unique key is the claim."""

    __tablename__ = "report_run"
    __table_args__ = (
        UniqueConstraint("schedule_id", "slot", "user_id", name="uq_report_run"),
        Index("ix_report_run_due", "state", "next_try_on"),
    )
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    schedule_id: Mapped[int] = mapped_column(ForeignKey("report_schedule.id", ondelete="CASCADE"), nullable=False)
    #: Its slot in the office's time zone: 2026-11-30 09:30.
    slot: Mapped[str] = mapped_column(String(40), nullable=False)
    user_id: Mapped[int] = mapped_column(ForeignKey("ab_user.id", ondelete="CASCADE"), nullable=False, index=True)
    #: One of STATES.
    state: Mapped[str] = mapped_column(String(16), nullable=False)
    #: Earlier slots of the schedule at which nothing could be sent.
    missed: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    #: Rows of the report, bytes of the file, milliseconds to make it.
    rows: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    size: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    took_ms: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    #: The file in the file store; null before it is made, and after it was sent.
    digest: Mapped[str | None] = mapped_column(String(64), info=STORED_FILE)
    #: The rights under which it was made, see access.rights_snapshots; null before it is made.
    rights: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    #: Attempts to make the file, and to send it.
    made: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    tries: Mapped[int] = mapped_column(Integer, nullable=False, default=0)
    created_on: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    #: When its worker began, and when it entered its state, UTC.
    began_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    at: Mapped[datetime] = mapped_column(UtcDateTime, nullable=False)
    next_try_on: Mapped[datetime | None] = mapped_column(UtcDateTime)
    #: Why it failed or was dropped, as a sentence.
    error: Mapped[str | None] = mapped_column(String(300))


# --- times


@dataclass(frozen=True)
class ScheduleTimes:
    """The frequency and times of a schedule."""

    rhythm: str
    at: time
    day: int

    @classmethod
    def of(cls, row: ReportSchedule) -> ScheduleTimes:
        """The times of a schedule."""
        return cls(row.rhythm, time.fromisoformat(row.at), row.day)

    def _falls_on(self, day: date) -> bool:
        if self.rhythm == "daily":
            return True
        if self.rhythm == "weekly":
            return day.weekday() == self.day
        last = ((day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)).day
        return day.day == min(self.day, last)

    def _from(self, day: date, step: int, zone: ZoneInfo) -> Iterable[datetime]:
        """The times from this day on; backwards if the step is negative."""
        while True:
            if self._falls_on(day):
                yield datetime.combine(day, self.at, tzinfo=zone)
            day += timedelta(days=step)

    def after(self, now: datetime, zone: str) -> datetime:
        """The next due time after `now`, UTC; correct on days when the clock changes."""
        office = ZoneInfo(zone)
        days = self._from(now.astimezone(office).date(), 1, office)
        return next(each.astimezone(UTC) for each in days if each.astimezone(UTC) > now)

    def newest(self, now: datetime, zone: str) -> tuple[str, datetime]:
        """The name and time (UTC) of the last slot."""
        office = ZoneInfo(zone)
        days = self._from(now.astimezone(office).date(), -1, office)
        found = next(each for each in days if each.astimezone(UTC) <= now)
        return f"{found:%Y-%m-%d %H:%M}", found.astimezone(UTC)

    def missed(self, since: datetime, until: datetime, zone: str) -> int:
        """How many slots lie between the two, excluding the last one; at most 1,000."""
        count, moment = 0, since
        while moment < until and count < 1000:
            count, moment = count + 1, self.after(moment, zone)
        return count


def read_times(rhythm: str, at: str, day: str) -> ScheduleTimes:
    """The times as typed. Raises RuleBroken."""
    if rhythm not in RHYTHMS:
        raise RuleBroken("Please choose daily, weekly or monthly.", "rhythm")
    try:
        clock = time.fromisoformat(at.strip())
    except ValueError:
        raise RuleBroken("Please enter a time of day such as 09:30.", "at") from None
    if rhythm == "daily":
        return ScheduleTimes(rhythm, clock.replace(second=0, microsecond=0, tzinfo=None), 0)
    least, most = (0, 6) if rhythm == "weekly" else (1, 31)
    if not (day.isascii() and day.isdigit() and len(day) <= 2 and least <= int(day) <= most):
        text = (
            "Please choose a day of the week." if rhythm == "weekly" else "Please choose a day of the month, 1 to 31."
        )
        raise RuleBroken(text, "day")
    return ScheduleTimes(rhythm, clock.replace(second=0, microsecond=0, tzinfo=None), int(day))


# --- schedules


@dataclass(frozen=True)
class ScheduleInput:
    """The input for a schedule."""

    times: ScheduleTimes
    format: str
    readers: tuple[int, ...]


def save(
    session: Session, row: ReportSchedule | None, report: Report, chosen: ScheduleInput, context: tuple[Stamp, str]
) -> Any:
    """Create or change a schedule of a report. `context`: the stamp, and the office's time zone. Raises RuleBroken."""
    stamp, zone = context
    if chosen.format not in FORMATS:
        raise RuleBroken("Please choose XLSX, CSV or PDF.", "format")
    if not chosen.readers:
        raise RuleBroken("Please choose who gets the report.", "readers")
    if len(chosen.readers) > MAX_READERS:
        raise RuleBroken(translatable("A report goes to at most %(most)s people.", most=MAX_READERS), "readers")
    if row is None:
        hold_name(session, f"schedules of report {report.id}")
        count = session.scalar(select(func.count(ReportSchedule.id)).where(ReportSchedule.report_id == report.id)) or 0
        if count >= MAX_SCHEDULES:
            text = "This report has %(most)s schedules already. Please delete one first."
            raise RuleBroken(translatable(text, most=MAX_SCHEDULES))
        row = ReportSchedule(report_id=report.id, failures=0)
        session.add(row)
    row.rhythm, row.at, row.day = chosen.times.rhythm, f"{chosen.times.at:%H:%M}", chosen.times.day
    row.format, row.readers = chosen.format, list(dict.fromkeys(chosen.readers))
    row.next_on = chosen.times.after(stamp.now, zone)
    row.stamp(stamp)
    session.flush()
    return row


def pause(row: ReportSchedule, stamp: Stamp) -> None:
    """Pause the schedule."""
    row.paused_on, row.paused_why = row.paused_on or stamp.now, None
    row.stamp(stamp)


def resume(row: ReportSchedule, stamp: Stamp, zone: str) -> None:
    """Resume the schedule with its next time; earlier ones don't count as missed."""
    row.paused_on, row.paused_why, row.failures = None, None, 0
    row.next_on = ScheduleTimes.of(row).after(stamp.now, zone)
    row.stamp(stamp)


# --- due schedules


def find_due(session: Session, now: datetime, limit: int) -> list[int]:
    """Schedules that are due."""
    due = (ReportSchedule.paused_on.is_(None), ReportSchedule.next_on <= now)
    return list(session.scalars(select(ReportSchedule.id).where(*due).order_by(ReportSchedule.next_on).limit(limit)))


def open_slot(session: Session, key: int, now: datetime, zone: str) -> list[int]:
    """Add a row for each reader of the newest due slot, once; earlier slots are recorded as missed.

    Returns the ids of the new rows.
    """
    row = session.get(ReportSchedule, key, with_for_update=True)
    if row is None or row.paused_on is not None or row.next_on > now:
        return []
    times = ScheduleTimes.of(row)
    slot, moment = times.newest(now, zone)
    missed = times.missed(row.next_on, moment, zone)
    row.next_on = times.after(now, zone)
    return _add_runs(session, row, slot, (missed, now))


def send_now(session: Session, row: ReportSchedule, stamp: Stamp) -> list[int]:
    """Add a row for each reader, outside of the schedule. Returns their ids.

    Raises RuleBroken while the last is in progress, and above MAX_BY_HAND within BY_HAND_WITHIN.
    """
    session.refresh(row, with_for_update=True)  # of two concurrent calls, the second one waits and is refused
    under_way = (ReportRun.schedule_id == row.id, ReportRun.state.in_(("waiting", "making", "queued", "sending")))
    if session.execute(select(ReportRun.id).where(*under_way).limit(1)).first():
        raise RuleBroken("This report is being sent at this moment. Please wait until it has arrived.")
    mine = (ReportRun.schedule_id == row.id, ReportRun.slot.startswith(MANUAL_PREFIX))
    since = ReportRun.created_on > stamp.now - BY_HAND_WITHIN
    if (session.scalar(select(func.count(ReportRun.slot.distinct())).where(*mine, since)) or 0) >= MAX_BY_HAND:
        text = "This report was sent by hand %(most)s times within an hour. Please try again later, or download it."
        raise RuleBroken(translatable(text, most=MAX_BY_HAND))
    return _add_runs(session, row, f"{MANUAL_PREFIX}{stamp.now:%Y-%m-%d %H:%M:%S.%f}", (0, stamp.now))


def _add_runs(session: Session, row: ReportSchedule, slot: str, when: tuple[int, datetime]) -> list[int]:
    missed, now = when
    values = {"schedule_id": row.id, "slot": slot, "state": "waiting", "missed": missed, "created_on": now, "at": now}
    values |= dict.fromkeys(("rows", "size", "took_ms", "made", "tries"), 0) | {"next_try_on": now}
    active = set(session.scalars(select(User.id).where(User.id.in_(row.readers))))
    rows = [values | {"user_id": each} for each in row.readers if each in active]
    if rows:
        bulk_statements.insert_rows(session, ReportRun, rows, InsertPlan(unique=("schedule_id", "slot", "user_id")))
    mine = (ReportRun.schedule_id == row.id, ReportRun.slot == slot, ReportRun.state == "waiting")
    return list(session.scalars(select(ReportRun.id).where(*mine)))


# --- making the file


def find_stalled(session: Session, now: datetime, limit: int) -> list[int]:
    """Ids of runs without a worker: lost by the queue, or their worker was killed."""
    lost = (ReportRun.state == "making") & (ReportRun.began_on < now - LOST_AFTER)
    waits = (ReportRun.state == "waiting") & (ReportRun.next_try_on <= now - timedelta(minutes=1))
    return list(session.scalars(select(ReportRun.id).where(or_(lost, waits)).order_by(ReportRun.id).limit(limit)))


def claim(session: Session, key: int, now: datetime) -> ReportRun | None:
    """Claim a run for one worker; None if another has it or its file exists. Too many attempts fail it."""
    lost = (ReportRun.state == "making") & (ReportRun.began_on < now - LOST_AFTER)
    free = (ReportRun.id == key, or_(ReportRun.state == "waiting", lost))
    values = {"state": "making", "began_on": now, "at": now, "made": ReportRun.made + 1}
    if not execute_counted(session, update(ReportRun).where(*free).values(**values)):
        return None
    run = session.get_one(ReportRun, key, populate_existing=True)
    if run.made > MAX_TRIES:
        settle(session, run, ("failed", GIVEN_UP), now)
        return None
    return run


def postpone(session: Session, run: ReportRun, now: datetime) -> bool:
    """Retry later, because file storage is unavailable; False after STORAGE_WAIT."""
    age = now - run.created_on
    if age > STORAGE_WAIT:
        return False
    mine = (ReportRun.id == run.id, ReportRun.state == "making", ReportRun.made == run.made)
    later = now + max(timedelta(minutes=1), age / 2)
    # Does not count as an attempt.
    values = {"state": "waiting", "at": now, "next_try_on": later, "made": run.made - 1}
    execute_counted(session, update(ReportRun).where(*mine).values(**values))
    return True


def mark_file_written(session: Session, run: ReportRun, values: dict[str, Any], now: datetime) -> bool:
    """Record that the file was written and is to be sent. False if another worker has taken over the run."""
    mine = (ReportRun.id == run.id, ReportRun.state == "making", ReportRun.made == run.made)
    values = values | {"state": "queued", "at": now, "next_try_on": now}
    return bool(execute_counted(session, update(ReportRun).where(*mine).values(**values)))


def settle(session: Session, run: ReportRun, result: tuple[str, str | None], now: datetime) -> None:
    """End a run without sending it: failed or dropped. Counts for its schedule; the author is notified."""
    state, error = result
    mine = (ReportRun.id == run.id, ReportRun.state == "making", ReportRun.made == run.made)
    text = error[:300] if error else None
    if execute_counted(
        session, update(ReportRun).where(*mine).values(state=state, error=text, at=now, next_try_on=None)
    ):
        run.state, run.error = state, text
        count_result(session, run, now)


def count_result(session: Session, run: Any, now: datetime) -> None:
    """Count a failure or success of a run for its schedule, and notify the author of failures."""
    schedule = session.get(ReportSchedule, run.schedule_id, with_for_update=True)
    if schedule is None:
        return
    report = session.get_one(Report, schedule.report_id)
    if run.state == "sent":
        schedule.failures = 0
    elif run.state in ("failed", "unknown"):
        schedule.failures += 1
        if schedule.failures >= MAX_FAILURES and schedule.paused_on is None:
            schedule.paused_on = now
            schedule.paused_why = translatable(
                "It failed %(times)s times in a row. The last reason: %(why)s",
                times=schedule.failures,
                why=run.error or "",
            )[:300]
            event = _event_for_owner(report, run, "paused", {"reason": run.error or ""})
            notices.notify(session, event, now)
    elif run.state == "dropped":
        schedule.readers = [each for each in schedule.readers if each != run.user_id]
        if not schedule.readers:
            schedule.paused_on = schedule.paused_on or now
            schedule.paused_why = "Nobody is left who gets this report."
        reader = session.execute(select(User.first_name, User.last_name).where(User.id == run.user_id)).one()
        who = " ".join(part for part in reader if part)
        event = _event_for_owner(report, run, "dropped", {"reader": who, "reason": run.error})
        notices.notify(session, event, now)
    session.flush()


def _event_for_owner(report: Report, run: ReportRun, why: str, more: dict[str, Any]) -> notices.NoticeEvent:
    payload = {"report": report.id, "name": report.label, "why": why} | more
    key = f"report:{run.schedule_id}:{why}:{run.id}"
    return notices.NoticeEvent("report", key, (report.owner_id,), payload)
