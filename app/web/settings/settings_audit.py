"""Stores settings that a compliance officer may change; the audit has what each was and what it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.audit_log import audit
from app.domain.business_settings import BusinessSetting
from app.web.core import fab_access
from app.web.core.fab_access import current_viewer

#: What these audit entries are about.
ABOUT = "settings"


def store(session: Session, event: str, stored: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Store the settings that differ from the stored ones, with one audit entry of this event for all of them."""
    changed = {key: value for key, value in values.items() if value != stored[key]}
    if not changed:
        return
    rows = {row.key: row for row in session.scalars(select(BusinessSetting).where(BusinessSetting.key.in_(changed)))}
    for key, value in changed.items():
        row = rows.get(key) or BusinessSetting(key=key)
        row.value, row.changed_on = value, fab_access.request_time()
        session.add(row)
    viewer, old = current_viewer(), {key: stored[key] for key in changed}
    audit.write(session, event, viewer.person.id, viewer.now, ABOUT, old=old, new=changed)
