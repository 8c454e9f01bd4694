"""LiRA with networks that are really trained finds whom a network learned by heart."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lockstep.data import columns
from lockstep.data.encoding import Encoder
from lockstep.data.features import Features
from lockstep.errors import DataError
from lockstep.models import saving
from lockstep.models.network import inference
from lockstep.models.scoring import logits, probabilities
from tasks import _lira, _shadow, debias, evaluate, resample, train
from tasks._fold import NoCheckpoint
from tasks._membership import attack_membership
from tasks._params import load_params
from tests.conftest import ROOT, arguments, stages
from tests.lockstep.bundle.candidate import vault
from tests.tasks.test_evaluate import EVALUATE

RNG = np.random.default_rng(7)
SIZE = 900
X = RNG.normal(size=(SIZE, 6))
TABLE = pa.table(
    {
        **{f"x{i}": X[:, i] for i in range(6)},
        "y": np.where(X[:, 0] + RNG.normal(0, 2, SIZE) > 0.3, "yes", "no"),
        columns.audit("sex"): RNG.choice(["f", "m"], SIZE),
    }
)
TRAIN, VALIDATION, TEST = TABLE.slice(0, 400), TABLE.slice(400, 100), TABLE.slice(500)
OWN = {"target": "y", "positive": "yes", "sensitive": ["sex"]}
TRAINING = load_params(train.TrainParams, ROOT / "params.yaml").model_copy(
    update=OWN | {"epochs": 40, "patience": 40, "min_steps": 0, "hidden": [64], "bins": 16, "ample_rows": 0}
    | {"learning_rate": 0.02}
    | {"dropout": 0.0, "embedding_dropout": 0.0, "ensemble": "none", "weight_decay": 0.0, "min_gain": -math.inf}
)  # fmt: skip
MITIGATION = load_params(debias.DebiasParams, ROOT / "params.yaml").model_copy(
    update={**OWN, "method": "none", "split_column": None}
)
RESAMPLING = load_params(resample.ResampleParams, ROOT / "params.yaml").model_copy(update=OWN)


class Network:
    """A trained network as `evaluate` takes the model that ships."""

    def __init__(self, trained: train.Trained) -> None:
        self.encoder = Encoder.from_json(trained.encoder)
        self._call = inference(saving.from_bytes(trained.network)[1])

    def score(self, features: Features) -> Any:
        return probabilities(logits(self._call, features))[:, 0]

    def probability(self, raw: Any) -> Any:
        return self.score(self.encoder.encode(raw))


def inputs(scorer: Any, **changes: Any) -> evaluate.Inputs:
    params = EVALUATE.model_copy(
        update={"gates": EVALUATE.gates.model_copy(update={"membership_inference": 0.2}), **changes}
    )
    return evaluate.Inputs(
        params=params, vault=vault(), scorer=scorer, reference=scorer, train=TRAIN, trained_on=TRAIN,
        validation=VALIDATION, test=TEST, public={"sex": ["f", "m"]}, network=b"", content=(b"encoder", b"model"),
    )  # fmt: skip


def noisy(n_rows: int) -> pa.Table:
    """Rows of which one in seven has the wrong label."""
    x, wrong = RNG.normal(size=(n_rows, 6)), RNG.random(n_rows) < 0.15
    return pa.table(
        {
            **{f"x{i}": x[:, i] for i in range(6)},
            "y": np.where((x[:, 0] > 0.3) ^ wrong, "yes", "no"),
            columns.audit("sex"): RNG.choice(["f", "m"], n_rows),
        }
    )


MEMORISING = {"hidden": [256], "epochs": 30, "patience": 30, "learning_rate": 0.01}
REGULARISED = {"epochs": 12, "patience": 4, "learning_rate": 0.003, "dropout": 0.3, "embedding_dropout": 0.2,
               "weight_decay": 0.1, "min_gain": 0.0, "ensemble": "joint", "ample_rows": 100_000}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "verdict"), [(MEMORISING, "fail"), (REGULARISED, "pass")])
def test_the_gate_tells_a_network_that_memorises_from_one_that_does_not(
    changes: dict[str, Any], verdict: str
) -> None:
    learned, validation, test = noisy(1000), noisy(400), noisy(1000)
    training = TRAINING.model_copy(update=changes)
    trained = train.run(resample.run(learned, RESAMPLING).train, validation, training, NoCheckpoint())
    found = attack_membership(
        Network(trained),  # type: ignore[arg-type]
        learned,
        validation,
        test,
        {},
        EVALUATE.model_copy(update={"attack_false_positive_rate": 0.02}),
        {"membership_inference_auc": 0.6},
    )
    [gate] = found.gates
    assert gate.verdict == verdict


def test_its_arguments_are_told_from_those_of_the_stage() -> None:
    of_evaluate = arguments(stages(ROOT)["evaluate"])
    own, of_stage = _shadow.arguments_of([*of_evaluate, "--shadow", "1", "--scores", "scores.sealed"])
    assert (own.shadow, own.scores) == (1, Path("scores.sealed"))
    assert of_stage == evaluate.arguments_of(of_evaluate)


class Unscored:
    encoder = Encoder.fit({f"x{i}": TRAIN[f"x{i}"].to_numpy() for i in range(6)}, 4, 5)


def test_rows_to_attack_stand_in_the_pool() -> None:
    pool = _shadow.pool_of(inputs(Unscored()))
    assert len(pool.rows) == 800
    attacked = pa.concat_tables([pool.members.rows, pool.others.rows])
    assert pool.rows.take(pool.numbers)["x0"].to_pylist() == attacked["x0"].to_pylist()
    assert set(pool.members.rows["x0"].to_pylist()) <= set(TRAIN["x0"].to_pylist())
    with pytest.raises(DataError, match=r"too few .* false positive rate of 0\.001"):
        _shadow.pool_of(inputs(Unscored(), attack_false_positive_rate=0.001))


@pytest.mark.slow
def test_it_finds_whom_a_network_learned_by_heart() -> None:
    learned = resample.run(TRAIN, RESAMPLING).train
    shipped = inputs(Network(train.run(learned, VALIDATION, TRAINING, NoCheckpoint())))
    pool = _shadow.pool_of(shipped)
    networks = np.array(
        [_shadow.run(pool, VALIDATION, i, MITIGATION, RESAMPLING, TRAINING, secret=1) for i in range(2)]
    )
    assert (np.isnan(networks).sum(axis=0) == 1).all()
    report = _lira.run(shipped, networks)
    assert report["attack"]["roc_auc"] > 0.6
    assert report["attack"]["interval"][0] > 0.1
    assert report["verdict"] == "fail"
    # Thresholds of groups are a part of the model, and of its name.
    grouped = inputs(shipped.scorer, mitigation="thresholds", min_group_rows=10, min_group_positives=2)
    rule = evaluate.rule_of(grouped)
    assert rule.content()
    assert _lira.run(grouped, networks)["candidate"] == grouped.candidate(rule) != report["candidate"]
