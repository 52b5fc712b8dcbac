"""The start: serves the app, with the scheduler in the process unless CRM_SCHEDULER is off.

`python run.py` prepares the database and serves; `flask --app run` uses `create_app`. Importing this module is cheap.
"""

from __future__ import annotations

import contextlib
import fcntl
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flask import Flask

    from config import Settings

UPGRADE = "make upgrade"


class CannotStart(Exception):
    """The message is one sentence for the operator: what is wrong, and which command helps."""


def create_app() -> Flask:
    """The application, for `flask --app run`."""
    from app import create_app as create
    from config import load

    return create(load())


def main() -> int:
    """Prepare and serve. Returns 2 when the settings or the database do not allow it."""
    from config import WrongSetting, load

    try:
        settings = load()
        app = _prepared_with_addons(settings)
    except (WrongSetting, CannotStart) as error:
        print(error, file=sys.stderr)
        return 2
    serve(app, settings)
    return 0


def _prepared_with_addons(settings: Settings) -> Flask:
    from app.addons import BadAddon

    try:
        return prepare(settings)
    except BadAddon as bad:
        raise CannotStart(str(bad)) from bad


def prepare(settings: Settings) -> Flask:
    """The application, on a database with the right schema and a first admin. One process prepares at a time."""
    from app import addons
    from app import create_app as create
    from app.extensions import db

    with _start_lock(settings):
        fit_schema(settings)
        app = create(settings)
        addons.create_tables(app)
        with app.app_context():
            _create_first_admin(app, settings)
            if settings.demo:
                _load_demo()
            db.session.remove()
            db.engine.dispose()  # workers must not share a connection
    return app


def _create_first_admin(app: Flask, settings: Settings) -> None:
    from app.web.security.security_manager import ensure_admin, sync_permissions

    sync_permissions(app)
    password = ensure_admin(app, settings.admin_password)
    if password:
        print(f"First start. Sign in as admin with the password {password}  (shown only once)", flush=True)


def _load_demo() -> None:
    """Load the demo data, unless it is there already."""
    import secrets

    from app import demo
    from app.cli import load_demo
    from app.domain.base import RuleBroken

    password = secrets.token_urlsafe(9)
    with contextlib.suppress(RuleBroken):
        load_demo(demo, password)
        print(f"Demo data loaded. All demo users sign in with the password {password}", flush=True)


@contextlib.contextmanager
def _start_lock(settings: Settings) -> Iterator[None]:
    """Hold the lock by which two starts at once on one machine prepare one after the other."""
    with (settings.instance_dir / "start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# --- the schema


def fit_schema(settings: Settings) -> None:
    """Migrate an empty database or SQLite. Raises CannotStart for a MariaDB with another schema."""
    from flask_migrate import upgrade

    app = _schema_app(settings)
    with app.app_context():
        current, wanted, is_empty = _revisions()
        if current == wanted:
            return
        if not is_empty and not settings.database_url.startswith("sqlite"):
            raise CannotStart(
                f"The database has schema {_revision_names(current)}, this version needs {_revision_names(wanted)}. "
                f"Stop all servers, then run: {UPGRADE}"
            )
        upgrade(revision="heads")


def _schema_app(settings: Settings) -> Any:
    """A minimal application for Alembic: the full one reads tables that may not exist yet."""
    from flask import Flask

    import config
    from app import addons
    from app.extensions import db, migrate

    app = Flask("schema")
    app.config.update(config.flask_config(settings))
    db.init_app(app)
    migrate.init_app(app, db, directory=str(config.ROOT / "migrations"))
    addons.add_revisions(migrate)
    return app


def _revisions() -> tuple[set[str], set[str], bool]:
    """The database's schema revisions, those of this version, and whether the database is empty."""
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from sqlalchemy import inspect

    from app.extensions import db, migrate

    script = ScriptDirectory.from_config(migrate.get_config())
    with db.engine.connect() as connection:
        current = set(MigrationContext.configure(connection).get_current_heads())
        is_empty = not inspect(connection).get_table_names()
    unknown = current - {revision.revision for revision in script.walk_revisions()}
    if unknown:
        raise CannotStart(
            f"The database has schema {_revision_names(unknown)}, which this version does not know: "
            "it was used by a newer one, or with an add-on that CRM_ADDONS no longer names. "
            "Install that version, or restore a backup made before the upgrade; name the add-on again, "
            "and see docs/extend.md for how to remove it"
        )
    return current, set(script.get_heads()), is_empty


def _revision_names(revisions: set[str]) -> str:
    return ", ".join(sorted(revisions)) or "none"


# --- serving


def serve(app: Flask, settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl+C. The schedule runs in the workers, never in their parent."""
    from app import job_runner, jobs
    from app.ops import queue
    from app.ops import server as gunicorn
    from app.web.realtime import live_events

    schedules: list[job_runner.Scheduler] = []

    def on_start() -> None:
        if schedule := jobs.start(app):
            schedules.append(schedule)

    def on_stop() -> None:
        live_events.close()
        calls = threading.Thread(target=queue.stop, daemon=True)
        calls.start()
        for schedule in schedules:
            schedule.stop()
        calls.join()

    print(
        f"{settings.brand} is running at {settings.public_url} (listening on {settings.host}:{settings.port})",
        flush=True,
    )
    hooks = gunicorn.Hooks(after_fork=lambda: _drop_connections(app), on_start=on_start, on_stop=on_stop)
    gunicorn.serve(app, f"{settings.host}:{settings.port}", settings.workers, settings.threads, hooks)


def _drop_connections(app: Flask) -> None:
    """Drop the connections of the parent process without closing them."""
    from app.extensions import db

    with app.app_context():
        db.engine.dispose(close=False)


if __name__ == "__main__":
    sys.exit(main())
