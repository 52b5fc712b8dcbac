"""What the database server says of itself: connections, and pages that it was asked for. SQLite says nothing."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

_CONNECTIONS = "Threads_connected"
_ASKED, _READ = "Innodb_buffer_pool_read_requests", "Innodb_buffer_pool_reads"
_STATUS = text(f"SHOW GLOBAL STATUS WHERE Variable_name IN ('{_CONNECTIONS}', '{_ASKED}', '{_READ}')")


@dataclass(frozen=True)
class ServerStatus:
    """What the server counts; None for what it doesn't tell."""

    #: Of all programs.
    connections: int | None = None
    #: Since its start: pages of tables and indexes that statements needed, and those of them that weren't in memory.
    pages_asked: int | None = None
    pages_read: int | None = None


def server_status(session: Session) -> ServerStatus:
    """The counters of the server, in one statement. Raises SQLAlchemyError."""
    if session.get_bind().dialect.name == "sqlite":
        return ServerStatus()
    found = {name: int(value) for name, value in session.execute(_STATUS)}
    return ServerStatus(found.get(_CONNECTIONS), found.get(_ASKED), found.get(_READ))


def buffer_pool_bytes(session: Session) -> int:
    """The memory in which MariaDB keeps pages of tables and indexes, in bytes."""
    return int(session.execute(text("SELECT @@innodb_buffer_pool_size")).scalar_one())
