"""WEBHOOKS: `watching` notes what a transaction did to records, `sending` tells those outside who want to know."""

from app.postman.sending import WAITS, Dropped, Post, left, send, take_up
from app.postman.watching import install

__all__ = ["WAITS", "Dropped", "Post", "install", "left", "send", "take_up"]
