"""Linking a call log to a record."""

from __future__ import annotations

from typing import Any

from app import access
from app.domain.telephony import call_outcomes
from app.extensions import db
from app.web.core.fab_access import current_viewer


def link_to_record(call: Any, record: Any) -> None:
    """Link a call only to this lead, ticket or customer."""
    viewer = current_viewer()
    with access.as_system(db.session()):  # it writes to timelines that the person may not see
        call_outcomes.link(db.session(), call, record, viewer.stamp)
