"""MariaDB servers for deploy/promote: their state, and the statements that make one follow another."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pymysql
from pymysql.cursors import DictCursor

#: Timeouts for connecting to a server, and for its responses.
CONNECT_SECONDS, ANSWER_SECONDS = 3, 60
#: The time for a replica to start replicating.
FOLLOW_SECONDS = 15.0
#: MariaDB's error "the replica has diverged": it has changes that the primary doesn't have.
DIVERGED = 1236
MYSQL_ERRORS = (pymysql.MySQLError, OSError)
Position = dict[int, int]


class Refused(Exception):
    """What is wrong and what to do, in complete sentences."""


@dataclass(frozen=True)
class Logins:
    """The users for changing the servers, and for replication."""

    admin: tuple[str, str]
    replication: tuple[str, str]
    #: ca, cert, key: files for TLS connections to the servers, and check_hostname; {} = TLS if the server offers it,
    #: unverified.
    tls: dict[str, str | bool] = field(default_factory=dict)
    #: ca, cert, key: files on the database servers for TLS between them; {} = those already configured.
    replication_tls: dict[str, str] = field(default_factory=dict)


def position_of(text: str | None) -> Position:
    """{domain: number} of "0-1-42,1-2-7"."""
    found: Position = {}
    for each in (text or "").replace("\n", "").split(","):
        if each.strip():
            domain, _server, number = map(int, each.strip().split("-"))
            found[domain] = max(number, found.get(domain, 0))
    return found


def covers(position: Position, wanted: Position) -> bool:
    """Whether the position includes all of `wanted`."""
    return all(position.get(domain, 0) >= number for domain, number in wanted.items())


@dataclass
class Server:
    """One server; `look` reads its state."""

    name: str
    logins: Logins
    is_there: bool = False
    takes_changes: bool = False
    #: Its state as a replica; None = it isn't one.
    following: dict[str, Any] | None = None
    variables: dict[str, str] = field(default_factory=dict)
    _connection: Any = None

    def look(self) -> Server:
        """Read its state; `is_there` tells whether it responds. Raises Refused if it responds but refuses the login."""
        try:
            shown = self.rows("SHOW GLOBAL VARIABLES")
            self.variables = {row["Variable_name"]: row["Value"] for row in shown}
            self.following = next(iter(self.rows("SHOW SLAVE STATUS")), None)
        except MYSQL_ERRORS as error:
            self.close()
            number = error.args[0] if error.args else 0
            if number in (1045, 1130, 1227, 1698):
                raise Refused(
                    f"{self.name} doesn't let the administrator in, or not do this (error {number}). Check the file of "
                    "--admin, and the rights of that user (docs/operate.md)."
                ) from None
            self.is_there = False
            return self
        self.is_there, self.takes_changes = True, self.variables["read_only"] == "OFF"
        return self

    def rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        """The rows of a statement. Raises pymysql's errors and OSError."""
        if self._connection is None:
            host, _colon, port = self.name.rpartition(":")
            user, password = self.logins.admin
            self._connection = pymysql.connect(
                host=host.strip("[]"),
                port=int(port),
                user=user,
                password=password,
                connect_timeout=CONNECT_SECONDS,
                read_timeout=ANSWER_SECONDS,
                autocommit=True,
                cursorclass=DictCursor,
                ssl=self.logins.tls or None,
            )
        with self._connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            return list(cursor.fetchall())

    def value(self, sql: str, *values: Any) -> Any:
        """The only value of the only row."""
        return next(iter(self.rows(sql, *values)[0].values()))

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*MYSQL_ERRORS):
                connection.close()

    # --- where it is in the changes

    @property
    def applied(self) -> Position:
        """The position of the changes that it has applied."""
        return position_of(self.value("SELECT @@global.gtid_current_pos"))

    @property
    def received(self) -> Position:
        """The position of the changes that it has received, applied or not."""
        row = next(iter(self.rows("SHOW SLAVE STATUS")), None)
        fetched, applied = position_of(row["Gtid_IO_Pos"]) if row else {}, self.applied
        return {each: max(fetched.get(each, 0), applied.get(each, 0)) for each in {*fetched, *applied}}

    @property
    def is_semi_sync(self) -> bool:
        """Whether its primary waits until it has received a change."""
        return self.variables.get("rpl_semi_sync_slave_enabled") == "ON"

    def waits_for_replicas(self) -> bool:
        """Whether commits here wait for a replica, and there is one."""
        status = {row["Variable_name"]: row["Value"] for row in self.rows("SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync%'")}
        is_on = status.get("Rpl_semi_sync_master_status") == "ON"
        return is_on and int(status.get("Rpl_semi_sync_master_clients", 0)) > 0

    # --- changing it

    def set_quietly(self, name: str, value: int) -> None:
        """Set a global variable that the server may not have."""
        with suppress(*MYSQL_ERRORS):
            self.rows(f"SET GLOBAL {name} = {int(value)}")

    def follows(self, primary: str) -> bool:
        """Whether it replicates from this server without an error."""
        row = next(iter(self.rows("SHOW SLAVE STATUS")), None)
        if row is None or f"{row['Master_Host']}:{row['Master_Port']}" != primary:
            return False
        return bool(row["Slave_IO_Running"] == "Yes" and row["Slave_SQL_Running"] == "Yes")

    def follow(self, primary: str, from_own_changes: bool = False) -> None:
        """Replicate from this server from now on, read-only for everybody else. Raises Refused.

        `from_own_changes`: it was a primary itself; it continues from its own last change.
        """
        host, _colon, port = primary.rpartition(":")
        user, password = self.logins.replication
        self.rows("SET GLOBAL read_only = 1")
        self.rows("STOP SLAVE")
        if from_own_changes:
            self.rows("SET GLOBAL gtid_slave_pos = @@global.gtid_current_pos")
        tls = self.logins.replication_tls
        named = "".join(f", master_ssl_{name} = %s" for name in tls)
        checked = ", master_ssl_verify_server_cert = 1" if "ca" in tls else ""
        encrypted = ", master_ssl = 1" if self.logins.tls or tls else ""
        self.rows(
            "CHANGE MASTER TO master_host = %s, master_port = %s, master_user = %s, master_password = %s, "
            f"master_use_gtid = slave_pos, master_connect_retry = 1{encrypted}{named}{checked}",
            *(host.strip("[]"), int(port), user, password, *tls.values()),
        )
        self.set_quietly("rpl_semi_sync_master_enabled", 0)
        self.set_quietly("rpl_semi_sync_slave_enabled", 1)
        self.rows("START SLAVE")
        if not waited_for(lambda: self.follows(primary) or self._has_diverged(), FOLLOW_SECONDS):
            row = self.rows("SHOW SLAVE STATUS")[0]
            numbers = f"{row['Last_IO_Errno']}, {row['Last_SQL_Errno']}"
            raise Refused(f"{self.name} doesn't follow {primary} (errors {numbers}). See its log, then run this again.")
        if self._has_diverged():
            self.rows("STOP SLAVE")
            raise Refused(
                f"{self.name} holds changes that {primary} doesn't have, so it can't follow. It takes no changes. "
                f"Make it anew from a backup of {primary}; what only it holds is in its binary log."
            )

    def _has_diverged(self) -> bool:
        row = next(iter(self.rows("SHOW SLAVE STATUS")), None)
        return bool(row and int(row["Last_IO_Errno"] or 0) == DIVERGED)


def waited_for(is_so: Callable[[], bool], seconds: float) -> bool:
    """Wait until the condition holds. Returns False after this many seconds."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
