"""The page of sessions names browser and system; the header stands in the hint."""

from __future__ import annotations

from sqlalchemy import update

from app.models import SignIn
from tests.app_fixtures import Crm

AGENT = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/126.0 Mobile Safari/537.36"


def test_a_session_names_its_program_as_people_do(crm: Crm) -> None:
    client = crm.client("ana")
    client.screen("/sessions/")
    crm.session.rollback()
    crm.session.execute(update(SignIn.__table__).values(agent=AGENT))
    crm.session.commit()
    page = client.screen("/sessions/").text
    assert ">Chrome on Android</td>" in page and f'title="{AGENT}"' in page
