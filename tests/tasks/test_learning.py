"""A network of a learning curve learns from its share alone, and is judged on validation rows that chose nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tasks import _learning, debias, resample, train
from tasks._params import load_params
from tests.conftest import ROOT

RNG = np.random.default_rng(0)


def rows(n_rows: int) -> pa.Table:
    size, word = RNG.integers(0, 2000, n_rows), RNG.choice(["a", "b"], n_rows)
    positive = RNG.random(n_rows) < 0.1 + 0.6 * (size > 1000)
    return pa.table({"size": size, "word": word, "y": np.where(positive, "yes", "no")})


@pytest.mark.slow
def test_it_learns_from_its_share_and_is_judged_on_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    path = ROOT / "params.yaml"
    own = {"project": "p", "target": "y", "positive": "yes"}
    small = {"epochs": 1, "min_steps": 0, "ensemble": "none", "batch_size": 64, "hidden": [8]}
    params = load_params(_learning.LearningParams, path).model_copy(update={**own, "bootstrap_samples": 100})
    steps = [
        load_params(model, path).model_copy(update={**own, **changes})
        for model, changes in (
            (debias.DebiasParams, {"method": "none", "sensitive": []}),
            (resample.ResampleParams, {}),
            (train.TrainParams, small),
        )
    ]
    table, validation = rows(600), rows(300)
    seen: list[set[Any]] = []
    learn = _learning.learn

    def noting(learned: pa.Table, chooses: pa.Table, *rest: Any) -> Any:
        parts = [
            set(zip(part["size"].to_pylist(), part["word"].to_pylist(), strict=True))
            for part in (learned, chooses)
        ]
        assert not parts[0] & parts[1]
        seen.append(parts[0] | parts[1])
        return learn(learned, chooses, *rest)

    monkeypatch.setattr(_learning, "learn", noting)
    found = [_learning.run(table, validation, share, 0, params, *steps) for share in (0.25, 0.5, 1.0)]
    assert seen[0] < seen[1] < seen[2]
    assert [report["n_train"] for report in found] == pytest.approx([135, 270, 540], abs=12)
    for report in found:
        assert report["n_validation"] == 300
        assert len(report["average_precision"]) == 101
        assert all(0.0 < figure <= 1.0 for figure in report["average_precision"])
