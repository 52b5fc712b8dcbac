"""The files of a move: a folder on the server, or an uploaded ZIP."""

from __future__ import annotations

import hashlib
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from app.domain.base import RuleBroken, translatable

#: Files of one move, bytes of an unpacked ZIP, and the highest compression ratio.
MAX_FILES, MAX_UNPACKED, MAX_RATIO, HARMLESS = 500, 2_000_000_000, 150, 5_000_000
_ENDINGS = (".csv", ".tsv", ".txt", ".json", ".xlsx")
_BROKEN = "This ZIP file is damaged. Please make it again, and upload that."
#: What a damaged ZIP raises when it is opened or read.
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, RuntimeError)


@dataclass(frozen=True)
class BundlePart:
    """One file of an import from the predecessor."""

    #: Its name for people, without folders.
    name: str
    #: In bytes.
    size: int
    #: Opens it for reading.
    open: Callable[[], BinaryIO]


def of_folder(folder: Path) -> list[BundlePart]:
    """The tables of a folder, in the order of their names. Raises RuleBroken without any."""
    paths = sorted(each for each in folder.iterdir() if each.is_file() and each.suffix.lower() in _ENDINGS)
    return _some([BundlePart(each.name, each.stat().st_size, partial(_file_of, each)) for each in paths])


def of_zip(file: BinaryIO) -> list[BundlePart]:
    """The tables of a ZIP. Raises RuleBroken if it isn't one, or unpacks to far more than it should."""
    try:
        archive = zipfile.ZipFile(file)
        members = [each for each in archive.infolist() if not each.is_dir()]
    except _DAMAGE as error:
        raise RuleBroken(_BROKEN, "file") from error
    unpacked, packed = sum(each.file_size for each in members), sum(each.compress_size for each in members)
    if unpacked > MAX_UNPACKED or (unpacked > HARMLESS and unpacked > MAX_RATIO * max(1, packed)):
        raise RuleBroken("This ZIP file unpacks to far more than it should. It was not read.", "file")
    if any(each.flag_bits & 1 for each in members):
        raise RuleBroken("This ZIP file is protected by a password. Please make one without.", "file")
    parts = [
        BundlePart(Path(each.filename).name[:140], each.file_size, partial(_opened, archive, each))
        for each in sorted(members, key=lambda each: each.filename)
        if each.filename.lower().endswith(_ENDINGS) and "__MACOSX" not in each.filename
    ]
    return _some(parts)


def _file_of(path: Path) -> BinaryIO:
    return path.open("rb")


def _opened(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> BinaryIO:
    try:
        return io.BufferedReader(_Member(archive.open(member)))
    except _DAMAGE as error:
        raise RuleBroken(_BROKEN, "file") from error


class _Member(io.RawIOBase):
    """A file in a ZIP, whose damage shows only when it is read. Raises RuleBroken then."""

    def __init__(self, file: Any) -> None:
        super().__init__()
        self._file = file

    def readable(self) -> bool:
        """Always True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Unpack the next bytes into the buffer. Raises RuleBroken."""
        try:
            content = self._file.read(len(buffer))
        except _DAMAGE as error:
            raise RuleBroken(_BROKEN, "file") from error
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        """Close the ZIP."""
        self._file.close()
        super().close()


def _some(parts: list[BundlePart]) -> list[BundlePart]:
    if not parts:
        text = "There is no table in it. Please put the exports of the former system there, as CSV, JSON or XLSX."
        raise RuleBroken(text, "file")
    if len(parts) > MAX_FILES:
        raise RuleBroken(translatable("There are more than %(most)s files. Please put them together.", most=MAX_FILES))
    return parts


def fingerprint(parts: list[BundlePart]) -> str:
    """A key for these files, from their names and contents."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part.name}\0{part.size}\0".encode())
        with part.open() as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
