"""How well a sensitive feature can be told from other features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lockstep.fairness.association import codes_of

FOLDS = 5
_MAX_ROWS = 20_000
"""Rows that are looked at, at most: intervals are narrow by then."""

_MAX_LEVELS = 200
"""Indicators of one feature, at most; rarer values share one."""

_PRIOR_ROWS = 1.0

Codes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def predictability(
    features: Mapping[str, pd.Series[Any]], sensitive: npt.NDArray[np.object_], seed: int
) -> dict[str, Any]:
    """Cross-validated ROC AUC of telling `sensitive` from each feature and from all together.

    From one feature by the shares of the groups among the rows of equal value (numbers by deciles); from all by a
    logistic regression on the same values, which sees no interactions: another model may tell more.

    Parameters
    ----------
    features
        Columns of n training rows.
    sensitive
        Group of each row, shape (n,).
    seed
        Of the folds, and of the choice of rows where there are more than 20,000.

    Returns
    -------
    dict
        ``by_feature`` and ``together``, each a ``roc_auc`` (one group against the rest, weighted by its rows: 0.5
        tells nothing, 1 all) with its 95 % ``interval``; None where fewer than two groups have a row a fold.

    References
    ----------
    The interval's variance: C. Nadeau and Y. Bengio (2003), "Inference for the Generalization Error", Machine
    Learning 52, 239-281.
    """
    from sklearn.model_selection import StratifiedKFold

    groups = np.unique(sensitive.astype(str), return_inverse=True)[1]
    rows = drawn(groups, seed)
    if len(np.unique(groups[rows])) < 2:
        return {"by_feature": dict.fromkeys(features), "together": None}
    groups = np.unique(groups[rows], return_inverse=True)[1]
    levels = {name: _levels(column.iloc[rows]) for name, column in features.items()}
    folds = list(StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(groups, groups))
    by_feature = {
        name: _summary([_auc(_shares(codes, groups, *fold), groups[fold[1]]) for fold in folds])
        for name, codes in levels.items()
    }
    together = _summary([_auc(_regression(levels, groups, *fold), groups[fold[1]]) for fold in folds])
    return {"by_feature": by_feature, "together": together}


def drawn(groups: Codes, seed: int) -> Codes:
    """Numbers of the rows that `predictability` looks at, ascending; the same of these rows alone.

    Parameters
    ----------
    groups
        Number of each row's group, from 0; shape (n,).
    """
    rows = np.flatnonzero((np.bincount(groups) >= FOLDS)[groups])
    if len(rows) <= _MAX_ROWS:
        return rows
    rows = np.sort(np.random.default_rng(seed).choice(rows, _MAX_ROWS, replace=False))
    return rows[(np.bincount(groups[rows]) >= FOLDS)[groups[rows]]]


def _levels(column: pd.Series[Any]) -> Codes:
    """Number of each row's value from 0; the most frequent first."""
    codes = codes_of(column)
    _, dense, counts = np.unique(codes, return_inverse=True, return_counts=True)
    rank = np.empty(len(counts), dtype=np.int64)
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    return np.minimum(rank[dense], _MAX_LEVELS - 1)


def _shares(codes: Codes, groups: Codes, train: Codes, test: Codes) -> Floats:
    """Share of each group among the training rows of the same value, shape (n_test, n_groups)."""
    n_groups = int(groups.max()) + 1
    table = np.zeros((int(codes.max()) + 1, n_groups))
    np.add.at(table, (codes[train], groups[train]), 1.0)
    overall = table.sum(axis=0) / table.sum()
    table = (table + _PRIOR_ROWS * overall) / (table.sum(axis=1, keepdims=True) + _PRIOR_ROWS)
    return np.asarray(table[codes[test]])


def _regression(levels: Mapping[str, Codes], groups: Codes, train: Codes, test: Codes) -> Floats:
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

    starts = np.cumsum([0, *(int(codes.max()) + 1 for codes in levels.values())])
    columns = np.column_stack([codes + start for codes, start in zip(levels.values(), starts, strict=False)])
    n_rows, width = columns.shape
    indicators = csr_matrix(
        (np.ones(n_rows * width), columns.ravel(), np.arange(0, n_rows * width + 1, width)),
        shape=(n_rows, int(starts[-1])),
    )
    # Loose, for a ranking is wanted and no coefficient.
    model = LogisticRegression(C=0.1, tol=1e-2, max_iter=1000).fit(indicators[train], groups[train])
    scores = model.decision_function(indicators[test])
    return np.column_stack((-scores, scores)) if scores.ndim == 1 else np.asarray(scores)


def _auc(scores: Floats, groups: Codes) -> float:
    """ROC AUC of each group against the rest, weighted by its rows (Mann-Whitney)."""
    from scipy.stats import rankdata

    counts = np.bincount(groups, minlength=scores.shape[1])
    areas = []
    for group, n_positive in enumerate(counts):
        ranks = rankdata(scores[:, group])
        won = ranks[groups == group].sum() - n_positive * (n_positive + 1) / 2
        areas.append(won / (n_positive * (len(groups) - n_positive)))
    return float(np.average(areas, weights=counts))


def _summary(figures: list[float]) -> dict[str, Any]:
    from scipy.stats import t

    mean = float(np.mean(figures))
    # The folds share training rows, which the second summand makes up for.
    spread = float(np.sqrt((1 / FOLDS + 1 / (FOLDS - 1)) * np.var(figures, ddof=1)))
    margin = float(t.ppf(0.975, FOLDS - 1)) * spread
    return {
        "roc_auc": round(mean, 4),
        "interval": [round(max(0.0, mean - margin), 4), round(min(1.0, mean + margin), 4)],
    }
