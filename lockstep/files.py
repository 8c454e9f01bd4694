"""Durable writes: a reader sees the old file or the new one, never a part of either."""

import os
import secrets
from pathlib import Path


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
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
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
