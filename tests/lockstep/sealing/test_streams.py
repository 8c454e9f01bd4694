"""Streams: the bytes of `seal`, in constant memory, of the plaintext that was hashed."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from lockstep.errors import SealDamaged, SealError, WrongContext
from lockstep.sealing import _workers, streams
from lockstep.sealing._workers import PLAIN_BLOCK, SEALED_BLOCK
from lockstep.sealing.cobblestone import CHUNK_SIZE, PREFIX_SIZE, Message
from lockstep.sealing.header import parse_header
from lockstep.sealing.vault import Vault

from .conftest import EXPECTED

SIZES = [0, 1, CHUNK_SIZE, PLAIN_BLOCK - 1, PLAIN_BLOCK, PLAIN_BLOCK + 1, 3 * PLAIN_BLOCK + 5]
CONTENT = os.urandom(SIZES[-1])


class Pipe(io.RawIOBase):
    """Gives what it has, once, in pieces."""

    def __init__(self, content: bytes) -> None:
        self._rest = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._rest.readinto(memoryview(buffer)[:70_001])


@pytest.fixture
def several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the files of these tests were large."""
    monkeypatch.setattr(_workers, "MANY_BLOCKS", 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})


def seal_file(vault: Vault, path: Path, **options: Any) -> Path:
    with path.open("rb") as source:
        vault.seal_stream(source, path.with_suffix(".sealed"), **EXPECTED, **options)
    return path.with_suffix(".sealed")


@pytest.mark.parametrize("size", SIZES)
def test_streams_give_the_bytes_of_seal(vault: Vault, tmp_path: Path, size: int) -> None:
    content = CONTENT[:size]
    sealed = vault.seal(content, **EXPECTED)
    (tmp_path / "file").write_bytes(content)
    assert seal_file(vault, tmp_path / "file").read_bytes() == sealed
    for source in (io.BytesIO(content), Pipe(content)):
        vault.seal_stream(source, tmp_path / "out", **EXPECTED)
        assert (tmp_path / "out").read_bytes() == sealed
    for source in (io.BytesIO(sealed), Pipe(sealed)):
        opened = io.BytesIO()
        vault.open_stream(source, opened, name="x", **EXPECTED)
        assert opened.getvalue() == content
    vault.open_file(tmp_path / "out", tmp_path / "opened", **EXPECTED)
    assert (tmp_path / "opened").read_bytes() == content
    assert (tmp_path / "opened").stat().st_mode & 0o777 == 0o600
    vault.verify(tmp_path / "out", **EXPECTED)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "file.sealed", "out", "opened"}


def test_a_stream_is_sealed_from_its_position_on(vault: Vault, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    with (tmp_path / "file").open("rb") as source:
        source.read(7)
        vault.seal_stream(source, tmp_path / "out", **EXPECTED)
    assert (tmp_path / "out").read_bytes() == vault.seal(CONTENT[7:], **EXPECTED)


def test_what_a_stream_gives_is_sealed_and_not_the_file_below_it(vault: Vault, tmp_path: Path) -> None:
    with gzip.open(tmp_path / "file.gz", "wb", compresslevel=1) as file:
        file.write(CONTENT)
    with gzip.open(tmp_path / "file.gz", "rb") as source:
        vault.seal_stream(source, tmp_path / "out", **EXPECTED)
    assert (tmp_path / "out").read_bytes() == vault.seal(CONTENT, **EXPECTED)


@pytest.mark.parametrize("size", SIZES)
def test_random_salt(vault: Vault, tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(CONTENT[:size])
    sealed = seal_file(vault, tmp_path / "file", random_salt=True)
    first = sealed.read_bytes()
    assert vault.read(sealed, **EXPECTED) == CONTENT[:size]
    assert seal_file(vault, tmp_path / "file", random_salt=True).read_bytes() != first


@pytest.mark.usefixtures("several_processes")
def test_several_processes_give_the_same_bytes(vault: Vault, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    sealed = seal_file(vault, tmp_path / "file")
    assert sealed.read_bytes() == vault.seal(CONTENT, **EXPECTED)
    vault.open_file(sealed, tmp_path / "opened", **EXPECTED)
    assert (tmp_path / "opened").read_bytes() == CONTENT


@pytest.mark.usefixtures("several_processes")
@pytest.mark.parametrize("at", [0, PLAIN_BLOCK, 3 * PLAIN_BLOCK])
def test_damage_is_seen_by_whichever_process(vault: Vault, tmp_path: Path, at: int) -> None:
    sealed = bytearray(vault.seal(CONTENT, **EXPECTED))
    sealed[len(parse_header(sealed)[1]) + PREFIX_SIZE + at // PLAIN_BLOCK * SEALED_BLOCK] ^= 1
    (tmp_path / "bad").write_bytes(sealed)
    with pytest.raises(SealDamaged, match=rf"bad cannot be opened: chunk {at // CHUNK_SIZE} "):
        vault.open_file(tmp_path / "bad", tmp_path / "opened", **EXPECTED)
    assert [path.name for path in tmp_path.iterdir()] == ["bad"]


@pytest.mark.usefixtures("several_processes")
def test_the_standard_input_is_sealed_by_several_processes_too(vault: Vault, tmp_path: Path) -> None:
    content = os.urandom(5 * PLAIN_BLOCK + 7)
    (tmp_path / "source").write_bytes(content)
    kept = os.dup(0)
    try:
        with (tmp_path / "source").open("rb") as source:
            os.dup2(source.fileno(), 0)
        with open(0, "rb", closefd=False) as standard_input:
            vault.seal_stream(standard_input, tmp_path / "sealed", **EXPECTED)
    finally:
        os.dup2(kept, 0)
        os.close(kept)
    assert vault.read(tmp_path / "sealed", **EXPECTED) == content


@pytest.mark.usefixtures("several_processes")
def test_a_process_that_dies_is_no_success(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(SealError, match="ended with code"):
        seal_file(vault, tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.usefixtures("several_processes")
def test_the_key_is_in_no_argument_and_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def popen(command: list[str], **options: Any) -> None:
        seen.update(options, command=command)
        raise InterruptedError

    monkeypatch.setattr(subprocess, "Popen", popen)
    secret = bytes(range(32))
    message = Message(secret, b"context", bytes(24))
    job = _workers.Job(False, secret, b"context", message.prefix, 0, 0, 8, 0, 8, [bytes(32)] * 8)
    with pytest.raises(InterruptedError):
        _workers.run(job, 0, 1)
    assert secret.hex() not in str(seen)
    assert str(secret) not in repr(job)
    assert _workers.Job.from_json(job.to_json()) == job


@pytest.mark.parametrize("change", ["overwrite", "append", "truncate"])
@pytest.mark.parametrize("several", [False, True])
def test_a_source_that_changes_meanwhile_is_not_sealed(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, several: bool, request: Any
) -> None:
    if several:
        request.getfixturevalue("several_processes")
    path, run = tmp_path / "file", _workers.run
    path.write_bytes(CONTENT)
    (tmp_path / "file.sealed").write_bytes(b"what was there")

    def changed(*arguments: Any) -> None:
        with path.open("r+b") as file:
            if change == "overwrite":
                file.seek(len(CONTENT) - 3)
                file.write(b"new")
            elif change == "append":
                file.seek(0, os.SEEK_END)
                file.write(b"new")
            else:
                file.truncate(PLAIN_BLOCK)
        run(*arguments)

    monkeypatch.setattr(_workers, "run", changed)
    with pytest.raises(SealError, match="changed while it was being sealed"):
        seal_file(vault, path)
    assert (tmp_path / "file.sealed").read_bytes() == b"what was there"
    assert {each.name for each in tmp_path.iterdir()} == {"file", "file.sealed"}


def test_what_is_spooled_is_ciphertext(vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spooled = io.BytesIO()
    spooled.close = lambda: None  # type: ignore[method-assign]
    monkeypatch.setattr(streams.tempfile, "TemporaryFile", lambda **_: spooled)
    vault.seal_stream(Pipe(CONTENT), tmp_path / "out", **EXPECTED)
    assert len(spooled.getvalue()) > len(CONTENT)
    assert CONTENT[:64] not in spooled.getvalue()
    assert CONTENT[-64:] not in spooled.getvalue()


def test_an_error_while_writing_leaves_the_old_file(vault: Vault, tmp_path: Path) -> None:
    class Broken(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            raise OSError(5, "Input/output error")

    (tmp_path / "out").write_bytes(b"old")
    with pytest.raises(OSError, match="Input/output"):
        vault.seal_stream(io.BufferedReader(Broken()), tmp_path / "out", **EXPECTED)
    assert (tmp_path / "out").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_streams_refuse_another_role(vault: Vault, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(vault.seal(b"content", **EXPECTED))
    with pytest.raises(WrongContext, match=r"x is a sealed 'train'"):
        vault.open_file(tmp_path / "x", tmp_path / "opened", role="test", schema="table/1")
    assert not (tmp_path / "opened").exists()


MEASURE = """
import sys
from pathlib import Path
from lockstep.sealing.keyring import Keyring
from lockstep.sealing.vault import Vault

keyring = Keyring.generate("measured")
vault = Vault("p", keyring, keyring.keys[keyring.active])
folder, size, kind = Path(sys.argv[1]), int(sys.argv[2]), {"role": "r", "schema": "s"}
with (folder / "source").open("wb") as file:
    for _ in range(size >> 20):
        file.write(bytes(1 << 20))
with (folder / "source").open("rb") as source:
    vault.seal_stream(source, folder / "sealed", **kind)
vault.open_file(folder / "sealed", folder / "opened", **kind)
vault.verify(folder / "sealed", **kind)
print(*(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def resident(folder: Path, size: int) -> int:
    """Peak of resident memory, in MiB, of a process that seals, opens and verifies `size` bytes."""
    command = [sys.executable, "-c", MEASURE, str(folder), str(size)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return int(done.stdout) // 1024


def test_memory_is_constant(tmp_path: Path) -> None:
    assert resident(tmp_path, 64 << 20) < 60


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_memory_is_constant_at_4_gib(tmp_path: Path) -> None:
    assert resident(tmp_path, 4 << 30) < 100


def test_opening_reads_no_further_than_the_header_of_what_it_refuses(vault: Vault) -> None:
    class Counted(io.BytesIO):
        most = 0

        def read(self, size: int | None = -1) -> bytes:
            content = super().read(size)
            Counted.most = max(Counted.most, self.tell())
            return content

    source: BinaryIO = Counted(b"x" * 5_000_000)
    with pytest.raises(SealError):
        vault.open_stream(source, io.BytesIO(), name="x", **EXPECTED)
    assert Counted.most < 1000
