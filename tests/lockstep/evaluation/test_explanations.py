"""Explanations name what a model uses, add up to what it says, and agree with independent calculations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import expit, logit
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, roc_auc_score

from lockstep.data.encoding import Encoder
from lockstep.data.features import Features
from lockstep.data.labels import Labels
from lockstep.evaluation.alternatives import DEPTH, alternatives
from lockstep.evaluation.explanations import (
    Pool,
    agreement,
    mean_absolute,
    permutation_importance,
    shap_values,
)
from tasks._explanations import ExplanationParams, drawn, drawn_of_each_class, explain

RNG = np.random.default_rng(5)
SIZE = 400
TABLE: dict[str, Any] = {
    "age": np.where(RNG.random(SIZE) < 0.1, np.nan, RNG.normal(40, 9, SIZE)),
    "job": np.array(["clerk", "cook", "smith", None], dtype=object)[RNG.integers(4, size=SIZE)],
    "noise": RNG.normal(0, 1, SIZE),
}
LABELS = RNG.random(SIZE) < expit(
    (np.nan_to_num(TABLE["age"], nan=40) - 40) / 3 + 2 * (TABLE["job"] == "cook") - 1
)
ENCODER = Encoder.fit(TABLE, bins=8, min_value_rows=5)
POOL = Pool(ENCODER, TABLE)
ROWS, BACKGROUND = np.arange(60), np.arange(300, 308)


def model(age: float, job: float) -> Any:
    """A model of the encoded columns: it never looks at `noise`."""
    coded = [column.name for column in ENCODER.columns if column.coded]
    cook = ENCODER.code_starts[coded.index("job")] + 2 + ENCODER.columns[1].values.index("cook")
    width = ENCODER.columns[0].width

    def score(features: Features) -> Any:
        is_cook = features.codes[:, coded.index("job")] == cook
        return expit(age * features.numeric[:, :width].sum(axis=1).astype(float) + job * is_cook - 2)

    return score


def test_mixing_encoded_rows_is_encoding_mixed_rows() -> None:
    numbers = RNG.integers(SIZE, size=(50, 3))
    mixed = {name: values[numbers[:, i]] for i, (name, values) in enumerate(TABLE.items())}
    for ours, theirs in zip(POOL.mixed(numbers), ENCODER.encode(mixed), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_permutation_importance_is_what_average_precision_loses() -> None:
    score, rows = model(0.9, 2.0), np.arange(SIZE)
    found = permutation_importance(score, POOL, LABELS.astype(int), rows, seed=3)
    assert list(found) == list(TABLE)
    assert found["noise"] == 0.0
    order = np.random.default_rng(3).permutation(SIZE)
    permuted = score(ENCODER.encode({**TABLE, "age": TABLE["age"][order]}))
    drop = average_precision_score(LABELS, score(ENCODER.encode(TABLE))) - average_precision_score(
        LABELS, permuted
    )
    assert found["age"] == pytest.approx(drop, abs=1e-12)
    assert found["age"] > 0.05


def test_shap_values_add_up_to_the_log_odds() -> None:
    score = model(0.9, 2.0)
    values, base = shap_values(score, POOL, ROWS, BACKGROUND, seed=1)
    assert values.shape == (60, 3)
    np.testing.assert_allclose(
        base + values.sum(axis=1), logit(score(POOL.mixed(POOL.rows(ROWS)))), atol=1e-9
    )
    np.testing.assert_allclose(values[:, 2], 0.0, atol=1e-12)
    again, _ = shap_values(score, POOL, ROWS, BACKGROUND, seed=1)
    np.testing.assert_array_equal(values, again)
    # The log-odds are additive, so each value is the column's own part less its mean over the background.
    parts = logit(model(0.0, 2.0)(POOL.mixed(POOL.rows(np.arange(SIZE))))) + 2
    np.testing.assert_allclose(values[:, 1], parts[ROWS] - parts[BACKGROUND].mean(), atol=1e-9)


def test_several_classes_are_explained_together() -> None:
    def score(features: Features) -> Any:
        first = model(0.9, 2.0)(features)
        return np.column_stack([first / 2, first / 2, 1 - first])

    values, base = shap_values(score, POOL, ROWS, BACKGROUND, seed=1)
    assert (values.shape, base.shape) == ((60, 3, 3), (60, 3))
    assert mean_absolute(values)[0] > mean_absolute(values)[2] == pytest.approx(0.0, abs=1e-12)


def test_agreement_is_spearmans() -> None:
    first, second = RNG.normal(size=(40, 6)) * np.arange(1, 7), RNG.normal(size=(40, 6)) * np.arange(1, 7)
    found = agreement(first, second, samples=200, seed=0)
    assert found is not None
    figure, (low, high) = found
    assert figure == pytest.approx(
        spearmanr(mean_absolute(first), mean_absolute(second)).statistic, abs=1e-12
    )
    assert low <= figure <= high
    assert agreement(first, first, 100, 0) == (pytest.approx(1.0), (pytest.approx(1.0), pytest.approx(1.0)))
    assert agreement(np.zeros((40, 6)), second, 100, 0) is None


def test_models_that_a_person_can_read_learn_from_the_training_rows_alone() -> None:
    encoded = ENCODER.encode(TABLE)
    halves = [
        Features(encoded.numeric[part], encoded.codes[part]) for part in (slice(0, 300), slice(300, None))
    ]
    found = alternatives(
        ENCODER, halves[0], Labels(LABELS[:300].astype(np.int64), ("no", "yes")), halves[1], seed=0
    )
    assert list(found) == ["logistic regression", f"decision tree of depth {DEPTH}"]
    for probability in found.values():
        assert roc_auc_score(LABELS[300:], probability) > 0.7


class Scored:
    """A scorer of the encoder of this module."""

    encoder = ENCODER

    def __init__(self, age: float, job: float) -> None:
        self.score = model(age, job)


@pytest.mark.parametrize(
    ("ships", "verdict"),
    [(Scored(0.9, 2.0), "pass"), (Scored(0.0, 2.0), "fail"), (Scored(0.0, 0.0), "insufficient evidence")],
)
def test_a_model_with_other_reasons_than_the_float_model_fails_the_gate(ships: Any, verdict: str) -> None:
    names = np.where(LABELS, "yes", "no")
    table = pa.table({**TABLE, "y": names})
    params = ExplanationParams(
        target="y", positive="yes", bootstrap_samples=100, explained_rows=120, shap_rows=30, seed=1
    )
    found = explain(ships, Scored(0.9, 0.1), table, table, table, params, threshold=0.9)  # type: ignore[arg-type]
    [gate] = found.gates
    assert (gate.gate, gate.verdict, gate.n_rows) == ("explanation_agreement", verdict, 30)
    assert found.report["explanations"]["n_rows"] == 120
    assert set(found.report["explanations"]["columns"]) == set(TABLE)
    ours, *others = found.report["alternatives"]
    assert ours["price_in_average_precision"] == 0.0
    assert ours["price_interval"] is None
    for other in others:
        price = ours["average_precision"] - other["average_precision"]
        assert other["price_in_average_precision"] == pytest.approx(price)
        low, high = other["price_interval"]
        assert low < price < high


def test_a_rare_class_is_among_the_rows_to_explain() -> None:
    codes = (np.arange(5000) % 500 == 0).astype(np.int64)
    assert codes[drawn(5000, 60, 1)].sum() < 2
    chosen = drawn_of_each_class(codes, 60, 1)
    assert (len(chosen), len(set(chosen)), codes[chosen].sum()) == (60, 60, 10)
    assert codes[drawn_of_each_class(codes, 4, 1)].tolist() == [0, 0, 1, 1]
    assert set(codes[drawn_of_each_class(codes, 1, 1)]) == {0, 1}
    common = np.arange(5000) % 2
    np.testing.assert_array_equal(drawn_of_each_class(common, 60, 1), drawn(5000, 60, 1))
    rare = np.where(np.arange(SIZE) == 7, "yes", "no")
    params = ExplanationParams(
        target="y", positive="yes", bootstrap_samples=100, explained_rows=40, shap_rows=5, seed=1
    )
    table, known = pa.table({**TABLE, "y": rare}), pa.table({**TABLE, "y": np.where(LABELS, "yes", "no")})
    scorer = Scored(0.9, 2.0)
    found = explain(scorer, scorer, known, table, table, params, threshold=0.9)  # type: ignore[arg-type]
    assert found.report["explanations"]["n_rows"] == 40


def test_a_model_of_several_classes_is_explained_too() -> None:
    grades = np.array(["high", "low", "middle"])
    encoder = Encoder(ENCODER.columns, classes=tuple(grades))
    known = np.where(LABELS, 0, 1 + (TABLE["noise"] > 0))

    class Three:
        def __init__(self) -> None:
            self.encoder = encoder

        def score(self, features: Features) -> Any:
            high = model(0.9, 2.0)(features)
            return np.column_stack([high, (1 - high) * 0.6, (1 - high) * 0.4])

    table = pa.table({**TABLE, "y": grades[known]})
    params = ExplanationParams(
        target="y", positive=None, bootstrap_samples=100, explained_rows=120, shap_rows=10, seed=1
    )
    found = explain(Three(), Three(), table, table, table, params, threshold=0.9)  # type: ignore[arg-type]
    assert [gate.verdict for gate in found.gates] == ["pass"]
    assert found.report["explanations"]["columns"]["age"]["permutation_importance"] > 0
    assert len(found.report["alternatives"]) == 3
    assert found.report["alternatives"][2]["average_precision"] > 0.4
