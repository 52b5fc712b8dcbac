"""What a notice says, as one translated sentence, and where it leads: the same in the bell and in an e-mail."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import Customer, Lead, Ticket

#: column of the notification -> record, root of its pages.
_HOMES: dict[str, tuple[Any, str]] = {
    "lead_id": (Lead, "/leads/"),
    "ticket_id": (Ticket, "/tickets/"),
    "customer_id": (Customer, "/customers/"),
}

# --- sentences ---------------------------------------------------------------------------------------------------


def text_of(notification: Any, **names: str) -> str:
    """What happened, as one translated sentence. Raises KeyError for a kind without one.

    `names`, where the caller knows them: actor, taker (who got it), label (of the new status).
    """
    return str(SENTENCES[notification.kind](dict(notification.payload or {}) | names))


def _number(says: dict[str, Any]) -> str:
    return str(says.get("number") or _("A record"))


def _title(says: dict[str, Any]) -> str:
    return str(says.get("title") or _("Task"))


def _said(says: dict[str, Any], by_somebody: str, by_itself: str) -> str:
    """The template that fits, filled in: with the actor's name where it is known."""
    values = {"number": _number(says), "actor": says.get("actor")}
    return str((by_somebody if says.get("actor") else by_itself) % values)


def _task(says: dict[str, Any]) -> str:
    """The task, and the record it belongs to where the notice names it."""
    if not says.get("number"):
        return str(_("“%(title)s”", title=_title(says)))
    return str(_("“%(title)s” (%(number)s)", title=_title(says), number=_number(says)))


def _given(says: dict[str, Any]) -> str:
    if says.get("back"):
        return _("Welcome back. %(number)s is assigned to you again.", number=_number(says))
    if says.get("beside"):
        return _said(
            says,
            _("%(actor)s added you as an assignee of %(number)s."),
            _("You were added as an assignee of %(number)s."),
        )
    return _said(says, _("%(actor)s assigned %(number)s to you."), _("%(number)s was assigned to you."))


def _lost(says: dict[str, Any]) -> str:
    if "to" in says and says["to"] is None:
        return _said(says, _("%(actor)s removed you from %(number)s."), _("You are no longer assigned to %(number)s."))
    if says.get("actor") and says.get("taker"):
        return str(
            _(
                "%(actor)s assigned %(number)s to %(taker)s.",
                actor=says["actor"],
                number=_number(says),
                taker=says["taker"],
            )
        )
    return _said(
        says, _("%(actor)s assigned %(number)s to someone else."), _("%(number)s was assigned to someone else.")
    )


def _moved(says: dict[str, Any]) -> str:
    if says.get("actor") and says.get("label"):
        return str(
            _(
                "%(actor)s moved %(number)s to “%(label)s”.",
                actor=says["actor"],
                number=_number(says),
                label=says["label"],
            )
        )
    if says.get("label"):
        return str(_("%(number)s is now “%(label)s”.", number=_number(says), label=says["label"]))
    return _said(says, _("%(actor)s changed the status of %(number)s."), _("The status of %(number)s has changed."))


def _due(says: dict[str, Any]) -> str:
    minutes = int(says.get("minutes", 0))
    if minutes > 0:
        return str(
            ngettext(
                "“%(title)s” is due in %(num)s minute.",
                "“%(title)s” is due in %(num)s minutes.",
                minutes,
                title=_title(says),
            )
        )
    if minutes == 0:
        return str(_("“%(title)s” is due now.", title=_title(says)))
    return _late(says)


def _late(says: dict[str, Any]) -> str:
    late = -int(says.get("minutes", 0))
    if late < 60:
        return str(
            ngettext(
                "“%(title)s” was due %(num)s minute ago.",
                "“%(title)s” was due %(num)s minutes ago.",
                late,
                title=_title(says),
            )
        )
    hours = late // 60
    if hours < 48:
        return str(
            ngettext(
                "“%(title)s” is overdue by %(num)s hour.",
                "“%(title)s” is overdue by %(num)s hours.",
                hours,
                title=_title(says),
            )
        )
    return str(_("“%(title)s” is overdue by %(num)s days.", title=_title(says), num=hours // 24))


def _owed(says: dict[str, Any], answer: str, resolution: str) -> str:
    """A promise of the SLA, with the office time that is left or by which it is late."""
    told = answer if says.get("promise", "reply") == "reply" else resolution
    return told % {"number": _number(says), "time": office_time(abs(int(says.get("minutes", 0))))}


def office_time(minutes: int) -> str:
    """Minutes of office time, in words; from two hours on in hours."""
    if minutes == 0:
        return str(_("less than a minute"))
    if minutes < 120:
        return str(ngettext("%(num)s office minute", "%(num)s office minutes", minutes))
    return str(ngettext("%(num)s office hour", "%(num)s office hours", minutes // 60))


def _tasks(says: dict[str, Any], one: str, many: str) -> str:
    count = int(says.get("tasks", 1))
    return one if count == 1 else many


def _lagging(says: dict[str, Any]) -> str:
    """Since when, by the office's clock."""
    words = {"job": says.get("job"), "since": says.get("from"), "until": says.get("to"), "num": says.get("minutes")}
    if not says.get("from"):
        return str(_("Background jobs are delayed. An admin should check the jobs page."))
    if says.get("ahead"):
        text = _(
            "The clock was set back by %(num)s minutes. Jobs are paused until %(since)s. Please check the clock.",
            **words,
        )
        return str(text)
    if says.get("to"):
        return str(_("No jobs ran from %(since)s to %(until)s (%(num)s minutes). They are running again.", **words))
    if not says.get("job"):
        return str(_("No job has run since %(since)s. Please check the jobs page.", **words))
    if says.get("hangs"):
        return str(_("The job “%(job)s” started at %(since)s and hasn't finished. Please check it.", **words))
    return str(_("The job “%(job)s” hasn't run since %(since)s. Please check it.", **words))


#: Why a webhook stopped -> how it is said.
_STOPPED: dict[str, Any] = {
    "failures": _l("The webhook “%(name)s” was paused because deliveries kept failing. Please check its log."),
    "gone": _l("The webhook “%(name)s” was turned off because its receiver answered 410 Gone."),
    "user": _l("The webhook “%(name)s” was paused because its user is no longer active. Please choose another user."),
}
SENTENCES: dict[str, Callable[[dict[str, Any]], str]] = {
    "assigned": _given,
    "unassigned": _lost,
    "task_assigned": lambda s: _tasks(
        s,
        _("%(actor)s assigned you the task %(task)s.", actor=s["actor"], task=_task(s))
        if s.get("actor")
        else _("The task %(task)s was assigned to you.", task=_task(s)),
        _("%(num)s overdue tasks of %(number)s were assigned to you.", num=s.get("tasks"), number=_number(s)),
    ),
    "task_taken": lambda s: _tasks(
        s,
        _("The overdue task %(task)s was reassigned to a colleague.", task=_task(s)),
        _("%(num)s overdue tasks of %(number)s were reassigned to a colleague.", num=s.get("tasks"), number=_number(s)),
    ),
    "task_due": _due,
    "task_overdue": _late,
    "exhausted": lambda s: _(
        "No one is available for the overdue task %(task)s. Please assign it.",
        task=_task(s),
    ),
    "mention": lambda s: _said(s, _("%(actor)s mentioned you on %(number)s."), _("You were mentioned on %(number)s.")),
    "comment": lambda s: _said(s, _("%(actor)s added a note to %(number)s."), _("A note was added to %(number)s.")),
    "request": lambda s: _said(
        s,
        _("%(actor)s requests an assignment of %(number)s. Please decide."),
        _("Someone requests an assignment of %(number)s. Please decide."),
    ),
    "request_approved": lambda s: _said(
        s, _("%(actor)s approved the request for %(number)s."), _("The request for %(number)s was approved.")
    ),
    "request_rejected": lambda s: _said(
        s,
        _("%(actor)s rejected the request for %(number)s. See the request for the reason."),
        _("The request for %(number)s was rejected. See the request for the reason."),
    ),
    "request_expired": lambda s: _("Your request for %(number)s expired. You can send a new one.", number=_number(s)),
    "request_withdrawn": lambda s: _("The request for %(number)s was withdrawn.", number=_number(s)),
    "sla_warning": lambda s: _owed(
        s,
        _("The first response to %(number)s is due soon: %(time)s left."),
        _("The resolution of %(number)s is due soon: %(time)s left."),
    ),
    "sla_breach": lambda s: _owed(
        s,
        _("The first response to %(number)s is overdue by %(time)s."),
        _("The resolution of %(number)s is overdue by %(time)s."),
    ),
    "sla_escalated": lambda s: _owed(
        s,
        _("No one has responded to %(number)s: overdue by %(time)s. Please step in."),
        _("%(number)s isn't resolved: overdue by %(time)s. Please step in."),
    ),
    "missed_call": lambda s: _("You missed a call from %(number)s. Please call back.", number=_number(s)),
    "status": _moved,
    "job_lag": _lagging,
    "webhook": lambda s: _STOPPED[s.get("why", "failures")] % {"name": s.get("name", "")},
}

# --- what it stands on --------------------------------------------------------------------------------------------


def cards_of(session: Session, rows: Iterable[Any]) -> dict[tuple[str, int], str]:
    """(column, id) -> number of the records that the law shows; one statement a kind at most."""
    rows = list(rows)
    found: dict[tuple[str, int], str] = {}
    for column, (record, _root) in _HOMES.items():
        ids = {getattr(row, column) for row in rows if getattr(row, column) is not None}
        if ids:
            named = session.execute(select(record.id, record.number).where(record.id.in_(ids)))
            found |= {(column, key): number for key, number in named}
    return found


def home_of(row: Any, cards: dict[tuple[str, int], str]) -> tuple[str, str] | None:
    """(url, number) of the first of its records that the person sees."""
    for column, (_record, root) in _HOMES.items():
        number = cards.get((column, getattr(row, column)))
        if number:
            return f"{root}{number}", number
    return None


def url_of(row: Any, cards: dict[tuple[str, int], str]) -> str:
    """Where a click leads."""
    home = home_of(row, cards)
    if row.kind == "job_lag":
        return "/jobs/"
    if row.kind == "webhook":
        return f"/webhooks/{(row.payload or {}).get('webhook', '')}/"
    return home[0] if home else "/bell/"
