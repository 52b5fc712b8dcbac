"""Tests an account with its provider, for the settings page and the command line."""

from __future__ import annotations

from datetime import datetime

from app import access
from app.channels.base import ChannelError
from app.domain.base import RuleBroken
from app.domain.messaging import channel_accounts
from app.extensions import db
from app.outbox import provider_clients
from app.outbox.provider_clients import NoProvider
from app.web.core.request_transaction import request_transaction


def try_account(name: str, now: datetime) -> str:
    """The provider's answer about the account. Raises RuleBroken with the reason if it can't be used."""
    with access.as_system(db.session()) as session:
        account = channel_accounts.find(session, name)
    try:
        sentence = provider_clients.provider_of(account).check()
    except (NoProvider, ChannelError) as error:
        sentence = provider_clients.impersonal(error)
        with request_transaction() as session:
            channel_accounts.record_error(session, account.id, sentence, now)
        raise RuleBroken(sentence) from error
    with request_transaction() as session:
        channel_accounts.record_success(session, account.id, now)
    return sentence
