"""Encryption by age or GPG: the server needs the public key only, and can't open what it has encrypted."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from app.backups.errors import BackupError

#: Kind -> file name suffix; and the package that contains the program.
SUFFIXES = {"age": ".age", "gpg": ".gpg"}
PACKAGES = {"age": "age", "gpg": "gnupg"}
#: Seconds that a program may take to end once its streams are closed.
END_SECONDS = 3
_GPG = ("--batch", "--no-options", "--quiet", "--no-tty", "--pinentry-mode", "loopback")


@dataclass(frozen=True)
class Encryption:
    """The recipients (public keys) of encrypted backups, and the private key if this server has it."""

    #: age or gpg; "" = no encryption.
    kind: str = ""
    #: Public keys (age), or files that hold them (gpg).
    recipients: tuple[str, ...] = ()
    identity: Path | None = None

    @property
    def suffix(self) -> str:
        """What the name of an encrypted file ends with."""
        return SUFFIXES.get(self.kind, "")

    @property
    def tag(self) -> str:
        """Identifies the recipients: 8 hex digits, the same as long as the public keys are."""
        keys = [Path(each).read_bytes() if self.kind == "gpg" else each.encode() for each in self.recipients]
        return hashlib.sha256(b"\n".join(sorted(keys))).hexdigest()[:8]


def suffix_of(path: Path) -> str:
    """age or gpg; "" for a file that isn't encrypted."""
    return next((kind for kind, suffix in SUFFIXES.items() if path.name.endswith(suffix)), "")


@contextmanager
def encrypting(encryption: Encryption, target: IO[bytes]) -> Iterator[IO[bytes]]:
    """A stream whose bytes arrive encrypted in the target. Raises BackupError."""
    if not encryption.kind:
        yield target
        return
    with _home(encryption.kind) as home, running(_encrypt_command(encryption, home), stdout=target) as process:
        yield stream_of(process.stdin)


@contextmanager
def decrypting(path: Path, identity: Path | None) -> Iterator[IO[bytes]]:
    """The decrypted bytes of a file. Raises BackupError, also if the key is missing or wrong."""
    kind = suffix_of(path)
    if not kind:
        with path.open("rb") as plain:
            yield plain
        return
    if identity is None:
        raise BackupError(
            f"{path.name} is encrypted, and the private key isn't here. Give the file with the private key: "
            "--identity FILE."
        )
    try:
        with _home(kind) as home, path.open("rb") as sealed:
            if kind == "gpg":
                _import(home, identity)
            with running(_decrypt_command(kind, home, identity), stdin=sealed, stdout=subprocess.PIPE) as process:
                yield stream_of(process.stdout)
    except ProgramFailed as failed:
        raise BackupError(
            f"{path.name} can't be decrypted: the key in {identity.name} is another one, or the file was altered "
            f"({failed.last_words})."
        ) from failed


def _encrypt_command(encryption: Encryption, home: str) -> list[str]:
    program = find_program(encryption.kind)
    if encryption.kind == "age":
        return [program, "--encrypt", *(part for key in encryption.recipients for part in ("--recipient", key))]
    files = (part for file in encryption.recipients for part in ("--recipient-file", file))
    return [program, *_GPG, "--homedir", home, "--trust-model", "always", "--compress-algo", "none", *files, "-e"]


def _decrypt_command(kind: str, home: str, identity: Path) -> list[str]:
    program = find_program(kind)
    if kind == "age":
        return [program, "--decrypt", "--identity", str(identity)]
    return [program, *_GPG, "--homedir", home, "--decrypt"]


def _import(home: str, identity: Path) -> None:
    with running([find_program("gpg"), *_GPG, "--homedir", home, "--import", str(identity)]):
        pass


@contextmanager
def _home(kind: str) -> Iterator[str]:
    """A temporary GPG key ring, whose agent ends with it; "" for age."""
    if kind != "gpg":
        yield ""
        return
    with tempfile.TemporaryDirectory(prefix="crm-gpg-") as home:
        try:
            yield home
        finally:
            if ender := shutil.which("gpgconf"):
                subprocess.run([ender, "--homedir", home, "--kill", "all"], check=False, capture_output=True)  # noqa: S603  # no shell, our own folder


# --- programs


class ProgramFailed(BackupError):
    """A program ended with an error."""

    def __init__(self, command: Sequence[str], status: int, last_words: str) -> None:
        self.last_words = last_words or f"status {status}"
        super().__init__(f"{Path(command[0]).name} ended with status {status}: {last_words or 'it said nothing'}.")


def find_program(name: str) -> str:
    """The path of a program. Raises BackupError that names the package to install."""
    found = shutil.which(name)
    if found is None:
        raise BackupError(f"The program {name} is missing. Install the package {PACKAGES.get(name, name)}.")
    return found


@contextmanager
def running(
    command: Sequence[str],
    stdin: int | IO[bytes] = subprocess.PIPE,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
    passed: Sequence[int] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program; it is killed if the block fails. Raises ProgramFailed if it ends with an error."""
    with tempfile.TemporaryFile() as words:
        process = subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=words, pass_fds=passed)  # noqa: S603  # no shell
        try:
            yield process
            _close(process)
        except BrokenPipeError:
            pass  # it ended before reading everything; its own message says why
        except BaseException:
            _close(process)
            _end(process)
            if process.returncode > 0 and (failed := _failure(command, process, words)):
                raise failed from None
            raise
        process.wait()
        if failed := _failure(command, process, words):
            raise failed


def stream_of(stream: IO[bytes] | None) -> IO[bytes]:
    """A stream of a program that was started with a pipe."""
    if stream is None:
        raise ValueError("the program was started without this pipe")
    return stream


def _close(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None and not stream.closed:
            with suppress(BrokenPipeError):
                stream.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let the process end by itself, which takes a moment once its streams are closed, or kill it."""
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _failure(command: Sequence[str], process: subprocess.Popen[bytes], words: IO[bytes]) -> ProgramFailed | None:
    if process.returncode == 0:
        return None
    # The end of it: before its error, MariaDB's client repeats the statement, a megabyte of rows
    words.seek(max(0, words.seek(0, os.SEEK_END) - 20_000))
    lines = words.read().decode(errors="replace").strip().splitlines()
    return ProgramFailed(command, process.returncode or 0, lines[-1][:300].rstrip(".") if lines else "")
