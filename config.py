"""All settings of the product, with unit and default. Only this module reads os.environ."""

from __future__ import annotations

import base64
import difflib
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import backup_settings
import server_urls
import setting_values
from backup_settings import BackupSettings, WrongBackupSetting
from key_files import BadKeyFile, KeyFile
from setting_values import WrongSetting as WrongSetting
from setting_values import on_off, rate, seconds, whole_number

ROOT = Path(__file__).resolve().parent
#: The roles of a process. If one process has all of them, CRM_ROLE is not set.
ROLES = ("web", "sockets", "worker", "scheduler")
#: The name of the CRM until it is changed.
DEFAULT_BRAND = "Eshin CRM"
#: Code -> the language's own name: for pages (if there is a catalog of their texts) and for message templates. All
#: but English need a catalog in translations/: `make check-translations`.
LANGUAGE_NAMES = {"en": "English", "hi": "हिन्दी", "gu": "ગુજરાતી", "mr": "मराठी"}


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
    metrics_from: tuple[setting_values.Network, ...] = ()
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
    def runs_schedule_beside(self) -> bool:
        """Whether the minute jobs run in a process of their own, beside those that answer requests."""
        return bool(self.run_workers and self.redis_url) or "web" not in self.roles

    @property
    def is_https(self) -> bool:
        """Whether browsers reach the CRM over https."""
        return self.public_url.startswith("https://")


def load(environ: dict[str, str] | None = None) -> Settings:
    """Read and check all settings. Creates the instance folder and its keys.

    Raises WrongSetting.
    """
    env = _Requested(dict(os.environ if environ is None else environ))
    instance_dir = setting_values.folder(env.get("CRM_INSTANCE_DIR") or str(ROOT / "instance"))
    roles = _roles(env)
    settings = Settings(
        instance_dir=instance_dir,
        time_zone=setting_values.zone(env.get("CRM_TIME_ZONE") or "Asia/Kolkata"),
        brand=(env.get("CRM_BRAND") or DEFAULT_BRAND).strip()[:60],
        demo=on_off("CRM_DEMO", env.get("CRM_DEMO"), False),
        addons=setting_values.addons(env.get("CRM_ADDONS")),
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
    is_for_sockets = "sockets" in roles and "web" not in roles
    port = whole_number("CRM_PORT", env.get("CRM_PORT"), 9000 if is_for_sockets else 8000, 1, 65535)
    return {
        "host": setting_values.host(env.get("CRM_HOST") or "127.0.0.1"),
        "port": port,
        "public_url": setting_values.public_url(env.get("CRM_PUBLIC_URL"), port),
        "workers": whole_number("CRM_WORKERS", env.get("CRM_WORKERS"), 1, 1, 64),
        "threads": whole_number("CRM_THREADS", env.get("CRM_THREADS"), 512 if is_for_sockets else 48, 2, 512),
        "proxies": whole_number("CRM_PROXIES", env.get("CRM_PROXIES"), 0, 0, 8),
        "roles": roles or ROLES,
        "server_name": setting_values.server_name(env.get("CRM_SERVER_NAME")),
        "cors_origins": setting_values.origins(env.get("CRM_CORS_ORIGINS")),
        "session_idle_hours": whole_number("CRM_SESSION_IDLE_HOURS", env.get("CRM_SESSION_IDLE_HOURS"), 12, 1, 168),
        "session_days": whole_number("CRM_SESSION_DAYS", env.get("CRM_SESSION_DAYS"), 7, 1, 90),
        "api_limit": rate("CRM_API_LIMIT", env.get("CRM_API_LIMIT"), (9000, 60)),
        "api_write_limit": rate("CRM_API_WRITE_LIMIT", env.get("CRM_API_WRITE_LIMIT"), (3000, 60)),
    }


def _storage(env: _Requested, instance_dir: Path) -> dict[str, Any]:
    """Databases, Redis, files and backups."""
    database_url = setting_values.database_url(env.get("CRM_DATABASE_URL"), instance_dir)
    return {
        "database_url": database_url,
        "database_connections": whole_number("CRM_DATABASE_CONNECTIONS", env.get("CRM_DATABASE_CONNECTIONS"), 0, 2, 200)
        if env.get("CRM_DATABASE_CONNECTIONS")
        else None,
        "replica_urls": _replicas(env, database_url),
        "replica_lag_seconds": whole_number("CRM_REPLICA_LAG_SECONDS", env.get("CRM_REPLICA_LAG_SECONDS"), 10, 1, 300),
        "redis_url": setting_values.redis_url(env.get("CRM_REDIS_URL")),
        "files": setting_values.bucket(env.get("CRM_FILES")),
        "clamd": setting_values.scanner_address(env.get("CRM_CLAMD_URL")),
        "s3_endpoint": setting_values.http_url("CRM_S3_ENDPOINT", env.get("CRM_S3_ENDPOINT")),
        "s3_region": setting_values.region(env.get("CRM_S3_REGION")),
        "backup": _backup(env, instance_dir),
    }


def _delivery(env: _Requested, roles: tuple[str, ...]) -> dict[str, Any]:
    """What is sent, and by which workers."""
    return {
        "smtp_url": setting_values.smtp_url(env.get("CRM_SMTP_URL")),
        "smtp_from": setting_values.sender(env.get("CRM_SMTP_FROM"), env.get("CRM_SMTP_URL")),
        "smtp_seconds": whole_number("CRM_SMTP_TIMEOUT_SECONDS", env.get("CRM_SMTP_TIMEOUT_SECONDS"), 10, 1, 30),
        "provider_urls": _provider_urls(env),
        "scheduler": _does(env, "CRM_SCHEDULER", "scheduler", roles),
        "run_workers": _does(env, "CRM_RUN_WORKERS", "worker", roles),
        "queue_workers": {
            queue: whole_number(f"CRM_QUEUE_{queue.upper()}", env.get(f"CRM_QUEUE_{queue.upper()}"), default, 0, 64)
            for queue, default in (("short", 2), ("default", 2), ("long", 1))
        },
        "retry_seconds": seconds("CRM_RETRY_SECONDS", env.get("CRM_RETRY_SECONDS"), (5, 30, 120, 600)),
        "webhooks_private": on_off("CRM_WEBHOOKS_PRIVATE", env.get("CRM_WEBHOOKS_PRIVATE"), False),
        "webhook_seconds": seconds(
            "CRM_WEBHOOK_SECONDS", env.get("CRM_WEBHOOK_SECONDS"), (60, 300, 1800, 7200, 28_800)
        ),
    }


def _monitoring(env: _Requested) -> dict[str, Any]:
    """Logs, metrics and error reports."""
    return {
        "count_sql": on_off("CRM_COUNT_SQL", env.get("CRM_COUNT_SQL"), False),
        "log_json": setting_values.log_format(env.get("CRM_LOG_FORMAT") or "text") == "json",
        "metrics_from": setting_values.networks("CRM_METRICS_FROM", env.get("CRM_METRICS_FROM") or "127.0.0.0/8, ::1"),
        "metrics_token": setting_values.token(env.get("CRM_METRICS_TOKEN")),
        "sentry_dsn": setting_values.dsn(env.get("CRM_SENTRY_DSN")),
    }


def unknown_sentences(settings: Settings) -> list[str]:
    """One sentence for each CRM_… variable that is ignored because no setting has this name."""
    return [
        f"Warning: {name} is not a setting and is ignored." + (f" Did you mean {close}?" if close else "")
        for name, close in settings.unknown
    ]


def _backup(env: _Requested, instance_dir: Path) -> BackupSettings:
    try:
        return backup_settings.load({name: env.get(f"CRM_{name}") for name in backup_settings.NAMES}, instance_dir)
    except WrongBackupSetting as error:
        raise WrongSetting(str(error)) from error


def _replicas(env: _Requested, primary: str) -> tuple[str, ...]:
    """The URLs of the replicas. They contain passwords, so no message repeats them."""
    try:
        return server_urls.replica_urls(env.get("CRM_REPLICA_URLS"), primary, env.get("CRM_REDIS_URL"))
    except server_urls.BadUrl as error:
        raise WrongSetting(str(error)) from None


def _provider_urls(env: _Requested) -> dict[str, str]:
    found = {}
    for kind in ("twilio", "meta", "exotel"):
        name = f"{kind.upper()}_BASE_URL"
        if url := (env.get(name) or "").strip().rstrip("/"):
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or not setting_values.has_port(parts):
                raise WrongSetting(f"{name} must be a URL such as http://127.0.0.1:4010.")
            found[kind] = url
    return found


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
        return on_off(name, said, role == "scheduler")
    if said and on_off(name, said, False) != (role in roles):
        raise WrongSetting(f"{name}={said} contradicts CRM_ROLE={','.join(roles)}. Leave {name} out.")
    return role in roles


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
