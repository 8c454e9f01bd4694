"""Locks of a project's directory that no crash leaves behind: the kernel drops them with their process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lockstep.errors import LockstepError

RUN = Path(".lockstep/run.lock")
UP = Path(".lockstep/up.lock")
EXPERIMENTS = Path(".lockstep/experiments.lock")


@dataclass(frozen=True)
class Lock:
    """A lock that this process holds.

    Attributes
    ----------
    left
        What an earlier holder left, if it was killed; else empty.
    """

    descriptor: int
    left: str

    def leave(self, text: str) -> None:
        """Have the next holder find `text`, should this one be killed."""
        self._write(f"{os.getpid()} {text}\n")

    def _write(self, text: str) -> None:
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, text.encode(), 0)


@contextmanager
def only_one(path: Path, busy: str, *, keep: bool = False) -> Iterator[Lock]:
    """Hold the lock at `path`.

    Parameters
    ----------
    path
        A file in an existing directory or in one that can be made.
    busy
        What to say where another process holds it; ``{owner}`` stands for that process.
    keep
        Let the holder after this one find what an earlier one left.

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
            owner, _ = _read(descriptor)
            raise LockstepError(busy.format(owner=f"process {owner}")) from None
        lock = Lock(descriptor, _read(descriptor)[1])
        left = lock.left if keep else ""
        lock.leave(left)
        yield lock
        lock._write("")
        if left:
            lock.leave(left)
    finally:
        os.close(descriptor)


@contextmanager
def in_turn(path: Path) -> Iterator[None]:
    """Hold the lock at `path`, once whoever holds it gives it back."""
    path.parent.mkdir(exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(descriptor: int) -> tuple[str, str]:
    owner, _, text = os.pread(descriptor, 256, 0).decode(errors="replace").strip().partition(" ")
    return owner or "unknown", text


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
