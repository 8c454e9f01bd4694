"""Delimited text as programs write it: read as it is meant, or refused with a sentence."""

from __future__ import annotations

import bz2
import codecs
import gzip
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.data.tables import parse_source
from lockstep.errors import LockstepError

AB = {"a": [1, 2], "b": ["x", "y"]}
PLAIN = b"a,b\n1,x\n2,y\n"
#: More than one block of the parser, so that its first sight of a column is not its last.
LONG = b"a,b\n" + b"".join(b"%d,1\n" % i for i in range(200_000))


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        (PLAIN, "t.csv", AB),
        (PLAIN.replace(b"\n", b"\r\n"), "t.CSV", AB),
        (codecs.BOM_UTF8 + PLAIN, "t.csv", AB),
        (PLAIN.decode().encode("utf-16"), "t.csv", AB),
        (PLAIN.replace(b",", b";"), "t.csv", AB),
        (PLAIN.replace(b",", b"\t"), "t.tsv", AB),
        (PLAIN.replace(b",", b"|"), "t.txt", AB),
        (gzip.compress(PLAIN, mtime=0), "t.csv.gz", AB),
        (bz2.compress(PLAIN), "t.csv.bz2", AB),
        (pa.compress(PLAIN, codec="zstd", asbytes=True), "t.csv.zst", AB),
        (b"a;b\n1,5;x\n-2,25;y,z\n", "t.csv", {"a": [1.5, -2.25], "b": ["x", "y,z"]}),
        (b"a,b\n1.5,\n?,\"x\ny\"\n", "t.csv", {"a": [1.5, None], "b": [None, "x\ny"]}),
        (b"a,b\nNA,NA\n3,x\n", "t.csv", {"a": [None, 3], "b": ["NA", "x"]}),
        (b"a,b\n1,x\nsome,y\n", "t.csv", {"a": ["1", "some"], "b": ["x", "y"]}),
        (b"a,b\n,1\n,2\n", "t.csv", {"a": [None, None], "b": [1, 2]}),
    ],
)  # fmt: skip
def test_what_is_read_right(content: bytes, name: str, expected: dict[str, list[Any]]) -> None:
    assert parse_source(content, name).to_pydict() == expected


@pytest.mark.parametrize(("encoding", "word"), [("latin-1", "é"), ("utf-16-le", "ü"), ("cp1252", "€")])
def test_a_declared_encoding(encoding: str, word: str) -> None:
    content = f"a,{word}\n1,{word}\n".encode(encoding)
    assert parse_source(content, "t.csv", encoding=encoding).to_pydict() == {"a": [1], word: [word]}
    with pytest.raises(LockstepError, match="not encoded in utf-8"):
        parse_source(content, "t.csv")


@pytest.mark.parametrize(("end", "value"), [(b"x,2\n", "199999"), (b"0.5,2\n", 199999.0), (b"?,2\n", 199999)])
def test_the_type_of_a_column_does_not_hang_on_its_first_rows(end: bytes, value: Any) -> None:
    table = parse_source(LONG + end, "t.csv")
    assert (len(table), table["a"][-2].as_py()) == (200_001, value)


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (b"", "t.csv", "t.csv is empty"),
        (b"\n\n", "t.csv", "is empty"),
        (b"a,b\n", "t.csv", "no rows"),
        (b"a,b\n1,secret,3\n", "t.csv", "ragged: .* has 3 fields and the header 2"),
        (LONG + b"secret\n", "t.csv", "ragged"),
        (b"a,a\n1,2\n", "t.csv", "more than one column named"),
        (b",b\n1,2\n", "t.csv", "no name for column 1"),
        (b"a,b\n\xe9secret,1\n", "t.csv", "not encoded in utf-8"),
        (b"\xe9,b\n1,1\n", "t.csv", "not encoded in utf-8"),
        (PLAIN, "t.csv.gz", "not compressed with gzip"),
        (gzip.compress(PLAIN, mtime=0)[:-9], "t.csv.gz", "damaged"),
        (PLAIN, "t.xlsx", "Received: '.xlsx'"),
        (PLAIN, "t.parquet", "no Parquet file"),
    ],
)
def test_what_is_refused(content: bytes, name: str, words: str) -> None:
    with pytest.raises(LockstepError, match=words) as caught:
        parse_source(content, name)
    assert "secret" not in str(caught.value)


def test_an_encoding_that_does_not_exist() -> None:
    with pytest.raises(LockstepError, match="'latin-99' is no encoding"):
        parse_source(PLAIN, "t.csv", encoding="latin-99")


def test_text_that_looks_like_numbers() -> None:
    assert parse_source(b"a;b\n007;1,5\n", "t.csv", ["a", "b"]).to_pydict() == {"a": ["007"], "b": ["1,5"]}


@given(
    st.binary(max_size=300)
    | st.text('ab1.,;"\n\r\t|?é -', max_size=300).map(str.encode)
    | st.text(max_size=100).map(lambda text: text.encode("utf-16", "surrogatepass"))
)
def test_property_any_bytes_are_a_table_or_are_refused(content: bytes) -> None:
    with suppress(LockstepError):
        table = parse_source(content, "t.csv")
        assert table.num_rows
        assert len(set(table.column_names)) == table.num_columns


def test_ten_thousand_columns() -> None:
    names = [f"column_{i}" for i in range(10_000)]
    content = "\n".join([",".join(names), *[",".join("1" * 10_000)] * 3]).encode()
    assert parse_source(content, "t.csv").column_names == names
