"""Outbound URLs: which URLs the server may call, and which IP addresses their host may resolve to.

Without these checks, whoever can enter a URL for the server to call could reach what only the server can: its own
services, cloud metadata, the office network (SSRF). A host is resolved once, and only checked addresses are used.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

from app.lib import deadline

MAX_LENGTH = 500
#: How long the look-up of a host may take.
LOOK_UP_SECONDS = 5.0
#: The only ports below 1024 that may be called.
PORTS = (80, 443)
_FIRST_ALLOWED_PORT = 1024
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
#: Characters of a path and query that stay as they are; all others are percent-encoded.
_SAFE = "/%:@!$&'()*+,;=~-._?"
#: Not public, although `is_global`: 6to4 relays (v4, v6), Teredo, IPv4-compatible, local NAT64, site-local.
_BLOCKED = tuple(
    ipaddress.ip_network(net)
    for net in ("192.88.99.0/24", "2002::/16", "2001::/32", "::/96", "64:ff9b:1::/48", "fec0::/10")
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
#: Same signature as socket.getaddrinfo.
Resolver = Callable[..., list[Any]]


class BadAddress(Exception):
    """The URL, or what its host resolves to, must not be called. The message is a sentence for the user."""


@dataclass(frozen=True)
class OutboundUrl:
    """A URL that was parsed once: the scheme, host, port and path to call."""

    #: http or https.
    scheme: str
    #: Lower case, in ASCII; an IPv6 address without brackets.
    host: str
    port: int
    #: Path and query, in ASCII.
    path: str


# --- parse


def parse_url(url: str, private: bool = False, maximum: int = MAX_LENGTH) -> OutboundUrl:
    """Parse a URL. Raises BadAddress for everything but a plain https URL.

    `private` allows http and private addresses (development, tests). `maximum`: the maximum length of a URL typed by a
    person.
    """
    if len(url) > maximum or not url.isprintable() or " " in url or "\\" in url:
        raise BadAddress("An address has at most 500 characters, without spaces, line breaks or backslashes.")
    parts = _split(url)
    if parts.scheme != "https" and not (private and parts.scheme == "http"):
        raise BadAddress("The address must start with https://.")
    if "@" in parts.netloc:
        raise BadAddress("The address must not contain a username or password.")
    host = _host(parts)
    target = OutboundUrl(parts.scheme, host, _port(parts), _path(parts))
    literal = _literal(host)
    if literal is not None and not private:
        _refuse_private([literal])
    return target


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise BadAddress("This isn't a valid address. Please write it as https://example.com/path.") from None


def _host(parts: SplitResult) -> str:
    """The host name in ASCII, or an IP address in its usual notation. Raises BadAddress for other notations."""
    host = (parts.hostname or "").lower()
    if parts.netloc.startswith("["):
        return _bracketed(host)
    try:
        name = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        name = ""
    labels = name.split(".")
    if not name or len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise BadAddress("The address has no valid host. Please write it as https://example.com/path.")
    if _NUMBER.fullmatch(labels[-1]) and _literal(name) is None:  # 2130706433, 0x7f.1, 0177.0.0.1, 127.1
        raise BadAddress("Please write the IP address as four numbers, such as 203.0.113.7.")
    return name


def _bracketed(host: str) -> str:
    if _literal(host) is None or "%" in host:
        raise BadAddress("The part in brackets isn't an IPv6 address.")
    return host


def _literal(host: str) -> str | None:
    """The host if it is an IP address, else None."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return None
    return host


def _port(parts: SplitResult) -> int:
    try:
        port = _DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
    except ValueError:
        port = 0
    if port not in PORTS and port < _FIRST_ALLOWED_PORT:
        raise BadAddress("The port must be 80, 443 or one from 1024 on.")
    return port


def _path(parts: SplitResult) -> str:
    path = quote(parts.path or "/", safe=_SAFE)
    return f"{path}?{quote(parts.query, safe=_SAFE)}" if parts.query else path


# --- resolve


def resolve(
    target: OutboundUrl,
    private: bool = False,
    resolver: Resolver = socket.getaddrinfo,
    seconds: float = LOOK_UP_SECONDS,
) -> list[str]:
    """The IP addresses of a target, in the resolver's order. Queries the resolver once, for at most `seconds`.

    Raises BadAddress if the host is unknown, or if any of its addresses is private.
    """
    try:
        found = deadline.look_up(target.host, target.port, seconds, resolver)
    except (OSError, UnicodeError):
        raise BadAddress("The host of the address can't be resolved at the moment.") from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not addresses:
        raise BadAddress("The host of the address can't be resolved at the moment.")
    if not private:
        _refuse_private(addresses)
    return addresses


def _refuse_private(addresses: list[str]) -> None:
    if not all(is_public(address) for address in addresses):
        raise BadAddress("The address leads to a private or local network. Only public addresses are allowed.")


def is_public(address: str) -> bool:
    """Whether it is an IP address of the public internet."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or _behind_nat64(ip)
        if inner is not None:
            return is_public(str(inner))
        if ip.scope_id is not None or ip.is_site_local:
            return False
    is_blocked = any(ip in net for net in _BLOCKED if net.version == ip.version)
    return ip.is_global and not (is_blocked or ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def _behind_nat64(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None
