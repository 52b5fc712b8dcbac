"""The commands of the operator: `flask api-key|customer|audit|backup|demo|job|worker …`."""

from __future__ import annotations

import contextlib
import functools
import secrets
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import click
from flask import Flask, current_app
from flask.cli import AppGroup, with_appcontext
from flask_appbuilder.exceptions import PasswordComplexityValidationError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session
from werkzeug.security import generate_password_hash

from app import access, self_test
from app.commands import (
    backups,
    channels,
    custom_fields,
    exports_and_imports,
    files,
    job_commands,
    keys,
    mail,
    predecessor_import,
    reports,
    retention,
    rollups,
    users,
)
from app.domain import customer_keys
from app.domain.audit_log import audit, audit_chain
from app.domain.base import RuleBroken, Stamp
from app.extensions import db, migrate
from app.lib.field_encryption import Vault, read_key
from app.lib.operator_command import operator_command
from app.lib.product_version import product_version
from app.ops.database import connections, migration_guard, operator_advice
from app.ops.database.migration_guard import MigrationRefused
from app.ops.monitoring import process_health
from app.ops.processes.heartbeat import Heartbeat
from app.ops.queues import queue, workers
from app.ops.queues.worker_group import ChildFunction, WorkerGroup
from app.ops.storage.audit_head_file import AuditHeadFile
from app.outbox import backlog
from app.web.core import unique_errors
from app.web.core.request_transaction import request_transaction
from app.web.core.view_registry import registered
from app.web.realtime import live_events
from app.web.security import api_keys, passwords
from app.web.settings import audit_texts
from app.web.transfer import import_worker


def register(app: Flask, jobs: Callable[[], Any] | None = None, demo: Callable[[], Any] | None = None) -> None:
    """Add the commands to the app.

    `jobs` returns the module app.jobs, `demo` the one with `load(session, now,
    leads=, vault=, password_for=)`. They are callables so that both are imported only when used.
    """
    schema: Any = app.cli.commands["db"]
    schema.around = readable_errors
    app.cli.add_command(users.commands(readable_errors))
    app.cli.add_command(_key_commands())
    app.cli.add_command(_customer_commands())
    app.cli.add_command(_audit_commands())
    app.cli.add_command(channels.commands(readable_errors))
    app.cli.add_command(mail.commands(readable_errors))
    app.cli.add_command(files.commands(readable_errors))
    app.cli.add_command(keys.commands(readable_errors))
    app.cli.add_command(retention.commands(readable_errors))
    app.cli.add_command(rollups.commands(readable_errors))
    app.cli.add_command(custom_fields.commands(readable_errors))
    app.cli.add_command(reports.commands(readable_errors))
    app.cli.add_command(backups.commands())
    app.cli.add_command(version_command)
    exports_and_imports.register(app.cli, readable_errors)
    predecessor_import.register(app.cli, readable_errors)
    app.cli.add_command(worker)
    app.cli.add_command(self_test_command)
    if demo is not None:
        app.cli.add_command(_demo_commands(demo))
    if jobs is not None:
        app.cli.add_command(job_commands.commands(jobs, readable_errors))


def readable_errors(function: Callable[..., Any]) -> Callable[..., Any]:
    """Report an expected error as one sentence on stderr, with exit code 1."""

    @functools.wraps(function)
    def command(*args: Any, **kwargs: Any) -> Any:
        with _in_sentences():
            _refuse_half_restored()
            return function(*args, **kwargs)

    return command


def _refuse_half_restored() -> None:
    """Raise MigrationRefused while only a part of a backup is in the database: no command reads or changes that.

    Commands that need no database go on without one, and the others say themselves that it is away.
    """
    with contextlib.suppress(DBAPIError), db.engine.connect() as connection:
        migration_guard.refuse_half_restored(connection)


@contextlib.contextmanager
def _in_sentences() -> Iterator[None]:
    try:
        yield
    except (RuleBroken, PasswordComplexityValidationError, MigrationRefused) as broken:
        raise click.ClickException(str(getattr(broken, "message", broken))) from broken
    except IntegrityError as error:
        raise click.ClickException(unique_errors.describe_conflict(error)[1]) from error
    except DBAPIError as error:
        if (sentence := operator_advice.of(error)) is None:
            raise
        raise click.ClickException(sentence) from error


def watch(context: click.Context, app: Flask) -> None:
    """Report expected errors of the command that runs in a sentence, also if a package brings it (`flask fab …`).

    At its end, it signs off from the database. One of these logs a traceback for each permission instead, and says that
    all is well: it needs the database.
    """
    context.call_on_close(lambda: _sign_off(app))
    context.with_resource(_in_sentences())
    if context.info_name == "create-permissions":
        with app.app_context():
            db.session.execute(text("SELECT 1"))


def _sign_off(app: Flask) -> None:
    """Close the connections: MariaDB would warn in its log of each that was only dropped."""
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


@click.command("version")
@with_appcontext
def version_command() -> None:
    """Print the version of the product, and the schema that it needs."""
    schema = ", ".join(sorted(migrate.heads()))
    click.echo(f"Eshin Broking CRM {product_version()}, schema {schema}")


# --- keys


def _key_commands() -> AppGroup:
    group = AppGroup("api-key", help="Create API keys.")

    @group.command("create")
    @click.option("--user", "username", required=True, help="User whose permissions the key has.")
    @click.option("--name", default="command line", show_default=True, help="What will use the key.")
    @click.option(
        "--scope", multiple=True, help=("Limit to a module or module.verb, such as Leads.read. Can be repeated.")
    )
    @readable_errors
    def create(username: str, name: str, scope: tuple[str, ...]) -> None:
        """Create an API key. The secret is printed once."""
        key = api_keys.create_key(
            users.find_user(username).id, api_keys.ApiKeyRequest(name, list(scope)), datetime.now(UTC)
        )
        click.echo(f"key: {key.key}\nsecret: {key.secret}\nAuthorization: token {key.key}:{key.secret}")

    return group


# --- customers


def _customer_commands() -> AppGroup:
    group = AppGroup("customer", help="Find customers that share a number or identity.")

    @group.command("duplicates")
    @readable_errors
    def duplicates() -> None:
        """List customers whose mobile number, PAN or Aadhaar another customer has too.

        Such customers are older than the rule that one customer has a number. They stay as they are until somebody
        changes or deletes one of them; then this command lets the other one have the number for good.
        """
        with request_transaction() as session:
            customer_keys.assign_bulk(session)
            found = list(customer_keys.find_duplicates(session))
        for each in found:
            click.echo(f"{each.number}\t{each.field}\talso {each.holder}")
        click.echo(f"{len(found)} shared values." if found else "No two customers share a number or identity.")

    return group


def _demo_commands(demo: Callable[[], Any]) -> AppGroup:
    group = AppGroup("demo", help="Load demo data.")

    @group.command("load")
    @click.option("--leads", type=click.IntRange(1, 200_000), default=400, show_default=True)
    @click.option("--password", help="Password of all demo users. If omitted, a random one is generated and printed.")
    @readable_errors
    def load(leads: int, password: str | None) -> None:
        """Fill an empty database with people, leads, tickets and calls."""
        plain = password or secrets.token_urlsafe(9)
        counts = load_demo(demo(), plain, leads)
        click.echo("\n".join(f"{table}: {count}" for table, count in counts.items()))
        if not password:
            click.echo(f"All demo users sign in with the password {plain}")
        names = ", ".join(f"{name} ({role})" for role, name in demo().one_of_each_role().items())
        click.echo(f"Sign in as {names}. All users: {operator_command('user list')}")

    return group


def load_demo(demo: Any, password: str, leads: int = 400) -> dict[str, int]:
    """Load the demo data; all its users sign in with `password`. Returns the number of rows by table."""
    passwords.refuse_weak_password(password)
    hashed = generate_password_hash(password)  # the same for all: one hash for each would take seconds
    vault = Vault(read_key(current_app.config["CRM"].field_key))
    with request_transaction() as session:
        counts: dict[str, int] = demo.load(
            session, datetime.now(UTC), leads=leads, vault=vault, password_for=lambda _name: hashed
        )
        return counts | _load_declared_rows(session)


def _load_declared_rows(session: Session) -> dict[str, int]:
    """Insert the `demo_rows` that screens declare, as created by the system now.

    Returns the number of rows by table.
    """
    made = {}
    for model, screen in registered("screens").items():
        for values in screen.demo_rows:
            row = model(**values)
            if hasattr(row, "stamp"):
                row.stamp(Stamp(None, datetime.now(UTC)))
            session.add(row)
        if screen.demo_rows:
            made[model.__tablename__] = len(screen.demo_rows)
    return made


# --- the audit log


def _audit_commands() -> AppGroup:
    group = AppGroup("audit", help="Check the audit log.")

    @group.command("verify")
    @click.option("--head", "noted", help="COUNT:HASH noted elsewhere, such as in a backup's manifest.")
    @click.option("--renew-record", help="Begin a new record of heads, for this reason (after restoring a backup).")
    @readable_errors
    def verify(noted: str | None, renew_record: str | None) -> None:
        """Check the whole audit log; exits with 1 if it was altered."""
        record = AuditHeadFile(current_app.config["CRM"].instance_dir)
        if renew_record:
            _renew(record, renew_record)
        heads = [audit_chain.ChainHead(*head) for head in record.heads()] + ([_head(noted)] if noted else [])
        with access.as_system(db.session()) as session:
            report = audit_chain.verify(session, heads)
        if not report.is_our_key or report.broken:
            raise click.ClickException("\n".join(audit_texts.report_lines(report)))
        record.note(datetime.now(UTC), report.head)
        click.echo("\n".join([*audit_texts.report_lines(report), f"head: {report.head.seq}:{report.head.hash}"]))

    return group


def _head(text: str) -> audit_chain.ChainHead:
    count, _colon, digest = text.strip().partition(":")
    if not (count.isascii() and count.isdigit() and len(count) < 12 and len(digest) == 64):
        raise RuleBroken(f"A head looks like 1234:9f86d0…, as `{operator_command('audit verify')}` prints it.")
    return audit_chain.ChainHead(int(count), digest)


def _renew(record: AuditHeadFile, reason: str) -> None:
    """Archive the record of the log's heads, and say so in the audit log itself."""
    aside = record.renew()
    with request_transaction() as session:
        audit.write(
            session,
            "audit record renewed",
            None,
            datetime.now(UTC),
            by="command line",
            reason=reason[:500],
            former=aside.name if aside else None,
        )


@click.command("self-test")
@with_appcontext
@readable_errors
def self_test_command() -> None:
    """Check everything that the CRM needs; exits with 1 if something has failed."""
    found = self_test.run()
    for name, each in found.items():
        click.echo(f"{each.state:9} {name:13} {each.sentence}" + (f" {each.advice}" if each.advice else ""))
    if self_test.worst(found) == process_health.FAILED:
        raise click.ClickException("Something has failed. What to do is said beside it.")


@click.command("worker")
@click.argument("queues", nargs=-1, type=click.Choice(list(queue.TIMEOUT_SECONDS)))
@with_appcontext
@readable_errors
def worker(queues: tuple[str, ...]) -> None:
    """Run workers for these queues (default: all) until stopped."""
    if current_app.config["CRM"].redis_url is None:
        raise RuleBroken(
            "CRM_REDIS_URL is not set. Without Redis, the server process runs the queue itself and needs no workers."
        )
    db.session.remove()
    db.engine.dispose()  # forked workers must not share a connection
    worker_group(current_app, queues).run()


def worker_group(
    app: Flask, queues: tuple[str, ...], beside: Mapping[ChildFunction, Heartbeat] | None = None
) -> WorkerGroup:
    """The workers of these queues (default: all), and what is to run beside them, with a heartbeat.

    Needs an app context.
    """
    counts = queue.settings().workers
    worker_counts = {name: counts[name] for name in queues or queue.TIMEOUT_SECONDS}
    connections.limit_background_waits()
    hooks = workers.WorkerHooks(backlog.begin_after_outage, import_worker.look_for_lost)
    functions, idle = workers.child_functions(worker_counts, app.config["CRM"].redis_url, hooks)
    return WorkerGroup([*(beside or ()), *functions], lambda: end_child(app), idle, beside)


def end_child(app: Flask) -> None:
    """What a process does that ends without exit handlers: send its events, and sign off from the database.

    MariaDB would warn in its log of each connection that was only dropped.
    """
    live_events.flush()
    with app.app_context():
        db.engine.dispose()
