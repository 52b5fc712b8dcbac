"""The bell speaks whole sentences of every kind, and a snoozed notice comes back when it was told to."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from flask import Flask
from flask_babel import Babel

from app.domain.base import RuleBroken
from app.domain.notices import KINDS
from app.web.bell import SENTENCES, text_of, until
from tests.makers import DAY, HOUR, MINUTE, NOW, OFFICE

SAYS = {"number": "CRM-LEAD-2026-00007", "title": "Call back"}


@pytest.fixture
def speaking():
    app = Flask("bell")
    Babel(app)
    with app.test_request_context():
        yield


def said(kind: str, **more: object) -> str:
    return text_of(SimpleNamespace(kind=kind, payload=SAYS | more))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_sentence(speaking, kind):
    assert said(kind).endswith(".")
    assert "%(" not in said(kind)
    assert text_of(SimpleNamespace(kind=kind, payload={}))


def test_there_is_no_sentence_for_nothing():
    assert set(SENTENCES) == set(KINDS)


@pytest.mark.parametrize(
    ("kind", "minutes", "sentence"),
    [
        ("task_due", 60, "“Call back” is due in 60 minutes."),
        ("task_due", 1, "“Call back” is due in 1 minute."),
        ("task_due", 0, "“Call back” is due now."),
        ("task_due", -20, "“Call back” was due 20 minutes ago."),
        ("task_overdue", -61, "“Call back” is overdue by 1 hour."),
        ("task_overdue", -4320, "“Call back” is overdue by 3 days."),
    ],
)
def test_a_reminder_says_the_true_time(speaking, kind, minutes, sentence):
    assert said(kind, minutes=minutes) == sentence


def test_several_tasks_are_counted(speaking):
    assert said("task_assigned", tasks=3) == "3 overdue tasks of CRM-LEAD-2026-00007 are yours now."


@pytest.mark.parametrize(
    ("asked", "moment"), [("15m", NOW + 15 * MINUTE), ("1h", NOW + HOUR), ("tomorrow", NOW + DAY - HOUR)]
)
def test_how_long_a_notice_can_be_snoozed(speaking, asked, moment):
    assert until(asked, NOW, OFFICE.zone) == moment


def test_nobody_snoozes_for_ever(speaking):
    with pytest.raises(RuleBroken):
        until("forever", NOW, OFFICE.zone)
