"""sealed:// through what reads tables: pandas, pyarrow.dataset, DuckDB, Polars."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from lockstep.errors import NotSealed, SealDamaged, UsageError, WrongContext
from lockstep.sealing.filesystem import SealedFileSystem
from lockstep.sealing.keyring import set_up_keys
from lockstep.sealing.vault import Vault, open_vault

TABLE = pa.table({"number": np.arange(200_000), "half": np.arange(200_000) / 2})
PATH = "data/train.parquet.sealed"
URL = f"sealed://{PATH}"
DEMO = {"project": "demo"}


def parquet(table: pa.Table = TABLE) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=20_000)
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def project(tmp_path: Path, keyring_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("project: demo\n")
    set_up_keys("demo", tmp_path / "lockstep.key-id")
    vault().write(PATH, parquet(), role="train", schema="table/1")
    return tmp_path


def vault() -> Vault:
    return open_vault("demo", "lockstep.key-id")


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.fixture
def in_memory() -> Any:
    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/train.parquet.sealed", Path(PATH).read_bytes())
    yield "sealed::memory://bucket/train.parquet.sealed"
    memory.rm("/bucket", recursive=True)


def test_pandas_reads_a_local_table() -> None:
    pd.testing.assert_frame_equal(pd.read_parquet(URL), TABLE.to_pandas())
    assert list(pd.read_parquet(URL, columns=["half"])) == ["half"]


def test_pandas_reads_a_chained_table(in_memory: str) -> None:
    pd.testing.assert_frame_equal(pd.read_parquet(in_memory, storage_options=DEMO), TABLE.to_pandas())
    pd.testing.assert_frame_equal(pd.read_parquet(in_memory), TABLE.to_pandas())


def test_pandas_reads_lines(project: Path) -> None:
    vault().write("x.csv.sealed", b"a,b\n1,2\n3,4\n", role="notes", schema="csv/1")
    assert pd.read_csv("sealed://x.csv.sealed").to_dict("list") == {"a": [1, 3], "b": [2, 4]}
    assert pd.read_csv(f"sealed://{project}/x.csv.sealed").shape == (2, 2)


def test_pyarrow_reads_a_dataset_of_several_files() -> None:
    vault().write("data/more.parquet.sealed", parquet(TABLE.slice(0, 5)), role="train", schema="table/1")
    dataset = pyarrow.dataset.dataset("data", filesystem=SealedFileSystem(), format="parquet")
    assert dataset.count_rows() == 200_005
    found = dataset.to_table(filter=pyarrow.dataset.field("number") == 199_999)
    assert found["half"].to_pylist() == [99_999.5]


def test_duckdb_reads_a_table_from_many_threads() -> None:
    # Many row groups, uncompressed: a thread that read from another's position would get wrong numbers, no error.
    buffer = io.BytesIO()
    pq.write_table(TABLE, buffer, row_group_size=5_000, compression="none", use_dictionary=False)
    vault().write(PATH, buffer.getvalue(), role="train", schema="table/1")
    query = f"select count(*), sum(number), sum(half) from read_parquet('{URL}')"
    for _ in range(5):
        with duckdb.connect() as connection:
            connection.register_filesystem(SealedFileSystem())
            assert connection.execute(query).fetchone() == (200_000, 19_999_900_000, 9_999_950_000.0)


def test_polars_reads_a_file_object() -> None:
    with fsspec.open(URL) as file:
        assert pl.read_parquet(file, columns=["number"])["number"].sum() == 199_999 * 100_000


def test_one_row_group_is_read_without_the_rest(project: Path) -> None:
    flip(project / PATH, (project / PATH).stat().st_size // 2)
    with fsspec.open(URL) as file:
        table = pq.ParquetFile(file)
        assert table.read_row_group(0)["number"].to_pylist() == list(range(20_000))
        with pytest.raises(SealDamaged):
            table.read()


def test_sizes_are_those_of_the_plaintext(project: Path) -> None:
    (project / "data" / "plain.txt").write_text("in clear")
    files = SealedFileSystem()
    assert files.info(URL)["size"] == files.size(PATH) == len(parquet())
    listed = {Path(entry["name"]).name: entry["size"] for entry in files.ls("data")}
    assert listed == {"train.parquet.sealed": len(parquet()), "plain.txt": None}
    assert [Path(name).name for name in files.glob("data/*.sealed")] == ["train.parquet.sealed"]
    assert files.exists(URL)
    assert files.isdir("data")
    assert not files.exists("sealed://data/none")
    assert files.modified(URL)


def test_what_does_not_open_says_why(project: Path) -> None:
    (project / "plain.txt").write_text("in clear")
    files = fsspec.filesystem("sealed", role="test", schema="table/1")
    with pytest.raises(WrongContext, match="'train'"):
        files.open(PATH)
    with pytest.raises(WrongContext, match="'other'"):
        pd.read_parquet(URL, storage_options={"project": "other"})
    with pytest.raises(NotSealed, match=r"plain\.txt"):
        files.open("plain.txt")
    with pytest.raises(FileNotFoundError):
        files.open("none")


def test_it_needs_a_project(project: Path) -> None:
    (project / "params.yaml").unlink()
    with pytest.raises(UsageError, match="storage_options"):
        pd.read_parquet(URL)
    assert len(pd.read_parquet(URL, storage_options=DEMO)) == 200_000


def test_a_damaged_file_of_a_dataset_is_named(project: Path) -> None:
    flip(project / PATH, -5)
    with pytest.raises(SealDamaged, match=r"train\.parquet\.sealed"):
        pyarrow.dataset.dataset("data", filesystem=SealedFileSystem(), format="parquet").to_table()


def test_a_part_of_a_file(project: Path) -> None:
    assert SealedFileSystem().cat_file(PATH, start=-4) == b"PAR1"
    assert SealedFileSystem().cat_file(PATH, start=0, end=4) == b"PAR1"


@pytest.mark.parametrize("verb", ["mkdir", "makedirs", "rmdir", "rm", "touch"])
def test_it_changes_nothing(verb: str) -> None:
    with pytest.raises(OSError, match="lockstep seal"):
        getattr(SealedFileSystem(), verb)("data")


@pytest.mark.parametrize("mode", ["wb", "ab", "r+b"])
def test_it_is_read_only(mode: str) -> None:
    with pytest.raises(OSError, match="lockstep seal"):
        SealedFileSystem().open(PATH, mode)


def test_no_other_module_needs_fsspec() -> None:
    import subprocess
    import sys

    code = (
        "import sys; sys.modules['fsspec'] = None; import lockstep.sealing.vault, lockstep.sealing.wrapping, "
        "lockstep.bundle.contents"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
