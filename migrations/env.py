"""Alembic on one metadata: ours and FAB's, on SQLite and MariaDB."""

from alembic import context
from flask import current_app

import app.models  # noqa: F401  (all tables must be known)
from app.extensions import db
from app.ops.sqlite_ids import KeepIds


def run() -> None:
    """Run the migrations on the application's engine, each in a transaction of its own."""
    engine = db.engine
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=db.metadatas[None],
            **{
                "render_as_batch": engine.dialect.name == "sqlite",
                "transaction_per_migration": True,
                "on_version_apply": KeepIds(connection),
                **current_app.extensions["migrate"].configure_args,
            },
        )
        with context.begin_transaction():
            context.run_migrations()


run()
