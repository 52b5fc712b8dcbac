"""The pictures of docs/: all that are named exist and are small; the script knows every page."""

from __future__ import annotations

import re

from flask import Flask, g

from app.domain.people import permissions
from app.web.settings import settings_menu
from scripts import pictures
from tests.servers import ROOT

MAX_BYTES, MAX_ALL = 150_000, 3_000_000


def test_every_picture_that_is_named_is_there_and_small() -> None:
    named = {
        name
        for guide in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
        for name in re.findall(r"\((?:docs/)?pictures/([\w-]+)\.png\)", guide.read_text())
    }
    sizes = {path.stem: path.stat().st_size for path in pictures.PICTURES.glob("*.png")}
    assert named == set(sizes) == set(pictures.SHOTS)
    assert {name: size for name, size in sizes.items() if size > MAX_BYTES} == {}
    assert sum(sizes.values()) <= MAX_ALL


def test_the_script_takes_every_page_of_the_menu(app: Flask) -> None:
    menu = app.extensions["appbuilder"].menu
    told = set(pictures.PAGES.values())
    assert permissions.all_modules()  # the views are registered
    urls = {item.get_url() for item in menu.get_list() if not item.childs and item.name != "Security"}
    with app.test_request_context("/"):
        g.person = None
        urls |= {url for _group, entries in settings_menu.links() for _label, _icon, url in entries}
    assert urls - told == set()
