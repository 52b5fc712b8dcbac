"""Processes that share the application's memory: it is loaded once, then forked.

A fork copies only the calling thread, and shares open files. So before it there are no threads and no connections;
after it each process opens its own.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress

#: From Linux' <sys/prctl.h>.
_PR_SET_PDEATHSIG = 1
#: From glibc's <malloc.h>.
_M_ARENA_MAX = -8
#: Memory pools for the threads of a process; only one thread at a time runs Python. glibc creates up to eight per core,
#: each of about a MB.
MAX_ARENAS = 2


def settle_memory() -> None:
    """Prepare for forks: release free memory, and keep the garbage collector from writing to shared memory."""
    import encodings.idna  # noqa: F401  # else each process loads it with its first connection

    gc.collect()
    with suppress(OSError, AttributeError):  # another C library than glibc
        library = ctypes.CDLL(None)
        library.mallopt(_M_ARENA_MAX, MAX_ARENAS)
        library.malloc_trim(0)
    gc.freeze()


def end_with_parent(parent: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Let the kernel send this signal to the calling process when its parent ends, however that ends.

    Checks once itself, because the parent may have ended before the kernel was told.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def run_forked(function: Callable[[], str]) -> str:
    """Return what the function returns, called in a forked process: what it loads and leaves behind stays out of this
    one.

    Raises ChildProcessError if it raises or is killed; its traceback is on stderr.
    """
    reader, writer = os.pipe()
    parent, pid = os.getpid(), os.fork()
    if pid == 0:
        _call_apart(function, writer, parent)
    os.close(writer)
    with open(reader, "rb") as pipe:
        answer = pipe.read().decode()
    _pid, status = os.waitpid(pid, 0)
    if status:
        raise ChildProcessError(f"A process ended with {os.waitstatus_to_exitcode(status)}.")
    return answer


def _call_apart(function: Callable[[], str], writer: int, parent: int) -> None:
    """Everything that the forked process does; does not return."""
    status = 1
    try:
        end_with_parent(parent, signal.SIGKILL)
        os.write(writer, function().encode())
        status = 0
    except BaseException:  # noqa: BLE001  # reported by the status
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
