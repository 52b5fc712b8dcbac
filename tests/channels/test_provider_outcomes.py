"""The state of a message after each response of a provider: sent, refused for now or for good, or unknown."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from app.channels.base import ChannelError, DeliveryUnknown
from app.channels.failure_reasons import LASTING, SENTENCES
from app.channels.http_client import NO_TLS, HttpClient, HttpRequest
from app.channels.provider import (
    ListedTemplate,
    Media,
    OnDoNotDisturb,
    OptedOut,
    ProviderRefusal,
    StatusUnavailable,
    Template,
)
from app.channels.twilio_library import TwilioHttp
from tests.channels.accounts import DLT, META, TWILIO, a_call, exotel, meta, outgoing, twilio, whatsapp
from tests.channels.certificates import make_certificate
from tests.channels.doubles import FaultServer, faults
from tests.channels.receiver import receiving
from tests.servers import eventually, free_port

SEND: dict[str, Callable[..., Any]] = {
    "twilio": lambda url, **more: twilio(url, **more).send(outgoing()),
    "meta": lambda url, **more: meta(url, **more).send(whatsapp()),
    "exotel": lambda url, **more: exotel(url, **more).send(outgoing(template=DLT)),
}
CALL: dict[str, Callable[..., Any]] = {
    "twilio": lambda url: twilio(url).call(a_call()),
    "exotel": lambda url: exotel(url).call(a_call()),
}
UNKNOWN = "unknown"


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with faults() as running:
        yield running


def twilio_says(status: int, code: int, **headers: str) -> tuple[int, dict[str, str], bytes]:
    told = {"code": code, "message": "The 'To' number +919820012345 is wrong", "more_info": "", "status": status}
    return status, headers, json.dumps(told).encode()


def meta_says(status: int, code: int, **headers: str) -> tuple[int, dict[str, str], bytes]:
    told = {"error": {"message": "(#1) +919820012345", "type": "OAuthException", "code": code, "fbtrace_id": "x"}}
    return status, headers, json.dumps(told).encode()


def exotel_says(status: int, **headers: str) -> tuple[int, dict[str, str], bytes]:
    return status, headers, json.dumps({"RestException": {"Status": status, "Message": "+919820012345"}}).encode()


#: (provider, answer, the reason or UNKNOWN, code, seconds to wait).
ANSWERS: list[tuple[str, Any, str, str, float]] = [
    ("twilio", twilio_says(400, 21211), "bad_number", "21211", 0),
    ("twilio", twilio_says(400, 21614), "not_mobile", "21614", 0),
    ("twilio", twilio_says(400, 21610), "opted_out", "21610", 0),
    ("twilio", twilio_says(400, 63016), "window_closed", "63016", 0),
    ("twilio", twilio_says(400, 21606), "bad_sender", "21606", 0),
    ("twilio", twilio_says(400, 99999), "refused", "99999", 0),
    ("twilio", twilio_says(401, 20003), "sign_in", "20003", 0),
    ("twilio", twilio_says(403, 20005), "suspended", "20005", 0),
    ("twilio", twilio_says(429, 20429, **{"Retry-After": "7"}), "too_fast", "20429", 7),
    ("twilio", (429, {"Retry-After": "1000000"}, b""), "too_fast", "", 3600),
    ("twilio", (429, {"Retry-After": "soon"}, b"<html>"), "too_fast", "", 0),
    ("twilio", (404, {}, b"not found"), "wrong_address", "", 0),
    ("twilio", (408, {}, b""), "provider_fault", "", 0),
    ("twilio", (302, {"Location": "https://evil.example/"}, b""), "wrong_address", "", 0),
    ("twilio", twilio_says(500, 20500), "provider_fault", "20500", 0),
    ("twilio", (503, {"Retry-After": "3"}, b""), "provider_fault", "", 3),
    ("twilio", (500, {}, b"<html>Internal error</html>"), UNKNOWN, "", 0),
    ("twilio", twilio_says(502, 20500), UNKNOWN, "", 0),
    ("twilio", (504, {}, b""), UNKNOWN, "", 0),
    ("twilio", (201, {}, b"thanks"), UNKNOWN, "", 0),
    ("twilio", (201, {}, b"[]"), UNKNOWN, "", 0),
    ("twilio", (201, {}, b"{}"), UNKNOWN, "", 0),
    ("twilio", (201, {}, b'{"sid": 5}'), UNKNOWN, "", 0),
    ("twilio", (201, {}, b'{"sid": "SM1", "status": "failed", "error_code": 30007}'), "blocked", "30007", 0),
    ("meta", meta_says(400, 131047), "window_closed", "131047", 0),
    ("meta", meta_says(400, 131026), "not_on_whatsapp", "131026", 0),
    ("meta", meta_says(400, 131056), "too_fast", "131056", 6),
    ("meta", meta_says(429, 130429, **{"Retry-After": "20"}), "too_fast", "130429", 20),
    ("meta", meta_says(401, 190), "sign_in", "190", 0),
    ("meta", meta_says(403, 200), "sign_in", "200", 0),
    ("meta", meta_says(400, 132000), "bad_variables", "132000", 0),
    ("meta", meta_says(404, 132001), "bad_template", "132001", 0),
    ("meta", meta_says(400, 132015), "bad_template", "132015", 0),
    ("meta", meta_says(400, 131050), "opted_out", "131050", 0),
    ("meta", meta_says(400, 100), "refused", "100", 0),
    ("meta", meta_says(500, 131000), "provider_fault", "131000", 0),
    ("meta", meta_says(500, 1), UNKNOWN, "", 0),
    ("meta", (503, {}, b""), "provider_fault", "", 0),
    ("meta", (500, {}, b""), UNKNOWN, "", 0),
    ("meta", (200, {}, b"{}"), UNKNOWN, "", 0),
    ("meta", (200, {}, b'{"messages": [5]}'), UNKNOWN, "", 0),
    ("meta", (200, {}, b"[" * 100_000), UNKNOWN, "", 0),
    ("exotel", exotel_says(400), "refused", "400", 0),
    ("exotel", exotel_says(401), "sign_in", "401", 0),
    ("exotel", exotel_says(403), "suspended", "403", 0),
    ("exotel", exotel_says(429, **{"Retry-After": "60"}), "too_fast", "429", 60),
    ("exotel", exotel_says(500), UNKNOWN, "", 0),
    ("exotel", exotel_says(503), "provider_fault", "503", 0),
    ("exotel", (200, {}, b"<TwilioResponse/>"), UNKNOWN, "", 0),
    ("exotel", (200, {}, b'{"SMSMessage": {"Sid": "s", "Status": "failed-dnd"}}'), "do_not_disturb", "failed_dnd", 0),
    (
        "exotel",
        (200, {}, b'{"SMSMessage": {"Sid": "s", "Status": "failed", "DetailedStatusCode": 23082}}'),
        "dlt",
        "23082",
        0,
    ),
]


@pytest.mark.parametrize(("kind", "answer", "reason", "code", "wait"), ANSWERS)
def test_an_answer_says_what_became_of_it(
    kind: str, answer: Any, reason: str, code: str, wait: float, server: FaultServer
) -> None:
    server.answers = [answer]
    with pytest.raises(ChannelError) as told:
        SEND[kind](server.url)
    error = told.value
    assert isinstance(error, DeliveryUnknown) is (reason == UNKNOWN)
    assert "98200" not in str(error)
    if reason != UNKNOWN:
        assert isinstance(error, ProviderRefusal)
        assert (str(error), error.code, error.retry_after) == (SENTENCES[reason], code, wait)
        assert error.permanent is (reason in LASTING)
        assert isinstance(error, OptedOut) is (reason == "opted_out")
        assert isinstance(error, OnDoNotDisturb) is (reason == "do_not_disturb")


@pytest.mark.parametrize("fault", ["cut", "cut-body", "hang", "drip", "endless"])
@pytest.mark.parametrize("kind", SEND)
def test_a_request_that_was_written_may_have_been_sent(kind: str, fault: str, server: FaultServer) -> None:
    server.answers = [fault]
    before = len(server.requests)
    with pytest.raises(DeliveryUnknown):
        SEND[kind](server.url, seconds="0.3" if fault in ("hang", "drip") else "60")
    eventually(lambda: len(server.requests) > before, "the server has not read it")
    assert len(server.requests) == before + 1  # and it was not tried again


@pytest.mark.parametrize("kind", SEND)
def test_without_a_connection_nothing_was_sent(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        no_tls = f"https://127.0.0.1:{silent.getsockname()[1]}"
        for url in (f"http://127.0.0.1:{free_port()}", "https://no-such-host.invalid", no_tls):
            with pytest.raises(ChannelError) as told:
                SEND[kind](url, seconds="0.3")
            assert not isinstance(told.value, DeliveryUnknown), url
            assert not told.value.permanent


@pytest.mark.parametrize("kind", CALL)
def test_calls_have_the_same_outcomes(kind: str, server: FaultServer) -> None:
    server.answers = ["cut", (429, {}, b""), (200, {}, b"{}")]
    for expected in (DeliveryUnknown, ProviderRefusal, DeliveryUnknown):
        with pytest.raises(expected):
            CALL[kind](server.url)


def test_a_call_without_a_caller_id_takes_the_first_number(server: FaultServer) -> None:
    for kind, number in (("twilio", "%2B14155550100"), ("exotel", "%2B918047100000")):
        server.answers = ["cut"]
        with pytest.raises(DeliveryUnknown):
            (twilio if kind == "twilio" else exotel)(server.url).call(a_call(caller_id=""))
        assert number in server.requests[-1][3].decode()
    for account in (twilio(**{"from": "whatsapp:+14155550101"}), exotel(**{"from": ""})):
        with pytest.raises(StatusUnavailable):
            account.call(a_call())


#: What is refused before anything is sent.
HOPELESS: dict[str, tuple[Callable[[str], Any], str]] = {
    "email by Twilio": (lambda url: twilio(url).send(outgoing(channel="email")), "wrong_channel"),
    "SMS by Meta": (lambda url: meta(url).send(outgoing()), "wrong_channel"),
    "WhatsApp by Exotel": (lambda url: exotel(url).send(whatsapp()), "wrong_channel"),
    "SMS without a sender": (
        lambda url: twilio(url, **{"from": "whatsapp:+14155550101"}).send(outgoing()),
        "wrong_channel",
    ),
    "an empty SMS": (lambda url: twilio(url).send(outgoing(text="")), "empty"),
    "an empty message": (lambda url: meta(url).send(whatsapp(text="")), "empty"),
    "a long one": (lambda url: meta(url).send(whatsapp(text="x" * 4097)), "too_long"),
    "a long SMS": (lambda url: exotel(url).send(outgoing(text="x" * 2001, template=DLT)), "too_long"),
    "without template": (lambda url: exotel(url).send(outgoing()), "no_dlt_template"),
    "an unregistered template": (lambda url: twilio(url).send(whatsapp(template=Template("x", "en"))), "bad_template"),
    "a template without language": (lambda url: meta(url).send(whatsapp(template=Template("x", ""))), "bad_template"),
    "a template with a file": (
        lambda url: twilio(url).send(
            whatsapp(template=Template("x", "en", (), "HX1"), media=(Media("https://x.in/a", "image/png"),))
        ),
        "bad_media",
    ),
    "two files": (lambda url: meta(url).send(whatsapp(media=(Media("https://x.in/a", "image/png"),) * 2)), "one_file"),
    "a file for Twilio": (lambda url: twilio(url).send(outgoing(attachments=(("a", "b/c", b"x"),))), "no_upload"),
    "a 30 MB video": (
        lambda url: meta(url).send(whatsapp(attachments=(("v.mp4", "video/mp4", b"x" * 30_000_000),))),
        "bad_media",
    ),
    "a voice message with text": (
        lambda url: meta(url).send(whatsapp(media=(Media("https://x.in/a.ogg", "audio/ogg"),))),
        "no_caption",
    ),
}


@pytest.mark.parametrize("name", HOPELESS)
def test_what_cannot_succeed_is_not_tried(name: str, server: FaultServer) -> None:
    before = len(server.requests)
    with pytest.raises(ProviderRefusal) as refused:
        HOPELESS[name][0](server.url)
    assert (str(refused.value), refused.value.permanent) == (SENTENCES[HOPELESS[name][1]], True)
    assert len(server.requests) == before


def test_a_file_that_cannot_be_handed_over_means_that_nothing_was_sent(server: FaultServer) -> None:
    server.answers = ["cut"]
    with pytest.raises(ProviderRefusal) as refused:
        meta(server.url).send(whatsapp(attachments=(("a.png", "image/png", b"x"),)))
    assert not refused.value.permanent


def test_meta_returns_our_key_if_the_account_asks_for_it(server: FaultServer) -> None:
    for setting, key in (("yes", "m7"), ("no", None)):
        with pytest.raises(DeliveryUnknown):
            meta(server.url, return_key=setting).send(whatsapp())
        assert json.loads(server.requests[-1][3]).get("biz_opaque_callback_data") == key


# --- finding what is unknown

SINCE = datetime(2026, 11, 26, 8, 0, 0, tzinfo=UTC)


def listed(body: str, seconds: int, direction: str = "outbound-api", sid: str = "SM1") -> dict[str, Any]:
    created = format_datetime(SINCE + timedelta(seconds=seconds))
    return {"sid": sid, "body": body, "direction": direction, "status": "delivered", "date_created": created}


#: (Twilio's list of messages, text and template of ours, the state found or what is raised).
SEARCHES: dict[str, tuple[list[dict[str, Any]], dict[str, Any], Any]] = {
    "it is there": ([listed("Hello Asha", 3)], {}, "delivered"),
    "nothing": ([], {}, None),
    "another text": ([listed("Other", 3)], {}, None),
    "an older one": ([listed("Hello Asha", -10)], {}, None),
    "their own": ([listed("Hello Asha", 3, "inbound")], {}, None),
    "clocks differ": ([listed("Hello Asha", -1)], {}, "delivered"),
    "a trial account": ([listed("Sent from your Twilio trial account - Hello Asha", 3)], {}, "delivered"),
    "twice": ([listed("Hello Asha", 3), listed("Hello Asha", 4, sid="SM2")], {}, StatusUnavailable),
    "a template": ([listed("Rendered", 3)], {"template": Template("x", "en")}, StatusUnavailable),
    "a template, nothing sent": ([], {"template": Template("x", "en")}, None),
    "too many": ([listed("Other", 3, sid=f"SM{n}") for n in range(50)], {}, StatusUnavailable),
    "many, but older": ([listed("Other", -99, sid=f"SM{n}") for n in range(50)], {}, None),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_message_whose_fate_is_unknown_is_sought(name: str, server: FaultServer) -> None:
    messages, ours, expected = SEARCHES[name]
    server.answers = [(200, {}, json.dumps({"messages": messages}).encode())] * 2
    provider = twilio(server.url)
    if expected is StatusUnavailable:
        with pytest.raises(StatusUnavailable):
            provider.find(outgoing(**ours), "", SINCE)
    else:
        found = provider.find(outgoing(**ours), "", SINCE)
        assert (found and found.state) == expected
    assert "To=%2B919820012345" in server.requests[-1][1]


def test_an_id_that_the_provider_does_not_know(server: FaultServer) -> None:
    server.answers = [twilio_says(404, 20404), exotel_says(404)]
    assert twilio(server.url).find(outgoing(), "SM1", SINCE) is None
    assert exotel(server.url).find(outgoing(), "x/../y", SINCE) is None
    assert server.requests[-1][1].endswith("/SMS/Messages/x%2F..%2Fy.json")


def test_a_question_without_answer_is_no_answer(server: FaultServer) -> None:
    questions: list[Callable[[], Any]] = [
        lambda: twilio(server.url).find(outgoing(), "SM1", SINCE),
        lambda: twilio(server.url).find(outgoing(), "", SINCE),
        lambda: exotel(server.url).find(outgoing(), "abc", SINCE),
        twilio(server.url).check,
        meta(server.url).check,
        exotel(server.url).check,
    ]
    for question in questions:
        for answer in ("cut", twilio_says(429, 20429), (500, {}, b"")):
            server.answers = [answer]
            with pytest.raises(ChannelError) as told:
                question()
            assert not isinstance(told.value, DeliveryUnknown)
    for call in (meta(server.url).find, exotel(server.url).find):
        with pytest.raises(StatusUnavailable):
            call(outgoing(), "", SINCE)
    with pytest.raises(StatusUnavailable):
        meta(server.url).call(a_call())


# --- lists of templates


def of_meta(name: str, status: str = "APPROVED", **parts: Any) -> dict[str, Any]:
    components = [{"type": kind.upper(), **content} for kind, content in parts.items()]
    return {
        "id": "9",
        "name": name,
        "language": "en_US",
        "status": status,
        "category": "UTILITY",
        "components": components,
    }


#: What Meta lists -> text, state, header.
LISTED: list[tuple[dict[str, Any], tuple[str, str, str]]] = [
    (of_meta("a", body={"text": "Hi {{1}} and {{2}}"}), ("Hi {{1}} and {{2}}", "approved", "")),
    (of_meta("b", "PENDING", body={"text": "Hi"}), ("Hi", "pending", "")),
    (of_meta("c", "PAUSED", body={"text": "Hi"}), ("Hi", "paused", "")),
    (of_meta("d", "REJECTED", body={"text": "Hi"}), ("Hi", "rejected", "")),
    (of_meta("e", "SOMETHING", body={"text": "Hi"}), ("Hi", "pending", "")),
    (of_meta("f", header={"format": "IMAGE"}, body={"text": "Hi"}), ("Hi", "approved", "image")),
    (of_meta("g", header={"format": "TEXT", "text": "Dear {{1}}"}, body={"text": "Hi"}), ("Hi", "unsupported", "")),
    (of_meta("h", header={"format": "LOCATION"}, body={"text": "Hi"}), ("Hi", "unsupported", "")),
    (of_meta("i", body={"text": "Hi {{name}}"}), ("Hi {{name}}", "unsupported", "")),
    (of_meta("j", body={"text": "Hi {{2}}"}), ("Hi {{2}}", "unsupported", "")),
    (
        of_meta("k", body={"text": "Hi"}, buttons={"buttons": [{"type": "URL", "url": "https://x.in/{{1}}"}]}),
        ("Hi", "unsupported", ""),
    ),
    ({}, ("", "pending", "")),
]


def test_metas_templates_are_listed_page_by_page(server: FaultServer) -> None:
    entries = [entry for entry, _expected in LISTED]
    more = {"data": entries[:5], "paging": {"cursors": {"after": "c2"}, "next": "https://graph.facebook.com/…"}}
    server.answers = [(200, {}, json.dumps(page).encode()) for page in (more, {"data": entries[5:]})]
    found = meta(server.url, business_account_id="1234567").templates()
    assert [(each.text, each.state, each.header) for each in found] == [expected for _entry, expected in LISTED]
    assert (found[0].name, found[0].language, found[0].category, found[0].provider_id) == ("a", "en_US", "utility", "9")
    assert "after=c2" in server.requests[-1][1] and server.requests[-1][1].startswith(
        "/v23.0/1234567/message_templates?"
    )


def test_twilios_templates_are_listed_page_by_page(server: FaultServer) -> None:
    content = {
        **{"sid": "HX1", "friendly_name": "otp", "language": "hi", "variables": {"1": "x"}},
        **{
            "types": {"twilio/text": {"body": "कोड {{1}}"}},
            "approval_requests": {"status": "approved", "name": "otp_hi"},
        },
    }
    carousel = {"sid": "HX2", "friendly_name": "c", "language": "en", "types": {"twilio/carousel": {}}}
    following = "https://content.twilio.com/v1/ContentAndApprovals?PageSize=200&Page=1&PageToken=x"
    first = {"contents": [content], "meta": {"key": "contents", "next_page_url": following}}
    second = {"contents": [carousel], "meta": {"key": "contents", "next_page_url": None}}
    server.answers = [(200, {}, json.dumps(page).encode()) for page in (first, second)]
    assert twilio(server.url).templates() == [
        ListedTemplate("otp_hi", "hi", "कोड {{1}}", "approved", "", "HX1"),
        ListedTemplate("c", "en", "", "unsupported", "", "HX2"),
    ]
    assert server.requests[-1][1] == following.removeprefix("https://content.twilio.com")


def test_a_list_that_does_not_end_is_cut(server: FaultServer) -> None:
    page = {"data": [], "paging": {"cursors": {"after": "c"}, "next": "x"}}
    server.answers = [(200, {}, json.dumps(page).encode())] * 20
    assert meta(server.url, business_account_id="1234567").templates() == []
    assert len(server.answers) == 15
    server.answers = []


def test_who_has_no_list_of_templates_says_so(server: FaultServer) -> None:
    for account in (meta(server.url), exotel(server.url)):
        with pytest.raises(StatusUnavailable):
            account.templates()
    server.answers = ["cut"]
    with pytest.raises(ChannelError):
        twilio(server.url).templates()


# --- files


def test_files_are_fetched_with_the_accounts_keys(server: FaultServer) -> None:
    url = "https://api.twilio.com/2010-04-01/Accounts/AC1/Recordings/RE1"
    server.answers = [(200, {"Content-Type": "audio/mpeg; x=1"}, b"ID3")]
    assert twilio(server.url).fetch(Media(url, ""), 100) == ("audio/mpeg", b"ID3")
    method, path, headers, _body = server.requests[-1]
    assert (method, path) == ("GET", "/2010-04-01/Accounts/AC1/Recordings/RE1.mp3")
    assert headers["Authorization"].startswith("Basic ")
    server.answers = [
        (200, {}, json.dumps({"url": f"{server.url}/file", "mime_type": "image/jpeg; x"}).encode()),
        (200, {"Content-Type": "text/html"}, b"\xff\xd8"),
    ]
    assert meta(server.url).fetch(Media("123", ""), 100) == ("image/jpeg", b"\xff\xd8")
    assert server.requests[-2][1] == f"/v23.0/123?phone_number_id={META['phone_number_id']}"


def test_a_file_is_fetched_from_the_provider_only(server: FaultServer) -> None:
    before = len(server.requests)
    for address in (
        "http://127.0.0.1:1/x",
        "https://evil.example/x",
        "https://api.twilio.com.evil.example/x",
        "file:///etc/passwd",
    ):
        for provider in (twilio(server.url), exotel(server.url)):
            with pytest.raises(ChannelError, match="isn't at an address"):
                provider.fetch(Media(address, ""), 100)
    for name in ("../x", "1/2", "", "a?b"):
        with pytest.raises(ChannelError):
            meta(server.url).fetch(Media(name, ""), 100)
    assert len(server.requests) == before


#: (answers, limit of bytes).
BAD_FILES: dict[str, tuple[list[Any], int]] = {
    "too large": ([(200, {}, b"x" * 101)], 100),
    "endless": (["endless"], 100_000),
    "cut": (["cut-body"], 100),
    "no answer": (["cut"], 100),
    "gone": ([(404, {}, b"")], 100),
    "an error": ([(500, {}, b"x")], 100),
    "a redirect to another host": ([(302, {"Location": "http://127.0.0.1:1/"}, b"")], 100),
    "a redirect to nowhere": ([(302, {}, b"")] * 5, 100),
    "redirects without end": ([(302, {"Location": "/again"}, b"")] * 5, 100),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_cannot_be_had_is_an_error(name: str, server: FaultServer) -> None:
    server.answers, most = list(BAD_FILES[name][0]), BAD_FILES[name][1]
    with pytest.raises(ChannelError) as told:
        twilio(server.url).fetch(Media(f"{server.url}/file", ""), most)
    assert not isinstance(told.value, DeliveryUnknown)
    server.answers = []


def test_a_redirect_within_the_provider_is_followed(server: FaultServer) -> None:
    server.answers = [(307, {"Location": "/other"}, b""), (200, {"Content-Type": "image/png"}, b"x")]
    signed = f"{server.url}/file?signature={'x' * 2000}"
    assert exotel(server.url).fetch(Media(signed, ""), 10) == ("image/png", b"x")


# --- the client


def test_a_retry_date_is_read_as_seconds(server: FaultServer) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    server.answers = [(503, {"Retry-After": soon}, b"")]
    response = HttpClient(server.url).request(HttpRequest("GET", f"{server.url}/"))
    assert 50 < response.retry_after <= 100


def test_twilio_keeps_templates_at_a_host_of_their_own() -> None:
    at_home, double = TwilioHttp(HttpClient("https://api.twilio.com")), TwilioHttp(HttpClient("http://127.0.0.1:4010"))
    for way_out, api, content in (
        (at_home, "https://api.twilio.com", "https://content.twilio.com"),
        (double, "http://127.0.0.1:4010", "http://127.0.0.1:4010"),
    ):
        assert way_out.client_of("https://api.twilio.com/2010-04-01/x").base_url == api
        assert way_out.client_of("https://content.twilio.com/v1/x").base_url == content


def test_only_the_providers_host_is_called(server: FaultServer) -> None:
    with pytest.raises(ChannelError):
        HttpClient(server.url).request(HttpRequest("GET", f"{server.url}.evil.example/"))


def test_a_dripping_answer_ends_at_the_deadline(server: FaultServer) -> None:
    server.answers = ["drip"]
    began = time.monotonic()
    response = HttpClient(server.url, 0.3).request(HttpRequest("GET", f"{server.url}/"))
    assert response.cut == "late" and time.monotonic() - began < 30


def test_the_certificate_is_checked(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    trusting = ssl.create_default_context(cafile=certificate)
    with receiving(context) as receiver:
        for host, tls in (("localhost", None), ("127.0.0.1", trusting)):
            client = HttpClient(f"https://{host}:{receiver.port}", tls=tls)
            with pytest.raises(ChannelError) as told:
                client.request(HttpRequest("POST", f"{client.base_url}/x"))
            assert str(told.value) == NO_TLS
        assert receiver.requests == []
        client = HttpClient(f"https://localhost:{receiver.port}", tls=trusting)
        assert client.request(HttpRequest("POST", f"{client.base_url}/x")).body == b"thanks"


@pytest.mark.parametrize("url", ["ftp://x.in", "https://u:p@x.in", "https://", "x.in"])
def test_a_wrong_base_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        twilio(url)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("account_sid", "AC1"), ("auth_token", "a b"), ("auth_token", ""), ("from", "12"), ("from", "+14155550100,x")],
)
def test_wrong_settings_are_refused(setting: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"Account SID|Auth token|Own numbers"):
        twilio(**{**TWILIO, setting: value})
