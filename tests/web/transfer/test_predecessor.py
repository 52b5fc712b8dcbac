"""The import from the predecessor: its exports are imported with their history, once."""

from __future__ import annotations

import fcntl
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest
from sqlalchemy import event, func, select

from app.commands import exports_and_imports, predecessor_import
from app.domain.files.export_and_import_runs import ImportRow, ImportRun
from app.models import (
    Activity,
    Assignment,
    CallLog,
    Customer,
    CustomerAccount,
    Delivery,
    Lead,
    Message,
    NoteText,
    Notification,
    PredecessorName,
    PredecessorPerson,
    StatusChange,
    Task,
    Ticket,
)
from app.web.transfer import import_worker
from app.web.transfer.predecessor import doctypes
from app.web.transfer.predecessor import source_rows as move_source
from tests.app_fixtures import Crm
from tests.web.transfer import predecessor_exports as house
from tests.web.transfer.test_imports import Importer


@pytest.fixture
def folder(crm: Crm, tmp_path: Path) -> Path:
    """The exports; two of their people are users."""
    for name, data in house.files().items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def moved(crm: Crm, folder: Path, dry_run: bool = False) -> ImportRun:
    """What the command does."""
    with crm.app.app_context():
        return predecessor_import.move(folder, crm.people["root"].id, dry_run)


def figures(run: ImportRun, name: str = "kinds") -> dict[str, tuple[int, ...]]:
    """Kind → created, skipped, wrong."""
    return {
        kind: tuple(found[each] for each in ("created", "skipped", "wrong"))
        for kind, found in run.payload[name].items()
    }


def everything(crm: Crm) -> list[int]:
    """How many rows there are of all that a move makes."""
    models = (Lead, Customer, Ticket, Task, CallLog, Activity, StatusChange, Assignment, Message, CustomerAccount)
    return [crm.count(model) for model in (*models, PredecessorName, PredecessorPerson)]


def test_a_folder_comes_in_with_its_history_and_once(crm: Crm, folder: Path) -> None:
    checked = moved(crm, folder, dry_run=True)
    assert figures(checked, "checked") == house.FIGURES
    assert crm.count(Lead) == 0
    run = moved(crm, folder)
    assert (run.outcome, run.error) == ("done", None)
    assert figures(run) == house.FIGURES
    _look_at_the_lead(crm)
    _look_at_the_rest(crm)
    assert crm.count(Notification, Notification.kind != "import") == 0
    assert crm.count(Delivery) == 0
    before = everything(crm)
    again = moved(crm, folder)
    assert (again.created, everything(crm)) == (0, before)


def _look_at_the_lead(crm: Crm) -> None:
    lead = crm.rows(select(Lead).where(Lead.number == "CRM-LEAD-2025-00007"))[0]
    ana, mia = crm.people["ana"].id, crm.people["mia"].id
    assert (lead.owner_id, lead.assignee_id, lead.client_id) == (mia, ana, "E1001")
    assert lead.created_on == datetime(2025, 3, 4, 4, 45, tzinfo=UTC)
    assert (lead.created_by_id, lead.changed_by_id) == (ana, mia)
    assert lead.description == "Wants a HUF account\nsoon"
    assert lead.customer_id is not None
    assert crm.rows(select(CustomerAccount.lead_id)) == [lead.id]
    changes = crm.rows(select(StatusChange).where(StatusChange.lead_id == lead.id).order_by(StatusChange.at))
    assert [(each.by_id, each.seconds) for each in changes] == [(ana, None), (ana, 86400), (ana, 0)]
    found = crm.rows(select(Activity.id, Activity.kind).where(Activity.lead_id == lead.id))
    assert sorted(kind for _key, kind in found) == sorted(
        ["status_change", "status_change", "field_change", "note", "assignment", "task", "message", "message", "system"]
    )
    note = crm.rows(select(Activity).where(Activity.kind == "note", Activity.lead_id == lead.id))[0]
    assert (note.payload["text"], note.actor_id, note.customer_id) == ("He agreed", ana, lead.customer_id)
    copied = NoteText.__table__.c
    assert crm.rows(select(copied.body).where(copied.id == note.id)) == ["He agreed"]
    texts = str([each.payload for each in crm.rows(select(Activity))])
    assert "ABCDE1234F" not in texts
    assert "Lead source: On Call" in texts
    assert "Organization: Rao & Sons" in texts


def _look_at_the_rest(crm: Crm) -> None:
    task = crm.rows(select(Task))[0]
    assert (task.status, task.exhausted, task.remind_on) == ("Todo", True, None)
    ticket = crm.rows(select(Ticket))[0]
    assert (ticket.title, ticket.priority, ticket.resolution) == ("Fund transfer, Odd lot", "Urgent", "Sent again")
    call = crm.rows(select(CallLog))[0]
    assert (call.duration_seconds, call.lead_id, call.customer_id is not None) == (75, call.lead_id, True)
    assert {each.state for each in crm.rows(select(Message))} == {"noted"}
    wrong = crm.rows(select(ImportRow.problem).where(ImportRow.result == "wrong", ImportRow.is_trial.is_(False)))
    assert any("neither a name nor a mobile number" in each for each in wrong)
    assert any("CRM-LEAD-2020-00001 wasn't taken over" in each for each in wrong)


def test_a_move_that_is_cut_goes_on(crm: Crm, folder: Path) -> None:
    run = moved(crm, folder, dry_run=True)
    with crm.app.app_context():
        exports_and_imports.start_import(run.id)
        source = import_worker.ImportSource(run.id)
        source.is_command = True
        for _ in range(4):
            assert import_worker.step(run.id, source)
        source.close()  # whoever was at it has died
        assert import_worker.find_due(crm.session, datetime.now(UTC), 9) == []  # a server has not its folder
    assert crm.count(PredecessorName) == 6
    with pytest.raises(click.ClickException, match="half done"):
        moved(crm, folder, dry_run=True)
    assert crm.count(PredecessorName) == 6
    run = moved(crm, folder)
    assert (run.outcome, figures(run)) == ("done", house.FIGURES)
    assert crm.count(ImportRun) == 1


def test_finding_the_place_again_may_take_longer_than_a_transaction_may_idle(
    maria: Crm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, data in house.files().items():
        (tmp_path / name).write_bytes(data)
    event.listen(maria.engine, "connect", _be_impatient)
    maria.engine.dispose()
    try:
        recognized = move_source.recognized

        def slowly(parts: Any) -> Any:
            time.sleep(1.5)
            return recognized(parts)

        monkeypatch.setattr(move_source, "recognized", slowly)
        run = moved(maria, tmp_path, dry_run=True)
        with maria.app.app_context():
            exports_and_imports.start_import(run.id)
            source = import_worker.ImportSource(run.id)
            source.is_command = True
            assert import_worker.step(run.id, source)
            source.close()  # whoever was at it has died
        run = moved(maria, tmp_path)
    finally:
        event.remove(maria.engine, "connect", _be_impatient)
        maria.engine.dispose()
    assert (run.outcome, figures(run)) == ("done", house.FIGURES)


def _be_impatient(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION idle_transaction_timeout = 1")


def test_one_move_is_at_work_at_a_time(crm: Crm, folder: Path) -> None:
    held = os.open(folder, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)  # as another command does that works on it
    with pytest.raises(click.ClickException, match="Another command"):
        moved(crm, folder)
    os.close(held)
    root = Importer(crm, "root")
    runs = []
    for _ in range(2):
        assert root.upload(house.zipped(house.files()), "predecessor").status_code == 302
        runs.append(root.worked(root.newest()))
    for run in runs:  # both were checked, and are begun at once
        root.client.form(f"/imports/{run.id}/start")
    assert [crm.fresh(run).outcome for run in runs] == ["running", "checked"]


def test_people_are_matched_later(crm: Crm, folder: Path) -> None:
    moved(crm, folder)
    assert dict(crm.rows(select(PredecessorPerson.email, func.count()).group_by(PredecessorPerson.email))) == {
        house.GONE: 3
    }
    root = crm.client("root")
    assert house.GONE in root.screen("/imports/people").text
    assert crm.client("mia").screen("/imports/people").status_code == 403
    answer = root.form("/imports/people", {"email": house.GONE, "user_id": str(crm.people["sam"].id)})
    assert answer.status_code == 302
    sam = crm.people["sam"].id
    lead = crm.rows(select(Lead).where(Lead.number == "CRM-LEAD-2025-00008"))[0]
    assert (lead.owner_id, lead.assignee_id) == (sam, sam)
    assert crm.rows(select(Activity.actor_id).where(Activity.kind == "note", Activity.lead_id == lead.id)) == [sam]
    assert crm.count(PredecessorPerson) == 0
    known = crm.count(PredecessorName)
    for typed in (house.GONE, "nobody@x.in", "<script>", "x" * 500, "\x00"):  # matched already, or never seen
        answer = root.form("/imports/people", {"email": typed, "user_id": str(sam)})
        assert answer.status_code == 404, typed
    assert root.form("/imports/people", {"email": "", "user_id": str(sam)}).status_code in (302, 400)
    assert crm.count(PredecessorName) == known


def test_numbers_that_are_taken_are_found_by_the_former_one(crm: Crm, folder: Path) -> None:
    own = crm.make.lead("mia").number
    lead = {**house.LEADS[1], "name": own, "first_name": "Zubin"}
    (folder / "Lead.json").write_text(json.dumps({"data": [lead]}))
    moved(crm, folder)
    made = crm.rows(select(Lead).where(Lead.first_name == "Zubin"))[0]
    assert made.number != own
    found = crm.client("root").screen(f"/search/hits?q={own}").text
    assert "Zubin" in found
    assert own in found


def test_the_page_takes_a_zip(crm: Crm, folder: Path) -> None:
    root = Importer(crm, "root")
    answer = root.upload(house.zipped(house.files()), "predecessor")
    assert answer.status_code == 302, answer.text
    run = root.worked(root.newest())
    assert run.outcome == "checked"
    page = root.client.screen(f"/imports/{run.id}/").text
    assert "CRM Lead" in page
    assert "odd.csv" in page
    run = root.act(run, "start")
    assert (run.outcome, figures(run)) == ("done", house.FIGURES)
    assert "neither a name" in root.client.screen(f"/imports/{run.id}/problems.csv").text
    assert root.client.form(f"/imports/{run.id}/revert").status_code == 302
    assert crm.count(Lead) == 2
    assert Importer(crm, "mia").upload(house.zipped(house.files()), "predecessor").status_code == 403


def test_a_data_export_and_a_log_of_its_own_tell_the_same(crm: Crm, folder: Path) -> None:
    (folder / "Lead.json").unlink()
    (folder / "export.csv").write_bytes(house.data_export(house.LEADS))
    run = moved(crm, folder)
    assert figures(run)["CRM Lead"] == (2, 0, 0)
    lead = crm.rows(select(Lead).where(Lead.number == "CRM-LEAD-2025-00007"))[0]
    changes = crm.rows(select(StatusChange.seconds).where(StatusChange.lead_id == lead.id))
    assert 86400 in changes


BAD = [
    (b"not a zip", "damaged"),
    (house.zipped({"readme.md": b"x"}), "no table in it"),
    (house.zipped({"Lead.csv": b"a," * 6_000_000}), "unpacks to far more"),
]


@pytest.mark.parametrize(("content", "sentence"), BAD)
def test_what_is_no_move_is_refused(crm: Crm, content: bytes, sentence: str) -> None:
    answer = Importer(crm, "root").upload(content, "predecessor")
    assert answer.status_code in (409, 422)
    assert sentence in answer.text


def test_damage_amid_a_zip_and_odd_json_are_said(crm: Crm) -> None:
    """What shows only where a file is unpacked: 500 at the upload, and a worker that tries for ever."""
    packed = bytearray(house.zipped({"Lead.csv": b"name,first_name\n" + b"CRM-LEAD-2025-00001,Asha\n" * 50}))
    packed[packed.rfind(b"PK\x01\x02") + 16] ^= 1  # of the checksum
    odd = {"keys": [["a"], {"b": 1}, "doctype"], "values": [[1, 2, "\ud800" + "x" * 9000]]}
    root = Importer(crm, "root")
    for content, said in (
        (bytes(packed), "This ZIP file is damaged"),
        (house.zipped({"odd.json": json.dumps(odd).encode()}), "There is no such kind of record here"),
    ):
        assert root.upload(content, "predecessor").status_code == 302
        run = root.worked(root.newest())
        assert run.outcome == "checked"
        assert said in root.client.screen(f"/imports/{run.id}/").text


@pytest.mark.parametrize(
    ("name", "doctype"),
    [
        ("CRM Lead.csv", "CRM Lead"),
        ("crm_call_log (2).json", "CRM Call Log"),
        ("Leads 2025-11-30.csv", "CRM Lead"),
        ("FCRM Note.json", "FCRM Note"),
        ("status change log.csv", "CRM Status Change Log"),
        ("holiday photos.csv", ""),
    ],
)
def test_files_are_known_by_their_names(name: str, doctype: str) -> None:
    assert doctypes.doctype_of_file(name) == doctype
