"""`db`, as in the domain's tests: access rules need no web either, and are tested without the hooks of sessions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.domain.conftest import db
from tests.factories import without_hooks

__all__ = ["db"]


@pytest.fixture(autouse=True)
def hooks_removed() -> Iterator[None]:
    with without_hooks():
        yield
