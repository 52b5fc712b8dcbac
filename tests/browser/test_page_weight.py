"""The transfer of a first visit: compressed scripts and styles, and the HTML of lists."""

from __future__ import annotations

from collections.abc import Callable

from tests.browser.conftest import Seat

Sit = Callable[..., Seat]
#: Bytes as they travel: scripts and styles of the first visit, and the HTML of a list.
MAX_FILES, MAX_HTML = 150_000, 20_000
LISTS = ("/leads/", "/tickets/", "/customers/", "/tasks/", "/calls/", "/messages/", "/requests/")
OTHERS = ("/", "/leads/?layout=board", "/tickets/?layout=board", "/tasks/?layout=calendar", "/leads/add", "/settings/")
CHARTS = ("/dashboard/", "/dashboard/calls", "/reports/")
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
    for path in (*LISTS, *OTHERS, *CHARTS):
        admin.go(path)
        admin.page.wait_for_load_state("networkidle")
        files = admin.page.evaluate(FILES)
        assert len(files) > 10, path
        if sum(files) > MAX_FILES:
            heavy[path] = sum(files)
    assert heavy == {}
