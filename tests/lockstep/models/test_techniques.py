"""Each switch of training does what its reference says."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from lockstep.models.checkpoints import Epoch, gains
from lockstep.models.determinism import layer_seeds, make_deterministic
from lockstep.models.network import Network, build_for_training
from lockstep.models.optimizers import OPTIMIZERS, make_optimizer
from lockstep.models.schedules import drops, make_schedule
from lockstep.models.step import loss_of, train_step
from lockstep.models.training import Schedule, Trained, train
from tests.lockstep.models.test_models import DATA, NETWORK, SCHEDULE

RNG = np.random.default_rng(11)
PLAIN = replace(NETWORK, embedding_dropout=0.0, dropout=0.0, l2=0.0, normalization="none")
BATCH = (
    {"numeric": DATA.features.numeric[:64], "codes": DATA.features.codes[:64]},
    DATA.targets[:64],
    DATA.weights[:64],
)


def made(network: Network = PLAIN, **compiled: Any) -> Any:
    make_deterministic(3)
    model = build_for_training(network, "float32", layer_seeds(3), synchronized=False)
    model.compile(**compiled or {"optimizer": keras.optimizers.SGD(0.1)})
    return model


@cache
def trained(network: Network = PLAIN, schedule: Schedule = SCHEDULE) -> Trained:
    return train(network, replace(schedule, epochs=6, patience=6), DATA, DATA, lambda state: None)


def kernels(network: Network, schedule: Schedule = SCHEDULE) -> npt.NDArray[np.float32]:
    weights = trained(network, schedule).model.weights
    return np.concatenate([w.numpy().ravel() for w in weights if w.path.endswith("/kernel")])


def test_the_focal_loss_is_that_of_keras() -> None:
    model = made()
    model.focal_gamma = 2.0
    logits = RNG.normal(size=(64, 1, 1)).astype(np.float32)
    expected = keras.losses.BinaryFocalCrossentropy(from_logits=True, gamma=2.0)(BATCH[1], logits[:, 0])
    ones = np.ones(64, dtype=np.float32)
    assert float(loss_of(model, BATCH[0], BATCH[1], ones, logits)) == pytest.approx(float(expected), rel=1e-5)
    several = np.eye(3, dtype=np.float32)[RNG.integers(3, size=64)]
    logits = RNG.normal(size=(64, 1, 3)).astype(np.float32)
    # Keras weighs by alpha what the paper calls its variant; 1 is none.
    per_class = keras.losses.CategoricalFocalCrossentropy(from_logits=True, gamma=2.0, alpha=1.0)
    expected = per_class(several, logits[:, 0])
    assert float(loss_of(model, BATCH[0], several, ones, logits)) == pytest.approx(float(expected), rel=1e-5)
    train_step(model, (BATCH[0], BATCH[1], ones))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_that_of_keras(smoothing: float) -> None:
    model = made()
    model.label_smoothing = smoothing
    logits = RNG.normal(size=(64, 1, 1)).astype(np.float32)
    weights = RNG.random(64).astype(np.float32)
    expected = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing)(
        BATCH[1], logits[:, 0], sample_weight=weights
    )
    assert float(loss_of(model, BATCH[0], BATCH[1], weights, logits)) == pytest.approx(
        float(expected), rel=1e-6
    )
    several = np.eye(3, dtype=np.float32)[RNG.integers(3, size=64)]
    logits = RNG.normal(size=(64, 2, 3)).astype(np.float32)
    expected = sum(
        keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)(
            several, logits[:, i], sample_weight=weights
        )
        for i in range(2)
    )
    assert float(loss_of(model, BATCH[0], several, weights, logits)) == pytest.approx(
        float(expected), rel=1e-6
    )


def test_penalties_count_in_the_loss() -> None:
    bare, penalised = made(), made(replace(PLAIN, l1=0.01, l2=0.02))
    kernel = penalised.get_layer("hidden_0").kernel.numpy()
    expected = 0.01 * np.abs(kernel).sum() + 0.02 * np.square(kernel).sum()
    losses = [float(loss_of(model, *BATCH, model(BATCH[0], training=False))) for model in (bare, penalised)]
    assert losses[1] - losses[0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_l1_brings_kernels_to_zero_and_l2_and_weight_decay_make_them_small() -> None:
    free = kernels(PLAIN)
    assert np.mean(np.abs(kernels(replace(PLAIN, l1=0.01))) < 0.01) > 2 * np.mean(np.abs(free) < 0.01)
    assert np.linalg.norm(kernels(replace(PLAIN, l2=0.05))) < 0.8 * np.linalg.norm(free)
    decayed = kernels(PLAIN, replace(SCHEDULE, weight_decay=0.5))
    assert np.linalg.norm(decayed) < 0.9 * np.linalg.norm(free)


@pytest.mark.parametrize("switch", [{"dropout": 0.5}, {"embedding_dropout": 0.5}, {"noise": 0.5}])
def test_dropout_and_noise_are_there_in_training_alone(switch: dict[str, float]) -> None:
    model = made(replace(PLAIN, **switch))
    calm = [model(BATCH[0], training=False).numpy() for _ in range(2)]
    np.testing.assert_array_equal(*calm)
    wild = [model(BATCH[0], training=True).numpy() for _ in range(2)]
    assert np.abs(wild[0] - wild[1]).max() > 0.01


@pytest.mark.parametrize(("kind", "axis"), [("batch", 0), ("layer", 1)])
def test_normalisation_is_over_the_batch_or_the_layer(kind: Any, axis: int) -> None:
    model = made(replace(PLAIN, normalization=kind))
    inner = keras.Model(model.inputs, model.get_layer("normalization_0").output)
    answers = inner(BATCH[0], training=True).numpy()
    np.testing.assert_allclose(answers.mean(axis=axis), 0.0, atol=1e-4)
    np.testing.assert_allclose(answers.std(axis=axis), 1.0, atol=0.05)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_takes_the_step_of_keras(name: str) -> None:
    kind, options = OPTIMIZERS[name]
    rate = make_schedule("constant", 0.01, 0.1, 100, 0.0)
    ours = made(optimizer=make_optimizer(name, rate, 0.1, 1.0, scaled=False))
    theirs = made(
        optimizer=getattr(keras.optimizers, kind)(0.01, weight_decay=0.1, global_clipnorm=1.0, **options)
    )
    before = [w.numpy() for w in ours.trainable_weights]
    train_step(ours, BATCH)
    with tf.GradientTape() as tape:
        loss = keras.losses.BinaryCrossentropy(from_logits=True)(
            BATCH[1], theirs(BATCH[0], training=True)[:, 0]
        )
    theirs.optimizer.apply(tape.gradient(loss, theirs.trainable_weights), theirs.trainable_weights)
    for weight, other in zip(ours.trainable_weights, theirs.trainable_weights, strict=True):
        np.testing.assert_allclose(weight.numpy(), other.numpy(), atol=1e-6)
    assert any(
        np.abs(w.numpy() - old).max() > 1e-4 for w, old in zip(ours.trainable_weights, before, strict=True)
    )


def test_the_norm_of_all_gradients_together_is_clipped() -> None:
    rate = make_schedule("constant", 1.0, 0.1, 100, 0.0)
    model = made(optimizer=make_optimizer("sgd", rate, 0.0, 0.01, scaled=False))
    before = [w.numpy() for w in model.trainable_weights]
    train_step(model, BATCH)
    moved = [w.numpy() - old for w, old in zip(model.trainable_weights, before, strict=True)]
    # Nesterov's first step is 1.9 gradients; that of the embeddings is sparse, and its norm that of unsummed rows.
    assert math.sqrt(sum(float(np.square(m).sum()) for m in moved)) == pytest.approx(0.019, rel=1e-2)


@pytest.mark.parametrize(
    ("name", "factors"),
    [
        ("constant", [1.0, 1.0, 1.0, 1.0]),
        ("plateau", [1.0, 1.0, 1.0, 1.0]),
        ("step", [1.0, 1.0, 0.1, 0.01]),
        ("exponential", [1.0, 0.1**0.25, 0.1**0.5, 0.1**0.75]),
        ("cosine", [(1 + math.cos(math.pi * p)) / 2 for p in (0.0, 0.25, 0.5, 0.75)]),
    ],
)
def test_a_schedule_rises_in_a_line_and_takes_its_shape(name: str, factors: list[float]) -> None:
    rate = make_schedule(name, 0.02, 0.1, 100, 0.2)
    rising = [float(rate(step)) for step in (0, 9, 19)]
    assert rising == pytest.approx([0.001, 0.01, 0.02], rel=1e-5)
    after = [float(rate(step)) for step in (20, 40, 60, 80)]
    assert after == pytest.approx([0.02 * factor for factor in factors], rel=1e-4)


def test_a_plateau_lowers_the_rate_each_time_that_it_is_met() -> None:
    assert drops([True, True, False], 2) == 0
    assert drops([True, False, False], 2) == 1
    assert drops([True, False, False, False, True, False, False], 2) == 2
    hopeless = replace(DATA, targets=RNG.permutation(DATA.targets))
    schedule = replace(SCHEDULE, shape="plateau", epochs=12, patience=4, warmup_share=0.0, decay=0.5)
    curve = train(PLAIN, schedule, DATA, hopeless, lambda state: None).curve
    gained = gains(curve, 0.0)
    expected = [0.01 * 0.5 ** drops(gained[: epoch.epoch - 1], 2) for epoch in curve]
    assert [epoch.learning_rate for epoch in curve] == pytest.approx(expected)
    assert len(set(expected)) > 1


def test_an_epoch_gains_by_more_than_the_least_gain_or_by_its_loss() -> None:
    figures = [(0.5, 0.3), (0.505, 0.4), (0.505, 0.2), (0.52, 0.9), (0.515, 0.5), (0.3, 0.1)]
    curve = [Epoch(i, 0.0, precision, loss, 0.0) for i, (precision, loss) in enumerate(figures, 1)]
    assert gains(curve, 0.01) == [True, False, True, True, True, False]
    assert gains(curve, 0.0) == [True, True, True, True, False, False]


def test_smoothed_labels_make_a_network_less_certain() -> None:
    def spread(smoothing: float) -> float:
        model = trained(PLAIN, replace(SCHEDULE, label_smoothing=smoothing)).model
        return float(np.std(model({"numeric": DATA.features.numeric, "codes": DATA.features.codes})))

    assert spread(0.2) < 0.8 * spread(0.0)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lower_precision_computes_in_it_and_keeps_float32_weights(precision: Any) -> None:
    model = build_for_training(NETWORK, precision, layer_seeds(1), synchronized=False)
    assert model.get_layer("hidden_0").compute_dtype == precision
    assert {w.dtype for w in model.trainable_weights} == {"float32"}
    low, full = trained(NETWORK, replace(SCHEDULE, precision=precision)), trained(NETWORK)
    assert low.model.get_layer("hidden_0").compute_dtype == "float32"
    scores = [t.curve[-1].val_average_precision for t in (low, full)]
    assert scores[0] == pytest.approx(scores[1], abs=0.03)
    assert low.curve != full.curve


@given(
    n_rows=st.integers(1, 10_000_000),
    epochs=st.integers(1, 50),
    min_steps=st.integers(0, 3000),
    batch_size=st.integers(32, 4096),
)
def test_property_a_small_table_takes_smaller_and_enough_steps(
    n_rows: int, epochs: int, min_steps: int, batch_size: int
) -> None:
    schedule = replace(SCHEDULE, epochs=epochs, min_steps=min_steps, batch_size=batch_size, patience=3)
    found = schedule.resolved(n_rows)
    steps = -(-n_rows // found.batch_size)
    assert found.batch_size <= batch_size
    assert found.epochs >= epochs
    assert found.epochs * steps >= min_steps
    assert found.patience >= 3
    assert found.resolved(n_rows) == found
