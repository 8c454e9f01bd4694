"""Training with early stopping on validation average precision."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lockstep.data.features import Compact, Features
from lockstep.errors import ModelError
from lockstep.models import checkpoints
from lockstep.models.adversary import Adversary, attach, is_own
from lockstep.models.batches import Feed
from lockstep.models.checkpoints import Arrays, Epoch, State, gains
from lockstep.models.determinism import layer_seeds, make_deterministic
from lockstep.models.differential_privacy import Privacy
from lockstep.models.divergence import NotFinite, explain
from lockstep.models.moved_rows import Moves
from lockstep.models.network import Network, Precision, build, build_for_training, inference
from lockstep.models.optimizers import make_optimizer
from lockstep.models.private_gradients import Private
from lockstep.models.schedules import drops, make_schedule
from lockstep.models.scoring import average_precision, cross_entropy, logits, slices
from lockstep.models.shared_slopes import Slopes, fold
from lockstep.models.side_by_side import separate
from lockstep.models.step import run_steps

_STEPS_AN_EPOCH = 32
_MIN_BATCH = 32


@dataclass(frozen=True)
class Schedule:
    """How a network is trained.

    Attributes
    ----------
    epochs, min_steps
        Passes over the rows, at most; a small table is passed over more often, until `min_steps` steps are done.
    batch_size
        Rows per step, at most; a small table takes fewer.
    optimizer, learning_rate, shape, warmup_share, decay
        A name of `lockstep.models.optimizers.OPTIMIZERS`; its peak rate; a name of `lockstep.models.schedules.SHAPES`
        with the share of all steps before the peak and what the shape decays by.
    weight_decay, clip_norm
        Decoupled weight decay, and the largest norm of all gradients together.
    label_smoothing
        Share of each label that is spread over all classes, in [0, 1).
    focal_gamma
        Exponent of the focal loss (`lockstep.models.losses.focal`); 0: cross-entropy.
    precision
        What the layers compute in.
    patience, min_gain
        Epochs without a gain before training stops, and what counts as one (`lockstep.models.checkpoints.gains`);
        Prechelt 1998, "Early stopping - but when?". A table that is passed over more often has more patience.
    seed
        Of initial weights, dropout and the order of rows.
    adversary
        What the network is trained against, by the groups of `Data`.
    privacy
        What hides each row in the steps. Batches are then Poisson samples of `batch_size` rows in the mean.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    min_steps: int = 0
    optimizer: str = "adamw"
    shape: str = "cosine"
    warmup_share: float = 0.1
    decay: float = 0.1
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
    precision: Precision = "float32"
    patience: int = 4
    min_gain: float = 0.0
    adversary: Adversary | None = None
    privacy: Privacy | None = None

    def steps(self, n_rows: int) -> int:
        """Steps of an epoch over `n_rows` rows."""
        return -(-n_rows // self.batch_size)

    def resolved(self, n_rows: int) -> Schedule:
        """The same for a table of `n_rows` rows, in numbers that hold for it."""
        fitting = 2 ** int(math.log2(max(n_rows / _STEPS_AN_EPOCH, 1)))
        batch_size = min(self.batch_size, max(_MIN_BATCH, fitting))
        epochs = max(self.epochs, -(-self.min_steps // -(-n_rows // batch_size)))
        patience = -(-self.patience * epochs // self.epochs)
        return replace(self, epochs=epochs, batch_size=batch_size, patience=patience, min_steps=0)


@dataclass(frozen=True)
class Data:
    """Encoded rows with what is to be learned of them.

    Attributes
    ----------
    features
        Of n rows; with bins still to be made, many take a fraction of the memory.
    targets : ndarray of float32, shape (n, 1) or (n, k)
        Probability of the positive class, or of each of k > 2 classes: 0 or 1 where the label is known.
    weights : ndarray of float32, shape (n,)
        Weight of each row in the loss.
    groups : ndarray of int32, shape (n,)
        Number of each row's group, for an adversary; -1 of a row of none.
    moves
        How far each row's amounts may be moved, for adversarial training; None: it is not wanted.
    slopes
        How the numeric inputs make one number of each column; None: their bins learn each by itself.
    """

    features: Features | Compact
    targets: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    groups: npt.NDArray[np.int32] | None = None
    moves: Moves | None = None
    slopes: Slopes | None = None

    def take(self, rows: npt.NDArray[np.int_]) -> Data:
        """Those `rows`, by number."""
        groups = None if self.groups is None else self.groups[rows]
        moves = None if self.moves is None else self.moves.take(rows)
        return Data(
            self.features.take(rows), self.targets[rows], self.weights[rows], groups, moves, self.slopes
        )


@dataclass(frozen=True)
class Trained:
    """A trained network: the weights of its best epoch, and the curve that led there."""

    network: Network
    model: Any
    curve: tuple[Epoch, ...]
    best_epoch: int


def one_hot(labels: npt.NDArray[Any], n_classes: int) -> npt.NDArray[np.float32]:
    """Targets of `Data` from the number of each row's class: shape (n, 1) of two classes, (n, n_classes) of more."""
    if n_classes == 2:
        return np.asarray(labels, dtype=np.float32)[:, None]
    return np.eye(n_classes, dtype=np.float32)[labels]


def classes_of(targets: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Number of each row's likeliest class: the inverse of `one_hot`."""
    return targets.argmax(axis=1) if targets.shape[1] > 1 else (targets[:, 0] >= 0.5).astype(np.int64)


def train(
    network: Network,
    schedule: Schedule,
    data: Data,
    validation: Data,
    on_epoch: Callable[[State], None],
    start: State | None = None,
    *,
    initial: Arrays | None = None,
    strategy: Any = None,
) -> Trained:
    """Train `network` on `data`.

    Parameters
    ----------
    on_epoch
        Called after each epoch with the state that the next one starts from.
    start
        State of an earlier run with the same arguments, to go on from; None: begin anew.
    initial
        Weights to begin with, of a network of the same shape; None: drawn from the seed.
    strategy
        A `tf.distribute.Strategy`; None: the one device, or a mirror on each of several GPUs where there is no privacy.

    Returns
    -------
    Trained
        With the weights of the best epoch.

    Raises
    ------
    ModelError
        The loss or a validation logit is not finite; the message names where that began. Or privacy is wanted on
        several devices, or beside moved rows.
    """
    make_deterministic(schedule.seed)
    draw_seed = layer_seeds(schedule.seed)
    schedule = schedule.resolved(len(data.targets))
    steps = schedule.steps(len(data.targets))
    strategy = strategy or _strategy(schedule)
    if schedule.privacy and strategy.num_replicas_in_sync > 1:
        raise ModelError(
            f"Training with differential privacy takes one device. Received: a strategy of "
            f"{strategy.num_replicas_in_sync}."
        )
    if schedule.privacy and data.moves:
        raise ModelError(
            "Training with differential privacy takes each row once. Received: rows to move, for adversarial training."
        )
    with strategy.scope():
        model = build_for_training(
            network,
            schedule.precision,
            draw_seed,
            synchronized=strategy.num_replicas_in_sync > 1,
            slopes=data.slopes,
        )
        rate = make_schedule(
            schedule.shape,
            schedule.learning_rate,
            schedule.decay,
            schedule.epochs * steps,
            schedule.warmup_share,
        )
        optimizer = make_optimizer(
            schedule.optimizer,
            rate,
            schedule.weight_decay,
            schedule.clip_norm / strategy.num_replicas_in_sync,
            scaled=schedule.precision == "float16",
        )
        model.label_smoothing = schedule.label_smoothing
        model.focal_gamma = schedule.focal_gamma
        model.moves = data.moves
        model.compile(optimizer=optimizer)
        if initial is not None:
            # The columns begin without a weight: what they had is folded into that of their bins.
            checkpoints.assign(
                model.weights, tuple(_grown(v, w.shape) for w, v in zip(model.weights, initial, strict=True))
            )
        if schedule.adversary:
            attach(model, schedule.adversary, draw_seed())
        if schedule.privacy:
            model.private = Private(model, schedule.privacy, min(schedule.batch_size, len(data.targets)))
        if start is None:
            state = checkpoints.initial(model)
        else:
            state = start
            checkpoints.restore(state, model)
    infer = inference(model)
    feed = Feed(data)
    while not _is_over(state, schedule):
        epoch = len(state.curve) + 1
        batches = feed.epoch(schedule, epoch)
        if schedule.shape == "plateau":
            met = drops(gains(state.curve, schedule.min_gain), max(schedule.patience // 2, 1))
            rate.scale.assign(schedule.decay**met)
        try:
            losses = _one_pass(model, batches, strategy)
            val_average_precision, val_loss = _figures(infer, validation, steps)
        except NotFinite as found:
            raise explain(model, state, batches, found.step, slices(validation.features)) from None
        figures = Epoch(
            epoch,
            float(np.average(losses, weights=_batch_rows(len(data.targets), schedule))),
            val_average_precision,
            val_loss,
            float(model.optimizer.learning_rate),
        )
        gained = gains([*state.curve, figures], schedule.min_gain)[-1]
        state = checkpoints.advance(state, model, figures, gained=gained)
        on_epoch(state)
    weights = zip(model.weights, state.best, strict=True)
    best = separate({weight.path: value for weight, value in weights if is_own(weight)}, network.members)
    if data.slopes:
        best = fold(best, data.slopes)
    final = build(network)
    checkpoints.assign(final.weights, tuple(best[weight.path] for weight in final.weights))
    return Trained(network, final, state.curve, _best_epoch(state, schedule))


def _grown(value: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """`value` with zeros behind its rows."""
    return np.pad(value, [(0, wanted - has) for wanted, has in zip(shape, value.shape, strict=True)])


def _strategy(schedule: Schedule) -> Any:
    import tensorflow as tf

    several = schedule.privacy is None and len(tf.config.list_logical_devices("GPU")) > 1
    return tf.distribute.MirroredStrategy() if several else tf.distribute.get_strategy()


def _best_epoch(state: State, schedule: Schedule) -> int:
    return max(i for i, gained in enumerate(gains(state.curve, schedule.min_gain), 1) if gained)


def _is_over(state: State, schedule: Schedule) -> bool:
    done = len(state.curve)
    return bool(done) and (
        done >= schedule.epochs or done - _best_epoch(state, schedule) >= schedule.patience
    )


def _one_pass(model: Any, batches: Any, strategy: Any) -> list[float]:
    """Train `model` on each batch once; return the loss of each step."""
    import keras

    losses: list[float] = []

    class Guard(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            losses.append((logs or {})["loss"])
            if not math.isfinite(losses[-1]):
                raise NotFinite(batch)

    # The one strategy under which `fit` of Keras 3 fails.
    if strategy.extended._in_multi_worker_mode():
        for step, loss in enumerate(run_steps(model, batches, strategy)):
            losses.append(loss)
            if not math.isfinite(loss):
                raise NotFinite(step)
    else:
        model.fit(batches, epochs=1, callbacks=[Guard()], verbose=0, shuffle=False)
    return losses


def _batch_rows(n_rows: int, schedule: Schedule) -> npt.NDArray[np.int_]:
    """How much the loss of each step of an epoch counts."""
    starts = np.arange(0, n_rows, schedule.batch_size)
    if schedule.privacy:
        return np.ones_like(starts)
    return np.minimum(n_rows - starts, schedule.batch_size)


def _figures(infer: Any, validation: Data, steps: int) -> tuple[float, float]:
    """Average precision, over several classes its mean, and cross-entropy of the validation rows."""
    answers = logits(infer, validation.features)
    if not np.isfinite(answers).all():
        raise NotFinite(steps)
    return average_precision(validation.targets, answers), cross_entropy(validation.targets, answers)
