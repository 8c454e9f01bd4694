"""The adversary of a network in training is asked about people alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lockstep.models.adversary import Adversary, attach
from lockstep.models.adversary import gradients as against
from lockstep.models.batches import Feed
from lockstep.models.determinism import layer_seeds, make_deterministic
from lockstep.models.network import build_for_training
from lockstep.models.optimizers import make_optimizer
from lockstep.models.schedules import make_schedule
from lockstep.models.step import loss_of
from tests.lockstep.models.test_models import DATA, NETWORK

GROUPS = np.random.default_rng(1).integers(0, 2, 400).astype(np.int32)


@pytest.fixture(scope="module")
def model() -> Any:
    make_deterministic(3)
    # Nothing in which a row depends on its batch.
    network = replace(NETWORK, dropout=0.0, embedding_dropout=0.0, normalization="layer")
    found = build_for_training(network, "float32", layer_seeds(3), synchronized=False)
    rate = make_schedule("constant", 0.01, 0.1, 10, 0.0)
    found.compile(optimizer=make_optimizer("adamw", rate, 0.0, 1.0, scaled=False))
    attach(found, Adversary(n_groups=2, weight=1.0, sees_labels=False), seed=1)
    return found


def gradients(model: Any, groups: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Of a step on as many rows as there are `groups`, by the weight's path."""
    inputs, targets, weights = Feed(DATA.take(np.arange(len(groups)))).tensors
    found, _, _ = against(model, loss_of, (inputs, (targets, groups), weights))
    return {w.path: np.asarray(g) for w, g in zip(model.trainable_weights, found, strict=True)}


def test_rows_of_no_group_teach_the_adversary_nothing(model: Any) -> None:
    alone = gradients(model, GROUPS)
    beside = gradients(model, np.concatenate((GROUPS, np.full(200, -1, dtype=np.int32))))
    theirs = [path for path in alone if "adversary" in path]
    assert len(theirs) == 3
    for path in theirs:
        assert np.abs(alone[path]).max() > 1e-5
        np.testing.assert_allclose(beside[path], alone[path], rtol=1e-4, atol=1e-8)


def test_among_them_alone_the_network_learns_as_without_an_adversary(model: Any) -> None:
    import tensorflow as tf

    inputs, targets, weights = Feed(DATA.take(np.arange(400))).tensors
    own = [w for w in model.trainable_weights if "adversary" not in w.path]
    with tf.GradientTape() as tape:
        loss = loss_of(model, inputs, targets, weights, model(inputs, training=True))
    plain = [np.asarray(tf.convert_to_tensor(g)) for g in tape.gradient(loss, own)]
    found, opposed = gradients(model, np.full(400, -1, dtype=np.int32)), gradients(model, GROUPS)
    for weight, expected in zip(own, plain, strict=True):
        np.testing.assert_allclose(found[weight.path], expected, rtol=1e-4, atol=1e-7)
    assert any(np.abs(opposed[w.path] - e).max() > 1e-4 for w, e in zip(own, plain, strict=True))
