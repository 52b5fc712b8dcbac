"""The self-test: checks that everything the installation needs is there, and says what to do if not.

`flask self-test` and a page show it. Each check is an entry of `app.ops.monitoring.process_health`, where other parts
add theirs too.
"""

from __future__ import annotations

import tempfile
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask import current_app
from flask_babel import gettext as _
from flask_babel import ngettext as _n
from redis.exceptions import RedisError
from sqlalchemy import select

from app import access
from app.channels.base import ChannelError
from app.channels.smtp_client import SmtpClient, server_of
from app.domain import custom_fields, custom_values
from app.domain.audit_log import audit_chain
from app.domain.maintenance import backup_runs, dead_letters, health_samples, job_health, job_runs
from app.extensions import db
from app.lib.operator_command import operator_command
from app.ops.database.connections import database_now
from app.ops.monitoring import machine_resources, process_health
from app.ops.monitoring.process_health import DEGRADED, FAILED, OFF, OK, CheckResult
from app.ops.processes.leader import MAX_SKEW
from app.ops.queues import queue
from app.ops.redis import redis_client
from app.web.core.localization.day_and_month_names import format_local_date
from app.web.pages import probes_and_metrics
from app.web.settings import database_memory, health_databases
from backup_settings import BackupSettings

#: Less free disk than both is too little.
MIN_FREE_BYTES, MIN_FREE_PERCENT = 1_000_000_000, 5
#: What the trial of the folder of backups writes; less room than this is none.
PROBE_BYTES = 1_000_000
#: Seconds within which Redis must answer, and deliver a live event.
REDIS_SECONDS = 2.0
#: A role whose processes, which report every minute, have not reported for this long is considered absent; how long the
#: first drill may take until it counts as missed.
REPORTS, FIRST_DRILL = timedelta(minutes=3), timedelta(hours=1)
#: Checks that are made whether the database answers or not.
_NEED_NO_DATABASE = ("database", "redis", "mail", "storage")


def install() -> None:
    """Add the checks."""
    for name, check in (
        ("database", _database),
        ("schema", _schema),
        ("memory", database_memory.check),
        ("replicas", health_databases.check),
        ("redis", _redis),
        ("realtime", _realtime),
        ("queue", _queue),
        ("scheduler", _scheduler),
        ("clock", _clock),
        ("keys", _keys),
        ("mail", _mail),
        ("storage", _storage),
        ("backup", _backup),
        ("custom fields", _custom_fields),
    ):
        process_health.add_check(name, check)


def run() -> dict[str, CheckResult]:
    """Run all checks; needs an app context. Without the database, those that need it are not tried."""
    found = {"database": process_health.run("database")}
    for name in process_health.checks():
        if name not in _NEED_NO_DATABASE and found["database"].state == FAILED:
            found[name] = CheckResult(FAILED, _("Not tried, because the database doesn't answer."))
        elif name != "database":
            found[name] = process_health.run(name)
            db.session.rollback()
    return found


def worst(found: dict[str, CheckResult]) -> str:
    """The worst state of all, not counting what isn't set up."""
    states = [each.state for each in found.values() if each.state != OFF]
    return max(states, key=process_health.STATES.index, default=OK)


# --- the checks


def _database() -> CheckResult:
    state = probes_and_metrics.database_state()
    if state == "ok":
        began = time.perf_counter()
        probes_and_metrics.database_state()
        took = max(1, round((time.perf_counter() - began) * 1000))
        return CheckResult(OK, _("The database answers in %(ms)s ms.", ms=took))
    advice = _("Start it, and check CRM_DATABASE_URL, its disk and its limit of connections.")
    return CheckResult(FAILED, _("The database can't be used (%(state)s).", state=state), advice)


def _schema() -> CheckResult:
    if probes_and_metrics.schema_state() == "ok":
        return CheckResult(OK, _("The tables are those of this version."))
    return CheckResult(
        FAILED, _("The tables are not those of this version."), _("Stop all servers, then run: make upgrade")
    )


def _redis() -> CheckResult:
    url = current_app.config["CRM"].redis_url
    if url is None:
        sentence = _("Redis is not set up. One process does everything, which is fine for a small office.")
        return CheckResult(OFF, sentence)
    redis = redis_client.connect(url, REDIS_SECONDS)
    try:
        redis.ping()
        policy = str(redis.config_get("maxmemory-policy").get("maxmemory-policy", "noeviction"))
    except RedisError as error:
        if "NOPERM" in str(error) or "unknown command" in str(error).lower():
            return CheckResult(OK, _("Redis answers."))
        return _redis_full() if redis_client.stores_nothing(error) else _redis_away()
    except redis_client.TROUBLE:
        return _redis_away()
    finally:
        redis.close()
    if policy != "noeviction":
        sentence = _("Redis may drop queued work when its memory is full (maxmemory-policy %(name)s).", name=policy)
        return CheckResult(DEGRADED, sentence, _("Set maxmemory-policy noeviction in redis.conf and restart Redis."))
    return CheckResult(OK, _("Redis answers."))


def _redis_full() -> CheckResult:
    sentence = _(
        "Redis stores nothing: its disk is full, or can't be written. Pages work; live updates and background work "
        "wait for it."
    )
    return CheckResult(FAILED, sentence, _("Make room on the disk of Redis. It goes on by itself then."))


def _redis_away() -> CheckResult:
    sentence = _("Redis doesn't answer. Pages work; live updates and background work wait for it.")
    return CheckResult(FAILED, sentence, _("Start Redis, and check CRM_REDIS_URL and its password."))


def _realtime() -> CheckResult:
    """Whether live updates reach open pages."""
    settings = current_app.config["CRM"]
    if settings.redis_url is None:
        if settings.workers == 1:
            return CheckResult(OK, _("Live updates go through this process."))
        sentence = _("With %(count)s processes and no Redis, live updates are late.", count=settings.workers)
        return CheckResult(DEGRADED, sentence, _("Set CRM_REDIS_URL, or CRM_WORKERS=1."))
    if not _event_comes_back(settings.redis_url):
        sentence = _("Live updates don't pass through Redis. Pages ask every minute instead.")
        return CheckResult(DEGRADED, sentence, _("Check Redis, and start the servers again."))
    if "sockets" not in settings.roles and not _is_reporting("sockets"):
        sentence = _("No Socket.IO process has reported for 3 minutes. Pages ask every minute instead.")
        return CheckResult(
            DEGRADED, sentence, _("Start it: supervisorctl start crm:background, or systemctl start crm-background.")
        )
    return CheckResult(OK, _("Live updates pass through Redis to the Socket.IO process."))


def _event_comes_back(url: str) -> bool:
    """Whether Redis delivers what is published."""
    redis, channel = redis_client.connect(url, REDIS_SECONDS), f"crm-self-test:{uuid.uuid4().hex}"
    try:
        listener: Any = redis.pubsub()  # type: ignore[no-untyped-call]
        listener.subscribe(channel)
        end, has_subscribed = time.monotonic() + REDIS_SECONDS, False
        while time.monotonic() < end:
            message = listener.get_message(timeout=0.2)
            if message and message["type"] == "subscribe" and not has_subscribed:
                has_subscribed = True
                redis.publish(channel, b"here")
            elif message and message["type"] == "message":
                return True
        return False
    except redis_client.TROUBLE:
        return False
    finally:
        redis.close()


def _is_reporting(role: str) -> bool:
    with access.as_system(db.session()) as session:
        found = health_samples.servers(session, datetime.now(UTC), REPORTS)
    return any(each.role == role for each in found)


def _queue() -> CheckResult:
    depths = queue.depths()
    if depths is None:
        sentence = _("The queue can't be read. What should be sent waits in the database.")
        return CheckResult(FAILED, sentence, _("Start Redis; the work is queued again within two minutes."))
    if idle := [each.name for each in depths if not each.workers]:
        sentence = _("No worker runs for: %(names)s.", names=", ".join(idle))
        advice = _(
            "Start the workers: supervisorctl start crm:background, systemctl start crm-background, "
            "or CRM_RUN_WORKERS=on."
        )
        return CheckResult(FAILED, sentence, advice)
    waiting = sum(each.waiting for each in depths)
    with access.as_system(db.session()) as session:
        failed = dead_letters.count_unresolved(session)
    if failed:
        sentence = _n(
            "%(count)s item has failed for good.", "%(count)s items have failed for good.", failed, count=failed
        )
        return CheckResult(DEGRADED, sentence, _("Retry or dismiss them under Settings, Queue."))
    if queue.backend_kind() == "process":
        return CheckResult(OK, _("Without Redis, the server runs the calls of the queue itself."))
    workers = sum(each.workers for each in depths)
    return CheckResult(
        OK,
        _n(
            "%(workers)s worker, %(waiting)s waiting.",
            "%(workers)s workers, %(waiting)s waiting.",
            workers,
            workers=workers,
            waiting=waiting,
        ),
    )


def _scheduler() -> CheckResult:
    lag = probes_and_metrics.scheduler_lag()
    start = _(
        "Start a process with the scheduler: supervisorctl start crm:background, systemctl start "
        "crm-background, or CRM_SCHEDULER=on."
    )
    if lag is None:
        return CheckResult(DEGRADED, _("No job has run yet. The first ones run within a minute of the start."), start)
    if lag > job_health.LATE_AFTER.total_seconds():
        return CheckResult(FAILED, _("No job has started for %(minutes)s minutes.", minutes=int(lag // 60)), start)
    seconds = int(lag)
    return CheckResult(
        OK,
        _n(
            "The last job started %(seconds)s second ago.",
            "The last job started %(seconds)s seconds ago.",
            seconds,
            seconds=seconds,
        ),
    )


def _clock() -> CheckResult:
    skew = abs(database_now(db.session()) - datetime.now(UTC))
    seconds = skew.total_seconds()
    if skew > MAX_SKEW:
        sentence = _("This machine's clock differs from the database's by %(seconds)s seconds.", seconds=int(seconds))
        return CheckResult(FAILED, sentence, _("Set both by NTP: timedatectl set-ntp true"))
    return CheckResult(OK, _("This machine's clock agrees with the database's."))


def _keys() -> CheckResult:
    """Whether this server can read what is encrypted, and whether a replacement of the key was left half done."""
    if not audit_chain.is_our_key(db.session()):
        sentence = _("This server has another CRM_FIELD_KEY than the one with which the database was made.")
        advice = _("Give it the key of the other servers, or the copy that you keep. Make no backup until then.")
        return CheckResult(FAILED, sentence, advice)
    if current_app.config["CRM"].field_keys_old:
        sentence = _("A former CRM_FIELD_KEY is still accepted.")
        command = operator_command("keys rotate")
        advice = _("Run “%(command)s”; when it is done, remove CRM_FIELD_KEYS_OLD and restart.", command=command)
        return CheckResult(DEGRADED, sentence, advice)
    return CheckResult(OK, _("The database was made with the CRM_FIELD_KEY of this server."))


def _mail() -> CheckResult:
    settings = current_app.config["CRM"]
    if settings.smtp_url is None:
        advice = _("Set CRM_SMTP_URL and CRM_SMTP_FROM to send notifications by email.")
        return CheckResult(OFF, _("No mail server is set up. Emails are only written to the log."), advice)
    try:
        with SmtpClient(server_of(settings.smtp_url), settings.smtp_from, min(settings.smtp_seconds, 5)).connection():
            pass
    except ChannelError as error:
        advice = _("Check CRM_SMTP_URL: host, port, encryption, user and password.")
        return CheckResult(FAILED, str(error), advice)
    return CheckResult(OK, _("The mail server accepts the sign-in. No email was sent."))


def _storage() -> CheckResult:
    """Whether files can be stored, read back and removed, and whether the disk has room."""
    store, folder = current_app.extensions["crm_files"], current_app.config["CRM"].instance_dir
    content = f"self-test {uuid.uuid4().hex}".encode()
    try:
        stored = store.put(content)
        with store.open(stored.digest) as file:
            is_same = file.read() == content
        store.delete(stored.digest)
        disk = machine_resources.disk_of(folder)
    except OSError as error:
        sentence = _("No file can be stored (%(reason)s).", reason=error.strerror or type(error).__name__)
        return CheckResult(FAILED, sentence, _("Make the instance folder writable, or free some space."))
    if not is_same:
        return CheckResult(FAILED, _("A stored file is read back changed."), _("Check the disk."))
    words = {"gb": f"{disk.free_bytes / 1e9:.1f}", "percent": disk.free_percent}
    if disk.free_bytes < MIN_FREE_BYTES or disk.free_percent < MIN_FREE_PERCENT:
        return CheckResult(
            DEGRADED, _("The disk is nearly full: %(gb)s GB free (%(percent)s %%).", **words), _("Free some space.")
        )
    return CheckResult(OK, _("Files can be stored. %(gb)s GB free (%(percent)s %%).", **words))


def _backup() -> CheckResult:
    """The newest good backup and drill, whether both are younger than a day, and whether another can be written."""
    now = database_now(db.session())
    with access.as_system(db.session()) as session:
        made, tried = backup_runs.last_good(session, "backup"), backup_runs.last_good(session, "drill")
        first_drill = backup_runs.first_drill_due(session, current_app.config["CRM"].time_zone)
    ages = {kind: now - run.ended_on for kind, run in (("backup", made), ("drill", tried)) if run and run.ended_on}
    if "backup" in ages and ages["backup"] > backup_runs.MAX_AGE:
        hours = ages["backup"].total_seconds() // 3600
        sentence = _("The newest good backup is %(hours)d hours old.", hours=hours)
        return CheckResult(FAILED, sentence, _("See why on the Backups page, and make one now."))
    if trouble := _backup_folder(current_app.config["CRM"].backup):
        return trouble
    if "backup" not in ages:
        command = operator_command("backup create")
        advice = _("The first one is made within minutes of the first start, or by “%(command)s”.", command=command)
        return CheckResult(DEGRADED, _("There is no backup yet."), advice)
    if first_drill is not None and now < first_drill + FIRST_DRILL:
        return _awaits_first_drill(first_drill)
    if "drill" not in ages or ages["drill"] > backup_runs.MAX_AGE:
        sentence = _("There is a backup of the last day, but it was not restored for a trial.")
        command = operator_command("backup drill")
        advice = _("Run “%(command)s”, or see on the Backups page why it failed.", command=command)
        return CheckResult(DEGRADED, sentence, advice)
    return CheckResult(OK, _("There is a backup of the last day, and a backup was restored for a trial."))


def _awaits_first_drill(due_on: datetime) -> CheckResult:
    on = format_local_date(due_on.astimezone(ZoneInfo(current_app.config["CRM"].time_zone)), "%-d %b %Y, %H:%M")
    text = _("There is a backup of the last day. It will be restored for a trial for the first time on %(on)s.", on=on)
    return CheckResult(OK, text)


def _backup_folder(settings: BackupSettings | None) -> CheckResult | None:
    """What is wrong with the folder of backups: not to be written, or no room; None if it will do."""
    if settings is None:
        return None
    folder = settings.folder
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(PROBE_BYTES))
    except OSError as error:
        sentence = _(
            "No backup can be written to %(folder)s on this server (%(reason)s).",
            folder=folder,
            reason=error.strerror or type(error).__name__,
        )
        advice = _(
            "Make room, or the folder writable for the CRM, and run deploy/install.sh once more. "
            "If another server makes the backups, nothing has to be done."
        )
        return CheckResult(DEGRADED, sentence, advice)
    return None


def _custom_fields() -> CheckResult:
    """The result of the nightly comparison of the index of custom fields with the records."""
    with access.as_system(db.session()) as session:
        is_used = session.scalar(select(custom_fields.CustomField.id).limit(1)) is not None
        run = job_runs.newest_runs(session, [custom_values.COMPARING_JOB]).get(custom_values.COMPARING_JOB)
    if not is_used:
        return CheckResult(OFF, _("There are no custom fields."))
    if run is not None and run.outcome == "failed":
        sentence = _("The index of custom fields could not be compared with the records.")
        advice = _("See why under Settings, Jobs: “%(job)s”.", job=_(custom_values.COMPARING_JOB))
        return CheckResult(DEGRADED, sentence, advice)
    if run is not None and run.items:
        sentence = _n(
            "The index of custom fields differs from %(count)s record. "
            "Lists filtered or sorted by custom fields may be wrong.",
            "The index of custom fields differs from %(count)s records. "
            "Lists filtered or sorted by custom fields may be wrong.",
            run.items,
            count=run.items,
        )
        advice = _(
            "Run “%(command)s”, then the job “%(job)s” under Settings, Jobs.",
            command=operator_command("custom-field rebuild"),
            job=_(custom_values.COMPARING_JOB),
        )
        return CheckResult(DEGRADED, sentence, advice)
    if run is None or run.outcome != "done":
        return CheckResult(
            OK, _("The index of custom fields is compared with the records each night; it has not been yet.")
        )
    return CheckResult(OK, _("The index of custom fields agrees with the records."))
