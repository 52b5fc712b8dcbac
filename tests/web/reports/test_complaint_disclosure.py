"""The monthly disclosure of complaints: its page, files, publishing, and the public address."""

from __future__ import annotations

import csv
import html
import io
import re
import zipfile
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from app.domain.complaints import disclosure_periods
from app.models import AuditEntry, BusinessSetting, Complaint, ComplaintCategory, ComplaintDisclosure
from app.ops.redis.rate_counter import Rate
from app.web.pages import public_disclosure
from tests.app_fixtures import Crm
from tests.factories import ZONE
from tests.web.invalid_input import assert_no_leak

URL = "/complaints-disclosure/"
#: The month before the current one, in the office.
MONTH = disclosure_periods.previous(disclosure_periods.month_of(datetime.now(ZoneInfo(ZONE)).date()))
NAME = disclosure_periods.month_name(MONTH)


def complaint(crm: Crm, received: date, disposed: date | None = None, **values: Any) -> Any:
    """A complaint of Cleo's ticket."""
    ticket = crm.make.ticket("cleo")
    category = crm.rows(select(ComplaintCategory.id))[0]
    row = Complaint(
        number=f"CRM-COMPLAINT-2026-{ticket.id:05}",
        ticket_id=ticket.id,
        title="Shares not credited",
        received_on=received,
        disposed_on=disposed,
        outcome="Resolved" if disposed else None,
        category_id=category,
        acknowledge_due_on=received,
        report_due_on=received,
        created_on=datetime.now(UTC),
        changed_on=datetime.now(UTC),
        **{"source": "Investor"} | values,
    )
    crm.session.add(row)
    crm.session.commit()
    return row


@pytest.fixture
def officer(crm: Crm) -> Any:
    """Rhea's browser; two complaints were received in the month, of which one was resolved after six days."""
    complaint(crm, MONTH.first, MONTH.first + timedelta(days=6))
    complaint(crm, MONTH.first, source="SEBI SCORES")
    return crm.client("rhea")


def publish(client: Any, base: int = 0, **more: Any) -> Any:
    return client.form(f"{URL}publish", {"month": NAME, "layout": "2025", "base": str(base)} | more)


def versions(crm: Crm) -> list[tuple[int, str | None]]:
    query = select(ComplaintDisclosure.version_number, ComplaintDisclosure.reason).order_by(ComplaintDisclosure.id)
    with crm.app.app_context(), crm.engine.connect() as raw:
        return [tuple(row) for row in raw.execute(query)]


def open_to_the_public(crm: Crm) -> None:
    crm.session.add(BusinessSetting(key="disclosure_is_public", value=True))
    crm.session.commit()


class _Cells(HTMLParser):
    """The texts of the cells of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.is_cell = False
        self.feed(page)

    def handle_starttag(self, tag: str, _attrs: Any) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
            self.is_cell = True

    def handle_endtag(self, tag: str) -> None:
        self.is_cell = self.is_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.is_cell:
            self.rows[-1][-1] += data.strip()


def row_of(page: str, label: str) -> list[str]:
    return next(row[1:] for row in _Cells(page).rows if row and row[0] == label)


# --- the page


def test_the_page_shows_both_layouts(officer: Any) -> None:
    page = officer.screen(f"{URL}?month={NAME}&layout=2025").text
    assert row_of(page, "Directly from investors") == ["0", "1", "1", "0", "0", "6.00"]
    assert row_of(page, "SEBI (SCORES)") == ["0", "1", "0", "1", "0", "–"]
    assert row_of(page, "Grand total") == ["0", "2", "1", "1", "0", "6.00"]
    assert "impersonation by others, which are not counted above: 0." in page and "Everything adds up" in page
    old = officer.screen(f"{URL}?month={NAME}&layout=2021").text
    assert row_of(old, "Grand total") == ["0", "2", "2", "1", "1", "0", "6.00"]
    assert "Pending at the end of the month for less than 3 months" in old and "about impersonation" not in old


def test_the_last_month_is_shown_by_default(officer: Any) -> None:
    assert f'<option value="{NAME}" selected>' in officer.screen(URL).text


@pytest.mark.parametrize(
    "query",
    ["month=x", "month=2026-13", "month=%00", "month=9999-12", "version=-1", "version=x", "month=2026-1%ED%A0%80"],
)
def test_bad_input_is_refused_in_words(officer: Any, query: str) -> None:
    answer = officer.screen(f"{URL}?{query}")
    assert 400 <= answer.status_code < 500
    assert_no_leak(answer, query)


def test_an_unknown_version_is_missing(officer: Any) -> None:
    assert officer.screen(f"{URL}?month={NAME}&version=7").status_code == 404


def test_only_who_reaches_all_complaints_opens_it(crm: Crm, officer: Any) -> None:
    for name in ("ana", "mia", "cleo", "sam"):
        client = crm.client(name)
        for path in (URL, f"{URL}disclosure.csv", f"{URL}return.xlsx"):
            answer = client.screen(f"{path}?month={NAME}")
            assert answer.status_code in (302, 403), (name, path)
            assert "Directly from investors" not in answer.text
        assert publish(client).status_code in (302, 403)
        assert URL not in client.screen("/").text, name
    assert versions(crm) == []
    assert URL in officer.screen("/").text and crm.client("root").screen(URL).status_code == 200


def test_who_sees_only_some_tickets_reaches_not_all_complaints(crm: Crm, officer: Any) -> None:
    crm.make.cell("Compliance", "Tickets", "read", "own")
    for path in (URL, f"{URL}disclosure.csv", f"{URL}return.xlsx"):
        answer = officer.screen(f"{path}?month={NAME}")
        assert answer.status_code in (302, 403) and "Directly from investors" not in answer.text, path
    assert publish(officer).status_code in (302, 403) and versions(crm) == []
    assert URL not in officer.screen("/").text


def test_the_page_takes_few_statements(crm: Crm, officer: Any) -> None:
    publish(officer)
    crm.app.config["COUNT_SQL"] = True
    counts = [int(officer.screen(f"{URL}?month={NAME}").headers["X-SQL-Count"]) for _number in range(2)]
    assert counts[1] < 15


def test_every_figure_leads_to_its_complaints(crm: Crm, officer: Any) -> None:
    """As many as the figure says, by the rows of the list."""
    first = MONTH.first
    complaint(crm, first - timedelta(days=150))
    complaint(crm, first - timedelta(days=20), first + timedelta(days=3))
    complaint(crm, first - timedelta(days=20), first - timedelta(days=3))
    complaint(crm, first, is_impersonation=True)
    kept = complaint(crm, MONTH.last, MONTH.after)
    complaint(crm, MONTH.last, joined_to_id=kept.id)
    links, by_days = 0, 0
    for layout in ("2021", "2025"):
        page = officer.screen(f"{URL}?month={NAME}&layout={layout}").text
        for url, figure in re.findall(r'<td><a href="(/complaints/[^"]+)">([\d.]+)</a></td>', page):
            listed = officer.screen(html.unescape(url))
            numbers = set(re.findall(r"CRM-COMPLAINT-2026-\d+", listed.text))
            assert listed.status_code == 200 and ("." in figure or len(numbers) == int(figure)), url
            links, by_days = links + 1, by_days + ("days_taken" in url)
    assert links > 60 and by_days >= 2


# --- publishing


def test_publishing_freezes_the_month_and_corrections_need_a_reason(crm: Crm, officer: Any) -> None:
    assert publish(officer).status_code == 302 and versions(crm) == [(1, None)]
    late = complaint(crm, MONTH.first + timedelta(days=2))
    page = officer.screen(f"{URL}?month={NAME}").text
    assert "received: 2 in version 1, 3 now" in page and row_of(page, "Grand total")[1] == "3"
    frozen = officer.screen(f"{URL}?month={NAME}&version=1").text
    assert row_of(frozen, "Grand total")[1] == "2" and "Version 1, published on" in frozen
    for empty in (" ", "\u202e\u200b", "\ufeff\n\u2066"):
        refused = publish(officer, 1, reason=empty)
        assert refused.status_code == 422 and "Please say why this month is corrected." in refused.text
    assert publish(officer, 0, reason="Found later").status_code == 409
    too_long = publish(officer, 1, reason="<b>" + "x" * 500)
    assert too_long.status_code == 422 and "&lt;b&gt;" + "x" * 500 in too_long.text, "what was typed is kept"
    assert publish(officer, 1, reason=f"Found later: {late.number}").status_code == 302
    assert versions(crm) == [(1, None), (2, f"Found later: {late.number}")]
    again = publish(officer, 2, reason="Once more")
    assert again.status_code == 422 and "Nothing has changed since version 2" in again.text
    assert "Everything adds up" in officer.screen(f"{URL}?month={NAME}").text


def test_publishing_is_in_the_audit(crm: Crm, officer: Any) -> None:
    publish(officer)
    officer.screen(f"{URL}disclosure.csv?month={NAME}")
    found = crm.rows(select(AuditEntry).where(AuditEntry.about == f"complaints {NAME}").order_by(AuditEntry.id))
    assert [(each.event, each.payload) for each in found] == [
        ("disclosure", {"version": 1, "reason": None}),
        ("export", {"what": "disclosure", "format": "csv"}),
    ]


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"month": "soon"}, 302),
        ({"layout": "2019"}, 422),
        ({"base": "x"}, 422),
        ({"base": "1"}, 409),
        ({"month": ""}, 302),
    ],
)
def test_a_wrong_form_publishes_nothing(crm: Crm, officer: Any, values: Any, status: int) -> None:
    assert publish(officer, **values).status_code == status
    assert bool(versions(crm)) is (values == {"month": ""})


def test_the_current_month_cannot_be_published(crm: Crm, officer: Any) -> None:
    current = disclosure_periods.month_name(disclosure_periods.month_of(MONTH.after))
    assert "Publish " not in re.sub(r"(?s)<h2.*?</h2>", "", officer.screen(f"{URL}?month={current}").text)
    answer = publish(officer, month=current)
    assert answer.status_code == 422 and "over yet" in answer.text and versions(crm) == []


def test_figures_that_do_not_add_up_are_red_and_not_published(crm: Crm, officer: Any) -> None:
    wrong = complaint(crm, MONTH.last, MONTH.first - timedelta(days=1))
    page = officer.screen(f"{URL}?month={NAME}").text
    assert "add up" in page and wrong.number in page and "is-wrong" in page
    assert "0 carried forward + 2 received − 1 resolved is not 0 pending." in page
    answer = publish(officer)
    assert answer.status_code == 422 and "Correct the complaints that are named" in answer.text and versions(crm) == []


# --- files


def test_files_of_a_month(officer: Any) -> None:
    got = {each: officer.screen(f"{URL}disclosure.{each}?month={NAME}") for each in ("csv", "xlsx", "pdf", "html")}
    assert all(each.status_code == 200 for each in got.values())
    assert all("attachment" in each.headers["Content-Disposition"] for each in got.values())
    rows = list(csv.reader(io.StringIO(got["csv"].data.decode("utf-8-sig"))))
    assert ["Grand total", "0", "2", "1", "1", "0", "6.00"] in rows
    assert ["SEBI (SCORES)", "0", "1", "0", "1", "0", ""] in rows
    with zipfile.ZipFile(io.BytesIO(got["xlsx"].data)) as book:
        assert "<v>6.0</v>" in book.read("xl/worksheets/sheet1.xml").decode()
    assert got["pdf"].data.startswith(b"%PDF") and got["pdf"].content_type == "application/pdf"
    assert row_of(got["html"].text, "Grand total") == ["0", "2", "1", "1", "0", "6.00"]
    assert "<script" not in got["html"].text and "http" not in got["html"].text


def test_files_of_the_return(officer: Any) -> None:
    got = {each: officer.screen(f"{URL}return.{each}?month={NAME}") for each in ("csv", "xlsx", "pdf")}
    assert all(each.status_code == 200 for each in got.values())
    rows = list(csv.reader(io.StringIO(got["csv"].data.decode("utf-8-sig"))))
    assert ["Resolved in the month, by days taken", "1", "0", "0", "0", "0", "1"] in rows
    (month,) = (row for row in rows if row[:2] == ["Month", "Opening"])
    (head,) = (row for row in rows if row[:1] == ["Category and source"])
    whole, lines = rows[rows.index(month) + 1], rows[rows.index(head) + 1 :]
    total = next(row for row in lines if row[0] == "Grand total")
    assert total[head.index("Resolved in all")] == whole[month.index("Resolved")] and "Resolved" not in head
    assert officer.screen(f"{URL}return.exe?month={NAME}").status_code == 404
    assert officer.screen(f"{URL}else.csv?month={NAME}").status_code == 404


def test_a_frozen_version_keeps_its_files(crm: Crm, officer: Any) -> None:
    publish(officer)
    complaint(crm, MONTH.first)
    for name in ("disclosure", "return"):
        frozen = officer.screen(f"{URL}{name}.csv?month={NAME}&version=1").text
        assert "Version 1, published on" in frozen and frozen != officer.screen(f"{URL}{name}.csv?month={NAME}").text


# --- the public address


def test_the_public_address_is_closed_by_default(crm: Crm, officer: Any) -> None:
    publish(officer)
    stranger = crm.app.test_client()
    answer = stranger.get(public_disclosure.URL)
    assert answer.status_code == 404 and "Grand total" not in answer.text and "Set-Cookie" not in answer.headers


def test_the_public_sees_the_newest_version_of_published_months_only(crm: Crm, officer: Any) -> None:
    open_to_the_public(crm)
    stranger = crm.app.test_client()
    assert stranger.get(public_disclosure.URL).status_code == 404, "nothing is published yet"
    publish(officer)
    complaint(crm, MONTH.first)
    answer = stranger.get(public_disclosure.URL)
    assert answer.status_code == 200 and row_of(answer.text, "Grand total")[1] == "2"
    assert "Set-Cookie" not in answer.headers and answer.headers["Cache-Control"] == "public, max-age=300"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"] and "<script" not in answer.text
    again = stranger.get(public_disclosure.URL, headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304
    publish(officer, 1, reason="A secret reason")
    corrected = stranger.get(f"{public_disclosure.URL}?month={NAME}").text
    assert row_of(corrected, "Grand total")[1] == "3" and "corrected version 2" in corrected
    assert "secret" not in corrected and "CRM-COMPLAINT" not in corrected
    later = disclosure_periods.month_name(disclosure_periods.month_of(MONTH.after))
    for query in (f"month={later}", "month=x", "month=%00", "month=2026-10%27"):
        assert stranger.get(f"{public_disclosure.URL}?{query}").status_code == 404, query
    assert stranger.post(public_disclosure.URL).status_code in (400, 405)


def test_the_public_page_knows_the_languages(crm: Crm, officer: Any) -> None:
    open_to_the_public(crm)
    publish(officer)
    stranger = crm.app.test_client()
    assert '<html lang="hi">' in stranger.get(f"{public_disclosure.URL}?lang=hi").text
    assert '<html lang="en">' in stranger.get(f"{public_disclosure.URL}?lang=%22%3E").text


def test_the_public_page_escapes_everything(crm: Crm, officer: Any) -> None:
    open_to_the_public(crm)
    complaint(crm, MONTH.first, source="<script>alert(1)")
    publish(officer)
    page = crm.app.test_client().get(public_disclosure.URL).text
    assert "&lt;script&gt;alert(1)" in page and "<script>" not in page
    assert "<script>alert" not in officer.screen(f"{URL}disclosure.html?month={NAME}").text


def test_requests_of_strangers_are_limited(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public_disclosure, "RATE", Rate(2, 3600))
    stranger = crm.app.test_client()
    answers = [stranger.get(public_disclosure.URL) for _number in range(3)]
    assert [each.status_code for each in answers] == [404, 404, 429]
    assert int(answers[2].headers["Retry-After"]) >= 1


# --- MariaDB


def test_it_counts_the_same_on_mariadb(maria: Crm) -> None:
    complaint(maria, MONTH.first, MONTH.first + timedelta(days=6))
    complaint(maria, MONTH.first - timedelta(days=200), source="SEBI SCORES")
    officer = maria.client("rhea")
    page = officer.screen(f"{URL}?month={NAME}").text
    assert row_of(page, "Grand total") == ["1", "1", "1", "1", "1", "6.00"]
    assert row_of(page, "Resolved in the month, by days taken") == ["1", "0", "0", "0", "0", "1"]
    assert row_of(page, "Pending on the last day, by days since receipt") == ["0", "0", "0", "0", "1", "1"]
    assert publish(officer).status_code == 302 and versions(maria) == [(1, None)]
    assert row_of(officer.screen(f"{URL}?month={NAME}&version=1").text, "Grand total") == [
        "1",
        "1",
        "1",
        "1",
        "1",
        "6.00",
    ]
