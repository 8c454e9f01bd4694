"""Batches of training rows: tensors that are made once, and the order of each epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lockstep.models.differential_privacy import poisson_batches
from lockstep.models.moved_rows import POSITIONS
from lockstep.models.scoring import network_inputs

if TYPE_CHECKING:
    from lockstep.models.training import Data, Schedule


def as_tensors(data: Data) -> Any:
    """Inputs, targets and weights as TensorFlow holds them."""
    import tensorflow as tf

    targets = data.targets if data.groups is None else (data.targets, data.groups)
    inputs = network_inputs(data.features)
    if data.moves:
        inputs[POSITIONS] = data.moves.positions
    return tf.nest.map_structure(tf.constant, (inputs, targets, data.weights))


def batches_of(tensors: Any, schedule: Schedule, epoch: int) -> Any:
    """Batches of one epoch: their rows depend on seed and epoch alone, so that a resumed run sees the same ones."""
    import tensorflow as tf

    # AutoGraph would write the generated source to a temporary file.
    @tf.autograph.experimental.do_not_convert
    def gather(rows: Any) -> Any:
        return tf.nest.map_structure(lambda part: tf.gather(part, rows), tensors)

    # Beside the training step, and batch by batch: a dataset of rows would handle each by itself.
    return _row_numbers(len(tensors[-1]), schedule, epoch).map(gather).prefetch(2)


def _row_numbers(n_rows: int, schedule: Schedule, epoch: int) -> Any:
    """Numbers of each batch's rows."""
    import tensorflow as tf

    if schedule.privacy is None:
        order = np.random.default_rng((schedule.seed, epoch)).permutation(n_rows)
        return tf.data.Dataset.from_tensor_slices(order).batch(schedule.batch_size)
    seed = (schedule.privacy.secret, epoch)
    batches = poisson_batches(n_rows, schedule.batch_size, schedule.steps(n_rows), seed)
    lengths = [len(rows) for rows in batches]
    return tf.data.Dataset.from_tensor_slices(
        tf.RaggedTensor.from_row_lengths(np.concatenate(batches), lengths)
    )
