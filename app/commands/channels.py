"""The commands `flask channel add | list | test`: accounts with providers of messages and calls."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy import select

from app import access
from app.channels.provider_registry import KINDS
from app.domain.base import RuleBroken, Stamp, translatable
from app.domain.messaging import channel_accounts
from app.domain.messaging.channel_accounts import AccountSettings
from app.extensions import db
from app.models import ChannelAccount
from app.outbox import provider_clients
from app.web.core.request_transaction import request_transaction
from app.web.messaging.account_checks import try_account

_Command = Callable[..., Any]


def commands(readable_errors: Callable[[_Command], _Command]) -> AppGroup:
    """The group of commands; `readable_errors` reports expected errors as one sentence."""
    group = AppGroup("channel", help="Accounts with providers of messages and calls.")

    @group.command("add")
    @click.argument("kind", type=click.Choice(sorted(KINDS)))
    @click.argument("name")
    @click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting. Can be repeated.")
    @click.option("--channel", "channels", multiple=True, help="Use it for this channel only. Can be repeated.")
    @click.option("--purpose", type=click.Choice(channel_accounts.PURPOSES), help="Use it for nothing else.")
    @click.option("--per-second", type=int, help="The most messages per second.")
    @click.option("--per-minute", type=int, help="The most messages per minute.")
    @readable_errors
    def add(kind: str, name: str, settings: tuple[str, ...], **limits: Any) -> None:
        """Add an account, and print the address at which the provider has to report."""
        _add(kind, AccountSettings(name, dict(_setting(each) for each in settings), **limits))

    @group.command("list")
    @readable_errors
    def list_() -> None:
        """Print the ID, name, kind, channels and state of every account; never its secrets."""
        with access.as_system(db.session()) as session:
            for account in session.scalars(select(ChannelAccount).order_by(ChannelAccount.name)):
                state = "on" if account.is_active else "off"
                click.echo(f"{account.id}\t{account.name}\t{account.kind}\t{','.join(account.channels)}\t{state}")

    @group.command("test")
    @click.argument("name")
    @readable_errors
    def test(name: str) -> None:
        """Try an account without sending anything."""
        click.echo(try_account(name, datetime.now(UTC)))

    return group


def _add(kind: str, wanted: AccountSettings) -> None:
    with request_transaction() as session:
        stamp = Stamp(None, datetime.now(UTC))
        account = channel_accounts.create(session, KINDS[kind], wanted, stamp, current_app.extensions["vault"])
        reporting = account.channels if KINDS[kind].has_hooks else ()
        urls = [(channel, provider_clients.hook_url(account, channel)) for channel in reporting]
        click.echo(f"Added account {account.name} with ID {account.id}.")
    for channel, url in urls:
        click.echo(f"{channel}: {url}")


def _setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise RuleBroken(translatable("A setting looks like key=value, not “%(text)s”.", text=key))
    return key.strip(), value
