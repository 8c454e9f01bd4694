"""Categories exchanged one after the other, each time the one that costs the network most.

The derivative by a code's embedding foretells what every other category of the column would cost; the few best of a
row are tried. J. Ebrahimi et al. (2018), "HotFlip: White-Box Adversarial Examples for Text Classification",
arXiv:1712.06751.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from lockstep.data.encoded_columns import FIRST
from lockstep.data.encoding import Encoder
from lockstep.data.features import Features
from lockstep.data.plausible import Raw
from lockstep.models.slopes import Slopes

_TRIED = 3
"""Columns of a row whose best exchange is tried."""
_ROWS = 1024


def flips(
    encoder: Encoder, slopes: Slopes, table: Raw, codes: npt.NDArray[np.int64], most: int
) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """Yield the rows after up to 1, 2, ... `most` exchanges, as raw columns.

    Parameters
    ----------
    encoder, slopes
        Of the network that the adversary knows.
    table
        Raw columns of n rows.
    codes
        Number of each row's class, shape (n,).
    """
    columns = [
        (column, place.start)
        for column, (place, _) in zip(encoder.columns, encoder.places, strict=True)
        if column.kind == "category" and len(column.values) > 1
    ]
    found = {name: values.copy() for name, values in table.items()}
    features = encoder.encode(table)
    features = Features(features.numeric, features.codes.copy())
    rows = np.arange(len(codes))
    untouched = np.ones((len(codes), len(columns)), dtype=bool)
    for _ in range(most):
        if not columns:
            yield found
            continue
        largest, slope = slopes.by_codes(features, codes)
        gains, choices = _foretold(encoder, slopes, slope, features.codes, columns)
        gains[~untouched] = -np.inf
        best = np.full(len(codes), -1)
        for column in np.argsort(-gains, axis=1, kind="stable")[:, :_TRIED].T:
            loss = slopes.loss(_exchanged(features, columns, rows, column, choices), codes)
            worse = (loss > largest) & untouched[rows, column]
            best, largest = np.where(worse, column, best), np.maximum(largest, np.where(worse, loss, largest))
        hit = rows[best >= 0]
        features = _exchanged(features, columns, hit, best[hit], choices)
        untouched[hit, best[hit]] = False
        for i, (column, at) in enumerate(columns):
            own = hit[best[hit] == i]
            numbers = choices[own, i] - encoder.code_starts[at] - FIRST
            found[column.name][own] = np.array(column.values, dtype=object)[numbers]
        yield {name: values.copy() for name, values in found.items()}


def _foretold(
    encoder: Encoder,
    slopes: Slopes,
    embedded: npt.NDArray[np.float32],
    held: npt.NDArray[np.int32],
    columns: list[tuple[Any, int]],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Of each row and column the code that promises the largest loss, and how much; shapes (n, columns)."""
    gains = np.empty((len(held), len(columns)), dtype=np.float32)
    choices = np.empty((len(held), len(columns)), dtype=np.int64)
    for i, (column, at) in enumerate(columns):
        first = int(encoder.code_starts[at]) + FIRST
        table = slopes.embeddings[first : first + len(column.values)]
        for start in range(0, len(held), _ROWS):
            part = slice(start, start + _ROWS)
            slope, own = embedded[part, at], held[part, at]
            promised = slope @ table.T - (slope * slopes.embeddings[own]).sum(axis=1, keepdims=True)
            known = np.flatnonzero((own >= first) & (own < first + len(table)))
            promised[known, own[known] - first] = -np.inf
            choices[part, i] = first + promised.argmax(axis=1)
            gains[part, i] = promised.max(axis=1)
    return gains, choices


def _exchanged(
    features: Features,
    columns: list[tuple[Any, int]],
    rows: npt.NDArray[np.int_],
    column: npt.NDArray[np.int_],
    choices: npt.NDArray[np.int64],
) -> Features:
    codes = features.codes.copy()
    codes[rows, np.array([at for _, at in columns])[column]] = choices[rows, column]
    return Features(features.numeric, codes)
