"""The thresholds of the health page: what is measured, and when one was crossed or met again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.maintenance.health_samples import (
    INSTALLATION,
    HealthCrossing,
    SamplePoint,
    history,
    servers,
)


@dataclass(frozen=True)
class Threshold:
    """One of the six thresholds."""

    name: str
    #: Values above it are too high.
    threshold: int
    #: Suffix of the number.
    unit: str
    #: Whether each server has a value of its own.
    is_by_server: bool = False


MEASURES = (
    Threshold("response", 200, "ms"),
    Threshold("errors", 1, "%"),
    Threshold("queue", 1000, ""),
    Threshold("connections", 100, ""),
    Threshold("memory", 80, "%", is_by_server=True),
    Threshold("disk", 90, "%", is_by_server=True),
)
#: The time that is checked, and the requests it must contain before times and errors are judged.
WINDOW, MIN_REQUESTS = timedelta(minutes=5), 20
#: A threshold is met again when the value has fallen to this share of it, which avoids a notice every minute.
KEPT_SHARE = 0.9


def values(point: SamplePoint | None) -> dict[str, float | None]:
    """Measure -> its value; None if too little is known."""
    if point is None:
        return dict.fromkeys(each.name for each in MEASURES)
    is_enough = point.requests >= MIN_REQUESTS
    return {
        "response": point.response_ms if is_enough else None,
        "errors": point.error_percent if is_enough else None,
        "queue": point.queue_depth,
        "connections": point.db_connections,
        "memory": point.memory_percent,
        "disk": point.disk_percent,
    }


def window(session: Session, now: datetime, server: str | None = None) -> SamplePoint | None:
    """The last minutes, added up."""
    found = history(session, now - WINDOW, 10**9, server)  # all in one span
    return found[-1] if found else None


@dataclass(frozen=True)
class ThresholdChange:
    """A threshold that was just crossed, or within which the value is again."""

    crossing: HealthCrossing
    measure: Threshold
    value: float | None

    @property
    def is_over(self) -> bool:
        """Whether the value is within the threshold again."""
        return self.crossing.ended_on is not None


def watch(session: Session, now: datetime) -> list[ThresholdChange]:
    """Compare the last minutes with the thresholds. Returns what has changed since the last check.

    If several processes check at once, one stores a crossing; the others violate its unique key (IntegrityError).
    """
    running = {
        row.open_key: row for row in session.scalars(select(HealthCrossing).where(HealthCrossing.open_key != ""))
    }
    installation = values(window(session, now))
    found = [(each, INSTALLATION, installation[each.name]) for each in MEASURES if not each.is_by_server]
    known = {each.server for each in servers(session, now, WINDOW)} | {
        row.server for row in running.values() if row.server != INSTALLATION
    }
    for server in sorted(known):
        own = values(window(session, now, server))
        found += [(each, server, own[each.name]) for each in MEASURES if each.is_by_server]
    changes = (_compare(session, running, each, now) for each in found)
    return [change for change in changes if change is not None]


def _compare(
    session: Session,
    running: dict[str | None, HealthCrossing],
    found: tuple[Threshold, str, float | None],
    now: datetime,
) -> ThresholdChange | None:
    measure, server, value = found
    key = f"{measure.name}/{server}"
    crossing = running.get(key)
    scaled = round((value or 0) * (10 if measure.name == "errors" else 1))
    if crossing is None:
        if value is None or value <= measure.threshold:
            return None
        crossing = HealthCrossing(measure=measure.name, server=server, open_key=key, began_on=now)
        crossing.threshold, crossing.worst = measure.threshold, scaled
        session.add(crossing)
        session.flush()
        return ThresholdChange(crossing, measure, value)
    crossing.worst = max(crossing.worst, scaled)
    # Queue and connections can't be read while Redis or the database is unavailable: that is no recovery.
    is_unknown = value is None and measure.name in ("queue", "connections")
    if is_unknown or (value is not None and value > measure.threshold * KEPT_SHARE):
        return None
    crossing.open_key, crossing.ended_on = None, now
    return ThresholdChange(crossing, measure, value)


def crossings(session: Session, limit: int = 20) -> list[HealthCrossing]:
    """The crossings: open ones first, then the newest."""
    newest = (HealthCrossing.ended_on.isnot(None), HealthCrossing.began_on.desc(), HealthCrossing.id.desc())
    return list(session.scalars(select(HealthCrossing).order_by(*newest).limit(limit)))
