"""Previews of pictures: small, and re-encoded from the pixels, so that they contain nothing but what is seen."""

from __future__ import annotations

import logging
import threading
from io import BytesIO
from typing import Any, BinaryIO

from app.ops.storage.file_store import FileStore

#: Maximum width and height of a preview, in pixels, and its JPEG quality.
EDGE, QUALITY = 640, 80
#: Width and height of a person's picture, in pixels.
FACE = 192
#: A picture with more pixels is not decoded: each takes 4 bytes.
MAX_PIXELS = 40_000_000
#: A JPEG may have more, because it can be decoded at an eighth of its size.
MAX_JPEG_PIXELS = 200_000_000
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP")

log = logging.getLogger("crm.files")
#: One at a time in each process, because decoding takes memory.
_turn = threading.Lock()


def preview_of(store: FileStore, digest: str) -> str | None:
    """Store a preview of a picture and return its digest; None if it can't be made. Raises OSError."""
    with store.open(digest) as file, _turn:
        content = shrink(file)
    return store.put(content).digest if content is not None else None


def thumbnail(file: BinaryIO) -> bytes | None:
    """A small picture of an upload, as `shrink`; one at a time in each process."""
    with _turn:
        return _made(file)


def square(file: BinaryIO) -> bytes | None:
    """The middle of the picture as a small square JPEG, for avatars; None as in `shrink`."""
    with _turn:
        return _made(file, is_square=True)


def shrink(file: BinaryIO) -> bytes | None:
    """The picture as a small JPEG; None if it is damaged, or too large to be decoded."""
    return _made(file)


def opened(file: BinaryIO, edges: tuple[int, int]) -> Any:
    """The picture, upright, at most this large, with its transparency; None as in `shrink`."""
    with _turn:
        return _unpacked(file, edges)


def _made(file: BinaryIO, is_square: bool = False) -> bytes | None:
    upright = _unpacked(file, (EDGE, EDGE))
    if upright is None:
        return None
    from PIL import Image, ImageOps

    if is_square:
        upright = ImageOps.fit(upright, (FACE, FACE))
    background = Image.new("RGB", upright.size, "white")
    background.paste(upright, mask=upright)
    made = BytesIO()
    background.save(made, "JPEG", quality=QUALITY, optimize=True)
    return made.getvalue()


def _unpacked(file: BinaryIO, edges: tuple[int, int]) -> Any:
    from PIL import Image, ImageOps  # imported for the first picture: it takes 10 MB

    Image.MAX_IMAGE_PIXELS = None  # our limits are checked below, before decoding
    try:
        with Image.open(file, formats=_FORMATS) as picture:
            pixels = picture.width * picture.height
            if pixels > (MAX_JPEG_PIXELS if picture.format == "JPEG" else MAX_PIXELS):
                return None
            picture.draft("RGB", edges)
            if picture.width * picture.height > MAX_PIXELS:
                return None
            picture.thumbnail(edges)
            return ImageOps.exif_transpose(picture).convert("RGBA")
    except Exception as error:  # noqa: BLE001  # whatever a damaged file makes the library raise
        log.info("a picture has no preview (%s)", type(error).__name__)
        return None
