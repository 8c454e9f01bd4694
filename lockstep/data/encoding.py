"""From raw columns to the arrays of a network. Runs on numpy alone: the server uses it too.

A category becomes a code of its column's vocabulary; where many rows hold categories too rare for a code of their
own, those share a few codes by their hash (Weinberger et al. 2009, "Feature Hashing for Large Scale Multitask
Learning", arXiv:0902.2206). A numeric column becomes a piecewise-linear vector over quantile bins
(`lockstep.data.features`) and the code of its exact value where many rows share it: amounts that are mostly zero have
spikes (usual sums, caps) that bins blur.

A missing number has the vector of the column's median and, where a training row lacked one, a code of its own; a number
beyond the ends of the training rows has the vector of the nearer end.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lockstep.data.columns import Kind
from lockstep.data.decorrelation import Decorrelation
from lockstep.data.encoded_columns import (
    FIRST,
    MISSING,
    OTHER,
    Column,
    as_numbers,
    fit_categories,
    fit_numbers,
)
from lockstep.data.features import Bins, Compact, Features, place
from lockstep.errors import DataError, ModelError

Floats = npt.NDArray[np.float64]
ENCODER_SCHEMA = "encoder/2"
"""Schema that stands in the context of a sealed encoder."""

_VERSION = 2
_DECORRELATED = 3
"""Version of an encoder with a decorrelation: a release that knows none would score without it."""

_MAX_NUMERIC_WIDTH = 4096
_MIN_BINS = 4
_MIN_BIN_ROWS = 64
"""Rows of a table to a quantile bin, where that leaves `_MIN_BINS`: a bin of fewer learns their noise (chosen on the
validation rows of two small tables; 24 bins of 640 rows cost .02 average precision)."""


class Input(NamedTuple):
    """A raw column that an encoder needs."""

    name: str
    kind: Kind


class Encoder:
    """Encodes raw columns as `Features`.

    Parameters
    ----------
    columns
        The fitted columns, in the order of the codes.
    decorrelation
        What is taken from numeric columns before they are encoded.
    classes
        Of a model of three classes or more: their labels, in the order of the network's outputs. Empty of two classes,
        whose labels the bundle names.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        decorrelation: Decorrelation | None = None,
        classes: Sequence[str] = (),
    ) -> None:
        self.columns = tuple(columns)
        self.decorrelation = decorrelation
        self.classes = tuple(classes)
        coded = [column for column in self.columns if column.coded]
        starts = np.cumsum([0, *(column.n_codes for column in coded)])
        self.code_starts: npt.NDArray[np.int32] = starts[:-1].astype(np.int32)
        self.n_codes = int(starts[-1])
        self.n_coded = len(coded)
        self.numeric_width = sum(column.width for column in self.columns)
        self._vocabularies: list[dict[str, int] | Floats] = [
            {str(value): FIRST + i for i, value in enumerate(column.values)}
            if column.kind == "category"
            else np.asarray(column.values, dtype=np.float64)
            for column in self.columns
        ]
        edges = [np.asarray(column.edges, dtype=np.float64) for column in self.columns]
        self._scales = [(e[:-1], np.diff(e)) for e in edges]
        self._bins = Bins.of_widths([column.width for column in self.columns if column.width])

    @property
    def inputs(self) -> list[Input]:
        """Raw columns that `encode` needs: the features, then sensitive features to take out of them."""
        sensitive = self.decorrelation.sensitive if self.decorrelation else ()
        return [
            *(Input(column.name, column.kind) for column in self.columns),
            *(Input(one.name, one.kind) for one in sensitive),
        ]

    @property
    def places(self) -> list[tuple[slice, slice]]:
        """Of each column: its places in `Features.codes` and in `Features.numeric`."""
        found, at, start = [], 0, 0
        for column in self.columns:
            found.append((slice(at, at + column.coded), slice(start, start + column.width)))
            at += column.coded
            start += column.width
        return found

    @classmethod
    def fit(
        cls,
        table: Mapping[str, npt.NDArray[Any]],
        bins: int,
        min_value_rows: int,
        decorrelation: Decorrelation | None = None,
        classes: Sequence[str] = (),
        *,
        to_the_ends: bool = False,
    ) -> Encoder:
        """Fit on training rows.

        Parameters
        ----------
        table
            Raw columns of n rows each: float64 with NaN, or object (str) with None, for a missing value.
        bins
            Quantile bins of a numeric column, at most; a table of few rows, or of many numeric columns, gets fewer.
        min_value_rows
            Rows that must share a category or an exact number for it to get a code of its own.
        decorrelation
            Taken from the columns first; `table` then holds the sensitive features too. What it changes has no codes
            of exact values: it shifts each group by one amount, so that an exact value would name the group.
        classes
            As for `Encoder`.
        to_the_ends
            Whether bins reach to a number that very many rows share at an end of its column, such as an amount's zero:
            they then tell how far off it lies, which few rows do not teach its code.
        """
        shifted: set[str] = set()
        names = list(table)
        if decorrelation:
            shifted = set(decorrelation.changed)
            table = decorrelation.apply(table)
            names = [name for name in names if name not in decorrelation.names]
        # One column at a time is looked at, for a `table` may make each when it is asked for.
        categories, numeric, n_rows = {}, [], 0
        for name in names:
            values = table[name]
            n_rows = max(n_rows, len(values))
            if values.dtype == object:
                categories[name] = fit_categories(name, values, min_value_rows)
            else:
                numeric.append(name)
        room = min(_MAX_NUMERIC_WIDTH // max(len(numeric), 1), n_rows // _MIN_BIN_ROWS)
        bins = min(bins, max(_MIN_BINS, room))
        numbers = {
            name: fit_numbers(
                name,
                table[name],
                bins,
                n_rows + 1 if name in shifted else min_value_rows,
                to_the_ends=to_the_ends,
            )
            for name in numeric
        }
        fitted = categories | numbers
        return cls([fitted[name] for name in names], decorrelation, classes)

    def encode(self, table: Mapping[str, npt.NDArray[Any]]) -> Features:
        """Encode n rows of raw columns.

        Raises
        ------
        DataError
            A column is missing, or a numeric one holds what is no number.
        """
        return self.encode_compact(table).dense()

    def encode_compact(self, table: Mapping[str, npt.NDArray[Any]]) -> Compact:
        """Encode n rows of raw columns, and leave their bins to be made.

        Raises
        ------
        DataError
            As `encode` does.
        """
        absent = [column.name for column in self.columns if column.name not in table]
        if absent:
            raise DataError(f"The model needs the columns {absent}, which are missing. Add them.")
        if self.decorrelation:
            table = self.decorrelation.apply(table)
        n_rows = len(table[self.columns[0].name]) if self.columns else 0
        n_binned = sum(column.width > 0 for column in self.columns)
        codes = np.empty((n_rows, self.n_coded), dtype=np.int32)
        within = np.empty((n_rows, n_binned), dtype=np.uint16)
        shares = np.empty((n_rows, n_binned), dtype=np.float32)
        at = binned = 0
        # Far outside a narrow bin the share is infinite, and the bins then 0 or 1 like any other.
        with np.errstate(over="ignore"):
            for column, vocabulary, scale in zip(self.columns, self._vocabularies, self._scales, strict=True):
                raw = table[column.name]
                if isinstance(vocabulary, dict):
                    codes[:, at] = _category_codes(raw, vocabulary, column.buckets)
                else:
                    values = as_numbers(column.name, raw)
                    if column.coded:
                        codes[:, at] = _value_codes(values, vocabulary)
                    if column.width:
                        present = np.where(values == values, values, column.fill)
                        within[:, binned], shares[:, binned] = place(present, *scale)
                        binned += 1
                at += column.coded
        codes += self.code_starts
        return Compact(within, shares, codes, self._bins)

    def to_json(self) -> bytes:
        """Serialise; the same encoder gives the same bytes. Holds a person's values (vocabularies): seal it."""
        columns = [asdict(column) for column in self.columns]
        document: dict[str, Any] = {"format": "lockstep-encoder", "version": _VERSION, "columns": columns}
        if self.decorrelation:
            document |= {"version": _DECORRELATED, "decorrelation": self.decorrelation.as_dict()}
        if self.classes:
            document["classes"] = list(self.classes)
        return json.dumps(document).encode()

    @classmethod
    def from_json(cls, document: bytes) -> Encoder:
        """Inverse of `to_json`; raises ModelError on another format."""
        parsed = json.loads(document)
        if (
            not isinstance(parsed, dict)
            or parsed.get("format") != "lockstep-encoder"
            or parsed.get("version") not in (_VERSION, _DECORRELATED)
        ):
            raise ModelError(
                f"This is no encoder of version {_VERSION}. Train the model again with this release."
            )
        decorrelation = parsed.get("decorrelation")
        return cls(
            [
                Column(**{**fields, "values": tuple(fields["values"]), "edges": tuple(fields["edges"])})
                for fields in parsed["columns"]
            ],
            Decorrelation.from_dict(decorrelation) if decorrelation else None,
            parsed.get("classes", ()),
        )


def _category_codes(raw: npt.NDArray[Any], vocabulary: dict[str, int], buckets: int) -> list[int]:
    # A server encodes one row at a time: a list is cheaper there than an array a column.
    get = vocabulary.get
    if buckets:
        first = FIRST + len(vocabulary)
        return [
            MISSING
            if value is None or value != value
            else get(str(value)) or first + zlib.crc32(str(value).encode("utf-8", "surrogatepass")) % buckets
            for value in raw.tolist()
        ]
    return [
        get(value, OTHER) if type(value) is str else _odd_code(value, vocabulary) for value in raw.tolist()
    ]


def _odd_code(value: object, vocabulary: dict[str, int]) -> int:
    return MISSING if value is None or value != value else vocabulary.get(str(value), OTHER)


def _value_codes(values: Floats, vocabulary: Floats) -> npt.NDArray[np.int_]:
    if not len(vocabulary):
        return np.where(values == values, OTHER, MISSING)
    at = np.searchsorted(vocabulary[:-1], values)
    return np.where(vocabulary[at] == values, FIRST + at, np.where(values == values, OTHER, MISSING))
