"""State of a training run between two epochs: a run that goes on from it ends in the same weights, bit by bit."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lockstep.errors import ModelError
from lockstep.models._archive import pack, unpack

SCHEMA = "checkpoint/1"
"""Schema that stands in the context of a sealed state."""

_CURVE = "curve.json"
_ARRAYS = ("variables", "optimizer", "best")

Arrays = tuple[npt.NDArray[Any], ...]


@dataclass(frozen=True)
class Epoch:
    """Figures of one pass."""

    epoch: int
    loss: float
    val_average_precision: float
    learning_rate: float


@dataclass(frozen=True)
class State:
    """Everything that the next epoch depends on, beside data and parameters.

    Attributes
    ----------
    curve
        Figures of each epoch so far; it tells the number of the next one and when to stop.
    variables, optimizer
        Of the model (its weights and the seeds of its dropout) and of its optimizer, in Keras' order.
    best
        Weights of the epoch of the best validation average precision; empty before the first epoch.
    """

    curve: tuple[Epoch, ...]
    variables: Arrays
    optimizer: Arrays
    best: Arrays

    @property
    def best_epoch(self) -> int:
        """Number, from 1, of the first epoch with the best validation average precision."""
        return max(self.curve, key=lambda epoch: epoch.val_average_precision).epoch


class Checkpoint(Protocol):
    """Where the state of a training run outlives its process."""

    def load(self) -> State | None:
        """State to go on from; None: there is none."""
        ...

    def save(self, state: State) -> None:
        """Keep `state` in place of the one before."""
        ...


def initial(model: Any) -> State:
    """State of a compiled `model` before its first epoch."""
    # Otherwise Keras makes the optimizer's variables with the first step.
    model.optimizer.build(model.trainable_variables)
    return State((), _values(model.variables), _values(model.optimizer.variables), ())


def advance(state: State, model: Any, epoch: Epoch) -> State:
    """State after the epoch that took `model` from `state` to where it is."""
    after = State(
        (*state.curve, epoch), _values(model.variables), _values(model.optimizer.variables), state.best
    )
    if after.best_epoch < epoch.epoch:
        return after
    return State(after.curve, after.variables, after.optimizer, _values(model.weights))


def restore(state: State, model: Any) -> None:
    """Put a compiled `model` of the same network and its optimizer into `state`."""
    model.optimizer.build(model.trainable_variables)
    variables = [*model.variables, *model.optimizer.variables]
    for variable, value in zip(variables, (*state.variables, *state.optimizer), strict=True):
        # A copy: TensorFlow may take the array's own memory for the variable's, and train in it.
        variable.assign(value.copy())


def to_bytes(state: State) -> bytes:
    """Bytes of `state`: plaintext, to be sealed."""
    arrays = {f"{part}/{i:05}": value for part in _ARRAYS for i, value in enumerate(getattr(state, part))}
    return pack(_CURVE, [asdict(epoch) for epoch in state.curve], arrays)


def from_bytes(content: bytes) -> State:
    """Inverse of `to_bytes`; raises ModelError on another format."""
    try:
        curve, arrays = unpack(_CURVE, content)
        parts = (tuple(arrays[n] for n in sorted(arrays) if n.startswith(f"{part}/")) for part in _ARRAYS)
        return State(tuple(Epoch(**figures) for figures in curve), *parts)
    except (ValueError, TypeError):
        raise ModelError("This is no checkpoint of this release. Delete it and train anew.") from None


def versions() -> dict[str, str]:
    """Versions of the libraries that a state may depend on."""
    import keras
    import tensorflow as tf

    return {"keras": keras.__version__, "numpy": np.__version__, "tensorflow": tf.__version__}


def _values(variables: Any) -> Arrays:
    return tuple(np.array(variable.numpy()) for variable in variables)
