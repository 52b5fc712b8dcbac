"""SLA targets on pages: which is due next, time left, time overdue, and when it was met."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import and_, case, or_

from app.domain.working_time import office_hours, sla
from app.notice_texts import office_time
from app.web.core.fields.base import Field
from app.web.core.fields.date_fields import DateTimeField, relative
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.viewer import Viewer


@dataclass(frozen=True)
class SlaClockField:
    """An open SLA target of one row."""

    due_on: datetime
    started_on: datetime | None
    paused_on: datetime | None
    paused_seconds: int | None


class SlaTargetField(DateTimeField):
    """The due time of an SLA target: a clock that counts down, is paused, or shows when the target was met."""

    def __init__(self, name: str, label: Any, record: Any, done: Any, **flags: Any) -> None:
        late = getattr(record, name.replace("_due_on", "_late_on"))
        columns = (getattr(record, name), record.sla_started_on, record.paused_on, record.paused_seconds, late, done)
        super().__init__(name, label, columns, section="sla", **flags)
        self.is_reply = name.startswith("reply")
        self._plain = DateTimeField(name, label, columns[:1])

    def value(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """The due time, null once the target is met."""
        return values[0]

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """Show a clock; once the target is met, when."""
        *clock_values, late, done = values
        if clock_values[0] is not None:
            return _clock(SlaClockField(*clock_values), viewer)
        return _ended(done, late, self.is_reply, viewer) if done is not None else {"kind": "missing"}

    def where(self, op: str, raw: Any, viewer: Viewer) -> Any:
        """Filter by the due time only."""
        return self._plain.where(op, raw, viewer)

    def order(self) -> Any:
        """Sort by the due time only."""
        return self.columns[0]


class NextTargetField(Field):
    """The SLA target that is due next, for lists."""

    kind = "clock"

    def __init__(self, name: str, label: Any, record: Any, **flags: Any) -> None:
        columns = (record.reply_due_on, record.resolve_due_on, record.paused_on, record.sla_on)
        schema = {
            "type": "object",
            "nullable": True,
            "properties": {
                "promise": {"type": "string", "enum": ["reply", "resolve"]},
                "is_paused": {"type": "boolean"},
                "due_on": {"type": "string", "format": "date-time"},
            },
        }
        super().__init__(name, label, columns, section="none", schema=schema, **flags)

    def serialize(self, values: tuple[Any, ...], viewer: Viewer) -> Any:
        """{promise, due_on, is_paused}; None if no target is open."""
        name, due = _next_target(values)
        return due and {"promise": name, "due_on": due.isoformat(), "is_paused": values[2] is not None}

    def cell(self, values: tuple[Any, ...], viewer: Viewer) -> dict[str, Any]:
        """A clock with its target's name. Without a warning state, which would need office time to be computed."""
        name, due = _next_target(values)
        paused, looked = values[2:]
        if due is None:
            return {"kind": "missing"}
        if paused is not None:
            return _paused_clock(_("Paused since %(when)s", when=_moment(paused, viewer)))
        if due <= viewer.now:
            return _late(due, name, viewer)
        warn = looked if looked is not None and looked < due else viewer.now
        return _counting(due, warn, name, viewer) | {"title": _moment(due, viewer)}

    def order(self) -> Any:
        """Sort by the target that is due next, as the cell shows it; rows without an open one are empty."""
        reply, resolve = self.columns[:2]
        return case((and_(reply.is_not(None), or_(resolve.is_(None), reply <= resolve)), reply), else_=resolve)


def _next_target(values: tuple[Any, ...]) -> tuple[str, datetime | None]:
    reply, resolve = values[:2]
    return ("reply", reply) if reply is not None and (resolve is None or reply <= resolve) else ("resolve", resolve)


def _clock(clock: SlaClockField, viewer: Viewer) -> dict[str, Any]:
    """For the cell macro: {kind, tone, text, title}, and what sla_clock.js needs to keep counting."""
    if clock.paused_on is not None:
        return _paused_clock(_time_left_paused(clock.due_on, clock.paused_on, viewer))
    if clock.due_on <= viewer.now:
        return _late(clock.due_on, "", viewer)
    warn = sla.warning_time(clock.started_on, clock.due_on, clock.paused_seconds, viewer.lookups.terms)
    return _counting(clock.due_on, warn, "", viewer) | {"title": _time_left(clock.due_on, viewer)}


def _paused_clock(title: str) -> dict[str, Any]:
    return {"kind": "clock", "tone": "gray", "text": _("paused"), "icon": "player-pause", "title": title}


#: Whose clock it is, "" if its label says so -> the text before and after the due time, repeated by sla_clock.js.
WORDS = {
    "": (_l("in %(time)s"), _l("%(time)s overdue")),
    "reply": (_l("respond in %(time)s"), _l("response %(time)s overdue")),
    "resolve": (_l("resolve in %(time)s"), _l("%(time)s overdue")),
}


def _counting(due: datetime, warn: datetime, words: str, viewer: Viewer) -> dict[str, Any]:
    """A clock that runs towards `due`; `words` is one of WORDS."""
    return {
        "kind": "clock",
        "tone": "amber" if warn <= viewer.now else "green",
        "text": str(WORDS[words][0]) % {"time": span(due, viewer.now)},
        "due": due.isoformat(),
        "warn": warn.isoformat(),
        "words": words,
    }


def _late(due: datetime, words: str, viewer: Viewer) -> dict[str, Any]:
    """A clock of overdue office time; the page keeps counting while the office is open."""
    office = viewer.lookups.office
    since = viewer.now - office_hours.open_time_between(office, due, viewer.now)
    shown = {
        "kind": "clock",
        "tone": "red",
        "text": str(WORDS[words][1]) % {"time": span(since, viewer.now)},
        "title": _time_left(due, viewer),
    }
    if not office_hours.is_open(office, viewer.now):
        return shown
    moment = since.isoformat()
    return shown | {"due": moment, "warn": moment, "words": words}


def span(due: datetime, now: datetime) -> str:
    """The time until or since the moment, such as 1 h 51 min; sla_clock.js rounds in the same steps.

    Time since is in hours, never days: a day of office time has no fixed length.
    """
    seconds = (due - now).total_seconds()
    minutes = max(1, int(-(-seconds // 60)) if seconds > 0 else int(-seconds // 60))
    if minutes < 60:
        return _("%(n)s min", n=minutes)
    if minutes < 120 and minutes > 60:
        return _("%(h)s h %(m)s min", h=1, m=minutes - 60)
    in_days = seconds > 0 and minutes >= 2880
    return _("%(n)s d", n=minutes // 1440) if in_days else _("%(n)s h", n=minutes // 60)


def _time_left(due: datetime, viewer: Viewer) -> str:
    left = sla.minutes_left(viewer.lookups.office, due, viewer.now)
    template = _("%(when)s · %(time)s left") if left > 0 else _("%(when)s · %(time)s overdue")
    return template % {"when": _moment(due, viewer), "time": office_time(abs(left))}


def _time_left_paused(due: datetime, since: datetime, viewer: Viewer) -> str:
    """Title of a paused clock: since when, and the time left when it resumes."""
    left = sla.minutes_left(viewer.lookups.office, due, since)
    still = _("Paused since %(when)s · %(time)s left")
    template = still if left > 0 else _("Paused since %(when)s · %(time)s overdue")
    return template % {"when": _moment(since, viewer), "time": office_time(abs(left))}


def _ended(done: datetime, late_on: datetime | None, is_reply: bool, viewer: Viewer) -> dict[str, Any]:
    """When the target was met; how late, if it was."""
    title = _moment(done, viewer)
    if late_on is None:
        template = _("responded %(ago)s") if is_reply else _("done %(ago)s")
        text = template % {"ago": relative(done, viewer)}
        return {"kind": "moment", "iso": done.isoformat(), "text": text, "title": title, "tone": ""}
    late = office_hours.open_time_between(viewer.lookups.office, late_on, done)
    template = _("responded %(time)s late") if is_reply else _("done %(time)s late")
    return {"kind": "clock", "tone": "red", "text": template % {"time": span(done - late, done)}, "title": title}


def _moment(moment: datetime, viewer: Viewer) -> str:
    return format_local_date(moment.astimezone(viewer.zone), "%a %-d %b %Y, %H:%M")


#: Kinds of timeline entries written by the SLA job.
LINES = ("sla_breach", "sla_escalated")


def line(payload: dict[str, Any], people: str, viewer: Viewer) -> dict[str, Any]:
    """The timeline entry of an SLA breach: which target is overdue, and who was notified."""
    is_reply = payload.get("promise") == "reply"
    if payload["what"] == "sla_breach":
        due = _moment(datetime.fromisoformat(payload["due"]), viewer)
        template = _("The first response was due %(when)s") if is_reply else _("The resolution was due %(when)s")
        headline = template % {"when": due}
    else:
        template = _("The first response is %(time)s overdue") if is_reply else _("The resolution is %(time)s overdue")
        headline = template % {"time": office_time(abs(int(payload.get("minutes", 0))))}
    body = _("Notified: %(people)s", people=people) if people else None
    return {"headline": headline, "body": body, "tone": "red", "icon": "alarm"}


def clock_fields(record: Any, done: Any) -> list[Field]:
    """The SLA fields of a record; `done`: the column with the moment it was resolved."""
    return [
        NextTargetField("sla", _l("SLA"), record),
        SlaTargetField("reply_due_on", _l("First response due"), record, record.replied_on),
        SlaTargetField("resolve_due_on", _l("Resolution due"), record, done),
    ]


CLOCK = ("sla", "reply_due_on", "resolve_due_on", "replied_on", "reply_late_on", "resolve_late_on", "paused_on")
CLOCK_LABELS = {
    "replied_on": _l("First response"),
    "reply_late_on": _l("First response overdue since"),
    "resolve_late_on": _l("Resolution overdue since"),
    "paused_on": _l("Paused since"),
}
