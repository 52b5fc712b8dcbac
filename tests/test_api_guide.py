"""The examples of docs/api.md, in Python and curl, work as described."""

import os
import re
import subprocess
from pathlib import Path

from tests import forked_programs

GUIDE = Path(__file__).resolve().parent.parent / "docs" / "api.md"


def examples() -> str:
    """All Python blocks of the guide as one program; blank lines keep the guide's line numbers in a traceback."""
    text = GUIDE.read_text(encoding="utf-8")
    lines = [""] * (text.count("\n") + 1)
    for block in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        first = text.count("\n", 0, block.start(1))
        for offset, line in enumerate(block[1].splitlines()):
            lines[first + offset] = line
    return "\n".join(lines)


def new_key(server) -> dict[str, str]:
    """An API key of the admin, made as the guide says: {"key": …, "secret": …}."""
    make = ("-m", "flask", "--app", "run", "api-key", "create", "--user", server.ADMIN[0])
    made = forked_programs.run(make, server.environment())
    assert made.returncode == 0, made.stderr
    return dict(re.findall(r"^(key|secret): (\S+)$", made.stdout, re.MULTILINE))


def test_the_examples_of_the_api_guide_hold(live_server):
    key = new_key(live_server)
    names = {"BASE": live_server.url, "PASSWORD": live_server.ADMIN[1], "KEY": key["key"], "SECRET": key["secret"]}
    try:
        exec(compile(examples(), str(GUIDE), "exec"), names)  # noqa: S102  # our own guide
    finally:
        if "crm" in names:
            names["crm"].close()


#: curl as the guide writes it, but an answer of 400 and above ends the script, unless that is what is shown.
CURL = """set -euo pipefail
curl() {
  local fail=--fail-with-body
  if [ "$1" = --no-fail ]; then fail=--no-fail; shift; fi
  command curl --silent --show-error $fail "$@"
}
"""


def commands() -> str:
    """All shell blocks of the guide as one program."""
    text = GUIDE.read_text(encoding="utf-8")
    return CURL + "\n".join(re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


def test_the_commands_of_the_api_guide_hold(live_server, tmp_path):
    key = new_key(live_server)
    names = {"BASE": live_server.url, "PASSWORD": live_server.ADMIN[1], "KEY": key["key"], "SECRET": key["secret"]}
    done = subprocess.run(
        ["bash", "-c", commands()], cwd=tmp_path, env=os.environ | names, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "कृपया लीड का नाम" in done.stdout


def test_the_guide_has_examples():
    assert examples().count("crm.") > 10
    assert commands().count("$BASE") > 5
