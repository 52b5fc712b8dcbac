"""File types, detected by content."""

from __future__ import annotations

import struct
from io import BytesIO

import pytest

from app.lib import file_kinds


def lying_archive(parts: int) -> bytes:
    """A ZIP archive that lists so many parts and says that it has one."""
    local = b"PK\x03\x04" + struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 33, 0, 0, 0, 1, 0) + b"a"
    entry = b"PK\x01\x02" + struct.pack("<HHHHHHIIIHHHHHII", 20, 20, 0, 0, 0, 33, *[0] * 3, 1, *[0] * 6) + b"a"
    size = parts * len(entry)
    return local + entry * parts + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, size, len(local), 0)


@pytest.mark.parametrize(("parts", "kind"), [(1, "application/zip"), (file_kinds.MAX_PARTS + 1, file_kinds.BOMB)])
def test_an_archive_that_lies_about_its_parts_is_not_read(parts: int, kind: str) -> None:
    content = lying_archive(parts)
    assert file_kinds.kind_of(content) == kind
    assert file_kinds.has_many_parts(BytesIO(content)) is (kind == file_kinds.BOMB)
