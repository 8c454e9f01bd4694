"""The tables: expectations, parts, associations, and how well a sensitive feature is told from others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame, demographic_parity_difference, selection_rate
from scipy import sparse, stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from tests.recompute.run import MADE, WEIGHT, Run

PARTS = ("train", "validation", "test")
FOLDS = 5


def validate(run: Run) -> dict[str, Any]:
    """Reports/validate.json."""
    source = run.frame("split", "source")
    results = [_result(source, expectation) for expectation in run.suite]
    passed = [one["passed"] for one in run.card["reports"]["validate"]["results"]]
    critical = [one["severity"] == "critical" for one in run.card["reports"]["validate"]["results"]]
    return {
        "n_rows": len(source),
        "n_columns": source.shape[1],
        "n_expectations": len(results),
        "n_failed": sum(c and not p for c, p in zip(critical, passed, strict=True)),
        "n_warned": sum(not c and not p for c, p in zip(critical, passed, strict=True)),
        "results": results,
    }


def _result(source: pd.DataFrame, expectation: dict[str, Any]) -> dict[str, Any]:
    """Rows that break an expectation, and the numbers that it expects."""
    kind, kwargs = expectation["type"], expectation["kwargs"]
    told = {name: value for name, value in kwargs.items() if isinstance(value, int | float)}
    allowed = kwargs.get("value_set", [])
    if all(isinstance(value, int | float) for value in allowed):
        told["value_set"] = allowed
    values = source.get(kwargs.get("column"))
    broken = None
    if kind == "expect_column_values_to_not_be_null":
        broken = values.isna()
    elif kind == "expect_column_values_to_be_in_set":
        broken = values.notna() & ~values.astype(str).isin(list(map(str, kwargs["value_set"])))
    elif kind == "expect_column_values_to_be_between":
        broken = values.notna() & ~values.between(
            kwargs.get("min_value", -np.inf), kwargs.get("max_value", np.inf)
        )
    found: dict[str, Any] = {"expectation": kind, "expected": told}
    if broken is not None:
        found |= {"rows": int(broken.sum()), "share": round(float(broken.mean()), 6)}
    return found


def split(run: Run) -> dict[str, Any]:
    """Reports/split.json."""
    tables = {name: run.table("split", name) for name in PARTS}
    found: dict[str, Any] = {}
    for name, table in tables.items():
        labels = run.labels(table)
        found[name] = {"n_rows": len(labels), "n_positive": int(labels.sum())}
        found[name]["positive_share"] = round(float(labels.mean()), 6)
    features = [n for n in tables["train"].column_names if n != run.target and not n.startswith("lockstep:")]
    blind = [name for name in features if name not in run.sensitive]
    found["test_rows_also_in_train"] = {
        name: _overlap(_seen(tables, columns))
        for name, columns in (
            ("identical_in_all_features", features),
            ("identical_but_for_sensitive_features", blind),
        )
    }
    return found


def _seen(tables: dict[str, Any], names: list[str]) -> Any:
    """Which test rows a row of train or validation equals."""
    parts = [tables[part].select(names).to_pandas() for part in PARTS]
    keys = pd.util.hash_pandas_object(pd.concat(parts, ignore_index=True), index=False).to_numpy()
    return np.isin(keys[-len(parts[2]) :], keys[: -len(parts[2])])


def _overlap(seen: Any) -> dict[str, Any]:
    return {"n_rows": int(seen.sum()), "share": round(float(seen.mean()), 6)}


def unseen(run: Run) -> Any:
    """Which test rows no row of train or validation equals in what the model sees, or in what it could have seen."""
    debiased = {part: run.table("evaluate", part) for part in PARTS}
    split_off = {part: run.table("split", part) for part in PARTS}
    seen = _seen(debiased, [column.name for column in run.encoder.columns])
    names = [n for n in split_off["train"].column_names if n != run.target and not n.startswith("lockstep:")]
    if len(split_off["test"]) == len(seen):
        seen |= _seen(split_off, [name for name in names if name not in run.sensitive])
    return ~seen


def debias(run: Run) -> dict[str, Any]:
    """Reports/debias.json."""
    table = run.table("split", "train")
    frame, labels = table.to_pandas(), run.labels(table)
    names = [
        name
        for name in frame
        if name != run.target and not name.startswith("lockstep:") and name not in run.sensitive
    ]
    groups = {feature: frame[feature].factorize()[0] for feature in run.sensitive}
    # The folds follow from the numbers that groups have by their names.
    by_name = {f: np.unique(frame[f].astype(str), return_inverse=True)[1] for f in run.sensitive}
    found: dict[str, Any] = {
        "associations": {
            name: {f: round(_cramers_v(_levels(frame[name]), of_row), 6) for f, of_row in groups.items()}
            for name in names
        },
        "labels_by_group": {
            feature: _base_rates(labels, run.groups(table, feature)) for feature in run.sensitive
        },
        "predictability": {f: _predictability(run, frame, names, of_row) for f, of_row in by_name.items()},
    }
    if run.card["reports"]["debias"]["proxies_dropped"]:
        found["rows_moved_to_train"] = len(run.table("evaluate", "train")) - len(table)
    return found


def _levels(column: pd.Series) -> Any:
    """Number of each row's value, of numbers that of its decile; -1 where it is missing."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        values = column.to_numpy(dtype=float)
        edges = np.unique(np.nanquantile(values, np.linspace(0, 1, 11)))
        if len(edges) > 2:
            return pd.Series(
                np.where(np.isnan(values), np.nan, np.digitize(values, edges[1:-1], right=True))
            ).factorize()[0]
    return column.factorize()[0]


def _cramers_v(first: Any, second: Any) -> float:
    """Bergsma's bias-corrected Cramér's V, from scipy's chi-squared statistic."""
    counts = pd.crosstab(first, second).to_numpy()
    n, shape = counts.sum(), np.array(counts.shape)
    if min(shape) < 2:
        return 0.0
    phi2 = stats.chi2_contingency(counts, correction=False).statistic / n
    phi2 = max(0.0, phi2 - np.prod(shape - 1) / (n - 1))
    return float(min(1.0, np.sqrt(phi2 / (min(shape - (shape - 1) ** 2 / (n - 1)) - 1))))


def _base_rates(labels: Any, groups: Any) -> dict[str, Any]:
    frame = MetricFrame(metrics=selection_rate, y_true=labels, y_pred=labels, sensitive_features=groups)
    rows = pd.Series(groups).value_counts()
    difference = demographic_parity_difference(labels, labels, sensitive_features=groups)
    return {
        "groups": {
            name: {"n_rows": int(rows[name]), "positive_share": float(share)}
            for name, share in frame.by_group.items()
        },
        "demographic_parity_difference": float(difference),
    }


def _predictability(run: Run, frame: pd.DataFrame, names: list[str], of_row: Any) -> dict[str, Any]:
    """Cross-validated area under the ROC curve of telling a row's group, of 20,000 rows at most."""
    seed = run.params["debias"]["seed"]
    of_row = np.where(of_row < 0, of_row.max() + 1, of_row)
    rows = np.flatnonzero((np.bincount(of_row) >= FOLDS)[of_row])
    if len(rows) > 20_000:
        rows = np.sort(np.random.default_rng(seed).choice(rows, 20_000, replace=False))
        rows = rows[(np.bincount(of_row[rows]) >= FOLDS)[of_row[rows]]]
    return _cross_validated(frame[names].iloc[rows], np.unique(of_row[rows], return_inverse=True)[1], seed)


def _cross_validated(values: pd.DataFrame, groups: Any, seed: int) -> dict[str, Any]:
    levels = {name: _ranked(_levels(column)) for name, column in values.items()}
    folds = list(StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(groups, groups))
    by_feature = {
        name: _summary([_auc(_shares(codes, groups, train, test), groups[test]) for train, test in folds])
        for name, codes in levels.items()
    }
    starts = np.cumsum([0, *(codes.max() + 1 for codes in levels.values())])
    places = np.column_stack([codes + start for codes, start in zip(levels.values(), starts, strict=False)])
    ones = sparse.csr_matrix(
        (np.ones(places.size), (np.repeat(np.arange(len(places)), places.shape[1]), places.ravel())),
        shape=(len(places), starts[-1]),
    )
    figures = []
    for train, test in folds:
        model = LogisticRegression(C=0.1, tol=1e-2, max_iter=1000).fit(ones[train], groups[train])
        scores = model.decision_function(ones[test])
        figures.append(_auc(np.column_stack((-scores, scores)) if scores.ndim == 1 else scores, groups[test]))
    return {"by_feature": by_feature, "together": _summary(figures)}


def _ranked(codes: Any) -> Any:
    """Numbers of values from 0, the most frequent first; those beyond the 200th share one."""
    _, dense, counts = np.unique(codes, return_inverse=True, return_counts=True)
    return np.minimum(np.argsort(np.argsort(-counts, kind="stable"), kind="stable")[dense], 199)


def _shares(codes: Any, groups: Any, train: Any, test: Any) -> Any:
    """Share of each group among the training rows of the same value, drawn a little to the shares of all."""
    counts = pd.crosstab(codes[train], groups[train]).reindex(
        index=range(codes.max() + 1), columns=range(groups.max() + 1), fill_value=0
    )
    overall = counts.sum() / counts.to_numpy().sum()
    shares = (counts + overall).div(counts.sum(axis=1) + 1, axis=0)
    return shares.to_numpy()[codes[test]]


def _auc(scores: Any, groups: Any) -> float:
    rows = np.bincount(groups, minlength=scores.shape[1])
    areas = [roc_auc_score(groups == group, scores[:, group]) for group in range(scores.shape[1])]
    return float(np.average(areas, weights=rows))


def _summary(figures: list[float]) -> dict[str, Any]:
    """Mean over the folds, with Nadeau & Bengio's interval."""
    mean, variance = np.mean(figures), np.var(figures, ddof=1)
    margin = stats.t.ppf(0.975, FOLDS - 1) * np.sqrt(variance * (1 / FOLDS + 1 / (FOLDS - 1)))
    interval = [round(max(0.0, mean - margin), 4), round(min(1.0, mean + margin), 4)]
    return {"roc_auc": round(float(mean), 4), "interval": interval}


def resample(run: Run) -> dict[str, Any]:
    """Reports/resample.json, of a method that makes no new person up."""
    before, after = run.labels(run.table("evaluate", "train")), run.table("evaluate", "trained-on")
    labels, weights = run.labels(after), after[WEIGHT].to_numpy()
    return {
        "before": {"n_rows": len(before), "n_positive": int(before.sum())},
        "after": {
            "n_rows": len(labels),
            "n_positive": int(labels.sum()),
            "n_made": int(np.sum(after[MADE].to_numpy())),
            "positive_weight_share": round(float(np.average(labels, weights=weights)), 6),
        },
    }
