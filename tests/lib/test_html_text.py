"""The plain text of a formatted email, and the allowed attachments."""

from __future__ import annotations

import pytest

from app.lib.file_kinds import kind_of
from app.lib.html_text import text_of
from app.lib.mail_attachment_rules import is_program
from app.web.records.attachments.message_uploads import clean_name, with_ending


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<div>One</div><div><br></div><div>Two<br>Three</div>", "One\n\nTwo\nThree"),
        ("<p>One</p><p>Two</p>", "One\n\nTwo"),
        ("Above<ul><li>a</li><li><b>b</b></li></ul>below", "Above\n- a\n- b\n\nbelow"),
        ("<ol><li>a</li><li>b</li></ol>", "1. a\n2. b"),
        ('See <a href="https://x.in/a">our page</a>', "See our page (https://x.in/a)"),
        ('<a href="mailto:a@b.in">a@b.in</a> <a href="https://x.in">https://x.in</a>', "a@b.in https://x.in"),
        ("<div>Yes.</div><blockquote><div>No?</div><blockquote>Why</blockquote></blockquote>", "Yes.\n> No?\n> > Why"),
        ("A &amp; B &lt;c&gt;", "A & B <c>"),
        ("", ""),
    ],
)
def test_formatting_has_its_signs_in_the_text(html: str, text: str) -> None:
    assert text_of(html) == text


@pytest.mark.parametrize(
    ("name", "content", "fitting", "runs"),
    [
        ("photo.jpg", b"\x00\x00\x00\x18ftypheic", "photo.jpg.heic", False),
        ("../../etc/passwd", b"x", "passwd.txt", False),
        ("C:\\temp\\a.pdf", b"%PDF-1.7", "a.pdf", False),
        ("a\r\nBcc: x.pdf", b"%PDF-1.7", "aBcc: x.pdf", False),
        ("", b"x", "file.txt", False),
        ("invoice.pdf", b"MZ\x90\x00", "invoice.pdf.txt", True),
        ("run.VBS", b"x", "run.VBS.txt", True),
        ("script", b"#!/bin/sh", "script.txt", True),
    ],
)
def test_a_file_is_what_it_contains(name: str, content: bytes, fitting: str, runs: bool) -> None:
    assert (with_ending(clean_name(name), kind_of(content)), is_program(name, content)) == (fitting, runs)
