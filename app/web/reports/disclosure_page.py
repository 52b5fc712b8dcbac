"""What the page of the monthly disclosure of complaints shows: tables with links, checks in words, versions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any
from urllib.parse import urlencode

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import Session

from app import access
from app.domain import business_settings
from app.domain.complaints import disclosure_checks, disclosure_periods, published_disclosures
from app.domain.complaints.disclosure_checks import BrokenCarry, BrokenIdentity, LaterChange
from app.domain.complaints.disclosure_figures import LAYOUTS
from app.domain.complaints.disclosure_periods import Span
from app.domain.complaints.published_disclosures import MAX_REASON, ComplaintDisclosure
from app.web.core.fields.date_fields import moment_cell
from app.web.core.fields.reference_fields import person_card
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.core.viewer import Viewer
from app.web.pages import disclosure_tables, public_disclosure, return_tables
from app.web.pages.disclosure_tables import FigureTable, TableRow, month_label, source_label, span_label, value_text
from app.web.reports import disclosure_links

URL = "/complaints-disclosure/"
#: Months that can be chosen, up to the current one.
CHOICES = 24
_FIGURE_LABELS = {
    "carried": _l("carried forward"),
    "received": _l("received"),
    "resolved": _l("resolved"),
    "pending": _l("pending"),
}
_LAYOUT_LABELS = {"2021": _l("2021 (Annexure B)"), "2025": "2025"}


def page_url(month: Span, **more: Any) -> str:
    """The URL of the page of a month."""
    return f"{URL}?{urlencode({'month': disclosure_periods.month_name(month)} | more)}"


def context(session: Session, shown: Any, viewer: Viewer, today: date) -> dict[str, Any]:
    """Everything that the template shows. `session` reads all complaints; `shown`: see complaint_disclosure.Shown."""
    month, name = shown.month, disclosure_periods.month_name(shown.month)
    exact = {"version": shown.version.version_number} if shown.version else {"layout": shown.layout}
    settings = business_settings.values_of(session, "disclosure_due_day", "disclosure_is_public")
    return {
        "month": name,
        "title": month_label(month),
        "months": _choices(month, today),
        "layout": shown.layout,
        "layouts": [(each, _LAYOUT_LABELS[each]) for each in LAYOUTS],
        "version": shown.version,
        "about": about(shown.version, viewer),
        "tables": [_table(each) for each in disclosure_tables.tables_of(shown.disclosure, shown.layout)],
        "return_tables": [_table(each) for each in return_tables.tables_of(shown.exchange_return, month)],
        "checks": _checks(session, shown),
        "versions": [_version(each, month, viewer) for each in shown.versions],
        "base": shown.base,
        "max_reason": MAX_REASON,
        "is_over": disclosure_periods.is_month_over(month, today),
        "due": _due(month, settings["disclosure_due_day"]),
        "is_late": not shown.versions and today > disclosure_periods.due_day(month, settings["disclosure_due_day"]),
        "public_url": public_disclosure.URL if settings["disclosure_is_public"] else "",
        "may_publish": access.reaches_all_complaints(viewer.person, "write"),
        "files": _files({"month": name} | exact) if access.reaches_all_complaints(viewer.person, "export") else {},
    }


def about(version: ComplaintDisclosure | None, viewer: Viewer) -> str:
    """Which figures these are: of which version, or as of now."""
    if version is None:
        return _("As counted now; not published.")
    moment = format_local_date(version.published_on.astimezone(viewer.zone), "%-d %b %Y, %H:%M")
    return _("Version %(number)s, published on %(moment)s.", number=version.version_number, moment=moment)


def _due(month: Span, day_of_month: int) -> str:
    return format_local_date(disclosure_periods.due_day(month, day_of_month), "%-d %b %Y")


def _choices(month: Span, today: date) -> list[tuple[str, str, bool]]:
    """(value, label, is chosen) of the months that can be chosen, the newest first."""
    offered, each = [month], disclosure_periods.month_of(today)
    for _number in range(CHOICES):
        offered.append(each)
        each = disclosure_periods.previous(each)
    listed = sorted(set(offered), reverse=True)
    return [(disclosure_periods.month_name(span), month_label(span), span == month) for span in listed]


def _files(chosen: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """(label, URL) of the files of the disclosure and of the return."""
    formats = {"disclosure": ("pdf", "xlsx", "csv", "html"), "return": ("pdf", "xlsx", "csv")}
    return {
        name: [(each.upper(), f"{URL}{name}.{each}?{urlencode(chosen)}") for each in offered]
        for name, offered in formats.items()
    }


# --- tables


def _table(table: FigureTable) -> dict[str, Any]:
    return {
        "title": table.title,
        "name": table.name,
        "columns": [column.label for column in table.columns],
        "rows": [_row(row, [column.figure for column in table.columns]) for row in table.rows],
        "notes": table.notes,
    }


def _row(row: TableRow, figures: Sequence[str]) -> dict[str, Any]:
    cells = [
        {"text": value_text(value), "url": disclosure_links.address(figure, row) if value else ""}
        for figure, value in zip(row.figures or figures, row.values, strict=True)
    ]
    return {"label": row.label, "cells": cells, "is_total": row.is_total, "is_wrong": row.is_wrong}


def _version(version: ComplaintDisclosure, month: Span, viewer: Viewer) -> dict[str, Any]:
    card = viewer.lookups.person(version.published_by_id) if version.published_by_id is not None else None
    return {
        "number": version.version_number,
        "url": page_url(month, version=version.version_number),
        "published": moment_cell(version.published_on, viewer),
        "by": person_card(card) if card is not None else None,
        "reason": version.reason or "",
        "layout": str(_LAYOUT_LABELS[version.layout]),
    }


# --- checks


def _checks(session: Session, shown: Any) -> dict[str, Any]:
    """Sentences on what is wrong, and the numbers of complaints that can't be right. All empty if everything fits."""
    found = shown.disclosure
    first = min(found.months).first
    published = [(each.version_number, each.disclosure) for each in _published(session, first)]
    impossible = disclosure_checks.impossible_dates(session)
    changes = disclosure_checks.later_changes(shown.counted, published)
    sentences = [_identity_text(each) for each in disclosure_checks.broken_identities(found)]
    sentences += [_carry_text(each) for each in disclosure_checks.broken_carries(found)]
    return {
        "wrong": sentences,
        "changed": [_change_text(each) for each in changes],
        "impossible": [(number, f"/complaints/{number}") for number in impossible],
    }


def _published(session: Session, first: date) -> list[ComplaintDisclosure]:
    return published_disclosures.newest_versions(session, first, disclosure_periods.TREND_MONTHS)


def _identity_text(broken: BrokenIdentity) -> str:
    movement = broken.movement
    return _(
        "%(span)s, %(source)s: %(carried)s carried forward + %(received)s received − %(resolved)s resolved is not "
        "%(pending)s pending.",
        span=span_label(broken.span),
        source=source_label(broken.source),
        carried=value_text(movement.carried),
        received=value_text(movement.received),
        resolved=value_text(movement.resolved),
        pending=value_text(movement.pending),
    )


def _carry_text(broken: BrokenCarry) -> str:
    return _(
        "%(source)s: %(pending)s pending at the end of %(earlier)s, but %(carried)s carried forward into %(later)s.",
        source=source_label(broken.source),
        pending=value_text(broken.pending),
        earlier=span_label(broken.earlier),
        carried=value_text(broken.carried),
        later=span_label(broken.later),
    )


def _change_text(change: LaterChange) -> str:
    return _(
        "%(month)s, %(source)s, %(figure)s: %(published)s in version %(number)s, %(counted)s now.",
        month=month_label(change.month),
        source=source_label(change.source),
        figure=str(_FIGURE_LABELS[change.figure]),
        published=value_text(change.published),
        number=change.version_number,
        counted=value_text(change.counted),
    )
