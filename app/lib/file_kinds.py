"""What a file is by its content. Its name and what its sender says about it are not believed."""

from __future__ import annotations

import zipfile
from io import BytesIO

#: For everything that is none of the kinds below: kept and handed out, never shown.
UNKNOWN = "application/octet-stream"
#: Kinds that a browser may show inside a page.
SHOWN = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
#: Begin of the content -> kind.
_BEGINS = (
    (b"%PDF-", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    # Frames of MPEG 1, 2 and 2.5; calls are recorded at 8 kHz, which is 2.5.
    *(
        (begin, "audio/mpeg")
        for begin in (b"\xff\xfb", b"\xff\xfa", b"\xff\xf3", b"\xff\xf2", b"\xff\xe3", b"\xff\xe2")
    ),
    (b"#!AMR", "audio/amr"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/msword"),
    (b"{\\rtf", "application/rtf"),
)
#: Of RIFF and ISO media files, what stands at bytes 8 to 12.
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
_MEDIA = {b"M4A ": "audio/mp4", b"isom": "video/mp4", b"mp41": "video/mp4", b"mp42": "video/mp4", b"avc1": "video/mp4"}
_MEDIA |= {b"heic": "image/heic", b"heix": "image/heic", b"mif1": "image/heic", b"qt  ": "video/quicktime"}
_MEDIA |= {b"3gp4": "video/3gpp", b"3gp5": "video/3gpp"}
_OFFICE = {
    "word/": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xl/": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "ppt/": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}
#: Of a text, so much is looked at.
_MOST = 65_536


def kind_of(content: bytes) -> str:
    """The MIME type of a file; UNKNOWN for anything that is not listed here."""
    for begin, kind in _BEGINS:
        if content.startswith(begin):
            return kind
    if content[:4] == b"RIFF":
        return _RIFF.get(content[8:12], UNKNOWN)
    if content[4:8] == b"ftyp":
        return _MEDIA.get(content[8:12], UNKNOWN)
    if content[:4] == b"PK\x03\x04":
        return _kind_of_zip(content)
    return "text/plain" if _is_text(content[:_MOST]) else UNKNOWN


def _kind_of_zip(content: bytes) -> str:
    """A document of an office program, or just an archive: only its list of contents is read, nothing is unpacked."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            names = archive.namelist()[:200]
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        return UNKNOWN
    if "[Content_Types].xml" in names:
        for folder, kind in _OFFICE.items():
            if any(name.startswith(folder) for name in names):
                return kind
    return "application/zip"


def _is_text(beginning: bytes) -> bool:
    """UTF-8 without control characters and without the marks of a page or a picture that browsers would run."""
    try:
        text = beginning.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(beginning) - 4:
            return False
        text = beginning[: error.start].decode("utf-8")
    return (
        bool(text) and "<" not in text[:1_000].lstrip()[:1] and not any(c < " " and c not in "\t\r\n\f" for c in text)
    )
