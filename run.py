"""The entry point: serves the app, with the scheduler unless CRM_SCHEDULER is off; or runs the roles in CRM_ROLE.

`python run.py` prepares the database and serves; `flask --app run` uses `create_app`. Importing this module is cheap.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from flask import Flask

    from app.job_scheduler import Scheduler
    from config import Settings


class CannotStart(Exception):
    """The message is one sentence for the operator: what is wrong, and which command helps."""


def create_app() -> Flask:
    """The application, for `flask --app run`; whatever keeps it from starting is one sentence there, too."""
    import click

    from config import WrongSetting

    context = click.get_current_context(silent=True)
    try:
        settings, unknown = _load()
        for warning in unknown:
            print(warning, file=sys.stderr, flush=True)
        if context is not None:
            from app.lib.operator_command import operator_command

            context.find_root().info_name = operator_command("").strip()  # in “Usage: crm backup …”
        with _imports():
            from app import cli
            from app import create_app as create
        app = create(settings)
        if context is not None:
            cli.watch(context, app)
        return app
    except WrongSetting as wrong:
        if context is None:
            raise
        raise click.ClickException(str(wrong)) from wrong
    except Exception as error:
        if context is None or (sentence := _operator_sentence(error)) is None:
            raise
        raise click.ClickException(sentence) from error


def _operator_sentence(error: Exception) -> str | None:
    """What the operator can do about what keeps the CRM from starting; None for a bug."""
    from app.addons import BadAddon
    from app.ops.database import operator_advice

    return str(error) if isinstance(error, BadAddon) else operator_advice.of(error)


def _load() -> tuple[Settings, list[str]]:
    """The settings, and a sentence about each unknown CRM_… variable."""
    from config import load, unknown_sentences

    settings = load()
    return settings, unknown_sentences(settings)


def _say(sentence: object, stream: TextIO, settings: Settings | None = None) -> None:
    """Print a line of the start; in a log, it has the time."""
    with _imports():
        from app.ops.monitoring import request_log

    request_log.print_line(str(sentence), stream, settings is not None and settings.log_json)


@contextlib.contextmanager
def _imports() -> Iterator[None]:
    """For what is imported, which stays: the garbage collector looks through it neither meanwhile nor later.

    Without this, a start takes half as long again, for looking through modules that grow all the time. Libraries get no
    docstrings.
    """
    import library_docstrings

    was_enabled = gc.isenabled()
    gc.disable()
    try:
        with library_docstrings.left_out():
            yield
    finally:
        gc.collect()
        gc.freeze()
        if was_enabled:
            gc.enable()


def main(arguments: list[str] | None = None) -> int:
    """Prepare and serve; with the argument “prepare” only the former.

    Returns 2 for invalid settings or an unusable database.
    """
    from config import WrongSetting

    settings = None
    try:
        settings, unknown = _load()
        for warning in unknown:
            _say(warning, sys.stderr, settings)
        app = _prepared_with_addons(settings)
    except (WrongSetting, CannotStart) as error:
        _say(error, sys.stderr, settings)
        return 2
    except Exception as error:
        if (sentence := _operator_sentence(error)) is None:
            raise
        _say(sentence, sys.stderr, settings)
        return 2
    if arguments == ["prepare"]:
        return 0
    serve(app, settings)
    return 0


def _prepared_with_addons(settings: Settings) -> Flask:
    with _imports():
        from app.addons import BadAddon

    try:
        return prepare(settings)
    except BadAddon as bad:
        raise CannotStart(str(bad)) from bad


def prepare(settings: Settings) -> Flask:
    """The application, on a database with the right schema and a first admin. One process prepares at a time."""
    with _imports():
        from app import addons
        from app import create_app as create
        from app.extensions import db, migrate
        from app.ops.processes import prefork

    with _start_lock(settings):
        trouble, heads = json.loads(prefork.run_forked(lambda: _fit_apart(settings)))
        if trouble:
            raise CannotStart(trouble)
        app = create(settings)
        migrate.remember_heads(app, frozenset(heads))
        addons.create_tables(app)
        with app.app_context():
            _refuse_other_key()
            _create_first_admin(app, settings)
            if settings.demo:
                _load_demo(settings)
            db.session.remove()
            db.engine.dispose()  # workers must not share a connection
    return app


def _create_first_admin(app: Flask, settings: Settings) -> None:
    from flask_appbuilder.exceptions import PasswordComplexityValidationError

    from app.web.security.fab_permissions import sync_permissions
    from app.web.security.first_admin import ensure_admin

    sync_permissions(app)
    try:
        password = ensure_admin(app, settings.admin_password)
    except PasswordComplexityValidationError as weak:
        raise CannotStart(f"CRM_ADMIN_PASSWORD can't be the password of the first admin. {weak}") from weak
    if password:
        _say(f"First start. Sign in as admin with the password {password}  (shown only once)", sys.stdout, settings)


def _load_demo(settings: Settings) -> None:
    """Load the demo data, unless it is already there."""
    import secrets

    from app import demo
    from app.cli import load_demo
    from app.domain.base import RuleBroken

    password = secrets.token_urlsafe(9)
    with contextlib.suppress(RuleBroken):
        load_demo(demo, password)
        _say(f"Demo data loaded. All demo users sign in with the password {password}", sys.stdout, settings)


def _refuse_other_key() -> None:
    """Raise CannotStart on a database whose audit log and secrets were sealed with another field key."""
    from app.domain.audit_log import audit_chain
    from app.extensions import db

    if not audit_chain.is_our_key(db.session()):
        raise CannotStart(
            "This server has another CRM_FIELD_KEY than the one with which the database was made, so it could read "
            "no PAN and Aadhaar. Give it the key of the other servers, or put back the file field_key of its instance "
            "folder."
        )


@contextlib.contextmanager
def _start_lock(settings: Settings) -> Iterator[None]:
    """Hold the lock that serializes simultaneous starts, on one machine or on one database."""
    from sqlalchemy import NullPool, create_engine
    from sqlalchemy.engine import make_url

    from app.ops.database import connections, migration_guard

    url = make_url(settings.database_url)
    name = f"{url.database}.start" if url.get_backend_name() == "sqlite" and url.database else None
    with contextlib.ExitStack() as held:
        for path in filter(None, (str(settings.instance_dir / "start.lock"), name)):
            fcntl.flock(held.enter_context(open(path, "w")), fcntl.LOCK_EX)
        engine = create_engine(settings.database_url, poolclass=NullPool)
        if url.get_backend_name() != "sqlite":
            connections.limit_exchanges(engine, lambda: migration_guard.ANSWER_SECONDS)
        try:
            held.enter_context(migration_guard.locked(engine, "crm-start"))
        except migration_guard.MigrationRefused as trouble:
            raise CannotStart(str(trouble)) from trouble
        yield


# --- the schema


def _fit_apart(settings: Settings) -> str:
    """JSON of (what the operator can do, else "", and the revisions that this version needs), from a separate process.

    So the process that serves never loads Alembic.
    """
    from app.extensions import migrate

    trouble = _schema_trouble(settings)
    if trouble:
        return json.dumps((trouble, []))
    with _schema_app(settings).app_context():
        return json.dumps(("", sorted(migrate.heads())))


def _schema_trouble(settings: Settings) -> str:
    """Update the schema. Returns what the operator can do if that isn't possible, else ""."""
    from app.addons import BadAddon

    try:
        fit_schema(settings)
    except (CannotStart, BadAddon) as error:
        return str(error)
    except Exception as error:
        if (sentence := _operator_sentence(error)) is None:
            raise
        return sentence
    return ""


def fit_schema(settings: Settings) -> None:
    """Migrate an empty database or SQLite. Raises CannotStart for a MariaDB with another schema."""
    from alembic import command

    from app.extensions import migrate
    from app.lib.operator_command import upgrade_command
    from app.ops.database import migration_guard

    app = _schema_app(settings)
    with app.app_context():
        current, wanted, state = _revisions()
        if current == wanted and state != "marked":
            return
        if state == "used" and not settings.database_url.startswith("sqlite"):
            raise CannotStart(
                f"The database has schema {_revision_names(current)}, this version needs {_revision_names(wanted)}. "
                f"Stop all servers, then run: {upgrade_command()}"
            )
        try:
            command.upgrade(migrate.get_config(), "heads")
        except migration_guard.MigrationRefused as trouble:
            raise CannotStart(str(trouble)) from trouble


def _schema_app(settings: Settings) -> Any:
    """A minimal application for Alembic: the full one reads tables that may not exist yet."""
    from flask import Flask

    import config
    import flask_config
    from app import addons
    from app.extensions import db, migrate

    app = Flask("schema")
    app.config.update(flask_config.flask_config(settings))
    db.init_app(app)
    migrate.init_app(app, db, directory=str(config.ROOT / "migrations"))
    addons.add_revisions(migrate)
    return app


def _revisions() -> tuple[set[str], set[str], str]:
    """The database's schema revisions, those of this version, and its state.

    empty, used, or marked: a migration was interrupted, see `app.ops.database.migration_guard`.
    """
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from sqlalchemy import inspect

    from app.extensions import db, migrate
    from app.ops.database import migration_guard

    script = ScriptDirectory.from_config(migrate.get_config())
    with db.engine.connect() as connection:
        current = set(MigrationContext.configure(connection).get_current_heads())
        state = "used" if inspect(connection).get_table_names() else "empty"
        state = "marked" if migration_guard.marker(connection) else state
    unknown = current - {revision.revision for revision in script.walk_revisions()}
    if unknown:
        raise CannotStart(
            f"The database has schema {_revision_names(unknown)}, which this version does not know: "
            "it was used by a newer one, or with an add-on that CRM_ADDONS no longer names. "
            "Install that version, or restore a backup made before the upgrade; name the add-on again, "
            "and see docs/extend.md for how to remove it"
        )
    return current, set(script.get_heads()), state


def _revision_names(revisions: set[str]) -> str:
    return ", ".join(sorted(revisions)) or "none"


# --- serving


def serve(app: Flask, settings: Settings) -> None:
    """Run the roles until SIGTERM or Ctrl+C. The scheduler runs in the workers, never in their parent."""
    from app import jobs, late_jobs, warm_up
    from app.ops.http_server import server as gunicorn
    from app.ops.monitoring import process_metrics, prometheus_metrics, request_log
    from app.ops.queues import queue
    from app.web.realtime import live_events

    request_log.install(settings.log_json)
    schedule = jobs.schedule_of(app)
    app.url_map.update()  # otherwise each worker would do so in its first request
    warm_up.warm_up(app)
    prometheus_metrics.prepare(settings.instance_dir, settings.server_name)
    _drop_connections(app)
    if not {"web", "sockets"} & {*settings.roles}:
        _say(f"{settings.brand}: {' and '.join(settings.roles)} running", sys.stdout, settings)
        _run_apart(app, schedule)
        return

    has_queue, is_apart = bool(settings.run_workers and settings.redis_url), settings.runs_schedule_beside
    own_schedule = None if is_apart else schedule

    def on_start() -> None:
        if own_schedule:
            own_schedule.start()

    def on_stop() -> None:
        live_events.close()
        calls = threading.Thread(target=queue.stop, daemon=True)
        calls.start()
        if own_schedule:
            own_schedule.stop()
        process_metrics.flush(app)
        calls.join()

    place = f"{settings.public_url} (listening on {settings.host}:{settings.port})"
    _say(f"{settings.brand} is running at {place}", sys.stdout, settings)
    beside = (lambda: _run_apart(app, schedule)) if has_queue or (is_apart and schedule) else None
    every_second = process_metrics.ticker(app, late_jobs.watch(app))
    hooks = gunicorn.Hooks(lambda slot: _begin_worker(app, slot), on_start, on_stop, beside, every_second)
    gunicorn.serve(app, f"{settings.host}:{settings.port}", settings.workers, settings.threads, hooks)


def _begin_worker(app: Flask, slot: int) -> None:
    from app.ops.database import connections
    from app.web.realtime import live_events

    connections.limit_background_waits()
    live_events.name_sessions(slot)


def _run_apart(app: Flask, schedule: Scheduler | None) -> None:
    """Run the workers of all queues, and the schedule if there is one, in processes of their own until told to stop."""
    from app import background_processes

    with app.app_context():
        background_processes.process_group(app, schedule).run()


def _drop_connections(app: Flask) -> None:
    """Close the connections that the start has left open, because forked processes must not share them."""
    from app.extensions import db

    with app.app_context():
        db.engine.dispose()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
