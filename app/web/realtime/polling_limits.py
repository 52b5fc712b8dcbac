"""The HTTP endpoint of the sockets: limits for clients that poll, and refusals in our own format."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

import orjson

from app.extensions import socketio
from app.web.realtime.socket_message_limits import MESSAGE_BURST, MESSAGES_PER_SECOND, TokenBucket, is_expected_message
from app.web.realtime.sockets import SocketRefused, close_session

PATH = "/socket.io"
#: The environment key with a refusal for this endpoint.
REFUSAL = "crm.socket_refusal"
RETRY_SECONDS = 10


class PollingLimits:
    """WSGI middleware in front of Socket.IO."""

    def __init__(self, app: Any) -> None:
        self.app = app
        #: Sessions with a waiting poll: each occupies a thread, so only one per session is allowed.
        self._polling: set[str] = set()
        #: Engine.IO's id of a polling session -> what it may still send.
        self._allowances: dict[str, TokenBucket] = {}
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Pass the request on, unless the session sends too much."""
        if not str(environ.get("PATH_INFO", "")).startswith(PATH):
            response: Iterable[bytes] = self.app(environ, start_response)
            return response
        query = parse_qs(environ.get("QUERY_STRING", ""))
        session, is_websocket = query.get("sid", [""])[0], query.get("transport") == ["websocket"]
        if not session or is_websocket:
            return self._passed_on(environ, start_response)
        if not self.take(session):
            close_session(session)
            return answer(start_response, SocketRefused(429, "Too many requests. Please connect again."))
        if environ["REQUEST_METHOD"] != "GET":
            return self._passed_on(environ, start_response)
        return self._poll(session, environ, start_response)

    def take(self, session: str) -> bool:
        """Count a request or message of a polling session; False if there are too many."""
        if session not in socketio.server.eio.sockets:
            return True  # Engine.IO refuses it
        with self._lock:
            if len(self._allowances) > 2 * len(socketio.server.eio.sockets) + 100:
                known = set(socketio.server.eio.sockets)
                self._allowances = {sid: each for sid, each in self._allowances.items() if sid in known}
            allowance = self._allowances.setdefault(session, TokenBucket(MESSAGE_BURST, MESSAGES_PER_SECOND))
            return allowance.take()

    def accepts_message(self, session: str, message: Any) -> bool:
        """Whether a message of a session is expected. A session that polls too much is closed."""
        if not is_expected_message(f"4{message}" if isinstance(message, str) else message):
            return False
        socket = socketio.server.eio.sockets.get(session)
        if socket is None or socket.upgraded or self.take(session):
            return True
        close_session(session)
        return False

    def _poll(self, session: str, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with self._lock:
            is_second = session in self._polling
            self._polling.add(session)
        if is_second:
            close_session(session)
            return answer(start_response, SocketRefused(400, "One poll of a session is allowed at a time."))
        try:
            return self._passed_on(environ, start_response)
        finally:
            with self._lock:
                self._polling.discard(session)

    def _passed_on(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Socket.IO's response, or our refusal instead: Engine.IO responds to every refusal with 401."""
        left: dict[str, SocketRefused] = {}
        environ[REFUSAL] = left
        started: list[Any] = []
        response: Iterable[bytes] = self.app(environ, lambda *given: started.append(given))
        if "refusal" in left:
            return answer(start_response, left["refusal"])
        for given in started:
            start_response(*given)
        return response


def answer(start_response: Any, refused: SocketRefused) -> Iterable[bytes]:
    """The refusal as JSON, as on the REST API."""
    body = orjson.dumps({"message": refused.sentence, "errors": {}})
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
    if refused.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append(("Retry-After", str(RETRY_SECONDS)))
    start_response(f"{refused.status} {HTTPStatus(refused.status).phrase}", headers)
    return [body]
