"""gunicorn's parser of requests, without what it does again for each request of a server with our settings."""

from __future__ import annotations

from typing import Any

from gunicorn.http.body import LengthReader  # type: ignore[import-untyped]
from gunicorn.http.message import Request  # type: ignore[import-untyped]
from gunicorn.http.parser import RequestParser  # type: ignore[import-untyped]


class ParsedRequest(Request):  # type: ignore[misc]
    """The head of a request. `forwarded_allow_ips` is empty, so gunicorn need not parse the address of the client."""

    def _peer_is_trusted_proxy(self) -> bool:
        """Whether its headers may say how the client has connected: only on a Unix socket."""
        return not isinstance(self.peer_addr, tuple)


class Parser(RequestParser):  # type: ignore[misc]
    """The requests of one connection."""

    mesg_class = ParsedRequest

    def finish_body(self, deadline: float | None = None, max_bytes: int | None = None) -> bool:
        """Read the rest of the body; False if that can't be done. Most requests have none."""
        body: Any = getattr(self.mesg, "body", None)
        if body is not None and not body.failed and type(body.reader) is LengthReader and not body.reader.length:
            return True
        return bool(super().finish_body(deadline, max_bytes))
