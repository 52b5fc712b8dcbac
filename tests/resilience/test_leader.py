"""One process leads; when it is killed another one takes over without help."""

from __future__ import annotations

from sqlalchemy import func, select

from app.models import JobRun
from tests.resilience.process_group import Pack, PackSettings
from tests.resilience.process_killer import Hunter
from tests.resilience.scenario import Ground
from tests.servers import Databases, eventually


def test_when_the_leader_is_killed_another_one_takes_over(mariadb_server: Databases, field: Ground) -> None:
    with Pack(field.folder / "pack", PackSettings(count=3), field.settings) as pack:
        hunter = Hunter(mariadb_server, field.name, pack)
        for _ in range(3):
            eventually(lambda: hunter.leader() is not None, "nobody leads")
            leader = hunter.leader()
            hunter.kill(leader)
            eventually(lambda dead=leader: hunter.leader() not in (None, dead), "nobody takes over")
            last = field.rows(select(func.max(JobRun.id)))[0] or 0
            later = select(func.count(JobRun.id)).where(JobRun.id > last, JobRun.outcome == "done")
            eventually(lambda query=later: field.rows(query)[0] > 0, "the new leader does not work")
