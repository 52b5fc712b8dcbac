"""Imports through the pages: a file is checked, imported in the background, and undone; nothing is done by half."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import func, select

from app.domain.base import RuleBroken, Stamp
from app.domain.files.export_and_import_runs import ImportRow, ImportRun
from app.models import Activity, CallLog, Customer, CustomerAccount, Lead, Notification, Task, Ticket, User
from app.web.transfer import column_guesses, import_values, import_worker
from tests.app_fixtures import Crm

LEADS = "Full Name,Mobile No,Email ID,PAN\nAsha Rao,98200 12345,asha@x.in,ABCDE1234F\nRavi Shah,9820012346,,\n"


class Importer:
    """Imports as one user does, with the worker's steps in between."""

    def __init__(self, crm: Crm, who: str = "mia") -> None:
        self.crm, self.client = crm, crm.client(who)

    def upload(self, content: str | bytes, kind: str = "lead") -> Any:
        """The answer to an upload."""
        data = content if isinstance(content, bytes) else content.encode()
        return self.client.form("/imports/new", {"kind": kind, "file": (io.BytesIO(data), "leads.csv")})

    def checked(self, content: str | bytes, kind: str = "lead", **options: Any) -> ImportRun:
        """The import after its dry run, with the guessed mapping."""
        answer = self.upload(content, kind)
        assert answer.status_code == 302, answer.text
        run = self.newest()
        form = {f"column_{n}": run.payload["mapping"].get(name, "") for n, name in enumerate(run.payload["headers"])}
        chosen = {"duplicates": "skip", "keys": list(run.payload["options"]["keys"]), "assign": "me", "dates": "dmy"}
        answer = self.client.form(f"/imports/{run.id}/map", form | chosen | options)
        assert answer.status_code == 302, answer.text
        return self.worked(run)

    def imported(self, content: str | bytes, kind: str = "lead", **options: Any) -> ImportRun:
        """The import after it was started and worked off."""
        run = self.checked(content, kind, **options)
        assert run.outcome == "checked", (run.outcome, run.error)
        return self.act(run, "start")

    def act(self, run: ImportRun, what: str) -> ImportRun:
        """Start, cancel or revert, and work it off."""
        assert self.client.form(f"/imports/{run.id}/{what}").status_code == 302
        return self.worked(run)

    def worked(self, run: ImportRun) -> ImportRun:
        """What a worker makes of it."""
        with self.crm.app.app_context():
            import_worker.work(run.id)
        return self.crm.fresh(run)

    def newest(self) -> ImportRun:
        """The import that was begun last."""
        found: ImportRun = self.crm.rows(select(ImportRun).order_by(ImportRun.id.desc()).limit(1))[0]
        return found

    def problems(self, run: ImportRun, is_trial: bool = False) -> dict[int, str]:
        """Row → what is wrong with it."""
        rule = (ImportRow.run_id == run.id, ImportRow.is_trial.is_(is_trial), ImportRow.problem.is_not(None))
        return dict(self.crm.rows(select(ImportRow.line, ImportRow.problem).where(*rule)))


@pytest.fixture
def mia(crm: Crm) -> Importer:
    """A sales manager who imports."""
    return Importer(crm)


def figures(run: ImportRun) -> tuple[int, int, int, int]:
    """created, updated, skipped, wrong."""
    return run.created, run.updated, run.skipped, run.wrong


def test_a_file_is_checked_and_then_imported_as_the_person(crm: Crm, mia: Importer) -> None:
    run = mia.checked(LEADS)
    assert run.payload["check"] == {"created": 2, "updated": 0, "skipped": 0, "wrong": 0}
    assert crm.count(Lead) == 0
    run = mia.act(run, "start")
    assert (run.outcome, figures(run)) == ("done", (2, 0, 0, 0))
    leads = crm.rows(select(Lead).order_by(Lead.id))
    assert next((each.first_name, each.last_name, each.mobile_e164) for each in leads) == (
        "Asha",
        "Rao",
        "+919820012345",
    )
    assert {each.owner_id for each in leads} == {crm.people["mia"].id}
    assert crm.count(Task) == 0
    assert crm.rows(select(Notification).where(Notification.kind == "import"))[0].payload["created"] == 2
    assert mia.client.screen(f"/imports/{run.id}/").status_code == 200
    assert mia.client.screen("/imports/").status_code == 200


@pytest.mark.parametrize(
    ("policy", "expected"), [("skip", (0, 0, 2, 0)), ("update", (0, 1, 1, 0)), ("create", (2, 0, 0, 0))]
)
def test_duplicates_are_skipped_updated_or_made(mia: Importer, policy: str, expected: tuple[int, ...]) -> None:
    mia.imported(LEADS)
    run = mia.imported(LEADS.replace("asha@x.in", "asha@y.in"), duplicates=policy)
    assert figures(run) == expected


def test_a_file_that_has_a_person_twice_makes_one_record(crm: Crm, mia: Importer) -> None:
    run = mia.imported(LEADS + "Asha R,+91 98200-12345,,\n")
    assert figures(run) == (2, 0, 1, 0)
    assert run.payload["check"]["skipped"] == 1
    assert crm.count(Lead) == 2


def test_rows_with_errors_are_left_out_and_can_be_downloaded(crm: Crm, mia: Importer) -> None:
    bad = "Kiran,12,,\nMeera,9820012347,no address,\nOm,9820012348,,ABC\n"
    run = mia.imported(LEADS + bad)
    assert figures(run) == (2, 0, 0, 3)
    assert "doesn" not in mia.problems(run)[3]
    answer = mia.client.screen(f"/imports/{run.id}/problems.csv")
    assert answer.text.count("\r\n") == 4
    rows = [row.partition(",")[0] for row in answer.text.splitlines()[1:]]
    assert rows == ["4", "5", "6"]  # as the spreadsheet counts
    assert "This isn't a valid email address." in answer.text


def test_a_row_is_told_all_that_is_wrong_and_comes_back_corrected(crm: Crm, mia: Importer) -> None:
    bad = "Kiran,9820012345,no address,ABCDE1234F,Nowhere,2026-99-99\n"
    head = "First name,Mobile,Email,PAN,Source,Next follow-up\n"
    run = mia.imported(head + bad + "Asha,9820012346,,,,\n")
    told = mia.problems(run)[1]
    assert "This isn't a valid email address." in told and "Nowhere" in told and "Next follow-up" in told
    shown = mia.client.screen(f"/imports/{run.id}/").text
    (lead,) = crm.rows(select(Lead))
    assert f'<a href="/leads/show/{lead.id}">{lead.number}</a>' in shown and 'href="/imports/new?kind=lead"' in shown
    file = mia.client.screen(f"/imports/{run.id}/problems.csv?only=wrong").text
    assert file.startswith("\ufeffRow,Problem,First name") or file.startswith("Row,Problem,First name")
    corrected = file.replace("no address", "k@x.in").replace("Nowhere", "").replace("2026-99-99", "")
    again = mia.imported(corrected.removeprefix("\ufeff"))
    assert again.payload["mapping"] == run.payload["mapping"] and figures(again) == (1, 0, 0, 0)


def test_reverting_deletes_and_gives_back_but_spares_what_somebody_changed(crm: Crm, mia: Importer) -> None:
    mia.imported("Name,Mobile,Email\nAsha Rao,9820012345,old@x.in\n")
    run = mia.imported(
        "Name,Mobile,Email\nAsha Rao,9820012345,new@x.in\nRavi Shah,9820012346,\nOm Jha,9820012347,\n",
        duplicates="update",
    )
    assert figures(run) == (2, 1, 0, 0)
    lead = crm.rows(select(Lead).where(Lead.first_name == "Om"))[0]
    answer = crm.client("mia").rest("PUT", f"lead/{lead.id}", {"description": "called", "version": lead.version})
    assert answer.status_code == 200
    run = mia.act(run, "revert")
    assert run.outcome == "reverted"
    assert {(each.first_name, each.email) for each in crm.rows(select(Lead))} == {("Asha", "old@x.in"), ("Om", None)}
    assert list(mia.problems(run)) == [3]
    assert "Somebody has changed this record" in mia.problems(run)[3]
    assert mia.client.form(f"/imports/{run.id}/revert").status_code == 302
    assert crm.fresh(run).outcome == "reverted"


def test_workers_that_meet_and_workers_that_die_import_no_row_twice(crm: Crm, mia: Importer) -> None:
    rows = "".join(f"Asha {n},98{n:08d},,\n" for n in range(450))
    run = mia.checked("Full Name,Mobile No,Email ID,PAN\n" + rows)
    mia.client.form(f"/imports/{run.id}/start")
    with crm.app.app_context():
        one, other = import_worker.ImportSource(run.id), import_worker.ImportSource(run.id)
        assert import_worker.step(run.id, one)
        assert import_worker.step(run.id, other)  # another worker goes on where the first one stopped
        while import_worker.step(run.id, one):
            pass
        assert not import_worker.step(run.id, other)
        one.close()
        other.close()
    assert figures(crm.fresh(run)) == (450, 0, 0, 0)
    assert crm.count(Lead) == 450
    assert crm.rows(select(func.count(func.distinct(Lead.mobile_e164)))) == [450]


def test_the_page_of_a_reverted_import_says_what_was_undone(crm: Crm, mia: Importer) -> None:
    """Not what had been created."""
    run = mia.act(mia.checked("First name,Mobile\nAsha,9820012345\nRavi,9820012346\nUma,9820012347\n"), "start")
    ravi = crm.session.scalars(select(Lead).where(Lead.first_name == "Ravi")).one()
    ravi.stamp(Stamp(crm.people["mia"].id, datetime.now(UTC)))
    crm.session.commit()
    mia.act(run, "revert")
    page = mia.client.screen(f"/imports/{run.id}/").text
    tiles = re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", page)
    assert tiles == [("Reverted", "2"), ("Stay as they are", "1"), ("With errors", "0")]
    assert f'<a href="/leads/show/{ravi.id}">{ravi.number}</a>' in page
    row = mia.client.screen("/imports/").text.partition("<tbody>")[2].partition("</tr>")[0]
    assert row.count('<span class="figure">–</span>') == 2


def test_a_cancelled_import_stops_and_can_be_reverted(crm: Crm, mia: Importer) -> None:
    rows = "".join(f"Asha {n},98{n:08d},,\n" for n in range(250))
    run = mia.checked("Full Name,Mobile No,Email ID,PAN\n" + rows)
    mia.client.form(f"/imports/{run.id}/start")
    with crm.app.app_context():
        source = import_worker.ImportSource(run.id)
        import_worker.step(run.id, source)
        mia.client.form(f"/imports/{run.id}/cancel")
        assert not import_worker.step(run.id, source)
        source.close()
    assert crm.count(Lead) == 200
    mia.act(run, "revert")
    assert crm.count(Lead) == 0


def test_who_may_import_what(crm: Crm, mia: Importer) -> None:
    run = mia.checked(LEADS)
    assert crm.client("max").screen(f"/imports/{run.id}/").status_code == 404
    assert crm.client("max").form(f"/imports/{run.id}/start").status_code == 404
    assert crm.client("ana").screen("/imports/new").status_code == 403
    assert Importer(crm, "ana").upload(LEADS).status_code == 403
    assert mia.upload(LEADS, "user").status_code == 403
    assert crm.fresh(run).outcome == "checked"
    assert "/imports/new?kind=lead" in crm.client("mia").screen("/leads/").text
    assert "/imports/new" not in crm.client("ana").screen("/leads/").text


def test_masked_fields_match_nothing(crm: Crm, mia: Importer) -> None:
    crm.make.lead("mia", mobile="9820012345")
    crm.make.mask("Sales Manager", mobile="last4")
    run = mia.imported(LEADS)
    assert run.payload["options"]["keys"] == ["client_id"]
    assert figures(run) == (2, 0, 0, 0)
    answer = mia.client.form(f"/imports/{mia.checked(LEADS).id}/map", {"column_0": "first_name", "keys": "mobile"})
    assert answer.status_code == 403


def test_other_records_come_in_too(crm: Crm, mia: Importer) -> None:
    customers = (
        "Customer Name,Mobile No,Client ID,Account Type,Account Opened On\nAsha Rao,9820012345,E1,HUF,04/05/2025\n"
    )
    assert figures(
        mia.imported(customers + "Asha Rao,9820012345,E2,Individual,\n", "customer", duplicates="update")
    ) == (
        1,
        1,
        0,
        0,
    )
    assert crm.rows(select(CustomerAccount.client_id).order_by(CustomerAccount.id)) == ["E1", "E2"]
    number = crm.make.lead("mia").number
    tasks = f"Title,Reference Docname,Due Date,Assigned To\nCall,{number},30-Nov-2026 17:30,mia\nCall,CRM-LEAD-01,,\n"
    assert figures(mia.imported(tasks, "task", assign="column")) == (1, 0, 0, 1)
    calls = "From,To,Type,Status,Start Time,Duration,Call ID\n,9820012345,Outgoing,Completed,2026-01-05 10:00,60,d1\n"
    assert figures(mia.imported(calls, "call_log")) == (1, 0, 0, 0)
    assert figures(mia.imported(calls, "call_log")) == (0, 0, 1, 0)
    sam, root = Importer(crm, "sam"), Importer(crm, "root")
    tickets = "Ticket Subject,Mobile No,Priority,Remarks\nFund transfer,9820099999,High,late\nNo such,98,Low,\n"
    assert figures(sam.imported(tickets, "ticket")) == (1, 0, 0, 1)
    users = (
        "User ID,Full Name,Email,Role,Reports To\nneha,Neha Shah,neha@x.in,Sales Manager,\nom,Om Jha,,Sales User,neha\n"
    )
    run = root.imported(users, "user")
    assert figures(run) == (2, 0, 0, 0)
    assert crm.count(User, User.username == "om", User.manager_id.is_not(None)) == 1
    assert root.act(run, "revert").outcome == "reverted"
    assert crm.count(User, User.username.in_(("om", "neha"))) == 0
    assert (crm.count(Ticket), crm.count(CallLog), crm.count(Customer)) == (1, 1, 2)
    assert crm.count(Activity) > 0


BAD_CELLS = [
    ("mobile", "1.23E+09", "shortened"),
    ("mobile", "2001234", "If the spreadsheet has dropped a zero"),
    ("aadhaar", "23456789012", "has 11 digits instead of 12"),
    ("next_follow_up_on", "31/31/2026", "isn't a date in the order day/month/year"),
    ("next_follow_up_on", "11/30/2026", "isn't a date in the order day/month/year"),
    ("next_follow_up_on", "30/11/2026 25:99", "has a time that can't be read"),
]


@pytest.mark.parametrize(("name", "text", "sentence"), BAD_CELLS)
def test_cells_that_a_spreadsheet_has_spoiled_are_refused(name: str, text: str, sentence: str) -> None:
    kind = "moment" if name == "next_follow_up_on" else "text"
    with pytest.raises(RuleBroken) as refused:
        import_values.cleaned(name, kind, text, "dmy")
    assert sentence in str(refused.value.message)


@pytest.mark.parametrize(
    ("text", "order", "iso"),
    [
        ("04/05/2026", "dmy", "2026-05-04"),
        ("04/05/2026", "mdy", "2026-04-05"),
        ("4-5-26 5:30 pm", "dmy", "2026-05-04T17:30:00"),
        ("4 May 2026", "mdy", "2026-05-04"),
        ("2026-05-04", "mdy", "2026-05-04"),
        ("30 नवंबर 2026", "dmy", "2026-11-30"),
        ("5 जन. 2026", "mdy", "2026-01-05"),
        ("1 फरवरी 2026", "dmy", "2026-02-01"),
        ("14 ઑક્ટોબર 2026 17:30", "dmy", "2026-10-14T17:30:00"),
        ("7 सप्टेंबर, 2026", "dmy", "2026-09-07"),
        ("soon", "dmy", "soon"),
    ],
)
def test_dates_are_read_in_the_chosen_order(text: str, order: str, iso: str) -> None:
    assert import_values.iso_date("due_on", text, order) == iso


def test_the_order_of_dates_is_guessed_from_what_can_be_no_month() -> None:
    assert import_values.guessed_order(["04/05/2026", "11/30/2026"]) == "mdy"
    assert import_values.guessed_order(["04/05/2026", "30/11/2026"]) == "dmy"


@pytest.mark.parametrize(
    "options, said",
    [
        ({}, "Whoever imports the records gets them."),
        ({"assign": "role", "role": "Sales User"}, "The members of “Sales User” get the records in turn."),
        ({"assign": "person"}, "gets the records."),
    ],
)
def test_who_gets_the_records_is_said_before_the_start(
    crm: Crm, mia: Importer, options: dict[str, Any], said: str
) -> None:
    person: dict[str, Any] = {"assignee_id": crm.people["ana"].id} if options.get("assign") == "person" else {}
    run = mia.checked(LEADS, **options, **person)
    page = crm.client("mia").screen(f"/imports/{run.id}/").text
    assert said in page and "Public" not in crm.client("mia").screen(f"/imports/{run.id}/map").text


def test_columns_are_guessed_as_people_the_former_system_and_hindi_call_them() -> None:
    fields = [(name, name) for name in ("first_name", "last_name", "mobile", "email", "status", "source", "assign_to")]
    assert column_guesses.guess(["नाम", "मोबाइल नंबर"], fields) == {"नाम": "first_name", "मोबाइल नंबर": "mobile"}
    typed = ["Client's Name", "Mob. No.", "E-mail ID", "City", "Follow up on", "Ref By"]
    wanted = ["first_name", "mobile", "email", "address", "next_follow_up_on", "referral"]
    assert column_guesses.guess(typed, [(name, name) for name in wanted]) == dict(zip(typed, wanted, strict=True))
    both = column_guesses.guess(["City", "Address"], [("address", "Address")])
    assert both == {"Address": "address"}
    former = ["name", "first_name", "last_name", "mobile_no", "lead_owner", "status", "lead_source", "source"]
    assert column_guesses.guess(former, fields) == {
        "first_name": "first_name",
        "last_name": "last_name",
        "mobile_no": "mobile",
        "lead_owner": "assign_to",
        "status": "status",
        "source": "source",
    }
