"""Backups of the whole product: rows, jobs, alarms, commands, and the work after a restore."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text, update

import backup_settings
from app import access, jobs
from app.backups import requested_runs
from app.backups.database_urls import open_database
from app.backups.folder import BackupFolder
from app.domain.audit_log import audit_chain
from app.domain.base import Stamp
from app.domain.erasure import erasing, erasure_list
from app.domain.maintenance import backup_runs
from app.extensions import db
from app.models import (
    AccessVersion,
    AuditEntry,
    BackupRun,
    DataErasure,
    Delivery,
    Invitation,
    JobRun,
    Message,
    Notification,
    NumberSeries,
    RecoveryCode,
    RememberedBrowser,
    Report,
    ReportRun,
    ReportSchedule,
    SignIn,
    TwoFactor,
    WebhookDelivery,
)
from app.notice_texts import text_of
from tests import factories
from tests.app_fixtures import Crm
from tests.servers import ROOT

NOW = factories.NOW
#: The revision of the newest migration.
HEAD = sorted((ROOT / "migrations" / "versions").glob("0*.py"))[-1].name[:4]
DAY = timedelta(days=1)


@pytest.fixture(params=["crm", "maria"])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Crm]:
    """The product on either database, with a folder of its own for backups."""
    yield from prepared(request.getfixturevalue(request.param), tmp_path)


@pytest.fixture
def lite(crm: Crm, tmp_path: Path) -> Iterator[Crm]:
    yield from prepared(crm, tmp_path)


def prepared(crm: Crm, folder: Path) -> Iterator[Crm]:
    chosen = crm.app.config["CRM"]
    changed = replace(chosen, backup=replace(chosen.backup, folder=folder / "backups"), instance_dir=folder)
    crm.app.config["CRM"] = changed
    yield crm
    crm.app.config["CRM"] = chosen


def command(crm: Crm, *words: str) -> Any:
    crm.session.close()
    return crm.app.test_cli_runner().invoke(args=["backup", *words])


def backups(crm: Crm) -> list[str]:
    return [each.name for each in BackupFolder(crm.app.config["CRM"].backup.folder).all()]


def runs(crm: Crm) -> list[tuple[str, str]]:
    query = select(BackupRun.id, BackupRun.kind, BackupRun.outcome).order_by(BackupRun.id)
    return [(kind, outcome) for _id, kind, outcome in crm.rows(query)]


def notices_of(crm: Crm) -> list[str]:
    rows = crm.rows(select(Notification).where(Notification.kind == "backup").order_by(Notification.id))
    with crm.app.test_request_context():
        return [text_of(row) for row in rows]


def run(crm: Crm, key: int) -> None:
    with crm.app.app_context():
        requested_runs.run(key)
        db.session.remove()


def test_the_five_commands(lite: Crm) -> None:
    lead = lite.make.lead("ana")
    lite.session.commit()
    made = command(lite, "create")
    assert made.exit_code == 0 and "Backup: " in made.output, made.output
    [name] = backups(lite)
    listed = command(lite, "list").output
    assert name in listed and f"schema {HEAD}" in listed
    assert f"{name} is a good backup." in command(lite, "verify", name).output
    drilled = command(lite, "drill")
    assert f"{name} is a good backup." in drilled.output and "the same values" in drilled.output, drilled.output
    assert runs(lite) == [("backup", "done"), ("verify", "done"), ("drill", "done")]
    refused = command(lite, "restore", name, "--into", "own")
    assert refused.exit_code == 1 and "isn't empty" in refused.output and "--overwrite" in refused.output
    lite.session.execute(text("DELETE FROM task"))
    lite.session.execute(text("UPDATE leads SET first_name = 'Somebody'"))
    lite.session.commit()
    restored = command(lite, "restore", name, "--into", "own", "--overwrite")
    assert restored.exit_code == 0, restored.output
    assert lite.fresh(lead).first_name == lead.first_name


def test_a_restore_sends_no_report_and_no_invitation_again(both: Crm) -> None:
    session, ana = both.session, both.people["ana"].id
    yesterday = datetime.now(UTC) - timedelta(days=1)
    report = Report(owner_id=ana, label="Leads", kind="lead", definition={})
    report.stamp(Stamp(ana, yesterday))
    session.add(report)
    session.flush()
    schedule = ReportSchedule(report_id=report.id, rhythm="daily", at="09:30", format="csv", readers=[ana], failures=0)
    schedule.next_on = yesterday
    schedule.stamp(Stamp(ana, yesterday))
    session.add(schedule)
    session.flush()
    waiting = {"slot": "2020-01-01 09:30", "user_id": ana, "created_on": yesterday, "at": yesterday}
    session.add(ReportRun(schedule_id=schedule.id, state="queued", next_try_on=yesterday, **waiting))
    terms = {"token_hash": "t", "nonce": "n", "expires_on": yesterday + timedelta(days=7), "at": yesterday}
    session.add(Invitation(user_id=ana, address="ana@eshin.in", state="queued", next_try_on=yesterday, **terms))
    session.commit()
    assert command(both, "create").exit_code == 0
    [name] = backups(both)
    done = command(both, "restore", name, "--into", "own", "--overwrite")
    assert "(1 on their way, 1 schedules with a time since)" in done.output, done.output
    assert "Invitations held back: 1." in done.output, done.output
    assert both.rows(select(ReportRun.state, ReportRun.next_try_on)) == [("dropped", None)]
    assert both.rows(select(Invitation.state, Invitation.next_try_on)) == [("unknown", None)]
    assert both.rows(select(ReportSchedule.next_on))[0] > datetime.now(UTC)


def test_a_restored_database_is_fit_to_be_worked_with(both: Crm) -> None:
    session = both.session
    ana = both.people["ana"].id
    sent = both.make.message(state="queued", direction="out", channel="sms", peer="+919820012345", body="x")
    notice = Notification(event_key="k", kind="status", user_id=ana, at=NOW, payload={})
    session.add_all([notice, JobRun(job="expire leads", slot="s", started_on=NOW, outcome="running")])
    session.flush()
    session.add(Delivery(notification_id=notice.id, channel="email", state="queued", at=NOW, tries=0, next_try_on=NOW))
    session.add(NumberSeries(kind="CAR", year=2020, last=5))
    session.add(RememberedBrowser(token_hash="h", user_id=ana, started_on=NOW))
    session.add(TwoFactor(user_id=ana, key_sealed="sealed", last_step=1, confirmed_on=NOW))
    session.add_all(RecoveryCode(user_id=ana, code_hash=f"hash {n}") for n in range(2))
    erased = both.make.customer("ana", first_name="Ravi", mobile="9820099999")
    session.commit()
    assert command(both, "create").exit_code == 0
    [name] = backups(both)
    with both.app.app_context():
        _erase(erased)
    drilled = command(both, "drill")
    assert "Erased again, 1 person who was erased after the backup" in drilled.output, drilled.output
    session.execute(update(NumberSeries).where(NumberSeries.year == 2020).values(last=9))
    session.execute(update(AccessVersion).values(n=2_000_000_000))
    session.commit()
    assert both.client("root").screen("/jobs/").status_code == 200
    done = command(both, "restore", name, "--into", "own", "--overwrite")
    assert "Erased again, 1 person who was erased after the backup" in done.output, done.output
    again = both.fresh(erased)
    assert (again.first_name, again.last_name, again.mobile_e164) == (None, "Erased by request DR-9", None)
    assert both.rows(select(DataErasure.state, DataErasure.request_id)) == [("done", None)]
    assert "Held back" in done.output and "1 messages, 1 emails of notices" in done.output, done.output
    [message] = both.rows(select(Message).where(Message.id == sent.id))
    assert message.state == "unknown" and "may have been sent since. Please decide" in message.reason
    held = select(Delivery.state, Delivery.next_try_on).order_by(Delivery.id).limit(1)  # the next: of the codes
    assert both.rows(held) == [("unknown", None)]
    assert both.rows(select(WebhookDelivery.id)) == []
    assert both.rows(select(JobRun.outcome).where(JobRun.slot == "s")) == ["cut"]
    assert both.rows(select(func.count()).select_from(SignIn).where(SignIn.ended_on.is_(None))) == [0]
    assert both.rows(select(RememberedBrowser.id)) == [] and both.rows(select(RecoveryCode.id)) == []
    assert "All recovery codes were withdrawn" in done.output
    assert both.rows(select(TwoFactor.last_step))[0] > 1_000_000
    [told] = both.rows(select(Notification).where(Notification.kind == "security"))
    assert (told.user_id, told.payload) == (ana, {"what": "recovery codes withdrawn"})
    assert both.client("root").screen("/jobs/").status_code in (302, 401)
    assert both.rows(select(NumberSeries.last).where(NumberSeries.year == 2020)) == [9]
    assert both.rows(select(AccessVersion.n))[0] > 2_000_000_000
    events = both.rows(select(AuditEntry.event).order_by(AuditEntry.seq.desc()).limit(2))
    assert sorted(events) == ["audit record renewed", "restore"]
    assert audit_chain.verify(both.new_session()).broken == 0
    assert runs(both) == [("backup", "cut"), ("backup", "done")] and both.rows(select(BackupRun.name))[1:] == [name]
    with both.app.app_context():  # nothing of it is sent by the sweeps
        for job in ("send messages that wait", "ask what became of messages", "queue what was left"):
            assert jobs.run_now(both.app, job).items == 0
    asked = {"person": "Meera", "kind": "access"}
    assert both.client("root").rest("POST", "data_request/", asked).json["result"]["number"] == "DR-10"
    assert "New ones begin at DR-10." in done.output, "DR-9 is the one by which rows were erased"


def _erase(customer: Any) -> None:
    """Confirm an erasure and do it, as if the request was DR-9."""
    listed = {"number": customer.number, "table": "customer", "id": customer.id, "request": "DR-9"}
    listed |= {"confirmed_on": NOW.isoformat(timespec="seconds"), "accounts_ended_on": None}
    with access.system_transaction() as session:
        erasure_list.begin_missing(session, [listed], NOW)
    state = "running"
    while state == "running":
        with access.system_transaction() as session:
            row = session.scalars(select(DataErasure)).one()
            erasing.step(session, row.id, NOW, timedelta(0))
            state = row.state


def test_the_guide_names_the_commands_and_settings_that_there_are(lite: Crm) -> None:
    guide = (ROOT / "docs" / "backup.md").read_text()
    group: Any = lite.app.cli.commands["backup"]
    told = set(re.findall(r"`backup (\w+)|--app run backup (\w+)", guide))
    assert {one or other for one, other in told} == set(group.commands)
    options = {option for command in group.commands.values() for param in command.params for option in param.opts}
    assert set(re.findall(r"(--[a-z][a-z-]+)", guide)) - {"--app", "--renew-record", "--only"} <= options
    named = {name.removeprefix("CRM_") for name in re.findall(r"CRM_(?:BACKUP|RESTORE)_\w+", guide)}
    named |= {f"BACKUP_KEEP_{period}" for period in ("DAILY", "WEEKLY", "MONTHLY")}  # as `_DAILY`, `_WEEKLY` …
    assert named == set(backup_settings.NAMES)


# --- the schedule


def ask(crm: Crm, kind: str = "backup", name: str | None = None, **columns: Any) -> int:
    row = backup_runs.request_run(crm.session, backup_runs.WantedRun(kind, name), Stamp(None, datetime.now(UTC)))
    for column, value in columns.items():
        setattr(row, column, value)
    crm.session.commit()
    return row.id


def test_a_slot_asks_once_and_the_queue_does_the_work(lite: Crm) -> None:
    for _server in range(2):
        jobs.run_now(lite.app, "back up", datetime(2026, 11, 26, 20, 31, tzinfo=UTC))
    jobs.run_now(lite.app, "back up", datetime(2026, 11, 27, 12, 0, tzinfo=UTC))
    assert lite.rows(select(BackupRun.slot).order_by(BackupRun.id)) == [
        "backup 2026-11-27 02:00",
        "backup 2026-11-27 17:25",
    ]
    assert backups(lite) == []  # the job itself is done in no time
    [first, second] = lite.rows(select(BackupRun.id).order_by(BackupRun.id))
    for key in (first, first, second):
        run(lite, key)
    assert len(backups(lite)) == 1 and runs(lite) == [("backup", "done")] * 2  # within one hour, one stays
    jobs.run_now(lite.app, "drill the newest backup")
    run(lite, lite.rows(select(func.max(BackupRun.id)))[0])
    assert runs(lite)[-1] == ("drill", "done")


def test_a_run_that_was_cut_off_is_begun_again_and_given_up_in_the_end(lite: Crm) -> None:
    silent: dict[str, Any] = {"outcome": "running", "seen_on": datetime.now(UTC) - timedelta(minutes=6)}
    again, lost = ask(lite, **silent, tries=1), ask(lite, **silent, tries=3)
    alive = ask(lite, outcome="running", seen_on=datetime.now(UTC), tries=1)
    jobs.run_now(lite.app, "start backups and drills")
    found = dict(lite.rows(select(BackupRun.id, BackupRun.outcome)))
    assert found == {again: "waiting", lost: "failed", alive: "running"}
    assert notices_of(lite) == ["The backup failed: It was cut off 3 times and is given up."]


def test_a_failure_is_told_once_and_what_is_there_stays(lite: Crm) -> None:
    first = ask(lite)
    run(lite, first)
    folder = lite.app.config["CRM"].backup.folder
    folder.joinpath("files").rmdir()
    folder.joinpath("files").write_text("in the way")
    failed = ask(lite)
    run(lite, failed)
    run(lite, failed)
    [row] = lite.rows(select(BackupRun).where(BackupRun.id == failed))
    assert row.outcome == "failed" and "can't be used" in row.error
    assert len(backups(lite)) == 1 and len(notices_of(lite)) == 1
    assert notices_of(lite)[0].startswith("The backup failed: ")


@pytest.mark.parametrize(
    ("backup_age", "drill_age", "said"),
    [
        (23, 23, []),
        (25, 23, ["The last good backup is more than a day old. Please check the backups page."]),
        (2, 25, ["The last good restore drill is more than a day old. Please check the backups page."]),
    ],
)
def test_old_backups_and_drills_are_told_once_a_day(
    lite: Crm, backup_age: int, drill_age: int, said: list[str]
) -> None:
    now = datetime.now(UTC)
    for kind, hours in (("backup", backup_age), ("drill", drill_age)):
        ask(lite, kind, outcome="done", ended_on=now - timedelta(hours=hours))
        ask(lite, kind, outcome="failed", ended_on=now)
    for _time in range(2):
        jobs.run_now(lite.app, "watch the age of backups", now)
    assert notices_of(lite) == said


def test_a_new_installation_has_a_day_until_its_first_backup(lite: Crm) -> None:
    now = datetime.now(UTC)
    jobs.run_now(lite.app, "watch the age of backups", now)
    assert notices_of(lite) == []
    lite.session.execute(update(JobRun).values(started_on=now - timedelta(hours=25)))
    lite.session.commit()
    jobs.run_now(lite.app, "watch the age of backups", now)
    assert len(notices_of(lite)) == 2


def test_a_deletion_spares_the_only_backup_and_is_audited(lite: Crm) -> None:
    for _time in range(2):
        run(lite, ask(lite))
    first, second = backups(lite)
    run(lite, ask(lite, "delete", first))
    run(lite, ask(lite, "delete", second))
    assert backups(lite) == [second] and runs(lite)[-2:] == [("delete", "done"), ("delete", "failed")]
    assert lite.rows(select(BackupRun.name).where(BackupRun.deleted_on.is_not(None))) == [first]
    assert [row.about for row in lite.rows(select(AuditEntry).where(AuditEntry.event == "deletion"))] == [
        f"backup {first}"
    ]
    assert "is the only backup" in notices_of(lite)[-1]


# --- the page


def sent(crm: Crm, who: str, path: str) -> Any:
    client = crm.client(who)
    return client.browser.post(path, data={"csrf_token": client.token})


def test_the_page_shows_backups_and_asks_for_runs(lite: Crm) -> None:
    page = lite.client("root").screen("/backups/").text
    assert "No backups yet" in page and "There has been none yet." in page
    for _time in range(2):
        sent(lite, "root", "/backups/now")
    assert runs(lite) == [("backup", "waiting")]  # the second one was refused
    run(lite, lite.rows(select(BackupRun.id))[0])
    [row] = lite.rows(select(BackupRun))
    for kind in ("verify", "drill", "delete"):
        assert sent(lite, "root", f"/backups/{kind}/{row.id}").status_code == 302
        run(lite, lite.rows(select(func.max(BackupRun.id)))[0])
    page = lite.client("root").screen("/backups/").text
    assert row.name in page and "Restore drill: done" in page and "is the only backup" in page
    assert page.count("Root Shah") >= 4 and "Command line" not in page
    assert str(lite.app.config["CRM"].backup.folder) in page


def test_backups_are_for_admins_only(lite: Crm) -> None:
    run(lite, ask(lite))
    [key] = lite.rows(select(BackupRun.id))
    before = lite.rows(select(BackupRun.id, BackupRun.outcome))
    for who in ("ana", "mia", "rhea"):
        assert lite.client(who).screen("/backups/").status_code in (302, 403)
        for path in ("now", f"verify/{key}", f"drill/{key}", f"delete/{key}"):
            assert sent(lite, who, f"/backups/{path}").status_code in (302, 403)
    assert sent(lite, "root", "/backups/verify/999999").status_code == 404
    assert lite.client("root").browser.post(f"/backups/delete/{key}").status_code == 400  # no token
    assert lite.rows(select(BackupRun.id, BackupRun.outcome)) == before


@pytest.mark.parametrize("words", [["user", "list"], ["self-test"], ["customer", "duplicates"], ["api-key", "create"]])
def test_no_command_reads_or_changes_half_a_restore(maria: Crm, words: list[str]) -> None:
    database = open_database(maria.app.config["CRM"].database_url)
    given = [*words, "--user", "root"] if words[0] == "api-key" else words
    maria.session.close()
    database.mark(is_restoring=True)
    try:
        done = maria.app.test_cli_runner().invoke(args=given)
        assert done.exit_code == 1 and "A restore into this database is going on or was cut off" in done.output
        assert "root" not in done.output
    finally:
        database.mark(is_restoring=False)
    assert maria.app.test_cli_runner().invoke(args=["user", "list"]).exit_code == 0
