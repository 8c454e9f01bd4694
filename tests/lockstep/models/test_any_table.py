"""The default network learns on tables of every kind, with no parameter touched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import roc_auc_score

from lockstep.bundle.scorer import Scorer
from lockstep.compression.convert import convert
from lockstep.data.encoding import Encoder
from lockstep.models import saving
from lockstep.models.calibration import fit_platt, fold
from lockstep.models.ensemble import train_ensemble
from lockstep.models.network import inference
from lockstep.models.scoring import logits, probabilities
from lockstep.models.training import Data, one_hot
from lockstep.models.unseen import average_unseen
from tasks._params import load_params
from tasks.train import TrainParams, plan_of
from tests.conftest import ROOT
from tests.lockstep.models.test_ensemble import Memory

Raw = dict[str, npt.NDArray[Any]]
Table = tuple[Raw, npt.NDArray[np.int_]]
PARAMS = load_params(TrainParams, ROOT / "params.yaml")
TABLES: dict[str, Callable[[np.random.Generator], Table]] = {}


def table(make: Callable[[np.random.Generator], Table]) -> Callable[[np.random.Generator], Table]:
    TABLES[make.__name__.strip("_")] = make
    return make


def labels(score: npt.NDArray[Any], share: float = 0.3) -> npt.NDArray[np.int_]:
    return (score > np.quantile(score, 1 - share)).astype(int)


@table
def _three_hundred_rows(rng: np.random.Generator) -> Table:
    x, c = rng.normal(size=300), rng.choice(list("abc"), 300).astype(object)
    return {"x": x, "c": c}, labels(x + (c == "a"))


@table
def _all_numbers(rng: np.random.Generator) -> Table:
    x = rng.normal(size=(2000, 5))
    return {f"x{i}": x[:, i] for i in range(5)}, labels(x[:, 0] * x[:, 1])


@table
def _all_categories(rng: np.random.Generator) -> Table:
    c = rng.choice(list("abcdefgh"), (2000, 4)).astype(object)
    return {f"c{i}": c[:, i] for i in range(4)}, ((c[:, 0] < "d") ^ (c[:, 1] < "d")).astype(int)


@table
def _a_thousand_columns(rng: np.random.Generator) -> Table:
    x = rng.normal(size=(600, 1000))
    return {f"x{i}": x[:, i] for i in range(1000)}, labels(x[:, :20].sum(axis=1))


@table
def _a_hundred_thousand_categories(rng: np.random.Generator) -> Table:
    codes = rng.integers(100_000, size=4000)
    return {"id": codes.astype(str).astype(object), "x": rng.normal(size=4000) + (codes < 30_000)}, (
        codes < 30_000
    ).astype(int)


@table
def _heavy_tails(rng: np.random.Generator) -> Table:
    x = rng.standard_cauchy(size=(2000, 2))
    return {"x": x[:, 0], "y": np.exp(np.clip(x[:, 1], -300, 300))}, labels(
        np.sign(x[:, 0]) * np.log1p(np.abs(x[:, 0]))
    )


@table
def _spikes(rng: np.random.Generator) -> Table:
    x = np.where(rng.random(2000) < 0.9, 0.0, rng.choice([1000.0, 1001.0, 7688.0], 2000))
    return {"x": x}, ((x == 1001.0) | (rng.random(2000) < 0.05)).astype(int)


@table
def _mostly_missing(rng: np.random.Generator) -> Table:
    x = rng.normal(size=(3000, 6))
    score = x.sum(axis=1)
    x[rng.random(x.shape) < 0.9] = np.nan
    nothing = np.full(3000, None, dtype=object)
    return {**{f"x{i}": x[:, i] for i in range(6)}, "nothing": nothing, "nan": np.full(3000, np.nan)}, labels(
        score
    )


@table
def _constants_and_few_positives(rng: np.random.Generator) -> Table:
    x = rng.normal(size=5000)
    return {"x": x, "one": np.ones(5000), "same": np.full(5000, "a", dtype=object)}, labels(x, 0.004)


def learn(
    raw: Raw, y: npt.NDArray[np.int_], n_classes: int, params: TrainParams = PARAMS
) -> tuple[Encoder, Any, Any, Raw, npt.NDArray[np.int_]]:
    """Train on half of the rows, calibrate on a quarter; gives network, model and the last quarter."""
    order = np.random.default_rng(5).permutation(len(y))
    ends = np.split(order, [len(y) // 2, 3 * len(y) // 4])
    parts = [({name: column[rows] for name, column in raw.items()}, y[rows]) for rows in ends]
    encoder = Encoder.fit(parts[0][0], PARAMS.bins, PARAMS.min_value_rows)
    data, held_out = (
        Data(encoder.encode(rows), one_hot(targets, n_classes), np.ones(len(targets), dtype=np.float32))
        for rows, targets in parts[:2]
    )
    network, schedule, ensemble = plan_of(encoder, params, len(data.targets))
    network = replace(network, n_outputs=1 if n_classes == 2 else n_classes)
    # Fewer than params.yaml has, for the time of the tests.
    schedule = replace(schedule, min_steps=300)
    trained = train_ensemble(network, schedule, ensemble, data, held_out, Memory(), lambda epoch: None)
    average_unseen(trained.model, data.features.codes, encoder.code_starts)
    fold(trained.model, fit_platt(logits(inference(trained.model), held_out.features), parts[1][1]))
    return encoder, trained, data, *parts[2]


@cache
def learned(name: str) -> tuple[Encoder, Any, Any, Raw, npt.NDArray[np.int_]]:
    """What was learned of a table of `TABLES`."""
    return learn(*TABLES[name](np.random.default_rng(3)), 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_it_learns(name: str) -> None:
    encoder, trained, data, rows, truth = learned(name)
    answers = probabilities(logits(inference(trained.model), encoder.encode(rows)))[:, 0]
    assert np.isfinite(answers).all()
    assert roc_auc_score(truth, answers) > 0.6
    assert answers.mean() == pytest.approx(truth.mean(), abs=0.1)
    content = saving.to_bytes(trained.network, trained.model)
    shipped = convert(content, data.features.take(slice(50)))["float32"]
    np.testing.assert_allclose(Scorer(encoder, shipped).probability(rows), answers, atol=1e-4)


@pytest.mark.slow
def test_it_learns_several_classes_of_which_one_is_rare() -> None:
    rng = np.random.default_rng(4)
    y = rng.choice(5, 3000, p=[0.4, 0.3, 0.2, 0.08, 0.02])
    raw = {
        "x": y + rng.normal(size=3000) * 0.5,
        "c": np.where(rng.random(3000) < 0.5, "a", y.astype(str)).astype(object),
    }
    # Two wide members, for the time of the tests.
    encoder, trained, _, rows, truth = learn(raw, y, 5, PARAMS.model_copy(update={"ample_rows": 0}))
    answers = probabilities(logits(inference(trained.model), encoder.encode(rows)))
    np.testing.assert_allclose(answers.sum(axis=1), 1.0, atol=1e-6)
    assert np.mean(answers.argmax(axis=1) == truth) > 0.75
    np.testing.assert_allclose(answers.mean(axis=0), np.bincount(truth) / len(truth), atol=0.05)


@pytest.mark.slow
def test_a_code_that_no_training_row_had_is_an_average_one() -> None:
    encoder, trained, data, _, _ = learned("three_hundred_rows")
    layer = trained.model.get_layer("member_0_embedding")
    (embeddings,) = layer.get_weights()
    start = encoder.code_starts[-1]
    counts = np.bincount(data.features.codes[:, -1] - start, minlength=5)
    assert counts[:2].tolist() == [0, 0]
    mean = np.average(embeddings[start : start + 5], axis=0, weights=counts)
    np.testing.assert_allclose(embeddings[start : start + 2], [mean, mean], atol=1e-6)
