"""Files with generated keys: complete or missing, and the same for processes that start at the same time."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_RESTORE = (
    "Put the file back from a backup, or set {name}. If this server has never been used, delete the file: the next "
    "start makes a new one."
)


class BadKeyFile(Exception):
    """The file can't be created, or contains no key. The message is for the operator, and doesn't contain the key."""


@dataclass(frozen=True)
class KeyFile:
    """One key in a file."""

    path: Path
    #: The setting that replaces the file.
    name: str
    is_whole: Callable[[str], bool]

    def read_or_make(self, new: str) -> str:
        """The key in the file; without a file, write the new one unless another process is faster.

        Raises BadKeyFile.
        """
        if not self.path.exists():
            try:
                self._put_in_place(new)
            except OSError as error:
                text = f"The file {self.path} can't be made ({error.strerror}). Make room, or set {self.name}."
                raise BadKeyFile(text) from error
        return self._read()

    def _put_in_place(self, key: str) -> None:
        """Write the key to the disk under another name, then link it: the first link wins. Raises OSError."""
        part = self.path.with_name(f".{self.path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                file.write(key)
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(part, self.path)
        finally:
            part.unlink(missing_ok=True)
        folder = os.open(self.path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def _read(self) -> str:
        try:
            key = self.path.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            what = error.strerror if isinstance(error, OSError) else "it is no text"
            raise BadKeyFile(f"The key in {self.path} can't be read ({what}). {self._restore}") from error
        if not self.is_whole(key) or not key.isprintable() or " " in key:
            state = "damaged" if key else "empty"
            raise BadKeyFile(f"The key in {self.path} is {state}. {self._restore}")
        return key

    @property
    def _restore(self) -> str:
        return _RESTORE.format(name=self.name)
