"""Every setting of the product, with unit and default; the only reader of os.environ."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from email.utils import parseaddr
from pathlib import Path
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

ROOT = Path(__file__).resolve().parent


class WrongSetting(Exception):
    """A setting has a value that cannot be used; the message is one sentence that names it."""


@dataclass(frozen=True)
class Settings:
    """What the operator may turn. Read once at start by `load`."""

    #: SQLAlchemy URL of the database; SQLite in the instance folder unless given.
    database_url: str
    #: Redis URL, or None for queue, cache, limits and socket messages inside the process.
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
    #: Password of the first admin; None = random, printed once.
    admin_password: str | None
    #: Whether this process runs the minute jobs.
    scheduler: bool
    #: Address under which browsers and providers reach us, without trailing slash.
    public_url: str
    #: The office's time zone (IANA name).
    time_zone: str
    #: Product name shown to people.
    brand: str
    #: Load demo data on first start.
    demo: bool
    #: Gunicorn worker processes; each holds its own thread pool.
    workers: int
    #: Threads a worker; every open WebSocket occupies one for its life.
    threads: int
    #: How many reverse proxies in front of us set X-Forwarded-*; 0 = believe none.
    proxies: int
    #: Say in the header X-SQL-Count how many statements an answer took (for the bench).
    count_sql: bool = False
    #: Mail server, smtp+starttls://user:password@host:587 (or smtps://, smtp://); None = e-mail is only logged.
    smtp_url: str | None = None
    #: From whom e-mail comes, "Name <address>".
    smtp_from: str = ""
    #: Seconds that the mail server may take for each answer.
    smtp_seconds: int = 10
    #: Queue -> how many workers `flask worker` keeps on Redis; without Redis so many threads of this process.
    queue_workers: dict[str, int] = field(default_factory=lambda: {"short": 2, "default": 2, "long": 1})
    #: Seconds before the second, third … try of a call from the queue.
    retry_seconds: tuple[int, ...] = (5, 30, 120, 600)
    #: Whether webhooks may go to http and to loopback and private addresses: for development and tests only.
    webhooks_private: bool = False
    #: Seconds before the second, third … try of a webhook.
    webhook_seconds: tuple[int, ...] = (60, 300, 1800, 7200, 28_800)
    #: How often (calls, seconds) one key, person or address may call the API, and of that change something; None =
    #: as often as they like.
    api_limit: tuple[int, int] | None = (9000, 60)
    api_write_limit: tuple[int, int] | None = (3000, 60)
    #: Origins whose pages may call the API with a key or token, https://desk.example.
    cors_origins: tuple[str, ...] = ()
    #: Dotted paths of FAB add-on managers, package.Manager.
    addons: tuple[str, ...] = ()


def load(environ: dict[str, str] | None = None) -> Settings:
    """Read and check all settings; makes the instance folder and its keys.

    Raises WrongSetting with one sentence that names the bad setting.
    """
    env = dict(os.environ if environ is None else environ)
    instance_dir = _folder(env.get("CRM_INSTANCE_DIR") or str(ROOT / "instance"))
    port = _whole("CRM_PORT", env.get("CRM_PORT"), 8000, 1, 65535)
    return Settings(
        database_url=_database(env.get("CRM_DATABASE_URL"), instance_dir),
        redis_url=_redis(env.get("CRM_REDIS_URL")),
        host=env.get("CRM_HOST") or "127.0.0.1",
        port=port,
        instance_dir=instance_dir,
        secret_key=_secret_key(env.get("CRM_SECRET_KEY"), instance_dir),
        field_key=_field_key(env.get("CRM_FIELD_KEY"), instance_dir),
        admin_password=_admin_password(env.get("CRM_ADMIN_PASSWORD")),
        scheduler=_switch("CRM_SCHEDULER", env.get("CRM_SCHEDULER"), True),
        public_url=_public_url(env.get("CRM_PUBLIC_URL"), port),
        time_zone=_zone(env.get("CRM_TIME_ZONE")),
        brand=(env.get("CRM_BRAND") or "Eshin CRM").strip()[:60],
        demo=_switch("CRM_DEMO", env.get("CRM_DEMO"), False),
        workers=_whole("CRM_WORKERS", env.get("CRM_WORKERS"), 1, 1, 64),
        threads=_whole("CRM_THREADS", env.get("CRM_THREADS"), 48, 2, 512),
        proxies=_whole("CRM_PROXIES", env.get("CRM_PROXIES"), 0, 0, 8),
        count_sql=_switch("CRM_COUNT_SQL", env.get("CRM_COUNT_SQL"), False),
        smtp_url=_smtp(env.get("CRM_SMTP_URL")),
        smtp_from=_smtp_from(env.get("CRM_SMTP_FROM"), env.get("CRM_SMTP_URL")),
        smtp_seconds=_whole("CRM_SMTP_TIMEOUT_SECONDS", env.get("CRM_SMTP_TIMEOUT_SECONDS"), 10, 1, 30),
        queue_workers={
            queue: _whole(f"CRM_QUEUE_{queue.upper()}", env.get(f"CRM_QUEUE_{queue.upper()}"), default, 0, 64)
            for queue, default in (("short", 2), ("default", 2), ("long", 1))
        },
        retry_seconds=_seconds("CRM_RETRY_SECONDS", env.get("CRM_RETRY_SECONDS"), (5, 30, 120, 600)),
        webhooks_private=_switch("CRM_WEBHOOKS_PRIVATE", env.get("CRM_WEBHOOKS_PRIVATE"), False),
        webhook_seconds=_seconds("CRM_WEBHOOK_SECONDS", env.get("CRM_WEBHOOK_SECONDS"), (60, 300, 1800, 7200, 28_800)),
        api_limit=_rate("CRM_API_LIMIT", env.get("CRM_API_LIMIT"), (9000, 60)),
        api_write_limit=_rate("CRM_API_WRITE_LIMIT", env.get("CRM_API_WRITE_LIMIT"), (3000, 60)),
        cors_origins=_origins(env.get("CRM_CORS_ORIGINS")),
        addons=_addons(env.get("CRM_ADDONS")),
    )


def flask_config(settings: Settings) -> dict[str, object]:
    """Flask's, FAB's and the extensions' configuration that follows from our settings."""
    https = settings.public_url.startswith("https://")
    return {
        "SECRET_KEY": settings.secret_key,
        "JWT_SECRET_KEY": settings.secret_key,
        "SQLALCHEMY_DATABASE_URI": settings.database_url,
        "SQLALCHEMY_ENGINE_OPTIONS": engine_options(settings),
        "APP_NAME": settings.brand,
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
        "RATELIMIT_ENABLED": True,
        "RATELIMIT_STORAGE_URI": settings.redis_url or "memory://",
        "RATELIMIT_HEADERS_ENABLED": True,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_SECURE": https,
        "SESSION_COOKIE_NAME": "crm",
        "PERMANENT_SESSION_LIFETIME": 12 * 3600,
        "WTF_CSRF_TIME_LIMIT": None,
        "WTF_CSRF_CHECK_DEFAULT": False,
        "MAX_CONTENT_LENGTH": 12 * 1024 * 1024,
        "MAX_FORM_MEMORY_SIZE": 2 * 1024 * 1024,
        "JWT_ACCESS_TOKEN_EXPIRES": 3600,
        "JWT_ALGORITHM": "HS256",
        "BABEL_DEFAULT_LOCALE": "en",
        "BABEL_TRANSLATION_DIRECTORIES": str(ROOT / "translations"),
        "LANGUAGES": _languages(),
        "API_LANGUAGES": _api_languages(),
        "COMPRESS_ALGORITHM": ["br", "gzip"],
        "COMPRESS_BR_LEVEL": 4,
        "COMPRESS_LEVEL": 5,
        "COMPRESS_MIN_SIZE": 1000,
        "COUNT_SQL": settings.count_sql,
        "CRM": settings,
    }


def engine_options(settings: Settings) -> dict[str, object]:
    """SQLAlchemy engine options: READ COMMITTED and a pool as wide as the threads on MariaDB."""
    if settings.database_url.startswith("sqlite"):
        return {"connect_args": {"timeout": 30}}
    return {
        "isolation_level": "READ COMMITTED",
        "pool_size": min(settings.threads, 20),
        "max_overflow": 10,
        "pool_recycle": 1800,
        "pool_pre_ping": False,
        "connect_args": {"charset": "utf8mb4", "connect_timeout": 5},
    }


def _languages() -> dict[str, dict[str, str]]:
    """English, and those of the product's other languages whose catalogue is there."""
    names = {"en": "English", "hi": "हिन्दी", "gu": "ગુજરાતી", "mr": "मराठी"}
    there = {path.parent.parent.name for path in (ROOT / "translations").glob("*/LC_MESSAGES/messages.po")}
    return {code: {"flag": code, "name": name} for code, name in names.items() if code == "en" or code in there}


def _api_languages() -> list[str]:
    """English, and those into which the refusals are translated."""
    there = (ROOT / "translations").glob("*/LC_MESSAGES/errors.po")
    return ["en", *sorted(path.parent.parent.name for path in there)]


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


def _redis(url: str | None) -> str | None:
    if url and not url.startswith(("redis://", "rediss://", "unix://")):
        raise WrongSetting("CRM_REDIS_URL must start with redis://, rediss:// or unix://.")
    return url or None


def _whole(name: str, text: str | None, default: int, least: int, most: int) -> int:
    try:
        value = int(text) if text else default
    except ValueError:
        value = least - 1
    if not least <= value <= most:
        raise WrongSetting(f"{name} must be a whole number from {least} to {most}, not {text!r}.")
    return value


def _seconds(name: str, text: str | None, default: tuple[int, ...]) -> tuple[int, ...]:
    if not text:
        return default
    waits = tuple(_whole(name, each.strip() or "none", 0, 1, 86_400) for each in text.split(","))
    if len(waits) > 20:
        raise WrongSetting(f"{name} may have at most 20 numbers.")
    return waits


def _rate(name: str, text: str | None, default: tuple[int, int]) -> tuple[int, int] | None:
    if not text:
        return default
    if text.strip().lower() == "off":
        return None
    spans = {"second": 1, "minute": 60, "hour": 3600}
    number, _per, span = text.strip().lower().partition(" per ")
    if span not in spans or not (number.isascii() and number.isdigit() and 0 < int(number[:9]) < 1_000_000):
        raise WrongSetting(f"{name} must look like “9000 per minute” (second, minute, hour) or be off, not {text!r}.")
    return int(number), spans[span]


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
    """Its address holds a password: no message repeats it."""
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtp+starttls", "smtps") or not parts.hostname or not _has_port(parts):
        raise WrongSetting("CRM_SMTP_URL must look like smtp+starttls://user:password@host:587, smtps://… or smtp://….")
    if parts.username and parts.scheme == "smtp" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise WrongSetting("CRM_SMTP_URL would send the password in the clear: use smtp+starttls:// or smtps://.")
    return url


def _has_port(parts: SplitResult) -> bool:
    """A usable port, or none: then the usual one of its scheme."""
    try:
        return parts.port is None or parts.port > 0
    except ValueError:
        return False


def _smtp_from(text: str | None, url: str | None) -> str:
    sender = (text or "").strip()
    address = parseaddr(sender)[1]
    good = sender.isprintable() and address.isascii() and "@" in address
    if (sender or url) and not good:
        raise WrongSetting("CRM_SMTP_FROM must name the sender, such as Eshin CRM <crm@example.in>.")
    return sender


def _switch(name: str, text: str | None, default: bool) -> bool:
    words = {"on": True, "1": True, "true": True, "yes": True, "off": False, "0": False, "false": False, "no": False}
    if not text:
        return default
    if text.strip().lower() not in words:
        raise WrongSetting(f"{name} must be on or off, not {text!r}.")
    return words[text.strip().lower()]


def _zone(text: str | None) -> str:
    name = text or "Asia/Kolkata"
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise WrongSetting(f"CRM_TIME_ZONE must be a zone such as Asia/Kolkata, not {name!r}.") from error
    return name


def _public_url(text: str | None, port: int) -> str:
    url = (text or f"http://127.0.0.1:{port}").rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise WrongSetting("CRM_PUBLIC_URL must start with http:// or https://.")
    return url


def _secret_key(text: str | None, instance_dir: Path) -> str:
    if text and len(text) < 32:
        raise WrongSetting("CRM_SECRET_KEY must have at least 32 characters.")
    return text or _kept(instance_dir / "secret_key", lambda: secrets.token_urlsafe(48))


def _field_key(text: str | None, instance_dir: Path) -> str:
    import base64
    import binascii

    key = text or _kept(instance_dir / "field_key", lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())
    try:
        good = len(base64.urlsafe_b64decode(key)) == 32
    except (binascii.Error, ValueError):
        good = False
    if not good:
        raise WrongSetting("CRM_FIELD_KEY must be 32 bytes in urlsafe base64 (44 characters).")
    return key


def _admin_password(text: str | None) -> str | None:
    if text is not None and text != "" and len(text) < 8:
        raise WrongSetting("CRM_ADMIN_PASSWORD must have at least 8 characters.")
    return text or None


def _kept(path: Path, make: object) -> str:
    """The secret in the file, made on first use with mode 600; two processes starting at once agree."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    value = make()  # type: ignore[operator]
    with os.fdopen(handle, "w") as file:
        file.write(value)
    return str(value)
