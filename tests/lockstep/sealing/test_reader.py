"""The file object: what io.BytesIO would give, and no unchecked byte."""

from __future__ import annotations

import io
import os
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from lockstep.errors import SealDamaged, SealError, WrongContext
from lockstep.sealing.cobblestone import CHUNK_SIZE, SEALED_CHUNK_SIZE
from lockstep.sealing.header import parse_header
from lockstep.sealing.reader import SealedReader
from lockstep.sealing.vault import Vault

from .conftest import EXPECTED

CONTENT = os.urandom(4 * CHUNK_SIZE + 1000)


def reader(vault: Vault, sealed: bytes) -> SealedReader:
    return vault.reader_of(io.BytesIO(sealed), name="x", **EXPECTED)


POSITIONS = st.one_of(
    st.integers(0, len(CONTENT) + 10),
    st.builds(lambda k, d: max(0, k * CHUNK_SIZE + d), st.integers(0, 5), st.integers(-2, 2)),
)
STEPS = st.one_of(
    st.tuples(st.just("read"), st.one_of(POSITIONS, st.just(-1))),
    st.tuples(st.just("seek"), POSITIONS),
    st.tuples(st.just("skip"), st.integers(-50_000, 50_000)),
    st.tuples(st.just("back"), POSITIONS),
    st.tuples(st.just("readinto"), POSITIONS),
    st.tuples(st.just("readline"), st.just(0)),
)


@hypothesis.given(POSITIONS, st.lists(STEPS, max_size=12), st.booleans())
def test_reads_as_bytesio_does(vault: Vault, size: int, steps: list[tuple[str, int]], buffered: bool) -> None:
    content = CONTENT[:size]
    expected = io.BytesIO(content)
    raw = reader(vault, vault.seal(content, **EXPECTED))
    file: SealedReader | io.BufferedReader = io.BufferedReader(raw) if buffered else raw
    for step, argument in steps:
        if step == "read":
            assert file.read(argument) == expected.read(argument)
        elif step == "readline":
            assert file.readline() == expected.readline()
        elif step == "readinto":
            ours, theirs = bytearray(argument), bytearray(argument)
            assert file.readinto(ours) == expected.readinto(theirs)
            assert ours == theirs
        elif step == "seek":
            assert file.seek(argument) == expected.seek(argument)
        elif step == "back":
            assert file.seek(-min(argument, len(content)), io.SEEK_END) == expected.seek(
                -min(argument, len(content)), io.SEEK_END
            )
        else:
            distance = max(argument, -expected.tell())
            assert file.seek(distance, io.SEEK_CUR) == expected.seek(distance, io.SEEK_CUR)
        assert file.tell() == expected.tell()


def test_facts(vault: Vault) -> None:
    file = reader(vault, vault.seal(CONTENT, **EXPECTED))
    assert (file.size, file.header.role, file.name) == (len(CONTENT), "train", "x")
    assert file.readable()
    assert file.seekable()
    assert not file.writable()
    with pytest.raises(ValueError, match="before the start"):
        file.seek(-1)
    with pytest.raises(ValueError, match="whence"):
        file.seek(0, 7)
    file.close()
    for use in (file.read, file.tell, lambda: file.seek(0)):
        with pytest.raises(ValueError, match="closed"):
            use()


def test_closes_the_file_below(vault: Vault) -> None:
    below = io.BytesIO(vault.seal(CONTENT, **EXPECTED))
    with vault.reader_of(below, name="x", **EXPECTED) as file:
        assert not below.closed
    assert file.closed
    assert below.closed
    refused = io.BytesIO(b"plain")
    with pytest.raises(SealError):
        vault.reader_of(refused, name="x", **EXPECTED)
    assert refused.closed


def test_truncation_is_seen_before_anything_is_read(vault: Vault) -> None:
    sealed = vault.seal(CONTENT, **EXPECTED)
    body_at = len(parse_header(sealed)[1])
    chunks = [body_at + 56 + k * SEALED_CHUNK_SIZE for k in range(5)]
    for size in {*range(0, body_at + 100), *(at + d for at in chunks for d in (-17, -1, 0, 1, 15, 16, 17))}:
        with pytest.raises(SealError):
            reader(vault, sealed[:size])
    with pytest.raises(SealDamaged):
        reader(vault, sealed + b"\0")


def test_damage_is_seen_by_the_read_that_meets_it_and_by_no_other(vault: Vault) -> None:
    sealed = bytearray(vault.seal(CONTENT, **EXPECTED))
    sealed[len(parse_header(sealed)[1]) + 56 + 2 * SEALED_CHUNK_SIZE + 5] ^= 1
    file = reader(vault, bytes(sealed))
    assert file.read(2 * CHUNK_SIZE) == CONTENT[: 2 * CHUNK_SIZE]
    for size in (1, CHUNK_SIZE, 2 * CHUNK_SIZE, -1):
        file.seek(2 * CHUNK_SIZE)
        with pytest.raises(SealDamaged, match="x cannot be opened: chunk 2 "):
            file.read(size)
    file.seek(3 * CHUNK_SIZE)
    assert file.read() == CONTENT[3 * CHUNK_SIZE :]


def test_another_files_chunk_is_seen(vault: Vault) -> None:
    sealed, other = (vault.seal(CONTENT[:-1] + end, **EXPECTED) for end in (b"a", b"b"))
    start = len(parse_header(sealed)[1]) + 56
    mixed = sealed[:start] + other[start : start + SEALED_CHUNK_SIZE] + sealed[start + SEALED_CHUNK_SIZE :]
    with pytest.raises(SealDamaged):
        reader(vault, mixed).read(1)


def test_reads_only_the_chunks_it_needs(vault: Vault) -> None:
    class Counted(io.BytesIO):
        taken = 0

        def read(self, size: int | None = -1) -> bytes:
            content = super().read(size)
            self.taken += len(content)
            return content

    below = Counted(vault.seal(CONTENT, **EXPECTED))
    file = vault.reader_of(below, name="x", **EXPECTED)
    below.taken = 0
    file.seek(-10, os.SEEK_END)
    file.read()
    assert below.taken == 0
    file.seek(CHUNK_SIZE + 5)
    for _ in range(100):
        file.read(100)
    assert below.taken == SEALED_CHUNK_SIZE


def test_another_role_is_refused(vault: Vault) -> None:
    with pytest.raises(WrongContext):
        vault.reader_of(io.BytesIO(vault.seal(b"", **EXPECTED)), role="test", schema="table/1", name="x")


def test_pyarrow_reads_row_groups_through_it(vault: Vault, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    table = pa.table({"a": list(range(200_000)), "b": [str(i) for i in range(200_000)]})
    plain = io.BytesIO()
    pq.write_table(table, plain, row_group_size=20_000, compression="zstd")
    vault.write(tmp_path / "t.sealed", plain.getvalue(), **EXPECTED)
    with vault.reader(tmp_path / "t.sealed", **EXPECTED) as file:
        parquet = pq.ParquetFile(file)
        assert parquet.read_row_group(7).equals(table.slice(140_000, 20_000))
        assert parquet.read(columns=["b"]).equals(table.select(["b"]))
        batches = parquet.iter_batches(batch_size=10_000, columns=["a"])
        assert sum(batch.num_rows for batch in batches) == 200_000
