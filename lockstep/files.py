"""Durable writes: a reader sees the old file or the new one, never a part of either."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def write_atomic(path: str | os.PathLike[str], content: bytes, mode: int = 0o644) -> None:
    """Replace `path` by `content` in one step that survives a crash.

    The bytes go to a temporary file in the same directory, which is synced, renamed over `path`, and the
    directory synced (POSIX rename(2) is atomic within a file system, durable only after the directory's fsync).

    Parameters
    ----------
    path
        File to write; missing parent directories are made.
    content
        The whole content.
    mode
        Permission bits of a new file.

    Raises
    ------
    OSError
        The disk is full or the directory not writable; `path` is then as it was and no temporary file stays.
    """
    with replaced(path, mode) as file:
        file.write(content)


@contextmanager
def replaced(path: str | os.PathLike[str], mode: int = 0o644) -> Iterator[BinaryIO]:
    """A new file to write: it replaces `path` as `write_atomic` does, or vanishes on an error."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(target.parent)


def sync_directory(path: str | os.PathLike[str]) -> None:
    """Make the names in the directory `path` durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
