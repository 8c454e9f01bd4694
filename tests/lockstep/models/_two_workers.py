"""Trains as one of two workers, which `TF_CONFIG` names; prints how far it ends from one device. A program."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import tensorflow as tf

import lockstep.models  # noqa: F401 - sets Keras' backend before its import
from lockstep.models.determinism import make_deterministic
from lockstep.models.training import train
from tests.lockstep.models.test_models import DATA, NETWORK, SCHEDULE

make_deterministic(SCHEDULE.seed)
workers = tf.distribute.MultiWorkerMirroredStrategy()
data = DATA.take(np.arange(599))
network = replace(NETWORK, embedding_dropout=0.0, dropout=0.0)
schedule = replace(SCHEDULE, optimizer="sgd", clip_norm=0.1)


def weights(strategy: tf.distribute.Strategy) -> list[np.ndarray]:
    trained = train(network, schedule, data, DATA, lambda state: None, strategy=strategy)
    return [weight.numpy() for weight in trained.model.weights]


of_two = weights(workers)
one = tf.distribute.OneDeviceStrategy("CPU:0")
apart = max(float(np.abs(a - b).max()) for a, b in zip(of_two, weights(one), strict=True))
json.dump({"replicas": workers.num_replicas_in_sync, "apart": apart}, sys.stdout)
