"""Files of records: attached, shown, versions, trash, quotas and scans, with the access rules of the record."""

from __future__ import annotations

import errno
import io
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select, update
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.test import encode_multipart

from app import jobs
from app.domain.audit_log.audit import AuditEntry
from app.domain.files import attachments, file_quotas
from app.domain.maintenance import retention
from app.domain.timeline import Activity
from app.inbound import message_file_fetch
from app.models import Attachment, BusinessSetting, FileUsage, Lead
from app.ops.queues import queue
from app.ops.storage.file_store import FolderStore
from app.ops.storage.virus_scanner import FileNotScanned, Scanner, ScannerUnavailable
from tests import sample_uploads
from tests.app_fixtures import Crm
from tests.factories import NOW

JPEG = sample_uploads.picture()
#: What the scanner's double finds a virus in.
VIRUS = b"X5O!P%@AP harmless test"


def send(client: Any, url: str, *chosen: tuple[str, bytes], accept: str = "text/html", **fields: str) -> Any:
    """Send a form with these files."""
    each = [FileStorage(io.BytesIO(content), name) for name, content in chosen]
    boundary, body = encode_multipart(MultiDict({"csrf_token": client.token, "files": each, **fields}))
    kind = f"multipart/form-data; boundary={boundary}"
    return client.browser.post(url, data=body, content_type=kind, headers={"Accept": accept})


def by_script(client: Any, url: str, name: str, content: bytes) -> Any:
    return send(client, url, (name, content), accept="application/json")


class FullStore(FolderStore):
    """A store on a full disk."""

    def put(self, content: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")


def rows(crm: Crm) -> list[Attachment]:
    return crm.rows(select(Attachment).order_by(Attachment.id))


def lines(crm: Crm) -> list[Any]:
    found = crm.rows(select(Activity).where(Activity.kind == "file").order_by(Activity.id))
    return [(each.payload["what"], each.payload["name"]) for each in found]


def setting(crm: Crm, key: str, value: Any) -> None:
    crm.session.execute(delete(BusinessSetting).where(BusinessSetting.key == key))
    crm.session.add(BusinessSetting(key=key, value=value))
    crm.session.commit()


# --- attached and handed out


def test_files_are_attached_to_each_kind_of_record_and_to_notes(crm: Crm) -> None:
    ana, root, make = crm.client("ana"), crm.client("root"), crm.make
    lead = make.lead("ana")
    about = {"lead": lead, "ticket": make.ticket("cleo"), "customer": make.customer("ana"), "task": make.task(lead)}
    for kind, row in about.items():
        page = send(root, f"/files/of/{kind}/{row.id}", ("form.jpg", JPEG), ("list.pdf", sample_uploads.PDF))
        assert page.headers["Location"] == f"/files/of/{kind}/{row.id}"
        shown = root.screen(page.headers["Location"]).text
        assert "form.jpg" in shown and "list.pdf" in shown and "/preview" in shown and "Root Shah" in shown
    assert crm.count(Attachment) == 8 and len({each.digest for each in rows(crm)}) == 2
    send(ana, f"/leads/note/{lead.id}", ("scan.pdf", sample_uploads.PDF))  # without a text nothing is taken
    assert crm.count(Attachment) == 8
    assert send(ana, f"/leads/note/{lead.id}", ("scan.pdf", sample_uploads.PDF), body="See").status_code == 302
    row = rows(crm)[-1]
    line = crm.rows(select(Activity).where(Activity.id == row.activity_id))[0]
    assert (row.lead_id, line.payload["text"], line.payload["files"]) == (lead.id, "See", [[row.id, "scan.pdf"]])
    shown = ana.screen(f"/leads/show/{lead.id}").text
    assert f'href="/files/{row.id}"' in shown and "attached form.jpg" in shown and f"/files/of/lead/{lead.id}" in shown
    assert "scan.pdf" in ana.screen(f"/files/of/note/{line.id}").text
    assert ("attached", "form.jpg") in lines(crm)


def test_what_is_handed_out_is_never_run(crm: Crm) -> None:
    lead, ana = crm.make.lead("ana"), crm.client("ana")
    for name, content in (
        ("page.html", sample_uploads.HTML),
        ("logo.svg", sample_uploads.SVG),
        ("form.pdf", sample_uploads.PDF),
        ("a.jpg", JPEG),
    ):
        made = by_script(ana, f"/files/of/lead/{lead.id}", name, content)
        assert made.status_code == 201, made.text
        got = ana.screen(made.json["url"])
        assert got.data == content and got.headers["Content-Disposition"].startswith(f'attachment; filename="{name}"')
        assert (
            got.headers["X-Content-Type-Options"] == "nosniff" and "sandbox" in got.headers["Content-Security-Policy"]
        )
        assert got.mimetype == ("image/jpeg" if name == "a.jpg" else "application/octet-stream")
        view = ana.screen(f"{made.json['url']}/view", headers={"Sec-Fetch-Dest": "iframe"})
        assert (view.data == content) is (name == "form.pdf") and view.status_code in (200, 404)
    pdf = rows(crm)[2].id
    framed = ana.screen(f"/files/{pdf}/view", headers={"Sec-Fetch-Dest": "iframe"})
    assert (
        framed.data == sample_uploads.PDF
        and framed.mimetype == "application/pdf"
        and framed.headers["X-Frame-Options"] == "SAMEORIGIN"
    )
    alone = ana.screen(f"/files/{pdf}/view", headers={"Sec-Fetch-Dest": "document"})
    assert alone.data == sample_uploads.PDF and alone.headers["Content-Disposition"].startswith("attachment")
    small = ana.screen(f"/files/{rows(crm)[3].id}/preview")
    assert small.mimetype == "image/jpeg" and len(small.data) < len(JPEG)


def test_files_follow_the_rules_of_their_record(crm: Crm) -> None:
    lead = crm.make.lead("ana")
    made = by_script(crm.client("ana"), f"/files/of/lead/{lead.id}", "a.jpg", JPEG).json["id"]
    assert crm.client("mia").screen(f"/files/{made}").data == JPEG
    for who in ("ben", "cleo"):
        client = crm.client(who)
        for url in (f"/files/{made}", f"/files/{made}/preview", f"/files/of/lead/{lead.id}"):
            assert client.screen(url).status_code == 404, (who, url)
        for path in (f"file/{made}", f"file/{made}/content", f"file/{made}/preview"):
            assert client.rest("GET", path).status_code == 404, (who, path)
        for url in (f"/files/of/lead/{lead.id}", f"/files/{made}/version"):
            assert by_script(client, url, "b.jpg", JPEG).status_code == 404, (who, url)
        assert client.form(f"/files/{made}/delete").status_code == 404
        assert client.rest("DELETE", f"file/{made}").status_code == 404
        listed = client.rest(
            "GET", "file/", q={"filters": [{"col": "record", "opr": "eq", "value": f"lead:{lead.id}"}]}
        )
        assert listed.json["count"] == 0
    rhea = crm.client("rhea")  # reads all, changes nothing
    assert rhea.screen(f"/files/{made}").data == JPEG
    assert by_script(rhea, f"/files/of/lead/{lead.id}", "b.jpg", JPEG).status_code == 403
    assert rhea.form(f"/files/{made}/delete").status_code == 403
    assert crm.client(None).screen(f"/files/{made}").status_code in (302, 401)
    assert crm.count(Attachment) == 1 and rows(crm)[0].deleted_on is None


def test_a_preview_that_a_browser_keeps_is_asked_for_each_time(crm: Crm) -> None:
    lead, ana = crm.make.lead("ana"), crm.client("ana")
    url = f"/files/{by_script(ana, f'/files/of/lead/{lead.id}', 'a.jpg', JPEG).json['id']}/preview"
    first = ana.screen(url)
    assert first.headers["Cache-Control"] == "private, no-cache" and first.data
    known = {"If-None-Match": first.headers["ETag"]}
    again = ana.screen(url, headers=known)
    assert (again.status_code, again.data) == (304, b"")
    crm.make.cell("Sales User", "Notes", "read", "none")
    assert ana.screen(url, headers=known).status_code in (403, 404)


#: Name, content or what makes it, what the sentence says.
BAD: list[tuple[str, Any, str]] = [
    ("run.pdf", sample_uploads.PROGRAM, "program"),
    ("setup.exe", b"text", "program"),
    ("letter.docx", sample_uploads.bomb, "harm computers"),
    ("nothing.pdf", b"", "empty"),
    ("video.mp4", lambda: sample_uploads.MP4 + b"\0" * 25_500_000, "larger than 25 MB"),
]


def test_a_bad_file_is_refused_in_words_and_the_others_are_kept(crm: Crm) -> None:
    lead, ana = crm.make.lead("ana"), crm.client("ana")
    for name, content, words in BAD:
        answer = by_script(ana, f"/files/of/lead/{lead.id}", name, content() if callable(content) else content)
        assert answer.status_code == 422 and words in answer.json["message"] and name in answer.json["message"], name
    send(ana, f"/files/of/lead/{lead.id}", ("nothing.pdf", b""), ("good.pdf", sample_uploads.PDF))
    page = ana.screen(f"/files/of/lead/{lead.id}").text
    assert "is empty" in page and [each.name for each in rows(crm)] == ["good.pdf"]
    for given, stored in (
        ("../../etc/pass\0wd", "passwd.pdf"),
        ("\u202efdp.form", "fdp.form.pdf"),
        ("x" * 400 + ".pdf", "x" * 116 + ".pdf"),
    ):
        made = by_script(ana, f"/files/of/lead/{lead.id}", given, sample_uploads.PDF + given.encode())
        assert made.json["name"] == stored
    heic = by_script(ana, f"/files/of/lead/{lead.id}", "photo.jpg", sample_uploads.HEIC)
    assert heic.json["name"] == "photo.jpg.heic" and rows(crm)[-1].preview is None
    too_long = {"CONTENT_LENGTH": "100000000"}
    huge = ana.browser.post(f"/files/of/lead/{lead.id}", environ_overrides=too_long)
    assert huge.status_code == 413 and "25 MB" in huge.text


# --- versions and trash


def test_a_full_disk_is_named_and_nothing_half_is_left(
    crm: Crm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not as a storage that can't be reached: to try again is of no use."""
    lead, ana = crm.make.lead("ana"), crm.client("ana")
    url, sentence = f"/files/of/lead/{lead.id}", "disk is full. Please tell your admin."
    with monkeypatch.context() as patched:
        patched.setitem(crm.app.extensions, "crm_files", FullStore(tmp_path))
        answer = by_script(ana, url, "new.jpg", JPEG)
        assert (answer.status_code, answer.json["message"]) == (
            503,
            f"“new.jpg” could not be kept: the server's {sentence}",
        )
    assert rows(crm) == [] and by_script(ana, url, "new.jpg", JPEG).status_code == 201


def test_versions_same_content_and_the_offer_to_join(crm: Crm) -> None:
    lead, ana = crm.make.lead("ana"), crm.client("ana")
    url = f"/files/of/lead/{lead.id}"
    first = by_script(ana, url, "Contract.pdf", sample_uploads.PDF)
    again = by_script(ana, url, "contract.pdf", sample_uploads.PDF)
    assert (again.status_code, again.json["id"]) == (200, first.json["id"])
    second = by_script(ana, f"/files/{first.json['id']}/version", "contract.pdf", sample_uploads.PDF + b"2")
    twin = by_script(ana, url, "contract.pdf", sample_uploads.PDF + b"3")
    page = ana.screen(url).text
    assert "version 2" in page and f"/files/{twin.json['id']}/join/{second.json['id']}" in page
    assert ana.form(f"/files/{twin.json['id']}/join/{second.json['id']}").status_code == 302
    assert [(each.number, each.series == rows(crm)[0].series) for each in rows(crm)] == [
        (1, True),
        (2, True),
        (3, True),
    ]
    page = ana.screen(url).text
    assert page.count("data-file=") == 1 and "Former versions" in page
    assert ana.screen(f"/files/{first.json['id']}").data == sample_uploads.PDF
    assert [what for what, _name in lines(crm)] == ["attached", "version", "attached", "version"]
    other = crm.make.lead("ana")
    foreign = by_script(ana, f"/files/of/lead/{other.id}", "contract.pdf", sample_uploads.PDF).json["id"]
    page = ana.form(f"/files/{foreign}/join/{first.json['id']}", headers={"HX-Request": "1"})
    assert page.status_code == 422


def test_a_version_of_ones_own_deletes_no_version_of_others(crm: Crm) -> None:
    crm.make.cell("Sales User", "Leads", "read", "all")
    lead, ana, ben = crm.make.lead("ana"), crm.client("ana"), crm.client("ben")
    url = f"/files/of/lead/{lead.id}"
    contract = by_script(ana, url, "contract.pdf", sample_uploads.PDF).json["id"]
    assert ben.form(f"/files/{contract}/delete").status_code == 403
    newer = by_script(ben, f"/files/{contract}/version", "contract.pdf", sample_uploads.PDF + b"2").json["id"]
    joined = by_script(ben, url, "contract.pdf", sample_uploads.PDF + b"3").json["id"]
    assert ben.form(f"/files/{joined}/join/{newer}").status_code == 302
    for key in (newer, joined):
        assert ben.form(f"/files/{key}/delete").status_code == 403
        assert ben.rest("DELETE", f"file/{key}").status_code == 403
    assert [each.deleted_on for each in rows(crm)] == [None] * 3
    assert ana.form(f"/files/{newer}/delete").status_code == 302, "it is ana's lead"
    assert ben.form(f"/files/{newer}/restore").status_code == 403
    assert all(each.deleted_on for each in rows(crm))


def test_a_deleted_file_can_be_restored_until_it_is_gone_for_good(crm: Crm) -> None:
    lead, ana = crm.make.lead("ana"), crm.client("ana")
    made = by_script(ana, f"/files/of/lead/{lead.id}", "a.jpg", JPEG).json["id"]
    done = ana.form(f"/files/{made}/delete", headers={"HX-Request": "1"}).text
    assert "was deleted" in done and f"/files/{made}/restore" in done
    assert crm.rows(select(AuditEntry.about).where(AuditEntry.event == "deletion")) == [f"file {made}"]
    assert ana.rest("GET", f"file/{made}").status_code == 404
    ana.form(f"/files/{made}/restore")
    assert rows(crm)[0].deleted_on is None and ana.rest("GET", f"file/{made}").status_code == 200
    assert ana.rest("DELETE", f"file/{made}").status_code == 200
    assert ana.rest("POST", f"file/{made}/restore").json["result"]["name"] == "a.jpg"
    ana.form(f"/files/{made}/delete")
    assert crm.rows(select(FileUsage.bytes).where(FileUsage.user_id == 0)) == [len(JPEG)]
    deleted_on = rows(crm)[0].deleted_on
    assert deleted_on is not None
    late = deleted_on + timedelta(days=31)
    with crm.new_session() as session:
        found = retention.find(session, late, 100)
        assert retention.forget(session, [each for each in found.rows if each.kind == "deleted files"], late) == 1
        session.commit()
    assert rows(crm) == [] and crm.rows(select(func.sum(FileUsage.bytes))) == [0]
    assert [what for what, _name in lines(crm)] == [
        "attached",
        "deleted",
        "restored",
        "deleted",
        "restored",
        "deleted",
    ]


# --- quotas


def test_a_quota_is_decided_by_the_database(maria: Crm) -> None:
    lead = maria.make.lead("ana")
    setting(maria, "file_person_mb", 1)
    pieces = [bytes([65 + n]) * 300_000 for n in range(8)]

    def attach(n: int) -> int:
        return int(by_script(maria.client("ana"), f"/files/of/lead/{lead.id}", f"{n}.txt", pieces[n]).status_code)

    with ThreadPoolExecutor(4) as threads:
        codes = sorted(threads.map(attach, range(8)))
    assert codes == [201] * 3 + [422] * 5 and maria.count(Attachment) == 3
    assert maria.rows(select(func.sum(FileUsage.bytes))) == [1_800_000]
    said = by_script(maria.client("ana"), f"/files/of/lead/{lead.id}", "x.txt", pieces[0] + b"!").json["message"]
    assert "1 MB" in said and "delete some" in said
    setting(maria, "file_total_mb", 1)
    said = by_script(maria.client("mia"), f"/files/of/lead/{lead.id}", "y.txt", pieces[7] + b"!").json["message"]
    assert "your company has used its 1 MB" in said
    page = maria.client("root").screen("/settings/files/").text
    assert "0.9 of 1 MB" in page and "Ana Shah" in page and "90 %" in page
    # A record that is deleted takes its files along; the night counts anew
    maria.session.execute(delete(Lead).where(Lead.id == lead.id))
    assert file_quotas.recount(maria.session) == 2
    maria.session.commit()
    assert maria.rows(select(func.sum(FileUsage.bytes))) == [0]


def test_quotas_are_set_on_the_page_of_files(crm: Crm) -> None:
    root = crm.client("root")
    version = root.screen("/settings/files/").text.partition('name="version" value="')[2].partition('"')[0]
    good = {"version": version, "file_person_mb": "10", "file_total_mb": "500", "file_scan_rule": "accept"}
    bad = root.form("/settings/files/", good | {"file_person_mb": "0"})
    assert bad.status_code == 422 and "whole number from 1" in bad.text
    assert root.form("/settings/files/", good).status_code == 302
    assert root.form("/settings/files/", good).status_code == 409
    stored = {each.key: each.value for each in crm.rows(select(BusinessSetting))}
    assert stored == {"file_person_mb": 10, "file_total_mb": 500, "file_scan_rule": "accept"}
    assert crm.client("ana").screen("/settings/files/").status_code == 403


# --- viruses


class Clamd:
    """Speaks clamd's protocol as far as INSTREAM goes."""

    def __init__(self) -> None:
        self.client = socket.create_server(("127.0.0.1", 0))
        self.port = self.client.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                line, _address = self.client.accept()
            except OSError:
                return
            with line, line.makefile("rb") as said:
                assert said.read(10) == b"zINSTREAM\0"
                content = b""
                while size := struct.unpack("!I", said.read(4))[0]:
                    content += said.read(size)
                line.sendall(b"stream: Test-Virus FOUND\0" if VIRUS in content else b"stream: OK\0")

    def close(self) -> None:
        self.client.close()


@pytest.fixture
def clamd(crm: Crm) -> Iterator[Clamd]:
    made = Clamd()
    crm.app.extensions["crm_scanner"] = Scanner("127.0.0.1", made.port)
    yield made
    made.close()
    crm.app.extensions["crm_scanner"] = None


def run_calls(crm: Crm) -> None:
    with crm.app.app_context():
        while queue._backend.run_waiting():  # type: ignore[union-attr]
            pass


def test_infected_files_are_refused_and_audited(crm: Crm, clamd: Clamd) -> None:
    lead, ana = crm.make.lead("ana"), crm.client("ana")
    bad = by_script(ana, f"/files/of/lead/{lead.id}", "bad.txt", VIRUS)
    assert bad.status_code == 422 and "Test-Virus" in bad.json["message"] and crm.count(Attachment) == 0
    (entry,) = crm.rows(select(AuditEntry).where(AuditEntry.event == "infected file"))
    assert (entry.about, entry.payload) == ("bad.txt", {"threat": "Test-Virus"})
    assert by_script(ana, f"/files/of/lead/{lead.id}", "good.txt", b"Hello").status_code == 201
    assert rows(crm)[0].scan == "clean"


def test_while_the_scanner_is_away_the_setting_decides(crm: Crm, clamd: Clamd) -> None:
    lead, ana = crm.make.lead("ana"), crm.client("ana")
    scanner = crm.app.extensions["crm_scanner"]
    crm.app.extensions["crm_scanner"] = Scanner("127.0.0.1", 9)
    said = by_script(ana, f"/files/of/lead/{lead.id}", "a.txt", b"Hello")
    assert said.status_code == 503 and "scanner" in said.json["message"] and crm.count(Attachment) == 0
    setting(crm, "file_scan_rule", "accept")
    for name, content in (("a.txt", b"Hello"), ("b.txt", VIRUS)):
        assert by_script(ana, f"/files/of/lead/{lead.id}", name, content).status_code == 201
    assert "not scanned yet" in ana.screen(f"/files/of/lead/{lead.id}").text
    assert "2 not scanned yet" in crm.client("root").screen("/settings/files/").text
    for place, states in ((Scanner("127.0.0.1", 9), ["waiting"] * 2), (scanner, ["clean", "infected"])):
        crm.app.extensions["crm_scanner"] = place
        with crm.app.app_context():
            jobs.run_now(crm.app, "scan files that wait")
        run_calls(crm)
        assert [each.scan for each in rows(crm)] == states
    assert ana.screen(f"/files/{rows(crm)[1].id}").status_code == 403
    assert lines(crm)[-1] == ("infected", "b.txt")
    assert "Test-Virus" in ana.screen(f"/leads/show/{lead.id}").text


def test_a_scanner_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.ops.storage.virus_scanner.SECONDS", 0.3)
    monkeypatch.setattr("app.ops.storage.virus_scanner.PING_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ScannerUnavailable) as away:
        Scanner("127.0.0.1", silent.getsockname()[1]).threat_in(io.BytesIO(b"x"))
    assert not isinstance(away.value, FileNotScanned)


@pytest.mark.parametrize("answer", [b"INSTREAM size limit exceeded. ERROR\0", b"stream: O", b"", None])
@pytest.mark.parametrize("has_pong", [True, False])
def test_a_file_that_is_refused_is_told_from_a_scanner_that_is_away(
    monkeypatch: pytest.MonkeyPatch, answer: bytes | None, has_pong: bool
) -> None:
    """It refuses, answers half, hangs up, or falls silent."""
    monkeypatch.setattr("app.ops.storage.virus_scanner.SECONDS", 0.5)
    is_told = answer is not None and answer.endswith(b"ERROR\0")

    def serve(server: socket.socket) -> None:
        with suppress(OSError):
            line, _address = server.accept()
            heard = more = line.recv(1000)
            while more and is_told and not heard.endswith(bytes(4)):  # the unread would reset the line with its answer
                heard += (more := line.recv(1000))
            with line:
                if answer is not None:
                    line.sendall(answer)
                    line.close()
                pinged, _address = server.accept()
                with pinged:
                    assert pinged.recv(100) == b"zPING\0"
                    pinged.sendall(b"PONG\0" if has_pong else b"")

    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(ScannerUnavailable) as refused:
        threading.Thread(target=serve, args=[server], daemon=True).start()
        Scanner("127.0.0.1", server.getsockname()[1]).threat_in(io.BytesIO(b"x" * (100 if is_told else 1_500_000)))
    assert isinstance(refused.value, FileNotScanned) is (has_pong or is_told)


# --- REST


def test_files_over_rest(crm: Crm) -> None:
    lead, ana = crm.make.lead("ana"), crm.client("ana")

    def post(name: str, content: bytes, **form: Any) -> Any:
        data = {"file": (io.BytesIO(content), name), **form}
        return ana.rest("POST", "file/", data=data, content_type="multipart/form-data")

    made = post("form.pdf", sample_uploads.PDF, record=f"lead:{lead.id}")
    assert made.status_code == 201 and made.json["result"]["record"] == {"kind": "lead", "id": lead.id}
    key = made.json["id"]
    assert post("form.pdf", sample_uploads.PDF, record=f"lead:{lead.id}").status_code == 200
    assert post("form.pdf", sample_uploads.PDF + b"2", replaces=key).json["result"]["number"] == 2
    for form in ({}, {"record": "house:1"}, {"record": "lead:x"}, {"record": "lead:99999"}, {"replaces": "99999"}):
        assert post("a.pdf", sample_uploads.PDF, **form).status_code in (404, 422), form
    listed = ana.rest("GET", "file/", q={"filters": [{"col": "record", "opr": "eq", "value": f"lead:{lead.id}"}]}).json
    assert listed["count"] == 2 and {each["name"] for each in listed["result"]} == {"form.pdf"}
    got = ana.rest("GET", f"file/{key}/content")
    assert got.data == sample_uploads.PDF and got.mimetype == "application/octet-stream"
    assert ana.rest("GET", f"file/{key}/preview").status_code == 404
    picture = post("a.jpg", JPEG, record=f"lead:{lead.id}").json["id"]
    small = ana.rest("GET", f"file/{picture}/preview")
    assert small.data.startswith(b"\xff\xd8") and small.mimetype == "application/octet-stream"  # as the API says
    assert ana.rest("PUT", f"file/{key}", {"name": "x"}).status_code == 405


def test_the_predecessors_clients_attach_to_records(crm: Crm) -> None:
    lead, ana = crm.make.lead("ana"), crm.client("ana")
    data = {"file": (io.BytesIO(sample_uploads.PDF), "form.pdf"), "doctype": "CRM Lead", "docname": lead.number}
    made = ana.rest("POST", "/api/method/upload_file", data=data, content_type="multipart/form-data").json["message"]
    assert (made["file_name"], made["attached_to_name"]) == ("form.pdf", lead.number)
    assert ana.rest("GET", made["file_url"]).data == sample_uploads.PDF
    told = ana.rest("GET", f"/api/method/crm.api.activities.get_activities?name={lead.number}").json["message"]
    assert [each["file_name"] for each in told[4]] == ["form.pdf"]
    data = {"file": (io.BytesIO(sample_uploads.PDF), "x.pdf"), "doctype": "CRM Lead", "docname": lead.number}
    other = crm.client("ben").rest("POST", "/api/method/upload_file", data=data, content_type="multipart/form-data")
    assert other.status_code in (403, 404) and crm.count(Attachment) == 1


def test_files_are_kept_while_a_row_names_them(crm: Crm) -> None:
    lead = crm.make.lead("ana")
    by_script(crm.client("ana"), f"/files/of/lead/{lead.id}", "a.jpg", JPEG)
    store = crm.app.extensions["crm_files"]
    before = NOW + timedelta(days=90_000)
    with crm.new_session() as session:
        assert message_file_fetch.forgotten(session, store, before, 10) == []
        session.execute(update(Attachment).values(deleted_on=NOW))
        session.commit()
        assert message_file_fetch.forgotten(session, store, before, 10) == []
        assert attachments.purge(session, [rows(crm)[0].id], before) == 1
        session.commit()
        assert len(message_file_fetch.forgotten(session, store, before, 10)) == 2
