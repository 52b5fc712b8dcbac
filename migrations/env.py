"""Alembic on one metadata: ours and FAB's, on SQLite and MariaDB."""

from alembic import context
from flask import current_app

import app.models  # noqa: F401  (all tables must be known)
from app.extensions import db
from app.ops import schema_guard
from app.ops.sqlite_ids import KeepIds


def run() -> None:
    """Run the migrations on the application's engine, alone: SQLite in one transaction, MariaDB step by step."""
    metadata, is_sqlite = db.metadatas[None], db.engine.dialect.name == "sqlite"
    with schema_guard.exclusive(db.engine) as connection:
        schema_guard.begin(connection, context.script, metadata)
        context.configure(
            connection=connection,
            target_metadata=metadata,
            **{
                "render_as_batch": is_sqlite,
                "transaction_per_migration": not is_sqlite,
                "transactional_ddl": True,
                "on_version_apply": [KeepIds(connection), lambda ctx, **_step: schema_guard.step_done(ctx.connection)],
                **current_app.extensions["migrate"].configure_args,
            },
        )
        with context.begin_transaction():
            context.run_migrations()
        schema_guard.end(connection)


run()
