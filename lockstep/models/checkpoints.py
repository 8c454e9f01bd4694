"""State of a training run between two epochs: a run that goes on from it ends in the same weights, bit by bit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lockstep.errors import ModelError
from lockstep.models._archive import pack, unpack

SCHEMA = "checkpoint/2"
"""Schema that stands in the context of a sealed state."""

_CURVE = "curve.json"
_ARRAYS = ("variables", "optimizer", "best")

Arrays = tuple[npt.NDArray[Any], ...]


@dataclass(frozen=True)
class Epoch:
    """Figures of one pass: the mean loss of its steps, and what came of it on the validation rows."""

    epoch: int
    loss: float
    val_average_precision: float
    val_loss: float
    learning_rate: float


def gains(curve: Sequence[Epoch], min_gain: float) -> list[bool]:
    """Which epochs were better than all before: by more than `min_gain` in validation average precision, or else,
    up to that much better or worse, in validation loss; shape of `curve`."""
    found: list[bool] = []
    best: Epoch | None = None
    for epoch in curve:
        gain = epoch.val_average_precision - best.val_average_precision if best else math.inf
        found.append(
            gain > min_gain or (best is not None and gain >= -min_gain and epoch.val_loss < best.val_loss)
        )
        if found[-1]:
            best = epoch
    return found


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
        Weights of the best epoch; empty before the first one.
    """

    curve: tuple[Epoch, ...]
    variables: Arrays
    optimizer: Arrays
    best: Arrays


class Checkpoint(Protocol):
    """Where the state of a training run outlives its process."""

    def load(self, member: int = 0) -> State | None:
        """State to go on from of a member of an ensemble; None: there is none."""
        ...

    def save(self, state: State, member: int = 0) -> None:
        """Keep `state` in place of the one before."""
        ...


def initial(model: Any) -> State:
    """State of a compiled `model` before its first epoch."""
    # Otherwise Keras makes the optimizer's variables with the first step.
    model.optimizer.build(model.trainable_variables)
    return State((), values_of(model.variables), values_of(model.optimizer.variables), ())


def advance(state: State, model: Any, epoch: Epoch, *, gained: bool) -> State:
    """State after the epoch that took `model` from `state` to where it is; `gained`: it is the best so far."""
    best = values_of(model.weights) if gained else state.best
    return State(
        (*state.curve, epoch), values_of(model.variables), values_of(model.optimizer.variables), best
    )


def restore(state: State, model: Any) -> None:
    """Put a compiled `model` of the same network and its optimizer into `state`."""
    model.optimizer.build(model.trainable_variables)
    assign([*model.variables, *model.optimizer.variables], (*state.variables, *state.optimizer))


def assign(variables: Sequence[Any], values: Arrays) -> None:
    """Give each Keras variable its value."""
    for variable, value in zip(variables, values, strict=True):
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


def values_of(variables: Any) -> Arrays:
    """Values of Keras variables."""
    return tuple(np.array(variable.numpy()) for variable in variables)
