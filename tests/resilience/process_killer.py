"""Kills a random process or the leader, at a random moment, and records what it was doing."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.resilience.process_group import ProcessGroup
from tests.resilience.tcp_connections import ports_of
from tests.servers import Databases, eventually

#: InnoDB shows its transactions as they were up to so long ago.
STALE_SECONDS = 0.11
#: A kill comes so long after its turn, at most.
PAUSE_SECONDS = 0.2
#: How often it is looked whether a victim is in the middle of a write.
LOOKS = 20


@dataclass
class KillCounts:
    """The dead, and what they were at."""

    kills: int = 0
    leaders: int = 0
    #: Killed with a transaction open; of those, with rows changed in it.
    in_transaction: int = 0
    having_written: int = 0

    def __str__(self) -> str:
        return (
            f"{self.kills} kills: {self.leaders} hit the leader, {self.in_transaction} an open transaction, "
            f"{self.having_written} of these had written"
        )


@dataclass
class ProcessKiller:
    """Kills members of a pack; looks into the database as root."""

    server: Databases
    database: str
    pack: ProcessGroup | None = None
    rng: random.Random = field(default_factory=lambda: random.Random(7))
    kill_counts: KillCounts = field(default_factory=KillCounts)

    @staticmethod
    def _has_done(done: Callable[[], int], share: int) -> bool:
        return done() >= share

    def kill_several(self, kills: int, done: Callable[[], int], work: int) -> KillCounts:
        """So many kills, spread over the work; the leader half of the time, in the midst of writing if it can be."""
        for n in range(kills):
            eventually(partial(self._has_done, done, work * n // (kills + 1)), "the work does not go on")
            time.sleep(self.rng.uniform(0, PAUSE_SECONDS))
            if self.rng.random() < 0.5 and (leader := self.leader()):
                self.kill(leader, LOOKS if self.rng.random() < 0.5 else 1)
            else:
                self.kill(self.rng.choice(self.members()))
        return self.kill_counts

    def kill(self, victim: int, looks: int = 1) -> None:
        """Kill -9 that member: at the latest at the last glance, before when it is seen in the midst of writing."""
        for n in range(looks):
            os.kill(victim, signal.SIGSTOP)  # from here on it does nothing more; we look at what it left open
            open_ones = self.transactions_of(victim)
            if any(open_ones) or n == looks - 1:
                break
            os.kill(victim, signal.SIGCONT)
            time.sleep(self.rng.uniform(0, 0.02))
        self._count(victim, open_ones)
        os.kill(victim, signal.SIGKILL)
        # On a busy machine it takes a while to go, and must not be chosen again meanwhile
        eventually(lambda: victim not in self.members(), "a killed process stays")

    def _count(self, victim: int, open_ones: list[int]) -> None:
        self.kill_counts.kills += 1
        self.kill_counts.leaders += victim == self.leader()
        self.kill_counts.in_transaction += bool(open_ones)
        self.kill_counts.having_written += any(open_ones)

    def leader(self) -> int | None:
        """The pid of the member whose connection holds the lock of the lead."""
        ports = self.leading_ports()
        return next((pid for pid in self.members() if ports & ports_of(pid)), None)

    def leading_ports(self) -> set[int]:
        """The port of the connection that holds the lock of the lead, at the leader's end."""
        query = "SELECT HOST FROM information_schema.PROCESSLIST WHERE ID = IS_USED_LOCK(%s)"
        return {port_of(row[0]) for row in self.ask(query, f"crm-scheduler:{self.database}"[:64])}

    def members(self) -> list[int]:
        """Whom it can kill."""
        return self.pack.members() if self.pack else []

    def transactions_of(self, pid: int) -> list[int]:
        """Of each transaction that it has open: how many rows were changed."""
        query = """SELECT p.HOST, t.trx_rows_modified FROM information_schema.INNODB_TRX t
                   JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id"""
        mine = ports_of(pid)
        time.sleep(STALE_SECONDS)
        return [int(changed) for host, changed in self.ask(query) if port_of(host) in mine]

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows, seen by root."""
        with contextlib.closing(self.server.connect(self.database)) as connection, connection.cursor() as cursor:
            cursor.execute(query, values or None)
            return list(cursor.fetchall())


def port_of(host: object) -> int:
    """The client's port in what PROCESSLIST calls its host."""
    return int(str(host).rpartition(":")[2] or 0)
