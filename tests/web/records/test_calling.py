"""Calling from pages and over REST: without ever seeing a masked number; cards, incoming calls and recordings."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from app.channels.console_provider import KIND
from app.channels.provider import CallUpdate
from app.domain import channel_accounts, consents, provider_events
from app.domain.base import Stamp
from app.domain.channel_accounts import AccountSettings
from app.lib import sample_audio
from app.models import AuditEntry, BusinessSetting, CallCard, CallLog, CallRecording, Lead, OfficeRange, User
from app.ops import queue
from app.ops.file_store import StorageUnavailable
from tests.app_fixtures import World
from tests.web.invalid_input import raising_server_errors

DIGITS = "98200 12345".replace(" ", "")
PEER, MOBILE = f"+91{DIGITS}", "+919811100001"
HX = {"HX-Request": "true"}


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def account(world: World) -> Any:
    """An account with telephones for all, and promotional calls at any hour, in an office that is always open."""
    wanted = AccountSettings("Desk", caller_ids=(("+911600123456", "service"), ("+911401234567", "promotional")))
    made = channel_accounts.create(world.session, KIND, wanted, Stamp(None, now()), world.vault)
    world.session.add(BusinessSetting(key="promotional_hours", value="00:00-00:00"))
    world.session.execute(delete(OfficeRange))
    for n, user in enumerate(world.session.scalars(select(User).order_by(User.id))):
        user.mobile = user.mobile_e164 = f"+9198111000{n:02d}"
    world.session.commit()
    return made


@pytest.fixture
def lead(make: Any) -> Any:
    return make.lead("ana", mobile=PEER, first_name="Ravi")


def take(world: World, account: Any, *events: CallUpdate) -> CallLog:
    for event in events:
        provider_events.process(world.session, account, event, now())
    world.session.commit()
    return world.rows(select(CallLog).order_by(CallLog.id.desc()))[0]  # type: ignore[no-any-return]


def shows(text: str) -> bool:
    """Whether the number can be read out of a text, in whatever form."""
    return DIGITS[:9] in "".join(char for char in text if char.isdigit())


# --- who may call, without seeing the number


@pytest.mark.parametrize("mask", ["last4", "hidden"])
def test_a_masked_number_is_called_without_being_seen(
    world: World, make: Any, account: Any, lead: Any, mask: str
) -> None:
    make.mask("Sales User", mobile=mask, alternative_mobile=mask)
    ana = world.door("ana")
    page = ana.screen(f"/leads/show/{lead.id}").text
    assert f'href="/calls/dial/lead/{lead.id}" data-dial' in page and "tel:" not in page
    whatsapp = f'data-key="w" href="/inbox/to/lead/{lead.id}?channel=whatsapp"'
    assert whatsapp in page
    parts = [page, ana.screen("/").text, ana.screen(f"/calls/dial/lead/{lead.id}").text]
    answer = ana.form(f"/calls/dial/lead/{lead.id}", headers=HX)
    assert answer.status_code == 200 and "Ravi" in answer.text
    parts += [answer.text, ana.screen("/calls/card").text, ana.screen("/calls/").text]
    key = world.rows(select(CallLog.id))[0]
    parts += [ana.screen(f"/calls/show/{key}").text, ana.rest("GET", f"call_log/{key}").text]
    parts += [ana.screen(f"/calls/outcome/{key}").text, ana.rest("POST", "call_log/dial", {"lead": lead.id}).text]
    assert [shows(each) for each in parts] == [False] * len(parts)
    assert whatsapp in ana.screen(f"/calls/show/{key}").text
    assert world.rows(select(CallLog.to_number)) == [PEER]


def test_the_other_number_is_called_when_it_is_clicked(world: World, make: Any, account: Any) -> None:
    lead = make.lead("ana", mobile=PEER, alternative_mobile="98200 11122")
    make.mask("Sales User", mobile="full", alternative_mobile="last4")
    ana, url = world.door("ana"), f"/calls/dial/lead/{lead.id}?number=alternative_mobile"
    page = ana.screen(f"/leads/show/{lead.id}").text
    assert f'href="{url}" data-dial' in page and "98200 11122" not in page
    rows = ana.screen("/leads/").text
    assert f'<a class="phone" href="/calls/dial/lead/{lead.id}" data-dial>' in rows and "tel:" not in rows
    assert ana.screen(f"/calls/dial/lead/{lead.id}?number=fax").status_code == 400
    assert ana.rest("POST", "call_log/dial", {"call": 1, "number": "alternative_mobile"}).status_code in (404, 422)
    answer = ana.rest("POST", "call_log/dial", {"lead": lead.id, "number": "alternative_mobile"})
    assert answer.status_code == 201 and world.rows(select(CallLog.to_number)) == ["+919820011122"]


def test_an_error_does_not_show_the_number_either(world: World, make: Any, account: Any, lead: Any) -> None:
    make.mask("Sales User", mobile="hidden")
    consents.note_dnd(world.session, PEER, "blocked", "scrub file", now())
    world.session.commit()
    answers = [
        world.door("ana").rest("POST", "call_log/dial", {"lead": lead.id}),
        world.door("ana").form(f"/calls/dial/lead/{lead.id}", headers=HX),
    ]
    assert [each.status_code for each in answers] == [422, 422]
    assert not any(shows(each.text + str(each.headers)) for each in answers)


@pytest.mark.parametrize(
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
def test_what_cannot_be_called_is_refused(
    world: World, account: Any, lead: Any, who: str, body: Any, status: int
) -> None:
    given = {"lead": lead.id} if body == "lead" else body
    answer = world.door(who).rest("POST", "call_log/dial", given)
    assert answer.status_code == status and answer.json["message"]
    assert world.count(CallLog) == 0


@pytest.mark.parametrize(
    "path", ["lead/0", "lead/x%27", "task/1", "call/999", "conversation/9", "lead/CRM-LEAD-2026-99999"]
)
def test_an_address_that_leads_nowhere_is_not_found(world: World, account: Any, path: str) -> None:
    assert world.door("ana").screen(f"/calls/dial/{path}").status_code == 404
    assert world.door("ana").form(f"/calls/dial/{path}", headers=HX).status_code == 404


def test_without_a_number_of_ones_own_a_sentence_says_what_to_do(world: World, account: Any, lead: Any) -> None:
    world.session.execute(update(User).values(mobile=None, mobile_e164=None))
    world.session.commit()
    answer = world.door("ana").rest("POST", "call_log/dial", {"lead": lead.number})
    assert answer.status_code == 422 and "My profile" in answer.json["message"]
    assert "your number is missing" in world.door("ana").screen("/me/").text


def test_without_a_telephone_account_the_own_phone_dials(world: World, lead: Any) -> None:
    page = world.door("ana").screen(f"/leads/show/{lead.id}").text
    assert f"tel:{PEER}" in page and "/calls/dial/" not in page


def test_without_scripts_calling_is_a_form(world: World, account: Any, lead: Any) -> None:
    ana = world.door("ana")
    assert 'action="/calls/dial/lead/' in ana.screen(f"/calls/dial/lead/{lead.number}").text
    answer = ana.form(f"/calls/dial/lead/{lead.number}", follow_redirects=True)
    assert "Your phone rings first" in answer.text and "data-open" in answer.text


# --- cards


def test_a_card_is_its_persons_only(world: World, account: Any, lead: Any) -> None:
    world.door("ana").form(f"/calls/dial/lead/{lead.id}", headers=HX)
    card = world.rows(select(CallCard))[0]
    for step in ("note", "close", "rang", "take", "lead"):
        assert world.door("mia").form(f"/calls/card/{card.id}/{step}", {"note": "x"}, headers=HX).status_code == 404
    assert "data-card" not in world.door("mia").screen("/calls/card").text
    assert world.door("ana").form(f"/calls/card/{card.id}/note", {"note": "x" * 20_001}).status_code in (302, 422)
    assert world.door("ana").form(f"/calls/card/{card.id}/note", {"note": "SIP\nof 5,000"}).status_code == 204
    key = card.call_id
    take(world, account, CallUpdate(f"console-c{key}", "completed", "out", "", "", key=f"c{key}", talk_seconds=9))
    page = world.door("ana").screen("/calls/card").text
    assert 'data-state="ended"' in page and f'href="/calls/outcome/{key}"' in page
    assert "SIP\nof 5,000</textarea>" in world.door("ana").screen(f"/calls/outcome/{key}", headers=HX).text
    world.door("ana").form(f"/calls/outcome/{key}", {"outcome": "Interested"})
    assert "data-card" not in world.door("ana").screen("/calls/card").text


def ring(world: World, account: Any, peer: str = PEER) -> CallLog:
    return take(world, account, CallUpdate("I1", "ringing", "in", peer, "+911600123456"))


def test_an_unknown_caller_becomes_a_lead_with_the_number_nobody_saw(world: World, make: Any, account: Any) -> None:
    make.mask("Sales User", mobile="hidden")
    ring(world, account)
    ana, ben = world.door("ana"), world.door("ben")
    cards = {each.user_id: each.id for each in world.rows(select(CallCard))}
    page = ana.screen("/calls/card").text
    assert 'data-state="incoming"' in page and "New lead" in page and not shows(page)
    answer = ana.form(f"/calls/card/{cards[world.people['ana'].id]}/lead")
    lead = world.rows(select(Lead))[0]
    assert (answer.status_code, answer.location) == (302, f"/leads/{lead.number}")
    assert (lead.mobile_e164, lead.assignee_id) == (PEER, world.people["ana"].id)
    assert "data-card" not in ben.screen("/calls/card").text
    late = ben.form(f"/calls/card/{cards[world.people['ben'].id]}/take", headers=HX)
    assert (late.status_code, world.count(Lead)) == (409, 1)


def test_a_card_names_nobody_whom_its_person_may_not_see(world: World, account: Any, lead: Any) -> None:
    call = ring(world, account)
    world.session.add(CallCard(call_id=call.id, user_id=world.people["ben"].id, created_on=now(), changed_on=now()))
    world.session.commit()
    assert "Ravi" in world.door("ana").screen("/calls/card").text
    page = world.door("ben").screen("/calls/card").text
    assert "data-card" in page and "Ravi" not in page and lead.number not in page


# --- recordings


@pytest.fixture
def recording(world: World, account: Any, lead: Any) -> CallRecording:
    world.door("ana").form(f"/calls/dial/lead/{lead.id}", headers=HX)
    key = world.rows(select(CallLog.id))[0]
    ended = CallUpdate("C1", "completed", "out", "", "", key=f"c{key}", talk_seconds=3, recording_url="console:tone/3")
    take(world, account, ended)
    with world.app.app_context():
        queue._backend.run_waiting()  # type: ignore[union-attr]
    return world.rows(select(CallRecording))[0]


def hearings(world: World) -> list[Any]:
    return world.rows(select(AuditEntry).where(AuditEntry.event == "recording"))


def hear(world: World, who: str, url: str, part: str = "") -> Any:
    with closing(world.door(who).screen(url, headers={"Range": f"bytes={part}"} if part else {})) as answer:
        answer.get_data()
        return answer


def test_a_recording_is_played_in_parts_and_noted_once(world: World, lead: Any, recording: CallRecording) -> None:
    url, sound = f"/calls/recording/{recording.id}", sample_audio.wav_tone(3)
    assert f'src="{url}"' in world.door("ana").screen(f"/leads/show/{lead.id}").text
    whole = hear(world, "ana", url)
    assert (whole.status_code, whole.mimetype, whole.data) == (200, "audio/wav", sound)
    assert whole.headers["Cache-Control"] == "private, no-store"
    assert "sandbox" in whole.headers["Content-Security-Policy"]
    part = hear(world, "ana", url, "100-199")
    assert (part.status_code, part.data) == (206, sound[100:200])
    assert part.headers["Content-Range"] == f"bytes 100-199/{recording.size}"
    assert hear(world, "ana", url, "999999999-").status_code == 416
    (entry,) = hearings(world)
    assert (entry.user_id, entry.about) == (world.people["ana"].id, f"recording {recording.id}")
    later = hear(world, "mia", url, "5-")
    assert (later.status_code, later.data) == (206, sound[5:]) and len(hearings(world)) == 2


def test_a_recording_whose_storage_is_away_is_said_and_not_noted(
    world: World, recording: CallRecording, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away:
        def open(self, _digest: str) -> Any:
            raise StorageUnavailable("the storage of files can't be used")

    monkeypatch.setitem(world.app.extensions, "crm_files", Away())
    with raising_server_errors("a recording"):
        answer = hear(world, "ana", f"/calls/recording/{recording.id}")
    assert answer.status_code == 503 and "The storage of files can" in answer.text
    assert hearings(world) == []


@pytest.mark.parametrize("who, level, status", [("ben", "own", 404), ("cleo", "own", 404), ("ana", "none", 404)])
def test_a_recording_out_of_reach_is_not_there(
    world: World, make: Any, lead: Any, recording: CallRecording, who: str, level: str, status: int
) -> None:
    make.cell("Sales User", "Call Logs", "recordings", level)
    url = f"/calls/recording/{recording.id}"
    assert world.door(who).screen(url).status_code in (status, 403 if level == "none" else status)
    assert world.door(who).form(f"{url}/again").status_code in (status, 403 if level == "none" else status)
    assert hearings(world) == []
    assert url not in world.door(who).screen(f"/leads/show/{lead.id}").text


# --- settings


def test_the_report_counts_by_series(world: World, recording: CallRecording) -> None:
    page = world.door("root").screen("/settings/caller-ids/").text
    assert "140 series (promotional)" in page and "+91 140 123 4567 (140)" in page
    assert world.door("root").screen("/settings/caller-ids/?from=x").status_code == 400
    assert world.door("ana").screen("/settings/caller-ids/").status_code == 403
