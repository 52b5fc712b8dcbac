"""The clients of the accounts in this process: created from an account's settings, and again when these change."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flask import current_app
from sqlalchemy.orm import Session

from app.channels.base import ChannelError, DeliveryUnknown
from app.channels.console_provider import ConsoleProvider
from app.channels.provider import Provider, ProviderKind
from app.channels.provider_registry import KINDS
from app.domain.messaging import channel_accounts
from app.domain.messaging.channel_accounts import ChannelAccount
from app.file_store_and_vault import vault
from app.lib.field_encryption import VaultError
from app.outbox.delivery_engine import DeliveryResult, NotSent

#: The path to which providers report; the token identifies the account.
HOOK_PATH = "/hooks/{channel}/{token}"
UNKNOWN_KIND = "This version of the CRM doesn't know this kind of account."
UNREADABLE_SECRETS = "The secrets of this account can't be read. Please enter them again."
#: Numbers and addresses in providers' texts.
_PERSONAL = re.compile(r"(?<!\d)\+?\d(?:[ ()-]?\d){6,40}|(?<![^\s@<>\"'])[^\s@<>\"']{1,64}@[^\s@<>\"']{1,255}")


class NoProvider(Exception):
    """The account can't be used; the text is a sentence that says why."""


@dataclass(frozen=True)
class _Made:
    version: int
    provider: Provider


def kind_of(account: ChannelAccount) -> ProviderKind:
    """The kind of an account. Raises NoProvider if this version doesn't have it."""
    kind = KINDS.get(account.kind)
    if kind is None:
        raise NoProvider(UNKNOWN_KIND)
    return kind


def provider_of(account: ChannelAccount) -> Provider:
    """The client of an account. Raises NoProvider."""
    made: dict[int, _Made] = current_app.extensions.setdefault("crm_providers", {})
    found = made.get(account.id)
    if found is None or found.version != account.version:
        found = made[account.id] = _Made(account.version, make_client(kind_of(account), _values(account)))
        if isinstance(found.provider, ConsoleProvider):
            found.provider.open_file = current_app.extensions["crm_files"].open
    return found.provider


def make_client(kind: ProviderKind, values: Mapping[str, str]) -> Provider:
    """A client from settings. Raises NoProvider."""
    url = current_app.config["CRM"].provider_urls.get(kind.name)
    try:
        return kind.make(dict(values) | ({"base_url": url} if url else {}))
    except ValueError as wrong:
        raise NoProvider(str(wrong)) from wrong


def _values(account: ChannelAccount) -> dict[str, str]:
    try:
        return channel_accounts.values_of(account, vault())
    except VaultError as error:
        raise NoProvider(UNREADABLE_SECRETS) from error


def client_of(session: Session, account_id: int | None, gone: str) -> Provider:
    """The client of an account. Raises NotSent permanently: it no longer exists, or can't be used."""
    account = session.get(ChannelAccount, account_id) if account_id else None
    try:
        if account is None:
            raise NoProvider(gone)
        return provider_of(account)
    except NoProvider as error:
        raise NotSent(DeliveryResult("failed", str(error), was_attempted=False)) from error


@contextmanager
def repeatable() -> Iterator[None]:
    """Inside, any error means "not done", because a repetition has no effect; its text has no personal numbers."""
    try:
        yield
    except DeliveryUnknown as error:
        raise ChannelError(impersonal(error)) from error
    except ChannelError as error:
        raise ChannelError(impersonal(error), permanent=error.permanent) from error


def hook_url(account: ChannelAccount, channel: str) -> str:
    """The public address at which the provider reports what happens on a channel."""
    token = channel_accounts.token_of(account, vault())
    return str(current_app.config["CRM"].public_url) + HOOK_PATH.format(channel=channel, token=token)


def impersonal(sentence: Any) -> str:
    """A provider's text without numbers and addresses of people, at most 300 characters."""
    return _PERSONAL.sub("…", str(sentence)[:2000])[:300]
