"""The Flask extensions, unbound; `create_app` binds them to an application."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import click
from flask import Flask, Response, current_app, request
from flask.globals import app_ctx
from flask_compress import Compress
from flask_sqlalchemy.session import Session

from app import import_stubs
from app.csrf import MaskedCSRFProtect


def _compact(mapper: Any, _mapped: type) -> None:
    """Keep what a mapped class's columns consist of in dicts of half the size, before copies are made of them: 2 MB.

    Python makes room for 85 attributes when an object gets more than 30, as columns do: they have 28 to 38.
    """
    for column in mapper.local_table.columns:
        column.__dict__ = {**column.__dict__}


with import_stubs.in_place():
    import sqlalchemy.dialects.sqlite  # noqa: F401  # with the others, it would bring its parts for asyncio
    from sqlalchemy import event
    from sqlalchemy.orm import Mapper

    event.listen(Mapper, "after_mapper_constructed", _compact)
    from flask_appbuilder.models.sqla import Model
    from flask_appbuilder.models.sqla.base import SQLA
    from flask_socketio import SocketIO


class RoutedSession(Session):
    """A session that may read from a replica. What it changes always goes to the primary."""

    #: Returns the server that a statement is read from, None = the primary; see app/access/replica_reads.py.
    reader: Callable[[Any], Any] | None = None
    #: The primary, if the application has no other database. Cached: every statement asks for it three times.
    _only: Any = None

    #: Whether changes are being written.
    _is_flushing = False

    def flush(self, objects: Sequence[Any] | None = None) -> None:
        """Write what has changed; meanwhile all statements go to the primary."""
        before, self._is_flushing = self._is_flushing, True
        try:
            super().flush(objects)
        finally:
            self._is_flushing = before

    def get_bind(self, mapper: Any = None, clause: Any = None, bind: Any = None, **options: Any) -> Any:
        """The server for a statement."""
        choose = self.reader
        if choose is not None and bind is None and not self._is_flushing:
            engine = choose(clause)
            if engine is not None:
                return engine
        if bind is not None:
            return bind
        if self._only is None:
            engines = self._db.engines
            if len(engines) != 1 or None not in engines:
                return super().get_bind(mapper, clause, bind, **options)
            self._only = engines[None]
        return self._only


class Compression(Compress):
    """Compresses responses. What isn't compressed for want of a client that takes it needs no further look."""

    def after_request(self, response: Response | None) -> Response:
        """The response, compressed if the client takes that."""
        if response is None or "HTTP_ACCEPT_ENCODING" in request.environ or "Vary" in response.headers:
            return super().after_request(response)
        response.headers.add("Vary", "Accept-Encoding")
        return response


class LateMigrate:
    """Flask-Migrate, imported on first use: servers never migrate, and Alembic takes 10 MB in each of them."""

    def __init__(self) -> None:
        #: Functions that change Alembic's configuration before it is used.
        self.configure_callbacks: list[Callable[[Any], Any]] = []

    def init_app(self, app: Flask, database: Any, directory: str) -> None:
        """Offer `flask db`, and what Flask-Migrate's functions look for in the application."""
        app.extensions["migrate"] = _LateExtension(self, app, database, directory)
        app.cli.add_command(LateCommand("db", help="Perform database migrations."))

    def configure(self, function: Callable[[Any], Any]) -> None:
        """Let the function change Alembic's configuration."""
        self.configure_callbacks.append(function)

    def get_config(self) -> Any:
        """Alembic's configuration for the current application."""
        return current_app.extensions["migrate"].migrate.get_config()

    def heads(self) -> frozenset[str]:
        """The revisions of the schema that this version needs; read once per application."""
        known: frozenset[str] | None = current_app.extensions.get("crm_schema_heads")
        if known is None:
            from alembic.script import ScriptDirectory

            known = frozenset(ScriptDirectory.from_config(self.get_config()).get_heads())
            self.remember_heads(current_app, known)
        return known

    def remember_heads(self, app: Flask, heads: frozenset[str]) -> None:
        """Store the revisions that another process has read for this application."""
        app.extensions["crm_schema_heads"] = heads


class _LateExtension:
    """Flask-Migrate's entry in `app.extensions`, created on first access."""

    def __init__(self, source: LateMigrate, app: Flask, database: Any, directory: str) -> None:
        self._given = source, app, database, directory

    @cached_property
    def _made(self) -> Any:
        from flask_migrate import Migrate

        source, app, database, directory = self._given
        real: Any = Migrate()
        real.configure_callbacks = source.configure_callbacks
        real.init_app(app, database, directory=directory)
        return app.extensions["migrate"]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made, name)


class LateCommand(click.Command):
    """`flask db`: the commands of Flask-Migrate."""

    #: Wraps what runs a command, to report errors.
    around: Callable[[Callable[..., Any]], Callable[..., Any]] = staticmethod(lambda run: run)

    def make_context(self, *given: Any, **options: Any) -> click.Context:
        """Called by click when the command is typed."""
        from flask_migrate.cli import db as commands

        made: click.Context = commands.make_context(*given, **options)
        made.command = _Wrapped(commands, self.around)
        return made


class _Wrapped(click.Command):
    """A command that runs another one."""

    def __init__(self, real: click.Command, around: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        super().__init__(real.name)
        self._run = around(real.invoke)

    def invoke(self, ctx: click.Context) -> Any:
        """Called by click with the context of the other command."""
        return self._run(ctx)


#: Whose session it is: the application context. Its id, which Flask-SQLAlchemy takes, costs more calls.
_scope: Callable[[], Any] = app_ctx._get_current_object  # type: ignore[attr-defined]
db = SQLA(session_options={"expire_on_commit": False, "class_": RoutedSession, "scopefunc": _scope})
# FAB declares its tables on its own metadata; Alembic must see one.
db.metadatas[None] = Model.metadata
compress = Compression()
migrate = LateMigrate()
csrf = MaskedCSRFProtect()
socketio = SocketIO()
