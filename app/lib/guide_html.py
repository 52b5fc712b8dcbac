"""A guide of docs/ as HTML: headings, paragraphs, lists, tables, pictures, and what stands in a line.

That is the part of Markdown in which the guides are written; a library for the rest would be one more dependency.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import escape
from typing import NamedTuple

_HEADING = re.compile(r"(#{1,4}) (.+)")
_ITEM = re.compile(r"( *)(?:-|(\d+)\.) +(.+)")
_PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
_BOLD, _ITALIC = re.compile(r"\*\*(.+?)\*\*"), re.compile(r"(?<![\w*])\*([^*\s][^*]*?)\*(?![\w*])")
_CODE = re.compile(r"(`[^`]+`)")

#: The address of a link or picture -> the one on the page; None = it leads nowhere there.
Places = Callable[[str], "str | None"]


class Guide(NamedTuple):
    """A guide as a page shows it."""

    title: str
    html: str
    #: (id, title) of each chapter.
    chapters: list[tuple[str, str]]


def guide(text: str, places: Places) -> Guide:
    """The guide as HTML; its title is the first heading."""
    parts: list[str] = []
    title, chapters = "", []
    for block in _blocks(text):
        heading = _HEADING.fullmatch(block[0])
        if heading is None:
            parts.append(_block(block, places))
        elif len(heading[1]) == 1:
            title = heading[2]
        else:
            depth, words = len(heading[1]), heading[2]
            parts.append(f'<h{depth} id="{slug(words)}">{_line(words, places)}</h{depth}>')
            if depth == 2:
                chapters.append((slug(words), words))
    return Guide(title, "\n".join(parts), chapters)


def slug(words: str) -> str:
    """The id of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")


def _blocks(text: str) -> Iterator[list[str]]:
    """Runs of lines that belong together: up to an empty line, or to a line that begins something else."""
    block: list[str] = []
    for line in text.splitlines():
        begins = not block or _HEADING.fullmatch(block[0]) or _kind(line) not in (_kind(block[0]), "text")
        if block and (not line.strip() or begins):
            yield block
            block = []
        if line.strip():
            block.append(line.rstrip())
    if block:
        yield block


def _kind(line: str) -> str:
    if _HEADING.fullmatch(line):
        return "heading"
    if line.startswith("|"):
        return "table"
    return "list" if _ITEM.fullmatch(line) else "text"


def _block(lines: list[str], places: Places) -> str:
    kind = _kind(lines[0])
    if kind == "table":
        return _table(lines, places)
    if kind == "list":
        return _list(lines, places)
    return f"<p>{_line(' '.join(map(str.strip, lines)), places)}</p>"


def _table(lines: list[str], places: Places) -> str:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    head = "".join(f'<th scope="col">{_line(cell, places)}</th>' for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{_line(cell, places)}</td>" for cell in row) + "</tr>" for row in rows[2:])
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _list(lines: list[str], places: Places) -> str:
    """The items; lines that are indented further are a list within the item before, others go on with its text."""
    outer = _ITEM.fullmatch(lines[0])
    indent, tag = (len(outer[1]), "ol" if outer[2] else "ul") if outer else (0, "ul")
    items: list[tuple[str, list[str]]] = []
    for line in lines:
        found = _ITEM.fullmatch(line)
        if found is not None and len(found[1]) <= indent:
            items.append((found[3], []))
        elif items[-1][1] or found is not None:
            items[-1][1].append(line)
        else:
            items[-1] = (f"{items[-1][0]} {line.strip()}", [])
    made = (f"<li>{_line(text, places)}{_list(inner, places) if inner else ''}</li>" for text, inner in items)
    return f"<{tag}>{''.join(made)}</{tag}>"


def _line(text: str, places: Places) -> str:
    """What stands in a line: code as it is; bold, italic, links and pictures elsewhere."""
    parts = _CODE.split(text)
    return "".join(
        f"<code>{escape(part[1:-1])}</code>" if place % 2 else _words(part, places) for place, part in enumerate(parts)
    )


def _words(text: str, places: Places) -> str:
    safe = escape(text, quote=True)
    safe = _PICTURE.sub(lambda found: _picture(found, places), safe)
    safe = _LINK.sub(lambda found: _link(found, places), safe)
    return _ITALIC.sub(r"<em>\1</em>", _BOLD.sub(r"<strong>\1</strong>", safe))


def _picture(found: re.Match[str], places: Places) -> str:
    place = places(found[2])
    return f'<img src="{place}" alt="{found[1]}" loading="lazy">' if place else ""


def _link(found: re.Match[str], places: Places) -> str:
    place = places(found[2])
    return f'<a href="{place}">{found[1]}</a>' if place else found[1]
