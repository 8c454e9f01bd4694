"""Numbers, categories and missing values as one matrix of numbers, and back.

A number is standardised; where some are missing, a column of categories tells which. A category is its number in the
column's vocabulary, or, for distances, a vector: two categories lie a standard deviation of a number apart, as in
SMOTE-NC (Chawla et al. 2002, arXiv:1106.1813). A column of many categories has random unit vectors, so that no column
makes the matrix wide.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lockstep.balance.rows import Columns

Floats = npt.NDArray[np.float64]

_WIDEST = 32
_PRODUCTS = 1 << 24
"""Of a row and a category, that are held at a time."""


class _Number(NamedTuple):
    name: str
    fill: float
    mean: float
    scale: float
    low: float
    high: float
    whole: bool
    incomplete: bool


class Mixed:
    """Fitted on raw columns of n rows.

    Attributes
    ----------
    n_numbers
        The matrix begins with so many standardised numbers.
    sizes
        How many categories each of the columns behind them has.
    """

    def __init__(self, columns: Columns) -> None:
        import pandas as pd

        self._numbers = [_number(name, raw) for name, raw in columns.items() if raw.dtype != object]
        self._vocabularies: dict[str, npt.NDArray[Any]] = {}
        for name, raw in columns.items():
            if raw.dtype == object:
                codes, values = pd.factorize(raw, sort=True)
                self._vocabularies[name] = (
                    np.array([*values, None], dtype=object) if (codes < 0).any() else values
                )
        self._order = list(columns)
        self.n_numbers = len(self._numbers)
        self.sizes = [2 for number in self._numbers if number.incomplete]
        self.sizes += [len(values) for values in self._vocabularies.values()]
        self._vectors = [_vectors(size) for size in self.sizes]

    @property
    def widest(self) -> str:
        """The column that has the most categories."""
        return max(self._vocabularies, key=lambda name: len(self._vocabularies[name]), default="")

    def encode(self, columns: Columns) -> Floats:
        """Numbers and the numbers of categories, shape (n, n_numbers + len(sizes))."""
        numbers, missing = [], []
        for number in self._numbers:
            raw = columns[number.name]
            absent = np.isnan(raw)
            present = np.clip(np.where(absent, number.fill, raw), number.low, number.high)
            numbers.append((present - number.mean) / number.scale)
            if number.incomplete:
                missing.append(absent.astype(np.float64))
        categories = [_codes(columns[name], values) for name, values in self._vocabularies.items()]
        return np.column_stack([*numbers, *missing, *categories])

    def decode(self, matrix: Floats) -> dict[str, npt.NDArray[Any]]:
        """Inverse of `encode`: numbers of the column's range, whole where all of them are, and known categories."""
        codes = iter(matrix[:, self.n_numbers :].astype(np.int64).T)
        found: dict[str, npt.NDArray[Any]] = {}
        for number, values in zip(self._numbers, matrix.T, strict=False):
            raw = np.clip(values * number.scale + number.mean, number.low, number.high)
            found[number.name] = np.rint(raw) if number.whole else raw
        for number in self._numbers:
            if number.incomplete:
                found[number.name] = np.where(next(codes) == 1, np.nan, found[number.name])
        for name, vocabulary in self._vocabularies.items():
            found[name] = vocabulary[next(codes)]
        return {name: found[name] for name in self._order}

    def spread(self, matrix: Floats) -> npt.NDArray[np.float32]:
        """The matrix of `encode` for distances, with each category as its vector."""
        parts = [matrix[:, : self.n_numbers].astype(np.float32)]
        for codes, vectors in zip(matrix[:, self.n_numbers :].T, self._vectors, strict=True):
            parts.append(vectors[codes.astype(np.int64)])
        return np.concatenate(parts, axis=1)

    def gather(self, spread: npt.NDArray[Any]) -> Floats:
        """Inverse of `spread`: the category whose vector is nearest."""
        parts = [spread[:, : self.n_numbers].astype(np.float64)]
        at = self.n_numbers
        for vectors in self._vectors:
            part = spread[:, at : at + vectors.shape[1]]
            at += vectors.shape[1]
            block = max(1, _PRODUCTS // len(vectors))
            # All have one length, so the nearest has the largest product.
            nearest = [np.argmax(part[i : i + block] @ vectors.T, axis=1) for i in range(0, len(part), block)]
            parts.append(np.concatenate(nearest).astype(np.float64)[:, None])
        return np.concatenate(parts, axis=1)


def _number(name: str, raw: npt.NDArray[Any]) -> _Number:
    finite = raw[np.isfinite(raw)]
    if not len(finite):
        return _Number(name, 0.0, 0.0, 1.0, 0.0, 0.0, whole=False, incomplete=True)
    return _Number(
        name,
        float(np.median(finite)),
        float(finite.mean()),
        float(finite.std()) or 1.0,
        float(finite.min()),
        float(finite.max()),
        whole=bool((finite == np.rint(finite)).all()),
        incomplete=bool(np.isnan(raw).any()),
    )


def _codes(raw: npt.NDArray[Any], vocabulary: npt.NDArray[Any]) -> Floats:
    import pandas as pd

    codes = pd.Index(vocabulary[vocabulary != np.array(None)]).get_indexer(raw)
    # A missing category stands last.
    return np.where(codes < 0, len(vocabulary) - 1, codes).astype(np.float64)


def _vectors(size: int) -> npt.NDArray[np.float32]:
    if size <= _WIDEST:
        vectors = np.eye(size)
    else:
        vectors = np.random.default_rng(size).normal(size=(size, _WIDEST))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.sqrt(2)).astype(np.float32)
