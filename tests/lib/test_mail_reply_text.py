"""The answer in an email: what was written, without signature and quotation."""

from __future__ import annotations

import time

import pytest

from app.lib import mail_reply_text

SIGNED = "<div data-signature><div>Cleo</div><div>Eshin Broking</div></div>"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        (f"<div>A new link is on its way.</div><div><br></div>{SIGNED}", "A new link is on its way."),
        (f"<div>Done.</div>{SIGNED.replace('ture>', 'ture=>')}<div>P.S. Call me.</div>", "Done.\nP.S. Call me."),
        (f"<div><br></div>{SIGNED}", ""),
        ("<blockquote>Where is my <blockquote>old</blockquote> link?</blockquote><div>Sent.</div>", "Sent."),
        ("<blockquote>As agreed.</blockquote>", "As agreed."),
        ("<div>Done.</div><div data-signature><div>Cleo", "Done."),
        ("<div>data-signature</div>", "data-signature"),
    ],
)
def test_an_answer_in_html_is_without_signature_and_quotation(html: str, text: str) -> None:
    assert mail_reply_text.of_html(html) == text


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("Done.\n\n-- \nCleo\nEshin Broking", "Done."),
        ("Done.\n--\nCleo", "Done."),
        ("First\n--\nSecond\n-- \nCleo", "First\n--\nSecond"),
        ("\n\n-- \nCleo", ""),
        ("Done.\n\nOn Mon, 3 Nov 2025 at 10:00, Asha <asha@example.in> wrote:\n> Where is it?", "Done."),
        ("-- a list\n-- of dashes", "-- a list\n-- of dashes"),
    ],
)
def test_an_answer_as_text_is_without_signature_and_quotation(said: str, text: str) -> None:
    assert mail_reply_text.of_text(said) == text


def test_an_answer_of_many_tags_takes_no_time() -> None:
    start = time.process_time()
    mail_reply_text.of_html("<div data-signature>" * 20_000)
    mail_reply_text.of_html("<blockquote></blockquote>" * 20_000)
    mail_reply_text.of_html("<blockquote" * 20_000)
    mail_reply_text.of_html("<div " + "data-signature " * 20_000)
    assert time.process_time() - start < 2
