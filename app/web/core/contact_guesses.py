"""Numbers and addresses that a person types, where the answer would tell who sees them masked that a guess is right."""

from __future__ import annotations

from flask_babel import gettext as _

from app.domain.base import RuleBroken
from app.web.core.fields import Viewer


def sees_unmasked(channel: str, viewer: Viewer) -> bool:
    """Whether the person sees the numbers (sms, whatsapp, voice) or addresses (email) of a channel unmasked."""
    return viewer.person.mask("email" if channel == "email" else "mobile") == "full"


def refuse(channel: str, field: str, viewer: Viewer) -> None:
    """Raise RuleBroken for what was typed into `field` by who sees the numbers or addresses of the channel masked.

    What is sent to it would show up in the conversation, and what is noted of it beside the record, of whose it is.
    """
    if not sees_unmasked(channel, viewer):
        text = _(
            "You see numbers and addresses masked, so please leave this one out and choose the lead or customer: "
            "theirs is taken."
        )
        raise RuleBroken(text, field)
