"""Titles that the CRM made, in the language of their reader; they are stored in English, as REST returns them.

What is stored says its kind: a task begins with “Handle ticket: ” or “Follow up: ”, and a ticket without a summary is
called by its subjects. Titles that people have typed stay as they are.
"""

from __future__ import annotations

from flask_babel import gettext as _
from flask_babel import pgettext

from app.domain.task_closing import FOLLOW_UP, HANDLE_TICKET
from app.domain.telephony.call_outcomes import SUGGESTED_OUTCOMES
from app.domain.tickets import SUBJECTS

_SUBJECTS, _OUTCOMES = frozenset(SUBJECTS), frozenset(SUGGESTED_OUTCOMES)


def shown_title(title: str) -> str:
    """The title of a task or ticket in the language of the page, if the CRM made it."""
    if title.startswith(HANDLE_TICKET):
        return str(_("Handle ticket: %(title)s", title=_ticket(title.removeprefix(HANDLE_TICKET))))
    if title.startswith(FOLLOW_UP):
        about = title.removeprefix(FOLLOW_UP)
        return str(_("Follow up: %(name)s", name=pgettext("label", about) if about in _OUTCOMES else about))
    return _ticket(title)


def _ticket(title: str) -> str:
    """The title of a ticket: its shipped subjects translated, a summary as it was typed."""
    subjects = title.split(", ")
    if not _SUBJECTS.issuperset(subjects):
        return title
    return ", ".join(pgettext("label", each) for each in subjects)
