"""The CRM: `create_app` is the only place where its parts are wired together."""

from __future__ import annotations

from app.extensions import compress, csrf, db, migrate  # first, because it decides what the other extensions import

# isort: split
import hmac
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from flask import Flask
from flask_appbuilder import AppBuilder
from sqlalchemy.orm import Session
from werkzeug.middleware.proxy_fix import ProxyFix

import config
import database_engine
import flask_config
from app import access, addons, cli, job_runner, jobs, models, self_test, session_hooks, views  # noqa: F401  (all tables must be known before the mappers are used)
from app.channels.base import Channel
from app.channels.console import Console
from app.channels.smtp_client import SmtpClient, server_of
from app.channels.webhook import WebhookClient
from app.domain.audit_log import audit_keys
from app.domain.audit_log.audit_keys import AuditKeys
from app.domain.maintenance import health_samples
from app.lib.fair_semaphore import FairSemaphore
from app.lib.field_encryption import Vault, audit_key, read_key
from app.ops.database import connections, primary_address
from app.ops.monitoring import error_reports, log_redaction, machine_resources, process_metrics, request_log
from app.ops.queues import queue
from app.ops.queues.redis_queue import RedisQueue
from app.ops.queues.thread_queue import ThreadQueue
from app.ops.statements import sqlalchemy_internals
from app.ops.storage.file_store import FileStore, FolderStore
from app.ops.storage.s3_bucket import S3Place
from app.ops.storage.s3_store import S3Store
from app.ops.storage.virus_scanner import Scanner
from app.outbox import alert_emails, message_delivery, notice_delivery, webhook_capture
from app.outbox.webhook_delivery import WebhookSender
from app.web.api import webhook_payloads
from app.web.compat import routes
from app.web.core import flask_internals
from app.web.core.application import Application
from app.web.core.localization import languages
from app.web.core.queries import replica_lists
from app.web.core.urls import lazy_url_rules
from app.web.dashboards import chart_html
from app.web.messaging import provider_webhooks, signed_file_urls
from app.web.pages import (
    allowed_hosts,
    errors,
    expired_forms,
    process_roles,
    progressive_web_app,
    request_start,
    response_headers,
    submitted_data,
    template_context,
)
from app.web.pages.templates import PageEnvironment
from app.web.realtime import live_events
from app.web.records.timelines import composer
from app.web.security import cors, head_requests, rate_limits, security_manager, session_cookie
from app.web.settings import queue_page, settings_menu
from app.web.workday import first_steps, sidebar, snooze_choices


def create_app(settings: config.Settings | None = None, **overrides: object) -> Flask:
    """Create the application. `overrides` are Flask configuration keys, for tests."""
    settings = settings or config.load()
    # FAB warns of every refused request and every filter that it doesn't know; we log our own warnings.
    logging.getLogger("flask_appbuilder").setLevel(logging.ERROR)
    log_redaction.install()
    submitted_data.install()
    error_reports.install(settings.sentry_dsn, settings.server_name)
    flask_internals.shorten_proxies()
    sqlalchemy_internals.find_columns_at_once()
    app = _flask(settings, overrides)
    _add_extensions(app, settings)
    session_hooks.install()
    with app.app_context():
        _use_database(app, settings)
        template_context.install(app, sidebar.menu)
        request_start.install(app)
        response_headers.install(app)
        app.jinja_env.globals.update(
            first_steps.GLOBALS | composer.GLOBALS | chart_html.GLOBALS | snooze_choices.GLOBALS
        )
        cors.install(app)
        rate_limits.install(app, settings)
        _build(app)
        languages.install(app, config.ROOT / "translations")
        _publish_jobs(app, settings)
    errors.install(app)
    expired_forms.install(app)
    progressive_web_app.install(app)
    request_log.bind(app)
    for part in (routes, provider_webhooks, signed_file_urls, live_events):
        part.install(app)
    app.wsgi_app = process_roles.ProcessRoutesOnly(app.wsgi_app, settings.roles)  # type: ignore[method-assign]
    _guard_hosts(app, settings)
    _queue(app, settings)
    self_test.install()
    cli.register(app, jobs=lambda: jobs, demo=_demo)
    return app


def _flask(settings: config.Settings, overrides: dict[str, object]) -> Flask:
    """The Flask application with its configuration, and nothing attached."""
    app = Application(__name__)
    app.jinja_environment = PageEnvironment
    app.url_rule_class = lazy_url_rules.LazyRule
    app.session_interface = session_cookie.SessionCookies()
    app.config.update(flask_config.flask_config(settings))
    app.config.update(overrides)
    app.wsgi_app = head_requests.HeadRequests(app.wsgi_app)  # type: ignore[method-assign]
    return app


def _add_extensions(app: Flask, settings: config.Settings) -> None:
    app.extensions["crm_files"] = _files(settings)
    app.extensions["crm_scanner"] = Scanner(*settings.clamd) if settings.clamd is not None else None
    csrf.init_app(app)
    compress.init_app(app)
    db.init_app(app)
    connections.end_sessions_quietly(app, db.session)
    migrate.init_app(app, db, directory=str(config.ROOT / "migrations"))
    addons.add_revisions(migrate)


def _use_database(app: Flask, settings: config.Settings) -> None:
    """Tune the connections, follow the primary, and read lists from replicas."""
    _use_keys(app, settings)
    primary_address.follow(settings.database_url, settings.settings_file)
    connections.tune(db.engine)
    process_metrics.bind(app, db.engine, _measures_store(settings))
    replica_lists.install(app, settings)


def _publish_jobs(app: Flask, settings: config.Settings) -> None:
    """What pages need of jobs, the self-test and the settings menu, which import the pages."""
    app.extensions["crm_jobs"] = _runner(app, settings, app.extensions["crm_files"])
    app.extensions["crm_job_names"], app.extensions["crm_minute_jobs"] = jobs.names(), jobs.minutely()
    app.extensions["crm_next_jobs"] = lambda now: jobs.next_runs(now, settings.time_zone)
    app.extensions["crm_run_job"] = lambda name: jobs.run_now(app, name)
    app.extensions["crm_self_test"] = self_test.run
    app.extensions["crm_settings_menu"] = settings_menu.links


def _use_keys(app: Flask, settings: config.Settings) -> None:
    """Set up the vault and the key of the audit log."""
    key, *older = map(read_key, (settings.field_key, *settings.field_keys_old))
    vault = app.extensions["vault"] = Vault(key, older)
    audit_keys.set_keys(db.engine, AuditKeys(audit_key(key), [audit_key(each) for each in older], vault))


def _guard_hosts(app: Flask, settings: config.Settings) -> None:
    """Refuse requests for unknown hosts before routing; before that, apply what trusted proxies say about the host."""
    app.wsgi_app = allowed_hosts.AllowedHosts(app.wsgi_app, settings)  # type: ignore[method-assign]
    if settings.proxies:
        count = settings.proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=count)  # type: ignore[method-assign]


def _measures_store(settings: config.Settings) -> Callable[[process_metrics.MetricsBatch], None]:
    """Return the function that stores a process's metrics, in a transaction of its own."""
    role = "web" if "web" in settings.roles else "sockets"
    bound = db.engine
    backups = [settings.backup.folder] if settings.backup else []
    folders = [settings.instance_dir, settings.instance_dir / "files", *backups]

    def store(batch: process_metrics.MetricsBatch) -> None:
        full = machine_resources.memory_percent(), machine_resources.disk_percent(folders)
        source = health_samples.SampleSource(settings.server_name, role, *full)
        token = connections.WRITES.set(True)
        try:
            with Session(bound) as session, access.as_system(session):
                health_samples.store(session, batch, source, datetime.now(UTC))
                session.commit()
        finally:
            connections.WRITES.reset(token)

    return store


def _build(app: Flask) -> None:
    """Set up FAB with our security manager, endpoints and screens."""
    security = type("Security", (security_manager.Security,), dict(settings_menu.FAB_SCREENS))
    builder = AppBuilder(security_manager_class=security, indexview=views.INDEX)
    builder.init_app(app, db.session)
    views.register(builder)
    addons.register(builder, app.config["CRM"].addons)
    app.jinja_env.globals["appbuilder"] = builder


def _files(settings: config.Settings) -> FileStore:
    """Create the store for files of messages."""
    if settings.files is None:
        return FolderStore(settings.instance_dir / "files")
    return S3Store(S3Place(*settings.files, settings.s3_endpoint, settings.s3_region))


def _runner(app: Flask, settings: config.Settings, files: FileStore) -> job_runner.Runner:
    """Create the job runner, whose sessions use the application's engine."""
    bound = db.engine

    def announce(notified: list[tuple[int, str]]) -> None:
        live_events.announce(notified)
        alert_emails.watch(app, notified)

    return job_runner.Runner(
        lambda: Session(bound, expire_on_commit=False),
        *(settings.time_zone, announce),
        turns=FairSemaphore(database_engine.job_transactions(settings)),
        folder=settings.instance_dir,
        files=files,
    )


def _queue(app: Flask, settings: config.Settings) -> None:
    """Set up the queue and the channels."""
    queue.register(*jobs.QUEUED)
    app.extensions["crm_backlog"] = jobs.BACKLOG
    keys = [_signing_key(each) for each in (settings.secret_key, *settings.secret_keys_old)]
    place = queue.QueueSettings(
        *(app.app_context, settings.retry_seconds, queue_page.store, keys[0], settings.queue_workers),
        *(tuple(keys[1:]), settings.server_name),
    )
    threads = {} if app.testing else settings.queue_workers  # in tests nothing runs by itself
    queue.install(place, RedisQueue(settings.redis_url) if settings.redis_url else ThreadQueue(threads))
    notice_delivery.install(app, {"email": _email(settings)})
    message_delivery.install(app, rate_limits.new_counter(settings))
    client = WebhookClient(private=settings.webhooks_private)
    webhook_capture.install(app, WebhookSender(client, webhook_payloads.write, settings.webhook_seconds))


def _signing_key(secret_key: str) -> bytes:
    """The key that signs the calls in the queue."""
    return hmac.new(secret_key.encode(), b"queued calls", "sha256").digest()


def _email(settings: config.Settings) -> Channel:
    if settings.smtp_url is None:
        return Console("e-mail")
    return SmtpClient(server_of(settings.smtp_url), settings.smtp_from, settings.smtp_seconds)


def _demo() -> object:
    from app import demo

    return demo
