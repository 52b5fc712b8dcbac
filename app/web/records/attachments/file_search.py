"""Search of records' files by name: only of visible records, without the trash."""

from __future__ import annotations

from typing import Any

from sqlalchemy import inspect, select

from app import access
from app.extensions import db
from app.models import Attachment
from app.web.core.fields.date_fields import moment_cell
from app.web.core.viewer import Viewer
from app.web.records.attachments import message_uploads, record_files


def file_lookup(text: str, viewer: Viewer) -> access.IndexLookup:
    """The look-up of files with this text in their names; without conditions for people who may read none."""
    may = viewer.person.may("Notes", "read")
    return access.IndexLookup(Attachment, [access.TitlePart(inspect(Attachment).columns["name"], text)] if may else [])


def hits(found: access.IndexLookup, maximum: int, viewer: Viewer) -> list[dict[str, Any]]:
    """The newest matching files, one row for all versions of each; at most one statement."""
    if found.ids == set():
        return []
    columns = [getattr(Attachment, name) for name in ("id", "name", "mime_type", "size", "series", "created_on")]
    rules = (found.rule(), Attachment.deleted_on.is_(None))
    newest = select(*columns).where(*rules).order_by(Attachment.id.desc()).limit(4 * maximum)
    rows: dict[str, dict[str, Any]] = {}
    for key, name, mime_type, size, series, created_on in db.session.execute(newest):
        kind = f"{record_files.kind_word(mime_type, name)} · {message_uploads.shown_size(size)}"
        cells = [{"kind": "text", "text": name}, {"kind": "text", "text": kind}, moment_cell(created_on, viewer)]
        rows.setdefault(series, {"url": f"/files/{key}/place", "title": name, "cells": cells, "note": ""})
    return list(rows.values())[:maximum]
