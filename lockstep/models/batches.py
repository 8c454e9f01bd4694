"""Batches of training rows: tensors that are made once, and the order of each epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lockstep.data.features import Bins, Compact
from lockstep.models.differential_privacy import poisson_batches
from lockstep.models.moved_rows import POSITIONS
from lockstep.models.scoring import network_inputs

if TYPE_CHECKING:
    from lockstep.models.training import Data, Schedule


class Feed:
    """Training rows as TensorFlow holds them, which it gives in batches.

    Attributes
    ----------
    tensors
        Inputs by name, or what these are made of; targets; weights.
    """

    def __init__(self, data: Data) -> None:
        import tensorflow as tf

        features = data.features
        self._bins = features.bins if isinstance(features, Compact) else None
        inputs = network_inputs(features)
        if data.moves:
            inputs[POSITIONS] = data.moves.positions
        targets = data.targets if data.groups is None else (data.targets, data.groups)
        self.tensors = tf.nest.map_structure(tf.constant, (inputs, targets, data.weights))

    def epoch(self, schedule: Schedule, epoch: int) -> Any:
        """Batches of one epoch: their rows depend on seed and epoch alone, so that a resumed run sees the same ones."""
        import tensorflow as tf

        # AutoGraph would write the generated source to a temporary file.
        @tf.autograph.experimental.do_not_convert
        def gather(rows: Any) -> Any:
            inputs, *rest = tf.nest.map_structure(lambda part: tf.gather(part, rows), self.tensors)
            if self._bins and "within" in inputs:
                inputs["numeric"] = _numeric(inputs.pop("within"), inputs.pop("shares"), self._bins)
            return inputs, *rest

        # Beside the training step, and batch by batch: a dataset of rows would handle each by itself.
        return _row_numbers(len(self.tensors[-1]), schedule, epoch).map(gather).prefetch(2)


def _numeric(within: Any, shares: Any, bins: Bins) -> Any:
    """As `Compact.dense` makes it."""
    import tensorflow as tf

    parts = tf.gather(tf.cast(within, tf.float32), bins.owners, axis=1) - bins.ranks
    return tf.clip_by_value(parts + tf.gather(shares, bins.owners, axis=1), 0.0, 1.0)


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
