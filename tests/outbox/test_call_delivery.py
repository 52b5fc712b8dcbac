"""Calls are dialed once and within a minute; recordings are fetched once, and only audio is stored."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from app import jobs
from app.channels import provider_registry
from app.channels.base import ChannelError, DeliveryUnknown
from app.channels.http_client import HttpClient, HttpRequest
from app.channels.provider import CallUpdate, Media, OutgoingCall, ProviderAcceptance, ProviderKind, ProviderRefusal
from app.domain.base import Stamp
from app.domain.inbound import provider_events
from app.domain.messaging import channel_accounts
from app.domain.messaging.channel_accounts import AccountSettings
from app.domain.telephony import recordings
from app.inbound import inbound_virus_scans, recording_fetch, storage_waits
from app.job_runner import run_slot
from app.lib import sample_audio
from app.models import Activity, AuditEntry, CallCard, CallLog, CallRecording, CallRequest, User
from app.ops.queues import queue
from app.ops.storage.file_store import StorageUnavailable
from app.ops.storage.virus_scanner import ScannerUnavailable
from app.outbox import call_delivery
from tests.app_fixtures import Crm
from tests.outbox.fake_provider import CarrierClient

PEER, MOBILE = "+919820012345", "+919811100001"


class Line(CarrierClient):
    """A telephone provider; what it was asked to dial is in `dialed`."""

    dialed: list[OutgoingCall] = []
    fault: Callable[[], None] = staticmethod(lambda: None)
    file: Callable[[], bytes] = staticmethod(lambda: sample_audio.wav_tone(1))

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.http = HttpClient("https://line.example", 1)

    def call(self, call: OutgoingCall) -> ProviderAcceptance:
        """As it is told."""
        type(self).fault()
        self.dialed.append(call)
        return ProviderAcceptance(f"L{len(self.dialed)}")

    def fetch(self, media: Media, max_bytes: int) -> tuple[str, bytes]:
        """The made-up file; addresses on the web are asked for like those of real providers."""
        if media.address.startswith("http"):
            return "audio/mpeg", self.http.fetch(HttpRequest("GET", media.address, max_bytes=max_bytes), ()).body
        return "audio/mpeg", type(self).file()


KIND = ProviderKind("line", "Line", ("voice",), (), Line)


@pytest.fixture(autouse=True)
def line(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> type[Line]:
    monkeypatch.setitem(provider_registry.KINDS, "line", KIND)
    for name in ("fault", "file"):
        monkeypatch.setattr(Line, name, Line.__dict__[name])
    monkeypatch.setattr(Line, "dialed", [])
    return Line


@pytest.fixture
def account(crm: Crm) -> Any:
    return prepare(crm)


def prepare(crm: Crm) -> Any:
    made = channel_accounts.create(crm.session, KIND, AccountSettings("Line"), Stamp(None, now()), crm.vault)
    numbers = {"mobile": MOBILE, "mobile_e164": MOBILE}
    crm.session.execute(update(User).where(User.username == "cleo").values(numbers))
    crm.session.commit()
    return made


def now() -> datetime:
    return datetime.now(UTC)


def click(crm: Crm, kind: str, key: int) -> Any:
    return crm.client("cleo").rest("POST", "call_log/dial", {kind: key})


def request_of(crm: Crm, call_id: int) -> CallRequest:
    crm.session.commit()
    crm.session.expire_all()
    return crm.session.scalars(select(CallRequest).where(CallRequest.call_id == call_id)).one()


def run_calls(crm: Crm) -> int:
    with crm.app.app_context():
        return int(queue._backend.run_waiting())  # type: ignore[union-attr]


def send(crm: Crm, key: int) -> None:
    with crm.app.app_context():
        call_delivery.send(key)


def run_job(crm: Crm, name: str) -> None:
    job = next(each for each in jobs.SCHEDULE if each.name == name)
    with crm.app.app_context():
        run_slot(crm.app.extensions["crm_jobs"], job, (now().isoformat()[:30], now()), now())


def raiser(error: Exception) -> Any:
    def fault() -> None:
        raise error

    return staticmethod(fault)


def test_a_click_rings_the_person_and_connects_the_customer(crm: Crm, make: Any, account: Any) -> None:
    ticket = make.ticket("cleo", mobile=PEER)
    answer = click(crm, "ticket", ticket.id)
    assert answer.status_code == 201 and answer.json["purpose"] == "service"
    key = answer.json["id"]
    assert run_calls(crm) == 1
    (dialed,) = Line.dialed
    assert (dialed.key, dialed.person, dialed.customer) == (f"c{key}", MOBILE, PEER)
    assert dialed.status_url.endswith(channel_accounts.token_of(account, crm.vault))
    assert (request_of(crm, key).state, crm.session.get_one(CallLog, key).status) == ("sent", "Initiated")
    send(crm, request_of(crm, key).id)
    assert click(crm, "ticket", ticket.id).status_code == 200 and run_calls(crm) == 0
    assert len(Line.dialed) == 1


@pytest.mark.parametrize(
    "error, state, status",
    [
        (ProviderRefusal("No such number.", permanent=True), "failed", "Failed"),
        (DeliveryUnknown("No answer from +91 98200 12345."), "unknown", "Queued"),
        (ValueError("a fault of ours"), "unknown", "Queued"),
    ],
)
def test_what_went_wrong_is_told_and_never_dialed_again(
    crm: Crm, make: Any, account: Any, error: Exception, state: str, status: str
) -> None:
    Line.fault = raiser(error)
    key = click(crm, "ticket", make.ticket("cleo", mobile=PEER).id).json["id"]
    run_calls(crm)
    row = request_of(crm, key)
    assert (row.state, crm.session.get_one(CallLog, key).status) == (state, status)
    assert row.error and "98200" not in row.error
    assert (row.line_of is None) is (state == "failed")
    Line.fault = staticmethod(lambda: None)
    run_job(crm, "settle calls that wait")
    assert run_calls(crm) == 0 and Line.dialed == []


def test_a_refusal_for_now_is_tried_again_within_the_minute(crm: Crm, make: Any, account: Any) -> None:
    Line.fault = raiser(ChannelError("Busy."))
    key = click(crm, "ticket", make.ticket("cleo", mobile=PEER).id).json["id"]
    run_calls(crm)
    row = request_of(crm, key)
    assert (row.state, row.tries) == ("queued", 1)
    Line.fault = staticmethod(lambda: None)
    crm.session.execute(update(CallRequest).values(due_on=now()))
    crm.session.commit()
    send(crm, row.id)
    assert request_of(crm, key).state == "sent" and len(Line.dialed) == 1


def test_nobody_is_rung_when_they_no_longer_expect_it(crm: Crm, make: Any, account: Any) -> None:
    ticket = make.ticket("cleo", mobile=PEER)
    key = click(crm, "ticket", ticket.id).json["id"]
    queue._backend._reset()  # type: ignore[union-attr]  # the queue was lost
    late = now() - timedelta(minutes=2)
    crm.session.execute(update(CallRequest).values(expires_on=late, due_on=late))
    crm.session.commit()
    run_job(crm, "settle calls that wait")
    run_calls(crm)
    row = request_of(crm, key)
    assert (row.state, row.error, row.line_of) == ("failed", call_delivery.EXPIRED, None) and Line.dialed == []
    told = crm.rows(select(Activity).where(Activity.kind == "call"))
    assert [line.payload["text"] for line in told] == ["Outgoing call, Failed"]


def test_an_interrupted_call_is_left_to_its_person(crm: Crm, make: Any, account: Any) -> None:
    key = click(crm, "ticket", make.ticket("cleo", mobile=PEER).id).json["id"]
    long_ago = now() - timedelta(minutes=6)
    crm.session.execute(update(CallRequest).values(state="sending", tries=1, began_on=long_ago))
    crm.session.commit()
    run_job(crm, "settle calls that wait")
    run_calls(crm)
    assert (request_of(crm, key).state, Line.dialed) == ("unknown", [])
    card = crm.session.scalars(select(CallCard)).one()
    page = crm.client("cleo").screen("/calls/card").text
    assert "Does it ring?" in page and f"/calls/card/{card.id}/silent" in page
    assert crm.client("cleo").form(f"/calls/card/{card.id}/silent").status_code == 302
    assert (request_of(crm, key).state, crm.session.get_one(CallLog, key).status) == ("failed", "Failed")


# --- recordings


def record(crm: Crm, call_id: int, address: str) -> CallRecording:
    recordings.report_recording(crm.session, crm.session.get_one(CallLog, call_id), address, now())
    crm.session.commit()
    run_calls(crm)
    crm.session.expire_all()
    return crm.session.scalars(select(CallRecording).order_by(CallRecording.id.desc()).limit(1)).one()


@pytest.mark.parametrize(
    "address, file, state, why",
    [
        ("line:1", lambda: sample_audio.wav_tone(2), "sent", None),
        ("line:1", lambda: b"\xff\xe3" + b"0" * 900, "sent", None),
        ("line:1", lambda: b"<html><script>alert(1)</script>", "failed", recording_fetch.NO_SOUND),
        ("line:1", lambda: b"\xff\xfb" + b"0" * 25_000_001, "failed", recording_fetch.TOO_LARGE),
        ("http://169.254.169.254/latest/meta-data", None, "failed", "The file isn't at an address of the provider."),
        ("https://evil.example/x.mp3", None, "failed", "The file isn't at an address of the provider."),
        ("http://127.0.0.1:22/", None, "failed", "The file isn't at an address of the provider."),
    ],
)
def test_only_sound_from_the_provider_is_kept(
    crm: Crm, make: Any, account: Any, address: str, file: Any, state: str, why: str | None
) -> None:
    if file is not None:
        Line.file = staticmethod(file)
    call = make.call("cleo", account_id=account.id)
    crm.session.execute(update(CallLog).values(account_id=account.id))
    crm.session.commit()
    row = record(crm, call.id, address)
    assert (row.state, row.error) == (state, why)
    assert (row.digest is not None) is (state == "sent")
    assert crm.count(CallRecording) == 1 and record(crm, call.id, address).id == row.id


def test_recordings_are_scanned(crm: Crm, make: Any, account: Any) -> None:
    class Scanner:
        verdict: Any = ScannerUnavailable("away")

        def threat_in(self, _file: Any) -> str | None:
            if isinstance(self.verdict, Exception):
                raise self.verdict
            return self.verdict

    crm.app.extensions["crm_scanner"] = scanner = Scanner()
    Line.file = staticmethod(lambda: sample_audio.wav_tone(1))
    call = make.call("cleo")
    crm.session.execute(update(CallLog).values(account_id=account.id))
    crm.session.commit()
    try:
        row = record(crm, call.id, "line:1")
        assert (row.state, row.error) == ("queued", inbound_virus_scans.NOT_SCANNED)
        scanner.verdict = "Test-Virus"
        crm.session.execute(update(CallRecording).values(due_on=now() - timedelta(minutes=2)))
        crm.session.commit()
        run_job(crm, "fetch recordings that wait")
        run_calls(crm)
    finally:
        crm.app.extensions["crm_scanner"] = None
    crm.session.expire_all()
    assert (row.state, row.error, row.digest) == ("failed", inbound_virus_scans.INFECTED, None)
    (entry,) = crm.session.scalars(select(AuditEntry).where(AuditEntry.event == "infected file"))
    assert entry.about == f"recording {row.id}"


@pytest.mark.parametrize(
    "error, why",
    [
        (OSError(errno.ENOSPC, "No space left on device"), storage_waits.FULL),
        (StorageUnavailable(), storage_waits.AWAY),
    ],
)
def test_a_recording_waits_for_room_without_using_up_its_attempts(
    crm: Crm, make: Any, account: Any, monkeypatch: pytest.MonkeyPatch, error: OSError, why: str
) -> None:
    def refuse(_content: Any) -> Any:
        raise error

    Line.file = staticmethod(lambda: sample_audio.wav_tone(1))
    call = make.call("cleo")
    crm.session.execute(update(CallLog).values(account_id=account.id))
    crm.session.commit()
    with monkeypatch.context() as full:
        full.setattr(crm.app.extensions["crm_files"], "put", refuse)
        row = record(crm, call.id, "line:1")
        for _try in range(len(recording_fetch.WAITS) + 2):
            crm.session.execute(update(CallRecording).values(due_on=now() - timedelta(minutes=2)))
            crm.session.commit()
            run_job(crm, "fetch recordings that wait")
            run_calls(crm)
        crm.session.expire_all()
        assert (row.state, row.tries, row.error, row.digest) == ("queued", 0, why, None)
    crm.session.execute(update(CallRecording).values(due_on=now() - timedelta(minutes=2)))
    crm.session.commit()
    run_job(crm, "fetch recordings that wait")
    run_calls(crm)
    crm.session.expire_all()
    assert (row.state, row.tries, row.error) == ("sent", 1, None) and row.digest is not None


def test_a_recording_that_is_not_there_yet_is_asked_for_again(crm: Crm, make: Any, account: Any) -> None:
    def missing() -> bytes:
        raise ChannelError("Not yet.")

    Line.file = staticmethod(missing)
    call = make.call("cleo")
    crm.session.execute(update(CallLog).values(account_id=account.id))
    crm.session.commit()
    row = record(crm, call.id, "line:1")
    assert (row.state, row.tries) == ("queued", 1)
    Line.file = staticmethod(lambda: sample_audio.wav_tone(1))
    crm.session.execute(update(CallRecording).values(due_on=now() - timedelta(minutes=2)))
    crm.session.commit()
    run_job(crm, "fetch recordings that wait")
    run_calls(crm)
    crm.session.expire_all()
    assert (row.state, row.mime_type, row.size) == ("sent", "audio/wav", len(sample_audio.wav_tone(1)))


# --- many at once, on MariaDB


def test_clicks_at_the_same_moment_ring_once(maria: Crm) -> None:
    account = prepare(maria)
    ticket = maria.make.ticket("cleo", mobile=PEER)
    clients, start = [maria.client("cleo") for _each in range(8)], threading.Barrier(8)
    statuses: list[int] = []

    def press(client: Any) -> None:
        start.wait()
        statuses.append(client.rest("POST", "call_log/dial", {"ticket": ticket.id}).status_code)

    threads = [threading.Thread(target=press, args=[client]) for client in clients]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(statuses) == [200] * 7 + [201]
    assert maria.session.scalar(select(func.count()).select_from(CallLog)) == 1
    run_calls(maria)
    assert [call.customer for call in Line.dialed] == [PEER]
    key = maria.session.scalars(select(CallLog.id)).one()
    ended = CallUpdate("L1", "completed", "out", PEER, "", key=f"c{key}", talk_seconds=9)
    provider_events.process(maria.session, account, ended, now())
    maria.session.commit()
    assert maria.session.scalars(select(CallRequest.line_of)).one() is None


# --- calls of which nobody knows whether they were made


def lost(crm: Crm, make: Any) -> int:
    """Cleo's call of which nobody knows whether it was made."""
    Line.fault = raiser(DeliveryUnknown("No answer."))
    key: int = click(crm, "ticket", make.ticket("cleo", mobile=PEER).id).json["id"]
    run_calls(crm)
    Line.fault = staticmethod(lambda: None)
    assert request_of(crm, key).state == "unknown"
    return key


def age(crm: Crm, **gone: int) -> None:
    crm.session.execute(update(CallLog).values(changed_on=now() - timedelta(**gone)))
    crm.session.commit()


def test_the_next_call_is_made_in_one_more_click(crm: Crm, make: Any, account: Any) -> None:
    key, other = lost(crm, make), make.ticket("cleo", mobile="+919820054321")
    refused = crm.client("cleo").form(f"/calls/dial/ticket/{other.id}?number=mobile", headers={"HX-Request": "true"})
    assert refused.status_code == 409 and other.number in refused.headers["X-Sentence"]
    page = crm.client("cleo").form(f"/calls/dial/ticket/{other.id}")
    assert page.status_code == 409 and f"/calls/dial/ticket/{other.id}?instead=1" in page.text
    assert click(crm, "ticket", other.id).status_code == 409
    url = refused.headers["X-Instead"]
    assert url == f"/calls/dial/ticket/{other.id}?number=mobile&instead=1"
    assert crm.client("cleo").form(url, headers={"HX-Request": "true"}).status_code == 200
    run_calls(crm)
    assert [each.customer for each in Line.dialed] == ["+919820054321"]
    assert (request_of(crm, key).state, crm.session.get_one(CallLog, key).status) == ("dropped", "Failed")
    assert click(crm, "ticket", make.ticket("cleo", mobile=PEER).id).status_code == 409  # this one is known to be made


def test_the_card_of_a_lost_call_offers_to_call_again(crm: Crm, make: Any, account: Any) -> None:
    key = lost(crm, make)
    assert f"/calls/dial/call/{key}?instead=1" in crm.client("cleo").screen("/calls/card").text
    answer = crm.client("cleo").rest("POST", "call_log/dial", {"call": key, "instead": True})
    run_calls(crm)
    assert answer.status_code == 201 and [each.customer for each in Line.dialed] == [PEER]


@pytest.mark.parametrize("how", ["the job", "the next click"])
def test_a_lost_call_ends_by_itself(crm: Crm, make: Any, account: Any, how: str) -> None:
    key, other = lost(crm, make), make.ticket("cleo", mobile="+919820054321")
    age(crm, seconds=110)
    run_job(crm, "settle calls that wait")
    assert request_of(crm, key).state == "unknown" and click(crm, "ticket", other.id).status_code == 409
    age(crm, seconds=130)
    if how == "the job":
        run_job(crm, "settle calls that wait")
    else:
        assert click(crm, "ticket", other.id).status_code == 201
    row = request_of(crm, key)
    assert (row.state, row.line_of, crm.session.get_one(CallLog, key).status) == ("dropped", None, "Failed")
    assert "Nobody knows whether your phone rang" in crm.client("cleo").screen("/calls/card").text or how != "the job"


def test_a_report_that_comes_after_a_call_was_given_up_counts(crm: Crm, make: Any, account: Any) -> None:
    key = lost(crm, make)
    age(crm, minutes=5)
    run_job(crm, "settle calls that wait")
    event = CallUpdate("C1", "completed", "out", PEER, "+911600123456", key=f"c{key}", talk_seconds=61)
    provider_events.process(crm.session, crm.session.merge(account), event, now())
    crm.session.commit()
    call = crm.session.get_one(CallLog, key)
    assert (call.status, call.duration_seconds, request_of(crm, key).state) == ("Completed", 61, "sent")
    told = crm.rows(select(Activity).where(Activity.kind == "call"))
    assert len(told) == 1


def test_the_card_takes_an_answer_as_soon_as_it_asks(crm: Crm, make: Any, account: Any) -> None:
    key = click(crm, "ticket", make.ticket("cleo", mobile=PEER).id).json["id"]
    crm.session.execute(update(CallRequest).values(state="sending", tries=1, began_on=now() - timedelta(seconds=70)))
    crm.session.commit()
    card = crm.session.scalars(select(CallCard)).one()
    assert "Does it ring?" in crm.client("cleo").screen("/calls/card").text
    crm.client("cleo").form(f"/calls/card/{card.id}/silent")
    assert request_of(crm, key).state == "failed"
