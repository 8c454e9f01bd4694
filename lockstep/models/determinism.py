"""The same numbers from the same seed."""

from __future__ import annotations


def make_deterministic(seed: int) -> None:
    """Seed every generator and let TensorFlow use deterministic kernels only; forget earlier models' names."""
    import keras
    import tensorflow as tf

    keras.utils.clear_session(free_memory=True)
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
