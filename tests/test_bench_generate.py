"""The generator of the benchmark data makes consistent data of any size."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask_appbuilder import Model
from sqlalchemy import Engine, create_engine, func, inspect, select
from sqlalchemy.orm import Session

from app import access, models
from bench import generate
from tests.servers import Databases
from tests.test_demo import add_picklists

NOW = datetime(2026, 11, 20, 8, 30, tzinfo=UTC)
SIZES = generate.Sizes.of(800)


def filled_database(engine: Engine) -> Engine:
    """Fill the database with schema, picklists and rows."""
    Model.metadata.create_all(engine)
    with Session(engine) as session:
        add_picklists(session)
        session.add(models.AccessVersion(id=1, n=1))
        seller = session.scalars(select(models.Role.id).where(models.Role.name == "Sales User")).one()
        session.add(models.ModulePermission(role_id=seller, module="Leads", verb="read", level="own"))
        session.commit()
    generate.fill(engine, SIZES, NOW)
    return engine


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = filled_database(create_engine(f"sqlite:///{tmp_path_factory.mktemp('bench') / 'crm.sqlite3'}"))
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def on_mariadb(mariadb_server: Databases) -> Iterator[Engine]:
    name = mariadb_server.create_database()
    engine = filled_database(create_engine(mariadb_server.url(name)))
    yield engine
    engine.dispose()
    mariadb_server.drop_database(name)


@pytest.fixture(params=["on_sqlite", "on_mariadb"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return request.getfixturevalue(request.param)


def count(engine: Engine, record: object, *where: object) -> int:
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(record).where(*where)).scalar() or 0


def test_the_numbers_of_rows_follow_the_sizes(engine):
    expected = {
        models.Lead: SIZES.leads,
        models.Customer: SIZES.customers,
        models.Ticket: SIZES.tickets,
        models.Task: SIZES.tasks,
        models.CallLog: SIZES.calls,
        models.Activity: SIZES.activities,
        models.User: SIZES.users,
    }
    assert {record: count(engine, record) for record in expected} == expected


def test_the_sales_user_has_a_fortieth_of_the_leads(engine):
    mine = select(models.User.id).where(models.User.username == generate.SALES).scalar_subquery()
    assert count(engine, models.Lead, models.Lead.assignee_id == mine) == SIZES.leads // generate.SHARE
    others = (models.Lead.owner_id == mine) & (models.Lead.assignee_id != mine)
    assert count(engine, models.Lead, others) == 0


@pytest.mark.parametrize(("name", "leads"), [(generate.SALES, 20), (generate.MANAGER, 800), (generate.SUPPORT, 0)])
def test_the_sales_user_sees_their_own_leads_and_the_manager_all(engine, name, leads):
    with Session(engine) as session, access.as_system(session):
        key = session.scalars(select(models.User.id).where(models.User.username == name)).one()
        who = access.load_person(session, key, NOW)
    assert count(engine, models.Lead, access.visible(who, models.Lead)) == leads


@pytest.mark.parametrize("table", ["leads", "task", "ticket", "call_log", "activity", "assignment", "customer"])
def test_all_foreign_keys_are_valid(engine, table):
    child = Model.metadata.tables[table]
    for key in inspect(engine).get_foreign_keys(table):
        column, parent = child.c[key["constrained_columns"][0]], Model.metadata.tables[key["referred_table"]]
        is_invalid = column.is_not(None) & column.not_in(select(parent.c.id))
        assert count(engine, child, is_invalid) == 0, column


def test_record_numbers_are_unique_and_the_series_is_at_the_last(engine):
    with engine.connect() as connection:
        numbers = list(connection.scalars(select(models.Lead.__table__.c.number)))
        series = models.NumberSeries.__table__.c
        last = connection.execute(select(series.last).where(series.kind == "LEAD", series.year == 2026)).scalar()
    assert len(set(numbers)) == SIZES.leads
    assert max(numbers) == f"CRM-LEAD-2026-{last:05d}"


def test_the_data_is_the_same_in_every_run(tmp_path: Path, on_sqlite: Engine):
    again = filled_database(create_engine(f"sqlite:///{tmp_path / 'again.sqlite3'}"))
    rows = select(models.Lead.__table__).order_by(models.Lead.__table__.c.id)
    with on_sqlite.connect() as one, again.connect() as other:
        assert one.execute(rows).all() == other.execute(rows).all()
    again.dispose()
