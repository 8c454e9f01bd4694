"""A conditional GAN for tables as a sampler of imbalanced-learn (Xu et al. 2019, arXiv:1907.00503)."""

from __future__ import annotations

import numbers
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from imblearn.over_sampling.base import BaseOverSampler
from scipy import sparse
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval

from lockstep.balance._modes import Modes
from lockstep.models.tabular_gan import BATCH, Floats, Layout, train_gan

STEPS = 2000
"""Steps of a training, of `lockstep.models.tabular_gan.BATCH` rows each."""

_BLOCK = 10 * BATCH
"""Rows that are made at a time: while it is made, a row has a place for each category."""

Codes = npt.NDArray[np.int64]


class CTGAN(BaseOverSampler):
    """Over-sampling by a generator that learned all classes, and makes rows of those that lack some.

    Parameters
    ----------
    categorical_features
        Numbers of the columns that hold categories, as numbers of any kind; None: all columns are continuous.
    sampling_strategy
        As imbalanced-learn's over-samplers take it.
    random_state
        Seed of every random choice: the same one gives the same rows.
    steps
        Of the training.
    modes
        Of a continuous column, at most.

    Notes
    -----
    A made category is one of the column's, and a made number lies in the column's range. Training rows are drawn so
    that a rare category is seen about as often as its logarithm (section 4.3 of the paper).
    """

    _parameter_constraints: dict[str, Any] = {  # noqa: RUF012 - as imbalanced-learn declares them
        **BaseOverSampler._parameter_constraints,
        "categorical_features": ["array-like", None],
        "random_state": ["random_state"],
        "steps": [Interval(numbers.Integral, 1, None, closed="left")],
        "modes": [Interval(numbers.Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        *,
        categorical_features: Sequence[int] | None = None,
        sampling_strategy: Any = "auto",
        random_state: Any = None,
        steps: int = STEPS,
        modes: int = 10,
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy)
        self.categorical_features = categorical_features
        self.random_state = random_state
        self.steps = steps
        self.modes = modes

    def _fit_resample(self, X: Any, y: Any) -> tuple[Any, Any]:
        wanted = {label: n for label, n in self.sampling_strategy_.items() if n}
        if not wanted:
            return X, y
        dense = X.toarray() if sparse.issparse(X) else X
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        made, labels = self._make(np.asarray(dense, dtype=np.float64), y, wanted, seed)
        made = made.astype(X.dtype)
        if sparse.issparse(X):
            return sparse.vstack([X, made], format=X.format), np.concatenate((y, labels))
        return np.concatenate((X, made)), np.concatenate((y, labels))

    def _make(self, X: Any, y: Any, wanted: dict[Any, int], seed: int) -> tuple[Any, Any]:
        rng = np.random.default_rng(seed)
        categorical = np.zeros(X.shape[1], dtype=bool)
        categorical[list(self.categorical_features or ())] = True
        continuous = [X[:, j] for j in np.flatnonzero(~categorical)]
        modes = [Modes(column, self.modes, seed) for column in continuous]
        encoded = [m.encode(column, rng) for m, column in zip(modes, continuous, strict=True)]
        discrete = [np.unique(column, return_inverse=True) for column in (*X[:, categorical].T, y)]
        values = [known for known, _ in discrete]
        layout = Layout(len(modes), tuple(m.count for m in modes), tuple(map(len, values)))
        codes = [of_row for _, of_row in (*encoded, *discrete)]
        batches = _batches(layout, [place for place, _ in encoded], codes, self.steps, rng)
        generate = train_gan(layout, batches, seed)
        asked = np.repeat(
            [int(np.searchsorted(values[-1], label)) for label in wanted], list(wanted.values())
        )
        made = np.empty((len(asked), X.shape[1]))
        for start in range(0, len(asked), _BLOCK):
            block, labels = made[start : start + _BLOCK], asked[start : start + _BLOCK]
            condition = np.zeros((len(block), sum(layout.categories)), dtype=np.float32)
            condition[np.arange(len(block)), sum(layout.categories[:-1]) + labels] = 1.0
            rows = generate(condition, rng)
            found = [rows[:, first:last].argmax(axis=1) for first, last in layout.parts]
            for i, (j, m) in enumerate(zip(np.flatnonzero(~categorical), modes, strict=True)):
                numbers = m.decode(rows[:, i].astype(np.float64), found[i])
                block[:, j] = numbers.clip(X[:, j].min(), X[:, j].max())
            for i, j in enumerate(np.flatnonzero(categorical)):
                block[:, j] = values[i][found[len(modes) + i]]
        return made, values[-1][asked]


def _batches(
    layout: Layout, places: list[Any], codes: list[Codes], steps: int, rng: np.random.Generator
) -> Iterator[tuple[Floats, Floats]]:
    """Draw a column, one of its categories by the logarithm of its rows, and a row that has it."""
    columns = []
    for of_row, size in zip(codes[len(layout.modes) :], layout.categories, strict=True):
        counts = np.bincount(of_row, minlength=size)
        shares = np.cumsum(np.log1p(counts))
        columns.append(
            (np.argsort(of_row, kind="stable"), np.cumsum(counts) - counts, counts, shares / shares[-1])
        )
    first = np.cumsum((0, *layout.categories))
    for _ in range(steps):
        drawn = rng.integers(len(columns), size=BATCH)
        rows, condition = np.empty(BATCH, dtype=np.int64), np.zeros((BATCH, first[-1]), dtype=np.float32)
        for column in np.unique(drawn):
            at = np.flatnonzero(drawn == column)
            order, starts, counts, shares = columns[column]
            category = np.searchsorted(shares, rng.random(len(at))).clip(0, len(counts) - 1)
            rows[at] = order[starts[category] + (rng.random(len(at)) * counts[category]).astype(np.int64)]
            condition[at, first[column] + category] = 1.0
        real = np.zeros((BATCH, layout.width), dtype=np.float32)
        for i, place in enumerate(places):
            real[:, i] = place[rows]
        for of_row, (start, _) in zip(codes, layout.parts, strict=True):
            real[np.arange(BATCH), start + of_row[rows]] = 1.0
        yield real, condition
