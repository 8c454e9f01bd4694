"""Optimizers by name, each with its reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    # Kingma & Ba 2015, arXiv:1412.6980, with decoupled weight decay: Loshchilov & Hutter 2019, arXiv:1711.05101
    "adamw": ("AdamW", {}),
    "adam": ("Adam", {}),
    # Dozat 2016, "Incorporating Nesterov momentum into Adam"
    "nadam": ("Nadam", {}),
    # Chen et al. 2023, arXiv:2302.06675; wants a tenth of AdamW's learning rate
    "lion": ("Lion", {}),
    # Tieleman & Hinton 2012
    "rmsprop": ("RMSprop", {}),
    # Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning"
    "sgd": ("SGD", {"momentum": 0.9, "nesterov": True}),
}
"""Name: the class in `keras.optimizers`, and what it is made with."""


def make_optimizer(
    name: str, learning_rate: Callable[[Any], Any], weight_decay: float, clip_norm: float, *, scaled: bool
) -> Any:
    """Make the optimizer `name` of `OPTIMIZERS`.

    Parameters
    ----------
    learning_rate
        A `keras.optimizers.schedules.LearningRateSchedule`.
    weight_decay
        Decoupled, per step and unit of learning rate; of every optimizer.
    clip_norm
        Largest norm of all gradients together (Pascanu et al. 2013, arXiv:1211.5063); of several replicas, each one's
        share of it.
    scaled
        Whether the loss is scaled so that float16 gradients do not vanish.
    """
    import keras

    kind, options = OPTIMIZERS[name]
    optimizer = getattr(keras.optimizers, kind)(
        learning_rate, weight_decay=weight_decay, global_clipnorm=clip_norm, **options
    )
    return keras.optimizers.LossScaleOptimizer(optimizer) if scaled else optimizer
