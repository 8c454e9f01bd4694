"""At most one flow works in a directory."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lockstep.errors import LockstepError


@contextmanager
def only_run(root: Path) -> Iterator[None]:
    """Hold the run lock of the project in `root`.

    Raises
    ------
    LockstepError
        Another process holds it.
    """
    path = root / ".lockstep" / "run.lock"
    path.parent.mkdir(exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 32).decode(errors="replace").strip()
            raise LockstepError(
                f"Another run (process {owner or 'unknown'}) works in {root}. Wait for it, or stop it."
            ) from None
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)
