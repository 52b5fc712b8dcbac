"""WEBHOOKS: `watching` notes what a transaction did to records, `sending` tells those outside who want to know."""

from app.outbox.change_capture import install
from app.outbox.webhook_delivery import WAITS, NotToBeSent, WebhookSender, left, send, take_up

__all__ = ["WAITS", "NotToBeSent", "WebhookSender", "install", "left", "send", "take_up"]
