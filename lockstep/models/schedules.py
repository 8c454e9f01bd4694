"""Shapes of the learning rate over a training: a function each, in one table."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

Shape = Callable[[Any, float], Any]


def _constant(progress: Any, decay: float) -> Any:
    return 1.0 + 0.0 * progress


def _step(progress: Any, decay: float) -> Any:
    """Times `decay` after half and after three quarters (He et al. 2016, arXiv:1512.03385)."""
    from keras import ops

    drops = ops.cast(progress >= 0.5, "float32") + ops.cast(progress >= 0.75, "float32")
    return decay**drops


def _exponential(progress: Any, decay: float) -> Any:
    """Ends at `decay`."""
    return decay**progress


def _cosine(progress: Any, decay: float) -> Any:
    """Ends at 0 (Loshchilov & Hutter 2017, arXiv:1608.03983)."""
    from keras import ops

    return 0.5 * (1.0 + ops.cos(math.pi * progress))


SHAPES: dict[str, Shape] = {
    "constant": _constant,
    "step": _step,
    "exponential": _exponential,
    "cosine": _cosine,
    # Constant within an epoch; between two, `drops` lowers it.
    "plateau": _constant,
}
"""Factor of the peak by name: of the progress after warm-up, from 0 to 1, and of ``decay``."""


def make_schedule(name: str, peak: float, decay: float, steps: int, warmup_share: float) -> Any:
    """Learning rate by step: up to `peak` linearly, then a shape of `SHAPES`.

    Parameters
    ----------
    steps, warmup_share
        Of the whole training, and the share of it that warms up (Goyal et al. 2017, arXiv:1706.02677).

    Returns
    -------
    keras.optimizers.schedules.LearningRateSchedule
        Its variable ``scale`` multiplies it.
    """
    import keras
    from keras import ops

    warmup = round(warmup_share * steps)

    class Schedule(keras.optimizers.schedules.LearningRateSchedule):
        def __init__(self) -> None:
            self.scale = keras.Variable(1.0, trainable=False, name="learning_rate_scale")

        def __call__(self, step: Any) -> Any:
            step = ops.cast(step, "float32")
            progress = ops.clip((step - warmup) / max(steps - warmup, 1), 0.0, 1.0)
            after = SHAPES[name](progress, decay)
            rising = (step + 1.0) / max(warmup, 1)
            return peak * self.scale * ops.where(step < warmup, rising, after)

    return Schedule()


def drops(gains: list[bool], patience: int) -> int:
    """How often a plateau of `patience` epochs without a gain was met; each one is counted anew."""
    count = without = 0
    for gain in gains:
        without = 0 if gain else without + 1
        if without == patience:
            count, without = count + 1, 0
    return count
