"""A database in memory for tests without the web: `db` is its session, people come from tests.factories."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session

from app import access
from app.domain.picklists import TicketSubject
from app.lib.field_encryption import Vault
from app.models import Role
from tests import factories


@pytest.fixture
def db() -> Iterator[Session]:
    """A session on an empty database with picklists, roles and two ticket subjects."""
    engine = factories.database()
    # As the system: once an application was made in this process, every session is under the law.
    with Session(engine, expire_on_commit=False) as session, access.as_system(session):
        session.add_all(TicketSubject(label=label, position=n) for n, label in enumerate(("KYC update", "DP charges")))
        session.add(Role(name="Compliance"))
        session.commit()
        yield session
    engine.dispose()


@pytest.fixture
def session() -> Iterator[Session]:
    """A session of the system on an empty database with statuses and roles; nobody works there yet."""
    engine = factories.database()
    with factories.opened(engine) as session:
        yield session
    engine.dispose()


@pytest.fixture
def vault() -> Vault:
    """For PAN and Aadhaar."""
    return Vault(b"k" * 32)
