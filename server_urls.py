"""URLs of several servers: Redis with Sentinels or as a Cluster, and the replicas of MariaDB.

Part of config.py, also used by app/ops. Doesn't import the product.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

#: The prefixes of the URL of a single Redis.
SINGLE = ("redis://", "rediss://", "unix://")
_KINDS = {
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
_PORTS = {"sentinel": 26379, "cluster": 6379}
#: TLS options, under redis-py's names.
TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
#: Those with the path of a file.
_FILES = TLS_OPTIONS[:3]
_WORDS = {"ssl_cert_reqs": ("required", "optional", "none"), "ssl_check_hostname": ("true", "false")}
_SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")
SHAPES = (
    "CRM_REDIS_URL must be redis://, rediss:// or unix:// for one server, "
    "redis+sentinel://:password@host:26379,host:26379/NAME or redis+cluster://:password@host:6379,host:6379 "
    "(rediss+… with TLS)."
)

Address = tuple[str, int]


class BadUrl(ValueError):
    """The message is a sentence that names the setting, without the password."""


@dataclass(frozen=True)
class RedisTopology:
    """A Redis of several servers, one of which is the master."""

    #: sentinel or cluster.
    kind: str
    #: Sentinels, or nodes of the Cluster, in the order of the URL.
    addresses: tuple[Address, ...]
    is_tls: bool
    #: Of the data servers.
    username: str | None
    password: str | None
    #: The master's name in the Sentinels; "" for a Cluster.
    name: str = ""
    db: int = 0
    #: Of the Sentinels themselves.
    sentinel_username: str | None = None
    sentinel_password: str | None = None
    #: (name, value) of TLS_OPTIONS.
    tls: tuple[tuple[str, str | bool], ...] = ()


def redis_topology(url: str) -> RedisTopology | None:
    """The servers in a URL of Sentinels or of a Cluster; None for the URL of a single server. Raises BadUrl."""
    scheme, _colon, rest = url.partition("://")
    if scheme not in _KINDS:
        if url.startswith(SINGLE):
            _refuse_tls_options(url)
            return None
        raise BadUrl(SHAPES)
    kind, is_tls = _KINDS[scheme]
    rest, _mark, query = rest.partition("?")
    whole, _slash, path = rest.partition("/")
    user, _at, hosts = whole.rpartition("@")
    username, _colon, password = user.partition(":")
    addresses = tuple(_address(each.strip(), _PORTS[kind]) for each in hosts.split(",") if each.strip())
    if not addresses:
        raise BadUrl(SHAPES)
    name, db = _name_and_db(kind, path.strip("/"))
    options = _options(kind, is_tls, query)
    return RedisTopology(
        kind=kind,
        addresses=addresses,
        is_tls=is_tls,
        username=unquote(username) or None,
        password=unquote(password) or None,
        name=name,
        db=db,
        sentinel_username=options.get("sentinel_username"),
        sentinel_password=options.get("sentinel_password"),
        tls=tuple((each, _tls_value(each, options[each])) for each in TLS_OPTIONS if each in options),
    )


def _address(text: str, default_port: int) -> Address:
    """host, host:port or [IPv6]:port. Raises BadUrl."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port or default_port
    except ValueError:
        host, port = None, 0
    if not host or any(each in text for each in "/@?# "):
        raise BadUrl(SHAPES)
    return host, port


def _name_and_db(kind: str, path: str) -> tuple[str, int]:
    name, _slash, number = path.partition("/")
    if kind == "cluster":
        if path not in ("", "0"):
            raise BadUrl(
                "CRM_REDIS_URL names a database of a Redis Cluster, which has only number 0. End the URL after the "
                "addresses, and give each CRM a Cluster of its own."
            )
        return "", 0
    if not name:
        raise BadUrl(
            "CRM_REDIS_URL doesn't say by which name the Sentinels know the master. Add it after the addresses, "
            "such as redis+sentinel://host:26379,host:26379/crm."
        )
    if number and not (number.isascii() and number.isdigit() and int(number[:6]) < 10_000):
        raise BadUrl("CRM_REDIS_URL ends with something that is no number of a database, such as /crm/0.")
    return unquote(name), int(number or 0)


def _options(kind: str, is_tls: bool, query: str) -> dict[str, str]:
    known = (*(_SENTINEL_OPTIONS if kind == "sentinel" else ()), *(TLS_OPTIONS if is_tls else ()))
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name not in known:
            shown = ", ".join(known) or "none"
            raise BadUrl(f"CRM_REDIS_URL has an option that is not known here. Known are: {shown}.")
        _refuse_value(name, options[name])
    return options


def _refuse_tls_options(url: str) -> None:
    """Raise BadUrl for TLS options in the URL of a single server, because they would be ignored."""
    known = TLS_OPTIONS if url.startswith("rediss://") else ()
    for name, value in parse_qsl(urlsplit(url).query, keep_blank_values=True):
        if name.startswith("ssl_") and name not in known:
            shown = ", ".join(TLS_OPTIONS)
            raise BadUrl(
                f"CRM_REDIS_URL has an option of TLS that is not known here. With rediss:// there are: {shown}."
            )
        _refuse_value(name, value)


def _refuse_value(name: str, value: str) -> None:
    if name in _WORDS and value.lower() not in _WORDS[name]:
        raise BadUrl(f"In CRM_REDIS_URL, {name} must be one of {', '.join(_WORDS[name])}.")


def _tls_value(name: str, value: str) -> str | bool:
    return value.lower() == "true" if name == "ssl_check_hostname" else value


def refuse_missing_files(url: str) -> None:
    """Raise BadUrl if the URL names a certificate or key that can't be read."""
    for name, value in parse_qsl(url.partition("?")[2]):
        if name in _FILES:
            try:
                with open(value, "rb"):
                    pass
            except OSError as error:
                raise BadUrl(
                    f"{value}, which {name} of CRM_REDIS_URL names, can't be read: {error.strerror}. "
                    "Put the file there, or make it readable for the CRM's user."
                ) from None


# --- MariaDB


def replica_urls(text: str | None, primary: str, redis_url: str | None) -> tuple[str, ...]:
    """The SQLAlchemy URLs in CRM_REPLICA_URLS; `primary`: that of the primary. Raises BadUrl."""
    urls = tuple(_with_driver(each.strip()) for each in (text or "").split(",") if each.strip())
    if not urls:
        return ()
    if primary.startswith("sqlite"):
        raise BadUrl("CRM_REPLICA_URLS needs MariaDB as the database (CRM_DATABASE_URL): SQLite has no replicas.")
    if not redis_url:
        raise BadUrl(
            "CRM_REPLICA_URLS needs CRM_REDIS_URL: through Redis the servers know what a person has just saved, so "
            "that they never show them an older state."
        )
    for url in urls:
        _refuse_other_database(url, primary)
    if len({database_place(url) for url in urls}) < len(urls):
        raise BadUrl("CRM_REPLICA_URLS names a server twice.")
    return urls


def _refuse_other_database(url: str, primary: str) -> None:
    """Raise BadUrl unless it is the URL of the same database on another server."""
    if not url.startswith("mysql+pymysql://") or not database_place(url):
        raise BadUrl("CRM_REPLICA_URLS must list URLs such as mysql+pymysql://user:password@host:3306/crm.")
    if urlsplit(url).path != urlsplit(primary).path:
        raise BadUrl("CRM_REPLICA_URLS must name the same database as CRM_DATABASE_URL, on other servers.")
    if database_place(url) == database_place(primary):
        raise BadUrl("CRM_REPLICA_URLS names the server of CRM_DATABASE_URL itself. Leave it out of the list.")


def _with_driver(url: str) -> str:
    scheme, _colon, rest = url.partition("://")
    return f"mysql+pymysql://{rest}" if scheme in ("mysql", "mariadb") else url


def database_place(url: str) -> str:
    """host:port of a database's URL, as used in sentences and metrics; "" if it has none."""
    try:
        parts = urlsplit(url)
        return f"{parts.hostname}:{parts.port or 3306}" if parts.hostname else ""
    except ValueError:
        return ""


def clamd(url: str | None) -> tuple[str, int, str] | None:
    """(host, port, path of a Unix socket) of a virus scanner. Raises ValueError."""
    text = (url or "").strip()
    if not text:
        return None
    parts = urlsplit(text)
    try:
        port = parts.port or 3310
    except ValueError:
        port = 0
    if parts.scheme == "unix" and not parts.netloc and parts.path.startswith("/") and len(parts.path) < 100:
        return "", 0, parts.path
    if parts.scheme == "tcp" and parts.hostname and port and parts.path in ("", "/") and "@" not in parts.netloc:
        return parts.hostname, port, ""
    raise ValueError("CRM_CLAMD_URL must look like tcp://127.0.0.1:3310 or unix:///run/clamav/clamd.ctl.")
