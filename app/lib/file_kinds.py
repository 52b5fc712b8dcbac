"""The type of a file, by its content. Its name and declared type are not trusted."""

from __future__ import annotations

import zipfile
from io import BytesIO
from typing import BinaryIO

#: For everything else: stored and handed out, never shown.
UNKNOWN = "application/octet-stream"
#: An archive that unpacks to far more than it declares, or lists more files than any document has.
BOMB = "application/x-zip-bomb"
#: Kinds that a browser may show inside a page.
SHOWN = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
#: Kinds that a browser may play inside a page.
PLAYED = frozenset(
    {
        *("audio/ogg", "audio/mpeg", "audio/mp4", "audio/aac", "audio/wav"),
        *("video/mp4", "video/webm", "video/quicktime", "video/3gpp"),
    }
)
WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
EXCEL = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
POWERPOINT = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
#: First bytes -> kind.
_BEGINS = (
    (b"%PDF-", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xf1", "audio/aac"),
    (b"\xff\xf9", "audio/aac"),
    # Frames of MPEG 1, 2 and 2.5; calls are recorded at 8 kHz, which is 2.5.
    *(
        (begin, "audio/mpeg")
        for begin in (b"\xff\xfb", b"\xff\xfa", b"\xff\xf3", b"\xff\xf2", b"\xff\xe3", b"\xff\xe2")
    ),
    (b"#!AMR", "audio/amr"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/msword"),
    (b"{\\rtf", "application/rtf"),
)
#: Bytes 8 to 12 of RIFF and ISO media files -> kind.
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
_MEDIA = {b"M4A ": "audio/mp4", b"M4V ": "video/mp4", b"qt  ": "video/quicktime"}
_MEDIA |= dict.fromkeys((b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"dash"), "video/mp4")
_MEDIA |= dict.fromkeys((b"heic", b"heix", b"hevc", b"mif1", b"msf1"), "image/heic")
_MEDIA |= dict.fromkeys((b"3gp4", b"3gp5", b"3gp6", b"3g2a"), "video/3gpp")
_OFFICE = {"word/": WORD, "xl/": EXCEL, "ppt/": POWERPOINT}
#: Bytes of a text that are examined.
_MOST = 65_536
#: Office documents have fewer parts than this, and unpack to fewer bytes and a smaller multiple of their size.
MAX_PARTS, MAX_UNPACKED, MAX_RATIO = 5_000, 250_000_000, 200
#: First bytes of each entry in an archive's directory.
_ENTRY = b"PK\x01\x02"


def kind_of(content: bytes) -> str:
    """The MIME type of a file; UNKNOWN for anything not listed here, BOMB for a dangerous archive."""
    return kind_of_file(BytesIO(content))


def kind_of_file(file: BinaryIO) -> str:
    """The MIME type, as `kind_of`, of a seekable file; its position is at the beginning afterwards."""
    file.seek(0)
    beginning = file.read(_MOST)
    kind = _kind_of_beginning(beginning)
    if kind is None:
        kind = _kind_of_zip(file) if beginning[:4] == b"PK\x03\x04" else UNKNOWN
    file.seek(0)
    return kind


def _kind_of_beginning(beginning: bytes) -> str | None:
    """The kind, by the first bytes alone; None if more is needed."""
    for mark, kind in _BEGINS:
        if beginning.startswith(mark):
            return kind
    if beginning[:4] == b"RIFF":
        return _RIFF.get(beginning[8:12], UNKNOWN)
    if beginning[4:8] == b"ftyp":
        return _MEDIA.get(beginning[8:12], UNKNOWN)
    if beginning[:4] == b"PK\x03\x04":
        return None
    return "text/plain" if _is_text(beginning) else UNKNOWN


def _kind_of_zip(file: BinaryIO) -> str:
    """An office document, or just an archive: only its directory is read, nothing is unpacked."""
    if has_many_parts(file):
        return BOMB  # its directory alone would fill the memory
    try:
        with zipfile.ZipFile(file) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        return UNKNOWN
    packed, unpacked = sum(each.compress_size for each in parts), sum(each.file_size for each in parts)
    if len(parts) > MAX_PARTS or unpacked > MAX_UNPACKED or unpacked > 1_000_000 + MAX_RATIO * packed:
        return BOMB
    names = {each.filename for each in parts}
    if "[Content_Types].xml" in names:
        for folder, kind in _OFFICE.items():
            if any(name.startswith(folder) for name in names):
                return kind
    return "application/zip"


def has_many_parts(file: BinaryIO) -> bool:
    """Whether an archive's directory has more than MAX_PARTS entries, by counting: the declared number may be a lie."""
    file.seek(0)
    count, before = 0, b""
    while chunk := file.read(_MOST):
        window = before + chunk
        count += window.count(_ENTRY)
        if count > MAX_PARTS:
            return True
        before = window[-len(_ENTRY) + 1 :]  # too short to contain one that was counted
    return False


def _is_text(beginning: bytes) -> bool:
    """UTF-8 without control characters, and without markup of a page or picture that browsers would run."""
    try:
        text = beginning.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(beginning) - 4:
            return False
        text = beginning[: error.start].decode("utf-8")
    return (
        bool(text) and "<" not in text[:1_000].lstrip()[:1] and not any(c < " " and c not in "\t\r\n\f" for c in text)
    )
