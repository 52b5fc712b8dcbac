"""What a worker of the HTTP server does for each request: its threads, and the responses that it sends."""

from __future__ import annotations

import re
import threading
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]
from gunicorn.http.errors import InvalidHeader, ParseException  # type: ignore[import-untyped]
from gunicorn.http.parser import RequestParser  # type: ignore[import-untyped]
from gunicorn.http.wsgi import Response as UsualResponse  # type: ignore[import-untyped]

from app.ops.http_server.request_buffer import BodyLimits, RequestBuffer
from app.ops.http_server.request_parser import Parser
from app.ops.http_server.request_threads import RequestThreads
from app.ops.http_server.response import Response

HEADERS = [("Content-Type", "text/plain"), ("X-Frame-Options", "DENY"), ("X-Request-ID", "0" * 32), ("Connection", "x")]


class Client:
    """Records what it is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        self.sent.append(bytes(data))


def _sent(kind: Any, length: int | None, pieces: list[bytes], **request: Any) -> list[bytes]:
    """What a response of this class sends."""
    asked = {"method": "GET", "version": (1, 1), "should_close": lambda: False} | request
    client = Client()
    response = kind(SimpleNamespace(**asked), client, SimpleNamespace(is_ssl=False, sendfile=None))
    more = [] if length is None else [("Content-Length", str(length))]
    response.start_response("200 OK", HEADERS + more)
    for piece in pieces:
        response.write(piece)
    response.close()
    return [re.sub(rb"Date: [^\r]+", b"Date: now", each) for each in client.sent]


@pytest.mark.parametrize("request_line", [{}, {"method": "HEAD"}, {"version": (1, 0)}, {"should_close": lambda: True}])
@pytest.mark.parametrize(
    ("length", "pieces"),
    [(5, [b"hello"]), (5, [b"he", b"llo"]), (3, [b"hello"]), (0, []), (0, [b""]), (None, [b"he", b"llo"]), (None, [])],
)
def test_a_response_has_the_bytes_of_gunicorns(
    length: int | None, pieces: list[bytes], request_line: dict[str, Any]
) -> None:
    for _ in range(2):  # the second time, headers are known
        assert b"".join(_sent(Response, length, pieces, **request_line)) == b"".join(
            _sent(UsualResponse, length, pieces, **request_line)
        )


def test_head_and_body_are_sent_together() -> None:
    assert len(_sent(Response, 5, [b"hello"])) == 1
    assert len(_sent(UsualResponse, 5, [b"hello"])) == 2


@pytest.mark.parametrize("name", ["X-Frame-Options", "X-Other"])
def test_a_header_that_cannot_be_sent_is_refused(name: str) -> None:
    response = Response(SimpleNamespace(method="GET", version=(1, 1)), Client(), SimpleNamespace())
    for _ in range(2):
        with pytest.raises(InvalidHeader):
            response.process_headers([(name, "a\r\nSet-Cookie: b")])


_FORWARDED = b"Host: x\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 10.0.0.1\r\n"
RECEIVED = (
    b"GET /a?b=c HTTP/1.1\r\n" + _FORWARDED + b"\r\nGET /next HTTP/1.1\r\n\r\n",
    b"POST / HTTP/1.1\r\n" + _FORWARDED + b"Content-Length: 4\r\n\r\nbodyGET /next HTTP/1.1\r\n\r\n",
    b"POST / HTTP/1.1\r\n" + _FORWARDED + b"Content-Length: 0\r\n\r\nGET /next HTTP/1.1\r\n\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /next HTTP/1.1\r\n\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\nGET /next HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.0\r\nX_Forwarded_For: 10.0.0.1\r\n\r\nGET /next HTTP/1.0\r\n\r\n",
)


def _parsed(kind: Any, received: bytes, peer: Any) -> list[Any]:
    """What a parser of this class makes of what was received, of which nobody reads the bodies."""
    config, found = Config(), []
    config.set("forwarded_allow_ips", "")
    try:
        for each in kind(config, iter([received]), peer):
            found.append((each.method, each.uri, each.scheme, each.headers, each.should_close()))
    except ParseException as refused:
        found.append(type(refused))
    return found


@pytest.mark.parametrize("peer", [("127.0.0.1", 9), ("::1", 9, 0, 0), "", b""])
@pytest.mark.parametrize("received", RECEIVED)
def test_requests_are_parsed_as_by_gunicorn(received: bytes, peer: Any) -> None:
    ours = _parsed(Parser, received, peer)
    assert ours and ours == _parsed(RequestParser, received, peer)


@pytest.mark.parametrize("header", [b"Content-Length: 3", b"content-LENGTH : 3", b"Transfer-Encoding: chunked"])
def test_a_request_with_a_body_waits_for_it(header: bytes) -> None:
    request = RequestBuffer(BodyLimits(100))
    head = b"POST / HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n\r\n"
    assert request.feed(head) == b"" and not request.is_complete
    body = b"3\r\nabc\r\n0\r\n\r\n" if b"chunked" in header else b"abc"
    assert request.feed(body + b"GET") == b"GET" and request.is_complete
    assert request.taken().read() == head + body
    request.close()


@pytest.mark.parametrize("length", [b"00000000000000000004", b"4"], ids=["20 digits", "one"])
def test_a_length_may_begin_with_any_number_of_zeros(length: bytes) -> None:
    """The parser reads all digits: with another length, a body would be answered as the next request."""
    request = RequestBuffer(BodyLimits(100))
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\n\r\n"
    assert request.feed(head) == b"" and not request.is_complete
    assert request.feed(b"bodyGET") == b"GET" and request.is_complete
    request.close()


@pytest.mark.parametrize("length, is_too_large", [(b"0" * 30, False), (b"9" * 30, True)])
def test_a_length_of_many_digits_is_none_or_too_much(length: bytes, is_too_large: bool) -> None:
    request = RequestBuffer(BodyLimits(100))
    request.feed(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\n\r\n")
    assert request.is_complete and request.is_cut_off is is_too_large
    request.close()


@pytest.mark.parametrize("version, wants", [(b"1.1", True), (b"1.0", False)])
def test_a_client_of_http_1_0_is_not_told_to_go_on(version: bytes, wants: bool) -> None:
    request = RequestBuffer(BodyLimits(100))
    head = b"POST / HTTP/" + version + b"\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    request.feed(head)
    assert request.wants_continue is wants and not request.is_complete
    request.close()


def test_a_request_without_a_body_is_complete_with_its_head() -> None:
    request = RequestBuffer(BodyLimits(100))
    head = b"GET /leads/?content-length:=3 HTTP/1.1\r\nHost: x\r\nX-Content-Length: 3\r\n\r\n"
    assert request.feed(head + b"GET") == b"GET" and request.is_complete
    assert (request.target, request.taken().read()) == (b"/leads/?content-length:=3", head)
    request.close()


def test_threads_begin_as_they_are_needed_and_answer_at_the_same_time() -> None:
    together, done, names = threading.Barrier(3), SimpleQueue[tuple[int, bool]](), set()

    def answer(number: int) -> bool:
        names.add(threading.current_thread().name)
        if number < 3:
            together.wait(60)
        return number % 2 == 0

    threads = RequestThreads(4, "made-for-a-test", answer, lambda number, keeps: done.put((number, keeps)))
    for number in range(3):
        threads.give(number)
    assert sorted(done.get(timeout=60) for _ in range(3)) == [(0, True), (1, False), (2, True)]
    for number in range(3, 20):
        threads.give(number)
        assert done.get(timeout=60) == (number, number % 2 == 0)
    threads.shutdown()
    assert len(names) == 3 and not [each for each in threading.enumerate() if each.name in names]


def test_a_thread_goes_on_after_a_connection_that_cannot_be_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """Else each of them would take a thread of the process for good: the kernel has no room, or it was closed."""
    done = SimpleQueue[int]()

    def after(number: int, _keeps: bool) -> None:
        done.put(number)
        if number == 0:
            raise OSError("No space left on device")

    threads = RequestThreads(1, "made-for-a-test", lambda _number: True, after)
    for number in range(2):
        threads.give(number)
        assert done.get(timeout=60) == number
    threads.shutdown()
    assert "can't be waited for" in caplog.text
