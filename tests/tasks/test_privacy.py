"""What `train` promises with differential privacy, what it refuses, and where its secret comes from."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from lockstep.errors import ParameterError
from lockstep.models.differential_privacy import epsilon
from lockstep.models.training import Schedule
from tasks import train
from tasks._params import parse_params
from tasks._privacy import privacy_of, promise_of, secret_of
from tests.conftest import ROOT
from tests.lockstep.bundle.candidate import vault


def params(**changes: Any) -> train.TrainParams:
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    document["train"].update(normalization="layer", dp_noise_multiplier=1.0)
    for name, value in changes.items():
        section, key = name.split("__")
        document[section][key] = value
    return parse_params(train.TrainParams, document, "params.yaml")


def test_it_is_off_by_default() -> None:
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    default = parse_params(train.TrainParams, document, "params.yaml")
    assert privacy_of(default, 1) is None
    assert promise_of(None, 1e-6, train.schedule_of(default), 1000) is None


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"train__normalization": "batch"}, r"train\.normalization is 'batch'"),
        ({"train__precision": "bfloat16"}, r"train\.precision is 'bfloat16'"),
        ({"train__adversarial": 0.1}, r"train\.adversarial is 0\.1"),
        ({"train__ensemble": "bagging"}, r"train\.ensemble is 'bagging'"),
        ({"train__distilled": True}, r"train\.distilled is true"),
        ({"debias__method": "adversarial"}, r"debias\.method is 'adversarial'"),
        ({"debias__method": "reweighing"}, r"debias\.method is 'reweighing'"),
        ({"resample__method": "over"}, r"resample\.method is 'over'"),
    ],
)
def test_what_would_break_the_promise_is_refused_by_name(change: dict[str, Any], name: str) -> None:
    with pytest.raises(ParameterError, match=name):
        privacy_of(params(**change), 1)


@pytest.mark.parametrize(
    "change", [{}, {"train__ensemble": "none", "train__distilled": True}, {"debias__method": "correlation"}]
)
def test_what_keeps_it_is_taken(change: dict[str, Any]) -> None:
    found = privacy_of(params(**change), 7)
    assert found is not None
    assert (found.noise_multiplier, found.clip_norm, found.secret) == (1.0, 1.0, 7)
    with pytest.raises(ParameterError, match="needs a secret"):
        privacy_of(params(**change), None)


def test_epsilon_counts_every_planned_step() -> None:
    schedule = Schedule(epochs=10, batch_size=100, learning_rate=0.1, seed=1).resolved(5050)
    promise = promise_of(privacy_of(params(), 7), 1e-5, schedule, 5050)
    assert promise is not None
    assert promise["steps"] == 510
    assert promise["epsilon"] == epsilon(1.0, 100 / 5050, 510, 1e-5)
    assert promise["not_covered"]
    assert "secret" not in promise
    with pytest.raises(ParameterError, match=r"train\.dp_delta is 0\.001.*below 0\.0002"):
        promise_of(privacy_of(params(), 7), 1e-3, schedule, 5050)


def test_the_secret_follows_key_rows_and_parameters() -> None:
    ours, base = vault(), [b"rows", b"validation"]
    found = secret_of(ours, base, params())
    assert found == secret_of(ours, base, params())
    assert 0 <= found < 1 << 128
    others = [
        secret_of(ours, [b"rowz", b"validation"], params()),
        secret_of(ours, base, params(train__dp_noise_multiplier=2.0)),
        secret_of(ours, base[:1], params()),
    ]
    assert len({found, *others}) == 4
