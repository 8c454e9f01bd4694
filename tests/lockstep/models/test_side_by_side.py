"""Members that train in one layer each are the networks that they are apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from lockstep.models.determinism import layer_seeds, make_deterministic
from lockstep.models.network import Network, build, build_for_training
from lockstep.models.side_by_side import separate

RNG = np.random.default_rng(4)
NETWORK = Network(9, 2, 5, (6, 4), embedding_dim=3, members=3, l2=0.1)
CODES = np.column_stack([RNG.integers(0, 4, 7), RNG.integers(4, 9, 7)]).astype(np.int32)
INPUTS = {"numeric": RNG.random((7, 5)).astype(np.float32), "codes": CODES}


@pytest.mark.parametrize(
    "network",
    [
        NETWORK,
        replace(NETWORK, normalization="layer", n_outputs=3),
        replace(NETWORK, normalization="none", n_coded=0),
        replace(NETWORK, numeric_width=0, members=1),
    ],
)
def test_each_member_answers_as_it_does_by_itself(network: Network) -> None:
    make_deterministic(3)
    together = build_for_training(network, "float32", layer_seeds(3), synchronized=False)
    together.set_weights([w + np.abs(RNG.normal(0, 0.3, w.shape)) for w in together.get_weights()])
    inputs = {name: part for name, part in INPUTS.items() if name in [i.name for i in together.inputs]}
    weights = separate({w.path: w.numpy() for w in together.weights}, network.members)
    apart = build(network)
    assert {w.path for w in apart.weights} == set(weights)
    for weight in apart.weights:
        weight.assign(weights[weight.path])
    of_members = together(inputs, training=False).numpy()
    assert of_members.shape == (7, network.members, network.n_outputs)
    np.testing.assert_allclose(apart(inputs).numpy(), of_members.mean(axis=1), rtol=1e-5, atol=1e-6)
    if network.members > 1:
        assert of_members.std(axis=1).min() > 1e-3


def test_members_start_as_a_dense_layer_does_and_none_sees_another() -> None:
    make_deterministic(3)
    model = build_for_training(
        replace(NETWORK, normalization="none"), "float32", layer_seeds(3), synchronized=False
    )
    kernel = model.get_layer("hidden_0").kernel.numpy()
    assert kernel.shape == (3, 2 * 3 + 5, 6)
    limit = np.sqrt(6 / (kernel.shape[1] + kernel.shape[2]))
    assert 0.9 * limit < np.abs(kernel).max() <= limit
    with tf.GradientTape() as tape:
        of_first = tf.reduce_sum(model(INPUTS, training=True)[:, 0])
    for weight, gradient in zip(
        model.trainable_weights, tape.gradient(of_first, model.trainable_weights), strict=True
    ):
        parts = tf.convert_to_tensor(gradient).numpy()
        parts = parts if weight.path.endswith("/kernel") else np.split(parts, 3, axis=-1)
        assert np.abs(parts[0]).sum() > 0
        assert not np.abs(parts[1]).any()
        assert not np.abs(parts[2]).any()
