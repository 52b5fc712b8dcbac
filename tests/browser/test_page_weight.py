"""The transfer of a first visit: compressed scripts and styles, and the HTML of lists."""

from __future__ import annotations

from collections.abc import Callable

from tests.browser.conftest import Seat

Sit = Callable[..., Seat]
#: Bytes as they travel: scripts and styles of the first visit, and the HTML of a list.
MAX_FILES, MAX_HTML = 150_000, 20_000
LISTS = ("/leads/", "/tickets/", "/customers/", "/tasks/", "/calls/", "/messages/", "/requests/")
FILES = """() => performance.getEntriesByType('resource')
  .filter((each) => /\\.(js|css)$/.test(new URL(each.name).pathname)).map((each) => each.encodedBodySize)"""


def test_a_first_visit_is_light(seat: Sit) -> None:
    admin = seat("admin")
    heavy = {}
    for path in LISTS:
        answer = admin.tab.context.request.get(admin.url + path)
        html = int(answer.headers["content-length"])
        assert answer.ok and answer.headers["content-encoding"]
        if html > MAX_HTML:
            heavy[path] = html
    admin.go("/leads/")
    admin.page.wait_for_load_state("networkidle")
    files = admin.page.evaluate(FILES)
    assert len(files) > 10 and sum(files) <= MAX_FILES, (sum(files), files)
    assert heavy == {}
