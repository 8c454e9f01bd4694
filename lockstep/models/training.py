"""Training with early stopping on validation average precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lockstep.data.encoding import Features
from lockstep.models.network import Network, build, inference

_PREDICT_BATCH = 8192


@dataclass(frozen=True)
class Schedule:
    """How a network is trained.

    Attributes
    ----------
    epochs, batch_size
        Passes over the rows, at most, and rows per step.
    learning_rate
        Peak; reached after `warmup_share` of all steps, then a cosine down to 0 (Loshchilov & Hutter 2017, SGDR).
    weight_decay, clip_norm
        Of AdamW (Loshchilov & Hutter 2019), and the largest norm of all gradients together.
    patience
        Epochs without a better validation average precision before training stops.
    seed
        Of initial weights, dropout and the order of rows.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    warmup_share: float
    weight_decay: float
    clip_norm: float
    patience: int
    seed: int


@dataclass(frozen=True)
class Data:
    """Encoded rows with labels.

    Attributes
    ----------
    features
        Of n rows.
    labels : ndarray of bool, shape (n,)
        True for the positive class.
    weights : ndarray of float32, shape (n,)
        Weight of each row in the loss.
    """

    features: Features
    labels: npt.NDArray[np.bool_]
    weights: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Epoch:
    """Figures of one pass."""

    epoch: int
    loss: float
    val_average_precision: float
    learning_rate: float


@dataclass(frozen=True)
class Trained:
    """A trained network: the weights of its best epoch, and the curve that led there."""

    model: Any
    curve: tuple[Epoch, ...]
    best_epoch: int


def make_deterministic(seed: int) -> None:
    """Seed every generator and let TensorFlow use deterministic kernels only; forget earlier models' names."""
    import keras
    import tensorflow as tf

    keras.utils.clear_session(free_memory=True)
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def train(
    network: Network, schedule: Schedule, data: Data, validation: Data, on_epoch: Callable[[Epoch], None]
) -> Trained:
    """Train `network` on `data`.

    Parameters
    ----------
    on_epoch
        Called after each epoch with its figures.

    Returns
    -------
    Trained
        With the weights of the epoch of the best validation average precision.
    """
    import keras

    make_deterministic(schedule.seed)
    model = build(network)
    rows = _batches(data, schedule)
    model.compile(
        optimizer=keras.optimizers.AdamW(
            _learning_rate(schedule, len(rows)),
            weight_decay=schedule.weight_decay,
            global_clipnorm=schedule.clip_norm,
        ),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
    )
    curve: list[Epoch] = []
    watch = _watch(validation, curve, on_epoch)
    stop = keras.callbacks.EarlyStopping(
        monitor="val_average_precision", mode="max", patience=schedule.patience, restore_best_weights=True
    )
    # The order matters: `watch` puts the figure into the logs that `stop` reads.
    model.fit(rows, epochs=schedule.epochs, callbacks=[watch, stop], verbose=0, shuffle=False)
    return Trained(model, tuple(curve), int(stop.best_epoch) + 1)


def logits(call: Any, features: Features) -> npt.NDArray[np.float64]:
    """Logits of n rows, shape (n,); `call` is from `lockstep.models.network.inference`."""
    inputs = network_inputs(features)
    answers = [
        call({name: part[start : start + _PREDICT_BATCH] for name, part in inputs.items()}).numpy()
        for start in range(0, len(features.codes), _PREDICT_BATCH)
    ]
    return np.concatenate(answers).astype(np.float64)[:, 0]


def network_inputs(features: Features) -> dict[str, npt.NDArray[Any]]:
    """Features by the name of the network's input; an input of no width does not exist."""
    return {name: part for name, part in features._asdict().items() if part.shape[1]}


def _learning_rate(schedule: Schedule, steps_per_epoch: int) -> Any:
    import keras

    steps = schedule.epochs * steps_per_epoch
    warmup = max(1, round(schedule.warmup_share * steps))
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=max(1, steps - warmup),
        warmup_target=schedule.learning_rate,
        warmup_steps=warmup,
    )


def _batches(data: Data, schedule: Schedule) -> Any:
    import keras

    inputs = network_inputs(data.features)
    labels = data.labels.astype(np.float32)[:, None]
    n_rows = len(labels)

    class Batches(keras.utils.PyDataset):
        """Rows in an order that depends on seed and epoch alone, so that a resumed run sees the same one."""

        def __init__(self) -> None:
            super().__init__()
            self.epoch = 0
            self._shuffle()

        def __len__(self) -> int:
            return -(-n_rows // schedule.batch_size)

        def __getitem__(self, index: int) -> Any:
            rows = self.order[index * schedule.batch_size : (index + 1) * schedule.batch_size]
            return {k: v[rows] for k, v in inputs.items()}, labels[rows], data.weights[rows]

        def on_epoch_end(self) -> None:
            self.epoch += 1
            self._shuffle()

        def _shuffle(self) -> None:
            self.order = np.random.default_rng((schedule.seed, self.epoch)).permutation(n_rows)

    return Batches()


def _watch(validation: Data, curve: list[Epoch], on_epoch: Callable[[Epoch], None]) -> Any:
    import keras
    from sklearn.metrics import average_precision_score

    class Watch(keras.callbacks.Callback):
        def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
            self.call = inference(self.model)

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            figures = {} if logs is None else logs
            scores = logits(self.call, validation.features)
            figures["val_average_precision"] = float(average_precision_score(validation.labels, scores))
            curve.append(
                Epoch(
                    epoch + 1,
                    float(figures["loss"]),
                    figures["val_average_precision"],
                    float(self.model.optimizer.learning_rate),
                )
            )
            on_epoch(curve[-1])

    return Watch()
