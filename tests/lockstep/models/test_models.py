"""Networks train, are saved and converted the same way each time."""

from __future__ import annotations

import numpy as np
import pytest

from lockstep import progress
from lockstep.bundle.scorer import Scorer
from lockstep.compression.convert import VARIANTS, convert, sample_rows
from lockstep.data.encoding import Encoder
from lockstep.errors import ModelError
from lockstep.models import saving
from lockstep.models.calibration import fit_platt, fold
from lockstep.models.checkpoints import State
from lockstep.models.network import Network, build, inference
from lockstep.models.training import Data, Schedule, logits, train
from lockstep.progress import Progress

RNG = np.random.default_rng(0)
RAW = {"x": RNG.normal(size=600), "c": RNG.choice(list("abc"), 600).astype(object)}
LABELS = (RAW["x"] + (RAW["c"] == "a")) > 1
ENCODER = Encoder.fit(RAW, bins=6, min_value_rows=5)
DATA = Data(ENCODER.encode(RAW), LABELS, np.ones(600, dtype=np.float32))
NETWORK = Network(ENCODER.n_codes, 2, ENCODER.numeric_width, (16,), 4, 0.1, 0.1, True, 1e-4)
SCHEDULE = Schedule(3, 64, 0.01, 0.1, 1e-3, 1.0, 2, 5)


@pytest.fixture(scope="module")
def trained() -> bytes:
    return saving.to_bytes(NETWORK, train(NETWORK, SCHEDULE, DATA, DATA, lambda state: None).model)


def test_two_trainings_give_the_same_bytes(trained: bytes) -> None:
    seen: list[State] = []
    again = train(NETWORK, SCHEDULE, DATA, DATA, seen.append)
    assert saving.to_bytes(NETWORK, again.model) == trained
    assert [len(state.curve) for state in seen] == [1, 2, 3]
    best = max(again.curve, key=lambda e: e.val_average_precision)
    assert again.best_epoch == best.epoch


def test_training_stops_when_validation_no_longer_improves() -> None:
    hopeless = Data(DATA.features, RNG.permutation(LABELS), DATA.weights)
    schedule = Schedule(40, 64, 0.01, 0.1, 1e-3, 1.0, 2, 5)
    result = train(NETWORK, schedule, DATA, hopeless, lambda state: None)
    assert len(result.curve) == result.best_epoch + 2 < 40


def test_saved_weights_come_back(trained: bytes) -> None:
    network, model = saving.from_bytes(trained)
    assert network == NETWORK
    assert saving.to_bytes(network, model) == trained


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x04K\x01."])
def test_what_is_no_network_is_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match="Run the stage `train` again"):
        saving.from_bytes(content)


def test_calibration_undoes_a_shift_and_is_folded_exactly(trained: bytes) -> None:
    _, model = saving.from_bytes(trained)
    before = logits(inference(model), DATA.features)
    slope, intercept = fit_platt(before, LABELS)
    fold(model, slope, intercept)
    after = logits(inference(model), DATA.features)
    np.testing.assert_allclose(after, slope * before + intercept, atol=1e-4)
    probability = 1 / (1 + np.exp(-after))
    assert probability.mean() == pytest.approx(LABELS.mean(), abs=1e-3)


def test_calibration_never_turns_a_ranking_around() -> None:
    assert fit_platt(np.where(LABELS, -1.0, 1.0) + RNG.normal(size=600), LABELS) == (1.0, 0.0)


def test_every_variant_answers_what_the_network_answers(
    trained: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, model = saving.from_bytes(trained)
    expected = 1 / (1 + np.exp(-logits(inference(model), DATA.features)))
    steps: list[Progress] = []
    monkeypatch.setattr(progress, "_sink", steps.append)
    variants = convert(trained, sample_rows(DATA.features, 100, 1))
    assert list(variants) == list(VARIANTS)
    assert [(step.done, step.note) for step in steps] == list(enumerate(VARIANTS, 1))
    tolerance = {"float32": 1e-5, "int8_dynamic": 0.05, "int8": 0.1}
    for name, content in variants.items():
        scores = Scorer(ENCODER, content).probability(RAW)
        assert np.abs(scores - expected).max() < tolerance[name], name
    assert convert(trained, sample_rows(DATA.features, 100, 1)) == variants


def test_a_network_the_converter_cannot_read_is_an_error() -> None:
    with pytest.raises(ModelError, match="refuses the network"):
        convert(b"nonsense", DATA.features)


def test_all_category_tables_have_no_numeric_input() -> None:
    model = build(Network(5, 2, 0, (4,), 2, 0.0, 0.0, False, 0.0))
    assert [tensor.name for tensor in model.inputs] == ["codes"]


def test_a_model_of_another_encoder_is_refused(trained: bytes) -> None:
    other = Encoder.fit({"c": RAW["c"]}, bins=2, min_value_rows=1)
    model = convert(trained, sample_rows(DATA.features, 10, 1))["float32"]
    with pytest.raises(ModelError, match="different trainings"):
        Scorer(other, model)
    with pytest.raises(ModelError, match="no LiteRT flatbuffer"):
        Scorer(ENCODER, b"nonsense")
