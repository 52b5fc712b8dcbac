"""Dashboards: each figure opens a list with the same count, for every role; allowed URL parameters; files."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from openpyxl import load_workbook
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from app.domain.analytics.figures import FIGURES
from app.extensions import db
from app.models import AccountType, AuditEntry, Board, BusinessSetting, FailedLogin, User
from app.ops.database.connections import WRITES
from app.web.dashboards import pdf, widget_data
from app.web.dashboards.widgets import CATALOG, PAGES
from app.web.records.lists.figure_labels import LABELS
from tests.app_fixtures import Crm
from tests.cases import each_case

#: Five roles.
ROLES = ("root", "rhea", "mia", "ana", "cleo")
_LINK = re.compile(r'<a href="(/[a-z]+/\?[^"]*figure=[^"]*)"[^>]*>([^<]*)</a>')
_COUNT = re.compile(r'id="list-count"[^>]*>([\d,+]+)<')
_TODAY = datetime.now(UTC).replace(microsecond=0)
#: A period in which everything that the makers have made lies.
PERIOD = f"from={_TODAY - timedelta(days=300):%Y-%m-%d}&to={_TODAY + timedelta(days=1):%Y-%m-%d}"


@pytest.fixture
def busy(crm: Crm) -> Iterator[Crm]:
    """A CRM where something of every kind has happened."""
    make = crm.make
    customer = make.customer("ana")
    one = make.lead("ana", at=_TODAY - timedelta(days=2), referral="R-1")
    make.lead("ben", at=_TODAY - timedelta(days=1))
    make.give(make.lead("mia", at=_TODAY - timedelta(hours=5)), "ana", at=_TODAY - timedelta(hours=4))
    ticket = make.ticket("cleo", at=_TODAY - timedelta(days=2), priority="High", customer_id=customer.id)
    make.ticket("sam", at=_TODAY - timedelta(days=1))
    make.task(one, at=_TODAY - timedelta(days=3), due_on=_TODAY - timedelta(days=1))
    make.task(ticket, "cleo", at=_TODAY - timedelta(days=1))
    for n, who in enumerate(("ana", "ana", "ben", "cleo", "mia")):
        started = _TODAY - timedelta(days=1, hours=n)
        make.call(who, _TODAY, started_on=started, lead_id=one.id if n == 0 else None, cold=n == 1)
        missed: dict[str, Any] = {
            "direction": "Incoming",
            "status": "Missed Call",
            "from_number": f"982001234{n}",
            "to_number": None,
        }
        make.call(who, _TODAY, started_on=started, duration_seconds=0, **missed)
    make.message("ana", at=_TODAY - timedelta(hours=3))
    widget_data.forget()
    yield crm
    widget_data.forget()


def links(page: str) -> list[tuple[str, str]]:
    return [(html.unescape(url), text) for url, text in _LINK.findall(page)]


def shares(page: str) -> list[tuple[str, str]]:
    """The links of “2 of 5”: that of the share leads to the 2, that of the words to the 5."""
    found = re.findall(
        r'class="dash-value"><a href="([^"]*)"(?:(?!dash-value).)*?<a href="([^"]*)">(\d+) of (\d+)<', page, re.S
    )
    return [
        (html.unescape(url), count) for one, two, part, whole in found for url, count in ((one, part), (two, whole))
    ]


def opened(crm: Crm, who: str, path: str) -> str:
    answer = crm.client(who).screen(path)
    assert answer.status_code == 200, (who, path, answer.status_code)
    return str(answer.text)


@pytest.mark.parametrize("who", ROLES)
def test_every_figure_opens_a_list_with_the_same_count(busy: Crm, who: str) -> None:
    seen: dict[str, str] = {}
    for page in PAGES:
        answer = busy.client(who).screen(f"/dashboard/{page.name}?{PERIOD}")
        if answer.status_code == 404:
            continue
        assert answer.status_code == 200, page.name
        found = [*links(answer.text), *shares(answer.text)]
        assert found or page.name == "messages", page.name
        seen |= {url: text for url, text in found if re.fullmatch(r"[\d,]+", text)}
    # Every kind of link once, which differ by values only; for all roles but one, every figure once.
    ignored = r"(slot|from|to|_flt_\w+)=[^&]*" if who == "root" else r"^.*figure=(\w+).*$"
    kinds = {re.sub(ignored, r"\1", url): (url, text) for url, text in seen.items()}
    assert len(kinds) > 10
    # Compliance, which sees all as the admin does, and the manager: half of the figures each.
    half = {"rhea": slice(0, None, 2), "mia": slice(1, None, 2)}.get(who, slice(None))
    for url, text in [*kinds.values()][half]:
        count = _COUNT.search(opened(busy, who, url))
        assert count is not None and count[1] == text, (url, text, count and count[1])


def test_a_sales_users_figures_are_what_their_lists_count(busy: Crm) -> None:
    days = re.findall(r"\d{4}-\d\d-\d\d", PERIOD)
    page = opened(busy, "ana", f"/dashboard/analytics?{PERIOD}")
    numbers = {url.split("figure=")[1].split("&")[0]: text for url, text in links(page)}
    end = (datetime.fromisoformat(days[1]) + timedelta(days=1)).date()
    for figure, list_, column in (("leads", "leads", "created_on"), ("calls", "calls", "started_on")):
        plain = opened(busy, "ana", f"/{list_}/?_flt_ge_{column}={days[0]}&_flt_lt_{column}={end}")
        assert numbers[figure] == _COUNT.search(plain)[1]  # type: ignore[index]


def test_the_numbers_beside_my_day_are_ones_own_or_those_of_ones_team(busy: Crm) -> None:
    for who, title, page in (
        ("ana", "My numbers", "mine"),
        ("mia", "My team", "analytics"),
        ("cleo", "My numbers", "mine"),
    ):
        assert 'hx-get="/dashboard/today?period=today"' in opened(busy, who, "/"), who
        part = opened(busy, who, f"/dashboard/today?{PERIOD}")
        assert title in part and f'href="/dashboard/{page}?' in part, who
        assert "figure=calls" in part and ("figure=leads_taken" in part) is (who != "cleo"), who
    busy.make.cell("Sales User", "Dashboard", "read", "none")
    assert "/dashboard/today" not in opened(busy, "ana", "/")
    assert busy.client("ana").screen("/dashboard/today").status_code in (302, 403)


def test_the_pages_of_a_role(busy: Crm) -> None:
    shown = {
        who: set(re.findall(r'class="tab" href="/dashboard/(\w+)', opened(busy, who, "/dashboard/"))) for who in ROLES
    }
    everything = {page.name for page in PAGES}
    assert shown == {
        "root": everything,
        "rhea": everything,
        "mia": everything,
        "ana": everything - {"team"},
        "cleo": everything - {"team", "referrals"},
    }
    for who, path in (("ana", "team"), ("cleo", "referrals")):
        assert busy.client(who).screen(f"/dashboard/{path}").status_code == 404
    assert busy.client(None).screen("/dashboard/").status_code == 302


def test_a_manager_sees_their_team_and_nobody_elses(busy: Crm) -> None:
    page = opened(busy, "mia", f"/dashboard/team?{PERIOD}")
    assert "Ana Shah" in page and "Ben Shah" not in page
    ids = busy.people
    assert busy.client("mia").screen(f"/dashboard/mine?who={ids['ana'].id}").status_code == 200
    for who, whom in (("mia", str(ids["ben"].id)), ("ana", str(ids["mia"].id)), ("ana", f"team-{ids['mia'].id}")):
        for name in ("mine", "analytics", "calls"):
            answer = busy.client(who).screen(f"/dashboard/{name}?who={whom}")
            assert (answer.status_code, "your own team" in answer.text) == (403, True)


def test_who_did_nothing_stands_in_the_table_of_their_team(busy: Crm) -> None:
    idle = "from=2020-01-01&to=2020-01-02"
    page = opened(busy, "mia", f"/dashboard/team?{idle}")
    assert "Ana Shah" in page and "Ben Shah" not in page.split("<tbody>")[1]


def test_a_page_and_a_board_as_pdf(busy: Crm) -> None:
    pages = [("root", "team"), ("mia", "calls"), ("cleo", "sla"), ("ana", "mine"), ("ana", "referrals")]
    for who, name in pages:
        answer = busy.client(who).screen(f"/dashboard/{name}.pdf?{PERIOD}")
        assert (answer.status_code, answer.mimetype) == (200, "application/pdf"), (who, name)
        assert answer.get_data().startswith(b"%PDF-") and f"dashboard-{name}-2" in answer.headers["Content-Disposition"]
    noted = busy.rows(select(AuditEntry).where(AuditEntry.event == "export"))
    assert [each.about for each in noted] == [f"dashboard {name}" for _who, name in pages]
    assert noted[1].user_id == busy.people["mia"].id and noted[1].payload["format"] == "pdf"
    busy.client("mia").form("/dashboard/boards/new", {"label": "X", "audience": "me", "card": ["calls"], "size": ["3"]})
    board = busy.session.scalars(select(Board)).one()
    assert busy.client("mia").screen(f"/dashboard/boards/{board.id}.pdf").mimetype == "application/pdf"
    refused = {("ana", "team.pdf"): 404, ("ana", f"boards/{board.id}.pdf"): 404, ("mia", "calls.pdf?from=x&to=y"): 400}
    ben = busy.people["ben"].id
    for (who, path), status in (refused | {("mia", f"mine.pdf?who={ben}"): 403}).items():
        assert busy.client(who).screen(f"/dashboard/{path}").status_code == status, path


def test_the_companys_own_referral_code_is_named_like_the_company(busy: Crm) -> None:
    for code in ("AUOMC", "R-9"):
        busy.make.lead("ana", at=_TODAY - timedelta(days=1), referral=code)
    named = re.findall(r"(Eshin CRM|Nobody you can see)\s*</[a-z]+>\s*<td[^>]*>\s*([^<\s]+)", table_of_codes(busy))
    assert ("Eshin CRM", "AUOMC") in named and ("Nobody you can see", "R-9") in named
    busy.session.add(BusinessSetting(key="default_referral", value="R-9"))
    busy.session.commit()
    named = re.findall(r"(Eshin CRM|Nobody you can see)\s*</[a-z]+>\s*<td[^>]*>\s*([^<\s]+)", table_of_codes(busy))
    assert ("Nobody you can see", "AUOMC") in named and ("Eshin CRM", "R-9") in named


def table_of_codes(crm: Crm) -> str:
    return opened(crm, "root", f"/dashboard/referrals?{PERIOD}").split('data-widget="referral_table"')[1]


@pytest.mark.parametrize("who", ["root", "rhea", "mia", "ana"])
def test_referrals_of_some_leads_only(busy: Crm, who: str) -> None:
    type_id = busy.rows(select(AccountType.id).order_by(AccountType.id))[0]
    for category, account_type, referral in (
        ("Direct", type_id, "R-1"),
        ("Direct", None, "R-2"),
        ("Indirect", type_id, None),
        ("Indirect", None, "R-1"),
    ):
        values = {"category": category, "account_type_id": account_type, "referral": referral}
        busy.make.lead("ana", at=_TODAY - timedelta(days=1), **values)
    chosen = f"account_type={type_id}&category=Direct"
    page = opened(busy, who, f"/dashboard/referrals?{PERIOD}&{chosen}")
    found = dict(links(page))
    by_figure = {url.split("figure=")[1].split("&")[0]: (url, text) for url, text in found.items()}
    assert by_figure["leads_referred"][1] == "1"
    for url, text in found.items():
        if re.fullmatch(r"[\d,]+", text):
            count = _COUNT.search(opened(busy, who, url))
            assert count is not None and count[1] == text, url
    tabs = re.findall(r'class="tab" href="([^"]+)"', page)
    assert any("category=Direct" in tab for tab in tabs if "/referrals" in tab)
    assert not any("category=" in tab for tab in tabs if "/referrals" not in tab)
    assert page.count('name="category" value="Direct"') == (1 if who == "ana" else 2)  # in the forms beside it
    assert 'data-widget="referral_table"' not in page or "R-2" not in page
    pdf = busy.client(who).screen(f"/dashboard/referrals.pdf?{PERIOD}&{chosen}")
    assert pdf.mimetype == "application/pdf"


def test_referrals_by_what_is_none_are_refused(busy: Crm) -> None:
    for wrong in ("category=Other", "account_type=999", "account_type=x", "category=Direct&category=Indirect"):
        answer = busy.client("root").screen(f"/dashboard/referrals?{wrong}")
        assert answer.status_code == 400, wrong
    for page in ("analytics", "calls", "mine"):
        assert busy.client("root").screen(f"/dashboard/{page}?category=Direct").status_code == 400


def test_a_role_without_dashboards_has_none(busy: Crm) -> None:
    busy.make.cell("Sales User", "Dashboard", "read", "none")
    assert busy.client("ana").screen("/dashboard/").status_code in (302, 403)
    assert "/dashboard/" not in opened(busy, "ana", "/")


def test_figures_of_numbers_are_closed_to_who_sees_them_masked(busy: Crm) -> None:
    page = opened(busy, "rhea", "/dashboard/calls")
    assert "numbers are hidden from you" in page
    assert not {"numbers", "numbers_new", "calls_missed_returned", "callback"} & set(
        re.findall(r'data-widget="(\w+)"', page)
    )
    for figure in ("numbers", "numbers_new", "calls_missed_returned"):
        answer = busy.client("rhea").screen(f"/calls/?figure={figure}&{PERIOD}")
        assert (answer.status_code, "hidden from you" in answer.text) == (400, True)


@each_case(
    "path",
    [
        "/dashboard/mine?period=year",
        "/dashboard/?period=week&from=2026-11-01&to=2026-11-02",
        "/dashboard/?from=2026-11-01",
        "/dashboard/?from=31.11.2026&to=2026-11-01",
        "/dashboard/?from=2020-01-01&to=2026-11-01",
        "/dashboard/?who=nobody",
        "/dashboard/?who=team-",
        "/dashboard/?who=999999",
        "/dashboard/?who=1&who=2",
        "/dashboard/?color=red",
        "/dashboard/?period=%00",
        "/dashboard/calls/monthly.csv?from=2001-01-01&to=2001-01-02",
        "/leads/?figure=profit&from=2026-11-01&to=2026-11-02",
        "/leads/?figure=calls&from=2026-11-01&to=2026-11-02",
        "/leads/?figure=leads",
        "/leads/?figure=leads&from=x&to=y",
        "/calls/?figure=calls&from=2026-11-01&to=2026-11-02&slot=168",
        "/calls/?figure=calls&from=2026-11-01&to=2026-11-02&slot=x",
        "/calls/?figure=calls&from=2026-11-01&to=2026-11-02&who=x",
        "/leads/?from=2026-11-01",
    ],
)
def test_an_address_that_makes_no_sense_is_answered_with_a_sentence(crm: Crm, path: str) -> None:
    answer = crm.client("root").screen(path)
    assert answer.status_code == 400
    assert len(re.findall(r"<p[^>]*>[^<]{15,}", answer.text)) >= 1


def test_an_empty_installation_has_empty_dashboards(crm: Crm) -> None:
    widget_data.forget()
    for page in PAGES:
        assert "–" in opened(crm, "root", f"/dashboard/{page.name}?period=today") or page.name in ("team", "messages")


def test_figures_are_measured_once_a_minute_for_the_same_reach(busy: Crm) -> None:
    first = opened(busy, "root", f"/dashboard/analytics?{PERIOD}")
    busy.make.lead("ana", at=_TODAY)
    numbers = [
        re.findall(r'class="dash-value"><a[^>]*>([^<]+)', page)
        for page in (first, opened(busy, "root", f"/dashboard/analytics?{PERIOD}"))
    ]
    assert numbers[0] == numbers[1]
    assert opened(busy, "mia", f"/dashboard/analytics?{PERIOD}") != first
    widget_data.forget()
    later = re.findall(r'class="dash-value"><a[^>]*>([^<]+)', opened(busy, "root", f"/dashboard/analytics?{PERIOD}"))
    assert int(later[0]) == int(numbers[0][0]) + 1


def test_every_figure_has_a_name_and_every_page_its_widgets() -> None:
    assert FIGURES.keys() == LABELS.keys()
    assert all(name in CATALOG for page in PAGES for name in page.widgets)


@pytest.mark.parametrize("who, path", [("mia", "/dashboard/"), ("root", "/dashboard/"), ("ana", "/"), ("cleo", "/")])
def test_where_the_day_begins(crm: Crm, who: str, path: str) -> None:
    client = crm.client(None)
    form = {"username": who, "password": "correct horse 9"}
    assert client.form("/login/", form).location.endswith(path)
    assert crm.client(who).screen("/login/").location.endswith(path)


# --- the monthly summary

SUMMARY = (
    "\ufeffOct 2026\r\n"
    "Caller Name,Incoming Calls,Call Duration,Outgoing Calls,Call Duration,Total Calls,Call Duration\r\n"
    "Ana Shah,0,0s,1,1h 2m 3s,1,1h 2m 3s\r\n"
    "Total,0,0s,1,1h 2m 3s,1,1h 2m 3s\r\n"
    "\r\n"
    "Nov 2026\r\n"
    "Caller Name,Incoming Calls,Call Duration,Outgoing Calls,Call Duration,Total Calls,Call Duration\r\n"
    "'=Ben Shah,1,0s,0,0s,1,0s\r\n"
    "Ana Shah,1,10s,0,0s,1,10s\r\n"
    "Total,2,10s,0,0s,2,10s\r\n"
    "\r\n"
)


def _october_and_november(crm: Crm) -> None:
    crm.session.get_one(User, crm.people["ben"].id).first_name = "=Ben"
    crm.session.commit()
    # 18:29 UTC on 31 October is still October in India, 18:31 is November.
    make, last = crm.make, datetime(2026, 10, 31, 18, 29, tzinfo=UTC)
    make.call("ana", started_on=last, duration_seconds=3723)
    make.call(
        "ana",
        started_on=last + timedelta(minutes=2),
        duration_seconds=10,
        direction="Incoming",
        from_number="9820012345",
    )
    missed: dict[str, Any] = {
        "direction": "Incoming",
        "status": "Missed Call",
        "from_number": "9820012346",
        "duration_seconds": 0,
    }
    make.call("ben", started_on=last + timedelta(days=3), **missed)


def test_the_monthly_summary_byte_by_byte(crm: Crm) -> None:
    _october_and_november(crm)
    address = "/dashboard/calls/monthly.{}?from=2026-10-01&to=2026-11-30"
    answer = crm.client("root").screen(address.format("csv"))
    assert answer.data == SUMMARY.encode()
    assert answer.headers["Content-Disposition"] == "attachment; filename=Call_Log_Monthly_Summary.csv"
    sheet = load_workbook(io.BytesIO(crm.client("root").screen(address.format("xlsx")).data)).active
    cells = [[cell for cell in row if cell is not None] for row in sheet.iter_rows(values_only=True)]
    assert cells[2] == ["Ana Shah", 0, "0s", 1, "1h 2m 3s", 1, "1h 2m 3s"]
    lines = SUMMARY.removeprefix("\ufeff").split("\r\n")
    assert [",".join(map(str, row)) for row in cells] == lines[: len(cells)]


def test_the_monthly_summary_holds_only_calls_within_reach(crm: Crm) -> None:
    _october_and_november(crm)
    address = "/dashboard/calls/monthly.csv?from=2026-10-01&to=2026-11-30"
    answer = crm.client("mia").screen(address)
    assert b"Ana Shah" in answer.data and b"Ben" not in answer.data
    (entry,) = crm.rows(select(AuditEntry).where(AuditEntry.event == "export"))
    assert (entry.user_id, entry.payload["rows"]) == (crm.people["mia"].id, 10)
    assert crm.client("ana").screen(address).status_code == 403  # whose role may not export
    crm.make.cell("Sales Manager", "Call Logs", "export", "own")  # of the calls that she sees
    assert b"Ana Shah" not in crm.client("mia").screen(address).data


def test_a_pdf_is_recorded_although_others_wrote_meanwhile(busy: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    make = pdf.document

    def made_slowly(*args: Any) -> bytes:
        made = make(*args)
        token = WRITES.set(True)
        with Session(db.engine) as other:  # not the session that has read
            other.execute(insert(FailedLogin).values(name_hash="x" * 64, count=1, last_on=_TODAY))
            other.commit()
        WRITES.reset(token)
        return made

    monkeypatch.setattr(pdf, "document", made_slowly)
    assert busy.client("mia").screen(f"/dashboard/mine.pdf?{PERIOD}").status_code == 200
