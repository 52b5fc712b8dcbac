"""The browser or program of a User-Agent header, and its system, as people call them."""

from __future__ import annotations

#: What a browser's header contains -> its name; the first that fits: most also name those that they are like.
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("UCBrowser/", "UC Browser"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


def names_of(agent: str) -> tuple[str, str]:
    """(browser or program, system) of a header, such as (Chrome, Android); "" for what it doesn't say.

    A program without a browser's name is called by what stands first, such as okhttp.
    """
    browser = _first(_BROWSERS, agent) if agent.startswith("Mozilla/") else ""
    return browser or agent.partition("/")[0].strip()[:40], _first(_SYSTEMS, agent)


def _first(known: tuple[tuple[str, str], ...], agent: str) -> str:
    return next((name for mark, name in known if mark in agent), "")
