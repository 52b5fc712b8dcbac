"""Incoming emails: their contents and senders, bounces, and hostile ones that must not stop the parser."""

from __future__ import annotations

import time
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.lib import html_cleaning, mime_parts, text_normalization
from app.lib.mail_addresses import read_addresses
from app.lib.mail_authentication import SenderCheck, vouches_for
from app.lib.mail_quoting import separate
from app.lib.mail_reading import UnreadableMail, read

FROM = "From: Asha <Asha@Example.in>\r\n"


def mail(headers: str, body: str | bytes = "Hello", sender: str = FROM) -> bytes:
    raw = body.encode() if isinstance(body, str) else body
    return (sender + headers + "\r\n").encode() + b"\r\n" + raw


def test_a_mail_says_who_wrote_what_and_to_whom() -> None:
    found = read(
        mail(
            'To: "Rao, Support" <support@eshin.in>, b@c.in\r\nCc: =?utf-8?b?4KSG4KS24KS+?= <d@e.in>\r\n'
            "Reply-To: asha@home.in\r\nSubject: =?utf-8?q?My?= =?utf-8?q?_pay-?=\r\n =?utf-8?q?in?=\r\n"
            "Message-ID: <m1@example.in>\r\nIn-Reply-To: <m0@eshin.in>\r\nReferences: <a@x> <m0@eshin.in>\r\n"
            "Date: Mon, 23 Nov 2026 10:00:00 +0530\r\nContent-Type: text/plain; charset=utf-8",
            "It failed.\r\n\r\nOn Mon, 23 Nov 2026 at 09:00, Support <s@e.in> wrote:\r\n> Did it work?\r\n",
        )
    )
    assert (found.sender.address, found.sender.name) == ("asha@example.in", "Asha")
    assert [(each.address, each.name) for each in found.to] == [("support@eshin.in", "Rao, Support"), ("b@c.in", "")]
    assert found.cc[0].name == "आशा"
    assert (found.subject, found.text) == ("My pay-in", "It failed.")
    assert found.quoted.endswith("> Did it work?")
    assert (found.message_id, found.references) == ("m1@example.in", ("m0@eshin.in", "a@x"))
    assert found.written_on == datetime(2026, 11, 23, 4, 30, tzinfo=UTC)
    assert (found.answer_to, found.is_automatic, found.bounce) == ("asha@home.in", False, None)


@pytest.mark.parametrize(
    ("charset", "raw", "expected"),
    [
        ("utf-8", "पैसे".encode(), "पैसे"),
        ("utf-7", b"+ADw-script+AD4-", "<script>"),
        ("iso-8859-1", b"caf\xe9", "café"),
        ("gb2312", "中文".encode("gb2312"), "中文"),
        ("utf-8", b"caf\xe9", "caf\ufffd"),
        ("x-nobody", b"caf\xe9", "café"),
        ("", "पैसे".encode(), "पैसे"),
        ("us-ascii", b"caf\xe9", "café"),
        ("zlib_codec", b"abc", "abc"),
        ("punycode", b"abc", "abc"),
        ("utf-16", b"a", "\ufffd"),
    ],
)
def test_text_is_read_in_its_character_set_or_as_well_as_can_be(charset: str, raw: bytes, expected: str) -> None:
    assert read(mail(f"Content-Type: text/plain; charset={charset}", raw)).text == expected


MIXED = (
    "--o\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n"
    "--i\r\nContent-Type: text/plain\r\n\r\nplain\r\n"
    '--i\r\nContent-Type: text/html\r\n\r\n<p onclick="x()">rich<script>alert(1)</script><img src="https://t.in/p">'
    '<img src="cid:pic@x">\r\n--i--\r\n'
    "--o\r\nContent-Type: image/png\r\nContent-ID: <pic@x>\r\nContent-Transfer-Encoding: base64\r\n"
    "Content-Disposition: inline; filename*0*=utf-8''%E0%A4%AA; filename*1=.png\r\n\r\niVBORw0KGgo=\r\n"
    '--o\r\nContent-Type: text/csv; name="../../etc/pass\\wd.csv"\r\nContent-Disposition: attachment\r\n\r\na,b\r\n'
    "--o\r\nContent-Type: text/plain\r\n\r\nfooter\r\n--o--\r\nepilogue"
)


def test_alternatives_files_and_footers_are_told_apart() -> None:
    found = read(mail("Content-Type: multipart/mixed; boundary=o", MIXED))
    assert found.text == "plain\n\nfooter"
    assert found.html.startswith('<p>rich<img data-remote="https://t.in/p"><img data-cid="pic@x">')
    assert found.html.endswith("footer</p>") and found.has_remote_pictures
    assert [(each.name, each.mime_type, each.content) for each in found.attachments] == [
        ("प.png", "image/png", b"\x89PNG\r\n\x1a\n"),
        ("wd.csv", "text/csv", b"a,b"),
    ]
    assert found.attachments[0].content_id == "pic@x"


REPORT = (
    "--b\r\n\r\nSorry.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx\r\n\r\n"
    "Final-Recipient: rfc822; ravi@nowhere.in\r\nAction: {action}\r\nStatus: {status}\r\n\r\n"
    "--b\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: <m7@eshin.in>\r\nSubject: x\r\n\r\nHi\r\n--b--"
)
ROBOT = "From: MAILER-DAEMON@mx.in\r\n"


@pytest.mark.parametrize(
    ("headers", "body", "failures"),
    [
        ("report-type=delivery-status", REPORT.format(action="failed", status="5.1.1"), [("ravi@nowhere.in", True)]),
        ("report-type=delivery-status", REPORT.format(action="delayed", status="4.4.1"), [("ravi@nowhere.in", False)]),
        ("report-type=delivery-status", REPORT.format(action="delivered", status="2.0.0"), []),
    ],
)
def test_a_report_names_the_mail_and_whom_it_did_not_reach(headers: str, body: bytes, failures: Any) -> None:
    bounce = read(mail(f"Content-Type: multipart/report; {headers}; boundary=b", body, ROBOT)).bounce
    assert bounce is not None
    assert [(each.address, each.is_permanent) for each in bounce.failures] == failures
    assert bounce.message_id == "m7@eshin.in"


def test_a_report_in_words_is_recognized_only_from_a_robot() -> None:
    body = "<ravi@nowhere.in>: 550 5.1.1 no such user\r\n\r\nMessage-ID: <m7@eshin.in>\r\n"
    bounce = read(mail("Subject: failure notice", body, ROBOT)).bounce
    assert bounce is not None and bounce.message_id == "m7@eshin.in"
    assert ("ravi@nowhere.in", True) in [(each.address, each.is_permanent) for each in bounce.failures]
    assert read(mail("Subject: failure notice", body)).bounce is None


@pytest.mark.parametrize(
    ("header", "automatic"),
    [
        ("Auto-Submitted: auto-replied", True),
        ("Auto-Submitted: no", False),
        ("Precedence: bulk", True),
        ("X-Auto-Response-Suppress: All", True),
        ("List-Id: <news.x.in>", True),
        ("Subject: Automatic reply: Pay-in", True),
        ("Subject: Out of office", True),
        ("Subject: Re: I was out of office, sorry", False),
        ("Subject: Automatic trading stopped", False),
    ],
)
def test_automatic_mails_are_recognized(header: str, automatic: bool) -> None:
    found = read(mail(header))
    assert (found.is_automatic, found.answer_to) == (automatic, "" if automatic else "asha@example.in")


GROUP = "help@eshin.in"
THROUGH_GROUP = "List-Post: <https://groups.in/x>, <mailto:Help@eshin.in>\nList-Id: <help.eshin.in>\nPrecedence: list"


@pytest.mark.parametrize(
    ("headers", "groups", "automatic"),
    [
        (THROUGH_GROUP, {GROUP}, False),
        ("List-Id: Help <help.eshin.in>", {GROUP}, False),
        (THROUGH_GROUP, {"other@eshin.in"}, True),
        (f"{THROUGH_GROUP}\nAuto-Submitted: auto-replied", {GROUP}, True),
        (f"{THROUGH_GROUP}\nFeedback-Id: 1:bulk", {GROUP}, True),
        ("Subject: Out of office\n" + THROUGH_GROUP, {GROUP}, True),
        ("List-Id: help", {GROUP}, True),
    ],
)
def test_what_people_write_to_a_group_of_ours_is_not_automatic(headers: str, groups: set[str], automatic: bool) -> None:
    assert read(mail(headers), groups=groups).is_automatic is automatic


@pytest.mark.parametrize(
    ("named", "sender"),
    [
        ("X-Original-From: Asha Rao <asha@example.in>\nReply-To: else@example.in", "asha@example.in"),
        ("Reply-To: Help@eshin.in, asha@example.in", "asha@example.in"),
        ("Reply-To: help@eshin.in", GROUP),
    ],
)
def test_the_sender_behind_a_group_is_found(named: str, sender: str) -> None:
    raw = f"From: 'Asha Rao' via Help <help@eshin.in>\n{named}\n{THROUGH_GROUP}\n\nHello".encode()
    assert read(raw, groups={GROUP}).sender.address == sender
    assert read(raw).sender.address == GROUP


@pytest.mark.parametrize("result", ["dmarc=pass", "dmarc=pass header.from=eshin.in", "dkim=pass header.d=eshin.in"])
@pytest.mark.parametrize("name", ["X-Original-From", "Reply-To"])
def test_nobody_vouches_for_whom_a_mail_of_a_group_names(name: str, result: str) -> None:
    headers = f"Authentication-Results: mx.eshin.in; {result}\nFrom: x via Help <{GROUP}>\n{name}: boss@eshin.in"
    found = read(f"{headers}\n\nHi".encode(), "mx.eshin.in", {GROUP})
    assert (found.sender.address, vouches_for(found.checks, found.sender.address)) == ("boss@eshin.in", False)


def test_answers_to_a_mail_through_a_group_go_to_its_sender_and_not_to_the_group() -> None:
    headers = f"From: 'Asha' via Help <{GROUP}>\nTo: {GROUP}\nX-Original-From: asha@example.in\nReply-To: {GROUP}"
    found = read(f"{headers}\n\nHi".encode(), groups={GROUP})
    assert (found.answer_to, found.participants) == ("asha@example.in", frozenset({"asha@example.in"}))


def test_only_the_check_of_the_trusted_server_counts() -> None:
    forged = "Authentication-Results: mx.eshin.in; dmarc=fail\r\nAuthentication-Results: mx.eshin.in; dmarc=pass"
    assert read(mail(forged), "mx.eshin.in").checks == (SenderCheck("dmarc", "fail"),)
    assert read(mail(forged), "other.in").checks == read(mail(forged)).checks == ()


def test_nobody_vouches_for_a_mail_of_several_senders() -> None:
    header = "From: x@evil.in\r\nAuthentication-Results: mx.eshin.in; dmarc=pass header.from=evil.in"
    assert read(mail(header), "mx.eshin.in").checks == ()


@pytest.mark.parametrize(
    "written",
    [
        '"<asha@customer.in>" <x@evil.in>',
        "x@evil.in (<asha@customer.in>)",
        '<x@evil.in> "<asha@customer.in>"',
        '"a \\" <asha@customer.in> b" <x@evil.in>',
    ],
)
def test_an_address_in_a_name_or_comment_is_none(written: str) -> None:
    assert [each.address for each in read_addresses(written)] == ["x@evil.in"]


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ("> old\n> older\n\nBelow.", "Below."),
        ("Yes\n\n-----Original Message-----\nFrom: x", "Yes"),
        ("Yes\n\nFrom: Ravi <r@x.in>\nSent: Monday\nold", "Yes"),
        ("हाँ\n\nसोम, 23 नव॰ 2026 को 09:00 बजे Support <s@e.in> ने लिखा:\n> पुराना", "हाँ"),
        ("On Monday I wrote:\nall of it", "On Monday I wrote:\nall of it"),
        ("a > b and b > c", "a > b and b > c"),
        ("Yes\nOn Mon, 23 Nov 2026 at 09:00, A Person With A Long Name <s@e.in>\nwrote:\n> old", "Yes"),
    ],
)
def test_what_is_new_is_told_from_what_is_quoted(text: str, new: str) -> None:
    assert separate(text)[0] == new


def test_a_chain_of_fifty_replies_leaves_the_last_one() -> None:
    chain = "first"
    for n in range(50):
        chain = f"answer {n}\n\nOn Mon, 23 Nov 2026 at 09:00, A <a@x.in> wrote:\n" + "\n".join(
            f"> {line}" for line in chain.split("\n")
        )
    assert read(mail("Subject: Re: x", chain)).text == "answer 49"


# --- hostile mails

N = 300_000
HOSTILE = {
    "nested parts": (
        "",
        "".join(f"Content-Type: multipart/mixed; boundary=b{i}\n\n--b{i}\n" for i in range(N // 60)),
        "Content-Type: multipart/mixed; boundary=b\r\n",
    ),
    "empty parts": ("Content-Type: multipart/mixed; boundary=b", "--b\n\n" * (N // 5)),
    "boundaries in a line": ("Content-Type: multipart/mixed; boundary=b", "--b" * N),
    "a boundary of dashes": ('Content-Type: multipart/mixed; boundary="-"', "-" * N),
    "headers": ("X: y\r\n" * (N // 6), ""),
    "folded lines": ("X: y\r\n" + " a\r\n" * (N // 4), ""),
    "recipients": ("To: " + "a@b.in, " * (N // 8), ""),
    "comments": ("To: " + "(" * N, ""),
    "references": ("References: " + "<a@x> " * (N // 8), ""),
    "encoded words": ("Subject: " + "=?utf-8?q?a?= " * (N // 14), ""),
    "parameters": ("Content-Type: text/plain" + '; a="b' * (N // 6), ""),
    "deep HTML": ("Content-Type: text/html", "<div>" * (N // 5)),
    "crossed HTML": ("Content-Type: text/html", "".join(f"<b title={i}><p></i>" for i in range(3000))),
    "entities": ("Content-Type: text/html", "&" * N),
    "marks": ("Content-Type: text/plain; charset=utf-8", "\u0316\u0301" * (N // 4)),
    "quotation marks": ("", ("On " + "wrote " * 60 + ":\r\n") * (N // 370)),
    "line feeds": ("", "\n" * N),
    "a report without end": (
        "Content-Type: multipart/report; boundary=b",
        "--b\nContent-Type: message/delivery-status\n\n" + "Action: failed\nFinal-Recipient: rfc822;a@b.in\n\n" * 6000,
    ),
}


def test_parts_in_parts_need_no_more_memory_than_the_mail() -> None:
    nested = "".join(f"Content-Type: multipart/mixed; boundary=b{i}\n\n--b{i}\n" for i in range(1000))
    raw = mail(
        "Content-Type: multipart/mixed; boundary=b", f"--b\n{nested}" + "Content-Type: text/plain\n\n" + "x\n" * N
    )
    tracemalloc.start()
    mime_parts.split(raw)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * len(raw)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_mail_is_read_in_time(name: str) -> None:
    headers, body, *_ = HOSTILE[name]
    began = time.thread_time()
    found = read(mail(headers, body))
    assert time.thread_time() - began < 5 and len(found.attachments) <= 100
    (
        text_normalization.lines(found.text),
        text_normalization.one_line(found.subject),
        text_normalization.lines(found.html),
    )


@pytest.mark.parametrize("raw", [b"", b"\0" * 100, b"Subject: x\r\n\r\nno sender", b"From: nobody\r\n\r\nx"])
def test_a_mail_without_a_sender_is_refused_in_words(raw: bytes) -> None:
    with pytest.raises(UnreadableMail, match="who sent it"):
        read(raw)


PIECES = st.sampled_from(
    [
        *("Content-Type: multipart/mixed; boundary=b", "Content-Type: text/html; charset=utf-7", "--b", "--b--", ""),
        *("Content-Type: message/delivery-status", "Content-Transfer-Encoding: base64", "=?utf-8?b?gICA?=", "\r\n"),
        *("Content-Disposition: attachment; filename*0*=x''%ff", "Date: Thu, 99 Foo", 'To: <<>>,;"(', "+AD4-\ud800"),
        *("Message-ID: <a b>", "References: <<a@b>", "From: x@y.in", "<a href='java\tscript:x'>", "&#x202e;\0"),
    ]
)


@given(st.lists(st.one_of(PIECES, st.text(max_size=20)), max_size=15), st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(pieces: list[str], tail: bytes) -> None:
    try:
        found = read(b"From: a@b.in\n" + "\n".join(pieces).encode("utf-8", "surrogatepass") + tail)
    except UnreadableMail:
        return
    for value in (found.text, found.quoted, found.html, *(each.name for each in found.attachments)):
        text_normalization.lines(value)  # what is stored
    assert text_normalization.one_line(found.subject) == found.subject


# --- HTML


@pytest.mark.parametrize(
    ("html", "cleaned"),
    [
        ('<a href="javascript:alert(1)">x</a>', '<a target="_blank" rel="noopener noreferrer nofollow">x</a>'),
        ("<p style='background:url(https://t.in)' class=a id=b hx-get='/x'>x</p>", "<p>x</p>"),
        ('<a href="/leads/1">x</a>', '<a target="_blank" rel="noopener noreferrer nofollow">x</a>'),
        ("<form action=x><button formaction=y>ok</button></form>", "ok"),
        ("<iframe src=x></iframe><object data=x></object><style>p{}</style><base href=x>", ""),
        ('<img src="data:image/svg+xml,x" srcset="https://t.in 2x">', "<img>"),
        ('<img title="--><script>x</script>" src="//t.in/p">', '<img title="--&gt;&lt;script&gt;x&lt;/script&gt;">'),
        ('<img alt=\'" src="https://a.in\' src="https://t.in/p">', '<img alt="&quot; src=&quot;https://a.in" data-remote="https://t.in/p">'),
        ("<noscript><p title='</noscript><img src=x onerror=y>'>", "<img>'&gt;"),
        ("<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=x&gt;'>", ""),
    ],
)  # fmt: skip
def test_html_is_harmless(html: str, cleaned: str) -> None:
    assert html_cleaning.clean(html).html == cleaned


def test_remote_pictures_come_back_only_when_asked() -> None:
    cleaned = html_cleaning.clean('<img alt="a>b" src="https://t.in/p?x=1&y=2">').html
    assert "src=" not in cleaned
    assert 'alt="a&gt;b" src="https://t.in/p?x=1&amp;y=2"' in html_cleaning.with_remote_pictures(cleaned)
