"""Statuses of leads and tickets, by label and by meaning."""

from __future__ import annotations

from app.web.compat.doctypes import LEAD, DocType
from app.web.core.viewer import Viewer


def status_picklist(doctype: DocType) -> str:
    """The picklist of a lead's or ticket's statuses in the lookups."""
    return "lead_status" if doctype is LEAD else "ticket_status"


def find_status_id(doctype: DocType, label: str, viewer: Viewer) -> int:
    """The id of the status with this label. Raises RuleBroken for an unknown one."""
    return int(doctype.record_table.by_name["status"].parse(label, viewer))


def first_status_id(doctype: DocType, meaning: str, viewer: Viewer) -> int | None:
    """The id of the first active status with this meaning."""
    picklist = status_picklist(doctype)
    meanings = viewer.lookups.meanings[picklist]
    return next((key for key in viewer.lookups.offered[picklist] if meanings[key] == meaning), None)
