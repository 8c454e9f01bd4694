"""Locks of a project's directory that no crash leaves behind: the kernel drops them with their process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lockstep.errors import LockstepError

RUN = Path(".lockstep/run.lock")
UP = Path(".lockstep/up.lock")


@contextmanager
def only_one(path: Path, busy: str) -> Iterator[None]:
    """Hold the lock at `path`.

    Parameters
    ----------
    path
        A file in an existing directory or in one that can be made.
    busy
        What to say where another process holds it; ``{owner}`` stands for its process id.

    Raises
    ------
    LockstepError
        Another process holds it.
    """
    path.parent.mkdir(exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 32).decode(errors="replace").strip()
            raise LockstepError(busy.format(owner=owner or "unknown")) from None
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether a process holds the lock at `path`."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)
