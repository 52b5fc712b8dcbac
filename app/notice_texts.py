"""The text of a notification, the same on the page and in an email."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext
from flask_babel import pgettext as gettext_in

from app import complaint_notice_texts, compliance_notice_texts, system_notice_texts
from app.generated_titles import shown_title
from app.lib.digit_grouping import GroupedInt, grouped


def text_of(notification: Any, **names: str) -> str:
    """What happened, as one translated sentence. Raises KeyError for an unknown kind.

    `names` are those that the caller knows: actor, taker (the new assignee), label (of the new status), and, from
    `names_of`, the person whom the record is about, and the summary of a ticket.
    """
    payload = dict(notification.payload or {}) | names
    if payload.get("label"):
        payload["label"] = gettext_in("label", payload["label"])  # one that the product ships, in the reader's language
    if int(payload.get("count", 1)) > 1:
        return _merged_text(notification.kind, payload)
    return str(TEXTS[notification.kind](payload))


def _number(payload: dict[str, Any]) -> str:
    """The record as people call it, or its number alone.

    “Asha Rao (CRM-LEAD-2026-00012)”; a ticket with its summary: “Asha Rao – Cannot sign in (CRM-TICKET-2026-00012)”.
    """
    number = str(payload.get("number") or _("A record"))
    who = payload.get("who") if payload.get("who") != number else None
    summary = payload.get("summary") if str(payload.get("summary")) not in str(payload.get("title")) else None
    about = " – ".join(filter(None, (who, summary)))
    return f"{about} ({number})" if about else number


def _title(payload: dict[str, Any]) -> str:
    title = shown_title(str(payload.get("title") or _("Task")))
    return f"{title} – {payload['who']}" if payload.get("who") else title


def _with_actor(payload: dict[str, Any], by_somebody: str, by_itself: str) -> str:
    """The filled-in template: `by_somebody` if the actor's name is known, else `by_itself`."""
    values = {"number": _number(payload), "actor": payload.get("actor")}
    return str((by_somebody if payload.get("actor") else by_itself) % values)


def _task(payload: dict[str, Any]) -> str:
    """The task, with the number of its record if the notification has it."""
    if not payload.get("number"):
        return str(_("“%(title)s”", title=_title(payload)))
    title = shown_title(str(payload.get("title") or _("Task")))
    if not payload.get("who"):
        return str(_("“%(title)s” (%(number)s)", title=title, number=_number(payload)))
    return str(_("“%(title)s” for %(number)s", title=title, number=_number(payload)))


def _assigned(payload: dict[str, Any]) -> str:
    if payload.get("back"):
        return _("Welcome back. %(number)s is assigned to you again.", number=_number(payload))
    if payload.get("beside"):
        return _with_actor(
            payload,
            _("%(actor)s added you as an assignee of %(number)s."),
            _("You were added as an assignee of %(number)s."),
        )
    return _with_actor(payload, _("%(actor)s assigned %(number)s to you."), _("%(number)s was assigned to you."))


def _unassigned(payload: dict[str, Any]) -> str:
    if "to" in payload and payload["to"] is None:
        return _with_actor(
            payload, _("%(actor)s removed you from %(number)s."), _("You are no longer assigned to %(number)s.")
        )
    if payload.get("actor") and payload.get("taker"):
        return str(
            _(
                "%(actor)s assigned %(number)s to %(taker)s.",
                actor=payload["actor"],
                number=_number(payload),
                taker=payload["taker"],
            )
        )
    return _with_actor(
        payload, _("%(actor)s assigned %(number)s to someone else."), _("%(number)s was assigned to someone else.")
    )


def _status_changed(payload: dict[str, Any]) -> str:
    if payload.get("actor") and payload.get("label"):
        return str(
            _(
                "%(actor)s moved %(number)s to “%(label)s”.",
                actor=payload["actor"],
                number=_number(payload),
                label=payload["label"],
            )
        )
    if payload.get("label"):
        return str(_("%(number)s is now “%(label)s”.", number=_number(payload), label=payload["label"]))
    return _with_actor(
        payload, _("%(actor)s changed the status of %(number)s."), _("The status of %(number)s has changed.")
    )


def _rekyc(payload: dict[str, Any]) -> str:
    days, number = int(payload.get("days", 0)), _number(payload)
    if days > 0:
        text = ngettext(
            "The KYC of %(number)s has to be renewed within %(num)s day.",
            "The KYC of %(number)s has to be renewed within %(num)s days.",
            days,
            number=number,
        )
    elif days == 0:
        text = _("The KYC of %(number)s has to be renewed today.", number=number)
    else:
        text = ngettext(
            "The KYC of %(number)s had to be renewed %(num)s day ago.",
            "The KYC of %(number)s had to be renewed %(num)s days ago.",
            -days,
            number=number,
        )
    return str(text)


def _due(payload: dict[str, Any]) -> str:
    minutes = int(payload.get("minutes", 0))
    if minutes > 0:
        return str(
            ngettext(
                "“%(title)s” is due in %(num)s minute.",
                "“%(title)s” is due in %(num)s minutes.",
                minutes,
                title=_title(payload),
            )
        )
    if minutes == 0:
        return str(_("“%(title)s” is due now.", title=_title(payload)))
    return _late(payload)


def _late(payload: dict[str, Any]) -> str:
    late = -int(payload.get("minutes", 0))
    if late < 60:
        return str(
            ngettext(
                "“%(title)s” was due %(num)s minute ago.",
                "“%(title)s” was due %(num)s minutes ago.",
                late,
                title=_title(payload),
            )
        )
    hours = late // 60
    if hours < 48:
        return str(
            ngettext(
                "“%(title)s” is overdue by %(num)s hour.",
                "“%(title)s” is overdue by %(num)s hours.",
                hours,
                title=_title(payload),
            )
        )
    return str(_("“%(title)s” is overdue by %(num)s days.", title=_title(payload), num=grouped(hours // 24)))


def _sla(payload: dict[str, Any], answer: str, resolution: str) -> str:
    """An SLA deadline, with the office time left or overdue."""
    text = answer if payload.get("promise", "reply") == "reply" else resolution
    return text % {"number": _number(payload), "time": office_time(abs(int(payload.get("minutes", 0))))}


def office_time(minutes: int) -> str:
    """Minutes of office time in words; in hours from two hours on."""
    if minutes == 0:
        return str(_("less than a minute"))
    if minutes < 120:
        return str(ngettext("%(num)s office minute", "%(num)s office minutes", GroupedInt(minutes)))
    return str(ngettext("%(num)s office hour", "%(num)s office hours", GroupedInt(minutes // 60)))


def _tasks(payload: dict[str, Any], one: str, many: str) -> str:
    count = int(payload.get("tasks", 1))
    return one if count == 1 else many


TEXTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "assigned": _assigned,
    "unassigned": _unassigned,
    "task_assigned": lambda s: _tasks(
        s,
        _("%(actor)s assigned you the task %(task)s.", actor=s["actor"], task=_task(s))
        if s.get("actor")
        else _("The task %(task)s was assigned to you.", task=_task(s)),
        _(
            "%(num)s overdue tasks of %(number)s were assigned to you.",
            num=grouped(s.get("tasks") or 0),
            number=_number(s),
        ),
    ),
    "task_taken": lambda s: _tasks(
        s,
        _("The overdue task %(task)s was reassigned to a colleague.", task=_task(s)),
        _(
            "%(num)s overdue tasks of %(number)s were reassigned to a colleague.",
            num=grouped(s.get("tasks") or 0),
            number=_number(s),
        ),
    ),
    "task_due": _due,
    "task_overdue": _late,
    "exhausted": lambda s: _(
        "No one is available for the overdue task %(task)s. Please assign it.",
        task=_task(s),
    ),
    "mention": lambda s: _with_actor(
        s, _("%(actor)s mentioned you on %(number)s."), _("You were mentioned on %(number)s.")
    ),
    "comment": lambda s: _with_actor(
        s, _("%(actor)s added a note to %(number)s."), _("A note was added to %(number)s.")
    ),
    "request": lambda s: _with_actor(
        s,
        _("%(actor)s requests an assignment of %(number)s. Please decide."),
        _("Someone requests an assignment of %(number)s. Please decide."),
    ),
    "request_approved": lambda s: _with_actor(
        s, _("%(actor)s approved the request for %(number)s."), _("The request for %(number)s was approved.")
    ),
    "request_rejected": lambda s: _with_actor(
        s,
        _("%(actor)s rejected the request for %(number)s. See the request for the reason."),
        _("The request for %(number)s was rejected. See the request for the reason."),
    ),
    "request_expired": lambda s: _("Your request for %(number)s expired. You can send a new one.", number=_number(s)),
    "request_withdrawn": lambda s: _("The request for %(number)s was withdrawn.", number=_number(s)),
    "sla_warning": lambda s: _sla(
        s,
        _("The first response to %(number)s is due soon: %(time)s left."),
        _("The resolution of %(number)s is due soon: %(time)s left."),
    ),
    "sla_breach": lambda s: _sla(
        s,
        _("The first response to %(number)s is overdue by %(time)s."),
        _("The resolution of %(number)s is overdue by %(time)s."),
    ),
    "sla_escalated": lambda s: _sla(
        s,
        _("No one has responded to %(number)s: overdue by %(time)s. Please step in."),
        _("%(number)s isn't resolved: overdue by %(time)s. Please step in."),
    ),
    "missed_call": lambda s: _("You missed a call from %(number)s. Please call back.", number=_number(s)),
    "status": _status_changed,
    "job_lag": system_notice_texts.job_delayed,
    "link": lambda s: _with_actor(
        s,
        _("%(actor)s has a record with the number of your customer %(number)s. Please confirm or refuse the link."),
        _("A record has the number of your customer %(number)s. Please confirm or refuse the link."),
    ),
    "link_confirmed": lambda s: _with_actor(
        s, _("%(actor)s linked %(number)s to its customer."), _("%(number)s was linked to its customer.")
    ),
    "rekyc": _rekyc,
    "disclosure": system_notice_texts.disclosure_due,
    "complaint": complaint_notice_texts.of_complaint,
    "complaint_list": complaint_notice_texts.of_list,
    "compliance": compliance_notice_texts.compliance,
    "message": lambda s: (
        _("A new message about %(number)s is waiting.", number=_number(s))
        if s.get("number")
        else _("A new message is waiting in the inbox.")
    ),
    "audit": system_notice_texts.audit_broken,
    "backup": system_notice_texts.backup_trouble,
    "health": system_notice_texts.health_changed,
    "export": system_notice_texts.export_ended,
    "import": system_notice_texts.import_ended,
    "report": system_notice_texts.report_trouble,
    "security": system_notice_texts.two_factor_changed,
    "webhook": system_notice_texts.webhook_stopped,
}

# --- one notice for many records


def _records(payload: dict[str, Any]) -> str:
    """“8 leads”."""
    count = GroupedInt(payload["count"])
    if payload.get("record") == "ticket":
        return str(ngettext("%(num)s ticket", "%(num)s tickets", count))
    return str(ngettext("%(num)s lead", "%(num)s leads", count))


def numbers_text(numbers: Iterable[Any], count: int) -> str:
    """“CRM-LEAD-2026-00012, CRM-LEAD-2026-00013 and 6 more”."""
    named = [str(number) for number in numbers if number]
    if count <= len(named):
        return ", ".join(named)
    return str(_("%(numbers)s and %(num)s more", numbers=", ".join(named), num=grouped(count - len(named))))


#: (kind, what else is known) -> text with the actor's name, and text without it.
_MERGED_TEXTS: dict[tuple[str, str], tuple[Any, Any]] = {
    ("assigned", ""): (
        _l("%(records)s from %(actor)s: %(numbers)s."),
        _l("%(records)s were assigned to you: %(numbers)s."),
    ),
    ("unassigned", "taker"): (
        _l("%(actor)s assigned %(records)s of yours to %(taker)s: %(numbers)s."),
        _l("%(records)s of yours were assigned to %(taker)s: %(numbers)s."),
    ),
    ("unassigned", ""): (
        _l("%(actor)s assigned %(records)s of yours to someone else: %(numbers)s."),
        _l("%(records)s of yours were assigned to someone else: %(numbers)s."),
    ),
    ("status", "label"): (
        _l("%(actor)s moved %(records)s to “%(label)s”: %(numbers)s."),
        _l("%(records)s are now “%(label)s”: %(numbers)s."),
    ),
    ("status", ""): (
        _l("%(actor)s changed the status of %(records)s: %(numbers)s."),
        _l("The status of %(records)s has changed: %(numbers)s."),
    ),
}


def _merged_text(kind: str, payload: dict[str, Any]) -> str:
    """The text of a merged notice (app/domain/notifications/notice_batches.py)."""
    known = next((name for name in ("taker", "label") if payload.get(name) and (kind, name) in _MERGED_TEXTS), "")
    values = {"records": _records(payload), "numbers": numbers_text(payload.get("numbers") or [], payload["count"])}
    values |= {name: str(payload.get(name)) for name in ("actor", "taker", "label")}
    return str(_MERGED_TEXTS[kind, known][0 if payload.get("actor") else 1]) % values


# --- short texts, for SMS and WhatsApp

#: Kind -> what happened, in at most 30 characters in each language: so many takes a variable of a DLT template.
EVENTS: dict[str, Any] = {
    "assigned": _l("Assigned to you"),
    "unassigned": _l("Assigned to someone else"),
    "task_assigned": _l("Task assigned to you"),
    "task_taken": _l("Overdue task reassigned"),
    "task_due": _l("Task due soon"),
    "task_overdue": _l("Task overdue"),
    "exhausted": _l("No one for an overdue task"),
    "mention": _l("You were mentioned"),
    "comment": _l("Note added"),
    "request": _l("Request to decide"),
    "request_approved": _l("Request approved"),
    "request_rejected": _l("Request rejected"),
    "request_expired": _l("Request expired"),
    "request_withdrawn": _l("Request withdrawn"),
    "sla_warning": _l("SLA target due soon"),
    "sla_breach": _l("SLA target missed"),
    "sla_escalated": _l("Missed SLA target: step in"),
    "missed_call": _l("Missed call"),
    "status": _l("Status changed"),
    "job_lag": _l("Jobs are delayed"),
    "audit": _l("Audit log altered"),
    "backup": _l("Trouble with backups"),
    "health": _l("Health limit"),
    "webhook": _l("Webhook stopped"),
    "link": _l("Customer link to decide"),
    "link_confirmed": _l("Customer link confirmed"),
    "rekyc": _l("KYC to be renewed"),
    "complaint": _l("Complaint"),
    "complaint_list": _l("Complaints of the day"),
    "compliance": _l("Compliance: please check"),
    "message": _l("Message waiting"),
    "export": _l("Export ended"),
    "import": _l("Import ended"),
    "report": _l("Trouble with a report"),
    "security": _l("Two-factor sign-in changed"),
    "disclosure": _l("Disclosure of complaints due"),
}


def event_and_record(notification: Any, number: str) -> tuple[str, str]:
    """What happened, and to which record: its number, “8 leads”, or "". Nothing about a person."""
    payload = notification.payload or {}
    is_merged = int(payload.get("count", 1)) > 1
    return str(EVENTS[notification.kind]), _records(payload) if is_merged else number
