"""How fast epochs are: `python -m benchmarks.training [--rows N] [--rounds N]`.

The default network of params.yaml on rows of the Census table, encoded and held in memory. Lockstep's pass over
them (its own order each epoch, the guard against divergence included) beside a bare `keras.Model.fit` on the same
arrays and beside `fit` on a naive `tf.data.Dataset.from_tensor_slices(...).batch(...)`. The three take turns, and the
best round of each counts; CPU seconds blur less than wall seconds where others use the machine.

It also prints what an epoch costs beside its steps: the score on as many validation rows as the default run has, and
the sealed checkpoint; and how long the network takes to load, beside Keras' own format.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from lockstep.data import census
from lockstep.data.encoding import Encoder
from lockstep.data.tables import raw_columns
from lockstep.models import batches, checkpoints, saving, training
from lockstep.models.checkpoints import Epoch
from lockstep.models.determinism import layer_seeds, make_deterministic
from lockstep.models.dropout import LEVELS, dropout_class
from lockstep.models.network import build, build_for_training, inference
from lockstep.models.scoring import network_inputs
from lockstep.sealing.keyring import Keyring
from lockstep.sealing.vault import Vault
from tasks._params import load_params
from tasks.train import TrainParams, network_of, schedule_of

ROOT = Path(__file__).resolve().parents[1]
NOT_FEATURES = ("income", "instance_weight", "split")
N_VALIDATION = 19_952


def best_of(rounds: int, ways: dict[str, Callable[[], object]]) -> dict[str, tuple[float, float]]:
    """Least wall and CPU seconds of each way; they take turns."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            taken[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {name: (min(w for w, _ in t), min(c for _, c in t)) for name, t in taken.items()}


def _with_keras_dropout(layer: Any) -> Any:
    import keras

    if not isinstance(layer, dropout_class()):
        return layer
    return keras.layers.Dropout(layer.n_dropped / LEVELS, name=layer.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=199_523)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    import keras
    import tensorflow as tf

    params = load_params(TrainParams, ROOT / "params.yaml")
    schedule = schedule_of(params)
    table = census.read_census("train").slice(0, options.rows)
    raw = raw_columns(table, [name for name in table.column_names if name not in NOT_FEATURES])
    encoder = Encoder.fit(raw, params.bins, params.min_value_rows)
    labels = np.array(table["income"].to_pylist()) == params.positive
    features = encoder.encode(raw)
    data = training.Data(
        encoder.encode_compact(raw), training.one_hot(labels, 2), np.ones(len(labels), dtype=np.float32)
    )
    arrays = (network_inputs(features), data.targets, data.weights)
    steps = -(-len(labels) // schedule.batch_size)
    print(
        f"{len(labels):,} rows, {steps} steps an epoch, inputs {[a.shape[1] for a in arrays[0].values()]} wide"
    )

    network = replace(
        network_of(encoder, params), members=params.members if params.ensemble == "joint" else 1
    )

    def model() -> Any:
        make_deterministic(schedule.seed)
        made = build_for_training(network, "float32", layer_seeds(1), synchronized=False)
        optimizer = keras.optimizers.AdamW(
            1e-4, weight_decay=schedule.weight_decay, global_clipnorm=schedule.clip_norm
        )
        made.compile(optimizer)
        return made

    def plain() -> Any:
        """The same layers with Keras' own dropout, trained as Keras does it."""
        make_deterministic(schedule.seed)
        layers = keras.models.clone_model(
            build_for_training(network, "float32", layer_seeds(1), synchronized=False),
            clone_function=_with_keras_dropout,
        )
        bare = keras.Model(layers.inputs, keras.ops.mean(layers.output, axis=1))
        optimizer = keras.optimizers.AdamW(
            1e-4, weight_decay=schedule.weight_decay, global_clipnorm=schedule.clip_norm
        )
        bare.compile(optimizer, keras.losses.BinaryCrossentropy(from_logits=True))
        return bare

    ours, bare, naive = model(), plain(), plain()
    strategy = tf.distribute.get_strategy()
    feed = batches.Feed(data)
    epochs = count(1)
    rows = {"batch_size": schedule.batch_size, "sample_weight": arrays[2], "verbose": 0}
    ways: dict[str, Callable[[], object]] = {
        "Lockstep": lambda: training._one_pass(ours, feed.epoch(schedule, next(epochs)), strategy),
        "bare fit on arrays": lambda: bare.fit(*arrays[:2], **rows),
        "fit on naive tf.data": lambda: naive.fit(
            tf.data.Dataset.from_tensor_slices(arrays).batch(schedule.batch_size), shuffle=False, verbose=0
        ),
    }
    best_of(1, ways)  # traces the functions
    costs = best_of(options.rounds, ways)
    wall, cpu = costs["Lockstep"]
    for name, (their_wall, their_cpu) in costs.items():
        print(
            f"  {name:22} {their_wall:6.2f} s wall, {their_cpu:6.2f} s CPU an epoch; "
            f"Lockstep is {their_wall / wall:.2f} (wall), {their_cpu / cpu:.2f} (CPU) times as fast"
        )

    keyring = Keyring.generate("benchmark")
    vault = Vault("benchmark", keyring, keyring.keys[keyring.active])
    held_out = training.Data(
        encoder.encode({name: column[:N_VALIDATION] for name, column in raw.items()}),
        data.targets[:N_VALIDATION],
        data.weights[:N_VALIDATION],
    )
    infer = inference(ours)
    begun = checkpoints.initial(ours)
    with tempfile.TemporaryDirectory() as folder:

        def save() -> None:
            state = checkpoints.advance(begun, ours, Epoch(1, 0.1, 0.5, 0.1, 1e-4), gained=True)
            content = checkpoints.to_bytes(state)
            vault.write(Path(folder, "state"), content, role="checkpoint", schema=checkpoints.SCHEMA)

        beside: dict[str, Callable[[], object]] = {
            "validation score": lambda: training._figures(infer, held_out, steps),
            "sealed checkpoint": save,
        }
        for name, (seconds, _) in best_of(options.rounds, beside).items():
            print(f"  {name:22} {seconds:6.2f} s wall an epoch, {seconds / wall:.1%} of its steps")

    shipped = build(network)
    content = saving.to_bytes(network, shipped)
    with tempfile.TemporaryDirectory() as folder:
        filed = Path(folder, "shipped.keras")
        shipped.save(filed)
        loads: dict[str, Callable[[], object]] = {
            "load": lambda: saving.from_bytes(content),
            "load by keras": lambda: keras.models.load_model(filed),
        }
        loaded = best_of(max(options.rounds, 5), loads)
    ours_cpu, theirs_cpu = loaded["load"][1], loaded["load by keras"][1]
    print(f"  loads in {ours_cpu * 1000:.0f} ms CPU, {ours_cpu / theirs_cpu:.2f} of keras.models.load_model")


if __name__ == "__main__":
    main()
