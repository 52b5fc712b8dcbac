"""Replication and promotion by docs/operate.md: its code blocks are run, with addresses and passwords filled in."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.ops.test_promote import Operator, Writers
from tests.server_clusters import ADMIN, REPLICATION, Follower, figures
from tests.servers import ROOT, MariaDB, eventually, program

GUIDE = (ROOT / "docs" / "operate.md").read_text().partition("### From one server to many")[2]
PASSWORDS = dict((ADMIN, REPLICATION, ("crm", "p@ss")))
STEPS = {1: "Database and Redis on machines of their own", 5: "Replicas of MariaDB", 6: "The primary is lost"}


def blocks(step: int) -> list[tuple[str, str]]:
    """(language, text) of each block of a step."""
    text = GUIDE[GUIDE.index(f"**{step}. {STEPS[step]}") :].partition(f"\n**{step + 1}. ")[0]
    return re.findall(r"^```(\w+)\n(.*?)^```", text, re.M | re.S)


class Guided(Follower):
    """A MariaDB with the options of the guide, and no others that matter for replication."""

    def __init__(self, folder: Path, cache: Path, configuration: str) -> None:
        MariaDB.__init__(self, folder, cache)
        self.configure(configuration)

    def configure(self, configuration: str) -> None:
        """Take another configuration with the next start."""
        lines = [line.replace(" ", "") for line in configuration.splitlines() if "=" in line]
        self.options = tuple(f"--{line}" for line in lines if not line.startswith("bind-address"))

    def told(self, text: str, primary: Guided | None = None) -> None:
        """Run SQL of the guide here, as root; `primary` is the server that it names."""
        text = text.replace("10.0.0.%", "127.0.0.1")
        if primary is not None:
            text = text.replace("'10.0.0.31'", f"'127.0.0.1', master_port = {primary.port}")
        for pattern in (r"((\w+)@\S+ IDENTIFIED BY )'…'", r"(master_user = '(\w+)', master_password = )'…'"):
            text = re.sub(pattern, lambda found: f"{found[1]}'{PASSWORDS[found[2]]}'", text)
        assert "…" not in text and "10.0.0" not in text, text
        self.say(*(each for each in text.split(";\n") if each.strip()))

    def does(self, text: str, folder: Path) -> None:
        """Run shell commands of the guide in a folder, where `mariadb` reaches this server as root."""
        at = f"--no-defaults --host=127.0.0.1 --port={self.port} --user=root"
        names = "".join(f'{each}() {{ {program(each)} {at} "$@"; }}\n' for each in ("mariadb", "mariadb-dump"))
        subprocess.run(["bash", "-euo", "pipefail", "-c", names + text], cwd=folder, check=True)


@contextlib.contextmanager
def replicated_by_the_guide(folder: Path, cache: Path) -> Iterator[list[Guided]]:
    """A primary with the CRM's database and user, and a replica of it."""
    (_sql, database), *_others = blocks(1)
    parts = blocks(5)
    assert [language for language, _text in parts] == ["ini", "sql", "ini", "sh", "sh", "sql", "sh"]
    of_primary, users, of_replica, dump, load, follow, _settings = (text for _language, text in parts)
    with Guided(folder / "db1", cache, of_primary) as primary:
        primary.told(database)
        primary.told(users)
        primary.say("CREATE TABLE crm.t (id INT PRIMARY KEY) ENGINE=InnoDB", "INSERT INTO crm.t VALUES (-1)")
        with Guided(folder / "db2", cache, of_replica) as replica:
            primary.does(dump, folder)
            replica.does(load, folder)
            replica.told(follow, primary)
            eventually(lambda: _runs(replica), "the replica doesn't follow")
            yield [primary, replica]


def test_a_replica_is_promoted_by_the_guide(tmp_path: Path, mariadb_cache: Path) -> None:
    with replicated_by_the_guide(tmp_path, mariadb_cache) as (first, second):
        operator = operator_of(tmp_path, [first, second])
        second.restart()  # its position survives, although it has taken over nothing yet
        eventually(lambda: _runs(second), "the replica doesn't follow after a restart")
        with Writers(first, 0) as writers:
            eventually(lambda: len(writers.acknowledged) > 200 and _confirms(first), "no save is confirmed")
            first.kill()
            killed = time.monotonic()
        said = operator.promotes(second)
        took = time.monotonic() - killed
        assert "all that people were told is saved is here" in said, said
        assert f"Give {second.place} the configuration of a primary" in said
        there = {row[0] for row in second.say("SELECT id FROM crm.t")}
        figures.info("%s acknowledged, %s there, promoted in %.2f s", len(writers.acknowledged), len(there), took)
        assert {*writers.acknowledged, -1} <= there
        second.restart()
        assert "takes no changes: it was started with read_only" in operator.is_refused(second)
        second.configure(blocks(5)[0][1].replace("server_id = 1", "server_id = 2"))
        second.restart()
        assert "is the primary already" in operator.promotes(second)


def operator_of(folder: Path, servers: Sequence[Guided]) -> Operator:
    """Who has the guide's file for deploy/promote."""
    operator = Operator.of(folder, list(servers))
    parts = blocks(6)
    assert [language for language, _text in parts] == ["ini", "sh", "sh"]
    written = re.sub(r"(user = (\w+)\npassword = )…", lambda found: f"{found[1]}{PASSWORDS[found[2]]}", parts[0][1])
    operator.admin.write_text(written)
    return operator


def _runs(replica: Guided) -> bool:
    row = replica.status()
    return (row["Slave_IO_Running"], row["Slave_SQL_Running"]) == ("Yes", "Yes")


def _confirms(primary: Guided) -> bool:
    """Whether a save waits until a replica has it."""
    return primary.say("SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_master_status'")[0][1] == "ON"
