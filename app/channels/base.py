"""What every line to the outside offers: it sends plain values, and says what a refusal means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Content:
    """One message, ready to go out."""

    #: For logs, without a person's data: "user 3: notice 12".
    about: str
    #: Names the message for ever, so that the other side may know a second copy.
    key: str
    subject: str
    text: str


class ChannelError(Exception):
    """It was not sent; the message is a sentence for the person who looks at it."""

    def __init__(self, sentence: str, permanent: bool = False) -> None:
        """`permanent`: no further try can succeed."""
        super().__init__(sentence)
        self.permanent = permanent


class DeliveryUnknown(ChannelError):
    """The line broke when the message may have been taken already: it must not be sent again by itself."""


class Channel(Protocol):
    """A line to the outside; it knows no database."""

    def send(self, to: str, content: Content) -> str:
        """Send to an address of this channel; answers the provider's id. Raises ChannelError."""
