"""Fill in the files of deploy/: `render.py TARGET [TEMPLATE …] NAME=VALUE …` writes them under TARGET.

Every value that a file names as @NAME@ is required. Values must not contain quotes or line breaks, because they become
part of files in many languages.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
#: Template -> path of the result.
FILES = {
    "nginx/crm.conf": "nginx/crm.conf",
    "supervisor/crm.conf": "supervisor/crm.conf",
    "systemd/crm-web.service": "systemd/crm-web.service",
    "systemd/crm-background.service": "systemd/crm-background.service",
    "systemd/crm.target": "systemd/crm.target",
    "logrotate": "logrotate/crm",
    "mariadb/crm.cnf": "mariadb/crm.cnf",
    "redis/crm.conf": "redis/crm.conf",
    "env": "env",
}
#: Files that hold passwords.
SECRET = {"env", "redis/crm.conf"}
_NAME = re.compile(r"@([A-Z][A-Z_]*)@")
_BAD = re.compile(r"""['"\\\n\r\0]""")


class Missing(Exception):
    """A value is missing, or contains characters that a file can't contain."""


def filled(text: str, values: dict[str, str]) -> str:
    """The text with its @NAMES@ filled in. Raises Missing."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in values:
            raise Missing(f"{found[1]} is not given.")
        return values[found[1]]

    return _NAME.sub(value, text)


def complete(values: dict[str, str]) -> dict[str, str]:
    """The values, and the parts of nginx's site that depend on them. Raises Missing."""
    for name, value in values.items():
        if _BAD.search(value):
            raise Missing(f"{name} holds a quote, a backslash or a line end, which no file could take.")
    parts = {"ERRORS_DIR": str(HERE / "nginx" / "errors"), "STATIC_DIR": str(HERE.parent / "app" / "static")}
    addresses = {f"{name}_ADDRESS": f"127.0.0.1:{values.get(f'{name}_PORT', '')}" for name in ("WEB", "SOCKETS")}
    addresses |= {name: value for name, value in values.items() if name in addresses}
    parts |= {
        "WEB_SERVERS": _servers(addresses["WEB_ADDRESS"]),
        "SOCKETS_SERVERS": _servers(addresses["SOCKETS_ADDRESS"]),
    }
    # Polling clients stay on one server, because their session is there.
    parts["SOCKETS_STICKY"] = "    ip_hash;\n" if "," in addresses["SOCKETS_ADDRESS"] else ""
    parts |= {"ROOT": str(HERE.parent)} | dict.fromkeys(("BROTLI", "HSTS", "REDIRECT", "LISTEN", "BACKUP_DIR"), "")
    parts |= values
    if values.get("HAS_BROTLI") == "yes":
        parts["BROTLI"] = (HERE / "nginx" / "brotli.conf").read_text().rstrip()
    if values.get("TLS_CERTIFICATE"):
        parts["LISTEN"] = filled((HERE / "nginx" / "tls.conf").read_text(), {"HTTPS_PORT": "443"} | values).rstrip()
        parts["REDIRECT"] = filled((HERE / "nginx" / "redirect.conf").read_text(), values)
        parts["HSTS"] = '        add_header Strict-Transport-Security "max-age=31536000" always;'
    elif not parts["LISTEN"]:
        port = values.get("HTTP_PORT", "80")
        parts["LISTEN"] = f"    listen {port};\n    listen [::]:{port};"
    return parts


def _servers(addresses: str) -> str:
    """The servers of an upstream: one, or several with commas, of which a failing one is skipped for a while."""
    every = [each.strip() for each in addresses.split(",") if each.strip()]
    options = " max_fails=2 fail_timeout=5s" if len(every) > 1 else ""
    return "\n".join(f"    server {each}{options};" for each in every)


def render(target: Path, values: dict[str, str], names: list[str] | None = None) -> list[Path]:
    """Write the files (by default all) under the target. Returns their paths. Raises Missing."""
    parts, written = complete(values), []
    for template in names or list(FILES):
        path = target / FILES[template]
        text = filled((HERE / template).read_text(), parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600 if template in SECRET else 0o644)
        path.write_text(text)
        written.append(path)
    return written


def main(arguments: list[str]) -> int:
    """Run the command; see the module's docstring.

    Values "-" are read from stdin, one per line, because passwords in arguments would be visible.
    """
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 64
    target, values, names = Path(arguments[0]), {}, []
    for argument in arguments[1:]:
        name, equals, value = argument.partition("=")
        if not equals:
            names.append(name)
        else:
            values[name] = sys.stdin.readline().rstrip("\n") if value == "-" else value
    try:
        for path in render(target, values, names):
            print(path)
    except (Missing, KeyError) as error:
        print(f"render.py: {error}", file=sys.stderr)
        return 65
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
