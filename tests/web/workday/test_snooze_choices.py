"""The times until which something can be snoozed, as pages offer them."""

from __future__ import annotations

from datetime import UTC

from app.domain.snooze import SPANS, snoozed_until
from app.web.workday.snooze_choices import CHOICES
from tests.factories import NOW


def test_pages_offer_what_can_be_chosen() -> None:
    assert set(SPANS) < set(CHOICES)
    assert all(snoozed_until(choice, NOW, UTC) > NOW for choice in CHOICES)
