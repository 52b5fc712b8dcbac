"""The database servers and Redis on the health page: each one's role, and whether it is used."""

from __future__ import annotations

import math
from typing import Any

from flask import current_app
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

import server_urls
from app.domain.maintenance import job_health
from app.extensions import db
from app.ops.database import replicas
from app.ops.monitoring import process_health
from app.ops.processes.leader import DatabaseLeader
from app.ops.queues import queue
from app.web.core.queries import replica_lists
from app.web.pages import probes_and_metrics

_WORDS = {
    replicas.OK: (_l("In use"), "green"),
    replicas.NEW: (_l("Not looked at yet"), "gray"),
    replicas.AWAY: (_l("Doesn't answer"), "red"),
    replicas.CLOSED: (_l("Doesn't show its state"), "red"),
    replicas.UNSET: (_l("Follows no server"), "red"),
    replicas.BROKEN: (_l("Replication is broken"), "red"),
    replicas.CUT_OFF: (_l("Has lost the primary"), "red"),
    replicas.BEHIND: (_l("Too far behind"), "amber"),
    replicas.OUTDATED: (_l("Has an older schema"), "amber"),
}


def rows() -> list[dict[str, Any]]:
    """{server, role, word, tone, note} of each; single servers are left out, unless they run no jobs."""
    settings, found = current_app.config["CRM"], replica_lists.replicas_of_app()
    made = []
    if found is not None:
        found.look()
        made.append(_primary(settings.database_url, found))
        made += [_replica(each) for each in found.all]
    topology = server_urls.redis_topology(settings.redis_url) if settings.redis_url else None
    if topology is not None:
        state = probes_and_metrics.redis_state()
        word = (_("In use"), "green") if state == "ok" else (_("Doesn't answer"), "red")
        addresses = ", ".join(f"{host}:{port}" for host, port in topology.addresses)
        role = _("Redis, behind Sentinels") if topology.kind == "sentinel" else _("Redis Cluster")
        made.append({"server": addresses, "role": role, "word": word[0], "tone": word[1], "note": ""})
    return [*made, *_background()]


def _background() -> list[dict[str, Any]]:
    """The servers whose workers run the queue, and the leader of the scheduler, if there are several.

    That the jobs are late is always said.
    """
    in_use = {"word": _("In use"), "tone": "green"}
    made = [
        {"server": server, "role": _("Queue"), "note": _("Workers: %(names)s", names=", ".join(names))} | in_use
        for server, names in sorted(queue.workers().items())
    ]
    lag, role = probes_and_metrics.scheduler_lag() or 0.0, {"role": _("Scheduler")}
    if lag > job_health.LATE_AFTER.total_seconds():
        note = _("No job has started for %(minutes)s minutes.", minutes=int(lag // 60))
        return [*made, {"server": "–", "word": _("Failed"), "tone": "red", "note": note} | role]
    if db.engine.dialect.name == "sqlite" or not made:
        return made
    return [*made, _leader(in_use) | role]


def _leader(in_use: dict[str, Any]) -> dict[str, Any]:
    leader = DatabaseLeader.place(db.session())
    if leader is None:
        return {"server": "–", "note": _("No process runs the jobs now; one starts when the next job is due.")} | in_use
    note = _("This process runs the jobs; another one takes over within ten seconds if it is lost.")
    return {"server": leader, "note": note} | in_use


def _loss(found: replicas.Replicas) -> str:
    """What would be lost with the primary now."""
    seconds = found.loss_seconds()
    if found.primary.is_semi_sync:
        return _("A change counts as saved once a replica has it, too.")
    if seconds is None:
        return _(
            "No replica receives what is saved here. If this server is lost now, all of that since the last replica "
            "went is lost with it."
        )
    return _(
        "Semi-synchronous replication is off, or no replica confirms in time. If this server is lost now, what was "
        "saved in the last %(seconds)s s is lost with it.",
        seconds=math.ceil(seconds + replicas.CHECK_SECONDS),
    )


def _primary(url: str, found: replicas.Replicas) -> dict[str, Any]:
    state = probes_and_metrics.database_state()
    word = (_("In use"), "green") if state == "ok" else (_("Doesn't answer"), "red")
    if state == "ok" and not found.primary.is_semi_sync:
        word = (_("In use"), "amber")
    return {
        "server": server_urls.database_place(url),
        "role": _("Database: primary"),
        "word": word[0],
        "tone": word[1],
        "note": _loss(found),
    }


def _replica(replica: replicas.Replica) -> dict[str, Any]:
    word, tone = _WORDS[replica.seen.state]
    lag = replica.seen.lag_seconds
    note = "" if lag is None else _("%(seconds)s s behind", seconds=f"{lag:.1f}")
    if replica.seen.detail:
        note = f"{note} ({replica.seen.detail})".strip()
    return {"server": replica.name, "role": _("Database: replica"), "word": word, "tone": tone, "note": note}


def check() -> process_health.CheckResult:
    """A check of the self-test: the databases and their replicas."""
    found = replica_lists.replicas_of_app()
    if found is None:
        return process_health.CheckResult(process_health.OFF, _("No replica of the database is set up."))
    found.look()
    bad = [each for each in found.all if each.seen.state != replicas.OK]
    if bad:
        names = ", ".join(f"{each.name}: {_WORDS[each.seen.state][0]}" for each in bad)
        sentence = _("Replicas that lists are not read from: %(names)s.", names=names)
        return process_health.CheckResult(
            process_health.DEGRADED, sentence, _("See “Replicas” in docs/operate.md for each of these.")
        )
    if not found.primary.is_semi_sync:
        sentence = _("The replicas are in use.") + " " + _loss(found)
        advice = _("Turn it on, or the last changes may be lost with the primary; see “Replicas” in docs/operate.md.")
        return process_health.CheckResult(process_health.DEGRADED, sentence, advice)
    return process_health.CheckResult(
        process_health.OK, _("The replicas are in use, and a change counts once one of them has it.")
    )
