"""The same numbers from the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

_MOST = 10**9


def make_deterministic(seed: int) -> None:
    """Seed every generator and let TensorFlow use deterministic kernels only; forget earlier models' names."""
    import keras
    import tensorflow as tf

    keras.utils.clear_session(free_memory=True)
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def layer_seeds(seed: int) -> Callable[[], int]:
    """Return what draws a seed for each layer in its turn.

    Notes
    -----
    A layer without a seed of its own takes one from Python's global generator, and so does every other thread of the
    process that draws a number meanwhile: the weights would then depend on which thread came first.
    """
    return partial(random.Random(seed).randint, 1, _MOST)  # noqa: S311 - seeds are no secrets
