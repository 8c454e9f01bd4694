"""How much synthetic rows are like real ones, and whether they keep a distance from them.

Scores lie in [0, 1], and 1 is best. The shape of a column of numbers: 1 - the Kolmogorov-Smirnov statistic; of
categories: 1 - the total variation distance. The trend of two columns: 1 - half the difference of their correlations,
or, where one has categories, 1 - the total variation distance of the table of both, numbers in tenths (Patki et al.
2016, "The Synthetic Data Vault", and its SDMetrics).
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from lockstep.balance._mixed import Floats, Mixed
from lockstep.balance.rows import Columns

_SAMPLE = 5_000
_TENTHS = 10
_CHANCE = 0.05


def fidelity(real: Columns, made: Columns, seed: int) -> dict[str, Any]:
    """Compare rows of one class, on a seeded sample of both.

    Parameters
    ----------
    real, made
        Raw columns of the same names.
    seed
        Of the sample.

    Returns
    -------
    dict
        ``column_shapes`` and ``pair_trends``, and ``nearest``: how far made rows are from the nearest of one half of
        the real rows, beside how far the other half is from it. ``share_closer_than_chance`` is the share of made rows
        that are nearer than all but 5 % of the real ones are; by chance it is 0.05. Distances are of standardised
        numbers, and two categories are one apart.
    """
    rng = np.random.default_rng(seed)
    real, made = _sampled(real, 2 * _SAMPLE, rng), _sampled(made, _SAMPLE, rng)
    whole = {name: np.concatenate((raw, made[name])) for name, raw in real.items()}
    mixed = Mixed(whole)
    encoded = mixed.encode(whole)
    n_real = len(next(iter(real.values())))
    ours, theirs = encoded[n_real:], encoded[:n_real]
    names = [name for name, raw in whole.items() if raw.dtype != object]
    shapes = {
        name: _of_numbers(theirs[:, i], ours[:, i]) for i, name in enumerate(names)
    } | {
        name: _of_categories(np.array(real[name], dtype=str), np.array(made[name], dtype=str))
        for name, raw in whole.items() if raw.dtype == object
    }  # fmt: skip
    return {
        "n_real": n_real,
        "n_made": len(ours),
        "column_shapes": {
            "mean": _rounded(np.mean(list(shapes.values()))),
            "by_column": {name: _rounded(score) for name, score in sorted(shapes.items())},
        },
        "pair_trends": _rounded(_trends(theirs, ours, mixed)),
        "nearest": _nearest(mixed.spread(theirs), mixed.spread(ours)),
    }


def _sampled(columns: Columns, most: int, rng: np.random.Generator) -> dict[str, npt.NDArray[Any]]:
    n_rows = len(next(iter(columns.values())))
    rows = rng.permutation(n_rows)[:most]
    return {name: raw[rows] for name, raw in columns.items()}


def _of_numbers(real: Floats, made: Floats) -> float:
    from scipy.stats import ks_2samp

    return 1.0 - float(ks_2samp(real, made, method="asymp").statistic)


def _of_categories(real: npt.NDArray[Any], made: npt.NDArray[Any]) -> float:
    values, codes = np.unique(np.concatenate((real, made)), return_inverse=True)
    shares = [
        np.bincount(part, minlength=len(values)) / len(part)
        for part in (codes[: len(real)], codes[len(real) :])
    ]
    return 1.0 - 0.5 * float(np.abs(shares[0] - shares[1]).sum())


def _trends(real: Floats, made: Floats, mixed: Mixed) -> float:
    n = mixed.n_numbers
    scores = []
    with np.errstate(invalid="ignore"):
        correlations = [
            np.nan_to_num(np.corrcoef(part[:, :n], rowvar=False).reshape(n, n)) for part in (real, made)
        ]
    whole = np.concatenate((real, made))
    for i in range(n):
        edges = np.unique(np.quantile(real[:, i], np.linspace(0, 1, _TENTHS + 1)[1:-1]))
        whole[:, i] = np.searchsorted(edges, whole[:, i], side="right")
    tables = whole.astype(np.int64)
    for i, j in combinations(range(whole.shape[1]), 2):
        if j < n:
            scores.append(1.0 - 0.5 * abs(correlations[0][i, j] - correlations[1][i, j]))
        else:
            both = tables[:, i] * (tables[:, j].max() + 1) + tables[:, j]
            scores.append(_of_categories(both[: len(real)], both[len(real) :]))
    return float(np.mean(scores)) if scores else 1.0


def _nearest(real: npt.NDArray[np.float32], made: npt.NDArray[np.float32]) -> dict[str, Any]:
    from sklearn.neighbors import NearestNeighbors

    half = len(real) // 2
    search = NearestNeighbors(n_neighbors=1).fit(real[:half])
    of_real, of_made = (search.kneighbors(part)[0][:, 0] for part in (real[half:], made))
    near = np.quantile(of_real, _CHANCE)
    return {
        "median_distance": {"real": _rounded(np.median(of_real)), "made": _rounded(np.median(of_made))},
        "share_identical": {"real": _share(of_real < 1e-3), "made": _share(of_made < 1e-3)},
        "share_closer_than_chance": _share(of_made < near),
    }


def _share(mask: npt.NDArray[np.bool_]) -> float:
    return _rounded(np.mean(mask))


def _rounded(value: Any) -> float:
    return round(float(value), 4)
