"""What a User-Agent header says, in words."""

from __future__ import annotations

import pytest

from app.lib.browser_names import names_of

_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("agent", "names"),
    [
        (
            f"Mozilla/5.0 (Linux; Android 14) {_WEBKIT} Chrome/126.0 Mobile Safari/537.36",
            ("Chrome", "Android"),
        ),
        (
            f"Mozilla/5.0 (Windows NT 10.0) {_WEBKIT} Chrome/126.0 Safari/537.36 Edg/126.0",
            ("Edge", "Windows"),
        ),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0", ("Firefox", "Linux")),
        (
            "Mozilla/5.0 (iPhone; like Mac OS X) Version/17.5 Safari/604.1",
            ("Safari", "iPhone"),
        ),
        (
            f"Mozilla/5.0 (Linux; Android 13) {_WEBKIT} SamsungBrowser/25.0 Chrome/121.0 Safari/537.36",
            ("Samsung Internet", "Android"),
        ),
        ("okhttp/4.12.0", ("okhttp", "")),
        ("Dart/3.4 (dart:io)", ("Dart", "")),
        ("", ("", "")),
    ],
)
def test_browser_and_system(agent: str, names: tuple[str, str]) -> None:
    assert names_of(agent) == names
