"""A process without clients that assigns leads to people, like a command or a queue worker.

python -m tests.resilience.external_writer   each line of input is "lead user"; it prints the time of the commit
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from app.domain.base import Stamp
from tests.resilience.scenario import Scenario
from tests.servers import ROOT, ServerFailed


class ExternalWriter:
    """The process, seen from the tests."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def give(self, lead: int, user: int) -> float:
        """Let it hand the lead to the user; answers the moment of its commit (time.monotonic(), of all processes)."""
        assert self.process.stdin and self.process.stdout
        print(lead, user, file=self.process.stdin, flush=True)
        said = self.process.stdout.readline()
        if not said:
            raise ServerFailed("the process outside ended")
        return float(said)


@contextmanager
def outsider(scenario: Scenario, **settings: str) -> Iterator[ExternalWriter]:
    """Such a process on the scenario."""
    environ = (
        {"PATH": "/usr/bin:/bin", "CRM_INSTANCE_DIR": str(scenario.folder / "outside")} | scenario.settings | settings
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.resilience.external_writer"],
        cwd=ROOT,
        env=environ,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        yield ExternalWriter(process)
        assert process.stdin
        process.stdin.close()


def main() -> None:
    """Commit what the lines ask for."""
    from sqlalchemy.orm import Session

    import run
    from app import access
    from app.domain import assignment
    from app.extensions import db
    from app.models import Lead

    app = run.create_app()
    with app.app_context():
        engine = db.engine
    for line in sys.stdin:
        lead, user = map(int, line.split())
        with Session(engine) as session, access.as_system(session):
            assignment.assign(
                session,
                session.get_one(Lead, lead),
                assignment.NewAssignee(user, "direct"),
                Stamp(None, datetime.now(UTC)),
            )
            session.commit()
            sys.stdout.write(f"{time.monotonic()}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
