"""Endpoints for machines: /healthz (is it alive), /readyz (can it work), /metrics (Prometheus)."""

from __future__ import annotations

import hmac
import ipaddress
from datetime import UTC, datetime
from typing import Any

import orjson
from flask import Flask, Response, current_app, request
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from app import access
from app.domain.maintenance import job_health, job_runs
from app.extensions import db, migrate
from app.lib.product_version import product_version
from app.models import FailedCall
from app.ops.database import connections, server_status
from app.ops.database.database_errors import cause_of
from app.ops.monitoring import machine_resources, process_health, prometheus_metrics
from app.ops.monitoring.prometheus_metrics import Gauge
from app.ops.queues import queue
from app.web.core.queries import replica_lists

#: Endpoints that load no person.
ENDPOINTS = ("healthz", "readyz", "metrics")


def install(app: Flask) -> None:
    """Register the three routes."""
    app.add_url_rule("/healthz", "healthz", lambda: Response(process_health.text(), mimetype="text/plain"))
    app.add_url_rule("/readyz", "readyz", readyz)
    app.add_url_rule("/metrics", "metrics", show_metrics)


# --- ready?


def readyz() -> Response:
    """Whether a load balancer should send people here: 200, or 503 with the reason. With ?strict=1 also 503 if
    degraded.

    Without the database nobody can work. Without Redis or the scheduler pages still do, so these only degrade: if all
    servers reported that they weren't ready, none would be left.
    """
    found = {"database": database_state(), "redis": redis_state(), "scheduler": "unknown"}
    found["schema"] = schema_state() if found["database"] == "ok" else "unknown"
    if found["schema"] == "ok":
        found["scheduler"] = scheduler_state()
    is_down = found["database"] != "ok" or found["schema"] != "ok"
    is_degraded = not {*found.values()} <= {"ok", "off"}
    status = "down" if is_down else "degraded" if is_degraded else "ready"
    is_refused = is_down or (is_degraded and request.args.get("strict") == "1")
    body = orjson.dumps({"status": status, "checks": found})
    response = Response(body, 503 if is_refused else 200, mimetype="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response


def database_state() -> str:
    """ok, or the kind of problem: away, crowded, full, …"""
    try:
        connections.ping(db.session())
    except (SQLAlchemyError, OSError) as error:
        cause = cause_of(error)
        db.session.rollback()
        return cause.value if cause else "failed"
    return "ok"


def schema_state() -> str:
    """Whether the tables match this version: ok, or outdated."""
    try:
        stored = connections.stored_revisions(db.session())
    except SQLAlchemyError:
        db.session.rollback()
        return "outdated"
    return "ok" if stored == migrate.heads() else "outdated"


def redis_state() -> str:
    """ok, off (not configured), or away."""
    if current_app.config["CRM"].redis_url is None:
        return "off"
    return "away" if queue.depths() is None else "ok"


def scheduler_state() -> str:
    """ok, late, or new if no job has run yet."""
    lag = scheduler_lag()
    return "new" if lag is None else "ok" if lag <= job_health.LATE_AFTER.total_seconds() else "late"


def scheduler_lag() -> float | None:
    """Seconds since any minutely job started on any server; None if none ever has."""
    runs = _minute_runs()
    newest = max((run.started_on for run in runs), default=None)
    return None if newest is None else max(0.0, (datetime.now(UTC) - newest).total_seconds())


def _minute_runs() -> list[Any]:
    names = current_app.extensions["crm_minute_jobs"]
    with access.as_system(db.session()) as session:
        return [run for run in job_runs.newest_runs(session, names).values() if not run.is_manual]


# --- metrics


def show_metrics() -> Response:
    """All metrics of this server, for allowed clients; others get 404."""
    if not _may_read():
        return Response(orjson.dumps({"message": "Not found.", "errors": {}}), 404, mimetype="application/json")
    return Response(prometheus_metrics.exposition(gauges()), content_type="text/plain; version=0.0.4; charset=utf-8")


def _may_read() -> bool:
    settings = current_app.config["CRM"]
    given = request.headers.get("Authorization", "")
    if settings.metrics_token and hmac.compare_digest(given.encode(), f"Bearer {settings.metrics_token}".encode()):
        return True
    if _is_from_further_away():
        return False
    try:
        address = ipaddress.ip_address(request.remote_addr or "")
    except ValueError:
        return False
    return any(address in network for network in settings.metrics_from)


def _is_from_further_away() -> bool:
    """Whether there are more proxies in front than CRM_PROXIES says: the address would be that of a proxy.

    Otherwise a proxy on this server would open the metrics to everybody.
    """
    named = [each for each in ",".join(request.headers.getlist("X-Forwarded-For")).split(",") if each.strip()]
    return len(named) > current_app.config["CRM"].proxies or (not named and "Forwarded" in request.headers)


def gauges() -> list[Gauge]:
    """Gauges read on request. Without the database: that it is unavailable, and gauges that don't need it."""
    version = {"version": product_version()}
    found = [Gauge("crm_database_up", "Whether the database answers.", database_state() == "ok")]
    found.append(Gauge("crm_info", "Always 1; the label is the version.", 1, version))
    if (memory := machine_resources.memory_percent()) is not None:
        found.append(Gauge("crm_memory_percent", "Memory in use, of the machine or container.", memory))
    found += _queue_gauges() + _replica_gauges()
    return found + (_database_gauges() if found[0].value else [])


def _queue_gauges() -> list[Gauge]:
    depths = queue.depths()
    found = [Gauge("crm_queue_up", "Whether the queue answers.", depths is not None)]
    for each in depths or ():
        label = {"queue": each.name}
        found.append(Gauge("crm_queue_waiting", "Work that is ready to run.", each.waiting, label))
        found.append(Gauge("crm_queue_later", "Calls that are scheduled for later.", each.later, label))
        found.append(Gauge("crm_queue_workers", "Workers, alive or started when calls wait.", each.workers, label))
    return found


def _replica_gauges() -> list[Gauge]:
    """The state of the replicas as this process sees it; empty without replicas."""
    replicas = replica_lists.replicas_of_app()
    if replicas is None:
        return []
    replicas.watch()
    found = []
    for each in replicas.all:
        label = {"replica": each.name}
        found.append(Gauge("crm_replica_up", "Whether lists are read from it.", each.is_usable, label))
        if each.seen.lag_seconds is not None:
            found.append(Gauge("crm_replica_lag_seconds", "How far it is behind.", each.seen.lag_seconds, label))
    if replicas.primary.is_semi_sync is not None:
        help_text = "Whether a commit waits until a replica has it."
        found.append(Gauge("crm_database_semi_sync", help_text, replicas.primary.is_semi_sync))
    if (seconds := replicas.loss_seconds()) is not None:
        help_text = "What was saved in so many last seconds is lost if the primary is lost now."
        found.append(Gauge("crm_database_loss_seconds", help_text, seconds))
    return found


def _database_gauges() -> list[Gauge]:
    found = []
    if (count := server_status.server_status(db.session()).connections) is not None:
        found.append(Gauge("crm_database_connections", "Connections to the database, of all programs.", count))
    if (lag := scheduler_lag()) is not None:
        found.append(Gauge("crm_scheduler_lag_seconds", "Time since any minute job started.", lag))
    for run in _minute_runs():
        age = (datetime.now(UTC) - run.started_on).total_seconds()
        found.append(Gauge("crm_job_age_seconds", "Time since this job started.", age, {"job": run.job}))
    with access.as_system(db.session()) as session:
        failed = select(FailedCall.id).where(FailedCall.settled_on.is_(None)).limit(1000)
        found.append(Gauge("crm_failed_calls", "Calls that failed for good.", len(session.scalars(failed).all())))
    return found
