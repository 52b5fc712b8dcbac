"""What nginx answers itself: JSON for programs, a page for browsers; and its log names what was asked for."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.server_clusters import Nginx
from tests.servers import LiveServer, eventually

API, PAGE = "/api/v1/lead/", "/leads/"
BROWSER = "Accept: text/html,application/xhtml+xml\r\n"


class _AloneNginx(Nginx):
    """In front of nothing: only it answers."""

    def answers(self) -> bool:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 5).close()
            return True
        return False


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    folder = tmp_path_factory.mktemp("nginx")
    with _AloneNginx(folder, [LiveServer(folder / "never-started")]) as running:
        yield running


def asked(nginx: Nginx, text: str) -> tuple[int, str, str]:
    """Status, headers and body of the response to these bytes."""
    with socket.create_connection(("127.0.0.1", nginx.port), 30) as line:
        line.sendall(text.encode())
        with suppress(ConnectionResetError):  # by what it doesn't read
            answer = b"".join(iter(lambda: line.recv(65_536), b""))
    head, _gap, body = answer.decode().partition("\r\n\r\n")
    return int(head.split()[1]), head, body


def request(path: str, more: str = "") -> str:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{more}\r\n"


LARGE = "".join(f"X-Large-{n}: {'x' * 15_000}\r\n" for n in range(12))


@pytest.mark.parametrize(
    "status, text",
    [
        (400, request(API, "Host: other\r\n")),
        (400, "nonsense\r\n\r\n"),
        (413, request(API, f"Content-Length: {40 * 1024**2}\r\n")),
        (413, request(API, f"{BROWSER}Content-Length: {40 * 1024**2}\r\n")),
        (413, request(PAGE, f"Accept: */*\r\nContent-Length: {40 * 1024**2}\r\n")),
        (414, request(API + "?q=" + "x" * 20_000)),
        (431, request(API, LARGE)),
        (503, request(API, BROWSER)),
    ],
)
def test_programs_are_refused_in_json(nginx: Nginx, status: int, text: str) -> None:
    found, head, body = asked(nginx, text)
    assert found == status and "Content-Type: application/json" in head and "Cache-Control: no-store" in head
    answer = json.loads(body)
    assert set(answer) == {"message", "errors"} and answer["message"].endswith(".")


@pytest.mark.parametrize(
    "status, text",
    [
        (400, request(PAGE, f"{BROWSER}Host: other\r\n")),
        (413, request(PAGE, f"{BROWSER}Content-Length: {40 * 1024**2}\r\n")),
        (431, request(PAGE, BROWSER + LARGE)),
        (503, request(PAGE, BROWSER)),
    ],
)
def test_browsers_get_a_page_in_words(nginx: Nginx, status: int, text: str) -> None:
    found, head, body = asked(nginx, text)
    assert found == status and "Content-Type: text/html" in head
    assert "<h1>" in body and "nginx" not in body


def test_the_log_names_what_was_asked_for_and_not_the_page_of_the_error(nginx: Nginx) -> None:
    asked(nginx, request("/tickets/?q=asha", BROWSER))
    asked(nginx, request("/calls/9820012345", BROWSER))

    def paths() -> set[str]:
        lines = (Path(nginx.folder) / "nginx-access.log").read_text().splitlines()
        return {json.loads(each)["path"] for each in lines}

    eventually(lambda: {"/tickets/", "/calls/..."} <= paths(), "the paths are not in the log")
