"""Figures, intervals and curves of several classes, against scikit-learn on the same rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from lockstep.evaluation.bootstrap import intervals
from lockstep.evaluation.calibration import believed, expected_calibration_error, reliability
from lockstep.evaluation.delong import area_interval, influences
from lockstep.evaluation.metrics import curves, decided, metrics, metrics_by_class

RNG = np.random.default_rng(3)
CODES = RNG.choice(4, 3000, p=[0.6, 0.25, 0.1, 0.05])
LOGITS = RNG.normal(size=(3000, 4)) + 1.5 * np.eye(4)[CODES]
# Rounded, so that many probabilities are equal.
PROBABILITY = np.round(np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True), 2)
PROBABILITY /= PROBABILITY.sum(axis=1, keepdims=True)
BINARY = (CODES > 0).astype(int)
POSITIVE = 1 - PROBABILITY[:, 0]


def test_figures_agree_with_scikit_learn() -> None:
    decisions = PROBABILITY.argmax(axis=1)
    expected = {
        "brier": sk.brier_score_loss(CODES, PROBABILITY, scale_by_half=True),
        "log_loss": sk.log_loss(CODES, PROBABILITY),
        "accuracy": sk.accuracy_score(CODES, decisions),
        "error_rate": 1 - sk.accuracy_score(CODES, decisions),
    }
    for suffix, average in (("", "macro"), ("_weighted", "weighted")):
        hits = np.eye(4)[CODES]
        rates = sk.precision_recall_fscore_support(CODES, decisions, average=average)
        expected |= {
            f"roc_auc{suffix}": sk.roc_auc_score(CODES, PROBABILITY, multi_class="ovr", average=average),
            f"average_precision{suffix}": sk.average_precision_score(hits, PROBABILITY, average=average),
            **{f"{n}{suffix}": rate for n, rate in zip(("precision", "recall", "f1"), rates, strict=False)},
        }
    figures = metrics(CODES, PROBABILITY, None)
    assert figures.keys() == expected.keys() | {"ece"}
    for name, figure in expected.items():
        assert figures[name] == pytest.approx(figure, abs=1e-12), name


def test_figures_of_two_classes_agree_with_scikit_learn() -> None:
    decisions = POSITIVE >= 0.3
    expected = {
        "roc_auc": sk.roc_auc_score(BINARY, POSITIVE),
        "average_precision": sk.average_precision_score(BINARY, POSITIVE),
        "brier": sk.brier_score_loss(BINARY, POSITIVE),
        "log_loss": sk.log_loss(BINARY, POSITIVE),
        "precision": sk.precision_score(BINARY, decisions),
        "recall": sk.recall_score(BINARY, decisions),
        "f1": sk.f1_score(BINARY, decisions),
    }
    figures = metrics(BINARY, POSITIVE, 0.3)
    for name, figure in expected.items():
        assert figures[name] == pytest.approx(figure, abs=1e-12), name


def test_each_class_agrees_with_scikit_learn() -> None:
    found = metrics_by_class(CODES, PROBABILITY)
    rates = sk.precision_recall_fscore_support(CODES, decided(PROBABILITY))
    for name, expected in zip(("precision", "recall", "f1"), rates, strict=False):
        np.testing.assert_allclose(found[name], expected, atol=1e-12)
    for code in range(4):
        assert found["roc_auc"][code] == pytest.approx(
            sk.roc_auc_score(code == CODES, PROBABILITY[:, code]), abs=1e-12
        )


def test_calibration_agrees_with_scikit_learn() -> None:
    confidence, right = believed(CODES, PROBABILITY)
    points = reliability(confidence, right)
    shares, means = calibration_curve(right, confidence, n_bins=15, strategy="quantile")
    np.testing.assert_allclose([p["share"] for p in points], shares, atol=1e-12)
    np.testing.assert_allclose([p["mean_probability"] for p in points], means, atol=1e-12)
    assert all(p["low"] < p["share"] < p["high"] for p in points)
    rows = np.array([p["n_rows"] for p in points])
    assert expected_calibration_error(confidence, right) == pytest.approx(
        (rows * np.abs(shares - means)).sum() / rows.sum(), abs=1e-12
    )


def test_every_figure_of_several_classes_has_an_interval_that_holds_it() -> None:
    figures, by_class = metrics(CODES, PROBABILITY, None), metrics_by_class(CODES, PROBABILITY)
    found = intervals(CODES, PROBABILITY, None, 200, 1)
    assert found.overall.keys() == figures.keys()
    assert found.by_class.keys() == by_class.keys()
    for name, (low, high) in found.overall.items():
        assert low < figures[name] < high, name
    for name, of_classes in found.by_class.items():
        for figure, (low, high) in zip(by_class[name], of_classes, strict=True):
            assert low < figure < high, name


def test_a_class_that_no_row_holds_is_left_out_of_the_means() -> None:
    rows = CODES < 3
    figures = metrics(CODES[rows], PROBABILITY[rows], None)
    areas = [sk.roc_auc_score(CODES[rows] == c, PROBABILITY[rows, c]) for c in range(3)]
    assert figures["roc_auc"] == pytest.approx(np.mean(areas), abs=1e-12)
    overall = intervals(CODES[rows], PROBABILITY[rows], None, 200, 1).overall
    assert overall["roc_auc"][0] < figures["roc_auc"] < overall["roc_auc"][1]
    assert overall["average_precision"][0] < figures["average_precision"] < overall["average_precision"][1]


def test_mean_curves_run_up_and_down() -> None:
    drawn = curves(CODES, PROBABILITY, 101)
    rates = [point["true_positive_rate"] for point in drawn["roc"]]
    assert rates == sorted(rates)
    assert (drawn["roc"][-1]["true_positive_rate"], drawn["pr"][0]["precision"]) == (1.0, 1.0)
    area = np.trapezoid(rates, [point["false_positive_rate"] for point in drawn["roc"]])
    assert area == pytest.approx(metrics(CODES, PROBABILITY, None)["roc_auc"], abs=0.01)
    precision = np.mean([point["precision"] for point in drawn["pr"]])
    assert precision == pytest.approx(metrics(CODES, PROBABILITY, None)["average_precision"], abs=0.01)


def test_delong_agrees_with_its_definition_over_all_pairs() -> None:
    hits, score = BINARY[:400] == 1, POSITIVE[:400]
    above = (score[hits][:, None] > score[~hits]) + 0.5 * (score[hits][:, None] == score[~hits])
    m, n = above.shape
    variance = np.var(above.mean(axis=1), ddof=1) / m + np.var(above.mean(axis=0), ddof=1) / n
    area, influence = influences(hits, score)
    assert area == pytest.approx(above.mean(), abs=1e-12)
    low, high = area_interval(area, influence, hits.astype(int))
    margin = (np.log(high / (1 - high)) - np.log(low / (1 - low))) / 2
    assert margin == pytest.approx(1.959963984540054 * np.sqrt(variance) / (area * (1 - area)), rel=1e-9)


def test_delong_covers_the_truth_as_often_as_it_says() -> None:
    truth, covered = 0.7602499389065233, 0  # of two normal distributions one apart
    rng = np.random.default_rng(0)
    for _ in range(400):
        hits = np.arange(200) < 60
        low, high = area_interval(*influences(hits, rng.normal(hits.astype(float))), hits.astype(int))
        covered += low <= truth <= high
    assert 0.92 <= covered / 400 <= 0.975


def test_classes_wholly_apart_have_an_area_without_spread() -> None:
    hits = np.arange(20) < 5
    assert area_interval(*influences(hits, hits.astype(float)), hits.astype(int)) == (1.0, 1.0)
