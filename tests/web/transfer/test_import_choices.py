"""Picklists in files are recognized as people write them, and the check names rows that would be skipped."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from sqlalchemy import select

from app.domain.files.export_and_import_runs import ImportRun
from app.models import CallLog, Lead, LeadSource, LeadStatus, Ticket
from tests.app_fixtures import Crm
from tests.web.transfer.test_imports import Importer, figures

HEADING = "Full Name,Mobile No,Source,Status\n"


@pytest.fixture
def mia(crm: Crm) -> Importer:
    """A sales manager who imports."""
    return Importer(crm)


def labels(crm: Crm) -> list[str]:
    query = select(LeadSource.label).join(Lead, Lead.source_id == LeadSource.id).order_by(Lead.id)
    return list(crm.rows(query))


def add_source(crm: Crm, label: str) -> LeadSource:
    source = LeadSource(label=label, position=90, is_active=True)
    crm.session.add(source)
    crm.session.commit()
    return source


def table(importer: Importer, run: ImportRun, query: str) -> list[list[str]]:
    """The rows of the file of problems, without its heading."""
    answer = importer.client.screen(f"/imports/{run.id}/problems.csv{query}")
    assert answer.status_code == 200
    return list(csv.reader(io.StringIO(answer.text.removeprefix("\ufeff"))))[1:]


@pytest.mark.parametrize("typed", ["Walk In", "Walk-in", "walkin", "WALK_IN", "walk\u2011in ", "Walk  In"])
def test_a_source_is_found_however_it_is_written(crm: Crm, mia: Importer, typed: str) -> None:
    assert figures(mia.imported(f"{HEADING}Asha Rao,9820012345,{typed},new\n")) == (1, 0, 0, 0)
    assert labels(crm) == ["Walk In"]


def test_what_is_in_no_list_is_refused_with_the_nearest_entry(crm: Crm, mia: Importer) -> None:
    run = mia.checked(f"{HEADING}Asha Rao,9820012345,Wolk Inn,New\nRavi Shah,9820012346,Zzzzz,New\n")
    told = mia.problems(run, is_trial=True)
    assert "There is no “Wolk Inn” in this list. Did you mean “Walk In”?" in told[1]
    assert "There is no “Zzzzz” in this list." in told[2] and "Did you mean" not in told[2]


def test_an_entry_that_could_be_two_is_refused_unless_one_is_off_offer(crm: Crm, mia: Importer) -> None:
    other = add_source(crm, "Walk-in")
    row = f"{HEADING}Asha Rao,9820012345,walkin,New\n"
    assert "“walkin” can mean “Walk In”, “Walk-in”." in mia.problems(mia.checked(row), is_trial=True)[1]
    exact = mia.imported(f"{HEADING}Ravi Shah,9820012346,walk-in,New\n")
    assert (figures(exact), labels(crm)) == ((1, 0, 0, 0), [other.label])
    other.is_active = False
    crm.session.commit()
    assert figures(mia.imported(row)) == (1, 0, 0, 0)
    assert labels(crm) == [other.label, "Walk In"]


def test_fixed_options_subjects_and_updates_are_read_so_too(crm: Crm, mia: Importer) -> None:
    sam = Importer(crm, "sam")
    tickets = "Ticket Subject,Mobile No,Priority,Remarks\nfund-TRANSFER,9820099999,high,late\nFund Tranfer,98,Low,\n"
    run = sam.imported(tickets, "ticket")
    assert figures(run) == (1, 0, 0, 1)
    assert "Did you mean “Fund transfer”?" in sam.problems(run)[2]
    assert crm.count(Ticket) == 1
    calls = "From,To,Type,Status,Start Time,Duration,Call ID\n,9820012345,OUT-GOING,no-answer,2026-01-05 10:00,60,d1\n"
    assert figures(mia.imported(calls, "call_log")) == (1, 0, 0, 0)
    assert list(crm.rows(select(CallLog.status))) == ["No Answer"]
    mia.imported("Full Name,Mobile No\nAsha Rao,9820012345\n")
    status = crm.rows(select(LeadStatus.label).where(LeadStatus.meaning == "working").limit(1))[0]
    changed = mia.imported(f"Mobile No,Status\n9820012345,{status.upper()}\n", duplicates="update")
    assert figures(changed) == (0, 1, 0, 0)


def test_the_check_names_the_rows_that_would_be_skipped_before_anything_is_written(crm: Crm, mia: Importer) -> None:
    number = crm.make.lead("mia", mobile="9820012345").number
    rows = "Asha Rao,9820012345,,New\nRavi Shah,9820012346,,New\nRavi S,+91 98200 12346,,New\nOm,12,,New\n"
    run = mia.checked(HEADING + rows)
    assert run.payload["check"] == {"created": 1, "updated": 0, "skipped": 2, "wrong": 1}
    page = mia.client.screen(f"/imports/{run.id}/").text
    assert "Rows that would be skipped" in page and "Rows with errors" in page and number in page
    skipped = table(mia, run, "?trial=1&only=skipped")
    assert [row[0] for row in skipped] == ["2", "4"]
    assert [row[1] for row in skipped] == [
        f"Already exists: {number} (Mobile).",
        "Row 3 of this file has the same value (Mobile).",
    ]
    assert [row[2] for row in skipped] == ["Asha Rao", "Ravi S"]
    assert [row[0] for row in table(mia, run, "?trial=1&only=wrong")] == ["5"]
    assert len(table(mia, run, "?trial=1")) == 3
    assert table(mia, run, "?trial=1&only=created") == []
    assert crm.count(Lead) == 1
    run = mia.act(run, "start")
    assert figures(run) == (1, 0, 2, 1)
    assert [row[1:3] for row in table(mia, run, "?only=skipped")] == [row[1:3] for row in skipped]


def test_what_somebody_does_not_see_is_not_named(crm: Crm, mia: Importer) -> None:
    hidden = crm.make.lead("sam", mobile="9820012345")
    run = mia.checked(f"{HEADING}Asha Rao,9820012345,,New\n")
    assert hidden.number not in mia.client.screen(f"/imports/{run.id}/").text
    assert run.payload["check"]["skipped"] == 0


def test_a_person_who_comes_again_far_below_is_updated_in_the_check_as_in_the_import(mia: Importer) -> None:
    filler = "".join(f"P {n},97{n:08d},,New\n" for n in range(250))
    file = f"{HEADING}Asha Rao,9820012345,,New\n{filler}Asha Rao,9820012345,Nonsense,New\nAsha R,9820012345,,New\n"
    run = mia.checked(file, duplicates="update")
    assert run.payload["check"] == {"created": 251, "updated": 1, "skipped": 0, "wrong": 1}
    assert figures(mia.act(run, "start")) == (251, 1, 0, 1)


def test_the_cells_of_a_row_with_a_remark_are_whole(mia: Importer) -> None:
    long = "called " * 200
    run = mia.checked(f"Full Name,Mobile No,Remarks\nAsha Rao,12,{long}\n")
    assert table(mia, run, "?trial=1")[0][4] == long.strip()


@pytest.mark.parametrize("name", ["=1+1", "＝1", "＋91", "－1", "＠home", "-1", "@home"])
def test_what_an_export_has_made_harmless_comes_back_as_it_was(crm: Crm, mia: Importer, name: str) -> None:
    crm.make.lead("mia", first_name=name, last_name="")
    answer = mia.client.form("/exports/lead", {"format": "csv", "columns": ["name"]})
    assert f"'{name}" in answer.text
    assert figures(mia.imported(answer.data, duplicates="create")) == (1, 0, 0, 0)
    assert crm.count(Lead, Lead.first_name == name) == 2


def test_the_command_prints_the_rows_that_would_be_skipped(crm: Crm, tmp_path: Path) -> None:
    number = crm.make.lead("mia", mobile="9820012345").number
    path = tmp_path / "leads.csv"
    path.write_text("Full Name,Mobile No\nAsha Rao,9820012345\nRavi Shah,9820012346\n", "utf-8")
    runner = crm.app.test_cli_runner()
    done = runner.invoke(args=["import", str(path), "--kind", "lead", "--as", "mia", "--dry-run"])
    assert done.exit_code == 0, done.output
    assert f"row 2: Already exists: {number} (Mobile)." in done.output
    assert "1 would be created" in done.output and "1 would be skipped" in done.output
    assert crm.count(Lead) == 1
