"""The model comparison: same rows for all, budgets that end, figures as scikit-learn counts them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as reference

from benchmarks import _report, model_quality
from benchmarks._comparison import difference, draws, metrics
from benchmarks._search import CLOCKS, Allowed, OutOfTime
from benchmarks._tables import TABLES
from benchmarks.peers import learner

RNG = np.random.default_rng(0)


def probabilities(target: np.ndarray, n_classes: int, noise: float) -> np.ndarray:
    scores = (target[:, None] == np.arange(n_classes)) + RNG.normal(0, noise, (len(target), n_classes))
    # Rounded, so that some are tied.
    raw = np.exp(scores.round(1))
    return raw / raw.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_figures_are_those_of_scikit_learn(n_classes: int) -> None:
    target = RNG.integers(0, n_classes, 300)
    probability = probabilities(target, n_classes, 1.0)
    hits = target[:, None] == np.arange(n_classes)
    ranked = [1] if n_classes == 2 else range(n_classes)
    expected = {
        "roc_auc": np.mean([reference.roc_auc_score(hits[:, k], probability[:, k]) for k in ranked]),
        "average_precision": np.mean(
            [reference.average_precision_score(hits[:, k], probability[:, k]) for k in ranked]
        ),
        "log_loss": reference.log_loss(target, probability),
        "brier": np.mean(((probability - hits)[:, ranked] ** 2).sum(axis=1)),
    }
    assert metrics(target, probability) == pytest.approx(expected)


def test_differences_are_paired() -> None:
    target = RNG.integers(0, 2, 400)
    good, same, bad = (probabilities(target, 2, noise) for noise in (1.0, 1.0, 3.0))
    same = good * 0.999 + 0.0005
    ours, twin, theirs = (
        {"metrics": metrics(target, p), "draws": draws([(target, p)])} for p in (good, same, bad)
    )
    gain, low, high = difference(ours, twin, "average_precision")
    # Of unpaired draws the interval of two equal rankings would be as wide as that of the figure itself.
    assert (gain, low, high) == pytest.approx((0, 0, 0), abs=1e-12)
    for metric in ("roc_auc", "average_precision", "log_loss", "brier"):
        gain, low, high = difference(ours, theirs, metric)
        assert 0 < low < gain < high


def test_small_tables_are_tested_on_each_row_once() -> None:
    for name in ("german_credit", "breast_cancer", "wine"):
        table = TABLES[name]()
        tested = np.concatenate([fold.test for fold in table.folds])
        assert sorted(tested) == list(range(len(table.rows.target)))
        for fold in table.folds:
            parts = [fold.train, fold.validation, fold.test]
            assert sorted(np.concatenate(parts)) == list(range(len(table.rows.target)))
            assert all(set(table.rows.target[part]) == set(table.rows.target) for part in parts)


def test_a_trial_that_overruns_is_stopped() -> None:
    def work() -> None:
        while True:
            pass

    with pytest.raises(OutOfTime), CLOCKS["cpu"].limit(0.05):
        work()


@pytest.mark.slow
def test_results_are_kept_and_reported(tmp_path: Path) -> None:
    names = ("hist_gradient_boosting", "logistic_regression")
    model_quality.run(["breast_cancer"], names, 0.02, "cpu", tmp_path)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json")}
    assert [path.stem for path in sorted(files)] == list(names)
    model_quality.run(["breast_cancer"], names, 0.02, "cpu", tmp_path)
    assert {path: path.stat().st_mtime_ns for path in files} == files
    # Differences are taken from Lockstep's figures: one learner stands in for it here.
    shutil.copy(tmp_path / "breast_cancer" / f"{names[0]}.json", tmp_path / "breast_cancer" / "lockstep.json")
    report = _report.markdown(tmp_path)
    assert "**breast_cancer** (569 test rows; search of 0.02 cpu minutes a learner)" in report
    twin = next(line for line in report.splitlines() if line.startswith("| HistGradientBoosting, default"))
    assert twin.count("(+0.0000, +0.0000 to +0.0000)") == 4


@pytest.mark.slow
def test_lockstep_is_trained_by_its_own_stage() -> None:
    table = TABLES["breast_cancer"]()
    fold = table.folds[0]
    config = {"epochs": 3, "min_steps": 100, "hidden": [16], "batch_size": 32, "ample_rows": 0}
    rows = table.part(fold.train), table.part(fold.validation)
    with pytest.raises(OutOfTime):
        learner("lockstep").fit(*rows, config, Allowed(0, lambda: 0.0))
    predict = learner("lockstep").fit(*rows, config, Allowed(60, lambda: 0.0))
    test = table.part(fold.test)
    probability = predict(test)
    assert probability.shape == (len(test.target), 2)
    assert metrics(test.target, probability)["roc_auc"] > 0.9
