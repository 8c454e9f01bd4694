"""Encoding of raw columns."""

from __future__ import annotations

import json
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.data.decorrelation import Decorrelation, Residual, Sensitive
from lockstep.data.encoded_columns import FIRST, MISSING, OTHER, Column
from lockstep.data.encoding import Encoder
from lockstep.data.tables import raw_columns
from lockstep.errors import DataError, ModelError
from lockstep.serving.protocol import parse_request

SHIFT = Decorrelation(
    (Sensitive("word0", "category", ("x", "y")),),
    (Residual("number1", (0.25, 0.5), (2.0, -3.0)), Residual("number2", (0.25, 0.5), (1.0, 0.0))),
)
NAMED = {"word": ["x", "y", "y", "z"], "number": [1.0, 2.0, 2.5, 7.0]}


def table(**columns: list[Any]) -> dict[str, npt.NDArray[Any]]:
    return {
        name: np.array(values, dtype=object)
        if any(isinstance(v, str) for v in values)
        else np.array(values, dtype=float)
        for name, values in columns.items()
    }


def test_categories_become_codes_of_a_shared_table() -> None:
    train = table(a=["x", "y", "x", None], b=["u", "u", "v", "v"])
    encoder = Encoder.fit(train, bins=4, min_value_rows=1)
    codes = encoder.encode(table(a=["x", "y", "z", None], b=["v", "w", "u", None])).codes
    first_b = FIRST + 2
    assert codes[:, 0].tolist() == [FIRST, FIRST + 1, OTHER, MISSING]
    assert (codes[:, 1] - first_b).tolist() == [FIRST + 1, OTHER, FIRST, MISSING]
    assert encoder.n_codes == 2 * (FIRST + 2)
    assert encoder.numeric_width == 0


def test_a_rare_category_shares_the_code_of_the_unknown() -> None:
    encoder = Encoder.fit(table(a=["x"] * 5 + ["rare"]), bins=4, min_value_rows=2)
    assert encoder.encode(table(a=["rare", "never"])).codes[:, 0].tolist() == [OTHER, OTHER]
    assert b"rare" not in encoder.to_json()


def test_categories_that_differ_in_their_last_character_are_two() -> None:
    encoder = Encoder.fit(table(a=["x", "x\0", "x\0"]), bins=4, min_value_rows=1)
    assert encoder.encode(table(a=["x", "x\0"])).codes[:, 0].tolist() == [FIRST, FIRST + 1]


class MadeOnDemand(Mapping[str, npt.NDArray[Any]]):
    """Columns that are made when they are asked for; it counts how often, and how many are held by then."""

    def __init__(self, columns: dict[str, npt.NDArray[Any]]) -> None:
        self._columns, self._made, self.most = columns, [], 0
        self.times: Counter[str] = Counter()

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        self._made = [made for made in self._made if made() is not None]
        self.most = max(self.most, len(self._made))
        self.times[name] += 1
        column = self._columns[name].copy()
        self._made.append(weakref.ref(column))
        return column

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


@pytest.mark.parametrize("transform", [None, SHIFT])
def test_a_large_table_is_encoded_column_by_column(transform: Decorrelation | None) -> None:
    columns = table(**{f"{kind}{i}": values for i in range(4) for kind, values in NAMED.items()})
    fitted, on_demand = MadeOnDemand(columns), MadeOnDemand(columns)
    encoder = Encoder.fit(fitted, bins=4, min_value_rows=1, decorrelation=transform)
    wanted = Encoder.fit(columns, bins=4, min_value_rows=1, decorrelation=transform)
    assert encoder.to_json() == wanted.to_json()
    for part, other in zip(encoder.encode_compact(on_demand).dense(), wanted.encode(columns), strict=True):
        np.testing.assert_array_equal(part, other)
    for made in (fitted, on_demand):
        # The last number and the last word, until the next is made.
        assert made.most <= 2
        assert max(made.times.values()) <= 2


def test_a_spike_does_not_swallow_the_bins() -> None:
    values = [0.0] * 900 + [float(v) for v in range(1, 101)]
    encoder = Encoder.fit({"gain": np.array(values)}, bins=10, min_value_rows=50)
    (column,) = encoder.columns
    assert column.values == (0.0,)
    assert column.width == 10
    assert column.edges[0] == 1.0
    assert column.edges[-1] == 100.0


def test_bins_reach_to_a_spike_at_an_end_where_rows_are_few() -> None:
    values = np.array([0.0] * 900 + [float(v) for v in range(50, 101)] + [200.0] * 100)
    short, whole = (
        Encoder.fit({"gain": values}, bins=10, min_value_rows=50, to_the_ends=ends).columns[0].edges
        for ends in (False, True)
    )
    assert (short[0], short[-1]) == (50.0, 100.0)
    assert whole == (0.0, *short, 200.0)


def test_piecewise_linear_encoding_is_that_of_the_paper() -> None:
    encoder = Encoder.fit({"x": np.array([0.0, 1.0, 2.0, 3.0, 4.0] * 40)}, bins=4, min_value_rows=1000)
    encoded = encoder.encode({"x": np.array([-1.0, 0.5, 2.0, 3.5, 9.0, np.nan])}).numeric
    np.testing.assert_allclose(
        encoded,
        [[0, 0, 0, 0], [0.5, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0.5], [1, 1, 1, 1], [1, 1, 0, 0]],
    )


def test_a_missing_number_has_a_code_of_its_own() -> None:
    encoder = Encoder.fit({"x": np.array([1.0, 2.0, np.nan])}, bins=2, min_value_rows=1)
    assert encoder.encode({"x": np.array([np.nan, 2.0, 7.0])}).codes[:, 0].tolist() == [
        MISSING,
        FIRST + 1,
        OTHER,
    ]


def test_a_number_that_is_never_missing_and_never_shared_has_no_code() -> None:
    raw = {
        "x": np.arange(100.0),
        "y": np.append(np.arange(99.0), np.nan),
        "c": np.array(["a", "b"] * 50, object),
    }
    encoder = Encoder.fit(raw, bins=4, min_value_rows=2)
    assert [column.coded for column in encoder.columns] == [False, True, True]
    codes = encoder.encode({name: column[-2:] for name, column in raw.items()}).codes
    assert codes.tolist() == [[OTHER, FIRST + 2], [MISSING, FIRST + 3]]


def test_many_rare_categories_share_a_few_codes_by_their_hash() -> None:
    names = [f"street {i}" for i in range(1000)]
    raw = {"street": np.array([*names, *["Main Street"] * 100, None], dtype=object)}
    encoder = Encoder.fit(raw, bins=4, min_value_rows=5)
    assert b"street 7" not in encoder.to_json()
    codes = encoder.encode(
        {"street": np.array([*names, "Main Street", None, "unseen", 7], dtype=object)}
    ).codes[:, 0]
    assert codes[1000:1002].tolist() == [FIRST, MISSING]
    rare = set(codes[:1000].tolist())
    assert rare == set(range(FIRST + 1, FIRST + 1 + 125))
    assert set(codes[1002:].tolist()) <= rare
    assert encoder.n_codes == FIRST + 1 + 125
    again = Encoder.from_json(encoder.to_json()).encode({"street": np.array(names, dtype=object)}).codes[:, 0]
    assert again.tolist() == codes[:1000].tolist()


def test_a_column_of_a_hundred_thousand_categories_keeps_the_most_frequent() -> None:
    values = np.repeat(np.arange(100_000), [5] * 90_000 + [6] * 10_000).astype(str).astype(object)
    (column,) = Encoder.fit({"zip": values}, bins=4, min_value_rows=5).columns
    assert set(map(int, column.values)) == set(range(90_000, 100_000))
    assert column.buckets == 1024


def test_many_numeric_columns_have_fewer_bins() -> None:
    table = np.random.default_rng(0).normal(size=(2000, 1000))
    encoder = Encoder.fit({f"x{i}": table[:, i] for i in range(1000)}, bins=24, min_value_rows=5)
    assert encoder.numeric_width == 4000


@pytest.mark.parametrize(("n_rows", "width"), [(100, 4), (640, 10), (2000, 24)])
def test_few_rows_have_fewer_bins(n_rows: int, width: int) -> None:
    column = np.random.default_rng(0).normal(size=n_rows)
    assert Encoder.fit({"x": column}, bins=24, min_value_rows=5).numeric_width == width


def test_numbers_too_far_apart_for_bins_are_told_by_value_alone() -> None:
    encoder = Encoder.fit({"x": np.array([-1.7e308, 1.7e308])}, bins=2, min_value_rows=1)
    assert encoder.numeric_width == 0
    assert encoder.encode({"x": np.array([1.7e308, 0.0])}).codes[:, 0].tolist() == [FIRST + 1, OTHER]


@pytest.mark.parametrize("values", [[], [np.nan, np.nan], [5.0, 5.0]])
def test_a_column_without_spread_is_encoded_without_bins(values: list[float]) -> None:
    encoder = Encoder.fit({"x": np.array(values)}, bins=4, min_value_rows=1)
    assert encoder.numeric_width == 0
    assert encoder.encode({"x": np.array([1.0])}).codes.shape == (1, 1)


def test_a_missing_column_is_named() -> None:
    encoder = Encoder.fit(table(a=["x"], b=[1.0]), bins=2, min_value_rows=1)
    with pytest.raises(DataError, match=r"\['b'\]"):
        encoder.encode(table(a=["x"]))


def test_text_in_a_number_is_refused_without_its_value() -> None:
    encoder = Encoder.fit({"b": np.array([1.0, 2.0])}, bins=2, min_value_rows=1)
    with pytest.raises(DataError, match="'b' must hold numbers") as caught:
        encoder.encode({"b": np.array(["secret"], dtype=object)})
    assert "secret" not in str(caught.value)


def test_another_format_is_refused() -> None:
    with pytest.raises(ModelError, match="Train the model again"):
        Encoder.from_json(b'{"format": "lockstep-encoder", "version": 99, "columns": []}')


def test_a_bin_of_hardly_any_width_is_no_overflow() -> None:
    encoder = Encoder.fit({"x": np.array([0.0, 2.0, 6.6e-309])}, bins=2, min_value_rows=5)
    assert encoder.encode({"x": np.array([2.0, -1.0])}).numeric.tolist() == [[1.0, 1.0], [0.0, 0.0]]


CELLS = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.floats(-5, 5).map(round))


@given(
    numbers=st.lists(CELLS, min_size=1, max_size=60),
    words=st.lists(st.one_of(st.none(), st.text(max_size=3)), min_size=1, max_size=60),
    bins=st.integers(2, 8),
    rows=st.integers(1, 4),
)
def test_property_encoding_survives_serialisation_and_stays_in_bounds(
    numbers: list[float | None], words: list[str | None], bins: int, rows: int
) -> None:
    size = min(len(numbers), len(words))
    raw = {"n": np.array(numbers[:size], dtype=float), "w": np.array(words[:size], dtype=object)}
    encoder = Encoder.fit(raw, bins, rows)
    again = Encoder.from_json(encoder.to_json())
    assert again.to_json() == encoder.to_json()
    numeric, codes = encoder.encode(raw)
    for left, right in zip((numeric, codes), again.encode(raw), strict=True):
        np.testing.assert_array_equal(left, right)
    assert np.isfinite(numeric).all()
    assert ((numeric >= 0) & (numeric <= 1)).all()
    assert ((codes >= 0) & (codes < encoder.n_codes)).all()


def test_ten_thousand_rows_one_by_one_as_the_server_gets_them_are_encoded_as_the_table() -> None:
    rng = np.random.default_rng(11)

    def draw(n: int, known: bool) -> pa.Table:
        """Rows of every type that a source may have; where not `known`, also what training never saw."""
        gaps = rng.random((8, n)) < 0.1
        words = rng.choice(["a", "ö", "true", "007", "", " b", *([] if known else ["new", "A", "🦉"])], n)
        codes = [f"c{i}" for i in rng.integers(0, 3000 if known else 4000, n)]
        amounts = np.where(rng.random(n) < 0.6, 0.0, rng.lognormal(3, 2 if known else 40, n))
        whole = rng.integers(-50, 50, n) if known else rng.integers(-(2**62), 2**62, n)
        columns = {
            "word": pa.array(words, mask=gaps[0]),
            "code": pa.array(codes, mask=gaps[1]),
            "member": pa.array(rng.random(n) < 0.5, mask=gaps[2]),
            "state": pa.array(rng.choice(["x", "y"], n), mask=gaps[3]).dictionary_encode(),
            "amount": pa.array(amounts, mask=gaps[4]),
            "whole": pa.array(whole, mask=gaps[5]),
            "single": pa.array(rng.normal(size=n).astype(np.float32), mask=gaps[6]),
            "price": pa.array([Decimal(int(p)) / 4 for p in rng.integers(0, 9, n)], pa.decimal128(9, 2), mask=gaps[7]),
        }  # fmt: skip
        return pa.table(columns)

    train, unseen = draw(5000, known=True), draw(10_000, known=False)
    encoder = Encoder.fit(raw_columns(train, train.column_names), bins=16, min_value_rows=5)
    encoder = Encoder.from_json(encoder.to_json())
    whole = encoder.encode(raw_columns(unseen, unseen.column_names))
    kinds = {column.name: column.kind for column in encoder.columns}
    assert len(set(kinds.values())) == 2
    datatypes = {"whole": "INT64", "single": "FP32"}
    for i, row in enumerate(unseen.to_pylist()):
        inputs = []
        for name, value in row.items():
            if kinds[name] == "category":
                sent = {True: "true", False: "false"}.get(value, value) if name == "member" else value
                inputs.append({"name": name, "shape": [1], "datatype": "BYTES", "data": [sent]})
            else:
                sent = float(value) if isinstance(value, Decimal) else value
                inputs.append(
                    {"name": name, "shape": [1, 1], "datatype": datatypes.get(name, "FP64"), "data": [[sent]]}
                )
        alone = encoder.encode(parse_request(json.dumps({"inputs": inputs}).encode(), kinds).table)
        assert alone.numeric.tobytes() == whole.numeric[i].tobytes(), row
        assert alone.codes.tobytes() == whole.codes[i].tobytes(), row


@given(
    edges=st.lists(st.floats(-1e300, 1e300), min_size=2, max_size=9, unique=True).map(sorted),
    numbers=st.lists(st.floats(allow_nan=False), min_size=1, max_size=20),
)
def test_each_bin_has_its_share_of_a_number_property(edges: list[float], numbers: list[float]) -> None:
    encoder = Encoder([Column("x", "numeric", (), tuple(edges), coded=False)])
    values, bounds = np.array(numbers + edges), np.array(edges)
    with np.errstate(over="ignore"):
        parts = (values[:, None] - bounds[:-1]) / np.diff(bounds)
    wanted = np.clip(parts, 0.0, 1.0).astype(np.float32)
    np.testing.assert_array_equal(encoder.encode({"x": values}).numeric, wanted)
