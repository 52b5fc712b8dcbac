"""What people ask about their personal data, in words."""

from __future__ import annotations

from flask_babel import lazy_gettext as _l

KIND_WORDS = {
    "access": _l("Access"),
    "correction": _l("Correction"),
    "erasure": _l("Erasure"),
    "grievance": _l("Grievance"),
    "nomination": _l("Nomination"),
}
