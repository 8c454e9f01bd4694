"""Tables as bytes and as raw columns."""

from __future__ import annotations

import datetime
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lockstep.data.project import default_gates, find_roles
from lockstep.data.tables import from_parquet, parse_source, raw_columns, read_source, to_parquet
from lockstep.errors import DataError


def test_parquet_round_trip_gives_the_same_bytes() -> None:
    table = pa.table({"a": [1, None, 3], "b": ["x", None, "z"], "c": [True, False, None]})
    content = to_parquet(table)
    assert from_parquet(content) == table
    assert to_parquet(from_parquet(content)) == content


def test_csv_reads_question_marks_and_gaps_as_missing() -> None:
    table = parse_source(b"a,b\n1,x\n?,\n3,?\n", "t.csv")
    assert table.to_pydict() == {"a": [1, None, 3], "b": ["x", None, None]}


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(DataError, match=r"nowhere\.csv does not exist"):
        read_source("nowhere.csv")


def test_raw_columns_are_floats_or_objects() -> None:
    table = pa.table(
        {
            "i": [1, None],
            "f": [0.5, 2.0],
            "s": ["x", None],
            "b": [True, None],
            "d": pa.array(["u", None]).dictionary_encode(),
        }
    )
    raw = raw_columns(table, table.column_names)
    np.testing.assert_array_equal(raw["i"], [1.0, np.nan])
    np.testing.assert_array_equal(raw["f"], [0.5, 2.0])
    assert raw["s"].tolist() == ["x", None]
    assert raw["b"].tolist() == ["true", None]
    assert raw["d"].tolist() == ["u", None]


def test_text_is_read_as_dictionaries_where_it_shall_be_compact() -> None:
    words, buffer = ["x", "y", "y", None, "z", "x"], io.BytesIO()
    table = pa.table(
        {
            "word": words,
            "large": pa.array(words, pa.large_string()),
            "known": pa.array(words).dictionary_encode(),
            "flag": [True, False, None, True, True, False],
            "number": [1.0, 2.0, None, 4.0, 5.0, 6.0],
        }
    )
    pq.write_table(table, buffer, row_group_size=3)
    plain, compact = from_parquet(buffer.getvalue()), from_parquet(buffer.getvalue(), compact=True)
    assert [chunk.dictionary.to_pylist() for chunk in compact["word"].chunks] == [["x", "y"], ["z", "x"]]
    for name in ("word", "large", "known"):
        assert pa.types.is_dictionary(compact[name].type)
    for name in ("flag", "number"):
        assert compact[name].type == plain[name].type
    for name, column in raw_columns(plain, plain.column_names).items():
        np.testing.assert_array_equal(raw_columns(compact, [name])[name], column)


def test_dictionaries_of_narrow_indices_are_read() -> None:
    parts = [[f"{letter}{i}" for i in range(100)] for letter in "ab"]
    narrow = pa.dictionary(pa.int8(), pa.string())
    table = pa.table({"word": pa.chunked_array([pa.array(part).cast(narrow) for part in parts])})
    assert raw_columns(table, ["word"])["word"].tolist() == [*parts[0], *parts[1]]


def test_where_chunks_end_does_not_show_in_the_bytes() -> None:
    numbers = np.random.default_rng(0).normal(size=160_000)
    whole = pa.table({"x": numbers})
    chunked = pa.table({"x": pa.chunked_array([numbers[:131_072], numbers[131_072:]])})
    assert to_parquet(whole) == to_parquet(chunked) == to_parquet(from_parquet(to_parquet(whole)))


def test_a_date_is_no_feature() -> None:
    table = pa.table({"when": pa.array([datetime.date(2020, 1, 1)])})
    with pytest.raises(DataError, match="'when' is of type date32"):
        raw_columns(table, ["when"])


def test_roles_of_a_table() -> None:
    table = pa.table(
        {
            "id": list(range(16)),
            "const": ["x"] * 16,
            "score": [float(i) for i in range(16)],
            "sex": ["f", "m"] * 8,
            "y": [0, 0, 0, 1, 0, 0, 1, 0] * 2,
        }
    )
    roles = find_roles(table, "y", None, ["sex"], 5)
    assert (roles.positive, roles.not_features, roles.classes["1"]) == ("1", ("id", "const"), 4)
    with pytest.raises(DataError, match="hold numbers"):
        find_roles(table, "y", None, ["score"], 5)
    with pytest.raises(DataError, match="'2' is no label"):
        find_roles(table, "y", "2", [], 5)
    with pytest.raises(DataError, match=r"--target names \['z'\]"):
        find_roles(table, "z", None, [], 5)


def test_default_gates_are_broken_by_a_useless_model() -> None:
    gates = default_gates({"no": 940, "yes": 60}, "yes", ["sex"], 0.01)
    assert gates["average_precision"] == 0.12
    assert gates["brier"] == pytest.approx(0.0564)
    assert gates["equalized_odds_difference"] == {"sex": 0.1}
