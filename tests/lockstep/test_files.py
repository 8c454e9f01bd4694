"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import pytest

from lockstep import files
from lockstep.files import make_directory, replaced, replaced_unseen

Writer = Callable[..., AbstractContextManager[BinaryIO]]
both = pytest.mark.parametrize("writer", [replaced, replaced_unseen])


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


@both
def test_a_file_is_replaced_whole(tmp_path: Path, writer: Writer) -> None:
    path = tmp_path / "new" / "directory" / "file"
    for content in (b"old", b"new"):
        with writer(path) as file:
            file.write(content)
        assert path.read_bytes() == content
    assert names(path.parent) == ["file"]


@both
def test_an_error_leaves_the_old_file_alone(tmp_path: Path, writer: Writer) -> None:
    (tmp_path / "file").write_bytes(b"old")

    def fail() -> None:
        with writer(tmp_path / "file") as file:
            file.write(b"new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


@both
@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_came_meanwhile_is_kept(
    tmp_path: Path, writer: Writer, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:

        def refuse(*arguments: object) -> None:
            raise PermissionError(1, "no links on this file system")

        monkeypatch.setattr(Path, "hardlink_to", refuse)

    def write() -> None:
        with writer(tmp_path / "file", overwrite=False) as file:
            file.write(b"new")
            (tmp_path / "file").write_bytes(b"precious")

    with pytest.raises(FileExistsError):
        write()
    assert (tmp_path / "file").read_bytes() == b"precious"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_stays_of_what_was_to_be_unseen(tmp_path: Path, number: signal.Signals) -> None:
    script = (
        "import os, signal; from lockstep.files import replaced_unseen\n"
        # Under `nohup` it would be ignored.
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
        "with replaced_unseen('file') as file:\n"
        f"    file.write(b'plaintext'); file.flush(); os.kill(os.getpid(), {int(number)})"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment)
    assert done.returncode == -number
    assert not names(tmp_path)


def test_where_there_are_no_nameless_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.os, "O_TMPFILE", os.O_DIRECTORY)
    with replaced_unseen(tmp_path / "file") as file:
        file.write(b"content")
    assert (tmp_path / "file").read_bytes() == b"content"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_every_new_directory_is_made_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(files, "sync_directory", lambda path: synced.append(Path(path).name))
    make_directory(tmp_path / "a" / "b", 0o700)
    make_directory(tmp_path / "a" / "b", 0o700)
    assert synced == [tmp_path.name, "a"]
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
