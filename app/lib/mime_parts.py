"""Splits a raw email into its parts, in time linear in its length, whatever it contains.

The parser of the standard library is not used: it takes half a minute for 300 kB of hostile headers, hundreds of
megabytes for an email of empty parts, and raises RecursionError for nested parts. Whatever exceeds the limits below is
kept as a file or counted as cut; nothing raises.
"""

from __future__ import annotations

import binascii
import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

MAX_DEPTH, MAX_PARTS = 30, 500
#: Limits of a part's header block in bytes and lines, and of one value in bytes.
MAX_HEADER_BYTES, MAX_HEADERS, MAX_VALUE = 256_000, 1_000, 32_000
#: Values with parameters, such as Content-Type, are cut at this length.
MAX_STRUCTURED = 4_000

#: Lines examined because they begin like a boundary.
MAX_MARKS = 100_000
#: Spaces that may follow a boundary on its line.
_MAX_TAIL = 200

#: The end of the last header with the empty line after it, and the length of both.
_EMPTY_LINES = ((b"\n\r\n", 3), (b"\n\n", 2))
_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?\r\n]*)\?=")
_PARAMETER = re.compile(r';\s*([^\s=;"]{1,60})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s"]*))')
_NO_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))
_SURROGATES = re.compile("[\ud800-\udfff]")
#: Codecs of Python that are no character sets of emails, or take quadratic time.
_REFUSED_CODECS = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"})


@dataclass(frozen=True)
class MimePart:
    """One part of an email that contains no others."""

    #: Lower-case name -> its values, unfolded, as written.
    headers: dict[str, list[bytes]]
    #: In lower case: "text/plain".
    mime_type: str
    parameters: dict[str, str]
    #: inline, attachment or "".
    disposition: str
    #: The sender's name for the file, decoded; "" if there is none.
    file_name: str
    raw: bytes = field(repr=False)
    #: The number of the enclosing multipart/alternative; None outside of one.
    alternative: int | None = None

    def header(self, name: str) -> str:
        """The first value of a header, decoded, on one line; "" if there is none."""
        return decoded_header(self.headers.get(name, [b""])[0])

    def content(self) -> bytes:
        """The content without its transfer encoding; broken parts of it are left out."""
        encoding = self.header("content-transfer-encoding").lower()
        if encoding == "base64":
            return decode_base64(self.raw)
        return binascii.a2b_qp(self.raw) if encoding == "quoted-printable" else self.raw

    def text(self) -> str:
        """The content as text; bytes that don't fit the character set become �."""
        return decoded_text(self.content(), self.parameters.get("charset", ""))


@dataclass(frozen=True)
class SplitMail:
    """The headers of an email and its leaf parts, in order."""

    headers: dict[str, list[bytes]]
    mime_type: str
    parameters: dict[str, str]
    parts: list[MimePart]
    #: Whether it has more parts than are read.
    is_cut: bool = False

    def header(self, name: str) -> str:
        """The first value of a header, decoded, on one line; "" if there is none."""
        return decoded_header(self.headers.get(name, [b""])[0])


def split(raw: bytes) -> SplitMail:
    """Split an email into its parts."""
    headers, _body = split_headers(raw)
    mime_type, parameters = content_type(headers)
    walk = _Walk(raw)
    walk.add((0, len(raw)), depth=0)
    return SplitMail(headers, mime_type, parameters, walk.parts, walk.is_cut)


#: Where a part begins and ends in the raw email. Only leaf parts are copied out of it: a part in a part in a part would
#: be copied at every level.
_Span = tuple[int, int]


class _Walk:
    """Collects the leaf parts, depth first."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.parts: list[MimePart] = []
        self.is_cut = False
        self._alternatives = 0

    def add(self, span: _Span, depth: int, alternative: int | None = None) -> None:
        """Add one part with everything in it."""
        block_end, begin = _end_of_headers(self.raw, span)
        headers, end = _headers(self.raw[span[0] : block_end]), span[1]
        mime_type, parameters = content_type(headers)
        boundary = parameters.get("boundary", "") if mime_type.startswith("multipart/") else ""
        if not boundary or depth >= MAX_DEPTH:
            self.parts.append(_leaf(headers, self.raw[begin:end], alternative))
            return
        if mime_type == "multipart/alternative" and alternative is None:
            self._alternatives += 1
            alternative = self._alternatives
        for piece in _pieces(self.raw, (begin, end), boundary.encode("utf-8", "surrogateescape")):
            if len(self.parts) >= MAX_PARTS:
                self.is_cut = True
                return
            self.add(piece, depth + 1, alternative)


def _pieces(raw: bytes, within: _Span, boundary: bytes) -> Iterator[_Span]:
    """The parts between the boundary lines; the last boundary may be missing."""
    mark, begin, (at, end) = b"\n--" + boundary, -1, within
    # No line end comes before the first line.
    found = at - 1 if raw.startswith(mark[1:], at, end) else _found(raw, mark, within)
    for _ in range(MAX_MARKS):
        if found is None:
            break
        at = found + len(mark)
        line_end = raw.find(b"\n", at, end)
        line_end = end if line_end < 0 else line_end
        tail = raw[at : min(line_end, at + _MAX_TAIL)].strip()
        if tail in (b"", b"--"):  # else it only begins like a boundary line
            if begin >= 0:
                yield begin, max(begin, found - 1 if raw[max(0, found - 1) : found] == b"\r" else found)
            if tail == b"--":
                return
            begin, at = min(line_end + 1, end), line_end
        found = _found(raw, mark, (at, end))
    if begin >= 0:
        yield begin, end


def _found(raw: bytes, mark: bytes, within: _Span) -> int | None:
    at = raw.find(mark, *within)
    return at if at >= 0 else None


def _leaf(headers: dict[str, list[bytes]], body: bytes, alternative: int | None) -> MimePart:
    mime_type, parameters = content_type(headers)
    disposition, more = _with_parameters(headers.get("content-disposition", [b""])[0])
    name = more.get("filename") or parameters.get("name") or ""
    return MimePart(headers, mime_type, parameters, disposition, decoded_words(name), body, alternative)


def split_headers(raw: bytes) -> tuple[dict[str, list[bytes]], bytes]:
    """(headers, body) of a mail or part. A part that begins with an empty line has no headers."""
    block_end, begin = _end_of_headers(raw, (0, len(raw)))
    return _headers(raw[:block_end]), raw[begin:]


def header_block(raw: bytes) -> bytes:
    """The headers of an email as they stand, without its body."""
    return raw[: _end_of_headers(raw, (0, len(raw)))[0]] + b"\r\n\r\n"


def _end_of_headers(raw: bytes, span: _Span) -> _Span:
    """Where the headers of a part end, as far as they are read, and where its body begins."""
    begin, end = span
    if raw[begin : min(begin + 2, end)] == b"\r\n":
        return begin, begin + 2
    if raw[begin : min(begin + 1, end)] == b"\n":
        return begin, begin + 1
    ends = [(at, length) for mark, length in _EMPTY_LINES if (at := raw.find(mark, begin, end)) >= 0]
    at, length = min(ends, default=(end, 0))
    return min(at, begin + MAX_HEADER_BYTES), at + length


def _headers(block: bytes) -> dict[str, list[bytes]]:
    unfolded: list[list[bytes]] = []
    for line in block.split(b"\n"):
        if line[:1] in (b" ", b"\t"):
            if unfolded:
                unfolded[-1].append(line.strip())
        elif len(unfolded) >= MAX_HEADERS:
            break
        else:
            unfolded.append([line.rstrip(b"\r")])
    found: dict[str, list[bytes]] = {}
    for pieces in unfolded:
        name, colon, value = b" ".join(pieces).partition(b":")
        if colon and len(name) <= 100:
            found.setdefault(name.strip().lower().decode("latin-1"), []).append(value.strip()[:MAX_VALUE])
    return found


def content_type(headers: dict[str, list[bytes]]) -> tuple[str, dict[str, str]]:
    """("text/plain", parameters); the default if the value is missing or broken."""
    mime_type, parameters = _with_parameters(headers.get("content-type", [b""])[0])
    return (mime_type if mime_type.count("/") == 1 else "text/plain"), parameters


def _with_parameters(value: bytes) -> tuple[str, dict[str, str]]:
    """(value in lower case, parameter -> value) of a structured header; RFC 2231 is decoded."""
    text = _as_text(value[:MAX_STRUCTURED])
    plain: dict[str, str] = {}
    pieces: dict[str, list[tuple[int, bool, str]]] = {}
    for name, quoted, bare in _PARAMETER.findall(text):
        written = quoted.replace('\\"', '"').replace("\\\\", "\\") if quoted else bare
        base, _star, number = name.lower().removesuffix("*").partition("*")
        if "*" not in name:
            plain.setdefault(base, written)
        elif not number or (number.isascii() and number.isdecimal() and len(number) < 4):
            pieces.setdefault(base, []).append((int(number or 0), name.endswith("*"), written))
    return text.partition(";")[0].strip().lower(), plain | {name: _joined(each) for name, each in pieces.items()}


def _joined(pieces: list[tuple[int, bool, str]]) -> str:
    """The value of a parameter in pieces, as RFC 2231 writes it: charset'language'percent-encoded."""
    charset, raw = "utf-8", b""
    for number, is_encoded, written in sorted(pieces):
        if is_encoded and number == 0 and written.count("'") >= 2:
            charset, _language, written = written.split("'", 2)
        raw += unquote_to_bytes(written) if is_encoded else written.encode("utf-8", "replace")
    return decoded_text(raw, charset)


# --- text


def decoded_header(value: bytes) -> str:
    """A header's value as text on one line, encoded words (RFC 2047) decoded."""
    return decoded_words(_as_text(value))


def decoded_words(text: str) -> str:
    """The text with its encoded words decoded; adjacent ones of the same character set are decoded together."""
    done, at = "", 0
    charset, gathered = "", b""
    for found in _WORD.finditer(text):
        between = text[at : found.start()]
        if between.strip() or found[1].lower() != charset:
            done += decoded_text(gathered, charset) + (between if between.strip() or not gathered else "")
            charset, gathered = found[1].lower(), b""
        encoded = found[3].encode("latin-1", "replace")
        gathered += decode_base64(encoded) if found[2] in "bB" else binascii.a2b_qp(encoded, header=True)
        at = found.end()
    done += decoded_text(gathered, charset) + text[at:]
    return " ".join(done.split())


def decoded_text(raw: bytes, charset: str) -> str:
    """Bytes in a character set as text; an unknown one is treated as UTF-8, then as Windows-1252."""
    codec = _codec(charset.strip().partition("*")[0])
    if codec is None:
        return _as_text(raw)
    return _SURROGATES.sub("\ufffd", raw.decode(codec, "replace")).replace("\0", "")


def _codec(charset: str) -> str | None:
    """Python's name for a character set; None for unknown names and codecs that aren't character sets."""
    if not charset.isascii() or len(charset) > 40 or "\0" in charset:
        return None
    try:
        found = codecs.lookup(charset)
    except (LookupError, ValueError):
        return None
    is_refused = found.name.replace("-", "_") in _REFUSED_CODECS or not getattr(found, "_is_text_encoding", True)
    return None if is_refused or found.name == "ascii" else found.name


def _as_text(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", "replace")
    return text.replace("\0", "")


def decode_base64(raw: bytes) -> bytes:
    """The content of base64 text; other characters are skipped, and an incomplete end is left out."""
    letters = raw.translate(None, _NO_BASE64)
    if len(letters) % 4 == 1:
        letters = letters[:-1]
    return binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))
