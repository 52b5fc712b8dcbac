"""Alembic on one metadata: ours and FAB's, on SQLite and MariaDB."""

from alembic import context
from alembic.util import CommandError
from flask import current_app
from sqlalchemy.exc import OperationalError

import app.models  # noqa: F401  (all tables must be known)
from app.extensions import db
from app.ops.database import migration_guard, sqlite_full_text
from app.ops.database.schema_journal import StepCannotBeRepeated
from app.ops.database.sqlite_ids import KeepAutoincrement


def run() -> None:
    """Run the migrations on the application's engine: SQLite in one transaction, MariaDB step by step."""
    metadata, is_sqlite = db.metadatas[None], db.engine.dialect.name == "sqlite"
    with migration_guard.exclusive(db.engine) as connection:
        migration_guard.begin(connection, context.script, metadata)
        context.configure(
            connection=connection,
            target_metadata=metadata,
            **{
                "render_as_batch": is_sqlite,
                "transaction_per_migration": not is_sqlite,
                "transactional_ddl": True,
                "include_name": sqlite_full_text.include_name,
                "include_object": sqlite_full_text.include_object,
                "on_version_apply": [
                    KeepAutoincrement(connection),
                    lambda ctx, **_step: sqlite_full_text.ensure(ctx.connection),
                    lambda ctx, **_step: migration_guard.step_done(ctx.connection),
                ],
                **current_app.extensions["migrate"].configure_args,
            },
        )
        try:
            with context.begin_transaction():
                context.run_migrations()
        except StepCannotBeRepeated as error:
            raise migration_guard.half_step(connection) from error
        except OperationalError as error:
            _explain(error)
            raise
        migration_guard.end(connection)


def _explain(error: OperationalError) -> None:
    """Raise CommandError if a table, column or index already exists: MariaDB can't roll back half a migration."""
    text = str(error.orig.args[-1]) if error.orig is not None else ""
    if any(sign in text for sign in ("already exists", "Duplicate column", "Duplicate key name")):
        raise CommandError(
            f"{text}. If an earlier upgrade was interrupted, restore the backup that it made in `backups` of the "
            "instance folder (on a first start, empty the database), then run make upgrade. "
            "For tables of an add-on that were made at a start, see docs/extend.md"
        ) from error


run()
