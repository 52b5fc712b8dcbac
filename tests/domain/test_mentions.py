"""Mentions by “@name”, their notices, and edits of notes."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain import mentions, timeline
from app.domain.base import Conflict, RuleBroken, Stamp
from app.models import Notification
from tests.factories import HOUR, MINUTE, NOW, lead, user

KNOWN = {"mia": 1, "ana.shah": 2, "max-joseph": 3, "cleo@eshin.test": 4, "rāma": 5}


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("@mia please look", [1]),
        ("Please look, @Mia.", [1]),
        ("(@mia), @ana.shah and @max-joseph", [1, 2, 3]),
        ("@ana.shah. @max-joseph-", [2, 3]),
        ("@mia @mia @MIA", [1]),
        ("@mia's lead", [1]),
        ("line\n@rāma", [5]),
        ("@cleo@eshin.test", [4]),
        ("write to mia@mia.test or ana@mia", []),
        ("https://example.in/@mia", []),
        ("@mia.shah @miamia @@mia @ mia @250", []),
        ("", []),
    ],
)
def test_mentions_are_found(text: str, ids: Any) -> None:
    assert list(mentions.mentioned_users(text, KNOWN).values()) == ids


def test_a_note_mentions_at_most_fifty_users() -> None:
    crowd = {f"p{n}": n for n in range(80)}
    assert len(mentions.mentioned_users(" ".join(f"@{name}" for name in crowd), crowd)) == mentions.MAX_MENTIONS


def notices_of(db: Any) -> Any:
    rows = db.execute(select(Notification.user_id, Notification.kind).order_by(Notification.id))
    return [tuple(row) for row in rows]


def test_each_user_is_notified_once_and_the_author_never(db: Session) -> None:
    ana, ben, mia = (user(db, name) for name in ("ana", "ben", "mia"))
    about = lead(db, ben)
    line = timeline.write_line(db, about, "note", Stamp(ana.id, NOW), text="@ana @mia")
    db.flush()
    for _ in range(2):
        mentions.notify(db, line, about, mentions.NoteRecipients([ana.id, mia.id], [ben.id, mia.id]), NOW)
    assert notices_of(db) == [(mia.id, "mention"), (ben.id, "comment")]


def test_a_note_keeps_its_earlier_texts(db: Session) -> None:
    line = timeline.write_line(db, lead(db), "note", Stamp(user(db, "ana").id, NOW), text="Monday")
    db.flush()
    timeline.edit_note(db, line, None, NOW + HOUR, text="Tuesday")
    timeline.edit_note(db, line, NOW + HOUR, NOW + 2 * HOUR, text="Friday")
    assert (line.payload["text"], line.edited_on) == ("Friday", NOW + 2 * HOUR)
    assert [old["text"] for old in line.payload["history"]] == ["Monday", "Tuesday"]
    assert line.payload["history"][1]["at"] == (NOW + HOUR).isoformat()


def test_a_stale_edit_is_refused(db: Session) -> None:
    line = timeline.write_line(db, lead(db), "note", Stamp(user(db, "ana").id, NOW), text="Monday")
    db.flush()
    timeline.edit_note(db, line, None, NOW + HOUR, text="Tuesday")
    with pytest.raises(Conflict):
        timeline.edit_note(db, line, None, NOW + 2 * HOUR, text="Friday")


def test_the_number_of_edits_is_limited(db: Session) -> None:
    line = timeline.write_line(db, lead(db), "note", Stamp(user(db, "ana").id, NOW), text="0")
    db.flush()
    for n in range(timeline.MAX_EDITS):
        timeline.edit_note(db, line, line.edited_on, NOW + n * MINUTE, text=str(n))
    with pytest.raises(RuleBroken, match="new one"):
        timeline.edit_note(db, line, line.edited_on, NOW + HOUR, text="once more")
