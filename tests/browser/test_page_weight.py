"""The transfer of a first paint: compressed scripts and styles, and the HTML of lists."""

from __future__ import annotations

from tests.browser.conftest import MANAGER, OpenBrowser

#: Bytes as they travel: scripts and styles of the first paint, and the HTML of a list.
MAX_FILES, MAX_HTML = 140_000, 20_000
LISTS = ("/leads/", "/tickets/", "/customers/", "/tasks/", "/calls/", "/messages/", "/requests/")
CHARTS = ("/dashboard/", "/dashboard/calls")
OTHERS = ("/", "/leads/?layout=board", "/tickets/?layout=board", "/tasks/?layout=calendar", "/leads/add", "/settings/")
FILES = """() => performance.getEntriesByType('resource')
  .filter((each) => /\\.(js|css)$/.test(new URL(each.name).pathname))
  .filter((each) => !/vendor.sortable/.test(each.name)).map((each) => each.encodedBodySize)"""
ALL_FILES = FILES.replace("vendor.sortable", "^$")
#: Whether the library of dragging was asked for after the page was loaded, not for the first paint.
LATE = """() => performance.getEntriesByType('resource').filter((each) => /vendor.sortable/.test(each.name))
  .every((each) => each.startTime >= performance.getEntriesByType('navigation')[0].loadEventStart)"""


def test_a_first_visit_is_light(open_browser: OpenBrowser) -> None:
    admin = open_browser("admin")
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
        assert admin.page.evaluate(LATE), path
    assert heavy == {}


def test_a_managers_first_visit_needs_no_library_of_charts(open_browser: OpenBrowser) -> None:
    asha = open_browser(MANAGER)
    asha.go("/dashboard/")
    asha.page.wait_for_load_state("networkidle")
    assert asha.page.locator("[data-chart] [data-marks]").count() > 3
    assert sum(asha.page.evaluate(ALL_FILES)) <= MAX_FILES
