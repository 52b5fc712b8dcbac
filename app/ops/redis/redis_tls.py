"""Redis over TLS, with the same deadlines; equal connections share one context."""

from __future__ import annotations

import ssl
from functools import lru_cache
from typing import Any

from redis.connection import SSLConnection

from app.lib import deadline


class OverTls(SSLConnection):
    """Mixin before a class of bounded connections that adds TLS.

    Supports only the options in server_urls.TLS_OPTIONS; config.py refuses others.
    """

    def _wrap_socket_with_ssl(self, sock: Any) -> Any:
        context = _context(self.ca_certs, self.certfile, self.keyfile, int(self.cert_reqs), bool(self.check_hostname))
        sock.begin_exchange()  # the handshake is one
        return deadline.over_tls(context, sock, self.host)


@lru_cache(maxsize=8)
def _context(
    authorities: str | None, certificate: str | None, key: str | None, verify: int, has_name: bool
) -> ssl.SSLContext:
    """The context. Reads the files once: reading the machine's certificates takes 20 ms of CPU. Raises OSError."""
    context = ssl.create_default_context(cafile=authorities)
    context.check_hostname = has_name
    context.verify_mode = ssl.VerifyMode(verify)
    if certificate or key:
        context.load_cert_chain(certfile=certificate or key or "", keyfile=key)
    return context
