"""The times until which a notice or task can be snoozed, as pages offer them; `app/domain/snooze.py` counts them."""

from __future__ import annotations

from typing import Any

from flask_babel import lazy_gettext as _l

#: Choice -> label.
CHOICES: dict[str, Any] = {
    "15m": _l("15 min"),
    "1h": _l("1 hour"),
    "3h": _l("3 hours"),
    "tomorrow": _l("Tomorrow 9:00"),
}
#: For the template of notices.
GLOBALS = {"snooze_choices": CHOICES}
