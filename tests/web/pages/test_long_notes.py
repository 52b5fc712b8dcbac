"""Long notes and texts of records are folded, without losing or changing a word."""

from __future__ import annotations

import html
import re

from app.web.pages import field_values_html, timeline_html
from tests.app_fixtures import Crm


def test_a_long_note_is_folded_between_words(crm: Crm) -> None:
    text = "word " * 600
    with crm.app.test_request_context():
        made = timeline_html._text({"parts": [{"text": "Hi "}, {"text": "@ana", "person": "Ana"}, {"text": text}]})
        short = timeline_html._text({"parts": [{"text": "x" * 1399}]})
    shown, rest = re.findall(r'<p class="entry-text">(.*?)</p>', made, re.DOTALL)
    assert html.unescape(re.sub(r"<[^>]+>", "", shown + rest)) == f"Hi @ana{text}"
    assert len(shown) < 1400 and rest.startswith("word") and made.count("<details") == 1 and "<details" not in short


def test_a_long_description_is_folded_between_words_or_lines(crm: Crm) -> None:
    pair = {"name": "description", "label": "Description", "help": "", "is_editable": False}
    with crm.app.test_request_context():
        for text, is_folded in (
            ("word " * 129, False),
            ("word " * 200, True),
            ("a\n" * 9, False),
            ("<b>\n" * 40, True),
        ):
            cell = {"kind": "textarea", "text": text}
            made = str(field_values_html.value_pairs([{**pair, "cell": cell}], None))
            parts = [html.unescape(each) for each in re.findall(r'<span class="clip">(.*?)</span>', made, re.DOTALL)]
            assert made.count("<details") == is_folded and len(parts) == 1 + is_folded
            assert " ".join(parts).split() == text.split() and (not is_folded or len(parts[0]) <= 500)
