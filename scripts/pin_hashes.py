"""`make pins`: the hashes of every pinned package, for every Python and machine that the product runs on.

uv asks the configured registry for all files of the pinned versions, and installs nothing. The lines of the pin files
keep their order and comments; only the hashes are replaced. Files for other systems are left out.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tools

ROOT = Path(__file__).resolve().parent.parent
FILES = ("requirements.txt", "requirements-dev.txt", "requirements-tools.txt")
PYTHONS, MACHINES = (11, 12, 13, 14), ("x86_64", "aarch64")
_PIN = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^\s#;\\]+)(?:[^#\n]*?)(?:\s+#\s*(?P<reason>.*))?$")
_HASH = re.compile(r"\s--hash=\S+")


def main() -> int:
    """Rewrite the files. Returns 1 if uv could not be run."""
    pins = {name: pins_of((ROOT / name).read_text()) for name in FILES}
    try:
        found = {name: _ask(listed) for name, listed in pins.items()}  # the tools have their own versions
    except tools.Missing as missing:
        print(missing, file=sys.stderr)
        return 1
    for name, listed in pins.items():
        path = ROOT / name
        path.write_text(with_hashes(path.read_text(), found[name]))
        print(f"{name}: {len(listed)} packages, {sum(map(len, found[name].values()))} hashes")
    return 0


def pins_of(text: str) -> list[str]:
    """The pins of a file: name==version."""
    matches = (_PIN.match(_HASH.sub("", line)) for line in _joined(text))
    return [f"{match['name']}=={match['version']}" for match in matches if match]


def _joined(text: str) -> list[str]:
    """The lines, with continuation lines joined."""
    return re.sub(r"\s*\\\n\s*", " ", text).splitlines()


def key_of(pin: str) -> str:
    """name==version with the name normalized as registries do."""
    name, _, version = pin.partition("==")
    return f"{re.sub(r'[-_.]+', '-', name).lower()}=={version}"


def _ask(pins: list[str]) -> dict[str, list[str]]:
    """Pin -> hashes of the files that any of our targets may install. Raises tools.Missing."""
    with tempfile.TemporaryDirectory() as folder:
        wanted, answer = Path(folder) / "wanted.in", Path(folder) / "pylock.toml"
        wanted.write_text("".join(f"{pin}\n" for pin in dict.fromkeys(pins)))
        command = [str(tools.program("uv")), "pip", "compile", "--quiet", "--no-deps", "--universal", "--native-tls"]
        command += ["--python-version", "3.11", "--format", "pylock.toml", str(wanted), "-o", str(answer)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # our pins
        if done.returncode:
            raise tools.Missing(f"uv could not tell the hashes: {done.stderr.strip()[-600:]}")
        packages = tomllib.loads(answer.read_text())["packages"]
    return {key_of(f"{each['name']}=={each['version']}"): hashes_of(each) for each in packages}


def hashes_of(package: dict[str, Any]) -> list[str]:
    """The hashes of the wheels that our targets may install; also of the source, if one of them has no wheel."""
    wheels = {Wheel.of(each["url"]): each["hashes"]["sha256"] for each in package.get("wheels", ())}
    found = {digest for wheel, digest in wheels.items() if any(wheel.fits(*target) for target in _targets())}
    if any(not any(wheel.fits(*target) for wheel in wheels) for target in _targets()) and "sdist" in package:
        found.add(package["sdist"]["hashes"]["sha256"])
    return sorted(found)


def _targets() -> list[tuple[int, str]]:
    return [(python, machine) for python in PYTHONS for machine in MACHINES]


@dataclass(frozen=True)
class Wheel:
    """The parts of a wheel's name: Pythons, ABI, machines."""

    pythons: str
    abi: str
    platforms: str

    @classmethod
    def of(cls, url: str) -> Wheel:
        """Parse a wheel's URL."""
        _name, pythons, abi, platforms = url.rpartition("/")[2].removesuffix(".whl").rsplit("-", 3)
        return cls(pythons, abi, platforms)

    def fits(self, python: int, machine: str) -> bool:
        """Whether pip may install it for CPython 3.`python` on Linux with glibc."""
        if self.platforms != "any" and not re.search(rf"(manylinux\w*|linux)_{machine}(\.|$)", self.platforms):
            return False
        tags = self.pythons.split(".")
        if any(tag.startswith("py3") or tag == "py2" for tag in tags) and "py3" in self.pythons:
            return True
        versions = [int(tag[3:]) for tag in tags if re.fullmatch(r"cp3\d+", tag)]
        is_stable = self.abi == "abi3"
        return any(each == python and self.abi in (f"cp3{each}", "abi3", "none") for each in versions) or (
            is_stable and any(each <= python for each in versions)
        )


def with_hashes(text: str, hashes: dict[str, list[str]]) -> str:
    """The file with these hashes; a reason is on the line above its package."""
    out: list[str] = []
    for line in _joined(text):
        match = _PIN.match(_HASH.sub("", line))
        if match is None:
            out.append(line)
            continue
        if match["reason"]:
            out.append(f"# {match['reason'].strip()}")
        pin = f"{match['name']}=={match['version']}"
        parts = [pin, *(f"    --hash=sha256:{each}" for each in hashes[key_of(pin)])]
        out.append(" \\\n".join(parts))
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    sys.exit(main())
