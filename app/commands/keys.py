"""The commands `flask keys new|rotate`: the keys that sign cookies and encrypt PAN, Aadhaar and secrets."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click
from flask import current_app
from flask.cli import AppGroup

from app.domain.base import RuleBroken, Stamp
from app.domain.maintenance import key_rotation
from app.lib.field_encryption import Vault, generate_key, read_key
from app.lib.operator_command import operator_command
from app.web.core.request_transaction import request_transaction


def commands(readable_errors: Callable[..., Any]) -> AppGroup:
    """The group of commands; `readable_errors` shows expected errors as a sentence."""
    group = AppGroup("keys", help="Replace the keys that sign cookies and encrypt secrets.")

    @group.command("new")
    @click.argument("kind", type=click.Choice(["field", "secret"]))
    def new(kind: str) -> None:
        """Print a new key for CRM_FIELD_KEY or CRM_SECRET_KEY; it is stored nowhere."""
        click.echo(generate_key() if kind == "field" else secrets.token_urlsafe(48))

    @group.command("rotate")
    @readable_errors
    def rotate() -> None:
        """Reseal with CRM_FIELD_KEY everything sealed with an older field key. Can be stopped and run again."""
        for line in rotate_field_key(click.echo):
            click.echo(line)

    return group


def rotate_field_key(say: Callable[[str], Any]) -> list[str]:
    """Reseal everything. Returns closing sentences.

    Raises RuleBroken without an older key, or if a value is unreadable.
    """
    settings = current_app.config["CRM"]
    if not settings.field_keys_old:
        raise RuleBroken(
            "There is no key to replace. Put the key used so far into CRM_FIELD_KEYS_OLD and a new one "
            f"({operator_command('keys new field')}) into CRM_FIELD_KEY, restart all servers and workers, and run this "
            "command again."
        )
    vault: Vault = current_app.extensions["vault"]
    stamp = Stamp(None, datetime.now(UTC))
    for former in reversed(settings.field_keys_old):
        with request_transaction() as session:
            key_rotation.keep_former(session, read_key(former), vault, stamp)
    with request_transaction() as session:
        key_rotation.reseal_retired_keys(session, vault)
    unreadable = [each for table in key_rotation.sealed_columns() for each in _seal_table(table, vault, say)]
    if unreadable:
        raise RuleBroken(
            f"{len(unreadable)} rows hold a value that none of the keys opens: {', '.join(unreadable[:20])}. "
            "Everything else is under the new key. Add the key that they were sealed with to CRM_FIELD_KEYS_OLD and "
            "run this command again, or enter these values anew; until then keep the older keys."
        )
    with request_transaction() as session:
        if rest := list(key_rotation.unrotated(session, vault)):
            raise RuleBroken(
                f"Meanwhile a server without the new key has sealed values: {', '.join(rest)}. Give every server and "
                "worker the new CRM_FIELD_KEY, restart them, and run this command again."
            )
        key_rotation.forget_older(session)
    return ["Every value is under the new key. Now remove CRM_FIELD_KEYS_OLD everywhere and restart."]


def _seal_table(table: Any, vault: Vault, say: Callable[[str], Any]) -> list[str]:
    """Reseal a table, one transaction per chunk. Returns the rows that could not be read."""
    after: int | None = 0
    done, changed = 0, 0
    unreadable: list[str] = []
    while after is not None:
        with request_transaction() as session:
            after, progress = key_rotation.seal_chunk(session, table, after, vault)
        done, changed = done + progress.rows, changed + progress.changed
        unreadable += progress.unreadable
    say(f"{table.name}: {done} rows, {changed} sealed anew")
    return unreadable
