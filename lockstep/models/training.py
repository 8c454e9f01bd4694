"""Training with early stopping on validation average precision."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lockstep.data.encoding import Features
from lockstep.models import checkpoints
from lockstep.models.checkpoints import Epoch, State
from lockstep.models.divergence import NotFinite, explain
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
    network: Network,
    schedule: Schedule,
    data: Data,
    validation: Data,
    on_epoch: Callable[[State], None],
    start: State | None = None,
) -> Trained:
    """Train `network` on `data`.

    Parameters
    ----------
    on_epoch
        Called after each epoch with the state that the next one starts from.
    start
        State of an earlier run with the same arguments, to go on from; None: begin anew.

    Returns
    -------
    Trained
        With the weights of the epoch of the best validation average precision.

    Raises
    ------
    ModelError
        The loss or a validation logit is not finite; the message names where that began.
    """
    import keras

    make_deterministic(schedule.seed)
    model = build(network)
    steps = -(-len(data.labels) // schedule.batch_size)
    model.compile(
        optimizer=keras.optimizers.AdamW(
            _learning_rate(schedule, steps),
            weight_decay=schedule.weight_decay,
            global_clipnorm=schedule.clip_norm,
        ),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
    )
    if start is None:
        state = checkpoints.initial(model)
    else:
        state = start
        checkpoints.restore(state, model)
    infer = inference(model)
    tensors = _tensors(data)
    while not _is_over(state, schedule):
        epoch = len(state.curve) + 1
        batches = _batches(tensors, schedule, epoch)
        try:
            loss = _one_pass(model, batches)
            average_precision = _average_precision(infer, validation, len(batches))
        except NotFinite as found:
            raise explain(model, state, batches, found.step, _slices(validation.features)) from None
        learning_rate = float(model.optimizer.learning_rate)
        state = checkpoints.advance(state, model, Epoch(epoch, loss, average_precision, learning_rate))
        on_epoch(state)
    model.set_weights(state.best)
    return Trained(model, state.curve, state.best_epoch)


def _is_over(state: State, schedule: Schedule) -> bool:
    done = len(state.curve)
    return bool(done) and (done >= schedule.epochs or done - state.best_epoch >= schedule.patience)


def logits(call: Any, features: Features) -> npt.NDArray[np.float64]:
    """Logits of n rows, shape (n,); `call` is from `lockstep.models.network.inference`."""
    answers = [call(inputs).numpy() for inputs in _slices(features)]
    return np.concatenate(answers).astype(np.float64)[:, 0]


def network_inputs(features: Features) -> dict[str, npt.NDArray[Any]]:
    """Features by the name of the network's input; an input of no width does not exist."""
    return {name: part for name, part in features._asdict().items() if part.shape[1]}


def _slices(features: Features) -> Iterator[dict[str, npt.NDArray[Any]]]:
    inputs = network_inputs(features)
    for start in range(0, len(features.codes), _PREDICT_BATCH):
        yield {name: part[start : start + _PREDICT_BATCH] for name, part in inputs.items()}


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


def _one_pass(model: Any, batches: Any) -> float:
    """Train `model` on each batch once; return the mean loss."""
    import keras

    class Guard(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            # The mean over the pass so far: once it is not finite it stays so.
            if not math.isfinite((logs or {})["loss"]):
                raise NotFinite(batch)

    history = model.fit(batches, epochs=1, callbacks=[Guard()], verbose=0, shuffle=False)
    return float(history.history["loss"][0])


def _average_precision(infer: Any, validation: Data, steps: int) -> float:
    from sklearn.metrics import average_precision_score

    scores = logits(infer, validation.features)
    if not np.isfinite(scores).all():
        raise NotFinite(steps)
    return float(average_precision_score(validation.labels, scores))


def _tensors(data: Data) -> Any:
    import tensorflow as tf

    labels = data.labels.astype(np.float32)[:, None]
    return tf.nest.map_structure(tf.constant, (network_inputs(data.features), labels, data.weights))


def _batches(tensors: Any, schedule: Schedule, epoch: int) -> Any:
    """Batches of one epoch: their order depends on seed and epoch alone, so that a resumed run sees the same one."""
    import tensorflow as tf

    order = np.random.default_rng((schedule.seed, epoch)).permutation(len(tensors[-1]))

    # AutoGraph would write the generated source to a temporary file.
    @tf.autograph.experimental.do_not_convert
    def gather(rows: Any) -> Any:
        return tf.nest.map_structure(lambda part: tf.gather(part, rows), tensors)

    # Beside the training step, and batch by batch: a dataset of rows would handle each by itself.
    return tf.data.Dataset.from_tensor_slices(order).batch(schedule.batch_size).map(gather).prefetch(2)
