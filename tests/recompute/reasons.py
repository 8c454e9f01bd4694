"""Explanations and alternatives: what counts for the model, and what simpler models would reach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from scipy.special import logit
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score
from sklearn.tree import DecisionTreeClassifier

from lockstep.bundle.scorer import Scorer
from tests.recompute.compare import About
from tests.recompute.figures import percentiles
from tests.recompute.run import Run

BACKGROUND = 16
SHIPS = "the one that ships"


def explanations(run: Run) -> tuple[dict[str, Any], dict[str, Any]]:
    """`explanations` in reports/evaluation.json, and its gate."""
    test, validation = run.table("evaluate", "test"), run.table("evaluate", "validation")
    rows = test.take(_explained(run, run.labels(test)))
    background = validation.take(run.drawn(len(validation), BACKGROUND))
    names = [column.name for column in run.encoder.columns]
    importance = _permutation_importance(run, rows, names)
    explained = rows.slice(0, run.evaluate["shap_rows"])
    values = [_shap(run, scorer, explained, background, names) for scorer in (run.shipped, run.floating)]
    means = [np.abs(of_model).mean(axis=0) for of_model in values]
    columns = {
        name: {
            "permutation_importance": About(importance[name], 1e-5),
            "mean_absolute_shap": About(float(means[0][i]), 1e-4),
            "mean_absolute_shap_of_the_float_model": About(float(means[1][i]), 1e-4),
        }
        for i, name in enumerate(names)
    }
    counts = {"n_rows": len(rows), "n_rows_with_shap_values": len(explained), "n_background": len(background)}
    draws = np.random.default_rng(run.seed).integers(len(explained), size=(run.samples, len(explained)))
    ranked = [
        spearmanr(*(np.abs(of_model[draw]).mean(axis=0) for of_model in values)).statistic for draw in draws
    ]
    gate = {
        "figure": About(float(spearmanr(*means).statistic), 1e-3),
        "interval": [About(bound, 5e-3) for bound in percentiles(ranked)],
        "n_rows": len(explained),
    }
    return {**counts, "columns": columns}, gate


def _explained(run: Run, labels: Any) -> Any:
    """Numbers of the rows: as drawn, but ten of each class first where one would hardly be there."""
    order, wanted = run.drawn(len(labels), len(labels)), run.evaluate["explained_rows"]
    least = max(min(10, wanted // 2), 1)
    places = [np.flatnonzero(labels[order] == code)[:least] for code in (0, 1)]
    if max(of_class.max() for of_class in places) < wanted:
        return order[:wanted]
    first = np.concatenate(places)
    return np.concatenate([order[first], np.delete(order, first)])[: max(wanted, len(first))]


def _permutation_importance(run: Run, rows: pa.Table, names: list[str]) -> dict[str, float]:
    """Average precision that is lost with each raw column dealt out anew."""
    raw, labels, rng = run.raw(rows), run.labels(rows), np.random.default_rng(run.seed)
    whole = average_precision_score(labels, run.shipped.probability(raw))
    found = {}
    for name in names:
        dealt = {**raw, name: raw[name][rng.permutation(len(labels))]}
        found[name] = float(whole - average_precision_score(labels, run.shipped.probability(dealt)))
    return found


def _shap(run: Run, scorer: Scorer, rows: pa.Table, background: pa.Table, names: list[str]) -> Any:
    """SHAP values of the log-odds, each column of raw values taken from the row that the package names."""
    import numba

    before, numba.config.DISABLE_JIT = numba.config.DISABLE_JIT, True
    try:
        import shap
    finally:
        numba.config.DISABLE_JIT = before
    parts = [run.raw(part) for part in (rows, background)]
    raw = {name: np.concatenate([part[name] for part in parts]) for name in names}

    def log_odds(numbers: Any) -> Any:
        mixed = {name: raw[name][numbers[:, i].astype(int)] for i, name in enumerate(names)}
        return logit(np.clip(scorer.probability(mixed), 1e-9, 1 - 1e-9))

    numbers = np.repeat(np.arange(len(rows) + len(background), dtype=float)[:, None], len(names), axis=1)
    masker = shap.maskers.Independent(numbers[len(rows) :], max_samples=len(background))
    explainer = shap.PermutationExplainer(log_odds, masker, seed=run.seed)
    return np.asarray(explainer(numbers[: len(rows)], max_evals=2 * len(names) + 1, silent=True).values)


def alternatives(run: Run) -> list[dict[str, Any]]:
    """`alternatives` in reports/evaluation.json."""
    train, test = run.table("evaluate", "train"), run.table("evaluate", "test")
    known = train.take(run.drawn(len(train), 200_000))
    x, y, asked, labels = run.indicators(known), run.labels(known), run.indicators(test), run.labels(test)
    fitted = {
        "logistic regression": LogisticRegression(max_iter=300),
        "decision tree of depth 4": DecisionTreeClassifier(
            max_depth=4, min_samples_leaf=20, random_state=run.seed
        ),
    }
    answers = {SHIPS: run.predictions["probability"].to_numpy()}
    answers |= {name: model.fit(x, y).predict_proba(asked)[:, 1] for name, model in fitted.items()}
    strata, rng = [np.flatnonzero(labels == code) for code in (0, 1)], np.random.default_rng(run.seed)
    areas: dict[str, Any] = {
        name: [average_precision_score(labels, found)] for name, found in answers.items()
    }
    for _ in range(run.samples):
        rows = np.concatenate(
            [of_class[rng.integers(0, len(of_class), len(of_class))] for of_class in strata]
        )
        for name, probability in answers.items():
            areas[name].append(average_precision_score(labels[rows], probability[rows]))
    prices = {name: np.array(areas[SHIPS]) - np.array(found) for name, found in areas.items()}
    return [
        {
            "model": name,
            "roc_auc": float(roc_auc_score(labels, probability)),
            "average_precision": float(average_precision_score(labels, probability)),
            "brier": float(brier_score_loss(labels, probability)),
            "price_in_average_precision": float(prices[name][0]),
            "price_interval": None if name == SHIPS else percentiles(prices[name][1:]),
        }
        for name, probability in answers.items()
    ]
