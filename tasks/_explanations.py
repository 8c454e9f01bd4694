"""What `evaluate` finds out about the reasons of the model that ships, and about models that could ship instead."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lockstep.bundle.scorer import Scorer
from lockstep.data.labels import Labels, labels_of
from lockstep.data.tables import raw_columns
from lockstep.evaluation.alternatives import alternatives
from lockstep.evaluation.bootstrap import percentiles, ranking_draws
from lockstep.evaluation.explanations import (
    Pool,
    agreement,
    mean_absolute,
    permutation_importance,
    shap_values,
)
from lockstep.evaluation.gates import Gate, judge
from lockstep.evaluation.metrics import ranking
from tasks._params import Params, key
from tasks._predictions import Answers

GATE = "explanation_agreement"
BACKGROUND = 16
"""Validation rows that a row to explain is compared with."""

_MAX_TRAIN_ROWS = 200_000
_SHIPS = "the one that ships"
_LEAST_OF_A_CLASS = 10
"""Rows to explain, where a class has so many: of one class alone there is no average precision to lose."""


class ExplanationParams(Params):
    """What of params.yaml the explanations read."""

    target: str = key("data.target")
    positive: str | None = key("data.positive")
    bootstrap_samples: int = key("evaluate.bootstrap_samples", ge=100)
    explained_rows: int = key("evaluate.explained_rows", ge=1)
    shap_rows: int = key("evaluate.shap_rows", ge=1)
    seed: int = key("evaluate.seed", ge=0)


@dataclass(frozen=True)
class Explained:
    """Parts of the evaluation's report by name, gates about them, and the answers by name that they follow from."""

    report: dict[str, Any] = field(default_factory=dict)
    gates: tuple[Gate, ...] = ()
    answers: dict[str, Answers] = field(default_factory=dict)


def explain(
    scorer: Scorer,
    reference: Scorer,
    train: pa.Table,
    validation: pa.Table,
    test: pa.Table,
    params: ExplanationParams,
    threshold: float,
) -> Explained:
    """Explain the model that ships, compare its reasons with the float model's, and fit models that explain themselves.

    Parameters
    ----------
    scorer, reference
        The model that ships, and the float model, with one encoder.
    train
        Training rows as no sampler touched them, for the alternatives.
    validation
        A few of its rows are the background of the SHAP values.
    test
        Rows to explain and to judge on.
    threshold
        Of the gate: the least rank correlation of both models' mean absolute SHAP values.
    """
    # One order of the test rows: the rows with SHAP values are among those whose columns are permuted.
    known = _labels(scorer, test, params).codes
    chosen = drawn_of_each_class(known, params.explained_rows, params.seed)
    pool = pool_of(scorer, test.take(chosen), validation, params.seed)
    rows, background = np.arange(len(chosen)), background_rows(pool, len(chosen))
    codes = known[chosen]
    importance = permutation_importance(scorer.score, pool, codes, rows, params.seed)
    shipped, floating = (
        shap_values(model.score, pool, rows[: params.shap_rows], background, params.seed)[0]
        for model in (scorer, reference)
    )
    columns = {
        name: {
            "permutation_importance": importance[name],
            "mean_absolute_shap": float(ours),
            "mean_absolute_shap_of_the_float_model": float(theirs),
        }
        for name, ours, theirs in zip(
            pool.names, mean_absolute(shipped), mean_absolute(floating), strict=True
        )
    }
    explanations = {
        "n_rows": len(rows),
        "n_rows_with_shap_values": len(shipped),
        "n_background": len(background),
        "columns": columns,
    }
    gates = () if len(pool.names) < 2 else (_gate(shipped, floating, params, threshold),)
    report = {"explanations": explanations, "alternatives": _alternatives(scorer, train, test, params)}
    return Explained(report, gates)


def pool_of(scorer: Scorer, rows: pa.Table, validation: pa.Table, seed: int) -> Pool:
    """The raw columns of `rows`, and behind them those of the background."""
    names = [column.name for column in scorer.encoder.inputs]
    background = validation.take(drawn(len(validation), BACKGROUND, seed))
    parts = [raw_columns(part, names) for part in (rows, background)]
    return Pool(scorer.encoder, {name: np.concatenate([part[name] for part in parts]) for name in names})


def background_rows(pool: Pool, n_rows: int) -> npt.NDArray[np.int_]:
    """Numbers of the rows of the background in the pool of `pool_of`, behind its `n_rows` rows."""
    return np.arange(n_rows, len(pool))


def _gate(
    shipped: npt.NDArray[np.float64],
    floating: npt.NDArray[np.float64],
    params: ExplanationParams,
    threshold: float,
) -> Gate:
    found = agreement(shipped, floating, params.bootstrap_samples, params.seed)
    if found is None:
        return Gate(GATE, "insufficient evidence", None, None, threshold, "at least", len(shipped))
    return judge(GATE, *found, threshold, "at least", len(shipped))


def _alternatives(
    scorer: Scorer, train: pa.Table, test: pa.Table, params: ExplanationParams
) -> list[dict[str, Any]]:
    names = [column.name for column in scorer.encoder.inputs]
    known = train.take(drawn(len(train), _MAX_TRAIN_ROWS, params.seed))
    asked = scorer.encoder.encode(raw_columns(test, names))
    codes = _labels(scorer, test, params).codes
    probabilities = {
        _SHIPS: scorer.score(asked),
        **alternatives(
            scorer.encoder,
            scorer.encoder.encode(raw_columns(known, names)),
            _labels(scorer, known, params),
            asked,
            params.seed,
        ),
    }
    draws = ranking_draws(codes, probabilities, params.bootstrap_samples, params.seed)
    areas = {name: of_model["average_precision"] for name, of_model in draws.items()}
    prices = {name: areas[_SHIPS] - area for name, area in areas.items()}
    return [
        {
            "model": name,
            **ranking(codes, probability),
            "price_in_average_precision": float(prices[name][0]),
            # It is the same as itself on every draw.
            "price_interval": None if name == _SHIPS else percentiles(prices[name][1:]),
        }
        for name, probability in probabilities.items()
    ]


def _labels(scorer: Scorer, table: pa.Table, params: ExplanationParams) -> Labels:
    return labels_of(table, params.target, params.positive, scorer.encoder.classes)


def drawn(n_rows: int, wanted: int, seed: int) -> npt.NDArray[np.int_]:
    """Numbers of `wanted` of `n_rows` rows, or of all where there are fewer: the same for the same seed."""
    return np.random.default_rng(seed).permutation(n_rows)[:wanted]


def drawn_of_each_class(codes: npt.NDArray[np.int64], wanted: int, seed: int) -> npt.NDArray[np.int_]:
    """As `drawn`, but where a class would have hardly a row there, some of each class come first.

    Parameters
    ----------
    codes
        Number of each row's class, shape (n,).
    """
    order, classes = drawn(len(codes), len(codes), seed), np.unique(codes)
    least = max(min(_LEAST_OF_A_CLASS, wanted // len(classes)), 1)
    firsts = [np.flatnonzero(codes[order] == code)[:least] for code in classes]
    if all((places < wanted).all() for places in firsts):
        return order[:wanted]
    first = np.concatenate(firsts)
    return np.concatenate([order[first], np.delete(order, first)])[: max(wanted, len(first))]
