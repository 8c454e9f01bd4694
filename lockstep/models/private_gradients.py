"""Gradients of a step of DP-SGD: each row's is clipped by itself, and noise hides what is left of it.

The norm of a row's gradient is told by what a layer was given and by the gradient of what it answered, without the
gradient itself, which would take the memory of a network for every row: I. Goodfellow (2015), "Efficient Per-Example
Gradient Computations", arXiv:1510.01799; for embeddings X. Li et al. (2022), "Large Language Models Can Be Strong
Differentially Private Learners", arXiv:2110.05679. A second pass backwards then weighs each row's loss by how much its
gradient is clipped.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from lockstep.errors import ModelError
from lockstep.models.differential_privacy import Privacy

_WORD = 1 << 63


class Private:
    """What a model needs to be trained with privacy.

    Parameters
    ----------
    model
        Of `lockstep.models.network.build_for_training`.
    privacy
        What each step hides.
    expected_rows
        Rows of a step, in the mean: what its sum is divided by. Their true number would tell of a row.

    Raises
    ------
    ModelError
        A layer's gradient cannot be told row by row.
    """

    def __init__(self, model: Any, privacy: Privacy, expected_rows: float) -> None:
        import keras

        self.privacy = privacy
        self.expected_rows = expected_rows
        self._layers = [layer for layer in model.layers if layer.weights]
        for layer in self._layers:
            if type(layer).__name__ not in _SQUARES:
                raise ModelError(
                    f"Layer {layer.name!r} ({type(layer).__name__}) mixes the rows of a batch, or is not known: "
                    "differential privacy needs the gradient of each row. Set train.normalization to layer or none."
                )
        between = [(layer.input, layer.output) for layer in self._layers]
        self._recorder = keras.Model(model.inputs, [between, model.output])

    def gradients(
        self, model: Any, row_losses: Callable[[Any, Any, Any], Any], batch: Any
    ) -> tuple[Any, Any, Any]:
        """Gradients of one step, in the order of ``model.trainable_weights``; the loss; the logits.

        Parameters
        ----------
        row_losses
            `lockstep.models.step.row_losses`.
        batch
            Inputs, targets and weights.
        """
        import tensorflow as tf

        inputs, targets, weights = batch
        with tf.GradientTape(persistent=True) as tape:
            between, logits = self._recorder(inputs, training=True)
            losses = row_losses(model, targets, logits) * weights
            penalty = tf.add_n(model.losses) if model.losses else tf.constant(0.0)
        answers = tape.gradient(losses, [answer for _, answer in between])
        squares = [
            _SQUARES[type(layer).__name__](layer, given, back)
            for layer, (given, _), back in zip(self._layers, between, answers, strict=True)
        ]
        kept = tf.minimum(1.0, self.privacy.clip_norm / tf.sqrt(tf.add_n(squares)))
        sums = tape.gradient(losses, model.trainable_weights, output_gradients=kept)
        # They depend on no row.
        penalties = tape.gradient(penalty, model.trainable_weights)
        gradients = [
            (tf.convert_to_tensor(clipped) + noise) / self.expected_rows
            + (0.0 if of_penalty is None else of_penalty)
            for clipped, noise, of_penalty in zip(sums, self._noise(model), penalties, strict=True)
        ]
        return gradients, tf.reduce_sum(losses) / self.expected_rows + penalty, logits

    def _noise(self, model: Any) -> list[Any]:
        import tensorflow as tf

        fold_in = tf.random.experimental.stateless_fold_in
        secret = tf.constant([self.privacy.secret % _WORD, self.privacy.secret // _WORD % _WORD], tf.int64)
        of_step = fold_in(secret, tf.cast(model.optimizer.iterations, tf.int64))
        spread = self.privacy.noise_multiplier * self.privacy.clip_norm
        return [
            tf.random.stateless_normal(weight.shape, fold_in(of_step, i), stddev=spread)
            for i, weight in enumerate(model.trainable_weights)
        ]


def _row_sums(values: Any) -> Any:
    import tensorflow as tf

    return tf.reduce_sum(values, axis=range(1, len(values.shape)))


def _dense(layer: Any, given: Any, back: Any) -> Any:
    of_answer = _row_sums(back**2)
    return of_answer * _row_sums(given**2) + of_answer


def _side_by_side(layer: Any, given: Any, back: Any) -> Any:
    import tensorflow as tf

    members = zip(tf.split(given, layer.members, -1), tf.split(back, layer.members, -1), strict=True)
    return tf.add_n([_dense(layer, own, own_back) for own, own_back in members])


def _embedding(layer: Any, given: Any, back: Any) -> Any:
    # Each column has codes of its own, so no code stands twice in a row.
    return _row_sums(back**2)


def _normalization(groups: int, layer: Any, given: Any, back: Any) -> Any:
    import tensorflow as tf

    parts = tf.reshape(given, (-1, groups, given.shape[-1] // groups))
    mean, variance = tf.nn.moments(parts, axes=[-1], keepdims=True)
    normalized = tf.reshape((parts - mean) * tf.math.rsqrt(variance + layer.epsilon), tf.shape(given))
    return _row_sums((back * normalized) ** 2) + _row_sums(back**2)


_SQUARES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "Dense": _dense,
    "Embedding": _embedding,
    "GroupNormalization": lambda layer, given, back: _normalization(layer.groups, layer, given, back),
    "LayerNormalization": partial(_normalization, 1),
    "SideBySide": _side_by_side,
}
"""Squared norm of each row's gradient of a layer's weights, shape (n,), from input and gradient of the output."""
