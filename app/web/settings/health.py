"""The pages of health: the six thresholds and their history, the self-test, slow statements and errors."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import current_app, flash, redirect, request
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import delete, select

from app import access
from app.domain.maintenance import health_samples, health_thresholds
from app.domain.maintenance.health_samples import INSTALLATION, SamplePoint
from app.domain.maintenance.health_thresholds import MEASURES, Threshold
from app.domain.maintenance.health_watch import with_unit
from app.extensions import db
from app.lib.digit_grouping import grouped
from app.lib.product_version import product_version
from app.models import ErrorReport, HealthCrossing, SlowStatement
from app.ops.database.server_status import server_status
from app.ops.monitoring import process_health
from app.ops.queues import queue
from app.web.core.fab_access import current_viewer
from app.web.core.fields.date_fields import moment_cell
from app.web.core.request_transaction import request_transaction
from app.web.core.viewer import Viewer
from app.web.pages.routes import page_route
from app.web.pages.settings_page import SettingsPage
from app.web.settings import health_databases
from app.web.settings.health_chart import Chart, chart_of

#: ?span= -> (label, length, minutes per point of the charts).
SPANS = {
    "hour": (_l("1 hour"), timedelta(hours=1), 1),
    "day": (_l("24 hours"), timedelta(days=1), 15),
    "week": (_l("7 days"), timedelta(days=7), 120),
    "month": (_l("30 days"), timedelta(days=30), 480),
}
LABELS = {
    "response": _l("Response time"),
    "errors": _l("Errors"),
    "queue": _l("Queue"),
    "connections": _l("Database connections"),
    "memory": _l("Memory"),
    "disk": _l("Disk"),
}
EXPLAINED = {
    "response": _l("95 of 100 requests were answered within this time."),
    "errors": _l("Share of requests that ended with a server error."),
    "queue": _l("Work that is ready to run."),
    "connections": _l("Of all programs that use the database."),
    "memory": _l("Of the fullest server."),
    "disk": _l("Of the fullest disk with files or backups of the CRM."),
}
#: Check of the self-test -> its label; others are shown by name.
CHECKS = {
    "database": _l("Database"),
    "schema": _l("Database schema"),
    "memory": _l("Memory of the database"),
    "replicas": _l("Replicas"),
    "redis": _l("Redis"),
    "realtime": _l("Live updates"),
    "queue": _l("Queue"),
    "scheduler": _l("Scheduler"),
    "clock": _l("Clock"),
    "keys": _l("Keys"),
    "mail": _l("Mail"),
    "storage": _l("Storage"),
    "backup": _l("Backup"),
    "custom fields": _l("Custom fields"),
    "proxy": _l("Proxy"),
}
_STATES = {
    process_health.OK: (_l("OK"), "green"),
    process_health.OFF: (_l("Not set up"), "gray"),
    process_health.DEGRADED: (_l("Degraded"), "amber"),
    process_health.FAILED: (_l("Failed"), "red"),
}
#: How many slow statements and errors are shown.
MAX_ROWS = 100


class HealthView(SettingsPage):
    """/health/"""

    route_base = "/health"
    VERBS = {"index": "read", "slow": "read", "errors": "read", "clear": "write"}

    @page_route("/")
    def index(self) -> Any:
        """The six thresholds now, their history, past crossings, and the servers."""
        viewer, session = current_viewer(), db.session()
        span = request.args.get("span", "hour")
        span = span if span in SPANS else "hour"
        _label, back, step = SPANS[span]
        moment = datetime.now(UTC)
        points = health_samples.history(session, moment - back, step)
        charts = [_chart(each, points, (moment - back, moment), step) for each in MEASURES]
        running = [row for row in health_thresholds.crossings(session) if row.ended_on is None]
        crossed = {row.measure for row in running}
        now_values = _values_now(moment)
        return self.render_template(
            "settings/health.html",
            tiles=[_tile(each, now_values, crossed, chart) for each, chart in zip(MEASURES, charts, strict=True)],
            crossings=[_crossing(row, viewer) for row in health_thresholds.crossings(session)],
            servers=[_server(each, viewer) for each in health_samples.servers(session, moment)],
            backends=health_databases.rows(),
            spans=[(name, label) for name, (label, *_rest) in SPANS.items()],
            span=span,
            admin=viewer.person.is_admin,
            version=product_version(),
        )

    @page_route("/slow/")
    def slow(self) -> Any:
        """Slow statements, the most expensive first."""
        viewer = _admin()
        query = select(SlowStatement).order_by(SlowStatement.total_ms.desc()).limit(MAX_ROWS)
        rows = [
            {
                "text": row.text,
                "place": row.place,
                "times": row.times,
                "mean": with_unit(row.total_ms / max(1, row.times), "ms"),
                "most": with_unit(row.max_ms, "ms"),
                "last": moment_cell(row.last_on, viewer),
            }
            for row in db.session.scalars(query)
        ]
        return self.render_template("settings/health_slow_statements.html", rows=rows)

    @page_route("/errors/")
    def errors(self) -> Any:
        """Errors reported by our code, newest first."""
        viewer = _admin()
        query = select(ErrorReport).order_by(ErrorReport.last_on.desc()).limit(MAX_ROWS)
        rows = [
            {
                "text": row.text,
                "place": row.place,
                "trace": row.trace,
                "times": row.times,
                "reference": row.request_id[:10],
                "first": moment_cell(row.first_on, viewer),
                "last": moment_cell(row.last_on, viewer),
            }
            for row in db.session.scalars(query)
        ]
        return self.render_template("settings/health_errors.html", rows=rows)

    @page_route("/clear/<any(slow, errors):what>", methods=["POST"])
    def clear(self, what: str) -> Any:
        """Delete all slow statements, or all errors, so that later ones stand out."""
        _admin()
        kind: Any = SlowStatement if what == "slow" else ErrorReport
        with request_transaction() as session:
            session.execute(delete(kind), execution_options={"synchronize_session": False})
        flash(_("The list was emptied."), "success")
        return redirect(f"/health/{what}/")


class SelfTestView(SettingsPage):
    """/self-test/"""

    route_base = "/self-test"
    VERBS = {"index": "read"}

    @page_route("/")
    def index(self) -> Any:
        """Run all checks and show their results, with advice."""
        began = time.perf_counter()
        found = current_app.extensions["crm_self_test"]()
        found["proxy"] = _proxy()
        rows = [_finding(name, each) for name, each in found.items()]
        bad = [row for row in rows if row["tone"] in ("red", "amber")]
        seconds = f"{time.perf_counter() - began:.1f}"
        return self.render_template("settings/self_test.html", rows=rows, bad=len(bad), seconds=seconds)


def _admin() -> Viewer:
    """The viewer, who must be an admin. Raises Denied."""
    viewer = current_viewer()
    if not viewer.person.is_admin:
        raise access.Denied(_("Only an admin can see this."))
    return viewer


# --- the thresholds


def _values_now(moment: datetime) -> dict[str, float | None]:
    """Measure -> its current value: times and errors over the last minutes, the others as read now."""
    session = db.session()
    depths = queue.depths()
    values = health_thresholds.values(health_thresholds.window(session, moment))
    values["queue"] = None if depths is None else sum(each.waiting for each in depths)
    values["connections"] = server_status(session).connections
    return values


def _chart(measure: Threshold, points: list[SamplePoint], ends: tuple[datetime, datetime], step: int) -> Chart:
    by_measure = {
        "response": lambda point: point.response_ms,
        "errors": lambda point: point.error_percent,
        "queue": lambda point: point.queue_depth,
        "connections": lambda point: point.db_connections,
        "memory": lambda point: point.memory_percent,
        "disk": lambda point: point.disk_percent,
    }[measure.name]
    minutes = (health_samples.minute_of(ends[0]), health_samples.minute_of(ends[1]))
    values = [(point.minute, by_measure(point)) for point in points]
    return chart_of(values, minutes, step, measure.threshold)


@dataclass(frozen=True)
class _Tone:
    tone: str
    word: str


def _state(measure: Threshold, value: float | None, crossed: set[str]) -> _Tone:
    if value is not None and value > measure.threshold:
        return _Tone("red", _("Above the limit"))
    if measure.name in crossed:
        return _Tone("amber", _("Was above the limit"))
    if value is None and measure.name in ("response", "errors"):
        return _Tone("gray", _("Too few requests"))
    return _Tone("gray", _("Not measured")) if value is None else _Tone("green", _("Within the limit"))


def _tile(measure: Threshold, values: dict[str, float | None], crossed: set[str], chart: Chart) -> dict[str, Any]:
    value = values[measure.name]
    state = _state(measure, value, crossed)
    return {
        "label": LABELS[measure.name],
        "what": EXPLAINED[measure.name],
        "value": with_unit(value, measure.unit),
        "limit": with_unit(measure.threshold, measure.unit),
        "tone": state.tone,
        "word": state.word,
        "chart": chart,
        "most": with_unit(chart.highest, measure.unit),
    }


def _crossing(row: HealthCrossing, viewer: Viewer) -> dict[str, Any]:
    measure = next(each for each in MEASURES if each.name == row.measure)
    worst = row.worst / 10 if measure.name == "errors" else row.worst
    return {
        "label": LABELS[row.measure],
        "server": row.server,
        "began": moment_cell(row.began_on, viewer),
        "ended": moment_cell(row.ended_on, viewer) if row.ended_on else None,
        "worst": with_unit(worst, measure.unit),
        "limit": with_unit(row.threshold, measure.unit),
    }


def _server(state: health_samples.ServerState, viewer: Viewer) -> dict[str, Any]:
    return {
        "server": state.server if state.server != INSTALLATION else "–",
        "role": _("Sockets") if state.role == "sockets" else _("Pages"),
        "last": moment_cell(state.last_on, viewer),
        "requests": grouped(state.requests),
        "memory": with_unit(state.memory_percent, "%"),
        "disk": with_unit(state.disk_percent, "%"),
    }


# --- the self-test


def _finding(name: str, result: process_health.CheckResult) -> dict[str, Any]:
    word, tone = _STATES[result.state]
    return {
        "label": CHECKS.get(name, name.capitalize()),
        "name": name,
        "word": word,
        "tone": tone,
        "sentence": result.sentence,
        "advice": result.advice,
    }


def _proxy() -> process_health.CheckResult:
    """Whether this request arrived through the configured number of proxies."""
    count = current_app.config["CRM"].proxies
    is_forwarded = "X-Forwarded-For" in request.headers
    if is_forwarded and not count:
        sentence = _("There is a proxy, but its addresses are ignored: everybody seems to have the same one.")
        return process_health.CheckResult(
            process_health.DEGRADED, sentence, _("Set CRM_PROXIES=1, and start the servers again.")
        )
    if count and not is_forwarded:
        sentence = _("CRM_PROXIES is set, but this request came without a proxy: anybody could claim any address.")
        return process_health.CheckResult(
            process_health.DEGRADED, sentence, _("Let only the proxy reach the CRM (CRM_HOST=127.0.0.1).")
        )
    if not count:
        return process_health.CheckResult(process_health.OFF, _("No proxy is in front."))
    return process_health.CheckResult(process_health.OK, _("The proxy passes on the addresses of people."))
