from sqlalchemy import select
from app.domain import team
from app.models import RoundRobin
from tests.makers import NOW
from tests.domain.test_assignment import at_once
def test_a(maria):
    print(maria.rows(select(RoundRobin.role_id)))
    at_once(maria, [lambda s: s.connection() and None]*25)
    for _ in range(3):
        for role in ("Sales User", "Sales Manager", "Support User", "Admin"):
            r = at_once(maria, [lambda s: team.next_in_turn(s, role, NOW).user_id]*25)
            print(role, r)
