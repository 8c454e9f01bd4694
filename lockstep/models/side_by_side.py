"""Members of an ensemble in one layer each: along the last axis their units lie side by side."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@cache
def dense_class() -> Any:
    """The layer class: made on demand, since it needs Keras."""
    import keras
    from keras import ops

    class SideBySide(keras.layers.Layer):
        """`keras.layers.Dense` of each of several members, between their own units alone.

        Parameters
        ----------
        members
            How many: the input's shape is (n, members * m).
        units
            Of each: the output's shape is (n, members * units), the kernel's (members, m, units).
        seed
            Of the kernel's initial values.
        """

        def __init__(
            self, members: int, units: int, seed: int, kernel_regularizer: Any = None, **options: Any
        ) -> None:
            super().__init__(**options)
            self.members, self.units, self.seed = members, units, seed
            self.kernel_regularizer = kernel_regularizer

        def build(self, input_shape: Any) -> None:
            width = input_shape[-1] // self.members
            # Keras' own glorot_uniform takes a third axis for a convolution's.
            limit = (6.0 / (width + self.units)) ** 0.5
            self.kernel = self.add_weight(
                shape=(self.members, width, self.units),
                initializer=keras.initializers.RandomUniform(-limit, limit, seed=self.seed),
                regularizer=self.kernel_regularizer,
                name="kernel",
            )
            self.bias = self.add_weight(shape=(self.members * self.units,), initializer="zeros", name="bias")

        def call(self, inputs: Any) -> Any:
            # A product each is quicker than one over a third axis, for which the members would have to be moved first.
            each = zip(
                ops.split(inputs, self.members, axis=-1), ops.unstack(self.kernel, self.members), strict=True
            )
            return ops.concatenate([ops.matmul(rows, kernel) for rows, kernel in each], axis=-1) + self.bias

        def compute_output_shape(self, input_shape: Any) -> Any:
            return (*input_shape[:-1], self.members * self.units)

    return SideBySide


def separate(weights: Mapping[str, Floats], members: int) -> dict[str, Floats]:
    """The weights of each member by itself.

    Parameters
    ----------
    weights
        By their path in a model of `lockstep.models.network.build_for_training`.

    Returns
    -------
    dict
        By their path in the model that `lockstep.models.network.build` makes of the same network.
    """
    if members == 1:
        return dict(weights)
    return {
        f"member_{i}_{path}": part
        for path, value in weights.items()
        for i, part in enumerate(value if path.endswith("/kernel") else np.split(value, members, axis=-1))
    }
