"""What pages and REST call the channels, states and purposes of messages, and their icons."""

from __future__ import annotations

from flask_babel import lazy_gettext as _l

#: Channel -> its label.
CHANNEL_WORDS = {"whatsapp": "WhatsApp", "sms": "SMS", "email": _l("Email")}
CHANNEL_ICONS = {"whatsapp": "brand-whatsapp", "sms": "message-2", "email": "mail"}
#: State of a message -> its label, on every page and over REST.
STATE_WORDS = {
    "noted": _l("Noted by hand"),
    "queued": _l("Waiting to be sent"),
    "sending": _l("Being sent"),
    "unknown": _l("Unknown whether it arrived"),
    "sent": _l("Sent"),
    "delivered": _l("Delivered"),
    "read": _l("Read"),
    "failed": _l("Not sent"),
    "canceled": _l("Canceled"),
}
#: State of an outgoing message -> (icon, tone) before its text.
SIGNS = {
    "noted": ("pencil", "teal"),
    "queued": ("clock", "gray"),
    "sending": ("clock", "gray"),
    "unknown": ("question-mark", "orange"),
    "sent": ("check", "gray"),
    "delivered": ("checks", "gray"),
    "read": ("checks", "blue"),
    "failed": ("alert-circle", "red"),
    "canceled": ("x", "gray"),
}
PURPOSE_WORDS = {"promotional": _l("Promotional"), "service": _l("Service")}


def channel_label(channel: str) -> str:
    """The label of the channel."""
    return str(CHANNEL_WORDS.get(channel, channel))


def state_label(state: str) -> str:
    """The label of a message's state."""
    return str(STATE_WORDS.get(state, state))
