"""Clients that send or read slowly, or too much, don't delay others."""

from __future__ import annotations

import contextlib
import http.client
import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from app.ops.http_server import request_buffer
from tests.servers import LiveServer, eventually

HALF_SENT = {
    "nothing": b"",
    "half a line": b"GET /heal",
    "half of the headers": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
    "no body": b"POST /api/v1/security/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\n",
    "half a body": b"POST /api/method/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9999\r\n\r\n" + b"x" * 1000,
    "half a chunked body": b"POST /login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nxx",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """The product with as many threads as it has by default."""
    with LiveServer(tmp_path_factory.mktemp("slow")) as made:
        yield made


@contextlib.contextmanager
def connections(server: LiveServer, count: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        address = ("127.0.0.1", server.port)
        yield [stack.enter_context(socket.create_connection(address, timeout=60)) for _ in range(count)]


def get(server: LiveServer, path: str) -> None:
    """A request of somebody else."""
    assert requests.get(server.url + path, timeout=60).status_code == 200


def any_answered(held: list[socket.socket]) -> bool:
    """Whether the server has answered one of them, or closed it."""
    poll = select.poll()
    for each in held:
        poll.register(each, select.POLLIN)
    return bool(poll.poll(0))


@pytest.mark.parametrize("sent", HALF_SENT.values(), ids=HALF_SENT)
def test_200_half_sent_requests_keep_nobody_waiting(server: LiveServer, sent: bytes) -> None:
    with connections(server, 200) as held:
        for each in held:
            each.sendall(sent)
        for path in ("/healthz", "/healthz", "/login/"):
            get(server, path)
        assert not any_answered(held), "somebody waited until the slow ones were cut off"


def test_a_request_that_dribbles_is_refused_after_15_seconds_in_all(server: LiveServer) -> None:
    with connections(server, 60) as held:
        began, ended = time.monotonic(), threading.Event()
        for each in held:
            each.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")

        def dribble() -> None:
            while not ended.wait(1):
                for each in held:
                    with contextlib.suppress(OSError):
                        each.sendall(b"x")

        thread = threading.Thread(target=dribble, daemon=True)
        thread.start()
        eventually(lambda: time.monotonic() - began > 5, "time stands still")
        get(server, "/healthz")
        assert not any_answered(held)
        answers = [each.recv(4096) for each in held]
        seconds = time.monotonic() - began
        ended.set()
        thread.join()
    assert all(answer.startswith(b"HTTP/1.1 408 ") and b"took too long" in answer for answer in answers)
    assert request_buffer.REQUEST_SECONDS <= seconds < request_buffer.REQUEST_SECONDS + 30


def test_the_refusal_has_the_shape_of_its_endpoint(server: LiveServer) -> None:
    """They wait side by side."""
    keys = {"/api/v1/lead/": "errors", "/api/method/login": "exc_type"}
    with connections(server, len(keys)) as clients:
        for path, client in zip(keys, clients, strict=True):
            client.sendall(f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n".encode())
        for (path, key), client in zip(keys.items(), clients, strict=True):
            response = http.client.HTTPResponse(client)
            response.begin()
            assert response.status == 408 and f'"{key}"' in response.read().decode(), path
            assert client.recv(1) == b"", path


def test_a_request_in_pieces_is_answered_and_so_is_one_behind_another(server: LiveServer) -> None:
    body = b'{"username":"x","password":"y","provider":"db"}'
    post = b"POST /api/v1/security/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    plain = post + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    chunked = post + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    with connections(server, 1) as [client]:
        for request in (plain, chunked):
            for at in range(0, len(request), 7):
                client.sendall(request[at : at + 7])
            response = http.client.HTTPResponse(client)
            response.begin()
            assert (response.status, b"wrong" in response.read()) == (401, True)
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 3)
        answers = b""
        while answers.count(b"\r\n\r\nok") < 3:
            answers += client.recv(4096)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    "path",
    ["/api/v1/security/login", "/api/method/login", "/login/", "/api/v1/lead/", "/api/resource/CRM%20Lead", "/leads/"],
)
def test_the_client_sees_that_its_body_of_50_mb_is_too_large(server: LiveServer, path: str, chunked: bool) -> None:
    piece = b"x" * 1_000_000
    body = (piece for _ in range(50)) if chunked else piece * 50
    response = requests.post(server.url + path, data=body, timeout=60)
    assert response.status_code == 413 and "too large" in response.text, response.text[:300]


@pytest.mark.parametrize("length, interim", [(1000, b"100 Continue"), (50_000_000, b"413")])
def test_who_asks_before_sending_a_body_is_told_at_once(server: LiveServer, length: int, interim: bytes) -> None:
    head = "POST /api/v1/security/login HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\n"
    head += f"Content-Length: {length}\r\n"
    with connections(server, 1) as [client]:
        client.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n")
        assert interim in client.recv(4096).partition(b"\r\n")[0]


@pytest.mark.parametrize("path", ["/api/v1/lead/", "/api/method/ping/nothing", "/nothing"])
@pytest.mark.parametrize("size", [1000, 300_000])
def test_a_connection_stays_open_after_a_body_that_nobody_read(server: LiveServer, path: str, size: int) -> None:
    """Else a proxy, which was told that it stays open, sends somebody else's request into the closed one."""
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    with contextlib.closing(client):
        for _each in range(3):
            client.request("POST", path, b"x" * size)
            answer = client.getresponse()
            answer.read()
            assert answer.status >= 400 and answer.getheader("Connection") == "keep-alive"
            client.auto_open = 0  # no new connection in the place of a closed one
        client.request("GET", "/healthz")
        assert client.getresponse().status == 200


@pytest.mark.parametrize("body", [b"-1\r\nabc\r\n0\r\n\r\n", b"3\r\nabcXX0\r\n\r\n"], ids=["size", "end"])
def test_a_malformed_body_that_nobody_read_is_answered_once(server: LiveServer, body: bytes) -> None:
    head = f"POST /nothing HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connections(server, 1) as (client,):
        client.sendall(head.encode() + body)
        received = b"".join(iter(lambda: client.recv(65_536), b""))
    assert received.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "body", [b"3;" + b"x" * 5000 + b"\r\nabc\r\n0\r\n\r\n", b"0" * 21 + b"\r\n\r\n"], ids=["extension", "zeros"]
)
def test_what_follows_a_body_that_only_the_parser_accepts_is_not_a_request(server: LiveServer, body: bytes) -> None:
    """Its end was not found: what was read with it would be the answer to somebody's next request."""
    host = b"Host: 127.0.0.1:%d\r\n" % server.port
    head = b"POST /nothing HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\n"
    with connections(server, 1) as (client,):
        client.sendall(head + body + b"GET /healthz HTTP/1.1\r\n" + host + b"\r\n")
        received = b"".join(iter(lambda: client.recv(65_536), b""))
    assert received.count(b"HTTP/1.1 ") == 1 and b"Connection: close" in received


def test_more_connections_than_the_server_holds_close_the_oldest(server: LiveServer) -> None:
    with connections(server, 1100):
        get(server, "/healthz")


def test_the_headers_are_limited(server: LiveServer) -> None:
    for sent, status in ((b"GET /" + b"x" * 70_000, 414), (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, 431)):
        with connections(server, 1) as [client]:
            client.sendall(sent)
            assert client.recv(4096).startswith(b"HTTP/1.1 %d " % status)


def test_a_client_that_closes_leaves_nothing_behind(server: LiveServer) -> None:
    assert server.process is not None
    [worker] = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    files = Path(f"/proc/{worker}/fd")
    before = len(list(files.iterdir()))
    with connections(server, 100) as held:
        for each in held:
            each.sendall(b"POST / HTTP/1.1\r\nContent-Length: 200000\r\n\r\n" + b"x" * 100_000)
    eventually(lambda: len(list(files.iterdir())) <= before + 5, "connections stay open")


def test_a_client_that_does_not_read_its_response_holds_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_buffer, "RESPONSE_SECONDS", 0.3)
    ours, theirs = socket.socketpair()
    with theirs, request_buffer.ClientSocket(fileno=ours.detach()) as client, Path("/dev/zero").open("rb") as endless:
        request = request_buffer.RequestBuffer(request_buffer.BodyLimits(0))
        request.feed(b"GET / HTTP/1.1\r\n\r\n")
        client.begin(request)
        with pytest.raises(BrokenPipeError):
            client.sendfile(endless, count=10**9)
        request.close()
