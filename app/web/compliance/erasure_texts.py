"""The words of an erasure: its kinds of data, and why a duty keeps some of it."""

from __future__ import annotations

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

KIND_WORDS = {
    "contact": _l("Contact data, KYC and accounts"),
    "leads": _l("Leads"),
    "tickets": _l("Tickets"),
    "complaints": _l("Complaints"),
    "tasks": _l("Tasks"),
    "calls": _l("Calls"),
    "recordings": _l("Recordings of calls"),
    "messages": _l("Messages and emails, with their files"),
    "campaigns": _l("Recipients of campaigns"),
    "files": _l("Files"),
    "timeline": _l("Notes and timelines"),
    "notices": _l("Notifications"),
    "consents": _l("Consents and do-not-disturb lists"),
    "merges": _l("Values before merges"),
    "imports": _l("Rows of imports"),
    "rejected calls": _l("Rejected calls of phones"),
    "requests": _l("Data requests"),
}


def duty_sentence(duty: str, days: int, day: str | None) -> str:
    """Why a duty keeps something, and until when; `day` None = its end isn't known yet."""
    return _with_day(duty, days, day) if day else _without_day(duty, days)


def _with_day(duty: str, days: int, day: str) -> str:
    values = {"days": days, "day": day}
    texts = {
        "customer": _("Data of customers is kept for %(days)s days after their accounts, until %(day)s.", **values),
        "complaint": _("Complaints are kept for %(days)s days after their end, until %(day)s.", **values),
        "order": _("Orders by telephone are kept for %(days)s days, until %(day)s.", **values),
        "proof": _("The request is kept for %(days)s days as proof, until %(day)s.", **values),
    }
    return texts[duty]


def _without_day(duty: str, days: int) -> str:
    texts = {
        "customer": _("Data of customers is kept for %(days)s days after their accounts; one is open.", days=days),
        "complaint": _("Complaints are kept for %(days)s days after their end, which isn't known yet.", days=days),
        "order": _("Orders by telephone are kept for %(days)s days, and until a dispute is over.", days=days),
    }
    return texts[duty]
