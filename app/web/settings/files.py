"""The page of files of records: quotas, usage, and what happens while the scanner is unavailable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import current_app, request
from flask_babel import gettext as _
from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from app import access
from app.domain import business_settings
from app.domain.base import RuleBroken
from app.domain.files import file_quotas
from app.domain.files.file_quotas import INSTALLATION
from app.extensions import db
from app.lib.digit_grouping import grouped
from app.models import Attachment, BusinessSetting
from app.web.core import fab_access
from app.web.core.fab_access import NOT_REFUSED, Refusal, current_viewer
from app.web.core.fields.reference_fields import person_card
from app.web.pages.settings_page import SettingsFormPage, refuse_stale, settings_form

#: People that are listed: those with the most bytes.
MOST = 50
#: 100 TB is a typing error.
MAX_MB = 100_000_000
_RULES = ("refuse", "accept")


class FileSettingsView(SettingsFormPage):
    """/settings/files/"""

    route_base = "/settings/files"

    def _save(self, session: Session) -> None:
        refuse_stale(_stored(session))
        _store(session, _posted())

    def _page(self, posted: Mapping[str, str], refused: Refusal = NOT_REFUSED) -> str:
        stored = _stored(db.session())
        sections = [{"title": "", "fields": _fields(stored, posted, refused.errors)}]
        form = settings_form(_("Files"), "/settings/files/", sections, fab_access.content_hash(stored))
        form["error"] = refused.sentence
        return self.render_template("settings/files.html", title=form["title"], form=form, used=_used(stored))


def _stored(session: Session) -> dict[str, Any]:
    return business_settings.values_of(session, *business_settings.OF_FILES)


def _fields(stored: dict[str, Any], posted: Mapping[str, str], errors: dict[str, list[str]]) -> list[dict[str, Any]]:
    labels = {
        "file_person_mb": _("MB of files that one person may attach to records"),
        "file_total_mb": _("MB of files of records in all"),
        "file_scan_rule": _("While the virus scanner is unavailable"),
    }
    helps = {
        "file_person_mb": _("All versions count, and deleted files until they are gone for good."),
        "file_scan_rule": _("Applies to files of records and of messages, and to emails with their attachments."),
    }
    return [
        {
            "name": key,
            "label": labels[key],
            "value": posted.get(key, value),
            "required": True,
            "kind": "text" if key == "file_scan_rule" else "number",
            "options": _options() if key == "file_scan_rule" else None,
            "maxlength": 9,
            "help": helps.get(key, ""),
            "errors": errors.get(key, []),
        }
        for key, value in stored.items()
    ]


def _options() -> list[tuple[str, str]]:
    return [("refuse", _("Take no files")), ("accept", _("Take files, mark them, and scan them later"))]


def _posted() -> dict[str, Any]:
    """The posted values. Raises RuleBroken."""
    values: dict[str, Any] = {}
    errors: dict[str, list[str]] = {}
    for key in business_settings.OF_FILES:
        text = request.form.get(key, "").strip()
        if key == "file_scan_rule":
            values[key] = text
            if text not in _RULES:
                errors[key] = [_("Please choose one of the options.")]
        elif text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= MAX_MB:
            values[key] = int(text)
        else:
            errors[key] = [_("Please enter a whole number from 1 to %(most)s.", most=grouped(MAX_MB))]
    if errors:
        raise RuleBroken(_("Not saved yet. Please check these fields:"), errors=errors)
    return values


def _store(session: Session, values: dict[str, Any]) -> None:
    rows = {row.key: row for row in session.scalars(select(BusinessSetting))}
    for key, value in values.items():
        row = rows.get(key)
        if row is None and value == business_settings.DEFINITIONS[key][0]:
            continue
        row = row or BusinessSetting(key=key, value=value)
        row.value, row.changed_on = value, fab_access.request_time()
        session.add(row)


def _used(stored: dict[str, Any]) -> dict[str, Any]:
    """The usage in total and of the people with the most."""
    session, viewer = db.session(), current_viewer()
    with access.as_system(session):
        used = file_quotas.usage(session)
        counts = select(
            func.count(Attachment.id),
            func.count(Attachment.deleted_on),
            func.count(case((Attachment.scan == "waiting", 1))),
        )
        files, deleted, waiting = session.execute(counts).one()
    most = sorted(((size, key) for key, size in used.items() if key != INSTALLATION), reverse=True)[:MOST]
    scanner = current_app.extensions["crm_scanner"]
    return {
        "installation": _share(used.get(INSTALLATION, 0), stored["file_total_mb"]),
        "files": grouped(files),
        "deleted": grouped(deleted),
        "waiting": grouped(waiting),
        "has_scanner": scanner is not None,
        "people": [
            {"person": person_card(card), **_share(size, stored["file_person_mb"])}
            for size, key in most
            if (card := viewer.lookups.person(key)) is not None
        ],
    }


def _share(size: int, most_mb: int) -> dict[str, Any]:
    return {
        "size": grouped(round(size / 1_000_000, 1)),
        "most": grouped(most_mb),
        "percent": min(100, round(100 * size / (most_mb * 1_000_000))),
    }
