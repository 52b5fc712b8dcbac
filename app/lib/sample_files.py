"""Invented files from customers for the console and the demo data: a PNG and a PDF, written without a library."""

from __future__ import annotations

import struct
import zlib

#: Width and height of the picture; its colors as red, green, blue.
WIDTH, HEIGHT = 360, 220
_PAPER, _INK, _LINE, _GREEN, _RED = (250, 250, 247), (60, 66, 80), (214, 218, 226), (46, 139, 87), (200, 70, 70)
#: The value of a portfolio over time, from 0 to 1.
_VALUES = (0.3, 0.42, 0.38, 0.55, 0.5, 0.62, 0.58, 0.71, 0.66, 0.8, 0.74, 0.9)


def portfolio() -> bytes:
    """A PNG that looks like the screen of a portfolio: a heading, and bars that rise and fall."""
    rows = [bytearray(bytes(_PAPER) * WIDTH) for _ in range(HEIGHT)]
    _fill(rows, (20, 18, 170, 32), _INK)
    _fill(rows, (20, 42, 110, 50), _LINE)
    for step in range(5):
        _fill(rows, (20, 70 + step * 30, WIDTH - 20, 71 + step * 30), _LINE)
    for n, value in enumerate(_VALUES):
        left, color = 28 + n * 27, _RED if n and value < _VALUES[n - 1] else _GREEN
        _fill(rows, (left, round(190 - 120 * value), left + 16, 190), color)
    raw = b"".join(b"\0" + bytes(row) for row in rows)
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    parts = (b"IHDR", head), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in parts)


def _fill(rows: list[bytearray], box: tuple[int, int, int, int], color: tuple[int, int, int]) -> None:
    left, top, right, bottom = box
    for row in rows[top:bottom]:
        row[left * 3 : right * 3] = bytes(color) * (right - left)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def pdf(lines: tuple[str, ...]) -> bytes:
    """A PDF of one page with these lines, in ASCII."""
    text = "".join(f"({line.replace('(', '').replace(')', '')}) Tj T* " for line in lines)
    content = f"BT /F1 14 Tf 20 TL 60 760 Td {text}ET".encode("ascii", "replace")
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    )
    made, places = b"%PDF-1.4\n", list[int]()
    for n, each in enumerate(objects, 1):
        places.append(len(made))
        made += b"%d 0 obj\n%s\nendobj\n" % (n, each)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
    return made + end % (len(objects) + 1, table, len(objects) + 1, len(made))


#: Name -> MIME type and content.
SAMPLES = {
    "portfolio.png": ("image/png", portfolio),
    "cancelled-cheque.pdf": (
        "application/pdf",
        lambda: pdf(("CANCELLED", "", "Example Bank, Surat", "Account 000000000000, IFSC EXAM0000000")),
    ),
    "charges.pdf": (
        "application/pdf",
        lambda: pdf(("Charges", "", "Options: Rs 20 per executed order", "Account: Rs 300 a year")),
    ),
}
