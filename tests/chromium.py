"""The machine's own Chromium for tests, driven by playwright."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from tests.servers import browser_program

OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
    # A page that asks for anything outside this machine does not get it
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
#: Pages, network and painting in the process of the browser, which takes a third less CPU than to pass everything from
#: one process to another. Only one context of such a browser can have pages, and none of them a service worker: where a
#: page goes elsewhere twice at once through its worker, such a browser may hang for good.
ONE_PROCESS = "--single-process"
#: What is known to work in one process: Chromium without the parts that have windows.
WINDOWLESS = "chromium-headless-shell"


class Browsers:
    """The browsers of one process of a test run: one for each context, or else one for all."""

    def __init__(self, playwright: Any) -> None:
        self._playwright, self._program = playwright, browser_program()
        #: Context -> the browser that has no other.
        self._own: dict[Any, Any] = {}

    def new_context(self, **options: Any) -> Any:
        """A context with these options of playwright's; to be closed by `end`."""
        if not self._program.endswith(WINDOWLESS) or options.get("service_workers") == "allow":
            return self._shared.new_context(**options)
        browser = self._launch(ONE_PROCESS)
        context = browser.new_context(**options)
        self._own[context] = browser
        return context

    def end(self, context: Any) -> None:
        """Close the context, with its browser if that has no other."""
        self._own.pop(context, context).close()

    def close(self) -> None:
        """Close all browsers."""
        for browser in self._own.values():
            browser.close()
        self._own.clear()
        if "_shared" in self.__dict__:
            self._shared.close()

    @cached_property
    def _shared(self) -> Any:
        return self._launch()

    def _launch(self, *options: str) -> Any:
        return self._playwright.chromium.launch(executable_path=self._program, args=(*OPTIONS, *options))
