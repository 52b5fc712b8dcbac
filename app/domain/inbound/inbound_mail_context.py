"""What processing an incoming email needs besides the email: the account, services and the time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from app.domain.base import Stamp
from app.domain.messaging.channel_accounts import ChannelAccount
from app.lib.field_encryption import Vault
from app.ops.storage.file_store import FileStore


@dataclass(frozen=True)
class InboundMailContext:
    """The account, services and time for processing an email."""

    account: ChannelAccount
    #: The settings of the account.
    values: Mapping[str, str]
    #: The account that sends replies: its conversations are those to which the emails belong.
    answering: ChannelAccount
    #: Addresses of our own accounts, in lower case.
    own_addresses: frozenset[str]
    store: FileStore
    vault: Vault
    now: datetime
    #: The office's time zone.
    zone: str

    @property
    def groups(self) -> frozenset[str]:
        """Addresses of the groups that pass mail on to the account, in lower case."""
        return frozenset(self.values.get("groups", "").lower().replace(",", " ").split())

    @property
    def stamp(self) -> Stamp:
        """The system as the author, at the time of the context."""
        return Stamp(None, self.now)
