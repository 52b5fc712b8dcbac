"""Which files may be sent: refusals are sentences that say what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.channels.provider import Abilities
from app.domain.base import RuleBroken, translatable
from app.lib.file_kinds import BOMB, UNKNOWN
from app.ops.storage.file_store import MAX_BYTES

#: Kinds with a refusal of their own.
_HEIC = "image/heic"
_ARCHIVES = ("application/zip",)


def refuse(file: Mapping[str, Any], channel: str, ability: Abilities) -> None:
    """Raise RuleBroken for a file that can't be sent. `file`: mime_type (by content), name, size in bytes if known."""
    kind, name, size = str(file.get("mime_type") or UNKNOWN), display_name(file), file.get("size")
    refuse_bad_content(kind, name, size)
    if not ability.files:
        refuse_channel(channel)
    most = ability.files.get(kind)
    if most is None:
        raise _wrong_kind(kind, name)
    if size is not None and int(size) > most:
        text = (
            "“%(name)s” is too large: on this channel such a file can have up to %(most)s MB. Please make it smaller."
        )
        raise RuleBroken(translatable(text, name=name, most=most // 1_000_000), "files")


def refuse_bad_content(kind: str, name: str, size: Any) -> None:
    """Raise RuleBroken for files that nobody should receive: empty, too large, or harmful."""
    if size is not None and int(size) == 0:
        raise RuleBroken(translatable("“%(name)s” is empty. Please choose another file.", name=name), "files")
    if size is not None and int(size) > MAX_BYTES:
        raise too_large(name)
    if kind == BOMB:
        text = "“%(name)s” unpacks to far more than it says, which can harm computers. It was not taken."
        raise RuleBroken(translatable(text, name=name), "files")


def too_large(name: str) -> RuleBroken:
    """The refusal of a file above MAX_BYTES."""
    text = "“%(name)s” is larger than %(most)s MB. Please make it smaller, or send a link to it."
    return RuleBroken(translatable(text, name=name, most=MAX_BYTES // 1_000_000), "files")


def refuse_channel(channel: str) -> None:
    """Raise RuleBroken: this channel or account sends only text."""
    if channel == "sms":
        raise RuleBroken("An SMS can't carry a file. Please send a link to it, or use WhatsApp or email.", "files")
    raise RuleBroken("Files can't be sent by this account. Please send a link instead.", "files")


def _wrong_kind(kind: str, name: str) -> RuleBroken:
    """The refusal of a kind of file that the channel doesn't accept."""
    if kind == _HEIC:
        return _heic(name)
    if kind in _ARCHIVES:
        text = "“%(name)s” is an archive, which can't be sent on this channel. Please send the files in it one by one."
        return RuleBroken(translatable(text, name=name), "files")
    if kind == UNKNOWN:
        return _unknown(name)
    text = "This channel doesn't take files like “%(name)s”. Please send it as a PDF, JPEG, PNG, MP3 or MP4."
    return RuleBroken(translatable(text, name=name), "files")


def _heic(name: str) -> RuleBroken:
    text = (
        "“%(name)s” is a HEIC picture, whatever its name says, and many phones can't show it. "
        "Please save it as JPEG and choose it again."
    )
    return RuleBroken(translatable(text, name=name), "files")


def _unknown(name: str) -> RuleBroken:
    text = (
        "By its content, “%(name)s” is no picture, video, sound, PDF or document, whatever its name says. "
        "Please choose another file."
    )
    return RuleBroken(translatable(text, name=name), "files")


def display_name(file: Mapping[str, Any]) -> str:
    """The name of a file for use in sentences."""
    return str(file.get("name") or "file")[:80]
