"""The audit page."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import update

from app import access
from app.domain.audit_log import audit
from app.extensions import db
from app.models import (
    AuditEntry,
)
from tests.cases import each_case
from tests.web.settings_app import (
    Site,
)


def test_who_may_read_the_audit(site: Site) -> None:
    people, answers = ("root", "cora", "ana", "mia", "sid"), {}
    for who in people:
        answers[who] = site.get(who, "/audit/").status_code, site.post(who, "/audit/check").status_code
    assert answers == {who: (200, 302) if who in ("root", "cora") else (403, 403) for who in people}


def write_entries(site: Site, count: int) -> None:
    with site.app.app_context():
        root = site.user("root")
        for number in range(count):
            at = datetime(2026, 11, 23, 4, 30, number % 60, tzinfo=UTC)
            with access.as_system(db.session()) as session:
                audit.write(session, "reveal", root, at, about=f"lead {number}", reason="<b>why</b>")
        db.session.commit()


def test_the_audit_is_filtered_and_paged(site: Site) -> None:
    write_entries(site, 60)
    page = site.get("cora", f"/audit/?event=reveal&person={site.user('root')}&since=2026-11-23&until=2026-11-23").text
    assert "lead 59" in page and "lead 9<" not in page and "<b>why</b>" not in page
    older = page.split('rel="next"')[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")
    assert "lead 9<" in site.get("cora", older).text
    assert "lead 59" not in site.get("cora", "/audit/?event=reveal&since=2027-01-01").text
    assert "lead 59" not in site.get("cora", f"/audit/?event=reveal&person={site.user('ana')}").text


@each_case(
    "odd",
    [
        "event=x",
        "person=abc",
        "person=99999999999999999999",
        "since=soon",
        "until=9999-12-31",
        "since=0001-01-01",
        "before=-1",
        "before=abc",
        "event=%00",
    ],
)
def test_invalid_filters_of_the_audit(site: Site, odd: str) -> None:
    assert site.get("root", f"/audit/?{odd}").status_code == 200


def test_the_check_finds_an_altered_entry(site: Site) -> None:
    write_entries(site, 3)
    site.post("cora", "/audit/check")
    assert "The log is intact" in site.get("cora", "/audit/").text
    with site.app.app_context(), access.as_system(db.session()) as session:
        session.execute(update(AuditEntry).where(AuditEntry.about == "lead 1").values(about="lead 7"))
        session.commit()
    site.post("cora", "/audit/check")
    assert "The log was altered" in site.get("cora", "/audit/").text
