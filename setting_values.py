"""Checks the texts of environment variables and converts them to values. Each function raises WrongSetting."""

from __future__ import annotations

import ipaddress
import re
import socket
from email.utils import parseaddr
from pathlib import Path
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import server_urls


class WrongSetting(Exception):
    """A setting has an invalid value. The message is one sentence that names the setting."""


def folder(path: str) -> Path:
    """The folder with this path, made if it is missing."""
    found = Path(path).expanduser()
    try:
        found.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WrongSetting(f"CRM_INSTANCE_DIR names the folder {found}, which cannot be made: {error}.") from error
    return found.resolve()


def database_url(url: str | None, instance_dir: Path) -> str:
    """The URL of the database; SQLite in the instance folder unless given."""
    if not url:
        return f"sqlite:///{instance_dir / 'crm.sqlite3'}"
    if url.startswith("mysql://") or url.startswith("mariadb://"):
        url = "mysql+pymysql://" + url.split("://", 1)[1]
    if not url.startswith(("sqlite:///", "mysql+pymysql://")):
        raise WrongSetting("CRM_DATABASE_URL must start with sqlite:/// or mysql+pymysql://.")
    return url


def scanner_address(url: str | None) -> tuple[str, int, str] | None:
    """(host, port, path of a Unix socket) of a virus scanner; None if there is none."""
    try:
        return server_urls.clamd(url)
    except ValueError as error:
        raise WrongSetting(str(error)) from None


def redis_url(url: str | None) -> str | None:
    """Check the URL. It can contain a password, so no message repeats it."""
    try:
        if url:
            server_urls.redis_topology(url)
            server_urls.refuse_missing_files(url)
    except server_urls.BadUrl as error:
        raise WrongSetting(str(error)) from None
    return url or None


def whole_number(name: str, text: str | None, default: int, minimum: int, maximum: int) -> int:
    """A whole number within both limits."""
    try:
        value = int(text) if text else default
    except ValueError:
        value = minimum - 1
    if not minimum <= value <= maximum:
        raise WrongSetting(f"{name} must be a whole number from {minimum} to {maximum}, not {text!r}.")
    return value


def seconds(name: str, text: str | None, default: tuple[int, ...]) -> tuple[int, ...]:
    """Pauses in seconds, comma-separated: at most 20."""
    if not text:
        return default
    waits = tuple(whole_number(name, each.strip() or "none", 0, 1, 86_400) for each in text.split(","))
    if len(waits) > 20:
        raise WrongSetting(f"{name} may have at most 20 numbers.")
    return waits


#: S3's own rules for names of buckets, and the allowed prefix of keys.
_BUCKET, _KEY_PART = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"), re.compile(r"([A-Za-z0-9_.-]+/)*")


def bucket(text: str | None) -> tuple[str, str] | None:
    """(bucket, prefix of its keys) of an s3:// address; None if there is none."""
    if not text:
        return None
    bucket, _slash, prefix = text.removeprefix("s3://").partition("/")
    prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
    if not text.startswith("s3://") or not _BUCKET.fullmatch(bucket) or not _KEY_PART.fullmatch(prefix):
        raise WrongSetting(f"CRM_FILES must look like s3://bucket or s3://bucket/prefix, not {text!r}.")
    return bucket, prefix


def region(text: str | None) -> str | None:
    """A region of S3, or None."""
    if text and not re.fullmatch(r"[a-z0-9-]{2,40}", text):
        raise WrongSetting(f"CRM_S3_REGION must be a region such as ap-south-1, not {text!r}.")
    return text or None


def http_url(name: str, text: str | None) -> str | None:
    """A URL without a slash at its end, or None."""
    url = (text or "").strip().rstrip("/")
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not has_port(parts):
        raise WrongSetting(f"{name} must be a URL such as http://127.0.0.1:9000.")
    return url


def rate(name: str, text: str | None, default: tuple[int, int]) -> tuple[int, int] | None:
    """(number, seconds) of a text such as “9000 per minute”; None for “off”."""
    if not text:
        return default
    if text.strip().lower() == "off":
        return None
    units = {"second": 1, "minute": 60, "hour": 3600}
    number, _per, unit = text.strip().lower().partition(" per ")
    if unit not in units or not (number.isascii() and number.isdigit() and 0 < int(number[:9]) < 1_000_000):
        raise WrongSetting(f"{name} must look like “9000 per minute” (second, minute, hour) or be off, not {text!r}.")
    return int(number), units[unit]


def origins(text: str | None) -> tuple[str, ...]:
    """Origins in lower case, comma-separated."""
    names = tuple(each.strip().rstrip("/").lower() for each in (text or "").split(",") if each.strip())
    for name in names:
        parts = urlsplit(name)
        if parts.scheme not in ("http", "https") or f"{parts.scheme}://{parts.netloc}" != name or "@" in name:
            raise WrongSetting(f"CRM_CORS_ORIGINS must list origins such as https://desk.example, not {name!r}.")
    return names


def addons(text: str | None) -> tuple[str, ...]:
    """Paths of classes, comma-separated."""
    paths = tuple(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))
    for path in paths:
        if "." not in path or not all(part.isidentifier() for part in path.split(".")):
            raise WrongSetting(f"CRM_ADDONS must list classes such as branches.Manager, not {path!r}.")
    return paths


def smtp_url(url: str | None) -> str | None:
    """Check the URL. It contains a password, so no message repeats it."""
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtp+starttls", "smtps") or not parts.hostname or not has_port(parts):
        raise WrongSetting("CRM_SMTP_URL must look like smtp+starttls://user:password@host:587, smtps://… or smtp://….")
    if parts.username and parts.scheme == "smtp" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise WrongSetting("CRM_SMTP_URL would send the password in the clear: use smtp+starttls:// or smtps://.")
    return url


def has_port(parts: SplitResult) -> bool:
    """Whether the port is valid; without a port the scheme's default is used."""
    try:
        return parts.port is None or parts.port > 0
    except ValueError:
        return False


def sender(text: str | None, url: str | None) -> str:
    """The sender of emails; "" if none is needed."""
    sender = (text or "").strip()
    address = parseaddr(sender)[1]
    is_valid = sender.isprintable() and address.isascii() and "@" in address
    if (sender or url) and not is_valid:
        raise WrongSetting("CRM_SMTP_FROM must name the sender, such as Eshin CRM <crm@example.in>.")
    return sender


def on_off(name: str, text: str | None, default: bool) -> bool:
    """Whether it is on."""
    words = {"on": True, "1": True, "true": True, "yes": True, "off": False, "0": False, "false": False, "no": False}
    if not text:
        return default
    if text.strip().lower() not in words:
        raise WrongSetting(f"{name} must be on or off, not {text!r}.")
    return words[text.strip().lower()]


def server_name(text: str | None) -> str:
    """The server's name in logs and rows: its host name unless given."""
    name = (text or socket.gethostname()).strip()
    if text and not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name):
        raise WrongSetting(f"CRM_SERVER_NAME must be up to 64 letters, digits, dots and dashes, not {text!r}.")
    return re.sub(r"[^A-Za-z0-9._-]", "-", name)[:64] or "server"


def log_format(text: str) -> str:
    """text or json."""
    name = text.strip().lower()
    if name not in ("text", "json"):
        raise WrongSetting(f"CRM_LOG_FORMAT must be text or json, not {text!r}.")
    return name


def networks(name: str, text: str) -> tuple[Network, ...]:
    """Networks, comma-separated."""
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        raise WrongSetting(f"{name} must list networks such as 127.0.0.0/8, 10.0.0.5, not {text!r}.") from None


def token(text: str | None) -> str | None:
    """A token of at least 24 characters, or None."""
    if text and len(text.strip()) < 24:
        raise WrongSetting("CRM_METRICS_TOKEN must have at least 24 characters.")
    return text.strip() if text else None


def dsn(text: str | None) -> str | None:
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


def zone(name: str) -> str:
    """The name of a time zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise WrongSetting(f"CRM_TIME_ZONE must be a zone such as Asia/Kolkata, not {name!r}.") from error
    return name


_LABEL = re.compile(r"[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?")


def host(text: str) -> str:
    """An address or host name to listen on; an IPv6 address gets its brackets."""
    host = text.strip()
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


def public_url(text: str | None, port: int) -> str:
    """The address at which people reach the CRM, without a slash at its end."""
    url = (text or f"http://127.0.0.1:{port}").strip().rstrip("/")
    parts = urlsplit(url)
    if not url.startswith(("http://", "https://")) or not parts.hostname or not has_port(parts):
        raise WrongSetting("CRM_PUBLIC_URL must be a URL such as https://crm.example, with http:// or https://.")
    if parts.username is not None or parts.query or parts.fragment or not (url.isascii() and url.isprintable()):
        raise WrongSetting("CRM_PUBLIC_URL must be a plain URL such as https://crm.example, without user or query.")
    return url


Network = ipaddress.IPv4Network | ipaddress.IPv6Network
