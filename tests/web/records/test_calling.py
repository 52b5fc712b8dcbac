"""Calling from pages and over REST without seeing a masked number; call cards, incoming calls and recordings."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from app.channels.console_provider import KIND
from app.channels.provider import CallUpdate
from app.domain.base import Stamp
from app.domain.inbound import provider_events
from app.domain.messaging import channel_accounts, dnd_uploads
from app.domain.messaging.channel_accounts import AccountSettings
from app.domain.messaging.dnd_uploads import DndLine
from app.lib import sample_audio
from app.models import AuditEntry, BusinessSetting, CallCard, CallLog, CallRecording, Lead, OfficeRange, User
from app.ops.queues import queue
from app.ops.storage.file_store import StorageUnavailable
from tests.app_fixtures import Crm
from tests.cases import each_case
from tests.web.invalid_input import raising_server_errors

DIGITS = "98200 12345".replace(" ", "")
PEER, MOBILE = f"+91{DIGITS}", "+919811100001"
HX = {"HX-Request": "true"}


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def account(crm: Crm) -> Any:
    """An account with telephones for all, and promotional calls at any hour, in an office that is always open."""
    wanted = AccountSettings("Desk", caller_ids=(("+911600123456", "service"), ("+911401234567", "promotional")))
    made = channel_accounts.create(crm.session, KIND, wanted, Stamp(None, now()), crm.vault)
    crm.session.add(BusinessSetting(key="promotional_hours", value="00:00-00:00"))
    crm.session.execute(delete(OfficeRange))
    for n, user in enumerate(crm.session.scalars(select(User).order_by(User.id))):
        user.mobile = user.mobile_e164 = f"+9198111000{n:02d}"
    crm.session.commit()
    return made


@pytest.fixture
def lead(make: Any) -> Any:
    return make.lead("ana", mobile=PEER, first_name="Ravi")


def take(crm: Crm, account: Any, *events: CallUpdate) -> CallLog:
    for event in events:
        provider_events.process(crm.session, account, event, now())
    crm.session.commit()
    return crm.rows(select(CallLog).order_by(CallLog.id.desc()))[0]


def shows(text: str) -> bool:
    """Whether the number can be read out of a text, in whatever form."""
    return DIGITS[:9] in "".join(char for char in text if char.isdigit())


# --- who may call, without seeing the number


@pytest.mark.parametrize("mask", ["last4", "hidden"])
def test_a_masked_number_is_called_without_being_seen(crm: Crm, make: Any, account: Any, lead: Any, mask: str) -> None:
    make.mask("Sales User", mobile=mask, alternative_mobile=mask)
    ana = crm.client("ana")
    page = ana.screen(f"/leads/show/{lead.id}").text
    assert f'href="/calls/dial/lead/{lead.id}" data-dial' in page and "tel:" not in page
    whatsapp = f'data-key="w" href="/inbox/to/lead/{lead.id}?channel=whatsapp"'
    assert whatsapp in page
    parts = [page, ana.screen("/").text, ana.screen(f"/calls/dial/lead/{lead.id}").text]
    answer = ana.form(f"/calls/dial/lead/{lead.id}", headers=HX)
    assert answer.status_code == 200 and "Ravi" in answer.text
    parts += [answer.text, ana.screen("/calls/card").text, ana.screen("/calls/").text]
    key = crm.rows(select(CallLog.id))[0]
    parts += [ana.screen(f"/calls/show/{key}").text, ana.rest("GET", f"call_log/{key}").text]
    parts += [ana.screen(f"/calls/outcome/{key}").text, ana.rest("POST", "call_log/dial", {"lead": lead.id}).text]
    assert [shows(each) for each in parts] == [False] * len(parts)
    assert whatsapp in ana.screen(f"/calls/show/{key}").text
    assert crm.rows(select(CallLog.to_number)) == [PEER]


def test_the_other_number_is_called_when_it_is_clicked(crm: Crm, make: Any, account: Any) -> None:
    lead = make.lead("ana", mobile=PEER, alternative_mobile="98200 11122")
    make.mask("Sales User", mobile="full", alternative_mobile="last4")
    ana, url = crm.client("ana"), f"/calls/dial/lead/{lead.id}?number=alternative_mobile"
    page = ana.screen(f"/leads/show/{lead.id}").text
    assert f'href="{url}" data-dial' in page and "98200 11122" not in page
    rows = ana.screen("/leads/").text
    assert f'href="/calls/dial/lead/{lead.id}" data-dial>' in rows and "tel:" not in rows
    assert ana.screen(f"/calls/dial/lead/{lead.id}?number=fax").status_code == 400
    assert ana.rest("POST", "call_log/dial", {"call": 1, "number": "alternative_mobile"}).status_code in (404, 422)
    answer = ana.rest("POST", "call_log/dial", {"lead": lead.id, "number": "alternative_mobile"})
    assert answer.status_code == 201 and crm.rows(select(CallLog.to_number)) == ["+919820011122"]


def test_an_error_does_not_show_the_number_either(crm: Crm, make: Any, account: Any, lead: Any) -> None:
    make.mask("Sales User", mobile="hidden")
    dnd_uploads.store(crm.session, [DndLine(PEER, "blocked", now())], "scrub file", now())
    crm.session.commit()
    answers = [
        crm.client("ana").rest("POST", "call_log/dial", {"lead": lead.id}),
        crm.client("ana").form(f"/calls/dial/lead/{lead.id}", headers=HX),
    ]
    assert [each.status_code for each in answers] == [422, 422]
    assert not any(shows(each.text + str(each.headers)) for each in answers)


@each_case(
    "who, body, status",
    [
        ("ben", "lead", 404),
        ("rhea", "lead", 403),
        ("ana", {"lead": "x"}, 404),
        ("ana", {"lead": 10**12}, 404),
        ("ana", {"lead": True}, 404),
        ("ana", {"lead": 1, "ticket": 1}, 422),
        ("ana", {}, 422),
        ("ana", {"number": PEER}, 422),
        ("ana", [], 422),
    ],
)
def test_what_cannot_be_called_is_refused(crm: Crm, account: Any, lead: Any, who: str, body: Any, status: int) -> None:
    given = {"lead": lead.id} if body == "lead" else body
    answer = crm.client(who).rest("POST", "call_log/dial", given)
    assert answer.status_code == status and answer.json["message"]
    assert crm.count(CallLog) == 0


@each_case("path", ["lead/0", "lead/x%27", "task/1", "call/999", "conversation/9", "lead/CRM-LEAD-2026-99999"])
def test_an_address_that_leads_nowhere_is_not_found(crm: Crm, account: Any, path: str) -> None:
    assert crm.client("ana").screen(f"/calls/dial/{path}").status_code == 404
    assert crm.client("ana").form(f"/calls/dial/{path}", headers=HX).status_code == 404


def test_without_a_number_of_ones_own_a_sentence_says_what_to_do(crm: Crm, account: Any, lead: Any) -> None:
    crm.session.execute(update(User).values(mobile=None, mobile_e164=None))
    crm.session.commit()
    answer = crm.client("ana").rest("POST", "call_log/dial", {"lead": lead.number})
    assert answer.status_code == 422 and "My profile" in answer.json["message"]
    assert "your number is missing" in crm.client("ana").screen("/me/").text


def test_without_a_telephone_account_the_own_phone_dials(crm: Crm, lead: Any) -> None:
    page = crm.client("ana").screen(f"/leads/show/{lead.id}").text
    assert f"tel:{PEER}" in page and "/calls/dial/" not in page


def test_without_scripts_calling_is_a_form(crm: Crm, account: Any, lead: Any) -> None:
    ana = crm.client("ana")
    assert 'action="/calls/dial/lead/' in ana.screen(f"/calls/dial/lead/{lead.number}").text
    answer = ana.form(f"/calls/dial/lead/{lead.number}", follow_redirects=True)
    assert "Your phone rings first" in answer.text and "data-open" in answer.text


# --- cards


def test_a_card_is_its_persons_only(crm: Crm, account: Any, lead: Any) -> None:
    crm.client("ana").form(f"/calls/dial/lead/{lead.id}", headers=HX)
    card = crm.rows(select(CallCard))[0]
    for step in ("note", "close", "rang", "take", "lead"):
        assert crm.client("mia").form(f"/calls/card/{card.id}/{step}", {"note": "x"}, headers=HX).status_code == 404
    assert "data-card" not in crm.client("mia").screen("/calls/card").text
    assert crm.client("ana").form(f"/calls/card/{card.id}/note", {"note": "x" * 20_001}).status_code in (302, 422)
    assert crm.client("ana").form(f"/calls/card/{card.id}/note", {"note": "SIP\nof 5,000"}).status_code == 204
    key = card.call_id
    take(crm, account, CallUpdate(f"console-c{key}", "completed", "out", "", "", key=f"c{key}", talk_seconds=9))
    page = crm.client("ana").screen("/calls/card").text
    assert 'data-state="ended"' in page and f'href="/calls/outcome/{key}"' in page
    assert "SIP\nof 5,000</textarea>" in crm.client("ana").screen(f"/calls/outcome/{key}", headers=HX).text
    crm.client("ana").form(f"/calls/outcome/{key}", {"outcome": "Interested"})
    assert "data-card" not in crm.client("ana").screen("/calls/card").text


def ring(crm: Crm, account: Any, peer: str = PEER) -> CallLog:
    return take(crm, account, CallUpdate("I1", "ringing", "in", peer, "+911600123456"))


def test_an_unknown_caller_becomes_a_lead_with_the_number_nobody_saw(crm: Crm, make: Any, account: Any) -> None:
    make.mask("Sales User", mobile="hidden")
    ring(crm, account)
    ana, ben = crm.client("ana"), crm.client("ben")
    cards = {each.user_id: each.id for each in crm.rows(select(CallCard))}
    page = ana.screen("/calls/card").text
    assert 'data-state="incoming"' in page and "New lead" in page and not shows(page)
    answer = ana.form(f"/calls/card/{cards[crm.people['ana'].id]}/lead")
    lead = crm.rows(select(Lead))[0]
    assert (answer.status_code, answer.location) == (302, f"/leads/{lead.number}")
    assert (lead.mobile_e164, lead.assignee_id) == (PEER, crm.people["ana"].id)
    assert "data-card" not in ben.screen("/calls/card").text
    late = ben.form(f"/calls/card/{cards[crm.people['ben'].id]}/take", headers=HX)
    assert (late.status_code, crm.count(Lead)) == (409, 1)


def test_a_card_names_nobody_whom_its_person_may_not_see(crm: Crm, account: Any, lead: Any) -> None:
    call = ring(crm, account)
    crm.session.add(CallCard(call_id=call.id, user_id=crm.people["ben"].id, created_on=now(), changed_on=now()))
    crm.session.commit()
    assert "Ravi" in crm.client("ana").screen("/calls/card").text
    page = crm.client("ben").screen("/calls/card").text
    assert "data-card" in page and "Ravi" not in page and lead.number not in page


# --- recordings


@pytest.fixture
def recording(crm: Crm, account: Any, lead: Any) -> CallRecording:
    crm.client("ana").form(f"/calls/dial/lead/{lead.id}", headers=HX)
    key = crm.rows(select(CallLog.id))[0]
    ended = CallUpdate("C1", "completed", "out", "", "", key=f"c{key}", talk_seconds=3, recording_url="console:tone/3")
    take(crm, account, ended)
    with crm.app.app_context():
        queue._backend.run_waiting()  # type: ignore[union-attr]
    return crm.rows(select(CallRecording))[0]


def hearings(crm: Crm) -> list[Any]:
    return crm.rows(select(AuditEntry).where(AuditEntry.event == "recording"))


def hear(crm: Crm, who: str, url: str, part: str = "") -> Any:
    with closing(crm.client(who).screen(url, headers={"Range": f"bytes={part}"} if part else {})) as answer:
        answer.get_data()
        return answer


def test_a_recording_is_played_in_parts_and_noted_once(crm: Crm, lead: Any, recording: CallRecording) -> None:
    url, sound = f"/calls/recording/{recording.id}", sample_audio.wav_tone(3)
    assert f'src="{url}"' in crm.client("ana").screen(f"/leads/show/{lead.id}").text
    whole = hear(crm, "ana", url)
    assert (whole.status_code, whole.mimetype, whole.data) == (200, "audio/wav", sound)
    assert whole.headers["Cache-Control"] == "private, no-store"
    assert "sandbox" in whole.headers["Content-Security-Policy"]
    part = hear(crm, "ana", url, "100-199")
    assert (part.status_code, part.data) == (206, sound[100:200])
    assert part.headers["Content-Range"] == f"bytes 100-199/{recording.size}"
    assert hear(crm, "ana", url, "999999999-").status_code == 416
    (entry,) = hearings(crm)
    assert (entry.user_id, entry.about) == (crm.people["ana"].id, f"recording {recording.id}")
    later = hear(crm, "mia", url, "5-")
    assert (later.status_code, later.data) == (206, sound[5:]) and len(hearings(crm)) == 2


def test_a_recording_whose_storage_is_away_is_said_and_not_noted(
    crm: Crm, recording: CallRecording, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away:
        def open(self, _digest: str) -> Any:
            raise StorageUnavailable("the storage of files can't be used")

    monkeypatch.setitem(crm.app.extensions, "crm_files", Away())
    with raising_server_errors("a recording"):
        answer = hear(crm, "ana", f"/calls/recording/{recording.id}")
    assert answer.status_code == 503 and "The storage of files can" in answer.text
    assert hearings(crm) == []


@pytest.mark.parametrize("who, level, status", [("ben", "own", 404), ("cleo", "own", 404), ("ana", "none", 404)])
def test_a_recording_out_of_reach_is_not_there(
    crm: Crm, make: Any, lead: Any, recording: CallRecording, who: str, level: str, status: int
) -> None:
    make.cell("Sales User", "Call Logs", "recordings", level)
    url = f"/calls/recording/{recording.id}"
    assert crm.client(who).screen(url).status_code in (status, 403 if level == "none" else status)
    assert crm.client(who).form(f"{url}/again").status_code in (status, 403 if level == "none" else status)
    assert hearings(crm) == []
    assert url not in crm.client(who).screen(f"/leads/show/{lead.id}").text


# --- settings


def test_the_report_counts_by_series(crm: Crm, recording: CallRecording) -> None:
    page = crm.client("root").screen("/settings/caller-ids/").text
    assert "140 series (promotional)" in page and "+91 140 123 4567 (140)" in page
    assert crm.client("root").screen("/settings/caller-ids/?from=x").status_code == 400
    assert crm.client("ana").screen("/settings/caller-ids/").status_code == 403
