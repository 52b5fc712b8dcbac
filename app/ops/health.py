"""What is wrong with this process although it serves: notes for /healthz and for the pages of admins."""

from __future__ import annotations

#: Topic -> what is wrong, in English.
_notes: dict[str, str] = {}


def note(topic: str, text: str) -> None:
    """Say what is wrong; replaces an earlier note on this topic."""
    _notes[topic] = text


def take_note(topic: str) -> str | None:
    """Remove the note on a topic. Returns what it said."""
    return _notes.pop(topic, None)


def note_on(topic: str) -> str | None:
    """What is wrong with this topic; None if nothing is."""
    return _notes.get(topic)


def text() -> str:
    """The body of /healthz: “ok”, for the process serves, and a line for each note."""
    return "\n".join(["ok", *(f"{topic}: {said}" for topic, said in sorted(_notes.items()))])
