"""A long note is folded on the timeline, without losing or changing a character."""

from __future__ import annotations

import html
import re

from app.web.pages import timeline_html
from tests.app_fixtures import Crm


def test_a_long_note_is_folded_between_words(crm: Crm) -> None:
    text = "word " * 600
    with crm.app.test_request_context():
        made = timeline_html._text({"parts": [{"text": "Hi "}, {"text": "@ana", "person": "Ana"}, {"text": text}]})
        short = timeline_html._text({"parts": [{"text": "x" * 1399}]})
    shown, rest = re.findall(r'<p class="entry-text">(.*?)</p>', made, re.DOTALL)
    assert html.unescape(re.sub(r"<[^>]+>", "", shown + rest)) == f"Hi @ana{text}"
    assert len(shown) < 1400 and rest.startswith("word") and made.count("<details") == 1 and "<details" not in short
