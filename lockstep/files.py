"""Durable writes: a reader sees the old file or the new one, never a part of either."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

PathLike = str | os.PathLike[str]

_UNKNOWN_HERE = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)
"""What a file system or kernel without nameless files answers to open(2)."""
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP)


def write_atomic(path: PathLike, content: bytes, mode: int = 0o644, *, overwrite: bool = True) -> None:
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
    overwrite
        Whether a file that is there, or comes there meanwhile, may be replaced.

    Raises
    ------
    FileExistsError
        `path` exists and is not to be replaced.
    OSError
        The disk is full or the directory not writable; `path` is then as it was and no temporary file stays.
    """
    with replaced(path, mode, overwrite=overwrite) as file:
        file.write(content)


@contextmanager
def replaced(path: PathLike, mode: int = 0o644, *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """A new file to write: it replaces `path` as `write_atomic` does, or vanishes on an error."""
    target = Path(path)
    make_directory(target.parent)
    temporary = _temporary(target)
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        _give_name(temporary, target, overwrite=overwrite)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(target.parent)


@contextmanager
def replaced_unseen(path: PathLike, mode: int = 0o600, *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """`replaced` for what must not stay behind: until it is whole the file has no name, and ends with the process.

    Where the file system knows no nameless files (open(2), O_TMPFILE) it is `replaced` itself.
    """
    target = Path(path)
    make_directory(target.parent)
    try:
        descriptor = os.open(target.parent, os.O_RDWR | os.O_TMPFILE, mode)
    except OSError as error:
        if error.errno not in _UNKNOWN_HERE:
            raise
        with replaced(path, mode, overwrite=overwrite) as file:
            yield file
        return
    with os.fdopen(descriptor, "w+b") as file:
        yield file
        file.flush()
        os.fsync(descriptor)
        # link(2) never replaces a file, so that one that is there is replaced by way of another name.
        name = _temporary(target) if overwrite else target
        _link(descriptor, name)
    if overwrite:
        try:
            name.replace(target)
        except BaseException:
            name.unlink(missing_ok=True)
            raise
    sync_directory(target.parent)


def make_directory(path: PathLike, mode: int = 0o777) -> None:
    """Make the directory `path` and its missing parents, durably; `mode` is that of `path`."""
    directory = Path(path)
    if directory.is_dir():
        return
    make_directory(directory.parent)
    directory.mkdir(mode=mode, exist_ok=True)
    sync_directory(directory.parent)


def sync_directory(path: PathLike) -> None:
    """Make the names in the directory `path` durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _link(descriptor: int, name: Path) -> None:
    """Give the nameless file `descriptor` a name (open(2), O_TMPFILE)."""
    directory = os.open(name.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Without a directory Python calls link(2), which would link the link in /proc itself.
        os.link(f"/proc/self/fd/{descriptor}", name.name, src_dir_fd=directory, dst_dir_fd=directory)
    finally:
        os.close(directory)


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")


def _give_name(temporary: Path, target: Path, *, overwrite: bool) -> None:
    if not overwrite:
        try:
            target.hardlink_to(temporary)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if target.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        else:
            with suppress(FileNotFoundError):
                temporary.unlink()
            return
    temporary.replace(target)
