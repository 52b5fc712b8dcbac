"""Texts about a data breach to copy: for the persons, the Data Protection Board and CERT-In.

What the DPDP Rules 2025 (rule 7) and CERT-In's directions of 28 Apr 2022 ask to be said; people complete and send them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask_babel import gettext as _

from app.domain.data_breaches import DataBreach
from app.web.core.viewer import Viewer


def texts_of(row: DataBreach, viewer: Viewer) -> list[dict[str, str]]:
    """{title, text} of each text."""
    return [
        {"title": _("To the persons concerned"), "text": _to_persons(row, viewer)},
        {"title": _("To the Data Protection Board"), "text": _to_board(row, viewer)},
        {"title": _("To CERT-In"), "text": _to_cert_in(row, viewer)},
    ]


def _to_persons(row: DataBreach, viewer: Viewer) -> str:
    return "\n".join(
        (
            _("We have to tell you of a breach of your personal data: %(what)s.", what=row.title),
            _("Noticed: %(when)s. Happened: %(since)s.", **_times(row, viewer)),
            _("Data concerned: %(data)s.", data=row.data_kinds or _unknown()),
            _("What we have done, and what you can do: %(measures)s", measures=row.measures or _unknown()),
            _("If you have questions, please reply to this message."),
        )
    )


def _to_board(row: DataBreach, viewer: Viewer) -> str:
    return "\n".join((*_facts(row, viewer), _("Persons told: %(when)s.", when=_moment(row.people_told_on, viewer))))


def _to_cert_in(row: DataBreach, viewer: Viewer) -> str:
    return "\n".join((*_facts(row, viewer), _("Affected systems, addresses and indicators: please add them.")))


def _facts(row: DataBreach, viewer: Viewer) -> tuple[str, ...]:
    return (
        _("Report of a breach of personal data: %(what)s.", what=row.title),
        _("Noticed: %(when)s. Happened: %(since)s.", **_times(row, viewer)),
        _("Data concerned: %(data)s.", data=row.data_kinds or _unknown()),
        _("Number of persons: %(count)s.", count=_unknown() if row.people_count is None else row.people_count),
        _("Details: %(details)s", details=row.details or _unknown()),
        _("Measures: %(measures)s", measures=row.measures or _unknown()),
    )


def _times(row: DataBreach, viewer: Viewer) -> dict[str, Any]:
    return {"when": _moment(row.noticed_on, viewer), "since": _moment(row.happened_on, viewer)}


def _moment(moment: datetime | None, viewer: Viewer) -> str:
    return moment.astimezone(viewer.zone).strftime("%d %b %Y, %H:%M") if moment is not None else _unknown()


def _unknown() -> str:
    return str(_("not known yet"))
