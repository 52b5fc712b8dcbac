"""Durations in the language of the page, such as 1h 2m 3s."""

from __future__ import annotations

from flask_babel import gettext as _


def span(seconds: int | None) -> str:
    """Seconds as 1h 2m 3s, without the parts that are zero."""
    hours, rest = divmod(int(seconds or 0), 3600)
    minutes, secs = divmod(rest, 60)
    parts = []
    if hours:
        parts.append(_("%(n)sh", n=hours))
    if minutes:
        parts.append(_("%(n)sm", n=minutes))
    if secs or not parts:
        parts.append(_("%(n)ss", n=secs))
    return " ".join(parts)


def days_and_hours(hours: int) -> str:
    """Hours as 4d 11h, or 4d."""
    days, rest = divmod(hours, 24)
    return " ".join([_("%(n)sd", n=days), *([_("%(n)sh", n=rest)] if rest else [])])


def milliseconds(seconds: float) -> str:
    """A part of a second as 240 ms."""
    return str(_("%(n)s ms", n=round(seconds * 1000)))
