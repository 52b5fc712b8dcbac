"""Sentences that state a limit state the limit that the code applies."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from app.channels import imap_client, smtp_provider
from app.domain.files import export_and_import_runs
from app.domain.merging import merge_undo
from app.domain.people import two_factor
from app.inbound import recording_fetch
from app.ops.storage import file_store

APP = Path(__file__).parent.parent / "app"


@pytest.mark.parametrize(
    "sentence, limit",
    [
        (imap_client.TOO_LARGE, imap_client.MAX_MAIL_BYTES),
        (smtp_provider.TOO_LARGE, smtp_provider.MAX_BYTES),
        (recording_fetch.TOO_LARGE, file_store.MAX_BYTES),
        ((APP / "web" / "pages" / "errors.py").read_text(), file_store.MAX_BYTES),
    ],
)
def test_sizes(sentence: str, limit: int) -> None:
    assert f"{limit // 1_000_000} MB" in sentence and limit % 1_000_000 == 0


@pytest.mark.parametrize(
    "path, limit",
    [
        ("templates/merge/page.html", merge_undo.UNDO_FOR),
        ("web/transfer/import_runs.py", export_and_import_runs.REVERTED_WITHIN),
    ],
)
def test_periods(path: str, limit: timedelta) -> None:
    assert f"for {limit.days} days" in (APP / path).read_text()


def test_recovery_codes() -> None:
    words = {10: "Ten"}
    page = (APP / "templates" / "security" / "two_factor.html").read_text()
    assert f"{words[two_factor.RECOVERY_CODES]} new codes" in page
