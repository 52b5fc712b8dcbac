"""A worker process of the HTTP server: its main thread receives requests, a pool of threads answers them.

gunicorn's own worker reads a request in the thread that answers it, so that as many slow clients as there are threads
block it. Here the main thread reads, without blocking: see request_buffer.py.
"""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from gunicorn import util  # type: ignore[import-untyped]
from gunicorn.http import wsgi  # type: ignore[import-untyped]
from gunicorn.http.errors import LimitRequestLine, ParseException  # type: ignore[import-untyped]
from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]

from app.ops.http_server.listener_shutdown import close_all, last_connections, let_everybody_begin
from app.ops.http_server.request_buffer import REQUEST_SECONDS, BodyLimits, ClientSocket, RequestBuffer
from app.ops.http_server.request_parser import Parser
from app.ops.http_server.request_threads import RequestThreads
from app.ops.http_server.response import Response
from app.ops.http_server.server_refusals import refusal_response
from app.ops.http_server.worker_channels import WorkerChannels, slot_of

#: The connection count in a slot without a worker, or with one that accepts none any more.
NO_WORKER = -1
#: How often a worker leaves a connection to one with fewer, and how long it waits each time: 10 ms in all.
MAX_YIELDS, YIELD_SECONDS = 20, 0.0005
#: Connections per worker; for a further one, the one that has waited longest is closed.
MAX_CONNECTIONS = 1000
#: How long a connection waits for its next request.
KEEP_ALIVE_SECONDS = 5.0
#: How long unread bytes are accepted from a client after the last response, so that it can read that; and how long if
#: its request was refused before all of it had arrived.
LINGER_SECONDS, REFUSED_LINGER_SECONDS = 2.0, 15.0
READ_BYTES = 262_144
#: How often it tells the parent process that it is alive, and looks for expired connections; the loop runs twice for
#: each request.
HOUSEKEEPING_SECONDS = 0.5
#: Served by threads of its own, so that it responds when all others are busy.
HEALTH_TARGET, HEALTH_THREADS = b"/healthz", 2


class Worker(ThreadWorker):  # type: ignore[misc]
    """A worker that gives threads only to complete requests, and stops promptly."""

    hooks: Any
    #: The number of connections of each worker, in shared memory; NO_WORKER in a free slot.
    connection_counts: Any
    #: The index of this worker in the counts.
    slot: int
    channels: WorkerChannels
    body_limits: BodyLimits
    #: How often in a row it left a connection to another worker.
    yields = 0
    #: Runs `hooks.on_stop`, once started.
    stopping: threading.Thread | None = None
    stopped_at: float | None = None
    #: How long idle connections stay open when it stops.
    drain_seconds = LINGER_SECONDS
    #: When it is due to tell that it is alive, and to look for expired connections (monotonic).
    notify_at = look_at = 0.0

    def init_process(self) -> None:
        """Set up this process, then serve."""
        #: Connections without a thread, and until when they may wait (monotonic); the oldest first.
        self.waiting: dict[Any, float] = {}
        self.health_threads = RequestThreads(HEALTH_THREADS, "crm-health", self._answer, self._go_on)
        # As plain attributes: gunicorn's look-up of a setting takes three calls, and a request needs twenty.
        self.cfg.__dict__.update({name: self.cfg.settings[name].get() for name in self.cfg.settings})
        super().init_process()

    def get_thread_pool(self) -> RequestThreads:
        """The threads that answer all other requests."""
        return RequestThreads(self.cfg.threads, "crm-request", self._answer, self._go_on)

    def run(self) -> None:
        """Serve, including connections passed on by other workers."""
        self.poller.register(self.channels.receiver(self.slot), selectors.EVENT_READ, self._take_over)
        super().run()

    # --- accepting

    def accept(self, listener: Any) -> None:
        """Accept a connection, unless another worker has fewer.

        Connections are long-lived: if the first worker to wake accepted all that arrive at once, the others would stay
        idle.
        """
        fewest = min((each for each in self.connection_counts if each != NO_WORKER), default=0)
        if self.nr_conns > fewest and self.yields < MAX_YIELDS:
            self.yields += 1
            time.sleep(YIELD_SECONDS)
            return  # the kernel offers it again at once, to all workers
        self.yields = 0
        if self.nr_conns >= MAX_CONNECTIONS:
            self._close_longest_waiting()
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._close_longest_waiting()
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return
        self._admit(client, address, listener.getsockname())
        self.connection_counts[self.slot] = self.nr_conns

    def _admit(self, client: socket.socket, address: Any, server: Any) -> Any:
        self.nr_conns += 1
        connection = TConn(self.cfg, ClientSocket(fileno=client.detach()), address, server)
        connection.parser = Parser(self.cfg, connection.sock, address)
        connection.initialized = connection.data_ready = True  # gunicorn does not wait for it, nor make a parser
        self._await_request(connection, REQUEST_SECONDS)
        return connection

    def _close_longest_waiting(self) -> None:
        if self.waiting:
            self._close(next(iter(self.waiting.copy())))  # threads add to it

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Publish the connection count before waiting."""
        self.connection_counts[self.slot] = self.nr_conns if self.alive else NO_WORKER
        super().wait_for_and_dispatch_events(timeout)

    # --- receiving

    def _await_request(self, connection: Any, seconds: float) -> None:
        connection.intake = RequestBuffer(self.body_limits)
        self._watch(connection, seconds, self._on_readable)

    def _watch(self, connection: Any, seconds: float, callback: Callable[[Any, Any], None]) -> None:
        self.waiting[connection] = time.monotonic() + seconds
        self.poller.register(connection.sock, selectors.EVENT_READ, partial(callback, connection))

    def _unwatch(self, connection: Any) -> None:
        if self.waiting.pop(connection, None) is not None:
            with contextlib.suppress(KeyError, ValueError, OSError):
                self.poller.unregister(connection.sock)

    def _on_readable(self, connection: Any, client: ClientSocket) -> None:
        data = client.receive(READ_BYTES)
        if data:
            self._take_in(connection, data)
        elif data is not None:
            self._close(connection)

    def _take_in(self, connection: Any, data: bytes) -> None:
        """Add bytes to the request; pass it to a thread when it is complete."""
        intake = connection.intake
        if not intake.has_begun:
            del self.waiting[connection]  # move it to the end
            self.waiting[connection] = time.monotonic() + REQUEST_SECONDS
        try:
            has_target = bool(intake.target)
            connection.surplus = intake.feed(data)
            if intake.target and not has_target:
                self.waiting[connection] += intake.seconds - REQUEST_SECONDS
        except OSError:  # the disk for large requests is full
            intake.refusal = 503
        if intake.refusal:
            self._refuse(connection, intake.refusal)
        elif intake.is_complete:
            self._unwatch(connection)
            self._pass_on(connection)
        elif intake.wants_continue:
            intake.wants_continue = False
            with contextlib.suppress(OSError):
                connection.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _pass_on(self, connection: Any) -> None:
        """Pass the complete request to a thread, of this worker or of the one with its session."""
        intake, slot = connection.intake, slot_of(connection.intake.target)
        if slot not in (None, self.slot):
            data = intake.taken().read() + connection.surplus
            if self.channels.hand_over(slot, connection.sock, data):
                self._close(connection)
                return
        connection.sock.begin(intake)
        self.enqueue_req(connection)

    def _take_over(self, _receiver: Any) -> None:
        """Take over a connection from another worker."""
        given = self.channels.take(self.slot)
        if given is None:
            return
        with contextlib.suppress(OSError):  # it was closed meanwhile
            connection = self._admit(given.client, given.client.getpeername(), given.client.getsockname())
            self._take_in(connection, given.data)

    def enqueue_req(self, connection: Any) -> None:
        """Let a thread answer the request."""
        is_health_check = connection.intake.target.partition(b"?")[0] == HEALTH_TARGET
        (self.health_threads if is_health_check else self.tpool).give(connection)

    # --- answering, in a thread

    def _answer(self, connection: Any) -> bool:
        """Answer the request. Returns whether the connection stays open."""
        with contextlib.suppress(BaseException):  # `handle` has logged it
            return bool(self.handle(connection))
        return False

    def _go_on(self, connection: Any, keeps: bool) -> None:
        """Have the next request of the connection waited for.

        The thread does so itself: the main thread would have to wake up only for this.
        """
        if not keeps or not self.alive or connection.intake.is_upgrade or connection.surplus:
            self.method_queue.defer(self.finish_request, connection, keeps)
            return
        connection.intake.close()
        connection.idle_since = time.monotonic()
        self._await_request(connection, KEEP_ALIVE_SECONDS)

    def _keepalive_after(self, _conn: Any, keepalive: bool) -> bool:
        """Whether the connection can be used again; `handle_request` has read the rest of the request."""
        return keepalive

    def handle_request(self, req: Any, conn: Any) -> bool:
        """Answer one request. Returns whether the connection stays open: only if the request was read completely."""
        req._expected_100_continue = False  # the body has been requested already
        if conn.intake.is_cut_off:
            req.force_close()
        response, environ = wsgi.create(req, conn.sock, conn.client, conn.server, self.cfg, response_class=Response)
        environ["wsgi.multithread"] = True
        if not self.alive:
            response.force_close()
        try:
            self._send(response, environ)
        except OSError:
            raise
        except (Exception, SystemExit):
            if not response.headers_sent:
                raise
            self.log.exception("Error handling request")
            util.close_graceful(conn.sock)
            return False
        return not response.should_close() and _reads_rest(conn.parser)

    def _send(self, response: Response, environ: dict[str, Any]) -> None:
        pieces = self.wsgi(environ, response.start_response)
        try:
            if isinstance(pieces, environ["wsgi.file_wrapper"]):
                response.write_file(pieces)
            else:
                for each in pieces:
                    response.write(each)
            response.close()
        finally:
            if hasattr(pieces, "close"):
                pieces.close()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Refuse a request line that is too long: it never reaches the application, but gets a suitable response."""
        if not isinstance(exc, LimitRequestLine):
            super().handle_error(req, client, addr, exc)
            return
        with contextlib.suppress(OSError):
            client.sendall(refusal_response(414))

    # --- after the response

    def finish_request(self, conn: Any, keeps: bool) -> None:
        """Wait for the next request on the connection, or close it."""
        conn.intake.close()
        if conn.intake.is_upgrade:
            self._close_upgraded(conn)
        elif keeps:
            conn.idle_since = time.monotonic()
            surplus = conn.surplus
            self._await_request(conn, KEEP_ALIVE_SECONDS)
            if surplus:
                self._take_in(conn, surplus)
        else:
            self._linger(conn, REFUSED_LINGER_SECONDS if conn.intake.is_too_large else LINGER_SECONDS)

    def _close_upgraded(self, connection: Any) -> None:
        """Close a WebSocket; its own thread may be closing it at the same time."""
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)
        self._close(connection)

    def _refuse(self, connection: Any, status: int) -> None:
        """Respond without the application, and close."""
        self._unwatch(connection)
        with contextlib.suppress(OSError):
            connection.sock.send(refusal_response(status, connection.intake.target))
        self._linger(connection, REFUSED_LINGER_SECONDS)

    def _linger(self, connection: Any, seconds: float) -> None:
        """Shut down sending, and discard what still arrives.

        Closing at once with unread bytes would reset the connection, and the client could lose the response.
        """
        connection.intake.close()
        connection.is_lingering = True
        try:
            connection.sock.setblocking(False)
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(connection)
            return
        self._watch(connection, seconds, self._drop_rest)

    def _drop_rest(self, connection: Any, client: ClientSocket) -> None:
        if client.receive(READ_BYTES) == b"":
            self._close(connection)

    def _close(self, connection: Any) -> None:
        self._unwatch(connection)
        connection.intake.close()
        self.nr_conns -= 1
        connection.close()

    def murder_pending(self) -> None:
        """Refuse requests that did not arrive in time, and close expired connections; called at least every second."""
        now = time.monotonic()
        if now < self.look_at and self.stopped_at is None:
            return
        self.look_at = now + HOUSEKEEPING_SECONDS
        self.hooks.every_second()
        for connection, until in self.waiting.copy().items():  # threads add to it
            if self._end_of_wait(connection, until) > now:
                continue
            if connection.intake.has_begun and not getattr(connection, "is_lingering", False):
                self._refuse(connection, 408)
            else:
                self._close(connection)

    def notify(self) -> None:
        """Tell the parent process that this one is alive; it waits for two minutes."""
        now = time.monotonic()
        if now >= self.notify_at:
            self.notify_at = now + HOUSEKEEPING_SECONDS
            super().notify()

    # --- stopping

    def _end_of_wait(self, connection: Any, until: float) -> float:
        """Until when a connection may wait.

        When stopping it is shorter, except for a request that is arriving, and for one that a proxy may send because
        the last response has told it that the connection stays open.
        """
        is_lingering = getattr(connection, "is_lingering", False)
        if self.stopped_at is None or (connection.intake.has_begun and not is_lingering):
            return until
        since = max(self.stopped_at, getattr(connection, "idle_since", 0.0))
        return min(until, since + self.drain_seconds)

    def set_accept_enabled(self, enabled: bool) -> None:
        """When stopping, leave new connections to other workers; the last one takes over those that are established.

        See listener_shutdown.py.
        """
        super().set_accept_enabled(enabled)
        if enabled:
            let_everybody_begin(self.sockets)
        elif not self.alive:
            self._accept_no_more()

    def _accept_no_more(self) -> None:
        self.connection_counts[self.slot] = NO_WORKER
        if any(each != NO_WORKER for each in self.connection_counts):
            close_all(self.sockets)
            return
        for client, address, server in last_connections(self.sockets):
            self._admit(client, address, server)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: finish the running requests. Each open socket keeps a thread, so `on_stop` closes them at once."""
        if self.alive:
            self.stopped_at = time.monotonic()
            self.stopping = threading.Thread(target=self.hooks.on_stop, daemon=True)
            self.stopping.start()
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Ctrl+C: finish the running requests, as after SIGTERM."""
        self.handle_exit(sig, frame)


def _reads_rest(parser: Any) -> bool:
    """Read what the application has not read of the body, all of which is here; False if it is malformed.

    gunicorn reads 64 kB of it, then closes a connection of which the response has said that it stays open. For a
    malformed one it sends a second response.
    """
    try:
        return bool(parser.finish_body())
    except (OSError, ParseException):
        return False
