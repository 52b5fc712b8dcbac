"""The engine options of a process by its role: how many connections it has, and how long it waits for the database."""

from __future__ import annotations

from config import ROLES, Settings

#: Seconds that a request waits for a database connection of its process, and for a lock of another transaction or of a
#: schema change: by default, MariaDB would wait a day for the latter, until all connections of the process do.
POOL_SECONDS, LOCK_WAIT_SECONDS = 10, 5
#: A transaction that is idle for this long belongs to a frozen process: MariaDB rolls it back and releases its locks.
IDLE_TRANSACTION_SECONDS = 20
#: How long MariaDB works on one statement of a process that only answers requests (CRM_ROLE=web): nobody waits longer.
STATEMENT_SECONDS = 30
#: EXISTS in access rules must be checked row by row; by default MariaDB would first collect all visible rows. Each row
#: has another parent, so that results of sub-queries would be kept for nothing.
OPTIMIZER_SWITCH = "exists_to_in=off,subquery_cache=off"
#: Connections of one process: of a web process; (kept, at most) of the sockets, of each worker, and of a process that
#: may have the schedule. With two web processes, five workers, sockets and schedule they are 36 at most.
WEB_CONNECTIONS, SOCKETS_CONNECTIONS, WORKER_CONNECTIONS, SCHEDULE_CONNECTIONS = 7, (2, 3), (1, 2), 3
#: How many transactions of jobs a process has at once.
JOB_TRANSACTIONS = 2


def engine_options(settings: Settings) -> dict[str, object]:
    """SQLAlchemy engine options: a pool sized for the process's role, and no parameters in errors and logs.

    On MariaDB: READ COMMITTED, and a lock is waited for less long than a request may take. A process that only answers
    requests has a limit on each statement; jobs, workers and commands don't.
    """
    shared: dict[str, object] = {"hide_parameters": True, "pool_timeout": POOL_SECONDS}
    if settings.database_url.startswith("sqlite"):
        return shared | {"pool_size": min(settings.threads, 20), "max_overflow": 10, "connect_args": {"timeout": 10}}
    kept, most = pool_of(settings)
    init_command = (
        f"SET SESSION innodb_lock_wait_timeout = {LOCK_WAIT_SECONDS}, lock_wait_timeout = {LOCK_WAIT_SECONDS}, "
        f"idle_transaction_timeout = {IDLE_TRANSACTION_SECONDS}, "
        f"optimizer_switch = '{OPTIMIZER_SWITCH}'"
    )
    if settings.roles == ("web",):
        init_command += f", max_statement_time = {STATEMENT_SECONDS}"
    return shared | {
        "pool_size": kept,
        "max_overflow": most - kept,
        "isolation_level": "READ COMMITTED",
        "pool_recycle": 1800,
        "pool_pre_ping": False,
        "connect_args": {"charset": "utf8mb4", "connect_timeout": 5, "init_command": init_command},
    }


def pool_of(settings: Settings) -> tuple[int, int]:
    """(connections kept open, maximum number) of one process's pool for MariaDB.

    A web process has one core, which a few statements under way keep busy: more of them only wait in the database
    instead of in the process. In a process of the queue one call runs at a time, with a second session now and then; in
    that of the schedule `job_transactions`, and another session. The children of one process share these settings; each
    has its own pool.
    """
    roles = {*settings.roles}
    kept, most = WEB_CONNECTIONS, WEB_CONNECTIONS
    if "web" not in roles:
        kept, most = SOCKETS_CONNECTIONS if "sockets" in roles else WORKER_CONNECTIONS
        most = max(most, SCHEDULE_CONNECTIONS) if "scheduler" in roles else most
    elif settings.roles == ROLES:
        most += sum(settings.queue_workers.values())  # threads of this process if there is no Redis
    if settings.database_connections is not None:
        most = settings.database_connections
    return min(kept, most), most


def job_transactions(settings: Settings) -> int:
    """How many transactions of jobs one process has at once, out of all jobs that are due: the others wait.

    One connection is left for everything else; without a limit, jobs that wait for a connection in vain would fail.
    """
    return max(1, min(JOB_TRANSACTIONS, pool_of(settings)[1] - 1))
