"""What a model looks at: permutation importance and SHAP values of the raw columns, whatever the model is.

Permutation importance (Breiman 2001; Fisher, Rudin & Dominici 2019, arXiv:1801.01489) is what average precision loses
when a column's values are dealt out anew. SHAP values (Lundberg & Lee 2017, arXiv:1705.07874) share a row's log-odds
out among its columns, beside rows of a background; the shap package draws the permutations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from lockstep.data.encoding import Encoder
from lockstep.data.features import Features
from lockstep.evaluation.metrics import ranking

Floats = npt.NDArray[np.float64]
Score = Callable[[Features], Floats]
"""Probability of the positive class of n rows, shape (n,), or of each of k classes, shape (n, k)."""

_SMALLEST = 1e-9
_PERCENTILES = (2.5, 97.5)


class Pool:
    """Encoded rows whose columns can be mixed: a column is encoded by itself, so nothing is encoded twice.

    Where the encoder takes sensitive features out of a column first, the column counts as what is then left of it.

    Parameters
    ----------
    encoder
        Of the model.
    table
        Raw inputs of the encoder, n rows each.
    """

    def __init__(self, encoder: Encoder, table: dict[str, npt.NDArray[Any]]) -> None:
        self.names = [column.name for column in encoder.columns]
        self._features = encoder.encode(table)
        self._places = encoder.places

    def __len__(self) -> int:
        return len(self._features.codes)

    def rows(self, numbers: npt.NDArray[np.int_]) -> npt.NDArray[np.int_]:
        """The rows `numbers`, shape (n,), each column from its own row: shape (n, columns)."""
        return np.repeat(numbers[:, None], len(self.names), axis=1)

    def mixed(self, numbers: npt.NDArray[np.int_]) -> Features:
        """Features of n rows of which each column comes from the row that `numbers`, shape (n, columns), names."""
        codes = np.empty((len(numbers), self._features.codes.shape[1]), dtype=np.int32)
        numeric = np.empty((len(numbers), self._features.numeric.shape[1]), dtype=np.float32)
        for column, (coded, bins) in enumerate(self._places):
            codes[:, coded] = self._features.codes[numbers[:, column], coded]
            numeric[:, bins] = self._features.numeric[numbers[:, column], bins]
        return Features(numeric, codes)


def permutation_importance(
    score: Score, pool: Pool, codes: npt.NDArray[np.int64], rows: npt.NDArray[np.int_], seed: int
) -> dict[str, float]:
    """Average precision that each column's permutation costs, by column.

    Parameters
    ----------
    codes
        Number of each row's class, shape (n,); of several classes the mean of their average precisions counts.
    rows
        Numbers of rows in `pool`, shape (n,).
    """
    whole = pool.rows(rows)
    rng = np.random.default_rng(seed)
    best = _average_precision(codes, score(pool.mixed(whole)))
    found = {}
    for column, name in enumerate(pool.names):
        permuted = whole.copy()
        permuted[:, column] = rng.permutation(rows)
        found[name] = best - _average_precision(codes, score(pool.mixed(permuted)))
    return found


def _average_precision(codes: npt.NDArray[np.int64], probability: Floats) -> float:
    return ranking(codes, probability)["average_precision"]


def shap_values(
    score: Score, pool: Pool, rows: npt.NDArray[np.int_], background: npt.NDArray[np.int_], seed: int
) -> tuple[Floats, Floats]:
    """SHAP values of the log-odds.

    Parameters
    ----------
    rows, background
        Numbers of rows in `pool`: those to explain, shape (n,), and those to compare with.

    Returns
    -------
    values, base
        Shapes (n, columns) and (n,), or (n, columns, k) and (n, k): a row's values and its base add up to its log-odds.
    """
    shap = _shap()

    def log_odds(numbers: Floats) -> Floats:
        # The package mixes the columns of two rows; of a row it need only know the number.
        probability = np.clip(score(pool.mixed(numbers.astype(np.int64))), _SMALLEST, 1.0 - _SMALLEST)
        return np.asarray(np.log(probability) - np.log1p(-probability))

    masker = shap.maskers.Independent(pool.rows(background).astype(float), max_samples=len(background))
    explainer = shap.PermutationExplainer(log_odds, masker, seed=seed)
    evaluations = 2 * len(pool.names) + 1
    found = explainer(pool.rows(rows).astype(float), max_evals=evaluations, silent=True)
    return np.asarray(found.values), np.asarray(found.base_values)


def mean_absolute(values: Floats) -> Floats:
    """Mean absolute SHAP value of each column, of `values` as `shap_values` gives them; shape (columns,)."""
    return np.asarray(_by_row(values).mean(axis=0))


def agreement(
    first: Floats, second: Floats, samples: int, seed: int
) -> tuple[float, tuple[float, float]] | None:
    """Spearman's rank correlation of two models' mean absolute SHAP values, with its 95 % percentile interval.

    Parameters
    ----------
    first, second
        SHAP values of the same rows, as `shap_values` gives them.
    samples
        Bootstrap samples of the rows.

    Returns
    -------
    tuple, or None
        None where there is no rank: fewer than three columns, or columns that all count alike.
    """
    from scipy.stats import rankdata

    rows = np.stack([_by_row(first), _by_row(second)])
    drawn = np.random.default_rng(seed).integers(rows.shape[1], size=(samples, rows.shape[1]))
    weights = np.stack([np.bincount(draw, minlength=rows.shape[1]) for draw in drawn]) / rows.shape[1]
    means = np.concatenate([rows.mean(axis=1)[:, None], np.einsum("sr,mrc->msc", weights, rows)], axis=1)
    ranks = rankdata(means, axis=-1)
    ranks -= ranks.mean(axis=-1, keepdims=True)
    spread = np.sqrt((ranks**2).sum(axis=-1).prod(axis=0))
    if rows.shape[2] < 3 or not spread.all():
        return None
    correlations = ranks.prod(axis=0).sum(axis=-1) / spread
    low, high = np.percentile(correlations[1:], _PERCENTILES)
    return float(correlations[0]), (float(low), float(high))


def _by_row(values: Floats) -> Floats:
    magnitudes = np.abs(values)
    return magnitudes if magnitudes.ndim == 2 else magnitudes.mean(axis=2)


def _shap() -> Any:
    """The shap package without numba's compiler, which takes longer than all that is explained here."""
    import numba

    # It decides as the package is imported; others in this process keep their compiler.
    config: Any = numba.config
    before, config.DISABLE_JIT = config.DISABLE_JIT, True
    try:
        import shap
    finally:
        config.DISABLE_JIT = before
    return shap
