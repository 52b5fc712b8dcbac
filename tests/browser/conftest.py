"""An office with demo people, each with a browser of his own that hears every complaint of the page."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.servers import ROOT, LiveServer

#: Of all demo people and of the admin.
PASSWORD = LiveServer.ADMIN[1]
#: Asha leads Rohan's and Manoj's team.
MANAGER, SELLER, COLLEAGUE = "asha.deshmukh", "rohan.parikh", "manoj.thakkar"


@dataclass
class Seat:
    """A person's browser; `complaints` are errors of scripts, refused resources and what the CSP forbids."""

    page: Any
    url: str
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.set_default_timeout(10_000)

    def go(self, path: str) -> Any:
        """Open the page and wait until its scripts are at rest."""
        answer = self.page.goto(self.url + path)
        self.page.wait_for_load_state("load")
        return answer

    def sign_in(self, name: str, password: str = PASSWORD) -> None:
        """Through the form, as everybody does."""
        self.go("/login/")
        self.page.fill("#username", name)
        self.page.fill("#password", password)
        self.page.click("form[name=login] button[type=submit]")
        self.page.wait_for_url(self.url + "/")


@pytest.fixture(scope="session")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """The product with demo data, on SQLite."""
    with LiveServer(tmp_path_factory.mktemp("office")) as server:
        command = [
            sys.executable,
            "-m",
            "flask",
            "--app",
            "run",
            "demo",
            "load",
            "--leads",
            "40",
            "--password",
            PASSWORD,
        ]
        subprocess.run(command, cwd=ROOT, env=dict(server.environment()), check=True, capture_output=True)
        yield server


@pytest.fixture
def seat(chromium: Any, office: LiveServer) -> Iterator[Callable[..., Seat]]:
    """seat("rohan.parikh") is his signed-in browser; seat(None) a stranger's. Further arguments: playwright's."""
    contexts = []

    def sit(name: str | None, **options: Any) -> Seat:
        contexts.append(chromium.new_context(**{"viewport": {"width": 1440, "height": 900}, **options}))
        made = Seat(contexts[-1].new_page(), office.url)
        if name is not None:
            made.sign_in(name)
        return made

    yield sit
    for context in contexts:
        context.close()
