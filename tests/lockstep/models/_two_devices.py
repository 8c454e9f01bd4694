"""Trains on one device, on two, and in a loop of its own; prints how far the weights lie apart. A program."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf

import lockstep.models  # noqa: F401 - sets Keras' backend before its import
from lockstep.models.batches import Feed
from lockstep.models.determinism import layer_seeds, make_deterministic
from lockstep.models.network import build_for_training, inference
from lockstep.models.scoring import logits
from lockstep.models.step import run_steps
from lockstep.models.training import train
from tests.lockstep.models.test_models import DATA, NETWORK, SCHEDULE

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
# An odd number, so that the two get unequal batches.
data = DATA.take(np.arange(599))
network = replace(NETWORK, embedding_dropout=0.0, dropout=0.0)


def trained(strategy: tf.distribute.Strategy, **changes: object) -> list[np.ndarray]:
    result = train(network, replace(SCHEDULE, **changes), data, DATA, lambda state: None, strategy=strategy)
    weights = {weight.path: weight.numpy() for weight in result.model.weights}
    answers = logits(inference(result.model), DATA.features)
    if "optimizer" in changes:
        return [*weights.values(), answers]
    # A bias ahead of the normalization has no gradient but rounding's, which Adam makes full steps of: it drifts, and
    # the mean that the normalization keeps follows it, so that answers hardly differ.
    drifting = re.compile(r"hidden_\d+/bias|moving_mean")
    return [*(v for path, v in weights.items() if not drifting.search(path)), answers / 100]


def stepped(strategy: tf.distribute.Strategy, own_loop: bool) -> list[np.ndarray]:
    make_deterministic(1)
    with strategy.scope():
        model = build_for_training(
            network, "float32", layer_seeds(1), synchronized=strategy.num_replicas_in_sync > 1
        )
        model.compile(keras.optimizers.SGD(0.1))
    batches = Feed(data).epoch(SCHEDULE, 1)
    if own_loop:
        losses = run_steps(model, batches, strategy)
        assert len(losses) == len(batches)
        assert np.isfinite(losses).all()
    else:
        model.fit(batches, verbose=0, shuffle=False)
    return [weight.numpy() for weight in model.weights]


def apart(left: list[np.ndarray], right: list[np.ndarray]) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(left, right, strict=True))


# Gradients are never that small. SGD, for the others divide by what they clip.
CLIPPED = {"clip_norm": 1e-3, "optimizer": "sgd"}
one = tf.distribute.get_strategy()
single = stepped(one, own_loop=False)
print(
    json.dumps(
        {
            "replicas": mirrored.num_replicas_in_sync,
            "train on two": apart(trained(one), trained(mirrored)),
            "train on two by SGD": apart(trained(one, optimizer="sgd"), trained(mirrored, optimizer="sgd")),
            "every step clipped": apart(trained(one, **CLIPPED), trained(mirrored, **CLIPPED)),
            "fit on two": apart(single, stepped(mirrored, own_loop=False)),
            "own loop": apart(single, stepped(one, own_loop=True)),
            "own loop on two": apart(single, stepped(mirrored, own_loop=True)),
            "moved": apart(single, stepped(one, own_loop=False)),
        }
    )
)
