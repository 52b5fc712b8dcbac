"""Imports interrupted by an unavailable storage, a killed worker or a collision: nothing is lost or duplicated."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pymysql
import pytest
from sqlalchemy import event, select, update
from sqlalchemy.exc import OperationalError

from app import notice_texts
from app.domain.custom_fields import FieldInput
from app.domain.files.export_and_import_runs import MAX_TRIES, OPEN_IMPORTS, ImportRun, take_up_import
from app.models import Lead, Notification
from app.ops.storage.file_store import StorageUnavailable
from app.web.transfer import import_resume, import_rows, import_undo, import_worker
from tests.app_fixtures import Crm
from tests.web.records.test_custom_fields import made
from tests.web.transfer.test_imports import Importer, figures

HEAD = "Full Name,Mobile No\n"
AWAY = "could not be used for more than an hour"


class Away:
    """A storage of files from which nothing can be read."""

    def __init__(self, store: Any) -> None:
        self.put = store.put

    def open(self, _digest: str) -> Any:
        raise StorageUnavailable("the storage of files can't be used")


@contextmanager
def away(crm: Crm) -> Iterator[None]:
    """Inside, the storage of files can't be used."""
    store = crm.app.extensions["crm_files"]
    crm.app.extensions["crm_files"] = Away(store)
    try:
        yield
    finally:
        crm.app.extensions["crm_files"] = store


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows make a transaction."""
    monkeypatch.setattr(import_worker, "CHUNK", 2)


def steps(crm: Crm, run: ImportRun, count: int) -> None:
    """What a worker does in so many transactions; then it dies."""
    with crm.app.app_context():
        source = import_worker.ImportSource(run.id)
        for _n in range(count):
            import_worker.step(run.id, source)
        source.close()


def find_due(crm: Crm, now: datetime) -> list[int]:
    """The imports that the job of the minute would take up."""
    with crm.app.app_context():
        found = import_worker.find_due(crm.session, now, 5)
        crm.session.rollback()
    return found


@pytest.mark.parametrize("fixture", ["crm", "maria"])
@pytest.mark.parametrize("step", ["checking", "running"])
def test_a_storage_that_stays_away_is_asked_less_and_less_often_then_no_more(
    request: pytest.FixtureRequest, small: None, fixture: str, step: str
) -> None:
    crm: Crm = request.getfixturevalue(fixture)
    mia = Importer(crm)
    content = HEAD + "".join(f"Asha {n},982001234{n}\n" for n in range(5))
    with away(crm) if step == "checking" else _nothing():
        run = mia.checked(content)
    if step == "running":
        assert mia.client.form(f"/imports/{run.id}/start").status_code == 302
        steps(crm, run, 1)
    waits = []
    with away(crm):
        while crm.fresh(run).outcome in OPEN_IMPORTS:
            now = datetime.now(UTC)
            crm.session.execute(update(ImportRun).values(next_try_on=None, seen_on=now - timedelta(minutes=31)))
            crm.session.commit()
            mia.worked(run)
            row = crm.fresh(run)
            if row.next_try_on is not None and row.outcome in OPEN_IMPORTS:
                waits.append(round((row.next_try_on - now).total_seconds() / 60))
                assert "next attempt" in mia.client.screen(f"/imports/{run.id}/").text
                assert find_due(crm, row.next_try_on - timedelta(seconds=1)) == []
                assert find_due(crm, row.next_try_on + timedelta(minutes=2)) == [run.id]
                assert mia.worked(run).tries == row.tries  # not due: no attempt
            assert len(waits) < 20
    assert waits == [1, 2, 5, 10, 20, 30][step == "checking" :]
    assert (crm.fresh(run).outcome, crm.fresh(run).created) == ("failed", 2 if step == "running" else 0)
    page = mia.client.screen(f"/imports/{run.id}/").text
    assert AWAY in page and f"/imports/{run.id}/again" in page
    (note,) = crm.rows(select(Notification).where(Notification.kind == "import"))
    with crm.app.test_request_context():
        assert AWAY in notice_texts.text_of(note)
    run = mia.act(run, "again")
    if step == "checking":
        assert (run.outcome, run.payload["check"]["created"]) == ("checked", 5)
        run = mia.act(run, "start")
    assert (run.outcome, figures(run), crm.count(Lead)) == ("done", (5, 0, 0, 0), 5)
    assert mia.client.form(f"/imports/{run.id}/again").status_code == 302
    assert crm.fresh(run).outcome == "done"


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def test_an_upload_that_does_not_fit_on_the_disk_is_refused_on_its_page(
    crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_content: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    mia = Importer(crm)
    monkeypatch.setattr(crm.app.extensions["crm_files"], "put", full)
    answer = mia.upload(HEAD + "Asha,9820012345\n")
    assert answer.status_code == 503 and "disk is full" in answer.text and "/imports/new" in answer.text
    assert crm.count(ImportRun) == 0


def test_a_file_that_ends_its_worker_again_and_again_fails(crm: Crm) -> None:
    mia = Importer(crm)
    run = mia.checked(HEAD + "Asha,9820012345\n")
    mia.client.form(f"/imports/{run.id}/start")
    crm.session.execute(update(ImportRun).values(seen_on=None))
    now = datetime.now(UTC)
    for minutes in range(MAX_TRIES):
        assert take_up_import(crm.session, run.id, now + timedelta(minutes=2 * minutes)) == minutes + 1
        # A second call of the queue meanwhile is no attempt of its own.
        assert take_up_import(crm.session, run.id, now + timedelta(minutes=2 * minutes, seconds=9)) == minutes + 1
    crm.session.execute(update(ImportRun).values(seen_on=now - timedelta(minutes=2)))
    crm.session.commit()
    run = mia.worked(run)
    assert run.outcome == "failed" and "interrupted several times" in mia.client.screen(f"/imports/{run.id}/").text
    assert figures(mia.act(run, "again")) == (1, 0, 0, 0)


def test_a_worker_that_starts_continues_what_a_killed_one_has_left(crm: Crm, small: None) -> None:
    """Seconds later: the job of the minute would wait a minute for a sign of life of the other one."""
    mia = Importer(crm)
    run = mia.act(mia.checked(HEAD + "".join(f"Asha {n},982001234{n}\n" for n in range(6))), "start")
    assert mia.client.form(f"/imports/{run.id}/revert").status_code == 302
    steps(crm, run, 1)
    seen, started = crm.fresh(run).seen_on, datetime.now(UTC)
    assert find_due(crm, started) == [] and crm.fresh(run).outcome == "reverting"
    with crm.app.app_context():
        import_worker.look_for_lost("short")
        import_worker.resume(run.id, int(seen.timestamp()) - 1)  # it has given a sign of life since
        assert crm.fresh(run).outcome == "reverting"
        import_worker.resume(run.id, int(started.timestamp()) + 1)
    assert (crm.fresh(run).outcome, crm.count(Lead)) == ("reverted", 0)


def test_a_file_that_ends_each_worker_that_starts_fails_too(crm: Crm) -> None:
    mia, now = Importer(crm), datetime.now(UTC)
    run = mia.checked(HEAD + "Asha,9820012345\n")
    mia.client.form(f"/imports/{run.id}/start")
    crm.session.execute(update(ImportRun).values(seen_on=now))
    for second in range(1, MAX_TRIES + 1):
        moment = now + timedelta(seconds=10 * second)
        assert take_up_import(crm.session, run.id, moment, moment) == second
    crm.session.execute(update(ImportRun).values(seen_on=now))
    crm.session.commit()
    with crm.app.app_context():
        import_worker.resume(run.id, int(now.timestamp()) + 1)
    assert crm.fresh(run).outcome == "failed"


def test_a_transaction_that_collides_is_tried_again_and_loses_no_row(
    crm: Crm, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    mia, real, calls = Importer(crm), import_rows.run, []

    def run_then_collide(*given: Any) -> Any:
        outcomes = real(*given)
        calls.append(len(outcomes))
        if len(calls) == 2:
            error = pymysql.err.OperationalError(1213, "Deadlock found when trying to get lock")
            raise OperationalError("COMMIT", {}, error)
        return outcomes

    run = mia.checked(HEAD + "".join(f"Asha {n},982001234{n}\n" for n in range(6)))
    monkeypatch.setattr(import_rows, "run", run_then_collide)
    monkeypatch.setattr("app.web.transfer.import_worker.time.sleep", lambda _seconds: None)
    assert figures(mia.act(run, "start")) == (6, 0, 0, 0)
    assert crm.count(Lead) == 6 and len(calls) == 4


@pytest.mark.parametrize("policy", ["skip", "update"])
def test_a_worker_that_goes_on_knows_the_rows_before(crm: Crm, small: None, policy: str) -> None:
    """Ana sees only her own leads, and all of these are Ben's: the database alone would not tell her."""
    crm.make.cell("Sales User", "Leads", "import", "own")
    crm.make.cell("Sales User", "Leads", "create", "all")
    crm.make.cell("Sales User", "Leads", "assign", "all")
    ana = Importer(crm, "ana")
    again = "Asha 0,9820012340\nAsha 1,9820012341\nAsha 9,9820012349\n"
    content = HEAD + "".join(f"Asha {n},982001234{n}\n" for n in range(4)) + again
    answer = ana.upload(content)
    assert answer.status_code == 302, answer.text
    run = ana.newest()
    ben = crm.people["ben"].id
    form = {"column_0": "first_name", "column_1": "mobile", "duplicates": policy, "keys": ["mobile"], "dates": "dmy"}
    ana.client.form(f"/imports/{run.id}/map", form | {"assign": "person", "assignee_id": str(ben)})
    assert crm.fresh(run).outcome == "checking", crm.fresh(run).error
    steps(crm, run, 2)
    run = ana.worked(run)
    whole = dict(run.payload["check"])
    assert run.outcome == "checked" and whole["created"] == 5, (run.error, whole)
    ana.client.form(f"/imports/{run.id}/start")
    steps(crm, run, 2)
    run = ana.worked(run)
    assert (run.outcome, run.created, crm.count(Lead)) == ("done", 5, 5)


def test_what_a_worker_knows_of_the_rows_before_is_what_the_first_one_knew(crm: Crm, small: None) -> None:
    mia = Importer(crm)
    mia.imported(HEAD + "Asha,9820012341\n")
    rows = [["Ravi", "9820012340"], ["Asha", "9820012341"], ["Ravi 2", "9820012340"], ["bad", "12"]]
    rows += [["Om", "9820012342"], ["Mia", "9820012343"]]
    run = mia.checked(HEAD + "".join(",".join(row) + "\n" for row in rows))
    mia.client.form(f"/imports/{run.id}/start")
    with crm.app.app_context():
        source = import_worker.ImportSource(run.id)
        for _n in range(3):
            import_worker.step(run.id, source)
        known = dict(source.seen)
        found = import_resume.seen_so_far(crm.session, crm.fresh(run), enumerate(rows, 1))
        source.close()
    assert found == known and len(known) == 3


TWICE = "Name,Mobile,Email\nAsha Rao,9820012345,one@x.in\nRavi Shah,9820012346,\nAsha Rao,9820012345,two@x.in\n"


@pytest.mark.parametrize("fixture", ["crm", "maria"])
@pytest.mark.parametrize("chunk", [1, 50])
@pytest.mark.parametrize("is_there", [True, False])
def test_a_person_in_two_rows_is_reverted_row_by_row(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, fixture: str, chunk: int, is_there: bool
) -> None:
    crm: Crm = request.getfixturevalue(fixture)
    monkeypatch.setattr(import_worker, "CHUNK", chunk)
    monkeypatch.setattr(import_undo, "CHUNK", chunk)
    mia = Importer(crm)
    if is_there:
        mia.imported("Name,Mobile,Email\nAsha Rao,9820012345,old@x.in\n")
    run = mia.imported(TWICE, duplicates="update")
    assert figures(run) == ((1, 2, 0, 0) if is_there else (2, 1, 0, 0))
    run = mia.act(run, "revert")
    assert (run.outcome, mia.problems(run)) == ("reverted", {})
    assert [each.email for each in crm.rows(select(Lead))] == (["old@x.in"] if is_there else [])


@pytest.mark.parametrize("when", ["between the rows", "between the steps of the revert", "after the import"])
def test_a_revert_spares_what_somebody_changed_between_two_rows_of_a_person(
    crm: Crm, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr(import_worker, "CHUNK", 1)
    monkeypatch.setattr(import_undo, "CHUNK", 1)
    mia = Importer(crm)
    mia.imported("Name,Mobile,Email\nAsha Rao,9820012345,old@x.in\n")
    run = mia.checked(TWICE, duplicates="update")

    def change() -> None:
        lead = crm.rows(select(Lead).where(Lead.first_name == "Asha"))[0]
        body = {"description": "called", "version": lead.version}
        assert crm.client("mia").rest("PUT", f"lead/{lead.id}", body).status_code == 200

    mia.client.form(f"/imports/{run.id}/start")
    if when == "between the rows":
        steps(crm, run, 1)
        change()
    run = mia.worked(run)
    if when == "after the import":
        change()
    mia.client.form(f"/imports/{run.id}/revert")
    if when == "between the steps of the revert":
        steps(crm, run, 1)
        change()
    run = mia.worked(run)
    kept = {"after the import": [1, 3]}.get(when, [1])
    assert (run.outcome, sorted(mia.problems(run))) == ("reverted", kept)
    (lead,) = crm.rows(select(Lead))
    assert (lead.email, lead.description) == ("two@x.in" if len(kept) == 2 else "one@x.in", "called")


def test_the_progress_bar_of_a_revert_counts_what_is_undone(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_undo, "CHUNK", 1)
    mia = Importer(crm)
    run = mia.imported(HEAD + "".join(f"Asha {n},982001234{n}\n" for n in range(4)))
    mia.client.form(f"/imports/{run.id}/revert")
    assert 'value="0"' in mia.client.screen(f"/imports/{run.id}/").text
    steps(crm, run, 3)
    page = mia.client.screen(f"/imports/{run.id}/").text
    assert 'value="75"' in page and "3 of 4 rows" in page
    assert mia.worked(run).outcome == "reverted"


def test_a_check_shows_how_far_it_is(crm: Crm, small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    mia = Importer(crm)
    monkeypatch.setattr(mia, "worked", crm.fresh)
    run = mia.checked(HEAD + "".join(f"Asha {n},982001234{n}\n" for n in range(8)))
    steps(crm, run, 2)
    assert "4 of 8 rows" in mia.client.screen(f"/imports/{run.id}/").text


def test_who_is_told_is_told_in_the_transaction_that_ends_the_import(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    mia = Importer(crm)
    run = mia.checked(HEAD + "Asha,9820012345\n")
    mia.client.form(f"/imports/{run.id}/start")
    steps(crm, run, 1)
    seen: list[str] = []
    event.listen(crm.engine, "commit", note := lambda _connection: seen.append("commit"))
    try:
        steps(crm, run, 1)
    finally:
        event.remove(crm.engine, "commit", note)
    assert (crm.fresh(run).outcome, len(seen)) == ("done", 1)
    assert crm.count(Notification, Notification.kind == "import") == 1


@pytest.mark.parametrize("fixture", ["crm", "maria"])
def test_choices_of_custom_fields_are_read_once_for_many_rows(request: pytest.FixtureRequest, fixture: str) -> None:
    crm: Crm = request.getfixturevalue(fixture)
    made(crm, "leads", FieldInput("Risk", "choice", "x_risk", choices=[{"label": "Low"}, {"label": "High"}]))
    mia = Importer(crm)

    def reads(count: int, risk: str) -> int:
        rows = "".join(f"Asha {n},982001234{n},{risk}\n" for n in range(count))
        run = mia.checked("Full Name,Mobile No,Risk\n" + rows, duplicates="update")
        mia.client.form(f"/imports/{run.id}/start")
        seen: list[str] = []
        event.listen(crm.engine, "before_cursor_execute", note := lambda *args: seen.append(args[2]))
        try:
            steps(crm, run, 1)
        finally:
            event.remove(crm.engine, "before_cursor_execute", note)
        run = mia.worked(run)
        assert (run.outcome, run.created + run.updated) == ("done", count)
        return sum("FROM custom_field" in each for each in seen)

    assert reads(6, "Low") == 2  # the choices, and the fields
    assert reads(6, "High") == reads(2, "Low") == 2
    assert {lead.custom["x_risk"] for lead in crm.rows(select(Lead))} == {"High", "Low"}


def test_numbers_of_notices_are_grouped() -> None:
    rows: dict[str, Any] = {
        "export": {"rows": 2333},
        "import": {"name": "a.csv", "created": 123456, "updated": 1000, "wrong": 7},
    }
    said = [notice_texts.TEXTS[kind](payload) for kind, payload in rows.items()]
    assert "2,333 rows" in said[0]
    assert "1,23,456 created, 1,000 updated, 7 with errors" in said[1]
    assert "1,200 records" in notice_texts.TEXTS["import"]({"given": 1200, "actor": "Mia"})
