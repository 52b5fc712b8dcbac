"""Which files may be attached to what we send: judged by content and by the name under which they arrive."""

from __future__ import annotations

from app.lib.file_kinds import kind_of

#: How programs begin, whatever their name says: Windows, Linux, macOS, Java.
_PROGRAMS = (b"MZ", b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"#!")
#: Endings by which a program of the recipient would run the file; mail servers refuse them.
_RUN = frozenset(
    {
        *("apk", "app", "bat", "cmd", "com", "cpl", "dll", "dmg", "exe", "hta", "jar", "js", "jse", "lnk", "msi"),
        *("msp", "pif", "ps1", "reg", "scr", "sh", "vb", "vbe", "vbs", "wsf", "wsh"),
    }
)
#: Kind by content -> endings that fit; another one is given the first of these.
_ENDINGS = {
    "application/pdf": ("pdf",),
    "image/png": ("png",),
    "image/jpeg": ("jpg", "jpeg", "jfif"),
    "image/gif": ("gif",),
    "image/webp": ("webp",),
    "image/heic": ("heic", "heif"),
    "video/mp4": ("mp4", "m4v"),
    "video/quicktime": ("mov", "qt"),
    "audio/ogg": ("ogg", "oga", "opus"),
    "audio/mpeg": ("mp3",),
}
MAX_NAME = 120


def is_program(name: str, content: bytes) -> bool:
    """Whether the file can run on the recipient's computer."""
    return _ending(name) in _RUN or content.startswith(_PROGRAMS)


def fitting_name(name: str, content: bytes) -> str:
    """The name without folders and line ends, with an ending that fits the content: a HEIC named .jpg opens nowhere."""
    bare = "".join(char for char in name.replace("\\", "/").rpartition("/")[2] if char.isprintable()).strip(". ")
    bare = bare[-MAX_NAME:] or "file"
    endings = _ENDINGS.get(kind_of(content), ())
    return bare if not endings or _ending(bare) in endings else f"{bare}.{endings[0]}"


def _ending(name: str) -> str:
    return name.rpartition(".")[2].lower().strip() if "." in name else ""
