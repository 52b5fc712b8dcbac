"""Times in the predecessor's format: local, without an offset."""

from __future__ import annotations

from datetime import datetime

from app.web.core.viewer import Viewer


def local_timestamp(moment: datetime | None, viewer: Viewer, timespec: str = "microseconds") -> str | None:
    """A moment in the viewer's time zone, such as 2026-11-23 10:00:00.000000; `timespec` as in datetime.isoformat."""
    return moment.astimezone(viewer.zone).replace(tzinfo=None).isoformat(" ", timespec) if moment else None
