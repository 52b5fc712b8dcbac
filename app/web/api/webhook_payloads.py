"""Webhook payloads: a record as the REST API returns it to the webhook's user, under their access rules and masks."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from flask import current_app
from sqlalchemy.orm import Session

from app import access
from app.web.core.fields.lookups import load_lookups
from app.web.core.view_registry import registered
from app.web.core.viewer import Viewer


def write(session: Session, kind: str, key: int, now: datetime) -> dict[str, Any] | None:
    """The record as `GET /api/v1/<kind>/<id>` returns it under "result" to the session's person.

    None if they may not see it.
    """
    person = access.acting(session)
    if person is None:
        return None
    zone = current_app.config["CRM"].time_zone
    viewer = Viewer(person, load_lookups(session, person.version, zone), ZoneInfo(person.time_zone or zone), now)
    resource = next((each for each in registered("resources").values() if each.resource_name == kind), None)
    if resource is None:
        return None
    record_table = resource.record_table
    row = record_table.one(session, key, record_table.shown)
    return record_table.serialize_rows(session, [row], record_table.shown, viewer)[0] if row is not None else None
