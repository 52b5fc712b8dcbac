"""Files in conversations, in both directions, with the access rules of their message.

Reactions, replies, support pages.
"""

from __future__ import annotations

import gc
import io
import re
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.test import encode_multipart

from app import jobs
from app.domain.messaging import message_files
from app.domain.persistence import file_references
from app.inbound.inbound_virus_scans import INFECTED
from app.job_runner import run_slot
from app.models import (
    AuditEntry,
    BusinessSetting,
    Conversation,
    Message,
    MessageFile,
    MessageReaction,
    SupportPage,
)
from app.ops.queues import queue
from app.ops.storage.file_store import PREFIX
from app.ops.storage.virus_scanner import ScannerUnavailable
from app.outbox import provider_files
from app.web.records.attachments import message_uploads
from app.web.records.attachments.upload_rates import RATES
from tests import sample_uploads
from tests.app_fixtures import Crm
from tests.web.messaging.test_inbox import account, heard, out  # noqa: F401

JPEG = sample_uploads.picture()


def run_calls(crm: Crm) -> int:
    """Also the calls that these calls queue."""
    with crm.app.app_context():
        count = 0
        while more := int(queue._backend.run_waiting()):  # type: ignore[union-attr]
            count += more
        return count


def sent_file(content: bytes, name: str) -> FileStorage:
    return FileStorage(io.BytesIO(content), name)


def post(client: Any, url: str, **fields: Any) -> Any:
    """Send a form with files, from memory."""
    boundary, body = encode_multipart(MultiDict({"csrf_token": client.token, **fields}))
    return client.browser.post(url, data=body, content_type=f"multipart/form-data; boundary={boundary}")


def answer(client: Any, row: Any, text: str, **more: Any) -> Any:
    return post(client, f"/inbox/{row.id}/send", body=text, **({"key": "k1"} | more))


def refused(answered: Any, page: Any) -> str:
    """What a form that was refused says on the page to which it leads."""
    assert answered.status_code == 302
    return str(page.text)


def tokens(page: Any) -> list[str]:
    return re.findall(r'name="file" value="([^"]+)"', page.text)


def store_of(crm: Crm) -> Any:
    return crm.app.extensions["crm_files"]


def content_of(crm: Crm, digest: str) -> bytes:
    with store_of(crm).open(digest) as file:
        return bytes(file.read())


# --- sent


def test_a_picture_is_sent_with_its_text_as_caption_and_gets_a_preview(crm: Crm, account: Any) -> None:  # noqa: F811
    row, ana = heard(crm, account, claimed="ana"), crm.client("ana")
    assert answer(ana, row, "Your form", files=sent_file(JPEG, "form.jpg")).status_code == 302
    message = out(crm)[0]
    digest = message_files.digest_of(message.media[0])
    assert message.body == "Your form" and message.media[0]["caption"] == "Your form"
    assert (message.media[0]["mime_type"], message.media[0]["name"]) == ("image/jpeg", "form.jpg")
    assert content_of(crm, str(digest)) == JPEG
    assert run_calls(crm) >= 2
    (file,) = crm.rows(select(MessageFile))
    assert (file.state, file.digest) == ("sent", digest) and file.preview
    page = ana.screen(f"/inbox/{row.id}").text
    assert f"/inbox/message/{message.id}/file/0/preview" in page and 'bubble-text">Your form' in page
    small = ana.screen(f"/inbox/message/{message.id}/file/0/preview")
    assert small.mimetype == "image/jpeg" and len(small.data) < len(JPEG)
    assert small.headers["Cache-Control"] == "private, no-cache" and small.headers["ETag"]
    assert out(crm)[0].state == "sent"


def test_several_files_go_as_so_many_messages_once(crm: Crm, account: Any) -> None:  # noqa: F811
    row, ana = heard(crm, account, claimed="ana"), crm.client("ana")
    for _ in range(2):  # a double click
        chosen = [
            sent_file(sample_uploads.PDF, "a.pdf"),
            sent_file(sample_uploads.MP3, "voice.mp3"),
            sent_file(JPEG, "b.jpg"),
        ]
        assert answer(ana, row, "Three files", files=chosen).status_code == 302
    told = [(each.body, [file["name"] for file in each.media or []]) for each in out(crm)]
    assert told == [("Three files", []), ("a.pdf", ["a.pdf"]), ("voice.mp3", ["voice.mp3"]), ("b.jpg", ["b.jpg"])]
    assert provider_files.text_of(out(crm)[1]) == ""


#: Name, content or what makes it, what the sentence says.
BAD = [
    ("video.mp4", lambda: sample_uploads.MP4 + b"\0" * 25_500_000, "larger than 25 MB"),
    ("holiday.jpg", sample_uploads.HEIC, "HEIC"),
    ("logo.png", sample_uploads.HTML, "no picture, video"),
    ("drawing.svg", sample_uploads.SVG, "no picture, video"),
    ("run.pdf", sample_uploads.PROGRAM, "no picture, video"),
    ("letter.docx", sample_uploads.bomb, "harm computers"),
    ("many.zip", sample_uploads.many_parts, "harm computers"),
    ("papers.zip", sample_uploads.archive({"a.txt": b"x" * 50}), "archive"),
    ("nothing.pdf", b"", "empty"),
    ("dancing.gif", sample_uploads.GIF, "PDF, JPEG"),
    ("film.mp4", lambda: sample_uploads.MP4 + b"\0" * 17_000_000, "up to 16 MB"),
    ("huge.jpg", lambda: JPEG + b"\0" * 5_100_000, "up to 5 MB"),
]


@pytest.mark.parametrize(("name", "content", "words"), BAD, ids=[each[0] for each in BAD])
def test_a_bad_file_is_refused_in_words_and_nothing_typed_is_lost(
    crm: Crm,
    account: Any,  # noqa: F811
    name: str,
    content: bytes | Callable[[], bytes],
    words: str,
) -> None:
    content = content() if callable(content) else content
    row, ana = heard(crm, account, claimed="ana"), crm.client("ana")
    good = sent_file(sample_uploads.PDF, "good.pdf")
    page = answer(ana, row, "Please see both", files=[good, sent_file(content, name)])
    assert page.status_code == 422 and words in page.text and name in page.text
    assert "Please see both</textarea>" in page.text and "good.pdf" in page.text and out(crm) == []
    upload = post(ana, f"/inbox/files?channel=whatsapp&conversation={row.id}", files=sent_file(content, name))
    assert upload.status_code == 422 and words in upload.json["message"]
    # Once more, with what was kept
    kept = tokens(page)[:1]
    assert answer(ana, row, "Please see both", file=kept).status_code == 302
    assert [each["name"] for each in out(crm)[0].media] == ["good.pdf"]


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("../../etc/passwd", "passwd.jpg"),
        ("C:\\docs\\form.JPG", "form.JPG"),
        ("a\x00b\r\n.jpg", "ab.jpg"),
        ("picture.exe", "picture.exe.jpg"),
        ("x" * 4000 + ".jpg", "x" * 116 + ".jpg"),
        ("…", "….jpg"),
        ("फ़ॉर्म.jpg", "फ़ॉर्म.jpg"),
    ],
)
def test_a_name_is_never_a_path_and_fits_the_content(given: str, stored: str) -> None:
    assert message_uploads.with_ending(message_uploads.clean_name(given), "image/jpeg") == stored


def test_a_token_is_for_one_person_and_cannot_be_made(crm: Crm, account: Any) -> None:  # noqa: F811
    row = heard(crm, account)
    told = post(crm.client("ana"), "/inbox/files?channel=whatsapp", files=sent_file(sample_uploads.PDF, "a.pdf")).json
    assert told["name"] == "a.pdf" and told["size"] == "1 kB"
    for token in (told["token"], told["token"][:-3] + "abc", "x", ""):
        page = answer(crm.client("mia"), row, "Hello", file=token)
        assert page.status_code == 422 and "choose it again" in page.text, token
    assert out(crm) == []


def test_no_files_by_sms_and_none_above_ten(crm: Crm, account: Any) -> None:  # noqa: F811
    ana = crm.client("ana")
    row = heard(crm, account, channel="sms", claimed="ana")
    page = answer(ana, row, "x", files=sent_file(sample_uploads.PDF, "a.pdf"))
    assert page.status_code == 422 and "An SMS can" in page.text
    row = heard(crm, account, claimed="ana")
    chosen = [sent_file(sample_uploads.PDF + str(n).encode(), f"{n}.pdf") for n in range(11)]
    page = answer(ana, row, "x", files=chosen)
    assert page.status_code == 422 and "at most 10 files" in page.text and len(tokens(page)) == 10


# --- handed out


def test_files_follow_the_rules_of_their_message(crm: Crm, account: Any) -> None:  # noqa: F811
    row = heard(crm, account, claimed="ana")
    answer(crm.client("ana"), row, "Form", files=sent_file(sample_uploads.PDF, "abc;\u0939.pdf"))
    message = out(crm)[0]
    path = f"/inbox/message/{message.id}/file/0"
    got = crm.client("mia").screen(path)
    assert got.data == sample_uploads.PDF and got.mimetype == "application/octet-stream"
    assert got.headers["Content-Disposition"].startswith("attachment; filename=\"abc__.pdf\"; filename*=UTF-8''abc%3B")
    assert got.headers["X-Content-Type-Options"] == "nosniff" and "sandbox" in got.headers["Content-Security-Policy"]
    with crm.client("mia").screen(path, headers={"Range": "bytes=0-3"}) as part:
        assert (part.status_code, part.data) == (206, b"%PDF")
    for name, url in (("ben", path), ("cleo", path), ("ana", path[:-1] + "7"), ("ana", "/inbox/message/99999/file/0")):
        assert crm.client(name).screen(url).status_code == 404, (name, url)
        assert crm.client(name).screen(f"{url}/preview").status_code == 404, (name, url)
    assert crm.client("ben").rest("GET", f"message/{message.id}/file/0").status_code == 404
    assert crm.client(None).screen(path).status_code in (302, 401)


def test_a_provider_fetches_a_file_by_a_signed_address_for_a_time(crm: Crm, account: Any) -> None:  # noqa: F811
    row = heard(crm, account, claimed="ana")
    answer(crm.client("ana"), row, "Form", files=sent_file(sample_uploads.PDF, "form.pdf"))
    with crm.app.app_context():
        token = provider_files.address_of(out(crm)[0].id, 0).rpartition("/")[2]
        other = provider_files.address_of(out(crm)[0].id, 1).rpartition("/")[2]
    stranger = crm.app.test_client()
    got = stranger.get(f"/hooks/file/{token}")
    assert (got.status_code, got.data, got.mimetype) == (200, sample_uploads.PDF, "application/pdf")
    # Not the last character: some of its bits mean nothing.
    forged = f"{token[:-5]}{'y' if token[-5] == 'x' else 'x'}{token[-4:]}"
    for bad in (forged, other, "x", "a" * 300):
        assert stranger.get(f"/hooks/file/{bad}").status_code == 404
    provider_files.ADDRESS_SECONDS, before = -1, provider_files.ADDRESS_SECONDS
    try:
        assert stranger.get(f"/hooks/file/{token}").status_code == 404
    finally:
        provider_files.ADDRESS_SECONDS = before


# --- received


def played(crm: Crm, account: Any, **form: Any) -> Any:  # noqa: F811
    """The customer writes on the console's page, and the queue works it off."""
    client = crm.client("root")
    data = {"channel": "whatsapp", "peer": "+919820054321", "name": "Asha", "text": "", **form}
    answered = post(client, f"/settings/channels/console/{account.id}/write", **data)
    assert answered.status_code == 302, answered.text
    run_calls(crm)
    return crm.rows(select(Message).where(Message.direction == "in").order_by(Message.id.desc()))[0]


def test_a_file_of_a_customer_is_fetched_kept_and_shown(crm: Crm, account: Any) -> None:  # noqa: F811
    message = played(crm, account, text="My PAN card", files=sent_file(JPEG, "pan.jpg"))
    assert message.media[0]["address"].startswith(PREFIX) and message.body == "My PAN card"
    page = crm.client("ana").screen(f"/inbox/{message.conversation_id}").text
    assert f"/inbox/message/{message.id}/file/0/preview" in page
    # Whatever a customer sends is kept, and handed out as bytes only
    message = played(crm, account, files=sent_file(sample_uploads.HTML, "page.png"))
    got = crm.client("ana").screen(f"/inbox/message/{message.id}/file/0")
    assert got.data == sample_uploads.HTML and got.mimetype == "application/octet-stream"


def test_a_file_that_cannot_be_fetched_says_so_and_is_fetched_again(crm: Crm, account: Any) -> None:  # noqa: F811
    row = heard(crm, account, claimed="ana")
    store = store_of(crm)
    digest = store.put(sample_uploads.PDF).digest
    message = crm.rows(select(Message))[0]
    with crm.new_session() as session:
        kept = session.get_one(Message, message.id)
        kept.media = [{"address": "console:" + digest, "mime_type": "application/pdf", "name": "a.pdf", "caption": ""}]
        message_files.add_for(session, kept, kept.created_on)
        store.delete(digest)
        session.commit()
    run_calls(crm)
    ana = crm.client("ana")
    page = ana.screen(f"/inbox/{row.id}").text
    assert "The console has no such file." in page and "Fetch again" in page
    store.put(sample_uploads.PDF)
    assert crm.client("ben").form(f"/inbox/message/{message.id}/file/0/fetch").status_code == 404
    assert ana.form(f"/inbox/message/{message.id}/file/0/fetch").status_code == 302
    assert "being fetched" in ana.screen(f"/inbox/{row.id}").text
    run_calls(crm)
    assert ana.screen(f"/inbox/message/{message.id}/file/0").data == sample_uploads.PDF
    said = refused(ana.form(f"/inbox/message/{message.id}/file/0/fetch"), ana.screen(f"/inbox/{row.id}"))
    assert "This file isn" in said


def test_a_bomb_and_a_picture_of_too_many_pixels_harm_nobody(crm: Crm, account: Any) -> None:  # noqa: F811
    message = played(crm, account, files=sent_file(sample_uploads.large_png(), "large.png"))
    (row,) = crm.rows(select(MessageFile).where(MessageFile.message_id == message.id))
    assert (row.state, row.preview) == ("sent", None) and row.digest
    message = played(crm, account, files=sent_file(sample_uploads.bomb(), "letter.docx"))
    (row,) = crm.rows(select(MessageFile).where(MessageFile.message_id == message.id))
    assert row.state == "failed" and "harm computers" in row.error and row.digest is None


class Scanner:
    """Finds EICAR, unless it is away."""

    is_away = False

    def threat_in(self, file: Any) -> str | None:
        if self.is_away:
            raise ScannerUnavailable("away")
        return "Eicar-Signature" if b"EICAR" in file.read() else None


@pytest.fixture
def scanner(crm: Crm) -> Iterator[Scanner]:
    yield Scanner()
    crm.app.extensions["crm_scanner"] = None


@pytest.mark.parametrize("rule", ["refuse", "accept"])
def test_a_file_of_a_customer_is_scanned_before_it_is_kept(
    crm: Crm,
    account: Any,  # noqa: F811
    scanner: Scanner,
    rule: str,
) -> None:
    crm.session.merge(BusinessSetting(key="file_scan_rule", value=rule))
    crm.session.commit()

    def sent(content: bytes) -> Any:
        crm.app.extensions["crm_scanner"] = None  # the file that is played isn't an upload
        data = {"channel": "whatsapp", "peer": "+919820054321", "name": "Asha", "text": ""}
        url = f"/settings/channels/console/{account.id}/write"
        post(crm.client("root"), url, **data, files=sent_file(content, "letter.txt"))
        crm.app.extensions["crm_scanner"] = scanner
        run_calls(crm)
        return crm.rows(select(MessageFile).order_by(MessageFile.id.desc()))[0]

    row = sent(b"EICAR is a test")
    assert (row.state, row.error, row.digest) == ("failed", INFECTED, None)
    (entry,) = crm.rows(select(AuditEntry).where(AuditEntry.event == "infected file"))
    assert entry.payload["threat"] == "Eicar-Signature"
    scanner.is_away = True
    row = sent(b"a harmless letter")
    assert (row.state, bool(row.digest)) == (("sent", True) if rule == "accept" else ("queued", False))


# --- reactions and replies


def test_a_reaction_is_made_replaced_and_taken_back(crm: Crm, account: Any) -> None:  # noqa: F811
    message = played(crm, account, text="Thank you")
    with crm.new_session() as session:
        session.get_one(Message, message.id).reactions = {"peer": "❤️"}
        session.commit()
    url = f"/inbox/message/{message.id}/react"
    ids = {name: str(crm.people[name].id) for name in ("ana", "mia")}
    for name, emoji, expected in (("ana", "👍", {"ana": "👍"}), ("mia", "🙏", {"mia": "🙏"}), ("mia", "🙏", {})):
        assert crm.client(name).form(url, {"emoji": emoji}).status_code == 302
        kept = crm.fresh(message).reactions
        assert kept == {"peer": "❤️"} | {ids[who]: each for who, each in expected.items()}
    for emoji in ("x", "hello", "<b>", "👍👍👍👍👍👍👍👍👍👍", "\U0001f44d a"):
        ana = crm.client("ana")
        said = refused(ana.form(url, {"emoji": emoji}), ana.screen(f"/inbox/{message.conversation_id}"))
        assert "one emoji" in said and crm.fresh(message).reactions == {"peer": "❤️"}, emoji
    assert run_calls(crm) >= 1
    (row,) = crm.rows(select(MessageReaction))
    assert (row.state, row.emoji) == ("sent", "")


def test_an_answer_quotes_the_message_and_only_one_of_its_conversation(crm: Crm, account: Any) -> None:  # noqa: F811
    message, other = played(crm, account, text="Which branch?"), heard(crm, account)
    row, ana = crm.rows(select(Conversation).where(Conversation.id == message.conversation_id))[0], crm.client("ana")
    page = ana.screen(f"/inbox/{row.id}?reply={message.id}").text
    assert f'name="reply_to" value="{message.id}"' in page and "Which branch?" in page
    assert answer(ana, row, "Bandra", reply_to=message.id).status_code == 302
    assert out(crm)[0].reply_to_id == message.id
    foreign = crm.rows(select(Message).where(Message.conversation_id == other.id))[0]
    assert 'name="reply_to"' not in ana.screen(f"/inbox/{row.id}?reply={foreign.id}").text
    assert answer(ana, row, "x", reply_to=foreign.id, key="k9").status_code == 422


def test_what_an_account_cannot_do_is_said_and_refused(crm: Crm, account: Any) -> None:  # noqa: F811
    message = played(crm, account, text="Hello")
    with crm.new_session() as session:
        session.execute(update(type(account)).values(kind="twilio"))
        session.commit()
    row = crm.rows(select(Conversation))[0]
    ana = crm.client("ana")
    page = ana.screen(f"/inbox/{row.id}").text
    assert "send reactions, or show the customer" in page and "/react" not in page and "?reply=" not in page
    said = refused(ana.form(f"/inbox/message/{message.id}/react", {"emoji": "👍"}), ana.screen(f"/inbox/{row.id}"))
    assert "Reactions can" in said and crm.fresh(message).reactions is None
    page = answer(ana, row, "x", reply_to=message.id)
    assert page.status_code == 422 and "which message you answer" in page.text


# --- support pages


def test_a_support_page_is_sent_from_a_ticket_in_two_clicks(crm: Crm, account: Any) -> None:  # noqa: F811
    page = SupportPage(label="Reset your password", url="https://help.example.in/reset", description="Step by step")
    hidden = SupportPage(label="Old", url="https://help.example.in/old", is_active=False)
    crm.session.add_all([page, hidden])
    crm.session.commit()
    ticket = crm.make.ticket("cleo", mobile="9820054321", first_name="Asha")
    cleo = crm.client("cleo")
    assert f"/inbox/pages/ticket/{ticket.id}" in cleo.screen(f"/tickets/show/{ticket.id}").text
    chooser = cleo.screen(f"/inbox/pages/ticket/{ticket.id}").text
    assert "Reset your password" in chooser and "Old" not in re.findall(r"<b>([^<]*)</b>", chooser)
    key = re.findall(r'name="key" value="([^"]+)"', chooser)[0]
    for _ in range(2):
        done = cleo.form(f"/inbox/pages/ticket/{ticket.id}", {"key": key, "only": page.id})
        assert done.headers["Location"] == f"/tickets/show/{ticket.id}"
    (message,) = out(crm)
    assert (message.channel, message.ticket_id, message.peer) == ("whatsapp", ticket.id, "+919820054321")
    assert "📋 *Reset your password*" in message.body and "https://help.example.in/reset" in message.body
    for bad in ({"only": hidden.id}, {}, {"page": ["x"]}, {"page": ["²"]}, {"page": ["9" * 5000]}, {"only": "99999"}):
        again = cleo.form(f"/inbox/pages/ticket/{ticket.id}", {"key": "k2", **bad})
        assert again.status_code == 422 and "at least one support page" in again.text, bad
    assert crm.client("ben").screen(f"/inbox/pages/ticket/{ticket.id}").status_code in (403, 404)


# --- how many


def test_one_request_sends_few_files_and_each_once(crm: Crm, account: Any) -> None:  # noqa: F811
    row, ana = heard(crm, account, claimed="ana"), crm.client("ana")
    url = f"/inbox/files?channel=whatsapp&conversation={row.id}"
    given = [post(ana, url, files=sent_file(JPEG, f"{n}.jpg")).json["token"] for n in range(11)]
    body = {"channel": "whatsapp", "peer": row.peer, "body": "Look"}
    many = ana.rest("POST", "message/", body | {"files": given})
    assert many.status_code == 422 and "at most 10 files" in many.json["message"] and not out(crm)
    assert ana.rest("POST", "message/", body | {"files": [given[0]] * 50}).status_code == 201
    assert [[file["name"] for file in each.media] for each in out(crm)] == [["0.jpg"]]


def test_nobody_fills_the_disk_of_all(crm: Crm, account: Any) -> None:  # noqa: F811
    counter = crm.app.extensions["crm_limits"].counter
    counter.add(f"upload 3600 {crm.id_of('ana')}", RATES[0], time.time(), RATES[0].limit - 2 * len(JPEG))
    ana = crm.client("ana")
    clients = [
        lambda: post(ana, "/inbox/files?channel=whatsapp", files=sent_file(JPEG, "a.jpg")),
        lambda: post(ana, "/mail/file", files=sent_file(JPEG, "a.jpg")),
    ]
    assert [each().status_code for each in clients] == [201, 200]
    assert [each().status_code for each in clients] == [429, 429]
    assert post(crm.client("ben"), "/inbox/files?channel=whatsapp", files=sent_file(JPEG, "a.jpg")).status_code == 201


# --- whose right it takes


def test_who_only_reads_a_message_has_none_of_its_files_fetched(crm: Crm, account: Any) -> None:  # noqa: F811
    heard(crm, account, claimed="ana")
    message = crm.session.scalars(select(Message)).one()
    message.media = [{"address": "https://provider.example/x", "mime_type": "image/jpeg", "name": "a", "caption": ""}]
    crm.session.add(MessageFile(message_id=message.id, place=0, tries=3, state="failed", error="It was away."))
    crm.session.commit()
    crm.make.cell("Compliance", "Messages", "write", "own")  # and read is "all"
    fetch = f"/inbox/message/{message.id}/file/0/fetch"
    assert crm.client("rhea").form(fetch).status_code == 403
    assert crm.rows(select(MessageFile.state)) == ["failed"]
    assert crm.client("ana").form(fetch).status_code == 302
    assert crm.rows(select(MessageFile.state)) == ["queued"]


@pytest.mark.parametrize("asked", ["bytes=99999999999999999999-", "bytes=abc", "bytes=0-0,1-1", "items=0-1"])
def test_a_file_is_closed_where_no_such_part_is_in_it(crm: Crm, account: Any, asked: str) -> None:  # noqa: F811
    row, ana = heard(crm, account, claimed="ana"), crm.client("ana")
    answer(ana, row, "Form", files=sent_file(JPEG, "form.jpg"))
    gc.freeze()  # so that only newer objects are collected: to look at all of a process takes seconds
    with warnings.catch_warnings(record=True) as caught:  # a file that only garbage collection closes is told of
        warnings.simplefilter("always", ResourceWarning)
        shown = ana.screen(f"/inbox/message/{out(crm)[0].id}/file/0", headers={"Range": asked})
        gc.collect()
    assert shown.status_code == 416 and not [each for each in caught if each.category is ResourceWarning]


# --- what nobody needs


def test_files_that_no_row_needs_are_removed_after_a_day(crm: Crm, account: Any) -> None:  # noqa: F811
    row = heard(crm, account, claimed="ana")
    answer(crm.client("ana"), row, "Form", files=sent_file(JPEG, "form.jpg"))
    run_calls(crm)
    store = store_of(crm)
    forgotten = store.put(b"%PDF- nobody needs this").digest
    in_use = {each for each, _column in _used(crm)}
    job = next(each for each in jobs.SCHEDULE if each.name == "forget files that nobody needs")
    for hours, is_here in ((23, True), (25, False)):
        at = datetime.now(UTC) + timedelta(hours=hours)
        with crm.app.app_context():
            run_slot(crm.app.extensions["crm_jobs"], job, (at.isoformat()[:30], at), at)
        here = {digest for digest, _stored_on in store.list()}
        assert (forgotten in here) is is_here and in_use <= here, hours
    assert len(in_use) == 2  # the picture and its preview


def _used(crm: Crm) -> list[tuple[str, str]]:
    with crm.new_session() as session:
        return list(file_references.used_digests(session))
