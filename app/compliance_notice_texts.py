"""The texts of notifications about compliance: orders without evidence, data requests and data breaches."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext

from app.lib.digit_grouping import GroupedInt

#: (what, stage) -> the text; `name` says which request or breach.
_TEXTS: dict[tuple[str, str], Any] = {
    ("request", "warning"): _l("Data request “%(name)s” has to be answered by %(due)s."),
    ("request", "late"): _l("Data request “%(name)s” had to be answered by %(due)s and is still open."),
    ("request", "full copy"): _l("A copy with values in full is made for data request “%(name)s”."),
    ("breach", "cert_in warning"): _l("CERT-In has to be told of data breach “%(name)s” by %(due)s."),
    ("breach", "cert_in late"): _l("CERT-In had to be told of data breach “%(name)s” by %(due)s."),
    ("breach", "board warning"): _l("The Data Protection Board has to be told of data breach “%(name)s” by %(due)s."),
    ("breach", "board late"): _l("The Data Protection Board had to be told of data breach “%(name)s” by %(due)s."),
}


def compliance(payload: dict[str, Any]) -> str:
    """What has to be done."""
    if payload.get("what") == "orders":
        return str(
            ngettext(
                "%(num)s order by telephone has no evidence. Please find its recording, or link what proves it.",
                "%(num)s orders by telephone have no evidence. Please find their recordings, or link what proves them.",
                GroupedInt(payload.get("orders") or 0),
            )
        )
    text = _TEXTS.get((str(payload.get("what")), str(payload.get("stage"))))
    if text is None:
        return str(_("Please check the registers of compliance."))
    return str(text) % {"name": payload.get("name", ""), "due": payload.get("due", "")}
