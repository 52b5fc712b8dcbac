"""The brand: an admin sets name, color and logo; everybody sees them, even before signing in."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from app import shown_brand
from app.lib import color_contrast
from app.ops.database.connections import STATEMENTS
from app.ops.storage.file_store import StorageUnavailable
from tests.app_fixtures import Crm, UserClient

Doors = Callable[[str | None], UserClient]
PAGE = "/settings/brand/"


def logo(size: tuple[int, int] = (200, 60), kind: str = "PNG") -> io.BytesIO:
    made = io.BytesIO()
    Image.new("RGBA" if kind == "PNG" else "RGB", size, "#aa3311").save(made, kind)
    made.seek(0)
    return made


def sent(client: Any, version: int, **values: Any) -> Any:
    return client.form(PAGE, {"version": str(version), "name": "Acme Broking", "accent": "#1f5fd0"} | values)


def test_who_may_set_it(crm: Crm, client: Doors) -> None:
    assert [client(who).screen(PAGE).status_code for who in ("root", "mia", "ana")] == [200, 403, 403]
    assert sent(client("ana"), 0).status_code == 403


def test_it_is_shown_everywhere(crm: Crm, client: Doors) -> None:
    root = client("root")
    answer = sent(root, 0, accent="#7A1FA2", logo=(logo(), "acme.png"))
    assert (answer.status_code, answer.location) == (302, PAGE), answer.text[:500]
    page, raw_client = client("ana").screen("/leads/").text, crm.app.test_client()
    assert "Acme Broking" in page and 'name="accent" content="#7a1fa2"' in page and "/brand/" in page
    signed_out = raw_client.get("/login/").text
    assert "<title>Sign in · Acme Broking</title>" in signed_out and 'class="brand-logo"' in signed_out
    manifest = raw_client.get("/manifest.webmanifest").get_json(force=True)
    assert (manifest["name"], manifest["short_name"], manifest["theme_color"]) == (
        "Acme Broking",
        "Acme Broking",
        "#7a1fa2",
    )
    for icon, side in zip(manifest["icons"], (192, 512, 512), strict=True):
        got = raw_client.get(icon["src"])
        assert got.status_code == 200 and got.mimetype == "image/png" and "immutable" in got.headers["Cache-Control"]
        assert Image.open(io.BytesIO(got.data)).size == (side, side)
    assert raw_client.get("/brand/" + "0" * 64 + ".png").status_code == 404, "no other stored file is handed out"
    form = root.screen(PAGE).text
    assert all(part in form for part in ('value="Acme Broking"', 'value="#7a1fa2"', 'name="remove_logo"'))
    assert sent(root, 1, name="Acme Two").status_code == 302, "a save without a file keeps the logo"
    assert shown_brand.last_loaded(crm.app).logo is not None and shown_brand.last_loaded(crm.app).accent is None
    # What was typed comes back with the reason; another save meanwhile is a conflict; the logo can go.
    stale = sent(root, 0, name="Old tab")
    assert stale.status_code == 409 and "Old tab" in stale.text
    assert sent(root, 2, name="", accent="#1f5fd0", remove_logo="1").status_code == 302
    assert shown_brand.last_loaded(crm.app) == shown_brand.ShownBrand(crm.app.config["CRM"].brand)


def test_strangers_make_the_database_and_the_store_work_once(
    crm: Crm, client: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent(client("root"), 0, logo=(logo(), "acme.png"))
    raw_client, store = crm.app.test_client(), crm.app.extensions["crm_files"]
    known = f"/brand/{shown_brand.last_loaded(crm.app).logo.digest}.png"  # type: ignore[union-attr]
    opened: list[str] = []
    own = store.open

    def counted(digest: str) -> Any:
        opened.append(digest)
        return own(digest)

    monkeypatch.setattr(store, "open", counted)
    monkeypatch.setattr("app.web.pages.brand.AGAIN_AFTER_SECONDS", 60.0)
    statements: list[str] = []
    STATEMENTS.set(statements)
    unknown = [f"/brand/{n:064d}.png" for n in range(9)]
    public = ("/brand/x.png", "/manifest.webmanifest", "/worker.js", "/login/", "/hooks/sms/nobody")
    answers = [raw_client.get(path).status_code for path in (known, known, *unknown, *unknown, "/brand/x.png")]
    assert (answers, len(opened), statements) == ([200, 200, *[404] * 19], 1, [])
    for path in public:
        raw_client.get(path)
        statements.clear()
        raw_client.get(path)
        assert len(statements) <= 1, (path, statements)
    STATEMENTS.set(None)


@pytest.mark.parametrize(("error", "status"), [(FileNotFoundError, 404), (StorageUnavailable, 503)])
def test_a_picture_that_the_store_has_lost_or_cannot_give(
    crm: Crm, client: Doors, monkeypatch: pytest.MonkeyPatch, error: type[OSError], status: int
) -> None:
    def fail(_digest: str) -> Any:
        raise error

    sent(client("root"), 0, logo=(logo(), "acme.png"))
    monkeypatch.setattr(crm.app.extensions["crm_files"], "open", fail)
    path = f"/brand/{shown_brand.last_loaded(crm.app).logo.digest}.png"  # type: ignore[union-attr]
    assert crm.app.test_client().get(path).status_code == status


WRONG: tuple[tuple[dict[str, Any], str], ...] = (
    ({"accent": "#ffcc00"}, "can&#39;t be read on this color: its contrast is 1.5"),
    ({"accent": "red"}, "Please enter a color such as #1f5fd0"),
    ({"name": "x" * 61}, "at most 60 characters"),
    ({"logo": (logo((20, 20)), "tiny.png")}, "too small"),
    ({"logo": (io.BytesIO(b"<svg onload=alert(1)>"), "x.svg")}, "no picture that can be shown"),
)


@pytest.mark.parametrize(("values", "sentence"), WRONG, ids=[sentence for _values, sentence in WRONG])
def test_what_cannot_be_shown_is_refused_with_the_reason(
    crm: Crm, client: Doors, values: dict[str, Any], sentence: str
) -> None:
    answer = sent(client("root"), 0, **values)
    assert answer.status_code == 422 and sentence in answer.text
    assert 'value="Acme Broking"' in answer.text or "name" in values


def test_a_good_logo_need_not_be_chosen_again_when_something_else_is_wrong(crm: Crm, client: Doors) -> None:
    root = client("root")
    refused = sent(root, 0, accent="red", logo=(logo(), "acme.png"))
    assert refused.status_code == 422 and "acme.png" in refused.text
    token = kept_logo(refused)
    assert sent(client("root"), 0, accent="blue", kept_logo=token).status_code == 422, "and again"
    assert sent(root, 0, kept_logo=token).status_code == 302
    assert shown_brand.last_loaded(crm.app).logo is not None
    stale = sent(root, 0, logo=(logo((300, 90)), "other.png"))
    assert stale.status_code == 409 and "other.png" in stale.text
    assert sent(root, 1, kept_logo=kept_logo(stale)).status_code == 302
    assert sent(root, 2, kept_logo="invented").status_code == 422
    ticked = sent(root, 2, accent="red", remove_logo="1")
    assert 'name="remove_logo" checked' in ticked.text


def kept_logo(answer: Any) -> str:
    found = re.search(r'value="([^"]+)" id="f-kept_logo" name="kept_logo" checked', answer.text)
    assert found, answer.text[-3000:]
    return found[1]


def test_a_color_that_would_do_is_named() -> None:
    for color in ("#ffcc00", "#00ff00", "#ff0000", "#1f5fd0"):
        other = color_contrast.darker_until_readable(color)
        assert color_contrast.contrast(other, "#ffffff") >= color_contrast.LEAST_CONTRAST
    assert (
        color_contrast.darker_until_readable("#1f5fd0") == "#1f5fd0"
        and round(color_contrast.contrast("#000000", "#ffffff")) == 21
    )
