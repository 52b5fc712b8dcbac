"""Add-ons that clash with each other, with the CRM or with their tables: one sentence at the start."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask_appbuilder.models.sqla.interface import SQLAInterface

from app import access
from app.web.core.views.declaration_checks import refuse_taken_module
from tests import forked_programs
from tests.addons import attackable_addon
from tests.app_pool import copy_folder
from tests.servers import Databases

SHOP = """
from flask_appbuilder import Model
from flask_appbuilder.basemanager import BaseManager
from flask_appbuilder.models.sqla.interface import SQLAInterface
from sqlalchemy import Column, ForeignKey, Integer, String
from app.web import Screen

class {model}(Model):
    __tablename__ = "{table}"
    id = Column(Integer, primary_key=True)
    name = Column(String(50))
    {more}

class {model}Screen(Screen):
    datamodel = SQLAInterface({model})
    list_columns = show_columns = add_columns = edit_columns = ["name"]

class Manager(BaseManager):
    {migrations}
    def register_views(self):
        self.appbuilder.add_view({model}Screen, "{entry}")
"""


def shop(folder: Path, package: str, **other: Any) -> None:
    """Write an add-on with one record."""
    known = {"model": "Shop", "table": "shop", "more": "", "entry": "Shops", "migrations": ""}
    (folder / f"{package}.py").write_text(SHOP.format(**known | other))


def starts(folder: Path, *lists: str, url: str = "") -> list[str]:
    """What the operator reads when the product starts with each of these lists of add-ons, one after the other."""
    environ = {"PYTHONPATH": str(folder), "CRM_DATABASE_URL": url, "PYTHONDONTWRITEBYTECODE": "1"}
    command = ("-m", "tests.addons.start_processes", str(folder / "instance"), *lists)
    done = forked_programs.run(command, os.environ | environ)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith('"')]


def test_clashes_are_named(tmp_path: Path, migrated_folder: Path) -> None:
    copy_folder(migrated_folder, tmp_path / "instance")
    shop(tmp_path, "first")
    shop(tmp_path, "same_table", model="Stall", entry="Stalls")
    shop(tmp_path, "of_ours", model="Stall", table="leads", entry="Stalls")
    shop(tmp_path, "same_name", table="other_shop")
    shop(tmp_path, "other_case", model="Stall", table="stall", entry="sHOPS")
    shop(tmp_path, "lost_key", table="lost", more='other_id = Column(Integer, ForeignKey("nowhere.id"))')
    shop(tmp_path, "of_our_name", model="Tasks", table="my_tasks", entry="Chores")
    (tmp_path / "leaves.py").write_text("import sys; sys.exit('no licence')")
    said = {
        "first.Manager,same_table.Manager": "both map the table shop",
        "of_ours.Manager": "Stall maps leads, a table of the CRM",
        "first.Manager,same_name.Manager": "ShopScreen: the module “Shop”, named after Shop, is that of Shop",
        "first.Manager,other_case.Manager": "“Shops” and “sHOPS” differ only in case",
        "lost_key.Manager": "could not find table 'nowhere'",
        "of_our_name.Manager": "TasksScreen: the module “Tasks”, named after Tasks, is",
        "leaves.Manager": "leaves.Manager, which fails on import: SystemExit('no licence')",
    }
    for sentence, expected in zip(starts(tmp_path, *said), said.values(), strict=True):
        assert sentence.startswith("CRM_ADDONS") and expected in sentence, sentence
    assert starts(tmp_path, "first.Manager,first.Manager", "") == ["starts", "starts"]


@pytest.fixture(params=["sqlite", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The database of the start, as the CRM alone has migrated it; "" is that of the instance folder."""
    if request.param == "sqlite":
        copy_folder(request.getfixturevalue("migrated_folder"), tmp_path / "instance")
        yield ""
        return
    server: Databases = request.getfixturevalue("mariadb_server")
    name = server.create_database()
    server.copy_database(request.getfixturevalue("migrated_mariadb"), name)
    yield server.url(name)
    server.drop_database(name)


def test_a_model_that_has_grown_past_its_table_is_named(tmp_path: Path, url: str) -> None:
    shop(tmp_path, "growing")
    assert starts(tmp_path, "growing.Manager", "growing.Manager", url=url) == ["starts", "starts"]
    shop(tmp_path, "growing", more="city = Column(String(20))")
    (sentence,) = starts(tmp_path, "growing.Manager", url=url)
    assert "the table shop has no column city" in sentence and "migration" in sentence


REVISION = """
import os
import sqlalchemy as sa
from alembic import op
revision = "shop1"
down_revision = None
branch_labels = ("shop",)
depends_on = None

def upgrade():
    op.create_table(
        "shop",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(50)),
        if_not_exists=True,
    )
    if os.environ.get("KILL_HALF_WAY"):
        os.kill(os.getpid(), 9)
    op.create_index("ix_shop_name", "shop", ["name"], if_not_exists=True)

def downgrade():
    op.drop_table("shop")
"""


def upgrade(folder: Path, url: str, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """`flask db …` with the add-on."""
    settings = {"CRM_INSTANCE_DIR": str(folder / "instance"), "CRM_ADDONS": "moved.Manager", "CRM_DATABASE_URL": url}
    outside = os.environ | settings | {"PYTHONPATH": str(folder)}
    return forked_programs.run(("-m", "flask", "--app", "run", "db", *command), outside | environ)


def test_a_killed_migration_is_repeated_and_a_removed_addon_is_named(tmp_path: Path, url: str) -> None:
    revisions = tmp_path / "revisions"
    revisions.mkdir()
    (revisions / "shop1.py").write_text(REVISION)
    shop(tmp_path, "moved", migrations=f"migrations = {str(revisions)!r}")
    assert starts(tmp_path, "", url=url) == ["starts"]
    assert upgrade(tmp_path, url, "upgrade", "heads", KILL_HALF_WAY="1").returncode == -9
    repeated = upgrade(tmp_path, url, "upgrade", "heads")
    assert repeated.returncode == 0, repeated.stderr[-2000:]
    if url.startswith("mysql"):  # which goes on in the middle of the step; the rest is the same on both
        return
    served, removed = starts(tmp_path, "moved.Manager", "", url=url)
    assert served == "starts"
    assert "schema shop1" in removed and "an add-on that CRM_ADDONS no longer names" in removed
    forgotten = upgrade(tmp_path, url, "stamp", "shop@base")
    assert forgotten.returncode == 0, forgotten.stderr[-2000:]
    assert starts(tmp_path, "", "moved.Manager", url=url)[0] == "starts"


@pytest.mark.parametrize(
    ("module", "whose"),
    [("Notes", "one of the CRM's own"), ("Shelf", "that of Shelf"), ("Dashboard", "one of the CRM's own")],
)
def test_a_module_of_other_records_is_not_taken_by_accident(module: str, whose: str) -> None:
    view: Any = type("AnyScreen", (), {"datamodel": SQLAInterface(attackable_addon.Book)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(access.MODULE_OF, attackable_addon.Shelf, "Shelf")
        with pytest.raises(TypeError, match=whose):
            refuse_taken_module(view, module)
        view.class_permission_name = module  # named on purpose
        refuse_taken_module(view, module)
