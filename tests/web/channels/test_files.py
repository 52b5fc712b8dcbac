"""Files in conversations, both ways, under the rules of their message; reactions, replies, support pages."""

from __future__ import annotations

import gc
import io
import re
import time
import warnings
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.test import encode_multipart

from app import jobs
from app.domain import file_references, message_files
from app.job_runner import run_slot
from app.models import Conversation, Message, MessageFile, MessageReaction, SupportPage
from app.ops import queue
from app.ops.file_store import PREFIX
from app.outbox import outbound_files
from app.web.records import uploads
from app.web.records.upload_limits import RATES
from tests import sample_uploads
from tests.app_fixtures import World
from tests.web.channels.test_inbox import account, heard, out  # noqa: F401

JPEG = sample_uploads.picture()


def run_calls(world: World) -> int:
    """Also the calls that these calls queue."""
    with world.app.app_context():
        count = 0
        while more := int(queue._backend.run_waiting()):  # type: ignore[union-attr]
            count += more
        return count


def sent_file(content: bytes, name: str) -> FileStorage:
    return FileStorage(io.BytesIO(content), name)


def post(door: Any, url: str, **fields: Any) -> Any:
    """Send a form with files, from memory."""
    boundary, body = encode_multipart(MultiDict({"csrf_token": door.token, **fields}))
    return door.browser.post(url, data=body, content_type=f"multipart/form-data; boundary={boundary}")


def answer(door: Any, row: Any, text: str, **more: Any) -> Any:
    return post(door, f"/inbox/{row.id}/send", body=text, **({"key": "k1"} | more))


def refused(answered: Any, page: Any) -> str:
    """What a form that was refused says on the page to which it leads."""
    assert answered.status_code == 302
    return str(page.text)


def tokens(page: Any) -> list[str]:
    return re.findall(r'name="file" value="([^"]+)"', page.text)


def store_of(world: World) -> Any:
    return world.app.extensions["crm_files"]


def content_of(world: World, digest: str) -> bytes:
    with store_of(world).open(digest) as file:
        return bytes(file.read())


# --- sent


def test_a_picture_is_sent_with_its_text_as_caption_and_gets_a_preview(world: World, account: Any) -> None:  # noqa: F811
    row, ana = heard(world, account, claimed="ana"), world.door("ana")
    assert answer(ana, row, "Your form", files=sent_file(JPEG, "form.jpg")).status_code == 302
    message = out(world)[0]
    digest = message_files.digest_of(message.media[0])
    assert message.body == "Your form" and message.media[0]["caption"] == "Your form"
    assert (message.media[0]["mime_type"], message.media[0]["name"]) == ("image/jpeg", "form.jpg")
    assert content_of(world, digest) == JPEG
    assert run_calls(world) >= 2
    (file,) = world.rows(select(MessageFile))
    assert (file.state, file.digest) == ("sent", digest) and file.preview
    page = ana.screen(f"/inbox/{row.id}").text
    assert f"/inbox/message/{message.id}/file/0/preview" in page and 'bubble-text">Your form' in page
    small = ana.screen(f"/inbox/message/{message.id}/file/0/preview")
    assert small.mimetype == "image/jpeg" and len(small.data) < len(JPEG)
    assert out(world)[0].state == "sent"


def test_several_files_go_as_so_many_messages_once(world: World, account: Any) -> None:  # noqa: F811
    row, ana = heard(world, account, claimed="ana"), world.door("ana")
    for _ in range(2):  # a double click
        chosen = [
            sent_file(sample_uploads.PDF, "a.pdf"),
            sent_file(sample_uploads.MP3, "voice.mp3"),
            sent_file(JPEG, "b.jpg"),
        ]
        assert answer(ana, row, "Three files", files=chosen).status_code == 302
    told = [(each.body, [file["name"] for file in each.media or []]) for each in out(world)]
    assert told == [("Three files", []), ("a.pdf", ["a.pdf"]), ("voice.mp3", ["voice.mp3"]), ("b.jpg", ["b.jpg"])]
    assert outbound_files.text_of(out(world)[1]) == ""


#: name, content -> what the sentence says.
BAD = [
    ("video.mp4", sample_uploads.MP4 + b"\0" * 25_500_000, "larger than 25 MB"),
    ("holiday.jpg", sample_uploads.HEIC, "HEIC"),
    ("logo.png", sample_uploads.HTML, "no picture, video"),
    ("drawing.svg", sample_uploads.SVG, "no picture, video"),
    ("run.pdf", sample_uploads.PROGRAM, "no picture, video"),
    ("letter.docx", sample_uploads.bomb(), "harm computers"),
    ("many.zip", sample_uploads.many_parts(), "harm computers"),
    ("papers.zip", sample_uploads.archive({"a.txt": b"x" * 50}), "archive"),
    ("nothing.pdf", b"", "empty"),
    ("dancing.gif", sample_uploads.GIF, "PDF, JPEG"),
    ("film.mp4", sample_uploads.MP4 + b"\0" * 17_000_000, "up to 16 MB"),
    ("huge.jpg", JPEG + b"\0" * 5_100_000, "up to 5 MB"),
]


@pytest.mark.parametrize(("name", "content", "words"), BAD, ids=[each[0] for each in BAD])
def test_a_bad_file_is_refused_in_words_and_nothing_typed_is_lost(
    world: World,
    account: Any,  # noqa: F811
    name: str,
    content: bytes,
    words: str,
) -> None:
    row, ana = heard(world, account, claimed="ana"), world.door("ana")
    good = sent_file(sample_uploads.PDF, "good.pdf")
    page = answer(ana, row, "Please see both", files=[good, sent_file(content, name)])
    assert page.status_code == 422 and words in page.text and name in page.text
    assert "Please see both</textarea>" in page.text and "good.pdf" in page.text and out(world) == []
    upload = post(ana, f"/inbox/files?channel=whatsapp&conversation={row.id}", files=sent_file(content, name))
    assert upload.status_code == 422 and words in upload.json["message"]
    # Once more, with what was kept
    kept = tokens(page)[:1]
    assert answer(ana, row, "Please see both", file=kept).status_code == 302
    assert [each["name"] for each in out(world)[0].media] == ["good.pdf"]


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
    assert uploads.with_ending(uploads.clean_name(given), "image/jpeg") == stored


def test_a_token_is_for_one_person_and_cannot_be_made(world: World, account: Any) -> None:  # noqa: F811
    row = heard(world, account)
    told = post(world.door("ana"), "/inbox/files?channel=whatsapp", files=sent_file(sample_uploads.PDF, "a.pdf")).json
    assert told["name"] == "a.pdf" and told["size"] == "1 kB"
    for token in (told["token"], told["token"][:-3] + "abc", "x", ""):
        page = answer(world.door("mia"), row, "Hello", file=token)
        assert page.status_code == 422 and "choose it again" in page.text, token
    assert out(world) == []


def test_no_files_by_sms_and_none_above_ten(world: World, account: Any) -> None:  # noqa: F811
    ana = world.door("ana")
    row = heard(world, account, channel="sms", claimed="ana")
    page = answer(ana, row, "x", files=sent_file(sample_uploads.PDF, "a.pdf"))
    assert page.status_code == 422 and "An SMS can" in page.text
    row = heard(world, account, claimed="ana")
    chosen = [sent_file(sample_uploads.PDF + str(n).encode(), f"{n}.pdf") for n in range(11)]
    page = answer(ana, row, "x", files=chosen)
    assert page.status_code == 422 and "at most 10 files" in page.text and len(tokens(page)) == 10


# --- handed out


def test_files_follow_the_rules_of_their_message(world: World, account: Any) -> None:  # noqa: F811
    row = heard(world, account, claimed="ana")
    answer(world.door("ana"), row, "Form", files=sent_file(sample_uploads.PDF, "abc;\u0939.pdf"))
    message = out(world)[0]
    path = f"/inbox/message/{message.id}/file/0"
    got = world.door("mia").screen(path)
    assert got.data == sample_uploads.PDF and got.mimetype == "application/octet-stream"
    assert got.headers["Content-Disposition"].startswith("attachment; filename=\"abc__.pdf\"; filename*=UTF-8''abc%3B")
    assert got.headers["X-Content-Type-Options"] == "nosniff" and "sandbox" in got.headers["Content-Security-Policy"]
    with world.door("mia").screen(path, headers={"Range": "bytes=0-3"}) as part:
        assert (part.status_code, part.data) == (206, b"%PDF")
    for name, url in (("ben", path), ("cleo", path), ("ana", path[:-1] + "7"), ("ana", "/inbox/message/99999/file/0")):
        assert world.door(name).screen(url).status_code == 404, (name, url)
        assert world.door(name).screen(f"{url}/preview").status_code == 404, (name, url)
    assert world.door("ben").rest("GET", f"message/{message.id}/file/0").status_code == 404
    assert world.door(None).screen(path).status_code in (302, 401)


def test_a_provider_fetches_a_file_by_a_signed_address_for_a_time(world: World, account: Any) -> None:  # noqa: F811
    row = heard(world, account, claimed="ana")
    answer(world.door("ana"), row, "Form", files=sent_file(sample_uploads.PDF, "form.pdf"))
    with world.app.app_context():
        token = outbound_files.address_of(out(world)[0].id, 0).rpartition("/")[2]
        other = outbound_files.address_of(out(world)[0].id, 1).rpartition("/")[2]
    stranger = world.app.test_client()
    got = stranger.get(f"/hooks/file/{token}")
    assert (got.status_code, got.data, got.mimetype) == (200, sample_uploads.PDF, "application/pdf")
    for bad in (token[:-1] + "x", other, "x", "a" * 300):
        assert stranger.get(f"/hooks/file/{bad}").status_code == 404
    outbound_files.ADDRESS_SECONDS, before = -1, outbound_files.ADDRESS_SECONDS
    try:
        assert stranger.get(f"/hooks/file/{token}").status_code == 404
    finally:
        outbound_files.ADDRESS_SECONDS = before


# --- received


def played(world: World, account: Any, **form: Any) -> Any:  # noqa: F811
    """The customer writes on the console's page, and the queue works it off."""
    door = world.door("root")
    data = {"channel": "whatsapp", "peer": "+919820054321", "name": "Asha", "text": "", **form}
    answered = post(door, f"/settings/channels/console/{account.id}/write", **data)
    assert answered.status_code == 302, answered.text
    run_calls(world)
    return world.rows(select(Message).where(Message.direction == "in").order_by(Message.id.desc()))[0]


def test_a_file_of_a_customer_is_fetched_kept_and_shown(world: World, account: Any) -> None:  # noqa: F811
    message = played(world, account, text="My PAN card", files=sent_file(JPEG, "pan.jpg"))
    assert message.media[0]["address"].startswith(PREFIX) and message.body == "My PAN card"
    page = world.door("ana").screen(f"/inbox/{message.conversation_id}").text
    assert f"/inbox/message/{message.id}/file/0/preview" in page
    # Whatever a customer sends is kept, and handed out as bytes only
    message = played(world, account, files=sent_file(sample_uploads.HTML, "page.png"))
    got = world.door("ana").screen(f"/inbox/message/{message.id}/file/0")
    assert got.data == sample_uploads.HTML and got.mimetype == "application/octet-stream"


def test_a_file_that_cannot_be_fetched_says_so_and_is_fetched_again(world: World, account: Any) -> None:  # noqa: F811
    row = heard(world, account, claimed="ana")
    store = store_of(world)
    digest = store.put(sample_uploads.PDF).digest
    message = world.rows(select(Message))[0]
    with world.new_session() as session:
        kept = session.get_one(Message, message.id)
        kept.media = [{"address": "console:" + digest, "mime_type": "application/pdf", "name": "a.pdf", "caption": ""}]
        message_files.add_for(session, kept, kept.created_on)
        store.delete(digest)
        session.commit()
    run_calls(world)
    ana = world.door("ana")
    page = ana.screen(f"/inbox/{row.id}").text
    assert "The console has no such file." in page and "Fetch again" in page
    store.put(sample_uploads.PDF)
    assert world.door("ben").form(f"/inbox/message/{message.id}/file/0/fetch").status_code == 404
    assert ana.form(f"/inbox/message/{message.id}/file/0/fetch").status_code == 302
    assert "being fetched" in ana.screen(f"/inbox/{row.id}").text
    run_calls(world)
    assert ana.screen(f"/inbox/message/{message.id}/file/0").data == sample_uploads.PDF
    said = refused(ana.form(f"/inbox/message/{message.id}/file/0/fetch"), ana.screen(f"/inbox/{row.id}"))
    assert "This file isn" in said


def test_a_bomb_and_a_picture_of_too_many_pixels_harm_nobody(world: World, account: Any) -> None:  # noqa: F811
    message = played(world, account, files=sent_file(sample_uploads.large_png(), "large.png"))
    (row,) = world.rows(select(MessageFile).where(MessageFile.message_id == message.id))
    assert (row.state, row.preview) == ("sent", None) and row.digest
    message = played(world, account, files=sent_file(sample_uploads.bomb(), "letter.docx"))
    (row,) = world.rows(select(MessageFile).where(MessageFile.message_id == message.id))
    assert row.state == "failed" and "harm computers" in row.error and row.digest is None


# --- reactions and replies


def test_a_reaction_is_made_replaced_and_taken_back(world: World, account: Any) -> None:  # noqa: F811
    message = played(world, account, text="Thank you")
    with world.new_session() as session:
        session.get_one(Message, message.id).reactions = {"peer": "❤️"}
        session.commit()
    url = f"/inbox/message/{message.id}/react"
    ids = {name: str(world.people[name].id) for name in ("ana", "mia")}
    for name, emoji, expected in (("ana", "👍", {"ana": "👍"}), ("mia", "🙏", {"mia": "🙏"}), ("mia", "🙏", {})):
        assert world.door(name).form(url, {"emoji": emoji}).status_code == 302
        kept = world.fresh(message).reactions
        assert kept == {"peer": "❤️"} | {ids[who]: each for who, each in expected.items()}
    for emoji in ("x", "hello", "<b>", "👍👍👍👍👍👍👍👍👍👍", "\U0001f44d a"):
        ana = world.door("ana")
        said = refused(ana.form(url, {"emoji": emoji}), ana.screen(f"/inbox/{message.conversation_id}"))
        assert "one emoji" in said and world.fresh(message).reactions == {"peer": "❤️"}, emoji
    assert run_calls(world) >= 1
    (row,) = world.rows(select(MessageReaction))
    assert (row.state, row.emoji) == ("sent", "")


def test_an_answer_quotes_the_message_and_only_one_of_its_conversation(world: World, account: Any) -> None:  # noqa: F811
    message, other = played(world, account, text="Which branch?"), heard(world, account)
    row, ana = world.rows(select(Conversation).where(Conversation.id == message.conversation_id))[0], world.door("ana")
    page = ana.screen(f"/inbox/{row.id}?reply={message.id}").text
    assert f'name="reply_to" value="{message.id}"' in page and "Which branch?" in page
    assert answer(ana, row, "Bandra", reply_to=message.id).status_code == 302
    assert out(world)[0].reply_to_id == message.id
    foreign = world.rows(select(Message).where(Message.conversation_id == other.id))[0]
    assert 'name="reply_to"' not in ana.screen(f"/inbox/{row.id}?reply={foreign.id}").text
    assert answer(ana, row, "x", reply_to=foreign.id, key="k9").status_code == 422


def test_what_an_account_cannot_do_is_said_and_refused(world: World, account: Any) -> None:  # noqa: F811
    message = played(world, account, text="Hello")
    with world.new_session() as session:
        session.execute(update(type(account)).values(kind="twilio"))
        session.commit()
    row = world.rows(select(Conversation))[0]
    ana = world.door("ana")
    page = ana.screen(f"/inbox/{row.id}").text
    assert "send reactions, or show the customer" in page and "/react" not in page and "?reply=" not in page
    said = refused(ana.form(f"/inbox/message/{message.id}/react", {"emoji": "👍"}), ana.screen(f"/inbox/{row.id}"))
    assert "Reactions can" in said and world.fresh(message).reactions is None
    page = answer(ana, row, "x", reply_to=message.id)
    assert page.status_code == 422 and "which message you answer" in page.text


# --- support pages


def test_a_support_page_is_sent_from_a_ticket_in_two_clicks(world: World, account: Any) -> None:  # noqa: F811
    page = SupportPage(label="Reset your password", url="https://help.example.in/reset", description="Step by step")
    hidden = SupportPage(label="Old", url="https://help.example.in/old", is_active=False)
    world.session.add_all([page, hidden])
    world.session.commit()
    ticket = world.make.ticket("cleo", mobile="9820054321", first_name="Asha")
    cleo = world.door("cleo")
    assert f"/inbox/pages/ticket/{ticket.id}" in cleo.screen(f"/tickets/show/{ticket.id}").text
    chooser = cleo.screen(f"/inbox/pages/ticket/{ticket.id}").text
    assert "Reset your password" in chooser and "Old" not in re.findall(r"<b>([^<]*)</b>", chooser)
    key = re.findall(r'name="key" value="([^"]+)"', chooser)[0]
    for _ in range(2):
        done = cleo.form(f"/inbox/pages/ticket/{ticket.id}", {"key": key, "only": page.id})
        assert done.headers["Location"] == f"/tickets/show/{ticket.id}"
    (message,) = out(world)
    assert (message.channel, message.ticket_id, message.peer) == ("whatsapp", ticket.id, "+919820054321")
    assert "📋 *Reset your password*" in message.body and "https://help.example.in/reset" in message.body
    for bad in ({"only": hidden.id}, {}, {"page": ["x"]}, {"page": ["²"]}, {"page": ["9" * 5000]}, {"only": "99999"}):
        again = cleo.form(f"/inbox/pages/ticket/{ticket.id}", {"key": "k2", **bad})
        assert again.status_code == 422 and "at least one support page" in again.text, bad
    assert world.door("ben").screen(f"/inbox/pages/ticket/{ticket.id}").status_code in (403, 404)


# --- how many


def test_one_request_sends_few_files_and_each_once(world: World, account: Any) -> None:  # noqa: F811
    row, ana = heard(world, account, claimed="ana"), world.door("ana")
    url = f"/inbox/files?channel=whatsapp&conversation={row.id}"
    given = [post(ana, url, files=sent_file(JPEG, f"{n}.jpg")).json["token"] for n in range(11)]
    body = {"channel": "whatsapp", "peer": row.peer, "body": "Look"}
    many = ana.rest("POST", "message/", body | {"files": given})
    assert many.status_code == 422 and "at most 10 files" in many.json["message"] and not out(world)
    assert ana.rest("POST", "message/", body | {"files": [given[0]] * 50}).status_code == 201
    assert [[file["name"] for file in each.media] for each in out(world)] == [["0.jpg"]]


def test_nobody_fills_the_disk_of_all(world: World, account: Any) -> None:  # noqa: F811
    counter = world.app.extensions["crm_limits"].counter
    counter.add(f"upload 3600 {world.id_of('ana')}", RATES[0], time.time(), RATES[0].limit - 2 * len(JPEG))
    ana = world.door("ana")
    doors = [
        lambda: post(ana, "/inbox/files?channel=whatsapp", files=sent_file(JPEG, "a.jpg")),
        lambda: post(ana, "/mail/file", files=sent_file(JPEG, "a.jpg")),
    ]
    assert [each().status_code for each in doors] == [201, 200]
    assert [each().status_code for each in doors] == [429, 429]
    assert post(world.door("ben"), "/inbox/files?channel=whatsapp", files=sent_file(JPEG, "a.jpg")).status_code == 201


# --- whose right it takes


def test_who_only_reads_a_message_has_none_of_its_files_fetched(world: World, account: Any) -> None:  # noqa: F811
    heard(world, account, claimed="ana")
    message = world.session.scalars(select(Message)).one()
    message.media = [{"address": "https://provider.example/x", "mime_type": "image/jpeg", "name": "a", "caption": ""}]
    world.session.add(MessageFile(message_id=message.id, place=0, tries=3, state="failed", error="It was away."))
    world.session.commit()
    world.make.cell("Compliance", "Messages", "write", "own")  # and read is "all"
    fetch = f"/inbox/message/{message.id}/file/0/fetch"
    assert world.door("rhea").form(fetch).status_code == 403
    assert world.rows(select(MessageFile.state)) == ["failed"]
    assert world.door("ana").form(fetch).status_code == 302
    assert world.rows(select(MessageFile.state)) == ["queued"]


@pytest.mark.parametrize("asked", ["bytes=99999999999999999999-", "bytes=abc", "bytes=0-0,1-1", "items=0-1"])
def test_a_file_is_closed_where_no_such_part_is_in_it(world: World, account: Any, asked: str) -> None:  # noqa: F811
    row, ana = heard(world, account, claimed="ana"), world.door("ana")
    answer(ana, row, "Form", files=sent_file(JPEG, "form.jpg"))
    with warnings.catch_warnings(record=True) as caught:  # a file that only garbage collection closes is told of
        warnings.simplefilter("always", ResourceWarning)
        shown = ana.screen(f"/inbox/message/{out(world)[0].id}/file/0", headers={"Range": asked})
        gc.collect()
    assert shown.status_code == 416 and not [each for each in caught if each.category is ResourceWarning]


# --- what nobody needs


def test_files_that_no_row_needs_are_removed_after_a_day(world: World, account: Any) -> None:  # noqa: F811
    row = heard(world, account, claimed="ana")
    answer(world.door("ana"), row, "Form", files=sent_file(JPEG, "form.jpg"))
    run_calls(world)
    store = store_of(world)
    forgotten = store.put(b"%PDF- nobody needs this").digest
    in_use = {each for each, _column in _used(world)}
    job = next(each for each in jobs.SCHEDULE if each.name == "forget files that nobody needs")
    for hours, is_here in ((23, True), (25, False)):
        at = datetime.now(UTC) + timedelta(hours=hours)
        with world.app.app_context():
            run_slot(world.app.extensions["crm_jobs"], job, (at.isoformat()[:30], at), at)
        here = {digest for digest, _stored_on in store.list()}
        assert (forgotten in here) is is_here and in_use <= here, hours
    assert len(in_use) == 2  # the picture and its preview


def _used(world: World) -> list[tuple[str, str]]:
    with world.new_session() as session:
        return list(file_references.used_digests(session))
