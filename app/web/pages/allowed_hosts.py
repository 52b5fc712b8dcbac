"""Only requests for our own host, that of CRM_PUBLIC_URL, are answered; including sockets and static files.

A request may name any host, and links built from it would lead there.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

if TYPE_CHECKING:
    from config import Settings

#: Probes use the address of the process, not the host of the site.
HEALTH = ("/healthz", "/readyz", "/metrics")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class AllowedHosts:
    """WSGI middleware: 400 for a request whose Host is not ours.

    ProxyFix, outside of it, takes the Host from a proxy.
    """

    def __init__(self, app: Any, settings: Settings) -> None:
        self.app = app
        own = urlsplit(settings.public_url)
        self.name, self.is_local = normalized(own.hostname or ""), is_loopback(own.hostname or "")
        #: A proxy may drop the port, or pass the one on which we listen.
        self.ports = {None, own.port or _DEFAULT_PORTS[own.scheme], settings.port}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Pass the request on, or refuse it."""
        if self.allows(environ.get("HTTP_HOST", ""), environ.get("PATH_INFO", "")):
            response: Iterable[bytes] = self.app(environ, start_response)
            return response
        text = "This host name isn't the one of this site. An operator can set it with CRM_PUBLIC_URL."
        body = orjson.dumps({"message": text, "errors": {}})
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        ]
        start_response("400 BAD REQUEST", headers)
        return [body]

    def allows(self, host: str, path: str) -> bool:
        """Whether the request may be answered under this Host."""
        name, port = split_host(host)
        if name is None:
            return False
        if path in HEALTH and (is_loopback(name) or is_address(name)):
            return True
        if self.is_local and is_loopback(name):
            return True  # any port: a tunnel may use another one
        return name == self.name and port in self.ports


@lru_cache(maxsize=64)
def split_host(host: str) -> tuple[str | None, int | None]:
    """(name, port) of a Host header; (None, None) if it is malformed or missing."""
    if not host.isascii() or not host.isprintable() or any(each in host for each in " /\\@?#,"):
        return None, None
    try:
        parts = urlsplit(f"//{host}")
        return (normalized(parts.hostname) if parts.hostname else None), parts.port
    except ValueError:
        return None, None


def normalized(name: str) -> str:
    """A host name in lower case without the trailing dot."""
    return name.lower().removesuffix(".")


@lru_cache(maxsize=64)
def is_address(name: str) -> bool:
    """Whether the name is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=64)
def is_loopback(name: str) -> bool:
    """Whether it names this machine."""
    return name == "localhost" or (is_address(name) and ipaddress.ip_address(name).is_loopback)
