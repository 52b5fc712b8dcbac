"""The commands `flask mail list | again`: emails that could not be processed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click
from flask.cli import AppGroup
from sqlalchemy import select

from app import access
from app.extensions import db
from app.inbound import mail_fetch
from app.models import ChannelAccount, Mail
from app.web.core.request_transaction import request_transaction

_Command = Callable[..., Any]


def commands(readable_errors: Callable[[_Command], _Command]) -> AppGroup:
    """The group of commands; `readable_errors` reports expected errors as one sentence."""
    group = AppGroup("mail", help="Emails that could not be taken in.")

    @group.command("list")
    @click.option("--limit", type=click.IntRange(1, 10_000), default=100, help="At most so many, the newest first.")
    @readable_errors
    def list_(limit: int) -> None:
        """Print the ID, account, time, state and reason of emails that failed or were left in the mailbox."""
        query = select(Mail, ChannelAccount.name).join(ChannelAccount, ChannelAccount.id == Mail.account_id)
        query = query.where(Mail.state.in_(("failed", "refused"))).order_by(Mail.id.desc()).limit(limit)
        with access.as_system(db.session()) as session:
            for mail, name in session.execute(query):
                received = f"{mail.received_on:%Y-%m-%d %H:%M}"
                click.echo(f"{mail.id}\t{name}\t{received}\t{mail.state}\tUID {mail.uid or '-'}\t{mail.sentence or ''}")

    @group.command("again")
    @click.argument("mail_id", type=int)
    @readable_errors
    def again(mail_id: int) -> None:
        """Process a failed email again, from its original."""
        with request_transaction() as session:
            state = mail_fetch.take_again(session, mail_id, datetime.now(UTC))
        click.echo({"kept": "It was taken in.", "known": "It is here already."}.get(state, f"It is {state}."))

    return group
