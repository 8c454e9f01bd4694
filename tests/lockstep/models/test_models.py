"""Networks train, are saved and converted the same way each time."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from lockstep import progress
from lockstep.bundle.scorer import Scorer
from lockstep.compression.convert import VARIANTS, convert
from lockstep.data.encoding import Encoder
from lockstep.errors import ModelError
from lockstep.models import saving
from lockstep.models.calibration import fit_platt, fold
from lockstep.models.checkpoints import State, gains
from lockstep.models.network import Network, build, inference
from lockstep.models.scoring import logits, probabilities
from lockstep.models.training import Data, Schedule, one_hot, train
from lockstep.progress import Progress

RNG = np.random.default_rng(0)
RAW = {"x": RNG.normal(size=600), "c": RNG.choice(list("abc"), 600).astype(object)}
LABELS = ((RAW["x"] + (RAW["c"] == "a")) > 1).astype(int)
ENCODER = Encoder.fit(RAW, bins=6, min_value_rows=5)
DATA = Data(ENCODER.encode(RAW), one_hot(LABELS, 2), np.ones(600, dtype=np.float32))
NETWORK = Network(
    ENCODER.n_codes,
    ENCODER.n_coded,
    ENCODER.numeric_width,
    hidden=(16,),
    embedding_dim=4,
    embedding_dropout=0.1,
    dropout=0.1,
    l2=1e-4,
)
SCHEDULE = Schedule(epochs=3, batch_size=64, learning_rate=0.01, weight_decay=1e-3, patience=2, seed=5)


@pytest.fixture(scope="module")
def trained() -> bytes:
    return saving.to_bytes(NETWORK, train(NETWORK, SCHEDULE, DATA, DATA, lambda state: None).model)


def test_two_trainings_give_the_same_bytes(trained: bytes) -> None:
    seen: list[State] = []
    again = train(NETWORK, SCHEDULE, DATA, DATA, seen.append)
    assert saving.to_bytes(NETWORK, again.model) == trained
    assert [len(state.curve) for state in seen] == [1, 2, 3]
    assert again.best_epoch == max(i for i, gained in enumerate(gains(again.curve, 0.0), 1) if gained)


def test_what_another_thread_draws_from_the_global_generator_changes_nothing(trained: bytes) -> None:
    stop = threading.Event()

    def draw() -> None:
        while not stop.is_set():
            random.random()
            time.sleep(0)

    other = threading.Thread(target=draw)
    other.start()
    try:
        again = train(NETWORK, SCHEDULE, DATA, DATA, lambda state: None)
    finally:
        stop.set()
        other.join()
    assert saving.to_bytes(NETWORK, again.model) == trained


def test_training_stops_when_validation_no_longer_improves() -> None:
    hopeless = Data(DATA.features, RNG.permutation(DATA.targets), DATA.weights)
    schedule = replace(SCHEDULE, epochs=40)
    result = train(NETWORK, schedule, DATA, hopeless, lambda state: None)
    assert len(result.curve) == result.best_epoch + 2 < 40


def test_saved_weights_come_back(trained: bytes) -> None:
    network, model = saving.from_bytes(trained)
    assert network == NETWORK
    assert saving.to_bytes(network, model) == trained


def test_many_networks_in_one_process_answer_without_a_warning(
    trained: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answers = [logits(inference(saving.from_bytes(trained)[1]), DATA.features) for _ in range(6)]
    assert all(np.array_equal(one, answers[0]) for one in answers)
    assert "retracing" not in caplog.text


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x04K\x01."])
def test_what_is_no_network_is_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match="Run the stage `train` again"):
        saving.from_bytes(content)


def test_calibration_undoes_a_shift_and_is_folded_exactly(trained: bytes) -> None:
    _, model = saving.from_bytes(trained)
    before = logits(inference(model), DATA.features)
    platt = fit_platt(before, LABELS)
    fold(model, platt)
    after = logits(inference(model), DATA.features)
    np.testing.assert_allclose(after, platt.slope * before + platt.intercepts, atol=1e-4)
    probability = 1 / (1 + np.exp(-after))
    assert probability.mean() == pytest.approx(LABELS.mean(), abs=1e-3)


def test_calibration_never_turns_a_ranking_around() -> None:
    wrong = np.where(LABELS, -1.0, 1.0) + RNG.normal(size=600)
    assert fit_platt(wrong[:, None], LABELS) == (1.0, np.zeros(1), False)


def test_every_variant_answers_what_the_network_answers(
    trained: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, model = saving.from_bytes(trained)
    expected = probabilities(logits(inference(model), DATA.features))[:, 0]
    steps: list[Progress] = []
    monkeypatch.setattr(progress, "_sink", steps.append)
    variants = convert(trained, DATA.features.take(slice(100)))
    assert list(variants) == list(VARIANTS)
    assert [(step.done, step.note) for step in steps] == list(enumerate(VARIANTS, 1))
    tolerance = {"float32": 1e-5, "int8_dynamic": 0.05, "int8": 0.1}
    for name, content in variants.items():
        scores = Scorer(ENCODER, content).probability(RAW)
        assert np.abs(scores - expected).max() < tolerance[name], name
    assert convert(trained, DATA.features.take(slice(100))) == variants


def test_a_network_the_converter_cannot_read_is_an_error() -> None:
    with pytest.raises(ModelError, match="refuses the network"):
        convert(b"nonsense", DATA.features)


def test_all_category_tables_have_no_numeric_input() -> None:
    model = build(Network(n_codes=5, n_coded=2, numeric_width=0, hidden=(4,)))
    assert [tensor.name for tensor in model.inputs] == ["codes"]


def test_tables_of_measured_numbers_have_no_codes() -> None:
    encoder = Encoder.fit({"x": RAW["x"]}, bins=6, min_value_rows=5)
    assert encoder.n_coded == 0
    model = build(Network(encoder.n_codes, encoder.n_coded, encoder.numeric_width, hidden=(4,)))
    assert [tensor.name for tensor in model.inputs] == ["numeric"]
    features = encoder.encode({"x": RAW["x"]})
    network = Network(encoder.n_codes, 0, encoder.numeric_width, hidden=(4,))
    content = convert(saving.to_bytes(network, model), features.take(slice(50)))
    scores = Scorer(encoder, content["float32"]).probability({"x": RAW["x"]})
    np.testing.assert_allclose(scores, probabilities(logits(inference(model), features))[:, 0], atol=1e-5)


def test_a_model_of_another_encoder_is_refused(trained: bytes) -> None:
    other = Encoder.fit({"c": RAW["c"]}, bins=2, min_value_rows=1)
    model = convert(trained, DATA.features.take(slice(10)))["float32"]
    with pytest.raises(ModelError, match="different trainings"):
        Scorer(other, model)
    with pytest.raises(ModelError, match="no LiteRT flatbuffer"):
        Scorer(ENCODER, b"nonsense")
