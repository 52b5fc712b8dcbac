"""The interface of a channel, and its errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class AttachedFile:
    """A file of a message."""

    #: As the receiver sees it; ASCII.
    name: str
    #: Such as text/csv.
    mime_type: str
    data: bytes


@dataclass(frozen=True)
class Content:
    """One message, ready to send."""

    #: For logs, without personal data: "user 3: notice 12".
    about: str
    #: Identifies the message, so that the receiver can recognize a second copy.
    key: str
    subject: str
    text: str
    #: Files to send with it.
    files: tuple[AttachedFile, ...] = ()
    #: The same as the text, for receivers that show HTML; empty = none.
    html: str = ""
    #: Pictures in the HTML, as cid:NAME.
    pictures: tuple[AttachedFile, ...] = ()


class ChannelError(Exception):
    """The message was not sent. The text is a sentence for the person who reads the delivery log."""

    def __init__(self, sentence: str, permanent: bool = False) -> None:
        """`permanent`: every further attempt would fail too."""
        super().__init__(sentence)
        self.permanent = permanent


class DeliveryUnknown(ChannelError):
    """The connection broke after the message may have been accepted. It must not be resent automatically."""


class Channel(Protocol):
    """A client of an outside service. Knows no database."""

    def send(self, to: str, content: Content) -> str:
        """Send to an address of this channel. Returns the provider's id. Raises ChannelError."""
