"""The texts of notifications about the installation, and about exports, imports and reports."""

from __future__ import annotations

from datetime import date
from typing import Any

from flask_babel import format_date, ngettext
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from app.lib.digit_grouping import GroupedInt, grouped

#: Why a webhook stopped -> the text.
_WEBHOOK_STOPPED: dict[str, Any] = {
    "failures": _l("The webhook “%(name)s” was paused because deliveries kept failing. Please check its log."),
    "gone": _l("The webhook “%(name)s” was turned off because its receiver answered 410 Gone."),
    "user": _l("The webhook “%(name)s” was paused because its user is no longer active. Please choose another user."),
}
#: What is wrong with backups -> the text.
_BACKUP_TROUBLE: dict[str, Any] = {
    "backup": _l("The backup failed: %(reason)s"),
    "copy": _l("The copy of a backup failed: %(reason)s"),
    "verify": _l("The check of a backup failed: %(reason)s"),
    "drill": _l("The restore drill failed: %(reason)s"),
    "delete": _l("A backup couldn't be deleted: %(reason)s"),
    "late": _l("The last good backup is more than a day old. Please check the backups page."),
    "late_drill": _l("The last good restore drill is more than a day old. Please check the backups page."),
}


def job_delayed(payload: dict[str, Any]) -> str:
    """Jobs that are late, with times in the office's zone."""
    job = payload.get("job")
    words = {
        "job": job and _(job),
        "since": payload.get("from"),
        "until": payload.get("to"),
        "num": grouped(payload.get("minutes") or 0),
    }
    if not payload.get("from"):
        return str(_("Background jobs are delayed. An admin should check the jobs page."))
    if payload.get("ahead"):
        text = _(
            "The clock was set back by %(num)s minutes. Jobs are paused until %(since)s. Please check the clock.",
            **words,
        )
        return str(text)
    if payload.get("to"):
        return str(_("No jobs ran from %(since)s to %(until)s (%(num)s minutes). They are running again.", **words))
    if not payload.get("job"):
        return str(_("No job has run since %(since)s. Please check the jobs page.", **words))
    if payload.get("hangs"):
        return str(_("The job “%(job)s” started at %(since)s and hasn't finished. Please check it.", **words))
    return str(_("The job “%(job)s” hasn't run since %(since)s. Please check it.", **words))


def webhook_stopped(values: dict[str, Any]) -> str:
    """A webhook was paused or turned off, and why."""
    return str(_WEBHOOK_STOPPED[values.get("why", "failures")] % {"name": values.get("name", "")})


def backup_trouble(values: dict[str, Any]) -> str:
    """What is wrong with backups."""
    return str(_BACKUP_TROUBLE[values.get("why", "backup")] % {"reason": values.get("reason", "")})


def report_trouble(values: dict[str, Any]) -> str:
    """A report is no longer sent by email, to one reader or at all."""
    if values.get("why") == "paused":
        text = _("The report “%(name)s” is no longer sent, because it kept failing: %(reason)s", **_named(values))
        return str(text)
    return str(_("The report “%(name)s” is no longer sent to %(reader)s: %(reason)s", **_named(values)))


def _named(values: dict[str, Any]) -> dict[str, Any]:
    return {name: values.get(name) or "–" for name in ("name", "reader", "reason")}


def _stored(sentence: Any) -> str:
    """A stored sentence, translated for its reader if it is one of the product's own."""
    return str(_(str(sentence)))


def export_ended(values: dict[str, Any]) -> str:
    """An export, or the copy of a person's data, is ready or failed."""
    if values.get("page"):
        return _copy_ended(values)
    if values.get("error"):
        return str(_("Your export failed: %(why)s", why=_stored(values["error"])))
    return str(
        ngettext(
            "Your export of %(num)s row is ready. The file can be downloaded for 24 hours.",
            "Your export of %(num)s rows is ready. The file can be downloaded for 24 hours.",
            GroupedInt(values.get("rows", 0)),
        )
    )


def _copy_ended(values: dict[str, Any]) -> str:
    if values.get("error"):
        return str(_("The copy of the data couldn't be made: %(why)s", why=_stored(values["error"])))
    return str(_("The copy of the data is ready. It can be downloaded once, within 24 hours."))


def import_ended(values: dict[str, Any]) -> str:
    """An import is finished or stopped, or gave somebody records."""
    if values.get("given"):
        text = ngettext(
            "An import by %(actor)s gave you %(num)s record.",
            "An import by %(actor)s gave you %(num)s records.",
            GroupedInt(values["given"]),
            actor=values.get("actor") or _("a colleague"),
        )
        return str(text)
    if values.get("error"):
        return str(
            _("Your import of “%(name)s” stopped: %(why)s", name=values.get("name"), why=_stored(values["error"]))
        )
    return str(
        _(
            "Your import of “%(name)s” is finished: %(created)s created, %(updated)s updated, %(wrong)s with errors.",
            name=values.get("name"),
            **{each: grouped(values.get(each, 0)) for each in ("created", "updated", "wrong")},
        )
    )


def audit_broken(values: dict[str, Any]) -> str:
    """The audit log was altered, or can't be checked."""
    if not values.get("key", True):
        return str(_("The audit log can't be checked: this server has another CRM_FIELD_KEY."))
    broken = values.get("broken", 0)
    return str(
        ngettext(
            "The audit log was altered in %(count)s place. See the audit page.",
            "The audit log was altered in %(count)s places. See the audit page.",
            broken,
            count=grouped(broken),
        )
    )


#: What happened to a second factor -> the text.
_TWO_FACTOR: dict[str, Any] = {
    "turned on": _l("Two-factor sign-in was turned on for your account."),
    "turned off": _l("Two-factor sign-in was turned off for your account. If it wasn't you, tell your admin at once."),
    "reset": _l("An admin has reset your two-factor sign-in. Your sessions have ended. Please set it up again."),
    "recovery codes withdrawn": _l(
        "A backup of the CRM was restored. Your recovery codes no longer work: please make new ones in My settings."
    ),
    "new recovery codes": _l("You have new recovery codes. If it wasn't you, change your password at once."),
}


def two_factor_changed(values: dict[str, Any]) -> str:
    """The person's second factor was turned on, off or reset, or one of its recovery codes was used."""
    if values.get("what") != "recovery code used":
        return str(_TWO_FACTOR[values.get("what", "turned on")])
    return str(
        ngettext(
            "Somebody signed in to your account with a recovery code. %(num)s is left. "
            "If it wasn't you, change your password at once.",
            "Somebody signed in to your account with a recovery code. %(num)s are left. "
            "If it wasn't you, change your password at once.",
            GroupedInt(values.get("left", 0)),
        )
    )


def health_changed(values: dict[str, Any]) -> str:
    """A threshold was crossed, or is met again."""
    names = {
        "response": _("The response time"),
        "errors": _("The share of errors"),
        "queue": _("The queue"),
        "connections": _("The number of database connections"),
        "memory": _("The memory of %(server)s", server=values.get("server") or "?"),
        "disk": _("The disk of %(server)s", server=values.get("server") or "?"),
    }
    words = {"what": names.get(str(values.get("measure")), "?"), "value": values.get("value", "?")}
    words["limit"] = values.get("limit", "?")
    if values.get("over"):
        return str(_("%(what)s is within its limit of %(limit)s again.", **words))
    return str(_("%(what)s is above its limit: %(value)s instead of at most %(limit)s.", **words))


def disclosure_due(values: dict[str, Any]) -> str:
    """The disclosure of complaints of a month has to be published by a day."""
    if not values.get("month"):
        return str(_("The monthly disclosure of complaints is due."))
    month, due = date.fromisoformat(f"{values['month']}-01"), date.fromisoformat(values["due"])
    text = _(
        "The disclosure of complaints for %(month)s is due on %(day)s.",
        month=format_date(month, "MMMM y"),
        day=format_date(due, "d MMM y"),
    )
    return str(text)
