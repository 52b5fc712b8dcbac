"""Which files may be attached to an email, judged by their content and the name under which they arrive."""

from __future__ import annotations

#: First bytes of programs, whatever their name: Windows, Linux, macOS, Java.
_PROGRAMS = (b"MZ", b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"#!")
#: Bytes examined at the beginning of a file.
LOOKED_AT = 4
#: File name extensions that the recipient's computer would run; mail servers refuse them.
_RUN = frozenset(
    {
        *("apk", "app", "bat", "cmd", "com", "cpl", "dll", "dmg", "exe", "hta", "jar", "js", "jse", "lnk", "msi"),
        *("msp", "pif", "ps1", "reg", "scr", "sh", "vb", "vbe", "vbs", "wsf", "wsh"),
    }
)


def is_program(name: str, content: bytes) -> bool:
    """Whether the file can run on the recipient's computer; `content` is at least its beginning."""
    return _ending(name) in _RUN or content.startswith(_PROGRAMS)


def _ending(name: str) -> str:
    return name.rpartition(".")[2].lower().strip() if "." in name else ""
