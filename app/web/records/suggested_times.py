"""Times that forms propose."""

from __future__ import annotations

from contextlib import suppress

from app.domain.snooze import next_morning
from app.domain.working_time import office_hours
from app.web.core.viewer import Viewer


def next_follow_up(viewer: Viewer) -> str:
    """Tomorrow at nine or the next opening of the office after it, as a form value."""
    moment = next_morning(viewer.now, viewer.zone)
    with suppress(office_hours.NeverOpens):
        moment = office_hours.next_opening(viewer.lookups.office, moment)
    return moment.astimezone(viewer.zone).strftime("%Y-%m-%dT%H:%M")
