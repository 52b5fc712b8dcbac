"""Writing a note on a record."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _

from app.domain.base import RuleBroken
from app.extensions import db
from app.web.compat.doctypes import NOTE
from app.web.core.viewer import Viewer
from app.web.records import notes


def write_note(row: Any, text: str, viewer: Viewer) -> Any:
    """A note on a record; returns its activity. Raises Denied without the right, RuleBroken for an invalid text."""
    viewer.person.refuse_unless("Notes", "create")
    value = NOTE.record_table.parse({"text": text}, "add", viewer)["text"]
    if not value:
        raise RuleBroken(_("Please enter a text."), "content")
    return notes.write_note(db.session(), row, value, viewer)
