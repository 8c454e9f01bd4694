"""Training with differential privacy: each row is clipped by itself, the noise is as large as it says."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from lockstep.data.features import Features
from lockstep.errors import ModelError
from lockstep.evaluation.membership import attack
from lockstep.models import saving
from lockstep.models.checkpoints import State
from lockstep.models.determinism import layer_seeds, make_deterministic
from lockstep.models.differential_privacy import Privacy, epsilon, poisson_batches, sampling_rate
from lockstep.models.network import Network, build_for_training, inference
from lockstep.models.private_gradients import Private
from lockstep.models.scoring import logits
from lockstep.models.step import row_losses, train_step
from lockstep.models.training import Data, Schedule, one_hot, train

RNG = np.random.default_rng(4)
N = 6
FEATURES = Features(
    RNG.random((N, 5)).astype(np.float32),
    np.column_stack([RNG.integers(0, 4, N), RNG.integers(4, 9, N)]).astype(np.int32),
)
INPUTS = {"numeric": FEATURES.numeric, "codes": FEATURES.codes}
WEIGHTS = np.ones(N, dtype=np.float32)
NETWORK = Network(9, 2, 5, (6, 4), embedding_dim=3, normalization="layer")
QUIET = Privacy(clip_norm=0.5, noise_multiplier=0.0, secret=1)


def made(network: Network, privacy: Privacy = QUIET, expected_rows: float = N) -> Any:
    make_deterministic(3)
    model = build_for_training(network, "float32", layer_seeds(3), synchronized=False)
    # Weights of a trained network: those of a new one leave gamma at 1 and every bias at 0.
    rng = np.random.default_rng(0)
    model.set_weights([w + rng.normal(0, 0.3, w.shape) for w in model.get_weights()])
    model.compile(optimizer=keras.optimizers.SGD(1.0))
    model.private = Private(model, privacy, expected_rows)
    return model


def targets_of(network: Network) -> Any:
    return one_hot(np.arange(N) % max(network.n_outputs, 2), max(network.n_outputs, 2))


def gradients(model: Any, batch: Any) -> np.ndarray:
    found, _, _ = model.private.gradients(model, row_losses, batch)
    return np.concatenate([np.asarray(g).ravel() for g in found])


def row_by_row(model: Any, batch: Any) -> np.ndarray:
    """Gradient of each row, shape (n, weights), by a pass for each."""
    rows = []
    for i in range(len(batch[1])):
        inputs, targets, weights = tf.nest.map_structure(lambda part, i=i: part[i : i + 1], batch)
        with tf.GradientTape() as tape:
            answer = model(inputs, training=True)
            loss = tf.reduce_sum(row_losses(model, targets, answer) * weights)
        found = tape.gradient(loss, model.trainable_weights)
        rows.append(np.concatenate([tf.convert_to_tensor(g).numpy().ravel() for g in found]))
    return np.array(rows)


@pytest.mark.parametrize(
    "network",
    [
        NETWORK,
        replace(NETWORK, n_outputs=3, normalization="none", members=2),
        replace(NETWORK, members=3),
        pytest.param(replace(NETWORK, n_coded=0), marks=pytest.mark.slow),
        pytest.param(replace(NETWORK, numeric_width=0, members=2), marks=pytest.mark.slow),
    ],
)
def test_each_row_is_clipped_by_itself(network: Network) -> None:
    model, inputs = made(network), {}
    inputs = {name: part for name, part in INPUTS.items() if name in [i.name for i in model.inputs]}
    batch = (inputs, targets_of(network), np.linspace(0.1, 3.0, N).astype(np.float32))
    each = row_by_row(model, batch)
    norms = np.linalg.norm(each, axis=1)
    assert norms.min() < QUIET.clip_norm < norms.max()
    expected = (each * np.minimum(1.0, QUIET.clip_norm / norms)[:, None]).sum(axis=0) / N
    np.testing.assert_allclose(gradients(model, batch), expected, rtol=1e-4, atol=1e-6)


def test_no_row_moves_a_step_by_more_than_it_is_clipped_to() -> None:
    targets = targets_of(NETWORK)
    huge = WEIGHTS.copy()
    huge[3] = 1e6
    moved = []
    for weights in (huge, np.where(np.arange(N) == 3, 0.0, 1.0).astype(np.float32)):
        model = made(NETWORK)
        before = np.concatenate([w.ravel() for w in model.get_weights()])
        train_step(model, (INPUTS, targets, weights))
        moved.append(np.concatenate([w.ravel() for w in model.get_weights()]) - before)
    # SGD at a rate of 1 steps by the gradient itself.
    assert np.linalg.norm(moved[0] - moved[1]) == pytest.approx(QUIET.clip_norm / N, rel=1e-3)


def test_penalties_are_neither_clipped_nor_divided() -> None:
    bare, penalised = made(NETWORK), made(replace(NETWORK, l2=0.5))
    batch = (INPUTS, targets_of(NETWORK), WEIGHTS)
    difference = gradients(penalised, batch) - gradients(bare, batch)
    kernels = [w.numpy().ravel() * (w.path.startswith("hidden") and w.path.endswith("kernel"))
               for w in bare.trainable_weights]  # fmt: skip
    np.testing.assert_allclose(difference, np.concatenate(kernels), atol=1e-5)


def test_the_noise_is_as_large_as_it_says_and_follows_the_secret() -> None:
    network = replace(NETWORK, hidden=(64, 64))
    batch = (INPUTS, targets_of(network), WEIGHTS)
    quiet = gradients(made(network), batch)
    loud = {secret: made(network, Privacy(0.5, 4.0, secret)) for secret in (1, 2, 1 + (1 << 70))}
    noise = {secret: gradients(model, batch) - quiet for secret, model in loud.items()}
    for found in noise.values():
        assert found.std() == pytest.approx(4.0 * 0.5 / N, rel=0.05)
        assert abs(found.mean()) < 4 * found.std() / math.sqrt(found.size)
    assert np.array_equal(gradients(loud[1], batch) - quiet, noise[1])
    assert abs(np.corrcoef(list(noise.values())) - np.eye(3)).max() < 0.06
    # Each step draws anew; an embedding's row that no code named gets its share too.
    loud[1].optimizer.iterations.assign_add(1)
    assert abs(np.corrcoef(gradients(loud[1], batch) - quiet, noise[1])[0, 1]) < 0.06
    assert np.count_nonzero(noise[1]) == noise[1].size


def test_a_layer_that_mixes_rows_is_refused() -> None:
    with pytest.raises(ModelError, match=r"'normalization_0' \(BatchNormalization\).*train\.normalization"):
        made(replace(NETWORK, normalization="batch"))


def test_batches_are_poisson_samples() -> None:
    batches = poisson_batches(500, 50, 400, (7, 1))
    sizes = np.array([len(rows) for rows in batches])
    assert sizes.mean() == pytest.approx(50, abs=1.0)
    assert sizes.var() == pytest.approx(500 * 0.1 * 0.9, rel=0.25)
    assert all(len(np.unique(rows)) == len(rows) for rows in batches)
    seen = np.bincount(np.concatenate(batches), minlength=500)
    assert seen.mean() == pytest.approx(40, abs=1.0)
    assert seen.var() == pytest.approx(400 * 0.1 * 0.9, rel=0.25)
    assert sampling_rate(30, 50) == 1.0
    assert all(len(rows) == 30 for rows in poisson_batches(30, 50, 3, (7, 1)))


def test_epsilon_is_that_of_the_accountants() -> None:
    import dp_accounting
    from dp_accounting.rdp import RdpAccountant

    noise, rows, batch, steps = 1.1, 60_000, 256, 15 * 235
    found = epsilon(noise, sampling_rate(rows, batch), steps, 1e-5)
    event = dp_accounting.PoissonSampledDpEvent(batch / rows, dp_accounting.GaussianDpEvent(noise))
    rdp = RdpAccountant().compose(event, steps).get_epsilon(1e-5)
    # Renyi's accountant bounds the same loss less tightly.
    assert 0.75 * rdp < found <= rdp
    assert found < epsilon(noise, sampling_rate(rows, batch), 2 * steps, 1e-5)


def test_epsilon_of_one_step_of_all_rows_is_the_gaussian_mechanisms() -> None:
    from scipy.optimize import brentq
    from scipy.stats import norm

    # Balle & Wang 2018, "Improving the Gaussian Mechanism for Differential Privacy", theorem 8.
    def delta(eps: float, sigma: float) -> float:
        return norm.cdf(0.5 / sigma - eps * sigma) - math.exp(eps) * norm.cdf(-0.5 / sigma - eps * sigma)

    exact = brentq(lambda eps: delta(eps, 2.0) - 1e-5, 0, 20)
    assert epsilon(2.0, 1.0, 1, 1e-5) == pytest.approx(exact, rel=1e-3)


SIZE = 320
ROWS = Features(RNG.random((SIZE, 8)).astype(np.float32), RNG.integers(0, 9, (SIZE, 1)).astype(np.int32))
# Labels that nothing tells.
NOISE = Data(ROWS, one_hot(RNG.integers(0, 2, SIZE), 2), np.ones(SIZE, dtype=np.float32))
MEMBERS, OTHERS = NOISE.take(np.arange(160)), NOISE.take(np.arange(160, 320))
LEARNER = Network(9, 1, 8, (64,), embedding_dim=4, normalization="none")
SCHEDULE = Schedule(epochs=2, batch_size=32, learning_rate=0.05, shape="constant", min_gain=-math.inf, seed=5)


def bytes_of(schedule: Schedule, start: State | None = None) -> tuple[bytes, list[State]]:
    states: list[State] = []
    trained = train(LEARNER, schedule, MEMBERS, OTHERS, states.append, start)
    return saving.to_bytes(LEARNER, trained.model), states


@pytest.mark.slow
def test_the_secret_decides_and_a_resumed_training_ends_in_the_same_bytes() -> None:
    private = replace(SCHEDULE, privacy=Privacy(1.0, 1.0, 99))
    whole, states = bytes_of(private)
    assert bytes_of(private, states[0])[0] == whole
    assert bytes_of(replace(private, privacy=Privacy(1.0, 1.0, 98)))[0] != whole
    assert all(np.isfinite(epoch.loss) for epoch in states[-1].curve)


@pytest.mark.slow
def test_it_hides_what_a_network_would_learn_by_heart() -> None:
    def area(schedule: Schedule) -> float:
        long = replace(schedule, epochs=100, patience=100)
        model = train(LEARNER, long, MEMBERS, OTHERS, lambda state: None).model
        infer = inference(model)
        losses = [
            np.logaddexp(0.0, -(2 * part.targets - 1) * logits(infer, part.features))[:, 0]
            for part in (MEMBERS, OTHERS)
        ]
        return float(attack(-losses[0], -losses[1], 0.1, 1)["roc_auc"])

    assert area(SCHEDULE) > 0.75
    assert area(replace(SCHEDULE, privacy=Privacy(1.0, 2.0, 3))) < 0.6
