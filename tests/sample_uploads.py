"""Files for tests: generated pictures and documents, and some that must be refused."""

from __future__ import annotations

import io
import zipfile

from PIL import Image

PDF = b"%PDF-1.7\n1 0 obj <<>> endobj\ntrailer <<>>\n%%EOF\n"
MP3 = b"ID3\x04\x00\x00\x00\x00\x00\x00" + b"\x00" * 400
MP4 = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2" + b"\x00" * 400
HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + b"\x00" * 400
HTML = b"<!doctype html><script>alert(1)</script>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
PROGRAM = b"MZ\x90\x00\x03\x00\x00\x00" + b"\x00" * 400
GIF = b"GIF89a\x01\x00\x01\x00\x80\x00\x00" + b"\x00" * 40


def picture(size: tuple[int, int] = (1200, 900), kind: str = "JPEG", **more: object) -> bytes:
    """A picture of one color."""
    made = io.BytesIO()
    Image.new("RGB", size, "#3366cc").save(made, kind, **more)
    return made.getvalue()


def archive(parts: dict[str, bytes]) -> bytes:
    """A ZIP archive."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in parts.items():
            opened.writestr(name, content)
    return made.getvalue()


def document(**more: bytes) -> bytes:
    """What counts as a Word document."""
    return archive({"[Content_Types].xml": b"<Types/>", "word/document.xml": b"<w/>", **more})


def bomb() -> bytes:
    """A document of 60 kB that unpacks to 60 MB."""
    return document(**{"word/media/image1.bin": b"\0" * 60_000_000})


def many_parts() -> bytes:
    """An archive that lists more parts than any document has."""
    return archive({f"{n}": b"" for n in range(5_100)})


def large_png(edge: int = 12_000) -> bytes:
    """A picture of few bytes and very many pixels."""
    made = io.BytesIO()
    Image.new("1", (edge, edge)).save(made, "PNG")
    return made.getvalue()
