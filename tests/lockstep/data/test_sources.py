"""Sources that are no files: read where they are, known by a keyed fingerprint."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest

from lockstep.data.sources import Declaration, declare, is_url, open_source, read_content, read_declaration
from lockstep.errors import DataError, UsageError

PLAIN = b"a,b\n1,x\n2,y\n"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def website(tmp_path: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def database(tmp_path: Path) -> str:
    with sqlite3.connect(tmp_path / "loans.db") as connection:
        connection.execute("CREATE TABLE loans (id INTEGER, amount REAL, purpose TEXT, odd)")
        connection.executemany(
            "INSERT INTO loans VALUES (?, ?, ?, ?)", [(1, 2.5, "car", 1), (2, None, None, "x")]
        )
    connection.close()
    return f"sqlite:///{tmp_path}/loans.db"


def test_a_url_that_fsspec_knows() -> None:
    with fsspec.open("memory://sources/t.csv", "wb") as file:
        file.write(PLAIN)
    table, content, declaration = open_source("memory://sources/t.csv", None, "utf-8")
    assert (table.num_rows, content) == (2, PLAIN)
    assert declaration == Declaration("memory://sources/t.csv")


def test_a_page(website: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(PLAIN)
    table, _, _ = open_source(f"{website}/t.csv?version=2", None, "utf-8")
    assert table.num_rows == 2
    with pytest.raises(DataError, match=r"none\.csv does not exist"):
        open_source(f"{website}/none.csv", None, "utf-8")


def test_a_query(database: str) -> None:
    table, content, declaration = open_source(
        database, "SELECT id, amount, purpose FROM loans ORDER BY id", "utf-8"
    )
    assert table.to_pydict() == {"id": [1, 2], "amount": [2.5, None], "purpose": ["car", None]}
    assert declaration is not None
    assert declaration.read() == content


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT secret FROM nowhere", "The query on .* failed"),
        ("SELECT odd FROM loans", "'odd' of the query holds values of several types"),
        ("SELECT id, id FROM loans", "more than one column named"),
        ("SELECT id FROM loans WHERE id > 9", "has no rows"),
    ],
)
def test_a_query_that_gives_no_table(database: str, query: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        open_source(database, query, "utf-8")


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("nonsense://x/t.csv", "cannot be read"),
        ("s3:// /t.csv", "(is not installed|cannot be read)"),
        ("memory://sources/nowhere.csv", "does not exist"),
    ],
)
def test_a_url_that_gives_nothing(location: str, words: str) -> None:
    with pytest.raises((DataError, UsageError), match=words):
        open_source(location, None, "utf-8")


def test_a_database_that_nobody_knows() -> None:
    with pytest.raises(UsageError, match="no database that SQLAlchemy knows"):
        open_source("nonsense://x/y", "SELECT 1", "utf-8")


def test_secrets_stay_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for location in ("postgresql://me:geheim@host/db", "https://host/t.csv?sig=geheim"):
        with pytest.raises(UsageError, match="environment variable") as caught:
            declare(location, None)
        assert "geheim" not in str(caught.value)
    with fsspec.open("memory://geheim/t.csv", "wb") as file:
        file.write(PLAIN)
    declaration = declare("memory://${FOLDER}/t.csv", None)
    with pytest.raises(UsageError, match="FOLDER; it is not set"):
        declaration.read()
    monkeypatch.setenv("FOLDER", "geheim")
    assert declaration.read() == PLAIN
    assert b"geheim" not in declaration.to_json()
    monkeypatch.setenv("FOLDER", "geheimer")
    with pytest.raises(DataError, match=r"\$\{FOLDER\}") as missing:
        declaration.read()
    assert "geheimer" not in str(missing.value)


def test_a_stage_reads_what_the_fingerprint_was_taken_of(tmp_path: Path) -> None:
    path = tmp_path / "source.json"
    with fsspec.open("memory://stage/t.csv", "wb") as file:
        file.write(PLAIN)
    declaration = Declaration("memory://stage/t.csv", None, digest(PLAIN))
    path.write_bytes(declaration.to_json())
    assert read_declaration(path) == declaration
    assert read_content(path, digest) == (PLAIN, "memory://stage/t.csv")
    with fsspec.open("memory://stage/t.csv", "wb") as file:
        file.write(PLAIN + b"3,z\n")
    with pytest.raises(DataError, match="`lockstep refresh`"):
        read_content(path, digest)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"location": 1}', b'{"location": "a", "more": 1}'])
def test_what_is_no_declaration(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "source.json").write_bytes(content)
    with pytest.raises(DataError, match="declares no source"):
        read_declaration(tmp_path / "source.json")


def test_urls_and_paths() -> None:
    assert all(map(is_url, ["s3://b/t.csv", "memory://t.csv", "sealed::s3://b/t.parquet"]))
    assert not any(map(is_url, ["t.csv", "../a b/t.csv", "/x/y.parquet", "a:b.csv"]))
