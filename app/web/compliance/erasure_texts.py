"""The words of an erasure: its kinds of data, and why a duty keeps some of it."""

from __future__ import annotations

from math import ceil, floor

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext

from app.lib.digit_grouping import GroupedInt

DAYS_OF_YEAR = 365.25
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
    "saved views": _l("Saved views of lists"),
    "requests": _l("Data requests"),
}


def span_of(days: int) -> str:
    """So many days in words: in years where they are whole ones, with or without their leap days."""
    years = round(days / DAYS_OF_YEAR)
    exact = years * DAYS_OF_YEAR
    if years and days in (365 * years, floor(exact), ceil(exact)):
        return str(ngettext("%(num)s year", "%(num)s years", years))
    return str(ngettext("%(num)s day", "%(num)s days", GroupedInt(days)))


def duty_sentence(duty: str, days: int, day: str | None) -> str:
    """Why a duty keeps something, and until when; `day` None = its end isn't known yet."""
    return _with_day(duty, span_of(days), day) if day else _without_day(duty, span_of(days))


def _with_day(duty: str, span: str, day: str) -> str:
    values = {"span": span, "day": day}
    texts = {
        "customer": _("Customers' data is kept for %(span)s after the end of their accounts, until %(day)s.", **values),
        "complaint": _("Complaints are kept for %(span)s after their last step, until %(day)s.", **values),
        "complainant": _(
            "The name, one number or address and the client ID of whoever complained stay on the ticket of the "
            "complaint for %(span)s after its last step, until %(day)s.",
            **values,
        ),
        "order": _("Orders by telephone are kept for %(span)s, until %(day)s.", **values),
        "proof": _("The request is kept for %(span)s as proof, until %(day)s.", **values),
    }
    return texts[duty]


def _without_day(duty: str, span: str) -> str:
    texts = {
        "customer": _(
            "Customers' data is kept for %(span)s after the last day of their accounts. It isn't known: if all "
            "accounts are closed, enter it below.",
            span=span,
        ),
        "complaint": _(
            "Complaints are kept for %(span)s after their last step. One has no outcome yet: enter it on the page of "
            "the complaint.",
            span=span,
        ),
        "complainant": _(
            "The name, one number or address and the client ID of whoever complained stay on the ticket of the "
            "complaint for %(span)s after its last step. It has no outcome yet.",
            span=span,
        ),
        "order": _("Orders by telephone are kept for %(span)s, and until their ticket is resolved.", span=span),
    }
    return texts[duty]
