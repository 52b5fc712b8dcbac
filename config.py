"""All settings of the product, with unit and default. Only this module reads os.environ."""

from __future__ import annotations

import base64
import difflib
import ipaddress
import os
import re
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from email.utils import parseaddr
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import backup_settings
import server_urls
from backup_settings import BackupSettings, WrongBackupSetting
from key_files import BadKeyFile, KeyFile

ROOT = Path(__file__).resolve().parent
#: The roles of a process. If one process has all of them, CRM_ROLE is not set.
ROLES = ("web", "sockets", "worker", "scheduler")
#: The name of the CRM until it is changed.
DEFAULT_BRAND = "Eshin CRM"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
#: Code -> the language's own name: for pages (if there is a catalog of their texts) and for message templates. All
#: but English need a catalog in translations/: `make check-translations`.
LANGUAGE_NAMES = {"en": "English", "hi": "हिन्दी", "gu": "ગુજરાતી", "mr": "मराठी"}
#: Seconds that a request waits for a database connection of its process, and for a lock of another transaction.
POOL_SECONDS, LOCK_WAIT_SECONDS = 10, 5
#: A transaction that is idle for this long belongs to a frozen process: MariaDB rolls it back and releases its locks.
IDLE_TRANSACTION_SECONDS = 20
#: How long MariaDB works on one statement of a process that only answers requests (CRM_ROLE=web): nobody waits longer.
STATEMENT_SECONDS = 30


#: Connections of one process: of a web process; (kept, at most) of the sockets, of each worker, and of a process that
#: may have the schedule. With two web processes, five workers, sockets and schedule they are 36 at most.
WEB_CONNECTIONS, SOCKETS_CONNECTIONS, WORKER_CONNECTIONS, SCHEDULE_CONNECTIONS = 7, (2, 3), (1, 2), 3
#: How many transactions of jobs a process has at once.
JOB_TRANSACTIONS = 2


#: Paths of uploads, and the maximum size of such a request: more than that of an accepted file (25 MB), so that a
#: slightly larger one is refused with a message beside the submitted values.
UPLOAD_PATHS = (
    *("/inbox/", "/mail/", "/api/v1/message/files", "/api/method/upload_file", "/settings/channels/console/"),
    *("/files/", "/api/v1/file/", "/pictures/", "/leads/note/", "/tickets/note/", "/customers/note/"),
    "/imports/",
)
MAX_UPLOAD_BYTES = 33 * 1024 * 1024


class _Requested(dict[str, str]):
    """The environment; remembers the requested names, so that all others are unknown."""

    def __init__(self, values: dict[str, str]) -> None:
        super().__init__(values)
        self.names: set[str] = set()

    def get(self, name: str, default: object = None) -> str | None:  # type: ignore[override]
        """As in a dict."""
        self.names.add(name)
        return super().get(name)

    def unknown(self) -> tuple[tuple[str, str], ...]:
        """(name, most similar known name) of each CRM_… variable that no setting has requested."""
        known = sorted(self.names)
        strange = sorted(name for name in self if name.startswith("CRM_") and name not in self.names)
        return tuple((name, next(iter(difflib.get_close_matches(name, known, 1, 0.8)), "")) for name in strange)


class WrongSetting(Exception):
    """A setting has an invalid value. The message is one sentence that names the setting."""


@dataclass(frozen=True)
class Settings:
    """The settings of the operator. `load` reads them once, at the start."""

    #: SQLAlchemy URL of the database; SQLite in the instance folder unless given.
    database_url: str
    #: Redis URL, or None for queue, cache, limits and socket messages within the process.
    redis_url: str | None
    #: Address and TCP port to listen on.
    host: str
    port: int
    #: Folder for the SQLite file, generated keys, uploads and locks.
    instance_dir: Path
    #: Signs cookies and tokens.
    secret_key: str
    #: Encrypts PAN and Aadhaar (32 bytes, urlsafe base64).
    field_key: str
    #: Password of the first admin; None = a random one, printed once.
    admin_password: str | None
    #: Whether this process runs the minute jobs.
    scheduler: bool
    #: The URL at which browsers and providers reach the CRM, without trailing slash.
    public_url: str
    #: The office's time zone (IANA name).
    time_zone: str
    #: The product name that users see.
    brand: str
    #: Whether to load the demo data at the first start.
    demo: bool
    #: Gunicorn worker processes, each with its own thread pool.
    workers: int
    #: Threads per worker. Each open WebSocket occupies one.
    threads: int
    #: The number of reverse proxies in front that set X-Forwarded-*; 0 = trust none.
    proxies: int
    #: Whether responses have the header X-SQL-Count, the number of SQL statements (for the benchmarks).
    count_sql: bool = False
    #: Mail server, smtp+starttls://user:password@host:587 (or smtps://, smtp://); None = email is only logged.
    smtp_url: str | None = None
    #: The sender of email, "Name <address>".
    smtp_from: str = ""
    #: Seconds that the mail server may take for each reply.
    smtp_seconds: int = 10
    #: Whether the server also runs the queue's workers, where there is Redis.
    run_workers: bool = False
    #: Queue -> number of workers that run its calls on Redis; without Redis, threads of this process.
    queue_workers: dict[str, int] = field(default_factory=lambda: {"short": 2, "default": 2, "long": 1})
    #: Seconds before the second, third … attempt of a queued call.
    retry_seconds: tuple[int, ...] = (5, 30, 120, 600)
    #: Former keys, newest first: what was signed or encrypted with them is still accepted.
    secret_keys_old: tuple[str, ...] = ()
    field_keys_old: tuple[str, ...] = ()
    #: Whether webhooks may use http, loopback and private addresses. For development and tests only.
    webhooks_private: bool = False
    #: Seconds before the second, third … attempt of a webhook delivery.
    webhook_seconds: tuple[int, ...] = (60, 300, 1800, 7200, 28_800)
    #: (calls, seconds): the maximum rate of API calls of a key, person or address, and of those with changes. None = no
    #: limit.
    api_limit: tuple[int, int] | None = (9000, 60)
    api_write_limit: tuple[int, int] | None = (3000, 60)
    #: Origins whose pages may call the API with a key or token, such as https://desk.example.
    cors_origins: tuple[str, ...] = ()
    #: Dotted paths of FAB add-on managers, package.Manager.
    addons: tuple[str, ...] = ()
    #: Kind of provider -> a URL instead of its own, such as that of a double in tests.
    provider_urls: dict[str, str] = field(default_factory=dict)
    #: (bucket, prefix of the keys of all files) of an S3-compatible storage; None = a folder of this server.
    files: tuple[str, str] | None = None
    #: (host, port, path of a Unix socket) of a virus scanner that speaks clamd's protocol; None = there is none.
    clamd: tuple[str, int, str] | None = None
    #: The URL of a storage other than Amazon's, and the region of the bucket; None = boto's defaults.
    s3_endpoint: str | None = None
    s3_region: str | None = None
    #: A session ends after this many hours without use, whatever its kind.
    session_idle_hours: int = 12
    #: A session ends this many days after its sign-in, whatever its use.
    session_days: int = 7
    #: Backups; None only in settings that were not loaded.
    backup: BackupSettings | None = None
    #: The roles of this process: some of ROLES; all of them unless the work is divided among processes.
    roles: tuple[str, ...] = ROLES
    #: The name of this server in health samples and metrics.
    server_name: str = "server"
    #: Whether each line of the log is a JSON object.
    log_json: bool = False
    #: Networks from which /metrics can be read without a token.
    metrics_from: tuple[Network, ...] = ()
    #: The token for reading /metrics from anywhere; None = there is none.
    metrics_token: str | None = None
    #: The URL for error reports by Sentry's protocol; None = no reports.
    sentry_dsn: str | None = None
    #: URLs of replicas of `database_url`, from which lists are read; all with the same database.
    replica_urls: tuple[str, ...] = ()
    #: A replica that is further behind isn't read from.
    replica_lag_seconds: int = 10
    #: The maximum number of a process's connections to MariaDB; None = depends on its role.
    database_connections: int | None = None
    #: The file from which deploy/crm-role has read these settings; None = another source.
    settings_file: Path | None = None
    #: CRM_… variables unknown to this version, with the most similar setting ("" if there is none).
    unknown: tuple[tuple[str, str], ...] = ()

    @property
    def is_https(self) -> bool:
        """Whether browsers reach the CRM over https."""
        return self.public_url.startswith("https://")


def load(environ: dict[str, str] | None = None) -> Settings:
    """Read and check all settings. Creates the instance folder and its keys.

    Raises WrongSetting.
    """
    env = _Requested(dict(os.environ if environ is None else environ))
    instance_dir = _folder(env.get("CRM_INSTANCE_DIR") or str(ROOT / "instance"))
    roles = _roles(env)
    settings = Settings(
        instance_dir=instance_dir,
        time_zone=_zone(env.get("CRM_TIME_ZONE")),
        brand=(env.get("CRM_BRAND") or DEFAULT_BRAND).strip()[:60],
        demo=_bool("CRM_DEMO", env.get("CRM_DEMO"), False),
        addons=_addons(env.get("CRM_ADDONS")),
        settings_file=Path(file) if (file := env.get("CRM_SETTINGS_FILE")) else None,
        **_keys(env, instance_dir),
        **_server(env, roles),
        **_storage(env, instance_dir),
        **_delivery(env, roles),
        **_monitoring(env),
    )
    return replace(settings, unknown=env.unknown())


def _keys(env: _Requested, instance_dir: Path) -> dict[str, Any]:
    """The secrets: of sessions, of sealed fields, and those used before."""
    return {
        "secret_key": _secret_key(env.get("CRM_SECRET_KEY"), instance_dir),
        "field_key": _field_key(env.get("CRM_FIELD_KEY"), instance_dir),
        "secret_keys_old": _old_keys("CRM_SECRET_KEYS_OLD", env.get("CRM_SECRET_KEYS_OLD"), _is_secret_key),
        "field_keys_old": _old_keys("CRM_FIELD_KEYS_OLD", env.get("CRM_FIELD_KEYS_OLD"), _is_field_key),
        "admin_password": env.get("CRM_ADMIN_PASSWORD") or None,
    }


def _server(env: _Requested, roles: tuple[str, ...]) -> dict[str, Any]:
    """Where and how the processes serve."""
    is_sockets_only = roles == ("sockets",)
    port = _int("CRM_PORT", env.get("CRM_PORT"), 9000 if is_sockets_only else 8000, 1, 65535)
    return {
        "host": _host(env.get("CRM_HOST")),
        "port": port,
        "public_url": _public_url(env.get("CRM_PUBLIC_URL"), port),
        "workers": _int("CRM_WORKERS", env.get("CRM_WORKERS"), 1, 1, 64),
        "threads": _int("CRM_THREADS", env.get("CRM_THREADS"), 512 if is_sockets_only else 48, 2, 512),
        "proxies": _int("CRM_PROXIES", env.get("CRM_PROXIES"), 0, 0, 8),
        "roles": roles or ROLES,
        "server_name": _server_name(env.get("CRM_SERVER_NAME")),
        "cors_origins": _origins(env.get("CRM_CORS_ORIGINS")),
        "session_idle_hours": _int("CRM_SESSION_IDLE_HOURS", env.get("CRM_SESSION_IDLE_HOURS"), 12, 1, 168),
        "session_days": _int("CRM_SESSION_DAYS", env.get("CRM_SESSION_DAYS"), 7, 1, 90),
        "api_limit": _rate("CRM_API_LIMIT", env.get("CRM_API_LIMIT"), (9000, 60)),
        "api_write_limit": _rate("CRM_API_WRITE_LIMIT", env.get("CRM_API_WRITE_LIMIT"), (3000, 60)),
    }


def _storage(env: _Requested, instance_dir: Path) -> dict[str, Any]:
    """Databases, Redis, files and backups."""
    database_url = _database(env.get("CRM_DATABASE_URL"), instance_dir)
    return {
        "database_url": database_url,
        "database_connections": _int("CRM_DATABASE_CONNECTIONS", env.get("CRM_DATABASE_CONNECTIONS"), 0, 2, 200)
        if env.get("CRM_DATABASE_CONNECTIONS")
        else None,
        "replica_urls": _replicas(env, database_url),
        "replica_lag_seconds": _int("CRM_REPLICA_LAG_SECONDS", env.get("CRM_REPLICA_LAG_SECONDS"), 10, 1, 300),
        "redis_url": _redis(env.get("CRM_REDIS_URL")),
        "files": _files(env.get("CRM_FILES")),
        "clamd": _clamd(env.get("CRM_CLAMD_URL")),
        "s3_endpoint": _url("CRM_S3_ENDPOINT", env.get("CRM_S3_ENDPOINT")),
        "s3_region": _region(env.get("CRM_S3_REGION")),
        "backup": _backup(env, instance_dir),
    }


def _delivery(env: _Requested, roles: tuple[str, ...]) -> dict[str, Any]:
    """What is sent, and by which workers."""
    return {
        "smtp_url": _smtp(env.get("CRM_SMTP_URL")),
        "smtp_from": _smtp_from(env.get("CRM_SMTP_FROM"), env.get("CRM_SMTP_URL")),
        "smtp_seconds": _int("CRM_SMTP_TIMEOUT_SECONDS", env.get("CRM_SMTP_TIMEOUT_SECONDS"), 10, 1, 30),
        "provider_urls": _provider_urls(env),
        "scheduler": _does(env, "CRM_SCHEDULER", "scheduler", roles),
        "run_workers": _does(env, "CRM_RUN_WORKERS", "worker", roles),
        "queue_workers": {
            queue: _int(f"CRM_QUEUE_{queue.upper()}", env.get(f"CRM_QUEUE_{queue.upper()}"), default, 0, 64)
            for queue, default in (("short", 2), ("default", 2), ("long", 1))
        },
        "retry_seconds": _seconds("CRM_RETRY_SECONDS", env.get("CRM_RETRY_SECONDS"), (5, 30, 120, 600)),
        "webhooks_private": _bool("CRM_WEBHOOKS_PRIVATE", env.get("CRM_WEBHOOKS_PRIVATE"), False),
        "webhook_seconds": _seconds(
            "CRM_WEBHOOK_SECONDS", env.get("CRM_WEBHOOK_SECONDS"), (60, 300, 1800, 7200, 28_800)
        ),
    }


def _monitoring(env: _Requested) -> dict[str, Any]:
    """Logs, metrics and error reports."""
    return {
        "count_sql": _bool("CRM_COUNT_SQL", env.get("CRM_COUNT_SQL"), False),
        "log_json": _log_format(env.get("CRM_LOG_FORMAT")) == "json",
        "metrics_from": _networks("CRM_METRICS_FROM", env.get("CRM_METRICS_FROM") or "127.0.0.0/8, ::1"),
        "metrics_token": _token(env.get("CRM_METRICS_TOKEN")),
        "sentry_dsn": _dsn(env.get("CRM_SENTRY_DSN")),
    }


def unknown_sentences(settings: Settings) -> list[str]:
    """One sentence for each CRM_… variable that is ignored because no setting has this name."""
    return [
        f"Warning: {name} is not a setting and is ignored." + (f" Did you mean {close}?" if close else "")
        for name, close in settings.unknown
    ]


def flask_config(settings: Settings) -> dict[str, object]:
    """The configuration of Flask, FAB and the extensions for these settings."""
    return {
        **_FAB_CONFIG,
        **_BODY_CONFIG,
        **_session_config(settings),
        "APP_NAME": settings.brand,
        "SQLALCHEMY_DATABASE_URI": settings.database_url,
        "SQLALCHEMY_ENGINE_OPTIONS": engine_options(settings),
        "BABEL_DEFAULT_LOCALE": "en",
        "BABEL_TRANSLATION_DIRECTORIES": str(ROOT / "translations"),
        "LANGUAGES": _languages(),
        "API_LANGUAGES": _api_languages(),
        "COUNT_SQL": settings.count_sql,
        "CRM": settings,
    }


_FAB_CONFIG: dict[str, object] = {
    "FAB_CREATE_DB": False,
    "FAB_UPDATE_PERMS": False,
    "FAB_ADD_OPENAPI_VIEWS": False,
    "FAB_API_MAX_PAGE_SIZE": 100,
    "FAB_API_KEY_ENABLED": True,
    "FAB_ADD_SECURITY_API": False,
    "FAB_ADD_SECURITY_PERMISSION_VIEW": True,
    "FAB_ADD_SECURITY_VIEW_MENU_VIEW": True,
    "FAB_ADD_SECURITY_PERMISSION_VIEWS_VIEW": True,
    "FAB_PASSWORD_COMPLEXITY_ENABLED": True,
    "AUTH_TYPE": 1,
    "AUTH_RATE_LIMITED": False,
    "RATELIMIT_ENABLED": False,
    # FAB's limiter isn't used: app/web/security/rate_limits.py counts sign-ins.
    "RATELIMIT_STORAGE_URI": "memory://",
    "RATELIMIT_HEADERS_ENABLED": True,
}
#: How large requests may be, and which responses are compressed.
_BODY_CONFIG: dict[str, object] = {
    "MAX_CONTENT_LENGTH": 12 * 1024 * 1024,
    "UPLOAD_PATHS": UPLOAD_PATHS,
    "MAX_UPLOAD_LENGTH": MAX_UPLOAD_BYTES,
    "MAX_FORM_MEMORY_SIZE": 2 * 1024 * 1024,
    "COMPRESS_ALGORITHM": ["br", "gzip"],
    "COMPRESS_BR_LEVEL": 4,
    "COMPRESS_LEVEL": 5,
    "COMPRESS_MIN_SIZE": 1000,
}


def _session_config(settings: Settings) -> dict[str, object]:
    """Cookies, CSRF tokens and JSON web tokens: how they are signed and how long they are valid."""
    return {
        "SECRET_KEY": settings.secret_key,
        # The last one signs; the others are accepted, so that open forms and sessions survive a change of the key.
        "SECRET_KEY_FALLBACKS": list(settings.secret_keys_old[::-1]),
        "WTF_CSRF_SECRET_KEY": [*settings.secret_keys_old[::-1], settings.secret_key],
        "JWT_SECRET_KEY": settings.secret_key,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_SECURE": settings.is_https,
        "SESSION_COOKIE_NAME": "crm",
        "PERMANENT_SESSION_LIFETIME": settings.session_idle_hours * 3600,
        "JWT_REFRESH_TOKEN_EXPIRES": settings.session_days * 86_400,
        "WTF_CSRF_TIME_LIMIT": None,
        "WTF_CSRF_CHECK_DEFAULT": False,
        "JWT_ACCESS_TOKEN_EXPIRES": 3600,
        "JWT_ALGORITHM": "HS256",
    }


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
        f"SET SESSION innodb_lock_wait_timeout = {LOCK_WAIT_SECONDS}, "
        f"idle_transaction_timeout = {IDLE_TRANSACTION_SECONDS}, "
        # EXISTS in access rules must be checked row by row; by default MariaDB would first collect all visible rows.
        "optimizer_switch = 'exists_to_in=off'"
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


def _languages() -> dict[str, dict[str, str]]:
    """English, and the other languages for which there is a catalog."""
    available = {path.parent.parent.name for path in (ROOT / "translations").glob("*/LC_MESSAGES/messages.po")}
    return {
        code: {"flag": code, "name": name} for code, name in LANGUAGE_NAMES.items() if code == "en" or code in available
    }


def _api_languages() -> list[str]:
    """English, and the languages of error messages: those with a catalog of them, or of the pages."""
    catalogs = [
        *(ROOT / "translations").glob("*/LC_MESSAGES/errors.po"),
        *(ROOT / "translations").glob("*/LC_MESSAGES/messages.po"),
    ]
    return ["en", *sorted({path.parent.parent.name for path in catalogs})]


def _folder(path: str) -> Path:
    folder = Path(path).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WrongSetting(f"CRM_INSTANCE_DIR names the folder {folder}, which cannot be made: {error}.") from error
    return folder.resolve()


def _database(url: str | None, instance_dir: Path) -> str:
    if not url:
        return f"sqlite:///{instance_dir / 'crm.sqlite3'}"
    if url.startswith("mysql://") or url.startswith("mariadb://"):
        url = "mysql+pymysql://" + url.split("://", 1)[1]
    if not url.startswith(("sqlite:///", "mysql+pymysql://")):
        raise WrongSetting("CRM_DATABASE_URL must start with sqlite:/// or mysql+pymysql://.")
    return url


def _backup(env: _Requested, instance_dir: Path) -> BackupSettings:
    try:
        return backup_settings.load({name: env.get(f"CRM_{name}") for name in backup_settings.NAMES}, instance_dir)
    except WrongBackupSetting as error:
        raise WrongSetting(str(error)) from error


def _clamd(url: str | None) -> tuple[str, int, str] | None:
    try:
        return server_urls.clamd(url)
    except ValueError as error:
        raise WrongSetting(str(error)) from None


def _redis(url: str | None) -> str | None:
    """Check the URL. It can contain a password, so no message repeats it."""
    try:
        if url:
            server_urls.redis_topology(url)
            server_urls.refuse_missing_files(url)
    except server_urls.BadUrl as error:
        raise WrongSetting(str(error)) from None
    return url or None


def _replicas(env: _Requested, primary: str) -> tuple[str, ...]:
    """The URLs of the replicas. They contain passwords, so no message repeats them."""
    try:
        return server_urls.replica_urls(env.get("CRM_REPLICA_URLS"), primary, env.get("CRM_REDIS_URL"))
    except server_urls.BadUrl as error:
        raise WrongSetting(str(error)) from None


def _int(name: str, text: str | None, default: int, minimum: int, maximum: int) -> int:
    try:
        value = int(text) if text else default
    except ValueError:
        value = minimum - 1
    if not minimum <= value <= maximum:
        raise WrongSetting(f"{name} must be a whole number from {minimum} to {maximum}, not {text!r}.")
    return value


def _seconds(name: str, text: str | None, default: tuple[int, ...]) -> tuple[int, ...]:
    if not text:
        return default
    waits = tuple(_int(name, each.strip() or "none", 0, 1, 86_400) for each in text.split(","))
    if len(waits) > 20:
        raise WrongSetting(f"{name} may have at most 20 numbers.")
    return waits


def _provider_urls(env: _Requested) -> dict[str, str]:
    found = {}
    for kind in ("twilio", "meta", "exotel"):
        name = f"{kind.upper()}_BASE_URL"
        if url := (env.get(name) or "").strip().rstrip("/"):
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or not _has_port(parts):
                raise WrongSetting(f"{name} must be a URL such as http://127.0.0.1:4010.")
            found[kind] = url
    return found


#: S3's own rules for names of buckets, and the allowed prefix of keys.
_BUCKET, _KEY_PART = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"), re.compile(r"([A-Za-z0-9_.-]+/)*")


def _files(text: str | None) -> tuple[str, str] | None:
    if not text:
        return None
    bucket, _slash, prefix = text.removeprefix("s3://").partition("/")
    prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
    if not text.startswith("s3://") or not _BUCKET.fullmatch(bucket) or not _KEY_PART.fullmatch(prefix):
        raise WrongSetting(f"CRM_FILES must look like s3://bucket or s3://bucket/prefix, not {text!r}.")
    return bucket, prefix


def _region(text: str | None) -> str | None:
    if text and not re.fullmatch(r"[a-z0-9-]{2,40}", text):
        raise WrongSetting(f"CRM_S3_REGION must be a region such as ap-south-1, not {text!r}.")
    return text or None


def _url(name: str, text: str | None) -> str | None:
    url = (text or "").strip().rstrip("/")
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not _has_port(parts):
        raise WrongSetting(f"{name} must be a URL such as http://127.0.0.1:9000.")
    return url


def _rate(name: str, text: str | None, default: tuple[int, int]) -> tuple[int, int] | None:
    if not text:
        return default
    if text.strip().lower() == "off":
        return None
    units = {"second": 1, "minute": 60, "hour": 3600}
    number, _per, unit = text.strip().lower().partition(" per ")
    if unit not in units or not (number.isascii() and number.isdigit() and 0 < int(number[:9]) < 1_000_000):
        raise WrongSetting(f"{name} must look like “9000 per minute” (second, minute, hour) or be off, not {text!r}.")
    return int(number), units[unit]


def _origins(text: str | None) -> tuple[str, ...]:
    names = tuple(each.strip().rstrip("/").lower() for each in (text or "").split(",") if each.strip())
    for name in names:
        parts = urlsplit(name)
        if parts.scheme not in ("http", "https") or f"{parts.scheme}://{parts.netloc}" != name or "@" in name:
            raise WrongSetting(f"CRM_CORS_ORIGINS must list origins such as https://desk.example, not {name!r}.")
    return names


def _addons(text: str | None) -> tuple[str, ...]:
    paths = tuple(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))
    for path in paths:
        if "." not in path or not all(part.isidentifier() for part in path.split(".")):
            raise WrongSetting(f"CRM_ADDONS must list classes such as branches.Manager, not {path!r}.")
    return paths


def _smtp(url: str | None) -> str | None:
    """Check the URL. It contains a password, so no message repeats it."""
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtp+starttls", "smtps") or not parts.hostname or not _has_port(parts):
        raise WrongSetting("CRM_SMTP_URL must look like smtp+starttls://user:password@host:587, smtps://… or smtp://….")
    if parts.username and parts.scheme == "smtp" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise WrongSetting("CRM_SMTP_URL would send the password in the clear: use smtp+starttls:// or smtps://.")
    return url


def _has_port(parts: SplitResult) -> bool:
    """Whether the port is valid; without a port the scheme's default is used."""
    try:
        return parts.port is None or parts.port > 0
    except ValueError:
        return False


def _smtp_from(text: str | None, url: str | None) -> str:
    sender = (text or "").strip()
    address = parseaddr(sender)[1]
    is_valid = sender.isprintable() and address.isascii() and "@" in address
    if (sender or url) and not is_valid:
        raise WrongSetting("CRM_SMTP_FROM must name the sender, such as Eshin CRM <crm@example.in>.")
    return sender


def _bool(name: str, text: str | None, default: bool) -> bool:
    words = {"on": True, "1": True, "true": True, "yes": True, "off": False, "0": False, "false": False, "no": False}
    if not text:
        return default
    if text.strip().lower() not in words:
        raise WrongSetting(f"{name} must be on or off, not {text!r}.")
    return words[text.strip().lower()]


def _roles(env: _Requested) -> tuple[str, ...]:
    """The roles in CRM_ROLE, in the order of ROLES; () if it is not set."""
    chosen = {part.strip().lower() for part in (env.get("CRM_ROLE") or "").split(",") if part.strip()}
    if unknown := chosen - {*ROLES}:
        raise WrongSetting(f"CRM_ROLE must list some of {', '.join(ROLES)}, not {sorted(unknown)[0]!r}.")
    if chosen and not env.get("CRM_REDIS_URL"):
        raise WrongSetting(
            "CRM_ROLE divides the work among processes, which find each other through Redis. "
            "Set CRM_REDIS_URL, or leave CRM_ROLE out so that one process does everything."
        )
    return tuple(role for role in ROLES if role in chosen)


def _does(env: _Requested, name: str, role: str, roles: tuple[str, ...]) -> bool:
    """Whether this process does what both an on/off setting and CRM_ROLE control.

    Raises WrongSetting if they differ.
    """
    said = env.get(name)
    if not roles:
        return _bool(name, said, role == "scheduler")
    if said and _bool(name, said, False) != (role in roles):
        raise WrongSetting(f"{name}={said} contradicts CRM_ROLE={','.join(roles)}. Leave {name} out.")
    return role in roles


def _server_name(text: str | None) -> str:
    name = (text or socket.gethostname()).strip()
    if text and not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name):
        raise WrongSetting(f"CRM_SERVER_NAME must be up to 64 letters, digits, dots and dashes, not {text!r}.")
    return re.sub(r"[^A-Za-z0-9._-]", "-", name)[:64] or "server"


def _log_format(text: str | None) -> str:
    name = (text or "text").strip().lower()
    if name not in ("text", "json"):
        raise WrongSetting(f"CRM_LOG_FORMAT must be text or json, not {text!r}.")
    return name


def _networks(name: str, text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        raise WrongSetting(f"{name} must list networks such as 127.0.0.0/8, 10.0.0.5, not {text!r}.") from None


def _token(text: str | None) -> str | None:
    if text and len(text.strip()) < 24:
        raise WrongSetting("CRM_METRICS_TOKEN must have at least 24 characters.")
    return text.strip() if text else None


def _dsn(text: str | None) -> str | None:
    """Check the DSN. It contains a key, so no message repeats it."""
    if not text:
        return None
    try:
        parts = urlsplit(text)
        is_right = parts.port != 0 and bool(parts.hostname and parts.username and parts.path.strip("/"))
    except ValueError:
        is_right = False
    if not is_right or parts.scheme not in ("http", "https") or not text.isprintable():
        raise WrongSetting("CRM_SENTRY_DSN must be the URL that your error tracker shows, https://KEY@host/PROJECT.")
    return text


def _zone(text: str | None) -> str:
    name = text or "Asia/Kolkata"
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise WrongSetting(f"CRM_TIME_ZONE must be a zone such as Asia/Kolkata, not {name!r}.") from error
    return name


_LABEL = re.compile(r"[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?")


def _host(text: str | None) -> str:
    """An address or host name to listen on; an IPv6 address gets its brackets."""
    host = (text or "127.0.0.1").strip()
    try:
        address = ipaddress.ip_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
    except ValueError:
        labels = host.removesuffix(".").split(".")
        if len(host) > 253 or labels[-1].isdigit() or not all(_LABEL.fullmatch(label) for label in labels):
            raise WrongSetting(
                f"CRM_HOST must be an address to listen on, such as 127.0.0.1, 0.0.0.0 or ::1, not {host!r}."
            ) from None
        return host
    return f"[{address}]" if address.version == 6 else str(address)


def _public_url(text: str | None, port: int) -> str:
    url = (text or f"http://127.0.0.1:{port}").strip().rstrip("/")
    parts = urlsplit(url)
    if not url.startswith(("http://", "https://")) or not parts.hostname or not _has_port(parts):
        raise WrongSetting("CRM_PUBLIC_URL must be a URL such as https://crm.example, with http:// or https://.")
    if parts.username is not None or parts.query or parts.fragment or not (url.isascii() and url.isprintable()):
        raise WrongSetting("CRM_PUBLIC_URL must be a plain URL such as https://crm.example, without user or query.")
    return url


def _secret_key(text: str | None, instance_dir: Path) -> str:
    if text and len(text.strip()) < 32:
        raise WrongSetting("CRM_SECRET_KEY must have at least 32 characters.")
    return text or _generated(
        KeyFile(instance_dir / "secret_key", "CRM_SECRET_KEY", _is_secret_key), secrets.token_urlsafe(48)
    )


def _is_secret_key(key: str) -> bool:
    return len(key) >= 32


def _old_keys(name: str, text: str | None, is_whole: Callable[[str], bool]) -> tuple[str, ...]:
    """The keys in a comma-separated list. Raises WrongSetting, whose message doesn't contain any part of a key."""
    keys = tuple(each.strip() for each in (text or "").split(",") if each.strip())
    if not all(map(is_whole, keys)):
        raise WrongSetting(f"{name} holds a text that is no key. Give whole keys, with a comma between them.")
    return keys


def _field_key(text: str | None, instance_dir: Path) -> str:
    key = text or _generated(KeyFile(instance_dir / "field_key", "CRM_FIELD_KEY", _is_field_key), _new_field_key())
    if not _is_field_key(key):
        raise WrongSetting("CRM_FIELD_KEY must be 32 bytes in urlsafe base64 (44 characters).")
    return key


def _new_field_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _is_field_key(key: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9_+/-]{43}=", key.strip()) is not None


def _generated(file: KeyFile, new: str) -> str:
    """The key in the file; on first use the file is created with the new key."""
    try:
        return file.read_or_make(new)
    except BadKeyFile as error:
        raise WrongSetting(str(error)) from error
