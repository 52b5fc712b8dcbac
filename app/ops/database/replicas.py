"""MariaDB replicas from which lists are read: which of them are up to date enough, and for whom.

A thread of each process checks all of them every CHECK_SECONDS, once the first list was requested. The lag is measured
by its position in the primary's changes, not by clocks, nor by its own report: a replica that has lost its primary
reports a lag of 0 seconds.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from app.ops.database import gtids, primary_address
from app.ops.database.database_errors import cause_of, number_of, summary_of
from app.ops.database.gtids import Position
from app.ops.database.replica_positions import SavedPositions

log = logging.getLogger("crm.replicas")

#: How often each process checks the replicas, and how long a result is valid.
CHECK_SECONDS, STALE_SECONDS = 1.0, 6.0
#: How long a list waits for a replica to catch up with the person's saves before it is read from the primary.
WAIT_SECONDS = 0.1
#: Positions of the primary that are remembered, to tell how far a replica is behind.
MAX_HISTORY = 1000

#: States of a replica. Only OK is read from.
OK, NEW, AWAY, CLOSED, UNSET, BROKEN, CUT_OFF, BEHIND, OUTDATED = STATES = (
    *("ok", "new", "away", "closed", "unset", "broken", "cut-off", "behind", "outdated"),
)
#: The CRM's user may not see the replication status: it lacks REPLICA MONITOR.
_NO_RIGHT = 1227


@dataclass(frozen=True)
class ReplicaState:
    """The last known state of a replica."""

    #: One of STATES.
    state: str = NEW
    position: Position = field(default_factory=dict)
    #: How long ago the primary was at this replica's position; None = unknown.
    lag_seconds: float | None = None
    #: The same for what it has received, applied or not; None = unknown, or it receives nothing.
    received_lag: float | None = None
    #: Kind and number of the error, if there was one.
    detail: str = ""
    #: time.monotonic() of the check
    seen_at: float = float("-inf")


class Replica:
    """One replica: `engine` for reading, `watch` for checking it with short timeouts."""

    def __init__(self, name: str, engine: Engine, watch: Engine) -> None:
        self.name, self.engine, self.watch = name, engine, watch
        self.seen = ReplicaState()
        self._connection: tuple[int, Connection] | None = None

    @property
    def is_usable(self) -> bool:
        """Whether it may be read from, as far as known."""
        return self.seen.state == OK and time.monotonic() - self.seen.seen_at < STALE_SECONDS

    def look(self, primary: Primary, limit_seconds: float) -> None:
        """Check its position and delay. Never raises."""
        try:
            self.seen = self._seen(primary, limit_seconds)
        except (SQLAlchemyError, ValueError, OSError) as error:
            self.close()
            is_refused = isinstance(error, DBAPIError) and number_of(error) == _NO_RIGHT
            self.leave_out(CLOSED if is_refused else AWAY, error)

    def leave_out(self, state: str, error: BaseException | None = None) -> None:
        """Don't read from it until the next check."""
        detail = summary_of(error) if error is not None else ""
        self.seen = replace(self.seen, state=state, received_lag=None, detail=detail, seen_at=time.monotonic())

    def close(self) -> None:
        """Close the connection used for checks."""
        connection, self._connection = self._connection, None
        if connection is not None and connection[0] == os.getpid():
            connection[1].invalidate()
            connection[1].close()

    def wait_for(self, wanted: Position) -> bool:
        """Whether it has reached the wanted position, or does so very soon."""
        if gtids.covers(self.seen.position, wanted):
            return True
        if (self.seen.lag_seconds or 0) > 2 * CHECK_SECONDS:
            return False  # it did not catch up
        query = text("SELECT MASTER_GTID_WAIT(:position, :seconds)")
        try:
            with self.engine.connect() as connection:
                values = {"position": gtids.as_text(wanted), "seconds": WAIT_SECONDS}
                has_it = connection.execute(query, values).scalar() == 0
        except SQLAlchemyError as error:
            self.leave_out(AWAY, error)
            return False
        if has_it:
            self.seen = replace(self.seen, position={**self.seen.position, **wanted})
        return has_it

    def _seen(self, primary: Primary, limit_seconds: float) -> ReplicaState:
        connection, now = self._watching(), time.monotonic()
        status = connection.execute(text("SHOW SLAVE STATUS")).mappings().first()
        position = gtids.parsed(connection.execute(text("SELECT @@global.gtid_slave_pos")).scalar_one())
        revision = connection.execute(text("SELECT MAX(version_num) FROM alembic_version")).scalar()
        seen = ReplicaState(OK, position, primary.lag_of(position, now), None, "", now)
        if status is None:
            return replace(seen, state=UNSET)
        if status["Slave_SQL_Running"] != "Yes":
            return replace(seen, state=BROKEN, detail=str(status["Last_SQL_Errno"] or ""))
        if status["Slave_IO_Running"] != "Yes":
            return replace(seen, state=CUT_OFF, detail=str(status["Last_IO_Errno"] or ""))
        received = primary.lag_of(gtids.union(position, gtids.parsed(status["Gtid_IO_Pos"])), now)
        seen = replace(seen, received_lag=received)
        if revision != primary.revision:
            return replace(seen, state=OUTDATED)
        if seen.lag_seconds is None or seen.lag_seconds > limit_seconds:
            return replace(seen, state=BEHIND)
        return seen

    def _watching(self) -> Connection:
        if self._connection is None or self._connection[0] != os.getpid():
            self._connection = (os.getpid(), self.watch.connect())
        return self._connection[1]


class Primary:
    """The positions of the primary over time, and its state."""

    def __init__(self, watch: Engine) -> None:
        self.watch = watch
        self.revision: str | None = None
        #: Whether a commit waits until a replica has it; None without semi-synchronous replication.
        self.is_semi_sync: bool | None = None
        #: (monotonic time at which it was first seen, position)
        self._history: deque[tuple[float, Position]] = deque(maxlen=MAX_HISTORY)
        self._connection: tuple[int, Connection] | None = None

    def look(self) -> None:
        """Read its position. Raises SQLAlchemyError."""
        if self._connection is not None and primary_address.is_stale(self._connection[1]):
            self._let_go()
        try:
            connection = self._watching()
            position = gtids.parsed(connection.execute(text("SELECT @@global.gtid_binlog_pos")).scalar_one())
            self.revision = connection.execute(text("SELECT MAX(version_num) FROM alembic_version")).scalar()
            rows = connection.execute(text("SHOW GLOBAL STATUS LIKE 'Rpl\\_semi\\_sync\\_master\\_%'")).all()
        except SQLAlchemyError:
            self._let_go()
            raise
        status = {str(row[0]).lower().removeprefix("rpl_semi_sync_master_"): str(row[1]) for row in rows}
        # Without a replica to confirm, it stays on until a commit has waited in vain.
        is_on = status.get("status") == "ON" and status.get("clients", "0") != "0"
        self.is_semi_sync = is_on if "status" in status else None
        if not self._history or self._history[-1][1] != position:
            self._history.append((time.monotonic(), position))

    def _let_go(self) -> None:
        held, self._connection = self._connection, None
        if held is not None and held[0] == os.getpid():
            held[1].invalidate()
            held[1].close()

    def lag_of(self, position: Position, now: float) -> float | None:
        """How long ago the primary left this position, in seconds; None if it was never seen there."""
        if not self._history or not self._history[-1][1]:
            return None
        missing = (moment for moment, there in self._history if not gtids.covers(position, there))
        return max(0.0, now - next(missing, now))

    def _watching(self) -> Connection:
        if self._connection is None or self._connection[0] != os.getpid():
            self._connection = (os.getpid(), self.watch.connect())
        return self._connection[1]


class Replicas:
    """All replicas of this process."""

    def __init__(
        self, primary: Primary, replicas: Sequence[Replica], saved: SavedPositions, limit_seconds: float
    ) -> None:
        self.primary, self.all, self.saved, self.limit_seconds = primary, list(replicas), saved, limit_seconds
        #: How many lists came from each source: a replica's name, or the reason for the primary.
        self.served: dict[str, int] = {}
        self._thread: tuple[int, threading.Thread] | None = None
        self._lock, self._looking = threading.Lock(), threading.Lock()

    def chosen_for(self, user_id: int, brought: Position | None) -> Replica | None:
        """A replica that has everything that this person has saved; None = read from the primary. Never raises.

        `brought`: the position known to their browser; None = unknown.
        """
        self.watch()
        usable = [each for each in self.all if each.is_usable]
        if not usable:
            return self._count("no replica", None)
        known = self.saved.of(user_id)
        if known is None or brought is None:
            return self._count("not known", None)
        wanted = gtids.union(known, brought)
        chosen = usable[user_id % len(usable)]  # always the same one, so that older data never follows newer
        return self._count(chosen.name, chosen) if chosen.wait_for(wanted) else self._count("not there yet", None)

    def loss_seconds(self) -> float | None:
        """The last seconds of changes that would be lost with the primary; None = no replica receives anything.

        As of the last check, so it may be a second more.
        """
        if self.primary.is_semi_sync:
            return 0.0
        known = [each.seen.received_lag for each in self.all]
        return min((lag for lag in known if lag is not None), default=None)

    def _count(self, where: str, replica: Replica | None) -> Replica | None:
        self.served[where] = self.served.get(where, 0) + 1
        return replica

    def look(self) -> None:
        """Check all replicas, in one thread at a time because connections can't be shared. Never raises."""
        with self._looking:
            self._look()

    def _look(self) -> None:
        try:
            self.primary.look()
        except (SQLAlchemyError, ValueError, OSError) as error:
            log.debug("the primary could not be looked at: %s", cause_of(error))
            return  # older results become stale, and are not used then
        for each in self.all:
            before = each.seen.state
            each.look(self.primary, self.limit_seconds)
            if each.seen.state != before:
                log.warning("replica %s: %s, before %s %s", each.name, each.seen.state, before, each.seen.detail)

    def watch(self) -> None:
        """Check them regularly from now on, in a thread of this process. Idempotent."""
        if self._thread is not None and self._thread[0] == os.getpid():
            return
        with self._lock:
            if self._thread is None or self._thread[0] != os.getpid():
                thread = threading.Thread(target=self._run, name="crm-replicas", daemon=True)
                self._thread = (os.getpid(), thread)
                thread.start()

    def _run(self) -> None:
        while True:
            try:
                self.look()
                self.saved.resend()
            except Exception:
                log.exception("the replicas could not be looked at")  # older results become stale and unused
            time.sleep(CHECK_SECONDS)


def connection_options(options: dict[str, Any]) -> dict[str, Any]:
    """The engine options for a replica, given those of the primary: it is read-only."""
    arguments = dict(options["connect_args"])
    arguments["init_command"] = f"{arguments['init_command']}, tx_read_only = 1"
    return options | {"connect_args": arguments}
