"""The check, once a minute, of the whole installation; notifies admins when a threshold is crossed or met again."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app.domain.maintenance import health_samples, health_thresholds
from app.domain.maintenance.health_thresholds import ThresholdChange
from app.domain.notifications import notices
from app.domain.people.users import active_admins
from app.lib.digit_grouping import grouped


@dataclass(frozen=True)
class Readings:
    """Values of the whole installation, as columns of a sample; None for those that could not be read."""

    queue_depth: int | None
    db_connections: int | None
    db_pages_asked: int | None = None
    db_pages_read: int | None = None


def watch(session: Session, readings: Readings, now: datetime) -> str:
    """Store the readings, compare with the thresholds and notify. Returns what changed, as a word; "" for nothing."""
    health_samples.store_installation(session, asdict(readings), now)
    changes = health_thresholds.watch(session, now)
    if not changes:
        return ""
    users = tuple(active_admins(session))
    notices.notify_many(session, [_event(each, users) for each in changes], now)
    return "kept again" if all(each.is_over for each in changes) else "crossed"


def _event(change: ThresholdChange, users: tuple[int, ...]) -> notices.NoticeEvent:
    """One notice for each crossing and one for its end, however many processes see it: the key ensures that."""
    crossing, measure = change.crossing, change.measure
    key = f"health:{crossing.id}:{'over' if change.is_over else 'crossed'}"
    payload = {"measure": measure.name, "server": crossing.server, "over": change.is_over}
    payload |= {"value": with_unit(change.value, measure.unit), "limit": with_unit(measure.threshold, measure.unit)}
    return notices.NoticeEvent("health", key, users, payload)


def with_unit(value: float | None, unit: str) -> str:
    """A value with its unit: 240 ms, 1.5 %, 1,200."""
    if value is None:
        return "–"
    number = grouped(round(value, 1))
    return f"{number}\u00a0{unit}".strip()
