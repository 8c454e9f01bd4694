"""A fold's figures come from rows that neither resampling, encoder, training nor calibration saw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tasks import _fold, debias, resample, train
from tasks._params import load_params
from tests.conftest import ROOT

N_FOLDS = 3


def rows() -> pa.Table:
    rng = np.random.default_rng(0)
    size, word = rng.integers(0, 60, 400), rng.choice(["a", "b"], 400)
    positive = rng.random(400) < 0.1 + 0.4 * (size > 40)
    return pa.table({"size": size, "word": word, "y": np.where(positive, "yes", "no")})


def seen(table: pa.Table) -> set[tuple[object, ...]]:
    return set(zip(table["size"].to_pylist(), table["word"].to_pylist(), strict=True))


@pytest.mark.slow
def test_no_row_of_a_fold_is_seen_before_it_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    table = rows()
    path = ROOT / "params.yaml"
    own = {"project": "p", "target": "y", "positive": "yes"}
    params = load_params(_fold.FoldParams, path).model_copy(update=own)
    mitigation = load_params(debias.DebiasParams, path).model_copy(update=own)
    resampling = load_params(resample.ResampleParams, path).model_copy(update={**own, "method": "over"})
    training = load_params(train.TrainParams, path).model_copy(
        update={**own, "epochs": 1, "min_steps": 0, "ensemble": "none", "batch_size": 64, "hidden": [8]}
    )
    fitted: list[tuple[pa.Table, pa.Table]] = []
    scored: list[pa.Table] = []

    def noting(function: Callable[..., Any], note: Callable[..., None]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            note(*arguments)
            return function(*arguments, **options)

        return call

    monkeypatch.setattr(train, "run", noting(train.run, lambda *a: fitted.append((a[0], a[1]))))
    monkeypatch.setattr(_fold, "score", noting(_fold.score, lambda _, held: scored.append(held)))
    reports = [
        _fold.run(table, fold, N_FOLDS, params, mitigation, resampling, training) for fold in range(N_FOLDS)
    ]
    for (training_rows, validation), held, report in zip(fitted, scored, reports, strict=True):
        assert not seen(held) & (seen(training_rows) | seen(validation))
        assert not seen(training_rows) & seen(validation)
        assert len(training_rows) >= report["n_train"]
        assert (len(validation), len(held)) == (report["n_validation"], report["n_scored"])
    assert sum(map(len, scored)) == len(table)
    assert set().union(*map(seen, scored)) == seen(table)
    assert reports[0] == _fold.run(table, 0, N_FOLDS, params, mitigation, resampling, training)
