"""Bins of one numeric column share a slope in training: what they tell together is learned from all of its rows.

A network reads a number as the vector of its bins (`lockstep.data.encoding`), which can follow any curve, and which has
to learn each bin from the few rows in it. Beside them training gives the first layer the number itself, standardised
and clipped smoothly as by D. Holzmüller et al. (2024), "Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on
Tabular Data", arXiv:2407.04491. Between two edges such a number is a sum of the column's bins, so that its weights fold
into those of the bins: the network that ships has no further input, and answers the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lockstep.data.encoding import Encoder

Floats = npt.NDArray[np.float32]

_FAR = 3.0
"""Standard deviations that nothing lies beyond after clipping."""
_SCALE = 3.0
"""The larger, the sooner a slope is learned. Chosen on small tables that no comparison has (docs/adr/021)."""


class Slopes(NamedTuple):
    """How the numeric inputs make one number of each column: ``inputs @ weights + offsets``.

    Attributes
    ----------
    weights : ndarray of float32, shape (numeric_width, n_columns)
        Of the columns that have bins.
    offsets : ndarray of float32, shape (n_columns,)
        What a number below the first bin gives.
    """

    weights: Floats
    offsets: Floats

    @classmethod
    def of(cls, encoder: Encoder) -> Slopes | None:
        """Those of an encoder's columns; None where no column has bins."""
        binned = [
            (column, bins)
            for column, (_, bins) in zip(encoder.columns, encoder.places, strict=True)
            if column.width
        ]
        if not binned:
            return None
        weights = np.zeros((encoder.numeric_width, len(binned)))
        offsets = np.empty(len(binned))
        for i, (column, bins) in enumerate(binned):
            heights = _SCALE * _clipped(np.asarray(column.edges))
            weights[bins, i] = np.diff(heights)
            offsets[i] = heights[0]
        return cls(weights.astype(np.float32), offsets.astype(np.float32))


def _clipped(edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    # In units of the widest first: the square of a number that float64 just holds is infinite.
    edges = edges / np.abs(edges).max()
    apart = edges - np.median(edges)
    standardised = apart / apart.std()
    return np.asarray(standardised / np.sqrt(1.0 + (standardised / _FAR) ** 2))


@cache
def layer_class() -> Any:
    """The layer class: made on demand, since it needs Keras."""
    import keras

    class ColumnValues(keras.layers.Layer):
        """One number of each numeric column, shape (..., n_columns), from its bins, shape (..., numeric_width)."""

        def __init__(self, slopes: Slopes, **options: Any) -> None:
            super().__init__(**options)
            self.slopes = slopes

        def call(self, inputs: Any) -> Any:
            weights, offsets = (keras.ops.convert_to_tensor(part, inputs.dtype) for part in self.slopes)
            return keras.ops.matmul(inputs, weights) + offsets

        def compute_output_shape(self, input_shape: Any) -> Any:
            return (*input_shape[:-1], len(self.slopes.offsets))

    return ColumnValues


def fold(weights: Mapping[str, Floats], slopes: Slopes) -> dict[str, Floats]:
    """Weights of a network without `layer_class` that answers what one with it does.

    Parameters
    ----------
    weights
        By path, of each member by itself; the first dense layer's kernel ends with the bins and then the columns.
    """
    width, n_columns = slopes.weights.shape
    found = dict(weights)
    for path in _first_kernels(weights):
        kernel = weights[path].astype(np.float64)
        of_columns = kernel[-n_columns:]
        folded = kernel[:-n_columns].copy()
        folded[-width:] += slopes.weights @ of_columns
        found[path] = folded.astype(np.float32)
        bias = f"{path.removesuffix('kernel')}bias"
        found[bias] = (weights[bias] + slopes.offsets @ of_columns).astype(np.float32)
    return found


def _first_kernels(weights: Mapping[str, Floats]) -> list[str]:
    """Paths of the kernels that read the inputs: those of the first hidden layers, or of the logits where none is."""
    for name in ("hidden_0", "logit"):
        paths = [path for path in weights if path.endswith(f"{name}/kernel")]
        if paths:
            break
    return paths
