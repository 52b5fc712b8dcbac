"""Alembic on one metadata: ours and FAB's, on SQLite and MariaDB."""

from alembic import context
from alembic.util import CommandError
from flask import current_app
from sqlalchemy.exc import OperationalError

import app.models  # noqa: F401  (all tables must be known)
from app.extensions import db

#: MariaDB error numbers: the table, column or index exists already.
HALF_DONE = (1050, 1060, 1061)


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
                **current_app.extensions["migrate"].configure_args,
            },
        )
        try:
            with context.begin_transaction():
                context.run_migrations()
        except OperationalError as error:
            _explain(error)
            raise


def _explain(error: OperationalError) -> None:
    """Raise CommandError where MariaDB kept half of a migration: it can't undo changes of the schema."""
    if error.orig is not None and error.orig.args[0] in HALF_DONE:
        raise CommandError(
            f"{error.orig.args[1]}: an earlier upgrade was interrupted. Restore the backup that it made in `backups` of "
            "the instance folder (on a first start, empty the database), then run: make upgrade"
        ) from error


run()
