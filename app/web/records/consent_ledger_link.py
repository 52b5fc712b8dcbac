"""The link from a person's record to their part of the consent ledger."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _

from app.web.core.viewer import Viewer


def consents_action(kind: str, row: dict[str, Any], viewer: Viewer) -> list[dict[str, Any]]:
    """The entry in the record page's menu, for people who read messages. `kind`: lead or customer."""
    if not viewer.person.may("Messages", "read"):
        return []
    url = f"/consents/of/{kind}/{row['id']}"
    return [{"label": _("Consents"), "url": url, "method": "get", "icon": "shield-check", "confirm": None}]
