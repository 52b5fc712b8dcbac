"""The bytes of every file that is handed out: no masked value, nothing of rows out of reach, no formula."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from flask import g

from app import access
from app.web.core.fab_access import current_viewer
from app.web.core.pdf_pages import PdfPages
from app.web.dashboards import widgets
from app.web.reports import available_columns
from tests.app_fixtures import Crm
from tests.factories import NOW
from tests.web.reports.test_reports import report
from tests.web.test_masks_set_meanwhile import MASKED, filled, told

__all__ = ["filled"]
LISTS = ("lead", "customer", "ticket", "task", "call_log", "message", "consent")
#: A name in rows that another team has.
FOREIGN = "Foreigner"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written into PDFs, whose own bytes are numbers of glyphs."""
    lines: list[str] = []
    put = PdfPages.put

    def note(self: Any, text: str, *more: Any, **named: Any) -> Any:
        lines.append(text)
        return put(self, text, *more, **named)

    monkeypatch.setattr(PdfPages, "put", note)
    return lines


def columns_of(crm: Crm, kind: str) -> list[str]:
    """All columns that a report can have."""
    with crm.app.test_request_context(), crm.as_person("root") as session:
        g.person, g.now = access.load_person(session, crm.people["root"].id, NOW), NOW
        return list(available_columns.available_columns(kind, current_viewer()).columns)


def text_of(content: bytes) -> str:
    """The content as text; of a workbook, that of the files in it."""
    if content[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            content = b"\n".join(archive.read(name) for name in archive.namelist())
    return content.decode("utf-8", "replace")


def paths(crm: Crm) -> Iterator[str]:
    """The address of each file."""
    for kind in LISTS[:6]:
        names = columns_of(crm, kind)
        for place in range(0, len(names), 12):
            made = report(crm, "root", kind, {"columns": names[place : place + 12]}, label=f"={kind}")
            yield from (f"/reports/{made.id}/file.{format_}" for format_ in ("csv", "xlsx", "pdf"))
    yield from (f"/dashboard/{page.name}.pdf" for page in widgets.PAGES)
    yield from (f"/dashboard/calls/monthly.{format_}?from=2026-01-01&to=2026-12-31" for format_ in ("csv", "xlsx"))


def answers(crm: Crm, addresses: list[str]) -> Iterator[tuple[str, Any]]:
    """What the manager is answered for each file."""
    mia = crm.client("mia")
    for address in addresses:
        yield address, mia.screen(address)
    for kind in LISTS:
        for format_ in ("csv", "xlsx"):
            yield f"{kind}.{format_}", mia.form(f"/exports/{kind}", {"format": format_})


def files(crm: Crm, addresses: list[str]) -> Iterator[tuple[str, str]]:
    """What, and the text, of each file that the manager gets."""
    for what, answer in answers(crm, addresses):
        if answer.status_code == 200:
            yield what, text_of(answer.get_data())


def secrets_in(text: str) -> list[str]:
    found = told(SimpleNamespace(get_data=lambda as_text: text))
    found += [FOREIGN] * (FOREIGN in text)
    return found + re.findall(r'(?:^|[,"\n])(=HYPER|@SUM)', text)


def test_no_file_holds_what_its_reader_may_not_see(filled: Crm, drawn: list[str]) -> None:
    crm = filled
    foreign = crm.make.lead("ben", first_name=FOREIGN)
    crm.make.call("ben", lead_id=foreign.id)
    crm.make.lead("ana", first_name="=HYPERLINK(1)", last_name="@SUM(1)")
    addresses = list(paths(crm))
    assert any(secrets_in(text) for _what, text in files(crm, addresses)), "without masks, a file holds the values"
    crm.make.mask("Sales Manager", **dict.fromkeys(MASKED, "last4"))
    drawn.clear()
    found = dict(files(crm, addresses))
    wrong = {what: secrets for what, text in found.items() if (secrets := secrets_in(text))}
    assert not wrong
    assert drawn and not secrets_in("\n".join(drawn).replace("=HYPER", "").replace("@SUM", ""))
    assert len(found) > 20
