"""Exports: a list with the person's access, at once or in the background, and everything for admins."""

from __future__ import annotations

import csv
import io
import json
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook
from sqlalchemy import select, update

from app import access
from app.commands import exports_and_imports as commands
from app.domain.files.export_and_import_runs import MAX_TRIES, OPEN_EXPORTS, ExportRun, TransferPart, claim_export
from app.models import AuditEntry, Lead, Notification, User
from app.ops.storage.file_store import StorageUnavailable
from app.web.transfer import export_all, export_heartbeat, export_worker, exports
from app.web.transfer.export_files import csv_text
from tests.app_fixtures import Crm


def rows_of(answer: Any) -> list[list[str]]:
    """The rows of a CSV answer."""
    return list(csv.reader(io.StringIO(answer.get_data().decode("utf-8-sig"))))


def ask(crm: Crm, who: str, query: str = "", **form: Any) -> Any:
    """Export the leads."""
    return crm.client(who).form(f"/exports/lead?{query}", {"format": "csv"} | form)


def written(crm: Crm, run: ExportRun, worker: str | None = "") -> None:
    """Let a worker write it to its end; None = one step of one that is new."""
    with crm.app.app_context():
        if worker == "":
            export_worker.work(run.id)
            return
        while export_worker.step(run.id, worker or secrets.token_hex(4)) and worker:
            pass


@pytest.fixture
def in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists of more than three rows are long, and two rows make a piece."""
    monkeypatch.setattr(exports, "AT_ONCE", 3)
    monkeypatch.setattr(export_worker, "PIECE", 2)


def test_a_short_list_is_sent_at_once_as_it_is_filtered_and_masked(crm: Crm) -> None:
    crm.make.lead("ana", first_name="=cmd|' /C calc'!A0", last_name="", mobile="9820012345")
    crm.make.lead("ana", first_name="Ravi", status="Contacted")
    crm.make.lead("ben", first_name="Om")
    crm.make.mask("Sales Manager", mobile="last4")
    answer = ask(crm, "mia", "_flt_eq_status=New", columns=["name", "mobile", "number"])
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
    heading, *rows = rows_of(answer)
    assert heading == ["Name", "Mobile", "Number"]
    assert [row[0] for row in rows] == ["'=cmd|' /C calc'!A0"]
    assert rows[0][1].endswith("2345")
    assert "9820012345" not in answer.text
    entry = crm.rows(select(AuditEntry).where(AuditEntry.event == "export"))[0]
    assert entry.address == "127.0.0.1"
    assert (entry.user_id, entry.payload["rows"], entry.payload["query"]) == (
        crm.people["mia"].id,
        1,
        "_flt_eq_status=New",
    )


def test_a_workbook_holds_texts_dates_and_numbers(crm: Crm) -> None:
    lead = crm.make.lead("mia", first_name="=1+1", last_name="A")
    answer = ask(crm, "mia", format="xlsx", columns=["name", "mobile", "created_on"])
    sheet = load_workbook(io.BytesIO(answer.get_data())).active
    assert [cell.value for cell in sheet[1]] == ["Name", "Mobile", "Created"]
    name, mobile, created = sheet[2]
    assert (name.value, name.data_type, name.quotePrefix) == (lead.display_name, "s", True)
    assert (mobile.value, mobile.data_type) == (lead.mobile_e164, "s")
    assert created.is_date


def test_who_may_export(crm: Crm) -> None:
    crm.make.lead("ana")
    assert ask(crm, "ana").status_code == 403
    assert ask(crm, "cleo").status_code == 403
    assert crm.client("root").form("/exports/nothing", {"format": "csv"}).status_code == 404
    assert ask(crm, "mia", "_flt_eq_nothing=1").status_code in (302, 400, 422)
    assert ask(crm, "mia", columns=["password"]).status_code in (302, 400, 422)
    crm.make.cell("Sales Manager", "Leads", "export", "own")
    assert rows_of(ask(crm, "mia"))[1:] == []
    assert "/exports/lead/new" in crm.client("mia").screen("/leads/").text
    assert "/exports/lead/new" not in crm.client("ana").screen("/leads/").text
    assert crm.client("mia").screen("/exports/lead/new?_flt_eq_status=New").status_code == 200


def test_the_selected_rows_of_a_list_are_exported_within_reach_and_mask(crm: Crm) -> None:
    own, second = crm.make.lead("mia", first_name="Anu"), crm.make.lead("mia", first_name="Zoe")
    other = crm.make.lead("mia", first_name="Ravi", mobile="9820012345")
    foreign = crm.make.lead("ben", first_name="Om")
    crm.make.mask("Sales Manager", mobile="last4")
    mia, listed = crm.client("mia"), "_flt_eq_status=New&_oc=created_on&_od=asc"
    assert f'formaction="/exports/lead/new?{listed.replace("&", "&amp;")}"' in mia.screen(f"/leads/?{listed}").text
    chosen = [str(row.id) for row in (own, other, second, foreign)]
    page = mia.form(f"/exports/lead/new?{listed}", {"rowid": chosen})
    assert "You may export 3 of the 4 selected records" in page.text
    asked: dict[str, Any] = {"rowid": chosen, "rows": "selected", "columns": ["name", "mobile"]}
    mia.rest("PUT", f"lead/{other.id}", json={"status": "Contacted"})  # still selected
    answer = ask(crm, "mia", listed, **asked)
    assert [row[0] for row in rows_of(answer)[1:]] == ["Anu Kumar", "Zoe Kumar", "Ravi Kumar"]
    assert "9820012345" not in answer.text
    entry = crm.rows(select(AuditEntry).where(AuditEntry.event == "export"))[-1]
    assert (entry.payload["rows"], entry.payload["selected"]) == (3, 4)
    whole = ask(crm, "mia", listed, **asked | {"rows": "all"})
    assert [row[0] for row in rows_of(whole)[1:]] == ["Anu Kumar", "Zoe Kumar"]
    assert mia.form("/exports/lead/new", {"rowid": ["x", "-1"]}).status_code in (302, 422)
    assert ask(crm, "mia", **asked | {"rowid": ["x"]}).status_code in (302, 422)
    assert ask(crm, "mia", rowid=[str(key) for key in range(501)], rows="selected").status_code in (302, 422)
    assert ask(crm, "ana", **asked).status_code == 403


@pytest.mark.parametrize("format_", ["csv", "xlsx"])
def test_a_long_list_is_written_in_the_background_and_goes_on_after_a_crash(
    crm: Crm, in_pieces: None, format_: str
) -> None:
    for n in range(5):
        crm.make.lead("mia", first_name=f"Asha{n}")
    answer = ask(crm, "mia", format=format_, columns=["name"])
    run = crm.rows(select(ExportRun))[0]
    assert answer.location == f"/exports/{run.id}/"
    with crm.app.app_context():
        assert export_worker.step(run.id, "first")
        assert export_worker.step(run.id, "first")
        assert not export_worker.step(run.id, "other")  # the first one is at it
    assert crm.client("mia").screen(f"/exports/{run.id}/file").status_code in (302, 400)
    assert crm.client("mia").screen(f"/exports/{run.id}/").status_code == 200
    crm.session.execute(update(ExportRun).values(seen_on=crm.fresh(run).seen_on - timedelta(minutes=2)))
    crm.session.commit()
    with crm.app.app_context():
        assert export_worker.find_due(crm.session, crm.fresh(run).created_on + timedelta(days=1), 5) == [run.id]
        crm.session.rollback()
        export_worker.work(run.id)
    run = crm.fresh(run)
    assert (run.outcome, run.rows, run.total, run.error) == ("done", 5, 5, None)
    answer = crm.client("mia").screen(f"/exports/{run.id}/file")
    if format_ == "csv":
        names = [row[0] for row in rows_of(answer)[1:]]
    else:
        names = [row[0].value for row in load_workbook(io.BytesIO(answer.get_data())).active.iter_rows(min_row=2)]
    assert names == [f"Asha{n} Kumar" for n in (4, 3, 2, 1, 0)]
    assert crm.count(Notification, Notification.kind == "export") == 1
    assert crm.count(TransferPart, TransferPart.role != "file") == 0
    for who in ("max", "root"):
        assert crm.client(who).screen(f"/exports/{run.id}/file").status_code == 404
    crm.make.cell("Sales Manager", "Leads", "export", "none")
    assert crm.client("mia").screen(f"/exports/{run.id}/file").status_code == 403
    crm.make.cell("Sales Manager", "Leads", "export", "team")
    crm.session.execute(update(ExportRun).values(expires_on=run.created_on))
    crm.session.commit()
    expired = crm.client("mia").screen(f"/exports/{run.id}/file")
    assert expired.status_code == 410 and "This file has expired." in expired.text
    assert f'href="/exports/{run.id}/"' in expired.text  # where it is exported again
    assert crm.client("mia").rest("GET", f"export/{run.id}/file").status_code == 410
    assert crm.client("max").screen(f"/exports/{run.id}/file").status_code == 404


def test_who_writes_a_workbook_for_long_keeps_it_and_hears_of_a_cancel(
    crm: Crm, in_pieces: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_heartbeat, "SECONDS", 0)
    for _n in range(5):
        crm.make.lead("mia")
    ask(crm, "mia", format="xlsx", columns=["name"])
    run = crm.rows(select(ExportRun))[0]
    content, seen = export_worker.content, list[bool]()

    def slowly(store: Any, part: Any) -> bytes:
        session = crm.new_session()
        seen.append(session.get_one(ExportRun, run.id).seen_on > run.created_on)
        if len(seen) == 2:
            session.execute(update(ExportRun).values(outcome="cancelled"))
        elif len(seen) == 1:  # a minute ago, unless the worker says that it lives
            session.execute(update(ExportRun).values(seen_on=run.created_on))
        session.commit()
        session.close()
        return content(store, part)

    monkeypatch.setattr(export_worker, "content", slowly)
    with crm.app.app_context():
        export_worker.work(run.id)
    assert (seen, crm.fresh(run).outcome) == ([True, True], "cancelled")  # the third piece isn't read


def test_who_loses_the_right_meanwhile_gets_no_rows(crm: Crm, in_pieces: None) -> None:
    for _n in range(5):
        crm.make.lead("mia")
    ask(crm, "mia")
    run = crm.rows(select(ExportRun))[0]
    with crm.app.app_context():
        export_worker.step(run.id, "one")
    crm.make.cell("Sales Manager", "Leads", "read", "none")
    with crm.app.app_context():
        assert not export_worker.step(run.id, "one")
    assert (crm.fresh(run).outcome, crm.count(TransferPart)) == ("failed", 0)


@pytest.mark.parametrize("narrowed", ["mask", "reach", "team", "column"])
def test_a_finished_file_is_refused_once_its_maker_sees_less(crm: Crm, in_pieces: None, narrowed: str) -> None:
    for _n in range(5):
        crm.make.lead("mia", mobile="9820012345")
    ask(crm, "mia", columns=["name", "mobile"])
    (run,) = crm.rows(select(ExportRun))
    written(crm, run)
    mia = crm.client("mia")
    crm.make.cell("Sales Manager", "Tickets", "read", "all")  # more than before does no harm
    assert len(rows_of(mia.screen(f"/exports/{run.id}/file"))) == 6
    if narrowed == "mask":
        crm.make.mask("Sales Manager", mobile="last4")
    elif narrowed == "reach":
        crm.make.cell("Sales Manager", "Leads", "read", "own")
    elif narrowed == "team":
        crm.session.execute(update(User).where(User.username == "ana").values(manager_id=crm.id_of("max")))
        access.bump_version(crm.session)
        crm.session.commit()
    else:
        crm.make.cell("Sales Manager", "Customers", "export", "none")
    for answer in (mia.screen(f"/exports/{run.id}/file"), mia.rest("GET", f"export/{run.id}/file")):
        assert answer.status_code == 403
        assert "your rights have changed" in answer.text
        assert "9820012345" not in answer.text
    page = mia.screen(f"/exports/{run.id}/").text
    assert f"/exports/{run.id}/again" in page and f"/exports/{run.id}/file" not in page
    answer = mia.form(f"/exports/{run.id}/again")
    again = crm.rows(select(ExportRun).order_by(ExportRun.id.desc()))[0]
    assert answer.location == f"/exports/{again.id}/" != f"/exports/{run.id}/"
    written(crm, again)
    found = rows_of(mia.screen(f"/exports/{again.id}/file"))
    assert len(found) == 6
    assert (narrowed == "mask") == ("9820012345" not in str(found))


def test_rights_that_become_fewer_amid_the_file_end_it_and_wider_ones_count(crm: Crm, in_pieces: None) -> None:
    for _n in range(5):
        crm.make.lead("mia")
    crm.make.mask("Sales Manager", mobile="last4")
    ask(crm, "mia", columns=["mobile"])
    ask(crm, "mia", columns=["mobile"])
    narrower, wider = crm.rows(select(ExportRun))
    with crm.app.app_context():
        for run in (narrower, wider):
            assert export_worker.step(run.id, "one") and export_worker.step(run.id, "one")
    crm.make.mask("Sales Manager", mobile="full")
    written(crm, wider, "one")
    crm.make.mask("Sales Manager", mobile="hidden")
    written(crm, narrower, "one")
    assert (crm.fresh(wider).outcome, crm.fresh(narrower).outcome) == ("done", "failed")
    mia = crm.client("mia")
    assert "has changed while this file was written" in mia.screen(f"/exports/{narrower.id}/").text
    crm.make.mask("Sales Manager", mobile="last4")  # as it was when the file was begun, not when it was ended
    assert mia.screen(f"/exports/{wider.id}/file").status_code == 403


class StorageAway:
    """A storage of files that can't be used."""

    def put(self, _content: Any) -> Any:
        raise StorageUnavailable("the storage of files can't be used")

    open = put


@pytest.mark.parametrize("fixture", ["crm", "maria"])
def test_a_storage_that_stays_away_is_asked_less_and_less_often_then_no_more(
    request: pytest.FixtureRequest, in_pieces: None, fixture: str
) -> None:
    crm: Crm = request.getfixturevalue(fixture)
    for _n in range(5):
        crm.make.lead("mia")
    ask(crm, "mia", columns=["name"])
    (run,) = crm.rows(select(ExportRun))
    store, waits = crm.app.extensions["crm_files"], []
    crm.app.extensions["crm_files"] = StorageAway()
    mia = crm.client("mia")
    try:
        while crm.fresh(run).outcome in OPEN_EXPORTS:
            now = datetime.now(UTC)
            written(crm, run, None)
            row = crm.fresh(run)
            if row.next_try_on is not None and row.outcome == "running":
                waits.append(round((row.next_try_on - now).total_seconds() / 60))
                assert "next attempt" in mia.screen(f"/exports/{run.id}/").text
                with crm.app.app_context():  # not due yet: neither found by the job nor taken up by a worker
                    later = row.next_try_on - timedelta(seconds=1)
                    assert export_worker.find_due(crm.session, later, 5) == []
                    assert export_worker.find_due(crm.session, later + timedelta(minutes=2), 5) == [run.id]
                    crm.session.rollback()
                    assert not export_worker.step(run.id, "early")
                    assert crm.fresh(run).tries == row.tries
                crm.session.execute(update(ExportRun).values(next_try_on=now))
                crm.session.commit()
            assert len(waits) < 20
    finally:
        crm.app.extensions["crm_files"] = store
    assert waits == [1, 2, 5, 10, 20, 30]
    assert crm.fresh(run).outcome == "failed"
    page = mia.screen(f"/exports/{run.id}/").text
    assert "could not be used for more than an hour" in page and f"/exports/{run.id}/again" in page
    assert crm.count(Notification, Notification.kind == "export") == 1
    mia.form(f"/exports/{run.id}/again")
    again = crm.rows(select(ExportRun).order_by(ExportRun.id.desc()))[0]
    written(crm, again)
    assert len(rows_of(mia.screen(f"/exports/{again.id}/file"))) == 6


def test_a_file_that_ends_its_worker_again_and_again_fails(crm: Crm, in_pieces: None) -> None:
    for _n in range(5):
        crm.make.lead("mia")
    ask(crm, "mia", columns=["name"])
    (run,) = crm.rows(select(ExportRun))
    now = datetime.now(UTC)
    for minutes in range(MAX_TRIES):
        crm.session.rollback()
        claimed = claim_export(crm.session, run.id, f"killed{minutes}", now + timedelta(minutes=2 * minutes))
        crm.session.commit()
        assert claimed is not None and claimed.tries == minutes + 1
    crm.session.execute(update(ExportRun).values(seen_on=now - timedelta(minutes=2)))
    crm.session.commit()
    written(crm, run)
    assert (crm.fresh(run).outcome, crm.count(TransferPart)) == ("failed", 0)
    assert "interrupted several times" in crm.client("mia").screen(f"/exports/{run.id}/").text


def test_nobody_exports_again_what_is_another_persons(crm: Crm, in_pieces: None) -> None:
    for _n in range(5):
        crm.make.lead("mia")
    ask(crm, "mia", columns=["name"])
    (run,) = crm.rows(select(ExportRun))
    for who in ("max", "root", "ana", "rhea", "cleo"):
        assert crm.client(who).form(f"/exports/{run.id}/again").status_code == 404
    crm.make.cell("Sales Manager", "Leads", "export", "none")
    assert crm.client("mia").form(f"/exports/{run.id}/again").status_code == 403
    assert crm.count(ExportRun) == 1


def test_cells_that_spreadsheets_take_for_formulas_are_neutralised() -> None:
    assert [csv_text(each) for each in ("=1", "+9", "-1", "@x", "\tx", "a", 5, -5, None)] == [
        *("'=1", "'+9", "'-1", "'@x", "'\tx", "a", "5", "-5", ""),
    ]


def test_everything_is_written_with_a_manifest_and_without_secrets(crm: Crm, tmp_path: Path) -> None:
    crm.make.customer("ana", pan="ABCDE1234F")
    crm.make.lead("ana", first_name="Asha")
    with crm.app.app_context():
        manifest = commands.write_all(tmp_path / "all")
    told = json.loads((tmp_path / "all/manifest.json").read_text())
    assert told["tables"]["leads"]["rows"] == manifest.tables["leads"]["rows"] == crm.count(Lead) == 1
    customer = json.loads((tmp_path / "all/records/customer.jsonl").read_text())
    assert customer["pan"] == "ABCDE1234F"
    everything = "".join(path.read_text() for path in (tmp_path / "all/records").iterdir())
    assert "pbkdf2" not in everything
    assert "secret_hash" not in everything
    for name in ("totp", "pan_blind", "api_token", "secret_key", "token_value", "password_2", "pan_sealed_old"):
        assert export_all._is_secret(name), name
    assert not any(export_all._is_secret(name) for name in ("token_no", "hash", "number"))
    for table in ("api_key", "two_factor", "recovery_code", "pending_sign_in", "remembered_browser"):
        assert not (tmp_path / f"all/records/{table}.jsonl").exists()


def test_an_admin_exports_everything_on_a_page(crm: Crm) -> None:
    crm.make.lead("ana")
    assert crm.client("mia").form("/exports/all").status_code == 403
    answer = crm.client("root").form("/exports/all")
    run = crm.rows(select(ExportRun))[0]
    assert answer.location == f"/exports/{run.id}/"
    with crm.app.app_context():
        export_worker.work(run.id)
    answer = crm.client("root").screen(f"/exports/{run.id}/file")
    assert answer.get_data()[:2] == b"PK"
    assert len(answer.get_data()) == crm.fresh(run).size


def test_the_command_exports_as_this_user(crm: Crm, tmp_path: Path) -> None:
    crm.make.lead("ana", first_name="Asha")
    crm.make.lead("ben", first_name="Om")
    runner = crm.app.test_cli_runner()
    out = tmp_path / "leads.csv"
    result = runner.invoke(args=["export", "lead", "--format", "csv", "--as", "mia", "--out", str(out)])
    assert (result.exit_code, result.output) == (0, f"1 rows were written to {out}.\n")
    assert "Asha" in out.read_text("utf-8-sig")
    assert runner.invoke(args=["export", "lead", "--as", "ana", "--out", str(out)]).exit_code == 1


def test_lists_are_exported_over_rest(crm: Crm, in_pieces: None) -> None:
    for n in range(3):
        crm.make.lead("mia", first_name=f"Asha{n}")
    asked = {"kind": "lead", "format": "csv", "columns": ["name"]}
    ana, mia = crm.client("ana"), crm.client("mia")
    assert ana.rest("POST", "export/", asked).status_code == 403
    answer = mia.rest("POST", "export/", asked | {"query": "_oc=created_on&_od=asc"})
    assert [row[0] for row in rows_of(answer)[1:]] == ["Asha0 Kumar", "Asha1 Kumar", "Asha2 Kumar"]
    for wrong in ({"kind": "nothing"}, {"format": "pdf"}, {"columns": 5}, {"query": "_flt_eq_x=1"}, {"x": 1}):
        assert mia.rest("POST", "export/", asked | wrong).status_code in (404, 422)
    crm.make.lead("mia")
    answer = mia.rest("POST", "export/", asked)
    assert (answer.status_code, answer.json["state"]) == (202, "waiting")
    key = answer.json["id"]
    assert mia.rest("GET", f"export/{key}/file").status_code in (400, 422)
    with crm.app.app_context():
        export_worker.work(key)
    assert mia.rest("GET", f"export/{key}").json["rows"] == 4
    assert len(rows_of(mia.rest("GET", f"export/{key}/file"))) == 5
    assert crm.client("max").rest("GET", f"export/{key}").status_code == 404
